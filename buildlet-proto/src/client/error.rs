use std::error::Error;
use std::time::Duration;
use std::{fmt, io};

use http::StatusCode;

use super::BrokenReason;
use crate::types::ext::Extension;

/// Why a call to a buildlet failed. (Commands have an [`ExecError`].)
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum CallError {
    /// No connection could be made.
    Connect(io::Error),
    /// The connection failed before the reply, or the reply is no HTTP.
    Connection(hyper::Error),
    /// What was to be sent could not be read.
    Source(io::Error),
    /// There was no reply in time.
    TimedOut(Duration),
    /// The buildlet refused. The text is at most 4 KiB.
    Refused { status: StatusCode, text: String },
    /// The reply ended in the middle.
    Cut(hyper::Error),
    /// The reply has another form than it should.
    Reply(Box<dyn Error + Send + Sync>),
    /// A value cannot be sent as header or target.
    Unsendable(http::Error),
    /// The client is dead.
    Dead(BrokenReason),
    /// The buildlet does not offer this extension.
    Unsupported(Extension),
    /// Only a coordinator in between can do this; see [`Config::proxied`](super::Config::proxied).
    NotProxied,
}

impl CallError {
    /// The status with which the buildlet refused.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(_) => f.write_str("cannot connect to the buildlet"),
            Self::Connection(_) => f.write_str("connection to the buildlet failed"),
            Self::Source(_) => f.write_str("cannot read what is to be sent"),
            Self::TimedOut(limit) => write!(f, "no reply within {limit:?}"),
            Self::Refused { status, text } => {
                write!(f, "buildlet answered {status}")?;
                match text.trim_end() {
                    "" => Ok(()),
                    text => write!(f, ": {text}"),
                }
            }
            Self::Cut(_) => f.write_str("reply was cut off"),
            Self::Reply(_) => f.write_str("reply is not understood"),
            Self::Unsendable(_) => f.write_str("request cannot be written as HTTP"),
            Self::Dead(reason) => write!(f, "buildlet is given up: {reason}"),
            Self::Unsupported(extension) => {
                write!(f, "buildlet does not offer '{}'", extension.as_str())
            }
            Self::NotProxied => f.write_str("no coordinator in between"),
        }
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connect(source) | Self::Source(source) => Some(source),
            Self::Connection(source) | Self::Cut(source) => Some(source),
            Self::Reply(source) => Some(&**source),
            Self::Unsendable(source) => Some(source),
            Self::TimedOut(_)
            | Self::Refused { .. }
            | Self::Dead(_)
            | Self::Unsupported(_)
            | Self::NotProxied => None,
        }
    }
}

/// Why it is not known how a command ended: the machinery failed, not the command.
///
/// The command may be tried again, on another buildlet if [`breaks`](Self::breaks) says so. That it ran and failed is no error of
/// this type, but in the [`Outcome`](super::Outcome).
#[derive(Debug)]
#[non_exhaustive]
pub enum ExecError {
    /// It was not started.
    Start(CallError),
    /// The buildlet did not say in time that it runs.
    HeadTimedOut(Duration),
    /// The output ended in the middle.
    Cut(hyper::Error),
    /// The output ended without a `Process-State`.
    NoProcessState,
    /// It ran longer than allowed, and its connection was closed, so that the buildlet kills it.
    TimedOut,
    /// The output could not be written to where it should go.
    Output(io::Error),
    /// The client died meanwhile.
    Dead(BrokenReason),
}

impl ExecError {
    /// Whether the buildlet is in an unknown state now and was marked as broken.
    #[must_use]
    pub fn breaks(&self) -> bool {
        match self {
            Self::HeadTimedOut(_)
            | Self::Cut(_)
            | Self::NoProcessState
            | Self::TimedOut
            | Self::Dead(_) => true,
            Self::Start(error) => matches!(error, CallError::Dead(_)),
            Self::Output(_) => false,
        }
    }
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(_) => f.write_str("command was not started"),
            Self::HeadTimedOut(limit) => write!(f, "command did not start within {limit:?}"),
            Self::Cut(_) => f.write_str("output of the command was cut off"),
            Self::NoProcessState => f.write_str("command ended without a Process-State"),
            Self::TimedOut => f.write_str("command ran out of time"),
            Self::Output(_) => f.write_str("cannot write the output of the command"),
            Self::Dead(reason) => write!(f, "buildlet is given up: {reason}"),
        }
    }
}

impl Error for ExecError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Start(source) => Some(source),
            Self::Cut(source) => Some(source),
            Self::Output(source) => Some(source),
            Self::HeadTimedOut(_) | Self::NoProcessState | Self::TimedOut | Self::Dead(_) => None,
        }
    }
}

/// Why nobody comes back to a command.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum AttachError {
    /// There is no such command: it never was, its time was over, or the key is wrong.
    Unknown,
    /// The output from that offset on is not kept any more.
    OutputGone { offset: u64 },
    /// The buildlet could not be asked, or refused for another reason.
    Call(CallError),
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("buildlet has no such command"),
            Self::OutputGone { offset } => {
                write!(f, "output of the command from byte {offset} on is gone")
            }
            Self::Call(_) => f.write_str("cannot come back to the command"),
        }
    }
}

impl Error for AttachError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Call(source) => Some(source),
            Self::Unknown | Self::OutputGone { .. } => None,
        }
    }
}

impl From<CallError> for ExecError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Dead(reason) => Self::Dead(reason),
            CallError::TimedOut(limit) => Self::HeadTimedOut(limit),
            other => Self::Start(other),
        }
    }
}
