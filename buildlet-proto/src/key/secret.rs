use std::fmt::Write as _;

use sha1::{Digest as _, Sha1};
use subtle::ConstantTimeEq as _;

/// The password of a buildlet whose TLS key has this PEM text: SHA-1 in lower-case hexadecimal digits, of the whole text with its
/// last line feed. Empty, which means no password, for an empty text.
#[must_use]
pub fn password_from_key_pem(pem: &str) -> String {
    if pem.is_empty() {
        String::new()
    } else {
        hex(&Sha1::digest(pem.as_bytes()))
    }
}

/// Whether two secrets are the same, in a time that depends on their lengths alone.
#[must_use]
pub fn same_secret(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // a String takes all
            text
        })
}
