//! Names of users and groups, as the system's files have them.

use std::collections::HashMap;
use std::io::Read as _;

/// Bytes read of such a file; more is not a local list of users.
const MAX_FILE: u64 = 1 << 20;

#[derive(Debug, Default)]
pub(crate) struct Owners {
    users: HashMap<u32, Vec<u8>>,
    groups: HashMap<u32, Vec<u8>>,
}

impl Owners {
    /// Reads `/etc/passwd` and `/etc/group`. Without them, and for those who are not in them, names are empty.
    pub(crate) fn of_the_system() -> Self {
        Self {
            users: read("/etc/passwd"),
            groups: read("/etc/group"),
        }
    }

    pub(crate) fn user(&self, id: u32) -> &[u8] {
        self.users.get(&id).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn group(&self, id: u32) -> &[u8] {
        self.groups.get(&id).map_or(&[], Vec::as_slice)
    }
}

fn read(path: &str) -> HashMap<u32, Vec<u8>> {
    let mut text = Vec::new();
    if let Ok(file) = std::fs::File::open(path)
        && file.take(MAX_FILE).read_to_end(&mut text).is_err()
    {
        return HashMap::new();
    }
    parse(&text)
}

/// Lines of the form `NAME:PASSWORD:NUMBER:...`. The first one of a number counts.
fn parse(text: &[u8]) -> HashMap<u32, Vec<u8>> {
    let mut names = HashMap::new();
    for line in text.split(|&byte| byte == b'\n') {
        let mut fields = line.split(|&byte| byte == b':');
        let (Some(name), Some(id)) = (fields.next(), fields.nth(1)) else {
            continue;
        };
        if let Some(id) = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()) {
            names.entry(id).or_insert_with(|| name.to_vec());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let names =
            parse(b"root:x:0:0:root:/root:/bin/sh\n# no line\ntoor:x:0:0::/:\nbad:x:y\nu:x:1000:");
        assert_eq!(names[&0], b"root");
        assert_eq!(names[&1000], b"u");
        assert_eq!(names.len(), 2);
    }
}
