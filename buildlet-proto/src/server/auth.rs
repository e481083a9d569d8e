use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::key::same_secret;

/// Whether the request brings `password` by HTTP Basic authentication, whatever the user name.
///
/// The time this takes depends on what was sent and on the length of the password, not on its characters.
pub(super) fn is_authorized(headers: &HeaderMap, password: &str) -> bool {
    let Some(sent) = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("basic")
            .then(|| decode_base64(credentials))?
    }) else {
        return false;
    };
    let Some(colon) = sent.iter().position(|byte| *byte == b':') else {
        return false;
    };
    same_secret(&sent[colon + 1..], password.as_bytes())
}

/// Decodes base64 with padding (RFC 4648, section 4).
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let quads = text.as_bytes().chunks_exact(4);
    if !quads.remainder().is_empty() {
        return None;
    }
    let last = quads.len().wrapping_sub(1);
    let mut bytes = Vec::with_capacity(quads.len() * 3);
    for (at, quad) in quads.enumerate() {
        let padding = quad.iter().rev().take_while(|byte| **byte == b'=').count();
        if padding > if at == last { 2 } else { 0 } {
            return None;
        }
        let mut bits = 0;
        for byte in &quad[..4 - padding] {
            bits = bits << 6 | sextet(*byte)?;
        }
        bits <<= 6 * padding;
        bytes.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
    }
    Some(bytes)
}

fn sextet(letter: u8) -> Option<u32> {
    Some(u32::from(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn allowed(value: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        is_authorized(&headers, "sekret")
    }

    #[test]
    fn only_the_password_counts() {
        assert!(allowed("Basic d2hvZXZlcjpzZWtyZXQ="));
        assert!(allowed("basic OnNla3JldA=="));
        for wrong in [
            "Basic Z29tb3RlOng=", // another password
            "Basic c2VrcmV0",     // no colon
            "Basic OnNla3JldAA=", // a zero byte more
            "Basic OnNla3JldA",   // no padding
            "Basic OnNla3Jl====", // too much of it
            "Bearer OnNla3JldA==",
            "OnNla3JldA==",
            "Basic",
            "",
        ] {
            assert!(!allowed(wrong), "{wrong}");
        }
        assert!(!is_authorized(&HeaderMap::new(), "sekret"));
    }

    #[test]
    fn base64_is_read_as_the_rfc_writes_it() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYmE=", "fooba"),
            ("Pz8/Pj4+", "???>>>"),
        ] {
            assert_eq!(decode_base64(text).unwrap(), bytes.as_bytes());
        }
        for bad in ["Z", "Zg=", "=", "====", "Zg==Zg==", "Z===", "Zm9\u{e9}"] {
            assert_eq!(decode_base64(bad), None, "{bad}");
        }
    }
}
