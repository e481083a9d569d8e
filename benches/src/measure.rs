//! Runs a subject as a process and keeps what it cost.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use flate2::read::MultiGzDecoder;
use wait4::Wait4 as _;

use crate::data;
use crate::subject::Subject;

/// What one run cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// From before the start to after the end.
    pub(crate) wall: Duration,
    /// Of all its threads, in the kernel too.
    pub(crate) cpu: Duration,
    /// The most memory that was resident at once, in bytes.
    pub(crate) peak: u64,
}

/// The runs of one subject.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) subject: Subject,
    /// Length of what it wrote, in bytes.
    pub(crate) output_len: u64,
    /// In the order they happened; never empty.
    pub(crate) runs: Vec<Run>,
}

impl Measured {
    pub(crate) fn wall(&self) -> f64 {
        median(self.runs.iter().map(|run| run.wall.as_secs_f64()))
    }

    pub(crate) fn cpu(&self) -> f64 {
        median(self.runs.iter().map(|run| run.cpu.as_secs_f64()))
    }

    pub(crate) fn peak(&self) -> f64 {
        median(self.runs.iter().map(|run| run.peak as f64))
    }

    /// How far the slowest run was from the fastest, as a part of the median.
    pub(crate) fn spread(&self) -> f64 {
        let walls = || self.runs.iter().map(|run| run.wall.as_secs_f64());
        let (slowest, fastest) = (
            walls().fold(0.0, f64::max),
            walls().fold(f64::INFINITY, f64::min),
        );
        (slowest - fastest) / self.wall()
    }
}

/// What is measured: whether the input is compressed or the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Write,
    Read,
}

/// The place where subjects put their output.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    runs: u32,
}

impl Bench {
    pub(crate) fn new(runs: u32) -> anyhow::Result<Self> {
        // In memory, where the system has such a place, so that no disk is measured.
        let shm = Path::new("/dev/shm");
        let dir = if shm.is_dir() {
            tempfile::tempdir_in(shm)
        } else {
            tempfile::tempdir()
        };
        Ok(Self {
            dir: dir.context("cannot make a directory for the outputs")?,
            runs,
        })
    }

    /// A file among the outputs that stays until this value is dropped.
    pub(crate) fn keep(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Checks each subject's output on `input`, whose uncompressed bytes have this SHA-256, then measures them in turns.
    pub(crate) fn measure(
        &self,
        subjects: &[Subject],
        direction: Direction,
        input: &Path,
        sha256: &str,
    ) -> anyhow::Result<Vec<Measured>> {
        let mut measured = Vec::with_capacity(subjects.len());
        for subject in subjects {
            // The first run warms up: its time does not count.
            self.run(subject, input, self.output_file()?)?;
            let output_len = self.check(subject, direction, sha256)?;
            measured.push(Measured {
                subject: subject.clone(),
                output_len,
                runs: Vec::new(),
            });
        }
        // In turns, so that what disturbs the machine for a while disturbs all alike; starting with another one each time,
        // so that none always runs behind the same one.
        for round in 0..self.runs as usize {
            eprintln!("  run {} of {}", round + 1, self.runs);
            let len = measured.len();
            for at in 0..len {
                let this = &mut measured[(round + at) % len];
                let output = match direction {
                    Direction::Write => self.output_file()?,
                    // To keep so much takes a file system longer than the fastest readers take to make it.
                    Direction::Read => Stdio::null(),
                };
                this.runs.push(self.run(&this.subject, input, output)?);
            }
        }
        Ok(measured)
    }

    /// Peak memory of a process that does nothing, measured as the others are: what this program itself adds.
    pub(crate) fn floor(&self) -> anyhow::Result<u64> {
        let nothing = Subject::nothing();
        Ok(self
            .run(&nothing, Path::new("/dev/null"), Stdio::null())?
            .peak)
    }

    fn run(&self, subject: &Subject, input: &Path, output: Stdio) -> anyhow::Result<Run> {
        let complaints = File::create(self.complaints())?;
        let mut command = subject.command(input);
        command
            .stdin(File::open(input)?)
            .stdout(output)
            .stderr(Stdio::from(complaints));
        let began = Instant::now();
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let used = child
            .wait4()
            .with_context(|| format!("cannot wait for {command:?}"))?;
        let wall = began.elapsed();
        if !used.status.success() {
            let said = fs::read_to_string(self.complaints())?;
            bail!("{command:?} failed, {}: {}", used.status, said.trim());
        }
        Ok(Run {
            wall,
            cpu: used.rusage.utime + used.rusage.stime,
            peak: used.rusage.maxrss,
        })
    }

    /// Checks the output of the last run and returns its length.
    fn check(&self, subject: &Subject, direction: Direction, sha256: &str) -> anyhow::Result<u64> {
        let output = File::open(self.output())?;
        let len = output.metadata()?.len();
        let found = match direction {
            Direction::Write => data::sha256(MultiGzDecoder::new(io::BufReader::new(output))),
            Direction::Read => data::sha256(output),
        }
        .with_context(|| format!("what {subject} wrote cannot be read"))?;
        ensure!(
            found == sha256,
            "what {subject} wrote is not its input: SHA-256 {found}, not {sha256}"
        );
        Ok(len)
    }

    /// The file for a subject's output, emptied.
    fn output_file(&self) -> anyhow::Result<Stdio> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.output())?;
        Ok(file.into())
    }

    fn output(&self) -> PathBuf {
        self.keep("output")
    }

    fn complaints(&self) -> PathBuf {
        self.keep("stderr")
    }
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Role;

    fn shell(script: &str) -> Subject {
        Subject::new(Role::Rival, "sh", "", 1, "sh", &["-c", script])
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }

    #[test]
    fn a_copy_is_measured_and_checked() {
        let bench = Bench::new(2).unwrap();
        let input = bench.keep("input");
        fs::write(&input, "abc").unwrap();
        let sha256 = data::sha256(&b"abc"[..]).unwrap();
        let subjects = [shell("cat"), shell("head -c 100")];
        let measured = bench
            .measure(&subjects, Direction::Read, &input, &sha256)
            .unwrap();
        assert_eq!(measured.len(), 2);
        for this in measured {
            assert_eq!((this.output_len, this.runs.len()), (3, 2));
            assert!(this.wall() > 0.0 && this.peak() > 0.0, "{this:?}");
        }
    }

    #[test]
    fn wrong_output_and_failures_end_the_measurement() {
        let bench = Bench::new(1).unwrap();
        let input = bench.keep("input");
        fs::write(&input, "abc").unwrap();
        let sha256 = data::sha256(&b"abc"[..]).unwrap();
        let measure = |script| {
            bench
                .measure(&[shell(script)], Direction::Read, &input, &sha256)
                .unwrap_err()
                .to_string()
        };
        assert!(measure("tr a b").contains("is not its input"));
        assert!(measure("echo no room >&2; exit 3").ends_with("exit status: 3: no room"));
        let error = bench
            .measure(&[shell("cat")], Direction::Write, &input, &sha256)
            .unwrap_err();
        assert!(
            error.to_string().ends_with("wrote cannot be read"),
            "{error}"
        );
    }
}
