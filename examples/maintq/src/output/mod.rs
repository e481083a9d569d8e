//! Rows as a table, as lines of JSON or as CSV.

mod csv;
mod json;
mod table;
mod text;

use std::io::{self, Write};

pub(crate) use crate::output::json::write_line;
use crate::output::table::Table;
pub(crate) use crate::output::text::{line, terminal_width};
use crate::value::Value;

/// A form of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people: columns that fit the terminal
    #[default]
    Table,
    /// For programs: one JSON object a row
    Json,
    /// For spreadsheets: values, as RFC 4180 has them, that no spreadsheet takes for formulas
    Csv,
    /// For programs: CSV with texts exactly as they are
    CsvExact,
}

/// Writes rows of the same columns.
pub(crate) struct Output<W: Write> {
    out: W,
    columns: Vec<&'static str>,
    form: Form,
}

enum Form {
    Table(Table),
    Json,
    Csv { exact: bool },
}

impl<W: Write> Output<W> {
    /// `width` is that of the terminal, if tables shall fit one.
    pub(crate) fn begin(
        mut out: W,
        format: Format,
        columns: Vec<&'static str>,
        width: Option<usize>,
    ) -> io::Result<Self> {
        let form = match format {
            Format::Table => Form::Table(Table::new(&columns, width)),
            Format::Json => Form::Json,
            Format::Csv | Format::CsvExact => {
                csv::write_header(&mut out, &columns)?;
                Form::Csv {
                    exact: format == Format::CsvExact,
                }
            }
        };
        Ok(Self { out, columns, form })
    }

    /// One value for each column.
    pub(crate) fn row(&mut self, values: &[Value<'_>]) -> io::Result<()> {
        match &mut self.form {
            Form::Table(table) => table.row(&mut self.out, values),
            Form::Json => json::write_row(&mut self.out, &self.columns, values),
            Form::Csv { exact } => csv::write_row(&mut self.out, values, *exact),
        }
    }

    /// Lets all rows so far be seen.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if let Form::Table(table) = &mut self.form {
            table.flush(&mut self.out)?;
        }
        self.out.flush()
    }
}
