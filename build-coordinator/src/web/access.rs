use std::net::{IpAddr, SocketAddr};

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};

/// Who may read without a token, from other machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reading {
    /// Everybody.
    #[default]
    Open,
    /// Nobody.
    Closed,
}

/// The other side of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) address: Option<SocketAddr>,
    pub(super) is_tls: bool,
}

/// Headers that proxies add. A request with one of them comes from somewhere else than the connection does.
const FORWARDED: [&str; 6] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "via",
];

impl Peer {
    /// Whether the request was made on this machine, by all that is known.
    pub(super) fn is_local(&self, headers: &HeaderMap) -> bool {
        self.address
            .is_some_and(|peer| peer.ip().to_canonical().is_loopback())
            && !FORWARDED.iter().any(|name| headers.contains_key(*name))
    }
}

/// The host that a request names, with its port, if it names exactly one.
pub(super) fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let mut named = headers.get_all(HOST).iter();
    let host = named.next()?.to_str().ok()?;
    if named.next().is_some() {
        return None;
    }
    match uri.authority() {
        Some(authority) if authority.as_str() != host => None,
        _ => Some(host),
    }
}

/// Whether a host is one of ours: an address, a name of this machine's own, or one of `names`. An address cannot be pointed
/// elsewhere by whoever owns a name.
pub(super) fn is_ours(host: &str, names: &[String]) -> bool {
    let name = without_port(host);
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || names.iter().any(|ours| ours.eq_ignore_ascii_case(&name))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() => {
            // `::1` without brackets is no host of a request.
            name
        }
        _ => host,
    }
}

/// Whether a request that changes something comes from one of our own pages, or from no page at all.
///
/// Browsers say with every such request where it comes from; programs say nothing.
pub(super) fn is_from_us(headers: &HeaderMap, host: &str) -> bool {
    if let Some(site) = headers.get("sec-fetch-site")
        && !matches!(site.as_bytes(), b"same-origin" | b"none")
    {
        return false;
    }
    match headers.get(ORIGIN) {
        None => true,
        Some(origin) => origin
            .to_str()
            .ok()
            .and_then(|origin| {
                origin
                    .strip_prefix("https://")
                    .or_else(|| origin.strip_prefix("http://"))
            })
            .is_some_and(|origin| origin.eq_ignore_ascii_case(host)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_others_can_point_here_are_not_ours() {
        let names = ["ci.example.org".to_owned()];
        for host in [
            "localhost",
            "localhost:8119",
            "LOCALHOST.:1",
            "a.localhost",
            "127.0.0.1:80",
            "[::1]:8119",
            "[::1]",
            "192.168.1.2",
            "ci.example.org:443",
            "CI.example.org",
        ] {
            assert!(is_ours(host, &names), "{host}");
        }
        for host in [
            "",
            ":80",
            "evil.example",
            "localhost.evil.example",
            "xlocalhost",
            "127.0.0.1.evil.example",
            "a:b:c",
        ] {
            assert!(!is_ours(host, &names), "{host}");
        }
    }

    #[test]
    fn what_came_through_a_proxy_is_not_local() {
        let local = Peer {
            address: Some("127.0.0.1:5".parse().unwrap()),
            is_tls: false,
        };
        let mapped = Peer {
            address: Some("[::ffff:127.0.0.1]:5".parse().unwrap()),
            is_tls: true,
        };
        let far = Peer {
            address: Some("192.0.2.1:5".parse().unwrap()),
            is_tls: true,
        };
        let mut headers = HeaderMap::new();
        assert!(local.is_local(&headers) && mapped.is_local(&headers) && !far.is_local(&headers));
        assert!(
            !Peer {
                address: None,
                is_tls: false
            }
            .is_local(&headers)
        );
        headers.insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
        assert!(!local.is_local(&headers));
    }

    #[test]
    fn other_sites_cannot_change_anything() {
        let with = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            is_from_us(&headers, "localhost:8119")
        };
        assert!(is_from_us(&HeaderMap::new(), "localhost:8119"));
        assert!(with("origin", "http://localhost:8119") && with("sec-fetch-site", "same-origin"));
        assert!(
            !with("origin", "null")
                && !with("origin", "http://evil.example")
                && !with("origin", "http://localhost:1")
        );
        assert!(!with("sec-fetch-site", "cross-site") && !with("sec-fetch-site", "same-site"));
    }

    #[test]
    fn a_request_names_one_host() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(host(&headers, &uri("/")), None);
        headers.insert(HOST, "a".parse().unwrap());
        assert_eq!(host(&headers, &uri("/")), Some("a"));
        assert_eq!(host(&headers, &uri("http://b/")), None);
        headers.append(HOST, "b".parse().unwrap());
        assert_eq!(host(&headers, &uri("/")), None);
    }
}
