use std::io::{self, Write};

use crate::output::text::{cell, fitted, width};
use crate::value::Value;

/// Rows that are held back to see how wide columns must be; later ones are fitted into that.
const MEASURED: usize = 500;
/// Between columns.
const GAP: usize = 2;
/// Columns are not made narrower than this to fit a terminal.
const NARROWEST: usize = 8;

/// A table whose columns are as wide as their first 500 cells need, or less if a terminal is narrower.
pub(super) struct Table {
    headings: Vec<String>,
    terminal: Option<usize>,
    state: State,
}

enum State {
    Measuring(Vec<Vec<String>>),
    Widths(Vec<usize>),
}

impl Table {
    pub(super) fn new(columns: &[&str], terminal: Option<usize>) -> Self {
        Self {
            headings: columns.iter().map(|column| column.to_uppercase()).collect(),
            terminal,
            state: State::Measuring(Vec::new()),
        }
    }

    pub(super) fn row(&mut self, out: &mut impl Write, values: &[Value<'_>]) -> io::Result<()> {
        let row: Vec<_> = values.iter().map(cell).collect();
        match &mut self.state {
            State::Widths(widths) => write_row(out, &row, widths, self.terminal.is_some()),
            State::Measuring(rows) => {
                rows.push(row);
                if rows.len() == MEASURED {
                    self.flush(out)?;
                }
                Ok(())
            }
        }
    }

    /// Writes what is held back. Without any row there is no heading either.
    pub(super) fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        let State::Measuring(rows) = &self.state else {
            return Ok(());
        };
        if rows.is_empty() {
            return Ok(());
        }
        let cells = |column: usize| rows.iter().map(move |row| width(&row[column]));
        let mut widths: Vec<_> = (0..self.headings.len())
            .map(|column| {
                cells(column)
                    .max()
                    .unwrap_or(0)
                    .max(width(&self.headings[column]))
            })
            .collect();
        if let Some(terminal) = self.terminal {
            shrink(&mut widths, terminal);
        }
        let fits = self.terminal.is_some();
        write_row(out, &self.headings, &widths, fits)?;
        for row in rows {
            write_row(out, row, &widths, fits)?;
        }
        self.state = State::Widths(widths);
        Ok(())
    }
}

/// Takes from the widest columns until all fit.
fn shrink(widths: &mut [usize], terminal: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > terminal {
        let Some(widest) = widths.iter_mut().max() else {
            return;
        };
        if *widest <= NARROWEST {
            return;
        }
        *widest -= 1;
    }
}

fn write_row(out: &mut impl Write, row: &[String], widths: &[usize], fits: bool) -> io::Result<()> {
    let mut text = String::new();
    for (column, (cell, columns)) in row.iter().zip(widths).enumerate() {
        let cell = if fits {
            fitted(cell, *columns)
        } else {
            cell.clone()
        };
        let missing = columns.saturating_sub(width(&cell));
        text.push_str(&cell);
        if column + 1 < row.len() {
            text.extend(std::iter::repeat_n(' ', missing + GAP));
        }
    }
    writeln!(out, "{}", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(terminal: Option<usize>, rows: &[[&str; 2]]) -> String {
        let mut out = Vec::new();
        let mut table = Table::new(&["id", "title"], terminal);
        for row in rows {
            table
                .row(&mut out, &row.map(|cell| Value::Text(cell.into())))
                .unwrap();
        }
        table.flush(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_they_must() {
        assert_eq!(
            shown(None, &[["1", "long enough to be cut"], ["日本", "x"]]),
            "ID    TITLE\n1     long enough to be cut\n日本  x\n"
        );
        assert_eq!(shown(None, &[]), "");
    }

    #[test]
    fn a_terminal_is_never_wider_than_it_is() {
        assert_eq!(
            shown(Some(16), &[["1", "long enough to be cut"]]),
            "ID  TITLE\n1   long enough…\n"
        );
    }

    #[test]
    fn rows_beyond_those_measured_are_fitted_too() {
        let mut rows = vec![["1", "short"]; MEASURED];
        rows.push(["2", "longer than any before it"]);
        assert!(shown(Some(80), &rows).ends_with("2   long…\n"));
        assert!(shown(None, &rows).ends_with("2   longer than any before it\n"));
    }
}
