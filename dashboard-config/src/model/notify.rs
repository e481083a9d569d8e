use std::time::Duration;

use crate::record::{record, words};

words! {
    /// A result that is told.
    pub enum NotifyOn {
        /// A build failed after one that did not, on the same branch.
        Broken = "broken",
        /// A build succeeded after one that did not, on the same branch.
        Fixed = "fixed",
        /// Every build that failed.
        Failed = "failed",
        /// Every build that succeeded.
        Succeeded = "succeeded",
    }
}

record! {
    /// Who is told of results, and how. A rule of the general form: builders name the rules that apply to them.
    pub struct Notify named name {
        /// The address that is sent each result as JSON.
        pub webhook: Option<String> = None,
        /// A file with the secret that each such message is signed with, by HMAC-SHA-256.
        pub secret_file: Option<String> = None,
        /// Whether results are printed where the coordinator runs.
        pub terminal: bool = false,
        /// Which results.
        pub on: Vec<NotifyOn> = vec![NotifyOn::Broken, NotifyOn::Fixed],
        /// How long one attempt of sending may take.
        pub timeout: Duration = Duration::from_secs(10),
        /// How many attempts there are.
        pub attempts: u32 = 5,
    }
}
