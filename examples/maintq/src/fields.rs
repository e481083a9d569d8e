use std::io;

use crate::kinds::{Cls, Commits, Issues, Kind};
use crate::output::{Format, Output, terminal_width};
use crate::value::Value;

/// Lists the fields of each kind.
pub(crate) fn run(format: Format) -> anyhow::Result<()> {
    let columns = vec!["of", "field", "type", "what"];
    let out = io::BufWriter::new(io::stdout().lock());
    let mut out = Output::begin(out, format, columns, terminal_width())?;
    write::<Issues, _>(&mut out)?;
    write::<Cls, _>(&mut out)?;
    write::<Commits, _>(&mut out)?;
    Ok(out.flush()?)
}

fn write<K: Kind, W: io::Write>(out: &mut Output<W>) -> io::Result<()> {
    for field in K::FIELDS {
        let def = field.def;
        out.row(&[K::NAME, def.name, def.ty.name(), def.help].map(Value::text))?;
    }
    Ok(())
}
