use serde::{Deserialize, Serialize};

use super::Timestamp;

/// A machine as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Machine {
    /// Its name; machines of one host type have different ones.
    pub name: String,
    /// What it is.
    pub host_type: String,
    /// When it first came.
    pub first_seen: Timestamp,
    /// When something last happened to it.
    pub last_change: Timestamp,
    /// What that was.
    pub change: MachineChange,
}

/// Something that happened to a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MachineEvent {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub change: MachineChange,
}

/// What can happen to a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum MachineChange {
    /// It came.
    Connected {
        /// What it says about itself: version, system.
        description: String,
    },
    /// It went away, or was found dead.
    Lost {
        /// How that was noticed.
        reason: String,
    },
    /// It gets no work, since its builds kept failing for its own sake.
    Quarantined {
        /// What happened.
        reason: String,
        /// When it is tried again.
        until: Option<Timestamp>,
    },
    /// It gets work again.
    Released {
        /// Why.
        reason: String,
    },
    /// It gets no new work, since somebody said so.
    Drained {
        /// Who, for people.
        by: String,
    },
}
