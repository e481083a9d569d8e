use std::error::Error;

/// Why a [`Transport`](crate::Transport) failed.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct TransportError {
    what: &'static str,
    is_unsent: bool,
    source: Box<dyn Error + Send + Sync>,
}

impl TransportError {
    /// A failure before anything of the request was sent, such as a refused connection: sending again repeats nothing.
    pub fn unsent(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            what: "no connection",
            is_unsent: true,
            source: source.into(),
        }
    }

    /// A failure after which nobody knows whether the server acted.
    pub fn broken(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            what: "the connection broke",
            is_unsent: false,
            source: source.into(),
        }
    }

    /// Whether it is certain that the server saw nothing of the request.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        self.is_unsent
    }
}
