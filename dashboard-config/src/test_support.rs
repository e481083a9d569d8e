//! What unit tests start from.

use crate::{Builder, Config};

/// A builder with one step and nothing else said.
pub(crate) fn builder() -> Builder {
    let text = "[host.h]\npool = \"process\"\n[builder.b]\nhost_type = \"h\"\nstep = [{ run = \"true\" }]\n";
    let config = Config::parse("test.toml", text).unwrap();
    config.builder("b").unwrap().clone()
}
