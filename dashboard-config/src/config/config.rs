use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{self, Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::validate::validate;
use super::{Change, File};
use crate::diagnostic::{Collector, Diagnostic, Diagnostics, Place, SourceFile};
use crate::model::{
    Builder, Environment, Host, Mode, Notify, Policy, Repository, Retention, TestPolicy,
};
use crate::record::{Field as _, Places, Reader};

/// The largest file that is read, in bytes.
const LARGEST_FILE: u64 = 4 << 20;
/// The most files that are read together.
const MOST_FILES: usize = 1000;

/// A configuration without errors.
///
/// It does not change: to change it, read another and put it in its place, behind an `Arc` say. What runs by the old one keeps it.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) file: File,
    warnings: Vec<Diagnostic>,
}

impl Config {
    /// Reads files, and of directories all files in them that end in `.toml`, in the order of their names.
    ///
    /// The files are one configuration: a table that stands in two of them is an error. A repository's `clone_url` that begins with `.` is a path from the
    /// directory of its file, and absolute afterwards.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, not only the first thing. A file that is missing, larger than 4 MiB or not UTF-8 is among it, as are more than 1000 files.
    pub fn load<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, Diagnostics> {
        let mut found = Collector::default();
        let mut files = Vec::new();
        for path in paths {
            let path = path.as_ref();
            match Self::files(path) {
                Ok(paths) => files.extend(paths),
                Err(error) => unreadable(&mut found, path, &error),
            }
        }
        if files.len() > MOST_FILES {
            found.error(
                None,
                format!("{} files are more than {MOST_FILES}", files.len()),
                "name the directory that holds the configuration only",
            );
            return Err(found.finish());
        }
        let mut sources = Vec::new();
        for path in files {
            match read(&path) {
                Ok(text) => sources.push((path, text)),
                Err(error) => unreadable(&mut found, &path, &error),
            }
        }
        let names: Vec<String> = sources
            .iter()
            .map(|(path, _)| path.display().to_string())
            .collect();
        let files = sources.iter().zip(&names).map(|((path, text), name)| {
            let home = path.parent().map_or(Home::Nowhere, Home::Directory);
            (name.as_str(), text.as_str(), home)
        });
        Self::build(files, found)
    }

    /// The files that [`load`](Self::load) reads for `path`: those of a directory that end in `.toml`, in the order of their names, else `path` itself.
    ///
    /// # Errors
    ///
    /// When a directory cannot be read.
    pub fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
        if !path.is_dir() {
            return Ok(vec![path.to_owned()]);
        }
        let mut paths = Vec::new();
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// Reads one file's text; `name` is what problems call it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, not only the first thing.
    pub fn parse(name: &str, text: &str) -> Result<Self, Diagnostics> {
        Self::parse_all([(name, text)])
    }

    /// Reads several files' names and texts as one configuration.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, not only the first thing.
    pub fn parse_all<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Diagnostics> {
        let files = files
            .into_iter()
            .map(|(name, text)| (name, text, Home::Nowhere));
        Self::build(files, Collector::default())
    }

    /// Reads the file that a repository at `address` carries itself; `name` is what problems call it.
    ///
    /// Whoever writes to that repository wrote it, so it may speak of that repository alone: a `clone_url` is `.`, which becomes `address`, or is `address`
    /// already. Nobody makes a coordinator read other repositories so, those of its own machine least of all. Nor does it say who is told of results: that
    /// names files with secrets, and addresses that only this machine may reach.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, other addresses included.
    pub fn parse_carried(name: &str, text: &str, address: &str) -> Result<Self, Diagnostics> {
        Self::build([(name, text, Home::Address(address))], Collector::default())
    }

    /// The same configuration as TOML, without comments and without what is as it is by default.
    #[must_use]
    pub fn to_toml(&self) -> String {
        self.file
            .write()
            .map(|value| value.to_toml())
            .unwrap_or_default()
    }

    /// The same, but with repositories of which no branch is looked at: only what is asked for is built.
    #[must_use]
    pub fn only_when_asked(mut self) -> Self {
        for repo in self.file.repositories.values_mut() {
            repo.branches.clear();
        }
        self
    }

    /// What hardly says what was meant.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The deployment.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.file.environment
    }

    /// How long builds are kept.
    #[must_use]
    pub fn retention(&self) -> &Retention {
        &self.file.retention
    }

    /// The host types, by name.
    #[must_use]
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = &Host> {
        self.file.hosts.values()
    }

    /// The host type of that name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.file.hosts.get(name)
    }

    /// The builders, by name.
    #[must_use]
    pub fn builders(&self) -> impl ExactSizeIterator<Item = &Builder> {
        self.file.builders.values()
    }

    /// The builder of that name.
    #[must_use]
    pub fn builder(&self, name: &str) -> Option<&Builder> {
        self.file.builders.get(name)
    }

    /// The repositories, by name.
    #[must_use]
    pub fn repositories(&self) -> impl ExactSizeIterator<Item = &Repository> {
        self.file.repositories.values()
    }

    /// The repository of that name.
    #[must_use]
    pub fn repository(&self, name: &str) -> Option<&Repository> {
        self.file.repositories.get(name)
    }

    /// The rules about what is built, by name.
    #[must_use]
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &Policy> {
        self.file.policies.values()
    }

    /// The rules about which tests run, by name.
    #[must_use]
    pub fn test_policies(&self) -> impl ExactSizeIterator<Item = &TestPolicy> {
        self.file.test_policies.values()
    }

    /// Who is told of a builder's results.
    pub fn notify<'a>(&'a self, builder: &'a Builder) -> impl Iterator<Item = &'a Notify> {
        builder
            .notify
            .iter()
            .filter_map(|name| self.file.notify.get(name))
    }

    /// Short words for builders in requests for tries, with the builder's name; an empty one stands for none.
    #[must_use]
    pub fn aliases(&self) -> &BTreeMap<String, String> {
        &self.file.aliases
    }

    /// The builders that build a commit of this repository and branch once it is there, by name.
    ///
    /// What a repository is built against is taken to be at its main branch. [`decide`](Self::decide) asks about one builder, other branches and tries, and
    /// says why.
    #[must_use]
    pub fn builds(&self, repo: &str, branch: &str) -> Vec<&Builder> {
        let change = Change::new(repo, branch);
        self.builders()
            .filter(|builder| self.decide(builder, &change, Mode::PostSubmit).allowed())
            .collect()
    }

    fn build<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str, Home<'a>)>,
        mut found: Collector,
    ) -> Result<Self, Diagnostics> {
        let mut places = Places::default();
        let mut file = File::default();
        for (order, (name, text, home)) in files.into_iter().enumerate() {
            let source = Arc::new(SourceFile::new(name, text, order));
            let mut read = read_file(&source, &mut places, &mut found);
            match home {
                Home::Nowhere => {}
                Home::Directory(dir) => make_absolute(&mut read, dir, &places, &mut found),
                Home::Address(address) => stay_home(&mut read, address, &places, &mut found),
            }
            merge(&mut file, read);
        }
        // A reference to what could not be read is not wrong twice.
        if !found.has_errors() {
            validate(&file, &places, &mut found);
        }
        let failed = found.has_errors();
        let diagnostics = found.finish();
        if failed {
            return Err(diagnostics);
        }
        Ok(Self {
            file,
            warnings: diagnostics.into_iter().cloned().collect(),
        })
    }
}

/// Where a file stands.
#[derive(Clone, Copy)]
enum Home<'a> {
    Nowhere,
    Directory(&'a Path),
    /// In a repository that was fetched from there.
    Address(&'a str),
}

/// Two are equal that say the same, wherever and however they were written.
impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file
    }
}

impl Eq for Config {}

fn read_file(source: &Arc<SourceFile>, places: &mut Places, found: &mut Collector) -> File {
    let (document, errors) = DeTable::parse_recoverable(source.text());
    let is_toml = errors.is_empty();
    for error in errors {
        let place = Place {
            file: Arc::clone(source),
            span: error.span().unwrap_or(0..0),
        };
        let hint = if error.message().contains("duplicate key") {
            "remove one of the two, or give it another name"
        } else {
            "this is no TOML: toml.io explains the language"
        };
        found.error(Some(&place), error.message(), hint);
    }
    if !is_toml {
        // What was recovered is guessed; problems of guesses are none.
        return File::default();
    }
    let span = document.span();
    let root = toml::Spanned::new(span, DeValue::Table(document.into_inner()));
    let mut reader = Reader::new(Arc::clone(source), places, found);
    File::read(&root, &mut reader).unwrap_or_default()
}

/// Turns paths of repositories into paths that mean the same from anywhere.
fn make_absolute(file: &mut File, dir: &Path, places: &Places, found: &mut Collector) {
    for repo in file.repositories.values_mut() {
        if !repo.clone_url.starts_with('.') {
            continue;
        }
        let path = path::absolute(dir.join(&repo.clone_url));
        match path
            .ok()
            .and_then(|path| path.into_os_string().into_string().ok())
        {
            Some(path) => repo.clone_url = path,
            None => {
                let place = places.find(&format!("repo/{}/clone_url", repo.name));
                let hint = "write an absolute path";
                found.error(
                    place,
                    "the path of this file's directory cannot be told",
                    hint,
                );
            }
        }
    }
}

/// Makes the repository that carries the file the only one that it speaks of.
fn stay_home(file: &mut File, address: &str, places: &Places, found: &mut Collector) {
    for repo in file.repositories.values_mut() {
        if matches!(repo.clone_url.as_str(), "." | "./") {
            address.clone_into(&mut repo.clone_url);
        }
        if repo.clone_url != address && !repo.clone_url.is_empty() {
            let place = places.find(&format!("repo/{}/clone_url", repo.name));
            found.error(
                place,
                "a file that a repository carries speaks of another repository",
                "write `.`, or keep the file on this machine and name it",
            );
        }
    }
    for name in file.notify.keys() {
        found.error(
            places.find(&format!("notify/{name}")),
            "a file that a repository carries says who is told of results",
            "keep the file on this machine and name it",
        );
    }
}

/// Adds the tables of another file; that none stands in both was seen by `Places`.
fn merge(into: &mut File, from: File) {
    if from.environment != Environment::default() {
        into.environment = from.environment;
    }
    if from.retention != Retention::default() {
        into.retention = from.retention;
    }
    into.hosts.extend(from.hosts);
    into.repositories.extend(from.repositories);
    into.builders.extend(from.builders);
    into.policies.extend(from.policies);
    into.test_policies.extend(from.test_policies);
    into.notify.extend(from.notify);
    into.aliases.extend(from.aliases);
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(LARGEST_FILE + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "larger than 4 MiB",
        ));
    }
    Ok(text)
}

fn unreadable(found: &mut Collector, path: &Path, error: &io::Error) {
    found.error(
        None,
        format!("cannot read {}: {error}", path.display()),
        "name a TOML file, or a directory with such files",
    );
}
