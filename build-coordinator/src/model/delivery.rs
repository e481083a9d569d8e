use std::fmt;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Number of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub u64);

/// Something to tell others: stored together with what it is about, sent until it arrives or is given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDelivery {
    /// Name of the receiver in the configuration, which has its address and secret. Neither is stored.
    pub target: String,
    /// What it is: `build_done`.
    pub event: String,
    /// What is sent. At most 1 MiB.
    pub body: String,
}

/// A delivery as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Delivery {
    /// Its number.
    pub id: DeliveryId,
    /// What to whom.
    #[serde(flatten)]
    pub new: NewDelivery,
    /// When it was asked for.
    pub created: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// Where it stands.
    pub state: DeliveryState,
    /// What came of the last try.
    pub last_result: String,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeliveryState {
    /// To be tried.
    Waiting {
        /// Not before.
        due: Timestamp,
    },
    /// It arrived.
    Delivered {
        /// When.
        at: Timestamp,
    },
    /// It was given up.
    GivenUp {
        /// When.
        at: Timestamp,
    },
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// It arrived.
    Delivered,
    /// It did not, and is tried again.
    TryAgain {
        /// Not before.
        due: Timestamp,
        /// What happened.
        error: String,
    },
    /// It did not, and is given up.
    GiveUp {
        /// What happened.
        error: String,
    },
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
