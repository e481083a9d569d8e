use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use russh::keys::PublicKey;
use subtle::{Choice, ConstantTimeEq as _};

use crate::ssh_gate::MAX_KEY_LINE;

/// Keys kept, over all users. Every gomote session may bring one, and nobody takes them away again: the oldest goes.
const MAX_KEYS: usize = 256;

/// Options of a line that restrict what this server does not do anyway.
const HARMLESS: [&str; 4] = [
    "no-port-forwarding",
    "no-agent-forwarding",
    "no-x11-forwarding",
    "no-user-rc",
];

/// Whose keys open the server: a list that can grow while it runs, shared by its clones.
///
/// Holds at most 256 keys; one more makes the oldest go.
#[derive(Clone, Default)]
pub struct AuthorizedKeys {
    entries: Arc<RwLock<VecDeque<Known>>>,
}

#[derive(PartialEq, Eq)]
struct Known {
    /// `None`: any user name.
    user: Option<String>,
    /// In the wire's encoding, which is one for each key.
    key: Vec<u8>,
}

impl AuthorizedKeys {
    /// No keys: nobody gets in.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a file in the format of `authorized_keys`; its keys are good for every user name. Blocks for one file read.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or a line of it cannot be obeyed: a file that is half understood lets in half of those
    /// whom its author had in mind, or does not restrict the others.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let text = std::fs::read_to_string(path).map_err(|source| KeyError::File {
            path: path.to_owned(),
            source,
        })?;
        let keys = Self::new();
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            keys.add(None, line)?;
        }
        Ok(keys)
    }

    /// Lets the owner of the key in `line`, which is one of an `authorized_keys` file, log in as `user`. A key that is there
    /// already is not added again.
    ///
    /// # Errors
    ///
    /// See [`KeyError`].
    pub fn authorize(&self, user: &str, line: &str) -> Result<(), KeyError> {
        self.add(Some(user), line)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn add(&self, user: Option<&str>, line: &str) -> Result<(), KeyError> {
        let new = Known {
            user: user.map(str::to_owned),
            key: parse(line)?,
        };
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if !entries.contains(&new) {
            if entries.len() == MAX_KEYS {
                entries.pop_front();
            }
            entries.push_back(new);
        }
        Ok(())
    }

    /// Whether `key` opens the server for `user`. The time it takes depends on how many keys there are and on nothing else.
    pub(crate) fn accepts(&self, user: &str, key: &PublicKey) -> bool {
        let Ok(key) = key.to_bytes() else {
            return false;
        };
        let mut found = Choice::from(0);
        for known in &*self.read() {
            let user = match &known.user {
                Some(known) => known.as_bytes().ct_eq(user.as_bytes()),
                None => Choice::from(1),
            };
            found |= user & known.key.ct_eq(&key);
        }
        found.into()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, VecDeque<Known>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for AuthorizedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizedKeys")
            .field("len", &self.len())
            .finish()
    }
}

/// Why a key was not added.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyError {
    /// The file could not be read.
    File {
        /// Which one.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// Not a line of an `authorized_keys` file, or one over 16 KiB.
    Line,
    /// A kind of key that this server cannot check: Ed25519 and ECDSA are supported, RSA and DSA are not.
    Algorithm(String),
    /// The line carries an option, such as `command=` or `from=`, that this server does not enforce. To ignore it would let
    /// its owner do what it forbids.
    Option(String),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "cannot read {}", path.display()),
            Self::Line => f.write_str("not a line of an authorized_keys file"),
            Self::Algorithm(name) => write!(
                f,
                "keys of type {name} are not supported; ssh-ed25519 and ecdsa-sha2-* are"
            ),
            Self::Option(name) => {
                write!(f, "option {name:?} of an authorized key is not supported")
            }
        }
    }
}

impl std::error::Error for KeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Line | Self::Algorithm(_) | Self::Option(_) => None,
        }
    }
}

/// The key of a line, in the wire's encoding. Options stand before it, and a comment behind.
fn parse(line: &str) -> Result<Vec<u8>, KeyError> {
    let line = line.trim();
    if line.len() > MAX_KEY_LINE || line.contains(['\n', '\r', '\0']) || line.starts_with('#') {
        return Err(KeyError::Line);
    }
    let (first, rest) = split_word(line);
    let (kind, rest) = if is_kind(first) {
        (first, rest)
    } else {
        let (kind, rest) = split_word(rest);
        if !is_kind(kind) {
            return Err(KeyError::Line);
        }
        check_options(first)?;
        (kind, rest)
    };
    let (encoded, _) = split_word(rest);
    let key = PublicKey::from_openssh(&format!("{kind} {encoded}")).map_err(|_| KeyError::Line)?;
    let data = key.key_data();
    if !(data.is_ed25519() || data.is_ecdsa() || data.is_sk_ed25519() || data.is_sk_ecdsa_p256()) {
        return Err(KeyError::Algorithm(kind.to_owned()));
    }
    key.to_bytes().map_err(|_| KeyError::Line)
}

fn is_kind(word: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"]
        .iter()
        .any(|kind| word.starts_with(kind))
}

/// Up to the first blank outside of quotes, and what comes after the blanks.
fn split_word(text: &str) -> (&str, &str) {
    let end = unquoted(text, |byte| byte == b' ' || byte == b'\t').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, rest.trim_start_matches([' ', '\t']))
}

fn check_options(mut options: &str) -> Result<(), KeyError> {
    loop {
        let end = unquoted(options, |byte| byte == b',').unwrap_or(options.len());
        let option = &options[..end];
        if !HARMLESS.contains(&&*option.to_ascii_lowercase()) {
            return Err(KeyError::Option(option.to_owned()));
        }
        match options.get(end + 1..) {
            Some(rest) => options = rest,
            None => return Ok(()),
        }
    }
}

/// Where the first byte outside of quotes is that `wanted` says; ASCII, so that the text can be cut there.
fn unquoted(text: &str, wanted: impl Fn(u8) -> bool) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.bytes().position(|byte| {
        if byte == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = byte == b'\\' && !escaped;
        !quoted && wanted(byte)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";
    const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDTb9rIsvQSwIYNCqJBzRfWcxNBtJHzMHJjuY4MpRVrk+HMQhMYdbrhdoXJV0bXhxbPFyQ5U0vHi3yvH4vP5Jz9QGmOK6dM9AmG1+qDpYuD8lNMRP0lVdAhMh6zBLWyyoIbSMCXaUGK8D2lYcl2xXQYRdBPu5lmeWtiPGEFNT2XkQ==";

    fn key(line: &str) -> PublicKey {
        PublicKey::from_openssh(line).unwrap()
    }

    #[test]
    fn a_key_is_good_for_its_user() {
        let keys = AuthorizedKeys::new();
        assert!(!keys.accepts("gopher", &key(ED25519)));
        keys.authorize("gopher", &format!("{ED25519} a comment\n"))
            .unwrap();
        assert!(keys.accepts("gopher", &key(ED25519)));
        assert!(!keys.accepts("Gopher", &key(ED25519)));
        assert!(!keys.accepts("", &key(ED25519)));
        assert!(!keys.accepts("gopher", &key(ECDSA)));
    }

    #[test]
    fn every_key_counts_and_not_the_first_alone() {
        let keys = AuthorizedKeys::new();
        for line in [ED25519, ECDSA, ED25519] {
            keys.authorize("gopher", line).unwrap();
        }
        assert_eq!(keys.len(), 2);
        assert!(keys.clone().accepts("gopher", &key(ECDSA)));
    }

    #[test]
    fn a_file_is_for_every_user() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            format!("# mine\n\n{ED25519} me@here\nno-port-forwarding {ECDSA}\n"),
        )
        .unwrap();
        let keys = AuthorizedKeys::from_file(file.path()).unwrap();
        assert!(keys.accepts("anybody", &key(ED25519)) && keys.accepts("root", &key(ECDSA)));
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused() {
        let keys = AuthorizedKeys::new();
        for line in [
            format!("command=\"/bin/true\" {ED25519}"),
            format!("from=\"10.0.0.1\",no-pty {ED25519}"),
            format!("cert-authority {ED25519}"),
            format!("no-user-rc,command=\"echo \\\" ssh-ed25519\" {ED25519} and a comment"),
        ] {
            assert!(
                matches!(keys.authorize("gopher", &line), Err(KeyError::Option(_))),
                "{line}"
            );
        }
        assert!(matches!(
            keys.authorize("gopher", RSA),
            Err(KeyError::Algorithm(_))
        ));
        for line in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 !!!",
            "# x",
            &format!("{ED25519}\n{ECDSA}"),
            &format!("{ED25519} {}", "x".repeat(MAX_KEY_LINE)),
        ] {
            assert!(
                matches!(keys.authorize("gopher", line), Err(KeyError::Line)),
                "{line}"
            );
        }
        assert!(keys.is_empty());
    }

    #[test]
    fn the_list_does_not_grow_for_ever() {
        let keys = AuthorizedKeys::new();
        keys.authorize("first", ED25519).unwrap();
        for user in 0..MAX_KEYS {
            keys.authorize(&user.to_string(), ED25519).unwrap();
        }
        assert_eq!(keys.len(), MAX_KEYS);
        assert!(!keys.accepts("first", &key(ED25519)));
    }
}
