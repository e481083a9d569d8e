use std::time::Duration;

use crate::record::record;
use crate::text::ByteSize;

record! {
    /// How long builds are kept, with their logs and files: what is beyond any one of these limits goes, the oldest first.
    ///
    /// What waits or runs is always kept, and so is the newest build of each branch of a repository on each builder.
    pub struct Retention with Default {
        /// How long after their end.
        pub age: Duration = Duration::from_secs(365 * 24 * 60 * 60),
        /// How many that are done; 0 is no limit.
        pub builds: u32 = 1_000_000,
        /// How large their logs, as they were printed, and files are together; 0B is no limit.
        pub size: ByteSize = ByteSize(500 << 30),
    }
}
