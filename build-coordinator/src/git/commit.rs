use crate::model::{Commit, Revision, Timestamp};

/// Reads a commit object. `None` if it is none: what is damaged or missing in it becomes empty text or the year 1970, since
/// git itself takes such commits.
pub(crate) fn parse(revision: Revision, object: &[u8]) -> Option<Commit> {
    let (head, message) = match find(object, b"\n\n") {
        Some(at) => (&object[..at], &object[at + 2..]),
        None => (object, &[][..]),
    };
    if !head.starts_with(b"tree ") {
        return None;
    }
    let mut commit = Commit {
        revision,
        parents: Vec::new(),
        author_name: String::new(),
        author_email: String::new(),
        committed: Timestamp::EPOCH,
        subject: String::new(),
        body: String::new(),
    };
    let mut latin1 = false;
    for line in head.split(|byte| *byte == b'\n') {
        let Some(space) = line.iter().position(|byte| *byte == b' ') else {
            continue;
        };
        let (key, value) = (&line[..space], &line[space + 1..]);
        match key {
            b"encoding" => {
                latin1 = matches!(
                    value.to_ascii_lowercase().as_slice(),
                    b"iso-8859-1" | b"iso8859-1" | b"latin1" | b"latin-1"
                );
            }
            b"parent" => {
                let parent = std::str::from_utf8(value).ok();
                commit
                    .parents
                    .extend(parent.and_then(|text| text.parse().ok()));
            }
            b"committer" => commit.committed = time_of(value),
            _ => {}
        }
    }
    let author = head
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"author "));
    if let Some(author) = author {
        let name_end = author.iter().position(|byte| *byte == b'<');
        let name = &author[..name_end.unwrap_or(author.len())];
        text_of(name, latin1)
            .trim()
            .clone_into(&mut commit.author_name);
        if let Some(start) = name_end {
            let email = author[start + 1..].split(|byte| *byte == b'>').next();
            text_of(email.unwrap_or_default(), latin1)
                .trim()
                .clone_into(&mut commit.author_email);
        }
    }
    let message = text_of(message, latin1);
    let message = message.trim_start_matches('\n');
    // As git has it, the subject is the first paragraph.
    let (subject, body) = message.split_once("\n\n").unwrap_or((message, ""));
    commit.subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
    body.trim_start_matches('\n')
        .trim_end()
        .clone_into(&mut commit.body);
    commit.clean();
    Some(commit)
}

/// The time in `Name <address> 1700000000 +0100`.
fn time_of(person: &[u8]) -> Timestamp {
    let after = person.rsplit(|byte| *byte == b'>').next();
    let seconds = after
        .and_then(|text| std::str::from_utf8(text).ok())
        .and_then(|text| text.split_ascii_whitespace().next())
        .and_then(|text| text.parse::<i64>().ok());
    Timestamp::from_micros(seconds.unwrap_or(0).saturating_mul(1_000_000))
}

fn text_of(bytes: &[u8], latin1: bool) -> String {
    if latin1 {
        bytes.iter().map(|byte| char::from(*byte)).collect()
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn revision() -> Revision {
        "0".repeat(40).parse().unwrap()
    }

    #[test]
    fn a_commit_is_read_as_git_shows_it() {
        let object = b"tree 1111111111111111111111111111111111111111\n\
            parent 2222222222222222222222222222222222222222\n\
            parent 3333333333333333333333333333333333333333\n\
            author A U Thor <a@example.com> 1 +0000\n\
            committer C <c@example.com> 1700000000 +0100\n\
            gpgsig -----BEGIN\n author Mallory <m@example.com> 9 +0000\n -----END\n\
            \n\
            do this\nand that\n\n\nBecause.\n\nTruly.\n";
        let commit = parse(revision(), object).unwrap();
        assert_eq!(commit.parents.len(), 2);
        assert_eq!(commit.author_name, "A U Thor");
        assert_eq!(commit.author_email, "a@example.com");
        assert_eq!(commit.committed.to_string(), "2023-11-14T22:13:20Z");
        assert_eq!(commit.subject, "do this and that");
        assert_eq!(commit.body, "Because.\n\nTruly.");
    }

    #[test]
    fn what_is_not_utf8_is_still_shown() {
        let with = |encoding: &str| {
            let mut object = b"tree 1\nauthor J\xf6rg <> x\n".to_vec();
            object.extend_from_slice(encoding.as_bytes());
            object.extend_from_slice(b"\ngr\xfc\xdfe\0");
            parse(revision(), &object).unwrap()
        };
        let commit = with("encoding ISO-8859-1\n");
        assert_eq!(
            (commit.author_name.as_str(), commit.subject.as_str()),
            ("Jörg", "grüße ")
        );
        assert_eq!(with("").author_name, "J\u{fffd}rg");
        assert_eq!(with("").committed, Timestamp::EPOCH);
    }

    proptest! {
        #[test]
        fn no_object_panics(object: Vec<u8>, head in "(tree|author|committer|parent|encoding)[ <>0-9a-f\n]{0,40}") {
            let _ = parse(revision(), &object);
            let mut crafted = b"tree x\n".to_vec();
            crafted.extend_from_slice(head.as_bytes());
            crafted.extend_from_slice(&object);
            prop_assert!(parse(revision(), &crafted).is_some());
        }
    }
}
