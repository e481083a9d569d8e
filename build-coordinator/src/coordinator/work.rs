//! What the scheduler is told of a build.

use build_scheduler::{Cost, Priority, QuotaName, SupersedeKey, Time, Work, WorkId};
use dashboard_config::{Builder, Config, Supersede};

use crate::model::{Build, BuildId, BuildState, Purpose, Timestamp};

/// How far older commits of a branch stand behind the newest: further than builders' priorities reach, which are -100 to
/// 100.
const HISTORY: i32 = -1000;

/// What every build uses one of: the environment's `max_builds`.
pub(super) const BUILDS: &str = "builds";

pub(super) fn id(build: BuildId) -> WorkId {
    WorkId(build.0)
}

pub(super) fn time(time: Timestamp) -> Time {
    Time::from_unix_millis(time.as_micros().div_euclid(1000))
}

/// The builder of a build, if it can be built.
pub(super) fn builder<'a>(config: &'a Config, build: &Build) -> Option<&'a Builder> {
    config
        .builder(&build.key.builder)
        .filter(|builder| !builder.steps.is_empty())
}

/// A build that waits, as the scheduler sees it.
pub(super) fn of(builder: &Builder, build: &Build, committed: Option<Timestamp>) -> Work {
    let mut work = Work::new(
        id(build.id),
        build.host_type.as_str(),
        build.key.builder.as_str(),
    );
    work.priority = match build.purpose {
        Purpose::Request => Priority::Interactive,
        Purpose::Try => Priority::Automated,
        Purpose::Head | Purpose::History => Priority::Batch,
    };
    work.level = builder.priority;
    if build.purpose == Purpose::History {
        work.level += HISTORY;
    }
    work.share = build.key.repository.as_str().into();
    work.requested = Some(time(build.created));
    work.commit_time = committed.map(time);
    work.cost = Some(Cost {
        quota: QuotaName::from(BUILDS),
        units: 1,
    });
    work.supersede = key(builder, build);
    if let BuildState::Queued { not_before } = build.state {
        work.not_before = not_before.map(time);
    }
    work
}

/// Builds with the same key replace each other: those of the newest commits of one branch on one builder.
pub(super) fn key(builder: &Builder, build: &Build) -> Option<SupersedeKey> {
    let branch = build
        .branch
        .as_ref()
        .filter(|_| build.purpose == Purpose::Head)?;
    let names = [&build.key.repository, branch, &build.key.builder];
    // Lengths make it unambiguous, whatever the names have in them.
    let key: String = names
        .iter()
        .map(|name| format!("{}:{name}", name.len()))
        .collect();
    (builder.supersede != Supersede::Never).then(|| key.into())
}
