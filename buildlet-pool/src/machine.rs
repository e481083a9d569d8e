use std::borrow::Borrow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// What a machine is, such as `host-linux-bookworm`. A builder asks for one of a type.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostType(Arc<str>);

/// One stay of a machine in a pool: whoever leaves and comes back has another. Never used twice by a pool, and never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MachineId(u64);

/// A machine that a pool has, or had.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Machine {
    /// Its id in the pool.
    pub id: MachineId,
    /// What it is.
    pub host_type: HostType,
    /// What it is called. A reverse buildlet chose it: letters, digits, `-`, `_` and `.`, at most 253 of them.
    pub host_name: Arc<str>,
    /// The version of its buildlet, as it says: any text of at most 128 characters.
    pub version: Arc<str>,
    /// Where it connected from, where that is known.
    pub peer: Option<SocketAddr>,
    /// Its commands may [outlive its stay](buildlet_proto::types::ext#commands-that-outlive-their-connection), and it comes back with them. Known
    /// once it is on offer.
    pub keeps_commands: bool,
}

impl HostType {
    /// The host type of this name.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl MachineId {
    /// The id of this number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl Machine {
    /// A machine of which no more is known.
    #[must_use]
    pub fn new(id: MachineId, host_type: HostType, host_name: impl Into<Arc<str>>) -> Self {
        Self {
            id,
            host_type,
            host_name: host_name.into(),
            version: "".into(),
            peer: None,
            keeps_commands: false,
        }
    }
}

impl From<&str> for HostType {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<Arc<str>> for HostType {
    fn from(name: Arc<str>) -> Self {
        Self(name)
    }
}

impl From<String> for HostType {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl AsRef<str> for HostType {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for HostType {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HostType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for HostType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for MachineId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}
