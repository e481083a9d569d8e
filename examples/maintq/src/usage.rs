use std::fmt::{self, Display, Formatter};

/// A command line that makes no sense, beyond what clap can tell.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl Display for Usage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

pub(crate) fn conflict(one: &str, other: &str) -> Usage {
    Usage(format!("{one} and {other} exclude each other"))
}
