use std::time::Duration;

use super::{Artifact, GoBuild, Isolation, Step};
use crate::record::{record, words};
use crate::text::{Env, Glob, Version};

record! {
    /// A configuration of what is built, where and how: upstream's build config.
    pub struct Builder named name {
        /// The kind of machine it runs on: the name of a host table.
        pub host_type: String,
        /// The repositories it builds, by name; patterns.
        pub repos: Vec<Glob> = vec![Glob::any()],
        /// The branches it builds; patterns.
        pub branches: Vec<Glob> = vec![Glob::any()],
        /// A policy that must allow it too; the name of a policy table.
        pub builds: Option<String> = None,
        /// Whether it runs for changes before they are merged; absent, it does not.
        pub try_rule as "try": Option<TryRule> = None,
        /// Whether it runs only for changes before they are merged, and never after.
        pub try_only: bool = false,
        /// What it runs, in order.
        pub steps as "step": Vec<Step> = Vec::new(),
        /// In place of steps: a build of the Go distribution or of a repository against it, as upstream's coordinator makes it.
        pub go: Option<GoBuild> = None,
        /// Environment variables of all steps, besides those of the host.
        pub env: Env = Env::default(),
        /// How long all steps may take together.
        pub timeout: Duration = Duration::from_secs(3600),
        /// How far steps are kept from the rest of the machine, unless they say otherwise.
        pub isolation: Isolation = Isolation::Process,
        /// Files to keep.
        pub artifacts as "artifact": Vec<Artifact> = Vec::new(),
        /// What happens when an attempt ends for a reason that is not the build's own.
        pub retry: Retry = Retry::default(),
        /// How many builds of it may run at a time; 0 is no limit.
        pub max_at_once: u32 = 0,
        /// What it is worth against others: more goes first. From -100 to 100.
        pub priority: i32 = 0,
        /// What a newer commit of the same branch does to older ones.
        pub supersede: Supersede = Supersede::Never,
        /// Words for people and pages to group builders by.
        pub labels: Vec<String> = Vec::new(),
        /// Who is told of its results: names of notify tables.
        pub notify: Vec<String> = Vec::new(),
        /// For people.
        pub notes: String = String::new(),
        /// Numbers of issues because of which failures are expected; such failures are shown, not told.
        pub known_issues: Vec<u32> = Vec::new(),
        /// The oldest release branch it builds.
        pub minimum_version: Version = Version::default(),
        /// Only revisions that contain all these commits are built.
        pub contains: Vec<String> = Vec::new(),
        /// Which tests run; the name of a test policy table.
        pub test_policy: Option<String> = None,
        /// Additional machines that take part in the tests.
        pub helpers: Helpers = Helpers::default(),
        /// Whether it is off, whatever else is said here.
        pub disabled: bool = false,
        /// Whether only privileged users may use such a machine by hand.
        pub restricted: bool = false,
    }
}

impl Builder {
    /// Whether failures are expected, and told to nobody.
    #[must_use]
    pub fn has_known_issue(&self) -> bool {
        !self.known_issues.is_empty()
    }

    /// Additional machines for the tests: those for changes, where their number is not 0, else the general number.
    #[must_use]
    pub fn test_helpers(&self, is_try: bool) -> u32 {
        match self.helpers.tries {
            0 => self.helpers.post_submit,
            tries if is_try => tries,
            _ => self.helpers.post_submit,
        }
    }
}

record! {
    /// When a builder runs for changes before they are merged.
    pub struct TryRule with Default {
        /// The policy that decides; the name of a policy table. Absent, it runs for all.
        pub policy: Option<String> = None,
    }
}

record! {
    /// Additional machines that take part in the tests.
    pub struct Helpers with Default {
        /// After a change was merged.
        pub post_submit: u32 = 0,
        /// Before it is; 0 is the same number.
        pub tries as "try": u32 = 0,
    }
}

record! {
    /// What happens when an attempt ends for a reason that is not the build's own: its machine or the network was lost, it was preempted or could not be set up.
    pub struct Retry with Default {
        /// How many attempts there are in all, the first one too.
        pub attempts: u32 = 3,
        /// How long the second attempt waits; each further one twice as long as the one before.
        pub delay: Duration = Duration::from_secs(5),
        /// The longest that an attempt waits.
        pub max_delay: Duration = Duration::from_secs(300),
    }
}

impl Retry {
    /// How long the next attempt waits when `ended` of them have ended, all for such reasons; `None` when there is none.
    #[must_use]
    pub fn delay_after(&self, ended: u32) -> Option<Duration> {
        if ended >= self.attempts {
            return None;
        }
        let doubled = 1_u32
            .checked_shl(ended.saturating_sub(1))
            .unwrap_or(u32::MAX);
        Some(self.delay.saturating_mul(doubled).min(self.max_delay))
    }
}

words! {
    /// What a newer commit of the same branch does to builds of older ones.
    pub enum Supersede {
        /// Nothing: every commit is built.
        Never = "never",
        /// It replaces those that wait.
        Waiting = "waiting",
        /// It replaces those that wait, and stops those that run.
        Running = "running",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_wait_twice_as_long_each_time() {
        let retry = Retry {
            attempts: 40,
            ..Retry::default()
        };
        let seconds = |ended| retry.delay_after(ended).map(|delay| delay.as_secs());
        assert_eq!(
            [
                seconds(1),
                seconds(2),
                seconds(3),
                seconds(7),
                seconds(39),
                seconds(40)
            ],
            [Some(5), Some(10), Some(20), Some(300), Some(300), None]
        );
    }

    #[test]
    fn helpers_for_changes_default_to_the_general_number() {
        let helpers = |post_submit, tries| Builder {
            helpers: Helpers { post_submit, tries },
            ..crate::test_support::builder()
        };
        assert_eq!(helpers(1, 4).test_helpers(true), 4);
        assert_eq!(helpers(1, 4).test_helpers(false), 1);
        assert_eq!(helpers(1, 0).test_helpers(true), 1);
    }
}
