//! The pages that people look at.

mod build;
mod forms;
mod lists;
mod status;

pub(super) use self::build::{Panel, build, find, panel};
pub(super) use self::forms::{cancel, drain, enqueue, login, retry, sign_in, sign_out};
pub(super) use self::lists::{BuildsQuery, builders, builds, dashboard, list, machines, queue};
pub(super) use self::status::status;

use http::StatusCode;

use crate::web::failure::Failure;

/// The answer to a path that there is not.
pub(super) async fn nothing() -> Failure {
    Failure::not_found("There is no such page.")
}

/// The answer to a method that a path does not know.
pub(super) async fn wrong_method() -> Failure {
    Failure {
        status: StatusCode::METHOD_NOT_ALLOWED,
        code: "method_not_allowed",
        message: "That cannot be done to this page.".to_owned(),
    }
}
