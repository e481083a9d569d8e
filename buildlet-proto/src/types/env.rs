use std::collections::HashSet;
use std::ffi::{OsStr, OsString};

use super::form::{os_bytes, os_string};

/// Whose rules an environment follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EnvStyle {
    /// Keys are compared byte by byte; `PATH` is divided by `:`.
    Unix,
    /// Letter case of keys does not matter; `PATH` is divided by `;`.
    Windows,
    /// Keys are compared byte by byte; `path` is divided by NUL.
    Plan9,
}

impl EnvStyle {
    /// The style of the machine this runs on.
    pub const NATIVE: Self = if cfg!(windows) {
        Self::Windows
    } else {
        Self::Unix
    };

    fn path_variable(self) -> &'static str {
        match self {
            Self::Unix | Self::Windows => "PATH",
            Self::Plan9 => "path",
        }
    }

    fn separator(self) -> u8 {
        match self {
            Self::Unix => b':',
            Self::Windows => b';',
            Self::Plan9 => 0,
        }
    }

    /// The key of an entry, and the value if there is a `=`.
    fn split(self, entry: &OsStr) -> (&[u8], Option<&[u8]>) {
        let entry = os_bytes(entry);
        // Windows keeps the current directory of a drive in a variable called `=C:`.
        let skip = usize::from(self == Self::Windows && entry.starts_with(b"="));
        let equals = entry.iter().skip(skip).position(|byte| *byte == b'=');
        match equals.map(|at| skip + at) {
            Some(at) => (&entry[..at], Some(&entry[at + 1..])),
            None => (entry, None),
        }
    }

    /// Equal for keys of which the last counts.
    fn fold(self, key: &[u8]) -> Vec<u8> {
        match self {
            Self::Windows => String::from_utf8_lossy(key).to_lowercase().into_bytes(),
            Self::Unix | Self::Plan9 => key.to_vec(),
        }
    }
}

/// An environment in the making: `KEY=VALUE` entries, of which the last with a key counts.
///
/// ```
/// use buildlet_proto::types::{EnvList, EnvStyle};
/// let mut env = EnvList::new(EnvStyle::Unix, ["PATH=/bin", "A=1", "A=2"]);
/// env.apply_path(&["$WORKDIR/go/bin".into(), "$PATH".into()], "/w".as_ref());
/// env.deduplicate();
/// assert_eq!(env.entries(), ["A=2", "PATH=/w/go/bin:/bin"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvList {
    style: EnvStyle,
    entries: Vec<OsString>,
}

impl EnvList {
    /// An environment with these entries.
    #[must_use]
    pub fn new(style: EnvStyle, entries: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            style,
            entries: entries.into_iter().map(Into::into).collect(),
        }
    }

    /// Adds an entry, `KEY=VALUE`.
    pub fn push(&mut self, entry: impl Into<OsString>) {
        self.entries.push(entry.into());
    }

    /// Adds the entry of this key and value.
    pub fn set(&mut self, key: &str, value: impl AsRef<OsStr>) {
        let mut entry = OsString::from(key);
        entry.push("=");
        entry.push(value);
        self.entries.push(entry);
    }

    /// The value of the last entry with this key; an entry without `=` has none.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<OsString> {
        let wanted = self.style.fold(key.as_bytes());
        let split = self.entries.iter().map(|entry| self.style.split(entry));
        let (_, value) = split
            .rev()
            .find(|(key, _)| self.style.fold(key) == wanted)?;
        value.map(os_string)
    }

    /// Replaces `PATH` (`path` on Plan 9) by these elements, by adding an entry; leaves it if the value would be the same.
    ///
    /// In each element `$PATH` (the value so far), `$WORKDIR` and `$EMPTY` (nothing) are replaced wherever they stand, once;
    /// elements that are empty then are left out.
    pub fn apply_path(&mut self, elements: &[OsString], workdir: &OsStr) {
        let variable = self.style.path_variable();
        let old = self.get(variable).unwrap_or_default();
        let names: [(&[u8], &[u8]); 3] = [
            (b"$PATH", os_bytes(&old)),
            (b"$WORKDIR", os_bytes(workdir)),
            (b"$EMPTY", b""),
        ];
        let new = elements
            .iter()
            .map(|element| replace_once(os_bytes(element), &names))
            .filter(|element| !element.is_empty())
            .collect::<Vec<_>>()
            .join(&self.style.separator());
        if new != os_bytes(&old) {
            self.set(variable, os_string(&new));
        }
    }

    /// Removes the entries behind which another has the same key. The order of the others stays.
    ///
    /// On Windows the entries for the current directories of drives (`=C:=C:\x`) have `=C:` for key. (Upstream takes it for
    /// empty, and so keeps one of them.)
    pub fn deduplicate(&mut self) {
        let mut seen = HashSet::new();
        let style = self.style;
        self.entries.reverse();
        self.entries
            .retain(|entry| seen.insert(style.fold(style.split(entry).0)));
        self.entries.reverse();
    }

    /// The entries, in order.
    #[must_use]
    pub fn entries(&self) -> &[OsString] {
        &self.entries
    }

    /// The entries, in order.
    #[must_use]
    pub fn into_entries(self) -> Vec<OsString> {
        self.entries
    }
}

/// The `PATH` of a Windows buildlet for commands that compile for `goarch`: without the GCC of the other width (entries with
/// `TDM-GCC-32` or `TDM-GCC-64` in them), and with the compiler in `C:\godep` at the end.
///
/// Quotes around entries are taken off, as upstream does.
#[must_use]
pub fn windows_path(path: &str, goarch: &str) -> String {
    let (other_width, compiler) = match goarch {
        "386" => ("TDM-GCC-64", r"C:\godep\gcc32\bin"),
        "arm64" => ("TDM-GCC-32", r"C:\godep\llvm-aarch64\bin"),
        _ => ("TDM-GCC-32", r"C:\godep\gcc64\bin"),
    };
    let mut quoted = false;
    let divides = |c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    };
    let mut kept: Vec<String> = path
        .split(divides)
        .filter(|_| !path.is_empty())
        .filter(|entry| !entry.contains(other_width))
        .map(|entry| entry.replace('"', ""))
        .collect();
    kept.push(compiler.to_owned());
    kept.join(";")
}

/// Replaces each name by its value, in one pass: what was put in is not looked at again.
fn replace_once(text: &[u8], names: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let found = names
            .iter()
            .find_map(|(name, value)| Some((rest.strip_prefix(*name)?, *value)));
        if let Some((behind, value)) = found {
            out.extend_from_slice(value);
            rest = behind;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}
