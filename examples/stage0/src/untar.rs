//! The helper: unpacks an archive on a machine that has no tar.

use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use buildlet_proto::archive::{Encoding, Folder, Policy, extract};

pub(crate) fn run(file: &Path, dir: &Path) -> anyhow::Result<ExitCode> {
    let archive = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let folder = Folder::open(dir).with_context(|| format!("cannot open {}", dir.display()))?;
    let summary = extract(archive, Encoding::Gzip, &folder, &Policy::stage0())
        .with_context(|| format!("cannot unpack {}", file.display()))?;
    tracing::info!(entries = summary.entries, bytes = summary.bytes, dir = %dir.display(), "unpacked");
    Ok(ExitCode::SUCCESS)
}
