//! `Link` headers (RFC 8288), of which GitHub says where the next page is.

use http::HeaderMap;
use http::header::LINK;

/// The address of the next page, as it stands there.
pub(super) fn next(headers: &HeaderMap) -> Option<String> {
    let mut links = headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok());
    links.find_map(next_of).map(str::to_owned)
}

fn next_of(value: &str) -> Option<&str> {
    let mut rest = value;
    // An address may hold commas, so that the header cannot just be cut at them.
    while let Some((_, after)) = rest.split_once('<') {
        let (address, after) = after.split_once('>')?;
        let (parameters, others) = match after.find(",") {
            Some(comma) => after.split_at(comma),
            None => (after, ""),
        };
        let is_next = parameters.split(';').any(|parameter| {
            let (key, value) = parameter.split_once('=').unwrap_or_default();
            let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
            key.trim().eq_ignore_ascii_case("rel")
                && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(address);
        }
        rest = others;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_others() {
        for (header, next) in [
            (
                r#"<https://h/a?page=2>; rel="next", <https://h/a?page=9>; rel="last""#,
                Some("https://h/a?page=2"),
            ),
            (
                r#"<https://h/a?page=1>; rel="prev", <https://h/a,b?page=3>; rel="next""#,
                Some("https://h/a,b?page=3"),
            ),
            (
                r#"<https://h/a>; title="x"; rel="last next""#,
                Some("https://h/a"),
            ),
            ("<https://h/a>; rel=next", Some("https://h/a")),
            (r#"<https://h/a>; rel="prev""#, None),
            (r#"<https://h/a; rel="next""#, None),
            ("", None),
            (";;;,,,<>", None),
        ] {
            assert_eq!(next_of(header), next, "{header}");
        }
    }
}
