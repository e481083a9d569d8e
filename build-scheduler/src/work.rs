use crate::ids::{BuilderName, HostType, QuotaName, ShareName, SupersedeKey, WorkId};
use crate::time::Time;

/// How urgent work is; the four classes of upstream's queue (`internal/coordinator/pool/queue`).
///
/// Every machine that gets free goes to the first class that has work for it, save for one in
/// [so many](crate::Config::aged_every), which goes to what has waited longest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Release automation.
    Urgent,
    /// Somebody waits for it at a terminal.
    Interactive,
    /// Tests of proposed changes: those for release branches first, else in the order they were asked for.
    Automated,
    /// Tests of what has landed: the newest commit first.
    #[default]
    Batch,
}

/// Work that wants a machine.
///
/// ```
/// use build_scheduler::{Priority, Work, WorkId};
///
/// let mut work = Work::new(WorkId(7), "host-linux-amd64", "linux-amd64-race");
/// work.priority = Priority::Automated;
/// work.share = "gopher".into();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Work {
    /// Its number, which no other work has that waits or runs.
    pub id: WorkId,
    /// The machines that can do it.
    pub host_type: HostType,
    /// Whose [limit](crate::Event::BuilderLimit) it counts towards, and whose durations tell how long it may take.
    pub builder: BuilderName,
    /// Its class; [`Priority::Batch`] at first.
    pub priority: Priority,
    /// Who it is for; at first everybody, which is the share with an empty name.
    pub share: ShareName,
    /// What it uses of which quota while it runs; nothing at first.
    pub cost: Option<Cost>,
    /// When it was asked for, which is what its age is counted from. At first `None`, for when it is added.
    pub requested: Option<Time>,
    /// When the commit was made that it tests. Batch work without it is ordered by when it was asked for.
    pub commit_time: Option<Time>,
    /// What it is worth among work of the same class and share: more goes first. 0 at first.
    pub level: i32,
    /// Whether it is for a release branch; automated work for one goes before other automated work.
    pub release_branch: bool,
    /// Of waiting works with the same key only the newest stays, by commit time where they have one.
    pub supersede: Option<SupersedeKey>,
    /// Until then it is not started, as after a failure.
    pub not_before: Option<Time>,
}

/// What a work uses while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// What is used up.
    pub quota: QuotaName,
    /// How much of it, in units of the caller's choice.
    pub units: u32,
}

impl Work {
    /// Batch work for machines of `host_type`; everything else as the fields say.
    pub fn new(
        id: WorkId,
        host_type: impl Into<HostType>,
        builder: impl Into<BuilderName>,
    ) -> Self {
        Self {
            id,
            host_type: host_type.into(),
            builder: builder.into(),
            priority: Priority::default(),
            share: ShareName::from(""),
            cost: None,
            requested: None,
            commit_time: None,
            level: 0,
            release_branch: false,
            supersede: None,
            not_before: None,
        }
    }

    /// When it was asked for: the scheduler filled it in.
    pub(crate) fn requested(&self) -> Time {
        self.requested.unwrap_or_default()
    }

    /// Which of two works with one key is the newer.
    pub(crate) fn newness(&self) -> Time {
        self.commit_time.unwrap_or(self.requested())
    }

    pub(crate) fn rank(&self) -> Rank {
        Rank(match (self.priority, self.release_branch) {
            (Priority::Urgent, _) => 0,
            (Priority::Interactive, _) => 1,
            (Priority::Automated, true) => 2,
            (Priority::Automated, false) => 3,
            (Priority::Batch, _) => 4,
        })
    }

    /// What orders it among works of the same rank and share; the smallest first.
    pub(crate) fn sort_key(&self) -> i64 {
        match self.priority {
            Priority::Batch => self.newness().unix_millis().saturating_neg(),
            _ => self.requested().unix_millis(),
        }
    }
}

/// What comes before a fair share: the class, and release branches within automated work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Rank(pub(crate) u8);

impl Rank {
    pub(crate) const COUNT: usize = 5;

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Whether the order of work is not the order in which it was asked for.
    pub(crate) fn newest_first(self) -> bool {
        self.0 == 4
    }
}
