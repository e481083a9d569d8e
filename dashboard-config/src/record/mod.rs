//! How a table of a file becomes a struct, and back: one list of fields gives reading, writing and the schema.

mod field;
mod macros;
mod reader;
mod value;

pub(crate) use self::field::{Field, Named};
pub(crate) use self::macros::{parsed, record, words};
pub(crate) use self::reader::{Node, Places, Reader};
pub(crate) use self::value::Value;
