use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_util::StreamExt as _;
use http::Method;

use crate::error::Error;

/// Decodes base64 as it comes. Only whole groups of four characters are decoded before the end.
pub(super) fn decoded<S>(
    encoded: S,
    url: String,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + Unpin
where
    S: Stream<Item = Result<Bytes, Error>> + Send + Unpin,
{
    let state = Some((encoded, BytesMut::new()));
    let pieces = futures_util::stream::unfold(state, move |state| {
        let url = url.clone();
        async move {
            let (mut encoded, mut rest) = state?;
            let wrong = |source: base64::DecodeError| Error::Decode {
                method: Method::GET,
                url,
                source: Box::new(source),
            };
            loop {
                let is_end = match encoded.next().await {
                    Some(Ok(piece)) => {
                        let is_text = |byte: &&u8| !byte.is_ascii_whitespace();
                        rest.extend(piece.iter().filter(is_text));
                        false
                    }
                    Some(Err(error)) => return Some((Err(error), None)),
                    None => true,
                };
                let len = if is_end {
                    rest.len()
                } else {
                    rest.len() / 4 * 4
                };
                if len == 0 {
                    if is_end {
                        return None;
                    }
                    continue;
                }
                let whole = rest.split_to(len);
                return match BASE64_STANDARD.decode(&whole) {
                    Ok(bytes) => Some((Ok(bytes.into()), Some((encoded, rest)))),
                    Err(error) => Some((Err(wrong(error)), None)),
                };
            }
        }
    });
    Box::pin(pieces)
}
