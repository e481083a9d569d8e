//! What works, machines, host types and the rest are called.

use std::fmt;
use std::sync::Arc;

/// A unit of work, such as a build. The caller numbers them; a number is free again when its work is
/// [finished](crate::Event::WorkFinished), cancelled or superseded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId(pub u64);

/// A machine, or one place on a machine that takes one work at a time. The caller numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(pub u64);

impl fmt::Display for WorkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! names {
    ($($(#[$docs:meta])* $name:ident;)*) => {$(
        $(#[$docs])*
        ///
        /// Cheap to clone; any text is valid.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(name.into())
            }
        }

        impl From<Arc<str>> for $name {
            fn from(name: Arc<str>) -> Self {
                Self(name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    )*};
}

names! {
    /// What a machine is, such as `host-linux-amd64`. Work goes to machines of its host type only.
    HostType;
    /// What runs, such as `linux-amd64-race`. Limits on how many run at once, and durations, are kept for a builder.
    BuilderName;
    /// Who a work is for, such as a user or a repository. Machines are shared fairly between shares.
    ShareName;
    /// Something that is used up while work runs, such as the CPUs of a cloud account.
    QuotaName;
    /// Works with the same key replace each other while they wait, such as those of one branch on one builder.
    SupersedeKey;
}
