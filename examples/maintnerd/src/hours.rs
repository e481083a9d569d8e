//! Mutations of each hour, over restarts.
//!
//! Records do not say when they were written: what is in them has the times of commits, comments and events. So the counts of the
//! last hours are kept beside the log, in a file of a few lines; what a crash takes with it is a minute of the chart.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fmt, fs};

use program::replace_file;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::state::{Ready, Source};

/// Hours that are kept, as many as the chart shows.
pub(crate) const HOURS: u64 = 48;
const SECONDS: u64 = 3600;
/// How often the file is written, if something changed.
const INTERVAL: Duration = Duration::from_secs(60);
/// Bytes of it that are read: more than all hours take.
const MAX_FILE: u64 = 16 << 10;

/// What was counted before this start, and the file for it. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Hours {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    file: PathBuf,
    /// By the seconds at which an hour begins.
    before: BTreeMap<u64, u64>,
}

type Counts = BTreeMap<u64, u64>;

impl Hours {
    /// What the file of this folder has. One that cannot be read is not worth more than a warning.
    pub(crate) fn open(data_dir: &Path) -> Self {
        let file = data_dir.join("hours");
        let before = read(&file).unwrap_or_else(|error| {
            tracing::warn!("the chart begins anew: {}: {error}", file.display());
            Counts::new()
        });
        Self {
            shared: Arc::new(Shared { file, before }),
        }
    }

    /// The beginnings of the last hours with mutations and how many there were, with those since the start.
    pub(crate) fn counts(
        &self,
        now: SystemTime,
        since_start: impl IntoIterator<Item = (SystemTime, u64)>,
    ) -> Vec<(SystemTime, u64)> {
        let merged = merge(&self.shared.before, now, since_start).into_iter();
        merged
            .map(|(hour, count)| (UNIX_EPOCH + Duration::from_secs(hour), count))
            .collect()
    }

    /// Writes the file now and then, until `stop`.
    pub(crate) async fn keep(self, ready: Arc<Ready>, stop: CancellationToken) {
        let mut appended = 0;
        while stop.run_until_cancelled(sleep(INTERVAL)).await.is_some() {
            let now = ready.stats().appended;
            if now != appended {
                appended = now;
                self.save(&ready).await;
            }
        }
    }

    /// Writes the file, if it is this process that writes the log.
    pub(crate) async fn save(&self, ready: &Ready) {
        if !matches!(ready.source, Source::Leader { .. }) {
            return;
        }
        let (shared, since_start) = (Arc::clone(&self.shared), ready.stats().hours);
        let saving = spawn_blocking(move || {
            let counts = merge(&shared.before, SystemTime::now(), since_start);
            replace_file(&shared.file, &Lines(&counts).to_string())
        });
        let saved = saving
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Err(error) = saved {
            let file = self.shared.file.display();
            tracing::warn!("the chart will not survive a restart: {file}: {error}");
        }
    }
}

fn merge(
    before: &Counts,
    now: SystemTime,
    since_start: impl IntoIterator<Item = (SystemTime, u64)>,
) -> Counts {
    let seconds = |time: SystemTime| {
        time.duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs()
    };
    let newest = seconds(now) / SECONDS * SECONDS;
    let oldest = newest.saturating_sub((HOURS - 1) * SECONDS);
    let mut counts = before.clone();
    for (hour, count) in since_start {
        let all = counts.entry(seconds(hour)).or_default();
        *all = all.saturating_add(count);
    }
    counts.retain(|hour, count| (oldest..=newest).contains(hour) && *count > 0);
    counts
}

/// Nothing if there is no file.
fn read(file: &Path) -> io::Result<Counts> {
    let mut text = String::new();
    match fs::File::open(file) {
        Ok(file) => file.take(MAX_FILE).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Counts::new()),
        Err(error) => return Err(error),
    };
    let line = |line: &str| {
        let (hour, count) = line.split_once(' ')?;
        let hour: u64 = hour.parse().ok()?;
        hour.is_multiple_of(SECONDS)
            .then_some((hour, count.parse().ok()?))
    };
    let counts: Option<Counts> = text.lines().map(line).collect();
    counts.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not of this program"))
}

/// An hour a line: the seconds at which it begins, and the count.
struct Lines<'a>(&'a Counts);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.0.iter();
        lines.try_for_each(|(hour, count)| {
            write!(f, "{hour} {count}")?;
            f.write_char('\n')
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(hour * SECONDS)
    }

    #[test]
    fn counts_of_before_and_since_are_added_and_old_ones_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hours");
        assert!(read(&file).unwrap().is_empty());
        let old = Counts::from([
            (1000 * SECONDS, 1),
            (1053 * SECONDS, 2),
            (1099 * SECONDS, 3),
        ]);
        replace_file(&file, &Lines(&old).to_string()).unwrap();
        let hours = Hours::open(folder.path());
        let counts = hours.counts(
            at(1100) + Duration::from_secs(59),
            [(at(1099), 4), (at(1100), 5)],
        );
        assert_eq!(counts, [(at(1053), 2), (at(1099), 7), (at(1100), 5)]);
    }

    #[test]
    fn a_file_of_something_else_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["x", "3600", "3601 5\n", "3600 -1\n", "3600 1\n\n"] {
            fs::write(folder.path().join("hours"), text).unwrap();
            assert!(read(&folder.path().join("hours")).is_err(), "{text:?}");
            let hours = Hours::open(folder.path());
            assert!(hours.counts(at(2), []).is_empty());
        }
        fs::write(folder.path().join("hours"), [0xff; 9]).unwrap();
        assert!(Hours::open(folder.path()).shared.before.is_empty());
    }
}
