//! Markdown tables.

use std::fmt::Write as _;

/// How a column's cells stand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table with one line a row, as wide as its contents.
pub(crate) fn markdown(columns: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let cells = |at: usize| rows.iter().map(move |row| row[at].chars().count());
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, (title, _))| cells(at).fold(title.chars().count(), usize::max))
        .collect();
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        for ((cell, width), (_, align)) in cells.zip(&widths).zip(columns) {
            let pad = " ".repeat(width - cell.chars().count());
            let (before, after) = match align {
                Align::Left => ("", pad.as_str()),
                Align::Right => (pad.as_str(), ""),
            };
            write!(text, "| {before}{cell}{after} ").expect("a String takes everything");
        }
        text.push_str("|\n");
    };
    line(&mut columns.iter().map(|(title, _)| *title));
    let rules: Vec<String> = widths
        .iter()
        .zip(columns)
        .map(|(width, (_, align))| match align {
            Align::Left => "-".repeat(*width),
            Align::Right => format!("{}:", "-".repeat(width - 1)),
        })
        .collect();
    line(&mut rules.iter().map(String::as_str));
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["pigz".to_owned(), "12.5".to_owned()],
            vec!["ours ×".to_owned(), "9".to_owned()],
        ];
        let text = markdown(&[("who", Align::Left), ("MB/s", Align::Right)], &rows);
        assert_eq!(
            text,
            "| who    | MB/s |\n| ------ | ---: |\n| pigz   | 12.5 |\n| ours × |    9 |\n"
        );
    }
}
