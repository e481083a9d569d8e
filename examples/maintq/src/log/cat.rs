use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use maintner::reclog::Reader;
use serde_json::json;

use crate::args::FilesArgs;
use crate::log::json::mutation;
use crate::output::write_line;
use crate::usage::Usage;

/// Prints mutations.
pub(super) fn run(files: &FilesArgs, from: u64, limit: Option<u64>) -> anyhow::Result<ExitCode> {
    let paths = files.paths()?;
    if from > 0 && paths.len() > 1 {
        bail!(Usage("--from is for a single file".to_owned()));
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut left = limit.unwrap_or(u64::MAX);
    for path in paths {
        let name = path.display().to_string();
        let mut file = File::open(&path).with_context(|| name.clone())?;
        file.seek(SeekFrom::Start(from))
            .with_context(|| name.clone())?;
        let mut reader = Reader::new(file, from);
        while left > 0 {
            let record = match reader.next_record() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => {
                    // What came before is to be seen before what went wrong.
                    out.flush()?;
                    return Err(error).context(name);
                }
            };
            let line = json!({
                "file": name,
                "offset": record.offset,
                "bytes": record.payload.len(),
                "mutation": mutation(record.payload),
            });
            write_line(&mut out, &line)?;
            left -= 1;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
