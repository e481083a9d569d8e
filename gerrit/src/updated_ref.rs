use http::HeaderMap;
use percent_encoding::percent_decode_str;

/// A ref that a call has changed, told by [`Call::fetch_with_refs`](crate::Call::fetch_with_refs).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpdatedRef {
    /// The project's name.
    pub project: String,
    /// The ref's whole name.
    pub git_ref: String,
    /// The commit that it was; none if the ref is new.
    pub old: Option<String>,
    /// The commit that it is; none if the ref was deleted.
    pub new: Option<String>,
}

impl UpdatedRef {
    /// Reads the headers `X-Gerrit-UpdatedRef`; one that cannot be read is left out, as it says nothing about whether the call worked.
    pub(crate) fn all(headers: &HeaderMap) -> Vec<Self> {
        let values = headers.get_all("x-gerrit-updatedref").iter();
        values
            .filter_map(|value| Self::parse(value.to_str().ok()?))
            .collect()
    }

    /// `PROJECT~REF~OLD~NEW`, the first two escaped.
    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.trim().split('~').collect();
        let [project, git_ref, old, new] = parts.as_slice() else {
            return None;
        };
        // As everywhere in Gerrit, a plus sign is a space.
        let unescaped = |text: &str| {
            let text = text.replace('+', " ");
            percent_decode_str(&text)
                .decode_utf8()
                .map(String::from)
                .ok()
        };
        let is_hash =
            |text: &str| text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash(old) || !is_hash(new) {
            return None;
        }
        let there = |hash: &str| (!hash.bytes().all(|byte| byte == b'0')).then(|| hash.to_owned());
        Some(Self {
            project: unescaped(project)?,
            git_ref: unescaped(git_ref)?,
            old: there(old),
            new: there(new),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_the_ref_and_what_became_of_it() {
        let (zero, one) = ("0".repeat(40), "1".repeat(40));
        let told =
            UpdatedRef::parse(&format!("a%2Fb+c~refs%2Fheads%2Fx%7Ey~{zero}~{one}")).unwrap();
        assert_eq!(
            (told.project.as_str(), told.git_ref.as_str()),
            ("a/b c", "refs/heads/x~y")
        );
        assert_eq!((told.old, told.new), (None, Some(one.clone())));
        for text in [
            "",
            "a~b",
            &format!("a~b~{one}~{one}~c"),
            &format!("a~b~x~{one}"),
        ] {
            assert_eq!(UpdatedRef::parse(text), None, "{text}");
        }
    }
}
