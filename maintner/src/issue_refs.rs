//! Finds mentions of GitHub issues in commit messages.

use memchr::memchr;

/// A mention: `#5` or `golang/go#5`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention<'a> {
    /// Owner and repository, if they are named.
    pub(crate) repo: Option<(&'a str, &'a str)>,
    pub(crate) number: i32,
}

/// All mentions in order, as the expression `(?:\b([\w-]+)/([\w-]+))?#(\d+)\b` of ASCII finds them. Numbers that are too large are none.
pub(crate) fn mentions(message: &[u8]) -> Vec<Mention<'_>> {
    let mut found = Vec::new();
    let mut from = 0;
    let mut search = 0;
    while let Some(hash) = memchr(b'#', &message[search..]).map(|at| search + at) {
        search = hash + 1;
        let digits = message[search..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let end = search + digits;
        if digits == 0 || message.get(end).is_some_and(|&byte| is_word(byte)) {
            continue;
        }
        let repo = repo_before(message, from, hash);
        (from, search) = (end, end);
        // Digits are ASCII.
        let number = std::str::from_utf8(&message[hash + 1..end])
            .ok()
            .and_then(|digits| digits.parse().ok());
        if let Some(number) = number {
            found.push(Mention { repo, number });
        }
    }
    found
}

/// `owner/repo` right before `hash`, and not before `from`.
fn repo_before(message: &[u8], from: usize, hash: usize) -> Option<(&str, &str)> {
    let run = |end: usize| {
        let len = message[from..end]
            .iter()
            .rev()
            .take_while(|&&byte| is_word(byte) || byte == b'-')
            .count();
        end - len
    };
    let repo = run(hash);
    if repo == hash || repo == from || message[repo - 1] != b'/' {
        return None;
    }
    let slash = repo - 1;
    // The name begins at a border of a word.
    let is_border = |&at: &usize| (at > 0 && is_word(message[at - 1])) != is_word(message[at]);
    let owner = (run(slash)..slash).find(is_border)?;
    let text = |range: std::ops::Range<usize>| std::str::from_utf8(&message[range]).ok();
    Some((text(owner..slash)?, text(repo..hash)?))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_are_what_the_expression_matches() {
        let found = |message: &str| -> Vec<String> {
            let text = |mention: &Mention<'_>| match mention.repo {
                Some((owner, repo)) => format!("{owner}/{repo}#{}", mention.number),
                None => format!("#{}", mention.number),
            };
            mentions(message.as_bytes()).iter().map(text).collect()
        };
        assert_eq!(
            found("x#2: word#3 a/b#4 (#5) ##6 #7x #99999999999 #08"),
            ["#2", "#3", "a/b#4", "#5", "#6", "#8"]
        );
        assert_eq!(
            found("github.com/golang/go#30 -foo/bar-baz#31 \u{e9}a/b#32 \u{e9}#33"),
            ["golang/go#30", "foo/bar-baz#31", "a/b#32", "#33"]
        );
        assert_eq!(
            found("#1/b#2 --/x#3 /y#4 z/#5 a-/b#6 #7#8"),
            ["#1", "#2", "#3", "#4", "#5", "a-/b#6", "#7", "#8"]
        );
        assert_eq!(found("#"), [""; 0]);
    }
}
