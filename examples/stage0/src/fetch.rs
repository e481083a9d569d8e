//! One download: what is there already is not fetched again, and what is fetched is whole and right or not kept.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use ureq::Body;
use ureq::http::Response;

use crate::binary::{self, Found, Note};
use crate::digest::{Digest, Hasher};
use crate::web::{Web, is_https};

/// Bytes read at a time.
const CHUNK: usize = 64 << 10;

/// What to fetch.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) binary: PathBuf,
    pub(crate) checksum: Checksum,
    pub(crate) insecure: bool,
    pub(crate) max_bytes: u64,
}

/// How it is known what the buildlet should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    Known(Digest),
    /// In a file beside it.
    Beside,
    /// It is not.
    None,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    New(Digest),
    Current(Digest),
}

/// Makes sure that the newest buildlet from `url` is on the disk. What was there stays if this fails. Blocks; `stop` ends it within a
/// chunk.
pub(crate) fn fetch(
    web: &Web,
    url: &str,
    order: &Order,
    stop: &AtomicBool,
) -> anyhow::Result<Fetched> {
    let vouched = is_https(url) || matches!(order.checksum, Checksum::Known(_));
    ensure!(
        vouched || order.insecure,
        "nothing vouches for what {url} sends: use https, --sha256, or --insecure if that is meant"
    );
    let path = &order.binary;
    let found = binary::find(path).with_context(|| format!("cannot read {}", path.display()))?;
    let expected = match order.checksum {
        Checksum::Known(digest) => Some(digest),
        Checksum::Beside => Some(sum_beside(web, url)?),
        Checksum::None => None,
    };
    match (&found, expected) {
        (Some(found), Some(expected)) if found.sha256 == expected => {
            return Ok(Fetched::Current(expected));
        }
        _ => {}
    }
    // With a checksum that the file does not have, no server can say that it is current.
    let known = found.filter(|found| expected.is_none() && !found.spoiled);
    let response = ask(web, url, known.as_ref())?;
    if let Some(known) = known
        && is_current(&response, &known)
    {
        return Ok(Fetched::Current(known.sha256));
    }
    let status = response.status();
    ensure!(status.as_u16() == 200, "cannot get {url}: {status}");
    keep(response, url, expected, order, stop).with_context(|| format!("cannot fetch {url}"))
}

/// Whether the buildlet that is on the disk may be run when no other can be had.
pub(crate) fn is_usable(order: &Order) -> io::Result<bool> {
    let found = binary::find(&order.binary)?;
    Ok(found.is_some_and(|found| match order.checksum {
        Checksum::Known(digest) => found.sha256 == digest,
        Checksum::Beside | Checksum::None => !found.spoiled,
    }))
}

fn sum_beside(web: &Web, url: &str) -> anyhow::Result<Digest> {
    let (path, query) = split_query(url);
    let beside = match query {
        Some(query) => format!("{path}.sha256?{query}"),
        None => format!("{path}.sha256"),
    };
    let text = web.text(&fresh(&beside), &[])?;
    Digest::from_sum_file(&text).with_context(|| format!("{beside} has no checksum"))
}

fn ask(web: &Web, url: &str, known: Option<&Found>) -> anyhow::Result<Response<Body>> {
    let noted = known
        .and_then(|known| known.note.as_ref())
        .filter(|note| note.url == split_query(url).0);
    let etag = noted.and_then(|note| note.etag.clone());
    // Without a note, the file may be of an older program, which set its time to that on the server.
    let modified = known
        .filter(|known| noted.is_some() || known.note.is_none())
        .and_then(|known| known.modified)
        .map(httpdate::fmt_http_date);
    let mut headers = Vec::new();
    if let Some(etag) = &etag {
        headers.push(("If-None-Match", etag.as_str()));
    }
    if let Some(modified) = &modified {
        headers.push(("If-Modified-Since", modified.as_str()));
    }
    web.get(&fresh(url), &headers)
        .with_context(|| format!("cannot get {url}"))
}

/// Whether the server says so, or, as upstream's rule is, has a file of the same size and time.
fn is_current(response: &Response<Body>, known: &Found) -> bool {
    match response.status().as_u16() {
        304 => true,
        200 => {
            let same_tag = match (&known.note, header(response, "etag")) {
                (
                    Some(Note {
                        etag: Some(ours), ..
                    }),
                    Some(theirs),
                ) => ours == theirs,
                _ => true,
            };
            let seconds = |time: SystemTime| {
                time.duration_since(UNIX_EPOCH)
                    .ok()
                    .map(|since| since.as_secs())
            };
            let same_time = last_modified(response)
                .and_then(seconds)
                .is_some_and(|theirs| known.modified.and_then(seconds) == Some(theirs));
            same_tag && same_time && content_length(response) == Some(known.size)
        }
        _ => false,
    }
}

fn keep(
    response: Response<Body>,
    url: &str,
    expected: Option<Digest>,
    order: &Order,
    stop: &AtomicBool,
) -> anyhow::Result<Fetched> {
    let length = content_length(&response);
    let chunked = header(&response, "transfer-encoding").is_some();
    // Otherwise a connection that breaks looks like the end.
    ensure!(
        length.is_some() || chunked || expected.is_some(),
        "the reply does not say how long it is, and there is no checksum"
    );
    let limit = order.max_bytes;
    ensure!(
        length.is_none_or(|length| length <= limit),
        "it is longer than {limit} bytes"
    );
    let (etag, modified) = (
        header(&response, "etag").map(str::to_owned),
        last_modified(&response),
    );
    let path: &Path = &order.binary;
    let mut new = binary::begin(path)
        .with_context(|| format!("cannot make a file beside {}", path.display()))?;
    let (bytes, digest) = copy(response.into_body().into_reader(), &mut new, limit, stop)?;
    ensure!(
        bytes > 0 && length.is_none_or(|length| length == bytes),
        "the reply ended early: {bytes} bytes came"
    );
    if let Some(expected) = expected
        && digest != expected
    {
        bail!("its SHA-256 is {digest}, and should be {expected}");
    }
    let note = Note {
        url: split_query(url).0.to_owned(),
        sha256: digest,
        etag,
    };
    binary::publish(new, path, modified, &note)
        .with_context(|| format!("cannot replace {}", path.display()))?;
    Ok(Fetched::New(digest))
}

fn copy(
    mut from: impl Read,
    to: &mut impl Write,
    limit: u64,
    stop: &AtomicBool,
) -> anyhow::Result<(u64, Digest)> {
    let (mut hasher, mut bytes, mut buffer) = (Hasher::default(), 0, vec![0; CHUNK]);
    loop {
        ensure!(!stop.load(Ordering::Relaxed), "stopped");
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok((bytes, hasher.finish())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other.context("the connection failed")?,
        };
        bytes += count as u64;
        ensure!(bytes <= limit, "it is longer than {limit} bytes");
        to.write_all(&buffer[..count]).context("cannot write it")?;
        hasher.write_all(&buffer[..count])?;
    }
}

/// Google's storage keeps copies for an hour at its edges, which a query that it does not know passes by.
fn fresh(url: &str) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    if url.starts_with("https://storage.googleapis.com/") && !url.contains('?') {
        format!("{url}?{now}")
    } else {
        url.to_owned()
    }
}

fn split_query(url: &str) -> (&str, Option<&str>) {
    url.split_once('?')
        .map_or((url, None), |(path, query)| (path, Some(query)))
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    // What would end the line of a note, or a header of ours, is none.
    response
        .headers()
        .get(name)?
        .to_str()
        .ok()
        .filter(|value| !value.is_empty())
}

fn content_length(response: &Response<Body>) -> Option<u64> {
    header(response, "content-length")?.parse().ok()
}

fn last_modified(response: &Response<Body>) -> Option<SystemTime> {
    httpdate::parse_http_date(header(response, "last-modified")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_a_file_are_passed_by() {
        assert!(
            fresh("https://storage.googleapis.com/b/buildlet")
                .starts_with("https://storage.googleapis.com/b/buildlet?")
        );
        for url in [
            "https://storage.googleapis.com/b/buildlet?1",
            "https://example.org/buildlet",
        ] {
            assert_eq!(fresh(url), url);
        }
    }
}
