//! Files that are named by a number: `maintner-NNNNNN.mutlog`.

/// Six digits at least: 16 TB of log in segments of 16 MiB are in order by the bytes of their names.
pub(crate) fn file_name(number: u64) -> String {
    format!("maintner-{number:06}.mutlog")
}

/// The number of such a file.
pub(crate) fn parse(name: &str) -> Option<u64> {
    let number = name.strip_prefix("maintner-")?.strip_suffix(".mutlog")?;
    let parsed = number.parse().ok()?;
    (file_name(parsed) == name).then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_number_and_back() {
        for number in [0, 7, 999_999] {
            assert_eq!(parse(&file_name(number)), Some(number));
        }
        for name in [
            "maintner-0000.mutlog",
            "maintner-+00001.mutlog",
            "maintner-2020-01-02.mutlog",
            "maintner-000001.mutlog.torn-5",
            "000001.mutlog",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
