//! Git's objects and refs, in memory and, if wanted, in a bare repository.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest as _, Sha1};

/// The files of a commit by path, whole.
pub(super) type Files = BTreeMap<String, String>;

/// What the fake has to know of a commit.
#[derive(Debug, Clone)]
pub(super) struct Commit {
    pub(super) parents: Vec<String>,
    pub(super) author: String,
    pub(super) author_email: String,
    pub(super) committer: String,
    pub(super) committer_email: String,
    /// Unix seconds.
    pub(super) time: i64,
    pub(super) message: String,
    pub(super) files: Files,
}

impl Commit {
    pub(super) fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

/// A repository.
#[derive(Debug, Default)]
pub(super) struct Repository {
    dir: Option<PathBuf>,
    refs: BTreeMap<String, String>,
    commits: BTreeMap<String, Commit>,
}

impl Repository {
    pub(super) fn create(dir: Option<PathBuf>) -> io::Result<Self> {
        if let Some(dir) = &dir {
            for folder in ["objects/info", "objects/pack", "refs/heads"] {
                fs::create_dir_all(dir.join(folder))?;
            }
            fs::write(dir.join("HEAD"), "ref: refs/heads/master\n")?;
            let config = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n";
            fs::write(dir.join("config"), config)?;
        }
        Ok(Self {
            dir,
            ..Self::default()
        })
    }

    pub(super) fn refs(&self) -> &BTreeMap<String, String> {
        &self.refs
    }

    pub(super) fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    pub(super) fn get(&self, hash: &str) -> Option<&Commit> {
        self.commits.get(hash)
    }

    /// Makes a commit and returns its hash.
    pub(super) fn commit(&mut self, commit: Commit) -> io::Result<String> {
        let tree = self.tree(
            commit
                .files
                .iter()
                .map(|(path, text)| (path.as_str(), text.as_str())),
        )?;
        let mut text = format!("tree {tree}\n");
        for parent in &commit.parents {
            text += &format!("parent {parent}\n");
        }
        let Commit {
            author,
            author_email,
            committer,
            committer_email,
            time,
            message,
            ..
        } = &commit;
        text += &format!("author {author} <{author_email}> {time} +0000\n");
        text += &format!("committer {committer} <{committer_email}> {time} +0000\n");
        text += &format!("\n{message}");
        let hash = self.object("commit", text.as_bytes())?;
        self.commits.insert(hash.clone(), commit);
        Ok(hash)
    }

    pub(super) fn set_ref(&mut self, name: &str, hash: &str) -> io::Result<()> {
        if let Some(dir) = &self.dir {
            replace(&dir.join(name), format!("{hash}\n").as_bytes())?;
        }
        self.refs.insert(name.to_owned(), hash.to_owned());
        Ok(())
    }

    pub(super) fn delete_ref(&mut self, name: &str) -> io::Result<()> {
        if let Some(dir) = &self.dir {
            match fs::remove_file(dir.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.refs.remove(name);
        Ok(())
    }

    /// Writes the tree of `files`, which are sorted by path.
    fn tree<'a>(&self, files: impl Iterator<Item = (&'a str, &'a str)>) -> io::Result<String> {
        let mut blobs = Vec::new();
        let mut folders: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        for (path, text) in files {
            match path.split_once('/') {
                Some((folder, rest)) => folders.entry(folder).or_default().push((rest, text)),
                None => blobs.push((path, text)),
            }
        }
        // Git sorts folders as if their names ended with a slash.
        let mut entries = BTreeMap::new();
        for (name, text) in blobs {
            let hash = self.object("blob", text.as_bytes())?;
            entries.insert(name.to_owned(), ("100644", name, hash));
        }
        for (name, files) in folders {
            let hash = self.tree(files.into_iter())?;
            entries.insert(format!("{name}/"), ("40000", name, hash));
        }
        let mut content = Vec::new();
        for (mode, name, hash) in entries.values() {
            content.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            content.extend((0..hash.len()).step_by(2).map(|at| {
                u8::from_str_radix(&hash[at..at + 2], 16).expect("a hash is hexadecimal")
            }));
        }
        self.object("tree", &content)
    }

    fn object(&self, kind: &str, content: &[u8]) -> io::Result<String> {
        let head = format!("{kind} {}\0", content.len());
        let hash = hash_of(&[head.as_bytes(), content]);
        if let Some(dir) = &self.dir {
            let path = dir.join("objects").join(&hash[..2]).join(&hash[2..]);
            if !path.exists() {
                let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
                zlib.write_all(head.as_bytes())?;
                zlib.write_all(content)?;
                replace(&path, &zlib.finish()?)?;
            }
        }
        Ok(hash)
    }
}

/// The SHA-1 of the parts, in hexadecimal digits.
pub(super) fn hash_of(parts: &[&[u8]]) -> String {
    let mut sha = Sha1::new();
    for part in parts {
        sha.update(part);
    }
    let digits = sha.finalize();
    digits.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file so that readers see all of it or what was there before.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().expect("it lies in a repository");
    fs::create_dir_all(folder)?;
    // No ref and no object is called so.
    let new = folder.join("..new.lock");
    fs::write(&new, content)?;
    fs::rename(&new, path)
}

/// Whether git takes it for a name of a ref, and it stays inside its repository.
pub(super) fn is_ref_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.to_ascii_lowercase().ends_with(".lock")
    };
    let is_char = |c: char| !c.is_control() && !" ~^:?*[\\".contains(c);
    name.split('/').all(is_part)
        && name.chars().all(is_char)
        && !name.contains("..")
        && !name.contains("@{")
}

/// Whether it can be the path of a file in a tree.
pub(super) fn is_file_path(path: &str) -> bool {
    let is_part = |part: &str| {
        !matches!(part, "" | "." | "..")
            && !part.eq_ignore_ascii_case(".git")
            && !part.contains('\0')
    };
    path.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_git() {
        let mut repository = Repository::create(None).unwrap();
        let files = [("a-b", "1\n"), ("a.txt", "2\n"), ("a/x", "3\n")];
        // `git mktree` of these three says so.
        assert_eq!(
            repository.tree([].into_iter()).unwrap(),
            "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
        );
        assert_eq!(
            repository.object("blob", b"1\n").unwrap(),
            "d00491fd7e5bb6fa28c517a0bb32b8b506539d4d"
        );
        let hash = repository.commit(Commit {
            parents: Vec::new(),
            author: "A".to_owned(),
            author_email: "a@example.org".to_owned(),
            committer: "C".to_owned(),
            committer_email: "c@example.org".to_owned(),
            time: 1_257_894_000,
            message: "Subject\n\nBody\n".to_owned(),
            files: (files.iter())
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
                .collect(),
        });
        assert_eq!(hash.unwrap(), "ac3cd4432ccc51d30830c8458628626ca7fdbc4c");
    }

    #[test]
    fn names_that_would_leave_the_repository_are_refused() {
        for name in [
            "", "/", "a/../b", "../b", "a//b", ".a", "a.lock", "a b", "a\n", "a/",
        ] {
            assert!(!is_ref_name(name), "{name:?}");
        }
        for path in ["", "/a", "a/../b", ".git/config", "a//b", "."] {
            assert!(!is_file_path(path), "{path:?}");
        }
        assert!(is_ref_name("refs/heads/dev.x/y+z") && is_file_path("a b/.gitignore"));
    }
}
