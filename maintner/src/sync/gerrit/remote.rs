use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::hash::GitHash;
use crate::leader::Round;
use crate::sync::SyncError;
use crate::sync::git::is_followed;
use crate::sync::objects::Objects;
use crate::sync::process::{Git, Start, Stop};

/// Refs that a project may show.
const MAX_REFS: usize = 8 << 20;
/// The ref that leads to what the project has too.
const KEPT: &str = "refs/kept/tips";
/// Git knows it without having it.
const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
/// Packs after which they are put together; as many as git itself takes for enough.
const MAX_PACKS: usize = 50;
/// Age of a lock that nobody has any more, as it takes milliseconds to write a ref.
const LOCKED: Duration = Duration::from_secs(60);
/// Age of files that no fetch has any more.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// A project elsewhere, and the folder for what is fetched of it.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    pub(super) url: String,
    pub(super) dir: PathBuf,
    /// What git may speak with it.
    pub(super) protocols: &'static str,
    pub(super) limit: Duration,
    pub(super) cookie_file: Option<PathBuf>,
}

/// What a ref leads to.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Listed {
    pub(super) object: GitHash,
    /// What a tag tags.
    peeled: Option<GitHash>,
}

impl Listed {
    pub(super) fn commit(&self) -> GitHash {
        self.peeled.unwrap_or(self.object)
    }
}

/// A remote, for a round that can be stopped.
#[derive(Debug)]
pub(super) struct Session<'a> {
    remote: &'a Remote,
    stop: &'a Stop,
    /// What the ref leads to now.
    kept: BTreeSet<GitHash>,
}

impl<'a> Session<'a> {
    pub(super) fn new(remote: &'a Remote, stop: &'a Stop) -> Self {
        Self {
            remote,
            stop,
            kept: BTreeSet::new(),
        }
    }

    /// Makes the folder, if there is none.
    pub(super) fn prepare(&self) -> Result<(), SyncError> {
        let dir = &self.remote.dir;
        if dir.join("HEAD").exists() || dir.join(".git").exists() {
            return Ok(());
        }
        fs::create_dir_all(dir).map_err(|source| SyncError::Git {
            dir: dir.clone(),
            source,
        })?;
        self.run("", &["init", "--quiet", "--bare", "--template="], "")
    }

    /// The refs that the project has, of those that are followed. The old protocol tells them in one request.
    pub(super) fn list(&self) -> Result<BTreeMap<String, Listed>, SyncError> {
        let Remote { url, protocols, .. } = self.remote;
        let args = ["-c", "protocol.version=0", "ls-remote", "--quiet", url];
        let mut git = self.start(protocols, &args)?;
        git.close_stdin();
        let mut refs: BTreeMap<String, Listed> = BTreeMap::new();
        let mut line = Vec::new();
        while git.read_line(&mut line)? {
            let Ok(text) = str::from_utf8(&line) else {
                continue; // what no mutation can name
            };
            let fields = text.split_once('\t');
            let parsed = fields.and_then(|(hash, name)| Some((hash.parse().ok()?, name)));
            let Some((hash, name)) = parsed else {
                return Err(git.strange(text));
            };
            if let Some(tag) = name.strip_suffix("^{}") {
                if let Some(listed) = refs.get_mut(tag) {
                    listed.peeled = Some(hash);
                }
            } else if is_followed(name) {
                if refs.len() == MAX_REFS {
                    return Err(git.strange(&format!("more than {MAX_REFS} refs")));
                }
                let (object, peeled) = (hash, None);
                refs.insert(name.to_owned(), Listed { object, peeled });
            }
        }
        git.end()?;
        Ok(refs)
    }

    /// Brings objects with all that they come from. Gives those that the project does not have any more.
    pub(super) fn fetch(
        &self,
        mut objects: BTreeSet<GitHash>,
        round: &mut Round,
    ) -> Result<BTreeSet<GitHash>, SyncError> {
        let args = [
            // Packs alone, as those are put together without a look at what leads to them.
            "-c",
            "fetch.unpackLimit=1",
            "-c",
            "fetch.writeCommitGraph=false",
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            "--stdin",
            &self.remote.url,
        ];
        let mut gone = BTreeSet::new();
        while !objects.is_empty() {
            let wanted: String = objects.iter().map(|hash| format!("{hash}\n")).collect();
            round.requests += 1;
            let said = match self.run(self.remote.protocols, &args, &wanted) {
                Ok(()) => break,
                Err(SyncError::Failed { said, .. }) => said,
                Err(error) => return Err(error),
            };
            // It refuses what moved since it was listed, by name, some or all at once.
            let words = said.split(|c: char| !c.is_ascii_hexdigit());
            let refused: BTreeSet<_> = words
                .filter_map(|word| GitHash::from_hex(word.as_bytes()))
                .filter(|hash| objects.contains(hash))
                .collect();
            if refused.is_empty() || self.stop.is_stopped() {
                let dir = self.remote.dir.clone();
                return Err(SyncError::Failed { dir, said });
            }
            objects.retain(|hash| !refused.contains(hash));
            gone.extend(refused);
        }
        Ok(gone)
    }

    /// Makes a commit of ours that has these as parents, of those that are here, the only one that a ref leads to. So the next fetch tells
    /// the server that they are here, and looks no further than to them for what it may lack: which it would do with every ref, so that a
    /// few are faster than all that was ever fetched.
    ///
    /// Git goes from the newest commits to the oldest. Ours is newer than all others, so that its parents are known for what they are
    /// before those that come from them.
    pub(super) fn keep(&mut self, tips: BTreeSet<GitHash>) -> Result<(), SyncError> {
        if tips == self.kept {
            return Ok(());
        }
        let all: Vec<_> = tips.iter().copied().collect();
        let mut objects = Objects::open(self.starting(""))?;
        let here = objects.commits(&all)?;
        objects.end()?;
        self.kept = tips;
        if here.is_empty() {
            return Ok(());
        }
        let parents: String = here.iter().map(|hash| format!("parent {hash}\n")).collect();
        // In the year 2100.
        let who = "maintner <maintner@localhost> 4102444800 +0000";
        let object = format!("tree {EMPTY_TREE}\n{parents}author {who}\ncommitter {who}\n\nkept\n");
        // On the disk before the ref that leads to it: git reads no repository with a ref to nothing.
        let hash = [
            "-c",
            "core.fsync=committed",
            "hash-object",
            "-t",
            "commit",
            "-w",
            "--stdin",
        ];
        let kept = self.ask(&hash, &object)?;
        let update = ["update-ref", KEPT, &kept];
        match self.run("", &update, "") {
            Err(SyncError::Failed { .. }) if self.mend_ref() => self.run("", &update, ""),
            updated => updated,
        }
    }

    /// Removes what a kill or a crash leaves of the ref, which git would not: a lock that nobody has, a file without a hash. Tells whether
    /// there was any.
    fn mend_ref(&self) -> bool {
        let dir = &self.remote.dir;
        let mut is_mended = false;
        for dir in [dir.clone(), dir.join(".git")] {
            let (file, lock) = (dir.join(KEPT), dir.join(format!("{KEPT}.lock")));
            if age(&lock) > LOCKED {
                is_mended |= fs::remove_file(lock).is_ok();
            }
            let is_broken = |text: Vec<u8>| GitHash::from_hex(text.trim_ascii()).is_none();
            if fs::read(&file).is_ok_and(is_broken) {
                is_mended |= fs::remove_file(file).is_ok();
            }
        }
        is_mended
    }

    /// Puts packs together where there are many, whatever leads to their objects: none is ever removed. What gits that were killed left
    /// behind is, after a day.
    pub(super) fn maintain(&self) -> Result<(), SyncError> {
        let dir = &self.remote.dir;
        let packs = ["objects/pack", ".git/objects/pack"].map(|packs| dir.join(packs));
        let Some(files) = packs.iter().find_map(|packs| fs::read_dir(packs).ok()) else {
            return Ok(());
        };
        let mut kept = HashSet::new();
        let mut packs = Vec::new();
        for file in files.flatten().map(|file| file.path()) {
            match file.extension().and_then(OsStr::to_str) {
                Some("pack") => packs.push(file),
                Some("keep") if !remove_stale(&file) => {
                    kept.insert(file.with_extension("pack"));
                }
                None => {
                    remove_stale(&file);
                }
                _ => {}
            }
        }
        // Git does not touch those that are to be kept.
        packs.retain(|pack| !kept.contains(pack));
        if packs.len() <= MAX_PACKS {
            return Ok(());
        }
        self.run("", &["repack", "-d", "--quiet", "--geometric=2"], "")
    }

    fn start(&self, protocols: &str, args: &[&str]) -> Result<Git, SyncError> {
        let cookies = self.remote.cookie_file.as_ref();
        let cookies = cookies.map(|file| format!("http.cookieFile={}", file.display()));
        let mut all = vec![
            // A connection on which nothing comes for a minute is given up.
            "-c",
            "http.lowSpeedLimit=1",
            "-c",
            "http.lowSpeedTime=60",
            "-c",
            "core.hooksPath=/dev/null",
        ];
        if let Some(cookies) = &cookies {
            all.extend(["-c", cookies, "-c", "http.saveCookies=false"]);
        }
        all.extend(args);
        Git::start(self.starting(protocols), &all)
    }

    fn starting<'b>(&'b self, protocols: &'b str) -> Start<'b> {
        Start {
            dir: &self.remote.dir,
            limit: self.remote.limit,
            stop: self.stop,
            protocols,
        }
    }

    /// Runs a command that answers nothing.
    fn run(&self, protocols: &str, args: &[&str], input: &str) -> Result<(), SyncError> {
        let mut git = self.start(protocols, args)?;
        git.write(input.as_bytes())?;
        git.close_stdin();
        git.end()
    }

    /// Runs a command for the line that it answers.
    fn ask(&self, args: &[&str], input: &str) -> Result<String, SyncError> {
        let mut git = self.start("", args)?;
        git.write(input.as_bytes())?;
        git.close_stdin();
        let mut line = Vec::new();
        git.read_line(&mut line)?;
        git.end()?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

/// Removes a file that a fetch has only while it runs, if it is old. Tells whether it is gone.
fn remove_stale(file: &Path) -> bool {
    let is_of_a_fetch = || match file.extension() {
        None => {
            let name = file.file_name().and_then(OsStr::to_str);
            name.is_some_and(|name| name.starts_with("tmp_"))
        }
        Some(_) => fs::read(file).is_ok_and(|text| text.starts_with(b"fetch-pack ")),
    };
    // One that cannot be removed is tried again.
    age(file) > STALE && is_of_a_fetch() && fs::remove_file(file).is_ok()
}

/// How long ago a file was written; nothing if there is none.
fn age(file: &Path) -> Duration {
    let modified = fs::metadata(file).and_then(|file| file.modified());
    let age = modified.ok().and_then(|modified| modified.elapsed().ok());
    age.unwrap_or_default()
}
