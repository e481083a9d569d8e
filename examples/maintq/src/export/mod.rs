//! Everything as Parquet files, for `DuckDB`, Polars, pandas and their kin.

mod column;
mod tables;
mod write;

use std::fs;
use std::io::{self, Write as _};

use anyhow::{Context as _, bail};

use crate::args::{Args, ExportArgs};
use crate::export::tables::{Comments, CommitFiles, Events, Messages, PatchSets, Reviews, Votes};
use crate::export::write::Exporter;
use crate::kinds::{Cls, Commits, Issues, Kind};
use crate::output::{Output, terminal_width};
use crate::usage::Usage;
use crate::value::{FieldDef, Type, Value};
use crate::{interrupt, kinds, source};

/// Writes a file for each table, or says what is in them.
pub(crate) fn run(args: &Args, export: &ExportArgs) -> anyhow::Result<()> {
    if export.schema {
        io::stdout().write_all(schema().as_bytes())?;
        return Ok(());
    }
    let Some(dir) = &export.parquet else {
        bail!(Usage(
            "name a folder with --parquet, or ask for the --schema".to_owned()
        ));
    };
    let in_dir = || dir.display().to_string();
    fs::create_dir_all(dir).with_context(in_dir)?;
    let corpus = source::open(&args.source)?;
    // Files appear under their names when all are complete.
    let partial = interrupt::guard(|| tempfile::Builder::new().prefix(".maintq-").tempdir_in(dir))
        .with_context(in_dir)?;
    let mut exporter = Exporter::new(corpus.view(), export.private, partial.path());
    each(&mut exporter)?;
    let written = exporter.finish();
    partial.settle(|complete| {
        written.iter().try_for_each(|table| {
            let to = dir.join(&table.file);
            fs::rename(complete.join(&table.file), &to).with_context(|| to.display().to_string())
        })
    })?;

    let out = io::BufWriter::new(io::stdout().lock());
    let columns = vec!["file", "rows", "bytes"];
    let mut out = Output::begin(out, args.format, columns, terminal_width())?;
    for table in written {
        let file = dir.join(table.file).display().to_string();
        let [rows, bytes] = [table.rows, table.bytes].map(|n| Value::Int(n.cast_signed()));
        out.row(&[Value::text(file), rows, bytes])?;
    }
    Ok(out.flush()?)
}

/// What is done with each table.
trait Visit {
    fn table<K: Kind>(&mut self, about: &'static str) -> anyhow::Result<()>;
}

fn each(visit: &mut impl Visit) -> anyhow::Result<()> {
    visit.table::<Issues>("Issues and pull requests on GitHub.")?;
    visit.table::<Comments>("Comments on issues and pull requests.")?;
    visit.table::<Events>("What happened to issues and pull requests.")?;
    visit.table::<Reviews>("Reviews of pull requests.")?;
    visit.table::<Cls>("Changes on Gerrit.")?;
    visit.table::<PatchSets>("The versions of changes.")?;
    visit.table::<Messages>("What people and programs said about changes.")?;
    visit.table::<Votes>("The votes that changes have now.")?;
    visit.table::<Commits>("Commits on branches.")?;
    visit.table::<CommitFiles>("What those commits changed; nothing for merges and first commits.")
}

/// The tables and their columns as a document.
fn schema() -> String {
    let mut document = Document(HEAD.to_owned());
    // Writing to a string does not fail.
    let _ = each(&mut document);
    document.0
}

const HEAD: &str = "\
# What `maintq export --parquet` writes

A file for each table, `TABLE.parquet`. Times are in UTC, to the microsecond. What is not known is null; lists are empty then. Private changes are
left out unless `--private` is given. Texts are what people wrote: treat them so.

```sh
maintq export --parquet history --log my-log
duckdb -c \"select owner, count(*) from 'history/cls.parquet' where open group by all order by 2 desc limit 10\"
```

This is what `maintq export --schema` prints.
";

struct Document(String);

impl Visit for Document {
    fn table<K: Kind>(&mut self, about: &'static str) -> anyhow::Result<()> {
        let heading = format!(
            "\n## {}\n\n{about}\n\n| column | type | what |\n|---|---|---|\n",
            K::NAME
        );
        self.0.push_str(&heading);
        for FieldDef { name, ty, help } in kinds::defs::<K>() {
            let ty = match ty {
                Type::Text => "VARCHAR",
                Type::Int => "BIGINT",
                Type::Bool => "BOOLEAN",
                Type::Time => "TIMESTAMP WITH TIME ZONE",
                Type::List => "VARCHAR[]",
            };
            self.0.push_str(&format!("| `{name}` | {ty} | {help} |\n"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_what_is_written() {
        let document = include_str!("../../../../docs/maintq-export.md");
        assert_eq!(
            document,
            schema(),
            "write it anew: maintq export --schema > docs/maintq-export.md"
        );
    }
}
