use std::borrow::Cow;
use std::io::{self, Write};

use crate::output::text::is_harmful;
use crate::value::Value;

/// The first line: names of columns, which need no quotes.
pub(super) fn write_header(out: &mut impl Write, columns: &[&str]) -> io::Result<()> {
    write!(out, "{}\r\n", columns.join(","))
}

/// A line as RFC 4180 has it. Unless `exact`, texts that a spreadsheet would take for formulas get a `'` in front, and characters that
/// harm terminals are replaced.
pub(super) fn write_row(out: &mut impl Write, values: &[Value<'_>], exact: bool) -> io::Result<()> {
    for (column, value) in values.iter().enumerate() {
        if column > 0 {
            out.write_all(b",")?;
        }
        match value {
            Value::None => {}
            Value::Text(text) => write_text(out, text, exact)?,
            Value::Int(number) => write!(out, "{number}")?,
            Value::Bool(value) => write!(out, "{value}")?,
            Value::Time(time) => write!(out, "{time}")?,
            Value::List(list) => write_text(out, &list.join(", "), exact)?,
        }
    }
    out.write_all(b"\r\n")
}

fn write_text(out: &mut impl Write, text: &str, exact: bool) -> io::Result<()> {
    let text = match exact {
        true => Cow::Borrowed(text),
        false => defused(text),
    };
    if !text.contains(['"', ',', '\n', '\r']) {
        return out.write_all(text.as_bytes());
    }
    write!(out, "\"{}\"", text.replace('"', "\"\""))
}

fn defused(text: &str) -> Cow<'_, str> {
    // Spreadsheets look behind blanks, too.
    let is_formula = text
        .trim_start()
        .starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
        || text.starts_with(['\t', '\r', '\n']);
    let harmful = |c: char| is_harmful(c) && !matches!(c, '\n' | '\t');
    if !is_formula && !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut defused = String::with_capacity(text.len() + 1);
    if is_formula {
        defused.push('\'');
    }
    for c in text.replace("\r\n", "\n").chars() {
        defused.push(if harmful(c) { '\u{fffd}' } else { c });
    }
    Cow::Owned(defused)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(values: &[Value<'_>], exact: bool) -> String {
        let mut out = Vec::new();
        write_row(&mut out, values, exact).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn quotes_stand_where_they_must() {
        let values = [
            Value::text("plain"),
            Value::None,
            Value::text("a,b"),
            Value::text("say \"x\"\nand go"),
            Value::Int(-5),
            Value::Bool(false),
            Value::list(["a", "b"].into_iter()),
        ];
        let expected = "plain,,\"a,b\",\"say \"\"x\"\"\nand go\",-5,false,\"a, b\"\r\n";
        assert_eq!(line(&values, false), expected);
    }

    #[test]
    fn no_text_is_a_formula() {
        for (text, defused) in [
            ("=1+1", "'=1+1"),
            ("+2", "'+2"),
            ("-2", "'-2"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("  =1", "'  =1"),
            ("\u{1b}[31m", "\u{fffd}[31m"),
            ("a-b", "a-b"),
        ] {
            assert_eq!(line(&[Value::text(text)], false), format!("{defused}\r\n"));
            assert_eq!(line(&[Value::text(text)], true), format!("{text}\r\n"));
        }
    }

    proptest! {
        /// By a reader of its own: what was written is what is read.
        #[test]
        fn exact_texts_come_back(cells in proptest::collection::vec("[a-c\",\r\n ü=]{0,6}", 1..5)) {
            let values: Vec<_> = cells.iter().map(|cell| Value::text(cell.as_str())).collect();
            let line = line(&values, true);
            let mut read = vec![String::new()];
            let mut quoted = false;
            let mut chars = line.strip_suffix("\r\n").unwrap().chars().peekable();
            while let Some(c) = chars.next() {
                match c {
                    '"' if quoted && chars.peek() == Some(&'"') => {
                        chars.next();
                        read.last_mut().unwrap().push('"');
                    }
                    '"' => quoted = !quoted,
                    ',' if !quoted => read.push(String::new()),
                    c => read.last_mut().unwrap().push(c),
                }
            }
            prop_assert_eq!(read, cells);
        }
    }
}
