//! A progress bar on a terminal, for work that takes long enough to wonder about.

use std::io::{self, IsTerminal as _, Read};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Work that takes less shows no bar.
const SHOWN_AFTER: Duration = Duration::from_millis(700);

/// Counts the bytes read from a source, and shows them when it is worth it.
pub(crate) struct Progress<R> {
    source: R,
    read: u64,
    /// Length of the source, if it is a file.
    len: Option<u64>,
    bar: Bar,
}

enum Bar {
    /// No terminal, or none wanted.
    Never,
    /// Shown from that time on.
    From(Instant, String),
    Shown(ProgressBar),
}

impl<R: Read> Progress<R> {
    pub(crate) fn new(source: R, len: Option<u64>, name: &str, wanted: bool) -> Self {
        let bar = if wanted && io::stderr().is_terminal() {
            Bar::From(Instant::now() + SHOWN_AFTER, name.to_owned())
        } else {
            Bar::Never
        };
        Self {
            source,
            read: 0,
            len,
            bar,
        }
    }

    /// Bytes read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read
    }

    fn show(&mut self) {
        match &self.bar {
            Bar::From(when, name) if Instant::now() >= *when => {
                let bar = match self.len {
                    Some(len) => ProgressBar::new(len).with_style(style(
                        "{msg} [{bar:30}] {percent:>3}% {bytes_per_sec} {eta} left",
                    )),
                    None => {
                        ProgressBar::no_length().with_style(style("{msg} {bytes} {bytes_per_sec}"))
                    }
                };
                self.bar = Bar::Shown(bar.with_message(name.clone()).with_position(self.read));
            }
            Bar::Shown(bar) => bar.set_position(self.read),
            Bar::Never | Bar::From(..) => {}
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates above are valid")
        .progress_chars("=> ")
}

impl<R: Read> Read for Progress<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.source.read(buf)?;
        self.read += len as u64;
        self.show();
        Ok(len)
    }
}

impl<R> Drop for Progress<R> {
    fn drop(&mut self) {
        if let Bar::Shown(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
