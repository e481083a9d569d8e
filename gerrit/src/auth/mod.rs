//! Who the client says it is.

mod cookie_file;
mod git_cookies;
mod kind;
mod netrc;

pub use self::kind::{Auth, AuthError, Authenticate, Token, TokenSource};

/// What the two kinds of files say about `uri`, however they are.
#[cfg(feature = "test-support")]
pub(crate) fn fuzz(text: &str, uri: &http::Uri) -> (String, Option<(String, String)>) {
    let cookies = cookie_file::CookieJar::parse(text).header(uri, 0);
    (
        cookies,
        netrc::login(text, &[uri.host().unwrap_or_default()]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::cookie_file::CookieJar;
    use super::netrc;

    #[test]
    fn files_are_read_as_upstream_reads_them_or_better() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../../tests/data/cookies.json")).unwrap();
        assert_eq!(vectors.len(), 28);
        for vector in &vectors {
            let name = vector["name"].as_str().unwrap();
            let file = vector["file"].as_str().unwrap();
            let server = vector["server"].as_str().unwrap();
            let host = server.split_once("://").unwrap().1;
            if name.contains("netrc") {
                let expected = match name {
                    "netrc one line" | "netrc with comment" => Some(("git-x", "p1")),
                    // Upstream understands one line of one form.
                    "netrc multi line form is not understood"
                    | "netrc other order is not understood" => Some(("git-x", "p1")),
                    "netrc default entry is not understood" => Some(("a", "b")),
                    "no netrc" => None,
                    other => panic!("no expectation for {other}"),
                };
                let login = netrc::login(file, &[host]);
                let login = login
                    .as_ref()
                    .map(|(user, word)| (user.as_str(), word.as_str()));
                assert_eq!(login, expected, "{name}");
                continue;
            }
            if name == "missing cookie file" {
                continue; // With the client, in `tests/it/faults.rs`.
            }
            // Upstream drops cookies without an expiry, reads `#HttpOnly_` as a part of the host, and matches the server's address alone.
            let expected = match name {
                "expiry zero" | "#HttpOnly_ prefix" | "path not covering server URL path" => "o=v",
                _ => vector["cookie"].as_str().unwrap(),
            };
            let uri = vector["url"].as_str().unwrap().parse().unwrap();
            assert_eq!(
                CookieJar::parse(file).header(&uri, 1_700_000_000),
                expected,
                "{name}"
            );
        }
    }
}
