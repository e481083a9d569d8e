//! Paths as texts, on any host: what Go's `path.Clean` and, for Windows, `filepath.Clean` and `filepath.VolumeName` make of
//! them.

/// The shortest equal path: no `.`, no `..` but at the beginning, single separators, none at the end; `.` if nothing is left.
pub(super) fn clean_unix(path: &[u8]) -> Vec<u8> {
    or_dot(shorten(path, b'/'))
}

/// [`clean_unix`] for Windows; the result has `\` for separator, and a volume exactly if the path had one.
pub(super) fn clean_windows(path: &[u8]) -> Vec<u8> {
    let mut path = path.to_vec();
    to_backslashes(&mut path);
    let volume = volume_len(&path);
    let (volume, rest) = path.split_at(volume);
    if volume.starts_with(br"\\") && rest.is_empty() {
        return path;
    }
    let rest = shorten(rest, b'\\');
    if !volume.is_empty() {
        return [volume, &or_dot(rest)].concat();
    }
    if volume_len(&rest) == 0 {
        return or_dot(rest);
    }
    // Without what stood before it, `a\..\C:x` would name a volume.
    let guard: &[u8] = if rest.starts_with(br"\") {
        br"\."
    } else {
        br".\"
    };
    [guard, &rest].concat()
}

/// Whether the path names its place whatever the current directory and drive are.
pub(super) fn is_absolute_windows(path: &[u8]) -> bool {
    let volume = volume_len(path);
    volume > 0 && (path.starts_with(br"\\") || path.get(volume) == Some(&b'\\'))
}

/// Length of the volume name at the beginning of a path with `\` for separator: a drive (`C:`), a share (`\\host\share`) or
/// a device (`\\.\x`, `\\?\x`, `\??\x`).
pub(super) fn volume_len(path: &[u8]) -> usize {
    if path.get(1) == Some(&b':') {
        return 2;
    }
    let prefix = |prefix: &[u8]| {
        path.get(..prefix.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
            && path.get(prefix.len()).is_none_or(|next| *next == b'\\')
    };
    if prefix(br"\\.\unc") {
        return components_end(path, br"\\.\unc\".len(), 2);
    }
    if prefix(br"\\.") || prefix(br"\\?") || prefix(br"\??") {
        return components_end(path, 4, 1);
    }
    if path.starts_with(br"\\") {
        return components_end(path, 2, 2);
    }
    0
}

pub(super) fn to_backslashes(path: &mut [u8]) {
    for byte in path {
        if *byte == b'/' {
            *byte = b'\\';
        }
    }
}

/// Where the `count`th component behind `start` ends, or the path if it is shorter.
fn components_end(path: &[u8], start: usize, count: usize) -> usize {
    path.iter()
        .enumerate()
        .skip(start)
        .filter(|(_, byte)| **byte == b'\\')
        .nth(count - 1)
        .map_or(path.len(), |(at, _)| at)
}

fn shorten(path: &[u8], separator: u8) -> Vec<u8> {
    let rooted = path.first() == Some(&separator);
    let mut kept: Vec<&[u8]> = Vec::new();
    for component in path.split(|byte| *byte == separator) {
        match component {
            b"" | b"." => {}
            b".." if kept.last().is_some_and(|last| *last != b"..") => drop(kept.pop()),
            b".." if rooted => {}
            _ => kept.push(component),
        }
    }
    let joined = kept.join(&separator);
    if rooted {
        [&[separator], &joined[..]].concat()
    } else {
        joined
    }
}

fn or_dot(path: Vec<u8>) -> Vec<u8> {
    if path.is_empty() { b".".to_vec() } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_never_makes_a_volume() {
        for (path, expected) in [
            (r"a\..\C:x", r".\C:x"),
            (r"a/../c:/x", r".\c:\x"),
            (r"\a\..\??\c:\x", r"\.\??\c:\x"),
            (r"C:", "C:."),
            (r"C:\..\a\", r"C:\a"),
            (r"C:..\a", r"C:..\a"),
            (r"\\host\share", r"\\host\share"),
            (r"\\host\share\..\x", r"\\host\share\x"),
            ("", "."),
        ] {
            let clean = clean_windows(path.as_bytes());
            assert_eq!(String::from_utf8(clean).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn volumes_have_four_forms() {
        for (path, len) in [
            ("", 0),
            (r"\x", 0),
            ("x", 0),
            ("é:x", 0),
            ("c:x", 2),
            (r"\\host", 6),
            (r"\\host\share\x", 12),
            (r"\\.\PIPE\x", 8),
            (r"\\.\UNC\host\share\x", 18),
            (r"\\?\C:\x", 6),
            (r"\??\C:\x", 6),
            (r"\??", 3),
        ] {
            assert_eq!(volume_len(path.as_bytes()), len, "{path}");
        }
    }
}
