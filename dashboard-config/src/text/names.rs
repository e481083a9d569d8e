/// Whether it may be the name of a host type, builder, repository or policy: they go into addresses, file names and terminals.
pub(crate) fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() <= 128
        && bytes
            .first()
            .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(b))
        && !name.contains("..")
}

/// The candidate that was probably meant: at most a third of its letters are wrong.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| distance * 3 <= candidate.len().max(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be inserted, removed, replaced or swapped with the next one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                if swapped {
                    best.min(rows[i - 2][j - 2] + 1)
                } else {
                    best
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_into_addresses_and_file_names() {
        for good in ["linux-amd64", "darwin-amd64-10_14", "386", "a.b"] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "",
            "-x",
            ".x",
            "a/b",
            "A",
            "a b",
            "a..b",
            "ä",
            &"a".repeat(129),
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_slip_finds_the_word_and_another_word_does_not() {
        let words = ["steps", "host_type", "timeout"];
        assert_eq!(nearest("stpes", words.into_iter()), Some("steps"));
        assert_eq!(nearest("hosttype", words.into_iter()), Some("host_type"));
        assert_eq!(nearest("banana", words.into_iter()), None);
    }
}
