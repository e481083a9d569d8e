//! The program as it is built, over the logs that Go's maintner answered.

mod lists;
mod logs;
mod support;
