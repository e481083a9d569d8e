//! A log that a bucket has too.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use maintner::leader::{BucketLog, BucketLogConfig, Leader};
use maintner::reclog::{Files, Reader, Writer, WriterConfig, segments};
use program::{bucket_address, open_bucket};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use maintner::leader::BucketLogStatus;

use crate::args::Args;

/// The segments, below --data-dir, where a log by days may be too.
const FOLDER: &str = "segments";
/// Which bucket they belong to.
const ADDRESS: &str = "bucket";
/// They are a disk log's, and the bucket does not have all of them yet.
const MIGRATING: &str = "migrating";
/// Bytes of payloads that are written at once.
const BATCH: usize = 8 << 20;

/// Segments as Go's leader has them.
pub(crate) const FILES: Files = Files::Numbered {
    max_bytes: Files::SEGMENT,
};

/// What brings the log to the bucket.
pub(crate) struct Storing {
    pub(crate) status: watch::Receiver<BucketLogStatus>,
    /// Why it ended.
    failed: watch::Receiver<Option<String>>,
    /// Ends with it.
    _task: AbortOnDropHandle<()>,
}

impl Storing {
    pub(crate) fn start(log: BucketLog, leader: Leader) -> Self {
        let (tell, failed) = watch::channel(None);
        let status = log.status();
        let task = tokio::spawn(async move {
            if let Err(error) = log.run(leader).await {
                let error = anyhow::Error::from(error);
                let _ = tell.send(Some(format!("{error:#}")));
            }
        });
        Self {
            status,
            failed,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Waits until it failed for good.
    pub(crate) async fn broken(&self) -> String {
        let mut failed = self.failed.clone();
        if let Ok(failed) = failed.wait_for(Option::is_some).await
            && let Some(error) = &*failed
        {
            return error.clone();
        }
        // It ends without an error when the leader does.
        std::future::pending().await
    }

    /// Waits for what is left to be stored, once the leader was closed.
    pub(crate) async fn end(&self) -> anyhow::Result<()> {
        let mut failed = self.failed.clone();
        // Until nobody can tell anything any more.
        while failed.changed().await.is_ok() {}
        match &*failed.borrow() {
            Some(error) => bail!(
                "{error}; nothing is lost: the next start with the same --data-dir stores what is left"
            ),
            None => Ok(()),
        }
    }
}

/// Brings the folder of segments up to what the bucket has.
pub(crate) async fn open(args: &Args, data_dir: &Path) -> anyhow::Result<(BucketLog, PathBuf)> {
    let address = bucket_address(&args.bucket);
    let dir = data_dir.join(FOLDER);
    if dir.join(MIGRATING).exists() {
        bail!(
            "{} is not yet in {address} as a whole: run --migrate-disk-to-gcs again",
            dir.display()
        );
    }
    let log = open_in(&address, &dir).await?;
    Ok((log, dir))
}

/// Copies the log by days in --data-dir to the bucket.
pub(crate) async fn migrate(args: &Args, data_dir: &Path) -> anyhow::Result<()> {
    let address = bucket_address(&args.bucket);
    let dir = data_dir.join(FOLDER);
    if !dir.join(MIGRATING).exists() {
        if dir.exists() {
            bail!(
                "{} is there already: a log that belongs to a bucket",
                dir.display()
            );
        }
        let (from, to) = (data_dir.to_owned(), dir.clone());
        let (mutations, bytes) = spawn_blocking(move || number(&from, &to)).await??;
        tracing::info!("{mutations} mutations of {bytes} bytes are to be stored");
    }
    let log = open_in(&address, &dir).await;
    let mut log = log.context("the disk log cannot go to this bucket, which must be empty")?;
    let flushed = log.flush().await?;
    fs::remove_file(dir.join(MIGRATING))?;
    println!(
        "{address} has the log of {}: {} bytes in {} segments, {} of them stored now; start with the same --bucket and --data-dir",
        data_dir.display(),
        log.bytes(),
        log.status().borrow().segments,
        flushed.objects,
    );
    Ok(())
}

/// The records of the files by days as numbered segments, in a folder that is there as a whole or not at all.
fn number(from: &Path, to: &Path) -> anyhow::Result<(u64, u64)> {
    let unfinished = to.with_extension("unfinished");
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).context(unfinished.display().to_string());
        }
        _ => fs::create_dir(&unfinished).with_context(|| unfinished.display().to_string())?,
    }
    // While it is read, nobody appends.
    let _lock = Writer::open(from, WriterConfig::default())?;
    let files = segments(from).with_context(|| from.display().to_string())?;
    if files.is_empty() {
        bail!("there is no log in {}", from.display());
    }
    let mut log = Writer::open(&unfinished, WriterConfig::default().files(FILES))?;
    let (mut mutations, mut bytes) = (0, 0);
    let mut batch: Vec<Vec<u8>> = Vec::new();
    let mut waiting = 0;
    for file in files {
        let name = || file.path.display().to_string();
        let mut reader = Reader::new(fs::File::open(&file.path).with_context(name)?, 0);
        while let Some(record) = reader.next_record().with_context(name)? {
            if waiting + record.payload.len() > BATCH {
                bytes += append(&mut log, &mut batch)?;
                waiting = 0;
            }
            waiting += record.payload.len();
            mutations += 1;
            batch.push(record.payload.to_vec());
        }
    }
    bytes += append(&mut log, &mut batch)?;
    drop(log);
    fs::write(unfinished.join(MIGRATING), "")?;
    fs::rename(&unfinished, to)?;
    Ok((mutations, bytes))
}

fn append(log: &mut Writer, batch: &mut Vec<Vec<u8>>) -> anyhow::Result<u64> {
    if batch.is_empty() {
        return Ok(0);
    }
    let appended = log.append(batch.drain(..))?;
    Ok(appended.end - appended.start)
}

async fn open_in(address: &str, dir: &Path) -> anyhow::Result<BucketLog> {
    let bucket = open_bucket(address)?;
    claim(address, dir)?;
    let log = BucketLog::open(bucket, dir, BucketLogConfig::default()).await;
    log.with_context(|| address.to_owned())
}

/// A folder goes with one bucket: another one would get a history that is not its own.
fn claim(address: &str, dir: &Path) -> anyhow::Result<()> {
    let file = dir.join(ADDRESS);
    match fs::read_to_string(&file) {
        Ok(other) if other.trim_end() == address => Ok(()),
        Ok(other) => bail!(
            "{} belongs to {}: give another --data-dir, or move it away",
            dir.display(),
            other.trim_end()
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
            fs::write(&file, format!("{address}\n")).with_context(|| file.display().to_string())
        }
        Err(error) => Err(error).with_context(|| file.display().to_string()),
    }
}
