use serde::Deserialize;
use url::Url;

use crate::net::{FetchError, NetConfig};
use crate::sum::Sum;

/// How many segments a log may have. Upstream's had 136 after five years.
const MAX_SEGMENTS: usize = 100_000;

/// A segment as the server lists it.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) size: u64,
    pub(super) sum: Sum,
    pub(super) url: Url,
}

#[derive(Deserialize)]
struct Entry<'a> {
    number: u64,
    size: u64,
    #[serde(borrow)]
    sha224: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    url: std::borrow::Cow<'a, str>,
}

/// Reads a list of segments; their numbers are their places in it.
pub(super) fn parse(
    body: &[u8],
    base: &Url,
    config: &NetConfig,
) -> Result<Vec<Listed>, FetchError> {
    let bad = |reason: String| FetchError::Index {
        url: base.to_string(),
        reason,
    };
    // Go writes `null` for a list that was never made.
    let entries: Option<Vec<Entry<'_>>> =
        serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    let entries = entries.unwrap_or_default();
    if entries.len() > MAX_SEGMENTS {
        return Err(bad(format!("it has more than {MAX_SEGMENTS} segments")));
    }
    let mut log = 0_u64;
    let mut listed = Vec::with_capacity(entries.len());
    for (number, entry) in entries.iter().enumerate() {
        if entry.number != number as u64 {
            return Err(bad(format!(
                "segment {} stands in place {number}",
                entry.number
            )));
        }
        if entry.size > config.max_segment {
            return Err(FetchError::TooLarge {
                what: format!("segment {number} of {base}"),
                max: config.max_segment,
            });
        }
        log = log.saturating_add(entry.size);
        if log > config.max_log {
            return Err(FetchError::TooLarge {
                what: format!("the log {base}"),
                max: config.max_log,
            });
        }
        let sum = Sum::parse(&entry.sha224)
            .ok_or_else(|| bad(format!("the checksum of segment {number} is none")))?;
        let url = base
            .join(&entry.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| bad(format!("the address of segment {number} is none")))?;
        listed.push(Listed {
            size: entry.size,
            sum,
            url,
        });
    }
    Ok(listed)
}

/// Reads a list as a follower does that takes segments of 1000 bytes and logs of 1500, and gives sizes and addresses.
#[cfg(fuzzing)]
#[must_use]
pub fn fuzz(body: &[u8]) -> Option<Vec<(u64, String)>> {
    let base = Url::parse("https://example.com/x/logs").ok()?;
    let config = NetConfig::new("", "").max_segment(1000).max_log(1500);
    let listed = parse(body, &base, &config).ok()?;
    let listed = listed.into_iter();
    Some(
        listed
            .map(|segment| (segment.size, segment.url.into()))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "2cb2187e2bfe863195009349b96b02415f0995722f0f1a4a8fdcfc92";

    fn parsed(body: &str) -> Result<Vec<Listed>, FetchError> {
        let base = Url::parse("https://example.com/x/logs").unwrap();
        let config = NetConfig::new("", "").max_segment(1000).max_log(1500);
        parse(body.as_bytes(), &base, &config)
    }

    fn entry(number: i64, size: i64, url: &str) -> String {
        format!(r#"{{"number":{number},"size":{size},"sha224":"{SUM}","url":"{url}","other":1}}"#)
    }

    #[test]
    fn addresses_are_relative_to_the_list() {
        for (url, expected) in [
            ("/logs/0", "https://example.com/logs/0"),
            ("logs/0", "https://example.com/x/logs/0"),
            ("https://elsewhere/0", "https://elsewhere/0"),
            ("//elsewhere/0", "https://elsewhere/0"),
        ] {
            let listed = parsed(&format!("[{}]", entry(0, 1, url))).unwrap();
            assert_eq!(listed[0].url.as_str(), expected);
        }
        assert!(parsed("[]").unwrap().is_empty() && parsed("null").unwrap().is_empty());
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_listed_is_within_the_limits_and_stays_on_the_web(
            body in r#"[\[\]{}":,0-9a-z/\\. ]{0,80}"#,
            number in -1_i64..3, size in proptest::num::i64::ANY, url in "\\PC{0,30}",
        ) {
            drop(parsed(&body));
            let url = serde_json::Value::from(url).to_string();
            let entry = entry(number, size, "URL").replace("\"URL\"", &url);
            if let Ok(listed) = parsed(&format!("[{entry}]")) {
                proptest::prop_assert!(listed[0].size <= 1000);
                proptest::prop_assert!(matches!(listed[0].url.scheme(), "http" | "https"));
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for body in [
            "",
            "{}",
            "[1]",
            &format!("[{}]", entry(1, 1, "/0")),
            &format!("[{},{}]", entry(0, 1, "/0"), entry(2, 1, "/0")),
            &format!("[{}]", entry(0, -1, "/0")),
            &format!("[{}]", entry(0, 1, "file:///etc/passwd")),
            &format!("[{}]", entry(0, 1, "http://[")),
            &format!("[{}]", entry(0, 1, "/0").replace(SUM, "../../x")),
        ] {
            let error = parsed(body).unwrap_err();
            assert!(matches!(error, FetchError::Index { .. }), "{body}: {error}");
        }
        for body in [
            format!("[{}]", entry(0, 1001, "/0")),
            format!("[{},{}]", entry(0, 1000, "/0"), entry(1, 501, "/0")),
            format!("[{}]", entry(0, i64::MAX, "/0")),
        ] {
            let error = parsed(&body).unwrap_err();
            assert!(
                matches!(error, FetchError::TooLarge { .. }),
                "{body}: {error}"
            );
        }
    }
}
