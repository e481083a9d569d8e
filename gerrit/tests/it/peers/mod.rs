//! The calls, made to a real Gerrit. What it answers must have a name in the types of this crate, field by field.

mod edits;
mod more_changes;
mod people;
mod project_settings;
mod projects;
mod refusals;
mod reviews;
#[cfg(feature = "test-support")]
mod same;
mod site;
mod states;
