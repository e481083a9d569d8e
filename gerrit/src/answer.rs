//! How answers are understood: the line before the JSON, and pages that are no answers.

use http::header::{CONTENT_TYPE, LOCATION};
use http::{Response, Uri};
use rest_transport::Body;
use serde::de::DeserializeOwned;

/// Gerrit begins its JSON with this, so that no script of another site can run it.
const PREFIX: &[u8] = b")]}'";

/// Decodes the first JSON value, after the line that Gerrit puts before it, if it is there; whatever follows the value is ignored.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    let trimmed = body.trim_ascii_start();
    let rest = match trimmed.strip_prefix(PREFIX) {
        Some(rest) => match rest.iter().position(|&byte| byte == b'\n') {
            Some(end) => &rest[end + 1..],
            None => b"",
        },
        None => trimmed,
    };
    T::deserialize(&mut serde_json::Deserializer::from_slice(rest))
}

/// What addresses of login pages have as a part of their path: Gerrit's own, and those of usual identity providers.
const LOGIN_PARTS: &[&str] = &[
    "login",
    "log-in",
    "signin",
    "sign-in",
    "servicelogin",
    "accountchooser",
    "oauth",
    "oauth2",
    "openid",
    "authorize",
    "saml",
    "saml2",
    "sso",
    "auth",
];

/// What the hosts of login pages are called.
const LOGIN_HOSTS: &[&str] = &["login", "signin", "accounts", "auth", "sso", "idp", "id"];

/// Whether a redirection of the answer to `asked` goes to where people log in: to a part of the path that is called so and was not asked
/// for, or to another host that is called so. A project may have such a name too.
pub(crate) fn leads_to_login(asked: &Uri, response: &Response<Body>) -> bool {
    let to = response.headers().get(LOCATION);
    let to = to.and_then(|to| to.to_str().ok()).unwrap_or_default();
    if !response.status().is_redirection() {
        return false;
    }
    let (host, path) = match to.split_once("://") {
        Some((_, rest)) => rest.split_once('/').unwrap_or((rest, "")),
        None => ("", to),
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let parts = |path: &str| -> Vec<String> {
        path.split(['/', ';'])
            .map(str::to_ascii_lowercase)
            .collect()
    };
    let known = parts(asked.path());
    let is_login = |part: &String| LOGIN_PARTS.contains(&part.as_str()) && !known.contains(part);
    let host = host
        .split(['/', ':', '?', '#'])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let is_other = !host.is_empty()
        && asked
            .host()
            .is_none_or(|asked| !asked.eq_ignore_ascii_case(&host));
    let first = host.split('.').next().unwrap_or_default();
    parts(path).iter().any(is_login) || (is_other && LOGIN_HOSTS.contains(&first))
}

/// Whether it is a page for people, where JSON was wanted.
pub(crate) fn is_page(response: &Response<Body>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| {
        kind.as_bytes()
            .to_ascii_lowercase()
            .starts_with(b"text/html")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_line_before_the_json_is_there_or_not() {
        for body in [
            ")]}'\n{\"a\":1}",
            ")]}'\r\n{\"a\":1}\r\n",
            "  )]}'\n  {\"a\":1} and more",
            "{\"a\":1}",
            "{\n\"a\":1}",
        ] {
            let value: serde_json::Value = json(body.as_bytes()).unwrap();
            assert_eq!(value["a"], 1, "{body}");
        }
        for body in ["", ")]}'", ")]}'\n", ")]}'\n{\"a\":", "other\n{}"] {
            assert!(
                json::<serde_json::Value>(body.as_bytes()).is_err(),
                "{body}"
            );
        }
    }

    #[test]
    fn only_the_way_to_a_login_page_is_one() {
        let leads = |asked: &str, to: &str| {
            let response = Response::builder().status(302).header(LOCATION, to);
            let response = response.body(rest_transport::body("")).unwrap();
            leads_to_login(&asked.parse().unwrap(), &response)
        };
        let asked = "https://r.example.org/a/projects/auth/branches";
        for to in [
            "/login/%2Fq%2Fstatus%3Aopen",
            "https://r.example.org/login",
            "https://accounts.example.com/ServiceLogin?continue=x",
            "https://login.example.com/x",
            "https://www.example.com/oauth2/authorize?client_id=1",
            "/auth/realms/x",
        ] {
            let is_asked = to.starts_with("/auth");
            assert_eq!(leads(asked, to), !is_asked, "{to}");
        }
        for to in [
            "",
            "/a/projects/auth/branches/",
            "https://r.example.org/a/projects/auth/branches/?next=login",
            "https://new.example.org/a/projects/auth/branches",
            "https://r.example.org/a/authors/login-page",
        ] {
            assert!(!leads(asked, to), "{to}");
        }
        assert!(leads("https://r.example.org/a/changes/", "/auth/realms/x"));
    }

    proptest! {
        #[test]
        fn no_body_makes_the_decoder_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = json::<serde_json::Value>(&body);
        }
    }
}
