use crate::sync::SyncError;

/// The scheme of an address, and what comes behind it.
pub(super) fn parts(url: &str) -> Result<(&str, &str), SyncError> {
    let refused = |why| {
        // Without what may be a password.
        let url = url.rsplit('@').next().unwrap_or(url).to_owned();
        SyncError::Url { url, why }
    };
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    if !["https", "http", "ssh", "file"].contains(&scheme) {
        return Err(refused(
            "it begins with none of https://, http://, ssh:// and file://",
        ));
    }
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused("it has blanks or other odd characters"));
    }
    let host = rest.split('/').next().unwrap_or_default();
    let has_password = host
        .rsplit_once('@')
        .is_some_and(|(user, _)| user.contains(':'));
    if has_password {
        return Err(refused(
            "it has a password, which would be shown: use git's credential helpers or a file of cookies",
        ));
    }
    Ok((scheme, rest))
}

/// How the project at an address is called.
pub(super) fn project_of(url: &str) -> Result<String, SyncError> {
    let (_, rest) = parts(url)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let path = path.strip_prefix("a/").unwrap_or(path).trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    Ok(format!("{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_are_called_as_their_addresses() {
        for (url, project) in [
            ("https://go.googlesource.com/go", "go.googlesource.com/go"),
            ("https://h/a/plugins/x.git", "h/plugins/x"),
            ("http://h:8080/x/", "h/x"),
            ("ssh://me@h:29418/x", "h/x"),
        ] {
            assert_eq!(project_of(url).unwrap(), project);
        }
        for url in [
            "",
            "h/x",
            "ext::sh -c id",
            "https://h/ x",
            "--upload-pack=id",
        ] {
            assert!(
                matches!(project_of(url), Err(SyncError::Url { .. })),
                "{url}"
            );
        }
        let error = project_of("https://me:s3cret@h/x").unwrap_err();
        assert!(!format!("{error:?} {error}").contains("s3cret"));
    }
}
