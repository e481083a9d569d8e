use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

use crate::web::failure::Failure;

struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
    /// Of its content, so that a browser keeps it for as long as it stays the same.
    tag: String,
}

static ASSETS: LazyLock<[Asset; 4]> = LazyLock::new(|| {
    [
        (
            "style.css",
            "text/css; charset=utf-8",
            include_str!("../../assets/style.css"),
        ),
        (
            "log.js",
            "text/javascript; charset=utf-8",
            include_str!("../../assets/log.js"),
        ),
        (
            "refresh.js",
            "text/javascript; charset=utf-8",
            include_str!("../../assets/refresh.js"),
        ),
        (
            "favicon.svg",
            "image/svg+xml",
            include_str!("../../assets/favicon.svg"),
        ),
    ]
    .map(|(name, kind, text)| {
        let hash = Sha256::digest(text.as_bytes());
        let digits: String = hash
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Asset {
            name,
            kind,
            text,
            tag: format!("\"{digits}\""),
        }
    })
});

/// A file that is part of the program.
pub(super) async fn asset(
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return Err(Failure::not_found("There is no such page."));
    };
    let fixed = [(ETAG, asset.tag.as_str()), (CACHE_CONTROL, "no-cache")];
    if headers
        .get(IF_NONE_MATCH)
        .is_some_and(|tag| tag.as_bytes() == asset.tag.as_bytes())
    {
        return Ok((StatusCode::NOT_MODIFIED, fixed).into_response());
    }
    Ok((fixed, [(CONTENT_TYPE, asset.kind)], asset.text).into_response())
}
