//! Values that are written as a string.

mod duration;
mod env;
mod glob;
mod names;
mod size;
mod template;
mod version;

pub use self::duration::{ParseDurationError, parse_duration};
pub use self::env::{Env, EnvVar, ParseEnvError};
pub use self::glob::{Glob, ParseGlobError};
pub(crate) use self::names::{is_name, nearest};
pub use self::size::{ByteSize, ParseSizeError};
pub use self::template::{ParseTemplateError, Template, Values, Variable};
pub use self::version::{ParseVersionError, ReleaseBranch, Version};
