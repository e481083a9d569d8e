//! How Go's tags and branches are named. Source: `golang.org/x/build/maintner/maintnerd/maintapi/version`.

/// A version of Go that is named by a tag, as `(major, minor, patch)`: `go1.21.3`, `go1.21` and `go1`. Betas and release candidates are
/// none.
#[must_use]
pub fn parse_tag(tag: &str) -> Option<(i32, i32, i32)> {
    let (major, minor, patch) = numbers(tag.strip_prefix("go")?)?;
    Some((major, minor.unwrap_or(0), patch.unwrap_or(0)))
}

/// The version that a branch is for, as `(major, minor)`: `release-branch.go1.21`.
#[must_use]
pub fn parse_release_branch(branch: &str) -> Option<(i32, i32)> {
    let (major, minor, patch) = numbers(branch.strip_prefix("release-branch.go")?)?;
    // `release-branch.go1` is that of 1.0.
    let minor_is_plain = minor != Some(0);
    (minor_is_plain && patch.is_none()).then_some((major, minor.unwrap_or(0)))
}

/// The version that a branch of another repository is for, as `(major, minor)`: `internal-branch.go1.21-vendor`.
#[must_use]
pub fn parse_internal_branch(branch: &str) -> Option<(i32, i32)> {
    let (tag, suffix) = branch.strip_prefix("internal-branch.")?.split_once('-')?;
    let (major, minor, patch) = parse_tag(tag)?;
    (patch == 0 && !suffix.is_empty()).then_some((major, minor))
}

/// The 16 of `go1.16`, `go1.16.3` and `go1.16rc1`.
#[must_use]
pub fn parse_go1_point_x(version: &str) -> Option<i32> {
    let rest = version.strip_prefix("go1.")?;
    let end = rest.find(|c: char| !c.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

/// Three numbers with points between them, of which the second and third may be missing.
fn numbers(text: &str) -> Option<(i32, Option<i32>, Option<i32>)> {
    let mut parts = text.split('.').map(number);
    let major = parts.next()??;
    let minor = parts.next();
    let patch = parts.next();
    let is_good = major > 0 && parts.next().is_none() && minor != Some(None) && patch != Some(None);
    is_good.then_some((major, minor.flatten(), patch.flatten()))
}

/// One to three digits, without a leading zero.
fn number(text: &str) -> Option<i32> {
    let is_number = (1..=3).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_versions() {
        for (tag, version) in [
            ("go1", (1, 0, 0)),
            ("go1.2", (1, 2, 0)),
            ("go1.2.0", (1, 2, 0)),
            ("go1.2.3", (1, 2, 3)),
            ("go23.45.67", (23, 45, 67)),
            ("go999.999.999", (999, 999, 999)),
        ] {
            assert_eq!(parse_tag(tag), Some(version), "{tag}");
        }
        for tag in [
            "",
            "go",
            "go.",
            "go1.",
            "go1..2",
            "go1.2.",
            "go1.2.3.4",
            "go01",
            "go1.02",
            "go1000",
            "go0.0.0",
            "go0",
            "go1.2rc1",
            "go1.2-x",
            "go+1",
            "go-1",
            "Go1",
            " go1",
        ] {
            assert_eq!(parse_tag(tag), None, "{tag}");
        }
    }

    #[test]
    fn branches_are_for_versions() {
        assert_eq!(parse_release_branch("release-branch.go1"), Some((1, 0)));
        assert_eq!(parse_release_branch("release-branch.go1.2"), Some((1, 2)));
        for branch in ["go1.0", "go1.2.3", "go1-x", "go00", "go1.2.0", "go", "1.2"] {
            let branch = format!("release-branch.{branch}");
            assert_eq!(parse_release_branch(&branch), None, "{branch}");
        }
        let internal = |rest: &str| parse_internal_branch(&format!("internal-branch.{rest}"));
        assert_eq!(internal("go1.16-vendor"), Some((1, 16)));
        assert_eq!(internal("go1-x-y"), Some((1, 0)));
        for branch in ["go1.16", "go1.16-", "go1.16.1-x", "1.16-x", "-x"] {
            assert_eq!(internal(branch), None, "{branch}");
        }
    }

    #[test]
    fn the_number_behind_go1_may_have_anything_behind_it() {
        for (version, number) in [("go1.16", 16), ("go1.16rc1", 16), ("go1.9.2", 9)] {
            assert_eq!(parse_go1_point_x(version), Some(number));
        }
        for version in ["go2.1", "go1", "go1.", "go1.x", "1.2"] {
            assert_eq!(parse_go1_point_x(version), None, "{version}");
        }
    }
}
