//! Why a coordinator does not do what it was asked, as pages and the API say it.

use crate::coordinator::{self, EnqueueError, ReloadError};
use crate::store::StoreError;
use crate::web::backend::{BackendError, CommandError};

impl From<ReloadError> for CommandError {
    fn from(error: ReloadError) -> Self {
        match error {
            ReloadError::Refused(problems) => Self::Invalid(format!(
                "The configuration is not good, and the one before is used.\n{problems}"
            )),
            ReloadError::NoFiles => Self::Conflict(sentence(&error)),
            ReloadError::Stopping => Self::Unavailable(sentence(&error)),
        }
    }
}

impl From<coordinator::CommandError> for CommandError {
    fn from(error: coordinator::CommandError) -> Self {
        use coordinator::CommandError as Why;
        let text = sentence(&error);
        match error {
            Why::NoBuild(_) | Why::NoMachine(_) => Self::NotFound(text),
            Why::Store(StoreError::Name { .. } | StoreError::TooLarge { .. }) => {
                Self::Invalid(text)
            }
            Why::Done(_) | Why::NotDone(_) | Why::Ending(_) => Self::Conflict(text),
            Why::Stopping => Self::Unavailable(text),
            other => Self::Backend(BackendError::new(other)),
        }
    }
}

impl From<EnqueueError> for CommandError {
    fn from(error: EnqueueError) -> Self {
        let text = sentence(&error);
        match error {
            EnqueueError::NoRepository(_)
            | EnqueueError::NoBuilder(_)
            | EnqueueError::NoRevision { .. } => Self::NotFound(text),
            EnqueueError::NothingToBuild { .. } | EnqueueError::NoBase(_) => Self::Invalid(text),
            EnqueueError::Stopping => Self::Unavailable(text),
            other => Self::Backend(BackendError::new(other)),
        }
    }
}

/// An error as a page says it: `the coordinator stops` becomes `The coordinator stops.`
pub(super) fn sentence(error: &impl std::error::Error) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), chars.as_str()),
        None => text,
    }
}
