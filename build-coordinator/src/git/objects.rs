use std::fmt::Write as _;
use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::command::feed;
use super::{GitError, Repository, commit};
use crate::model::{Commit, Revision};

/// Bytes of a commit that are read; its message is cut to less.
const MAX_COMMIT: u64 = 256 << 10;
/// The longest line that git answers with: a name that we asked for, and a word.
const MAX_LINE: u64 = 8 << 10;

const COMMAND: &str = "cat-file";

/// What `git cat-file --batch` says of a name.
struct Object<'a> {
    name: &'a str,
    kind: &'a str,
    /// Its first bytes.
    bytes: &'a [u8],
}

impl Repository {
    /// What these commits say, in their order.
    ///
    /// # Errors
    ///
    /// [`GitError::NoCommit`] if one is not there; what git says.
    pub async fn commits(&self, revisions: &[Revision]) -> Result<Vec<Commit>, GitError> {
        let mut names = String::new();
        for revision in revisions {
            let _ = writeln!(names, "{revision}");
        }
        let mut commits = Vec::with_capacity(revisions.len());
        self.objects(&names, revisions.len(), MAX_COMMIT, |at, object| {
            let revision = &revisions[at];
            let unexpected = || GitError::Output { command: COMMAND };
            let object = object
                .filter(|object| object.kind == "commit")
                .ok_or_else(|| GitError::NoCommit(revision.clone()))?;
            if object.name != revision.as_str() {
                return Err(unexpected());
            }
            commits.push(commit::parse(revision.clone(), object.bytes).ok_or_else(unexpected)?);
            Ok(())
        })
        .await?;
        Ok(commits)
    }

    /// The commit that has this name, or the only one whose name begins so: hexadecimal digits.
    pub(super) async fn commit_of(&self, name: &str) -> Result<Option<Commit>, GitError> {
        let mut found = None;
        let name = format!("{name}^{{commit}}\n");
        self.objects(&name, 1, MAX_COMMIT, |_, object| {
            let unexpected = || GitError::Output { command: COMMAND };
            if let Some(object) = object {
                let revision = object.name.parse().map_err(|_| unexpected())?;
                found = Some(commit::parse(revision, object.bytes).ok_or_else(unexpected)?);
            }
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// Files of a revision, by their paths from its top folder: of each the first `max` bytes. `None` for what is no file there, and for
    /// a path with control characters. A symbolic link is where it leads, as text.
    ///
    /// # Errors
    ///
    /// [`GitError::NoCommit`] if the cache has no such revision; what git says.
    pub async fn files(
        &self,
        revision: &Revision,
        paths: &[&str],
        max: u64,
    ) -> Result<Vec<Option<Vec<u8>>>, GitError> {
        if !self.has(revision).await? {
            return Err(GitError::NoCommit(revision.clone()));
        }
        let mut names = String::new();
        let mut asked = Vec::new();
        for (at, path) in paths.iter().enumerate() {
            // Each name is a line of its own, and answered by one.
            if path.len() < 4096 && !path.contains(|c: char| c.is_control()) {
                let _ = writeln!(names, "{revision}:{path}");
                asked.push(at);
            }
        }
        let mut files = vec![None; paths.len()];
        self.objects(&names, asked.len(), max, |at, object| {
            files[asked[at]] = object
                .filter(|object| object.kind == "blob")
                .map(|object| object.bytes.to_vec());
            Ok(())
        })
        .await?;
        Ok(files)
    }

    /// Asks for objects by `count` names, a line each, and gives `take` the answers in order, of each object at most `max` bytes; `None`
    /// for one that is not there.
    async fn objects(
        &self,
        names: &str,
        count: usize,
        max: u64,
        mut take: impl FnMut(usize, Option<Object<'_>>) -> Result<(), GitError>,
    ) -> Result<(), GitError> {
        if count == 0 {
            return Ok(());
        }
        let limit = self.inner.config.command_limit;
        let read = async {
            let mut running = self
                .command(COMMAND, ["--batch", "--buffer"])
                .with_stdin()
                .start()?;
            let (stdin, stdout) = (running.stdin.take(), running.stdout.take());
            let mut taken = Ok(());
            let work = async {
                let (fed, ()) = tokio::join!(feed(stdin, names.as_bytes()), async {
                    let Some(stdout) = stdout else { return };
                    let mut stdout = BufReader::new(stdout);
                    let mut buffers = (Vec::new(), Vec::new());
                    for at in 0..count {
                        taken = match read_object(&mut stdout, max, &mut buffers).await {
                            Ok(object) => take(at, object),
                            Err(error) => Err(error),
                        };
                        if taken.is_err() {
                            return;
                        }
                    }
                });
                fed
            };
            let complaint = running.with_complaint(work).await?;
            taken?;
            running.finish(&complaint).await
        };
        tokio::time::timeout(limit, read)
            .await
            .map_err(|_| GitError::TimedOut {
                command: COMMAND,
                limit,
            })?
    }
}

/// Reads the next answer: `<name> <kind> <size>`, the object and a line feed, or a line that ends in `missing`
/// or, for the beginning of several names, in `ambiguous`.
async fn read_object<'a>(
    stdout: &mut (impl AsyncBufRead + Unpin),
    max: u64,
    (line, object): &'a mut (Vec<u8>, Vec<u8>),
) -> Result<Option<Object<'a>>, GitError> {
    let pipe = |source: io::Error| GitError::Pipe {
        command: COMMAND,
        source,
    };
    let unexpected = || GitError::Output { command: COMMAND };
    line.clear();
    (&mut *stdout)
        .take(MAX_LINE)
        .read_until(b'\n', line)
        .await
        .map_err(pipe)?;
    let text = std::str::from_utf8(line).map_err(|_| unexpected())?;
    let text = text.strip_suffix('\n').ok_or_else(unexpected)?;
    if text.ends_with(" missing") || text.ends_with(" ambiguous") {
        return Ok(None);
    }
    let mut fields = text.split(' ');
    let (Some(name), Some(kind), Some(size), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(unexpected());
    };
    let size: u64 = size.parse().map_err(|_| unexpected())?;
    object.clear();
    let kept = size.min(max);
    (&mut *stdout)
        .take(kept)
        .read_to_end(object)
        .await
        .map_err(pipe)?;
    // The rest, and the line feed behind it.
    let mut rest = (&mut *stdout).take(size - kept + 1);
    let skipped = tokio::io::copy(&mut rest, &mut tokio::io::sink())
        .await
        .map_err(pipe)?;
    if object.len() as u64 + skipped != size + 1 {
        return Err(unexpected());
    }
    Ok(Some(Object {
        name,
        kind,
        bytes: object,
    }))
}
