//! Where symbolic links may lead.

use std::path::Path;

use super::folder::names;

/// Whether a link at `path` with this target leads to something inside, wherever other links of the kind lead.
///
/// The target has to be relative, with any `..` at its beginning, no more than the link has directories above it. Behind a
/// name there is none: the name may be another link, and `..` from where that leads may be outside (`a/l` to `..`, then `b` to `a/l/../x`).
/// So a chain of such links never leaves, for each goes up and then only down.
pub(crate) fn stays_inside(path: &Path, target: &[u8]) -> bool {
    if target.is_empty() || target.contains(&0) || target.starts_with(b"/") {
        return false;
    }
    // Volumes, and separators that only Windows knows.
    if cfg!(windows) && target.iter().any(|byte| matches!(byte, b'\\' | b':')) {
        return false;
    }
    let mut above = names(path).count().saturating_sub(1);
    let mut down = false;
    for part in target.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if down || above == 0 => return false,
            b".." => above -= 1,
            _ => down = true,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_stay_inside() {
        for (path, target, inside) in [
            ("l", "x", true),
            ("l", "a/b/c", true),
            ("l", ".", true),
            ("a/l", "..", true),
            ("a/b/l", "../../x", true),
            ("a/b/l", ".././../x/", true),
            ("l", "", false),
            ("l", "/etc", false),
            ("l", "..", false),
            ("a/l", "../../x", false),
            ("l", "a/../b", false),
            ("a/b/l", "x/../../../../y", false),
            ("l", "a\0b", false),
        ] {
            assert_eq!(
                stays_inside(Path::new(path), target.as_bytes()),
                inside,
                "{path} -> {target:?}"
            );
        }
    }
}
