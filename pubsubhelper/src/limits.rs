/// Bytes of a text in an event: more than any name, address or hash of GitHub and Gerrit has.
pub(crate) const MAX_FIELD: usize = 1024;
