use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use maintner::View;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::export::Visit;
use crate::export::column::{Column, parquet_type};
use crate::kinds::{Kind, Scope};

/// Rows that are held, and written as one row group, at most.
const GROUP_ROWS: usize = 100_000;
/// Bytes of values after which a row group ends sooner.
const GROUP_BYTES: usize = 32 << 20;

/// Writes tables into a folder.
pub(super) struct Exporter<'a> {
    view: View,
    scope: Scope,
    dir: &'a Path,
    written: Vec<Written>,
}

/// A file that is complete.
pub(super) struct Written {
    pub(super) file: PathBuf,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl<'a> Exporter<'a> {
    pub(super) fn new(view: View, private: bool, dir: &'a Path) -> Self {
        let scope = Scope {
            private,
            ..Scope::default()
        };
        Self {
            view,
            scope,
            dir,
            written: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Vec<Written> {
        self.written
    }

    fn write<K: Kind>(&self, path: &Path) -> anyhow::Result<u64> {
        let fields = K::FIELDS.iter().map(|field| parquet_type(&field.def));
        let schema = format!("message {} {{ {} }}", K::NAME, fields.collect::<String>());
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by("maintq".to_owned())
            .build();
        let mut file = SerializedFileWriter::new(
            File::create_new(path)?,
            Arc::new(parse_message_type(&schema)?),
            Arc::new(properties),
        )?;
        let new_group = || -> Vec<_> { K::FIELDS.iter().map(|f| Column::new(f.def.ty)).collect() };
        let (mut group, mut in_group, mut bytes, mut rows) = (new_group(), 0, 0, 0);
        let mut seen = K::Seen::default();
        for row in K::rows(&self.view, &self.scope, &mut seen) {
            for (field, column) in K::FIELDS.iter().zip(&mut group) {
                bytes += column.push((field.get)(&self.view, &row));
            }
            (in_group, rows) = (in_group + 1, rows + 1);
            if in_group == GROUP_ROWS || bytes >= GROUP_BYTES {
                write_group(&mut file, &group)?;
                (group, in_group, bytes) = (new_group(), 0, 0);
            }
        }
        if in_group > 0 {
            write_group(&mut file, &group)?;
        }
        file.close()?;
        Ok(rows)
    }
}

impl Visit for Exporter<'_> {
    fn table<K: Kind>(&mut self, _: &'static str) -> anyhow::Result<()> {
        let file = PathBuf::from(format!("{}.parquet", K::NAME));
        let path = self.dir.join(&file);
        let rows = self
            .write::<K>(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let bytes = path.metadata()?.len();
        self.written.push(Written { file, rows, bytes });
        Ok(())
    }
}

fn write_group(
    file: &mut SerializedFileWriter<File>,
    columns: &[Column],
) -> Result<(), parquet::errors::ParquetError> {
    let mut group = file.next_row_group()?;
    for column in columns {
        let Some(mut writer) = group.next_column()? else {
            break;
        };
        column.write(&mut writer)?;
        writer.close()?;
    }
    group.close()?;
    Ok(())
}
