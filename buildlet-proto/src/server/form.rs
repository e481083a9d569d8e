use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body::Body;
use http_body_util::BodyExt as _;

use super::reply::Refusal;
use crate::types::Form;

/// Reads the form in the body of a request, up to `max` bytes of it; a body of another type counts as no form, and is left.
///
/// `stall` is how long it may take until the next bytes come.
pub(super) async fn read<B>(
    headers: &HeaderMap,
    body: B,
    max: usize,
    stall: Duration,
) -> Result<Form, Refusal>
where
    B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
{
    let content_type = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    let Some(encoding) = content_type.and_then(Encoding::of) else {
        return Ok(Form::new());
    };
    let bytes = collect(body, max.min(Form::MAX_BYTES), stall).await?;
    match encoding {
        Encoding::Url => Form::parse(&bytes).map_err(too_large),
        Encoding::Multipart { boundary } => parse_multipart(&bytes, &boundary),
    }
}

fn too_large(text: impl std::fmt::Display) -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
}

async fn collect<B>(mut body: B, max: usize, stall: Duration) -> Result<BytesMut, Refusal>
where
    B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
{
    let mut bytes = BytesMut::new();
    let refuse = || too_large(format_args!("form longer than {max} bytes"));
    if body.size_hint().lower() > max as u64 {
        return Err(refuse());
    }
    loop {
        let Ok(frame) = tokio::time::timeout(stall, body.frame()).await else {
            return Err(Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                "the form does not end",
            ));
        };
        let Some(frame) = frame else {
            return Ok(bytes);
        };
        let frame = frame
            .map_err(|error| Refusal::bad_request(format_args!("cannot read the form: {error}")))?;
        if let Ok(data) = frame.into_data() {
            if data.len() > max - bytes.len() {
                return Err(refuse());
            }
            bytes.extend_from_slice(&data);
        }
    }
}

/// How a form is written in a body.
#[derive(Debug, PartialEq, Eq)]
enum Encoding {
    Url,
    Multipart { boundary: Vec<u8> },
}

impl Encoding {
    /// What a `Content-Type` says.
    fn of(content_type: &[u8]) -> Option<Self> {
        let (media_type, parameters) = split_parameters(content_type);
        if media_type.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            return Some(Self::Url);
        }
        if !media_type.eq_ignore_ascii_case(b"multipart/form-data") {
            return None;
        }
        let boundary = parameter(parameters, b"boundary")?;
        // RFC 2046, section 5.1.1.
        (1..=70)
            .contains(&boundary.len())
            .then_some(Self::Multipart { boundary })
    }
}

/// Reads the text fields of a `multipart/form-data` body (RFC 7578); files in it are left out, as upstream does.
///
/// No peer is known to send one; upstream takes it.
fn parse_multipart(body: &[u8], boundary: &[u8]) -> Result<Form, Refusal> {
    let malformed = || Refusal::bad_request("malformed multipart form");
    let mut form = Form::new();
    let mut fields = 0;
    // The first delimiter needs no line before it.
    let delimiter = [b"\r\n--", boundary].concat();
    let mut rest = match body.strip_prefix(&delimiter[2..]) {
        Some(rest) => rest,
        None => split_at(body, &delimiter).ok_or_else(malformed)?.1,
    };
    while !rest.starts_with(b"--") {
        let (padding, part) = split_at(rest, b"\r\n").ok_or_else(malformed)?;
        if !padding.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(malformed());
        }
        let (part, next) = split_at(part, &delimiter).ok_or_else(malformed)?;
        rest = next;
        fields += 1;
        if fields > Form::MAX_FIELDS {
            return Err(too_large(crate::types::FormError::TooManyFields));
        }
        let (headers, value) = match part.strip_prefix(b"\r\n") {
            Some(value) => (&b""[..], value),
            None => split_at(part, b"\r\n\r\n").ok_or_else(malformed)?,
        };
        if let Some(name) = field_name(headers) {
            form.add(&name, value);
        }
    }
    Ok(form)
}

/// The name in the `Content-Disposition` of a part that is a text field.
fn field_name(headers: &[u8]) -> Option<String> {
    let mut rest = headers;
    loop {
        let (line, next) = split_at(rest, b"\r\n").unwrap_or((rest, b""));
        let (name, value) = split_at(line, b":")?;
        if name.eq_ignore_ascii_case(b"content-disposition") {
            let (kind, parameters) = split_parameters(value);
            let is_text = kind.eq_ignore_ascii_case(b"form-data")
                && parameter(parameters, b"filename").is_none();
            return is_text
                .then(|| parameter(parameters, b"name"))?
                .and_then(|name| String::from_utf8(name).ok());
        }
        rest = next;
    }
}

/// Divides a header's value into what stands before the first `;`, trimmed, and the rest.
fn split_parameters(value: &[u8]) -> (&[u8], &[u8]) {
    let (first, rest) = split_at(value, b";").unwrap_or((value, b""));
    (first.trim_ascii(), rest)
}

/// The value of a parameter: a token or a quoted string (RFC 9110, section 5.6.6).
fn parameter(mut parameters: &[u8], wanted: &[u8]) -> Option<Vec<u8>> {
    loop {
        let (name, rest) = split_at(parameters, b"=")?;
        let rest = rest.trim_ascii_start();
        let mut value = Vec::new();
        let tail = match rest.strip_prefix(b"\"") {
            None => {
                let (token, tail) = split_at(rest, b";").unwrap_or((rest, b""));
                value.extend_from_slice(token.trim_ascii_end());
                tail
            }
            Some(quoted) => {
                let mut bytes = quoted.iter();
                loop {
                    match bytes.next()? {
                        b'"' => break,
                        b'\\' => value.push(*bytes.next()?),
                        byte => value.push(*byte),
                    }
                }
                split_parameters(bytes.as_slice()).1
            }
        };
        if name.trim_ascii().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        parameters = tail;
    }
}

/// Divides `bytes` at the first `separator`, which belongs to neither part.
fn split_at<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes
        .windows(separator.len())
        .position(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn multipart(body: &str) -> Option<Vec<(String, String)>> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let form = parse_multipart(body.as_bytes(), b"B").ok()?;
        Some(
            form.pairs()
                .map(|(key, value)| (text(key), text(value)))
                .collect(),
        )
    }

    #[test]
    fn the_encoding_is_that_of_the_content_type() {
        let multipart = |boundary: &str| {
            Some(Encoding::Multipart {
                boundary: boundary.into(),
            })
        };
        for (value, expected) in [
            ("application/x-www-form-urlencoded", Some(Encoding::Url)),
            (
                "Application/X-WWW-Form-URLEncoded; charset=utf-8",
                Some(Encoding::Url),
            ),
            ("multipart/form-data; boundary=B", multipart("B")),
            (
                "multipart/form-data; a=\"x;boundary=no\"; Boundary=\"a \\\"b\"",
                multipart("a \"b"),
            ),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"B", None),
            ("multipart/form-data", None),
            ("multipart/mixed; boundary=B", None),
            ("text/plain", None),
            ("", None),
        ] {
            assert_eq!(Encoding::of(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn multipart_fields_keep_their_bytes() {
        let body = "preamble\r\n--B \t\r\nContent-Type: text/plain\r\ncontent-disposition: form-data; name=\"env\"\r\n\r\n\
                    A=1\r\n--b\r\n\r\n--B\r\nContent-Disposition: form-data; name=f; filename=x\r\n\r\nfile\r\n\
                    --B\r\n\r\nno name\r\n--B\r\nContent-Disposition: form-data; name=cmd\r\n\r\n\r\n--B--epilogue";
        assert_eq!(
            multipart(body).unwrap(),
            [
                ("env".to_owned(), "A=1\r\n--b\r\n".to_owned()),
                ("cmd".to_owned(), String::new())
            ]
        );
        assert_eq!(multipart("--B--\r\n").unwrap(), []);
    }

    #[test]
    fn malformed_multipart_bodies_are_refused() {
        for bad in [
            "",
            "--C\r\n",
            "--B",
            "--B\r\n",
            "--Bx\r\n\r\n\r\n--B--",
            "--B\r\na\r\n--B--",
        ] {
            assert_eq!(multipart(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn multipart_never_panics(body in "(--B|\r\n|--|[a-c:;=\"\\\\]|Content-Disposition: form-data; name=){0,40}") {
            multipart(&body);
        }
    }
}
