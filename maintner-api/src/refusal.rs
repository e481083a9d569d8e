use tonic::{Code, Status};

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The question makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// What was asked about is not there.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be answered, or is wrong in a way for which upstream has no code.
    #[error("{0}")]
    Failed(String),
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::Invalid(_) => Code::InvalidArgument,
            Refusal::NotFound(_) => Code::NotFound,
            Refusal::Failed(_) => Code::Unknown,
        };
        Self::new(code, refusal.to_string())
    }
}
