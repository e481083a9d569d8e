use super::{ISOLATION_FIELD, NETWORK_FIELD, ParseExtError};

/// How far a command is kept from the rest of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Isolation {
    /// Not at all, as upstream's commands. (What it started still ends with it.)
    #[default]
    None,
    /// A session of its own and resource limits.
    Process,
    /// Also limits of memory and processes for the whole tree, and writes confined to the work directory.
    Sandbox,
}

impl Isolation {
    /// The value of the field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Process => "process",
            Self::Sandbox => "sandbox",
        }
    }

    /// Reads the value of the field.
    ///
    /// # Errors
    ///
    /// When it is another word.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, ParseExtError> {
        [Self::None, Self::Process, Self::Sandbox]
            .into_iter()
            .find(|level| level.as_str().as_bytes() == text.as_ref())
            .ok_or(ParseExtError {
                name: ISOLATION_FIELD,
            })
    }
}

/// Whether a command may use the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Network {
    /// As the buildlet itself.
    #[default]
    On,
    /// Not at all, but for a loopback interface of its own.
    Off,
}

impl Network {
    /// The value of the field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }

    /// Reads the value of the field.
    ///
    /// # Errors
    ///
    /// When it is another word.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, ParseExtError> {
        [Self::On, Self::Off]
            .into_iter()
            .find(|network| network.as_str().as_bytes() == text.as_ref())
            .ok_or(ParseExtError {
                name: NETWORK_FIELD,
            })
    }
}
