use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dashboard_config::Config;
use tokio::task::JoinSet;

use super::EnqueueError;
use super::engine::Order;
use super::shared::Shared;
use crate::git::{Poll, PollPlan, PollSchedule};
use crate::model::{BuildKey, NewBuild, Purpose, Revision, Timestamp};

/// Looks at the repositories of the configuration, whatever that is, until nothing new is to begin.
pub(super) async fn find_work(shared: Arc<Shared>) {
    let mut configs = shared.config.subscribe();
    loop {
        let config = configs.borrow_and_update().clone();
        let mut looking = JoinSet::new();
        for repository in config.repositories() {
            if repository.can_build && !repository.clone_url.is_empty() {
                looking.spawn(look_again(
                    shared.clone(),
                    config.clone(),
                    repository.name.clone(),
                ));
            }
        }
        tokio::select! {
            () = shared.closing.cancelled() => break,
            changed = configs.changed() => if changed.is_err() { break },
        }
        // What a look had half done is done again by the next one.
        looking.shutdown().await;
    }
}

async fn look_again(shared: Arc<Shared>, config: Arc<Config>, name: String) {
    let Some(repository) = config.repository(&name) else {
        return;
    };
    let mut schedule = PollSchedule::new(repository.poll);
    loop {
        let looked = look(&shared, &config, &name).await;
        if let Err(error) = &looked {
            let error: &dyn std::error::Error = error;
            tracing::warn!(repository = name, error, "cannot look for new commits");
        }
        let pause: Duration = schedule.next(looked.is_ok());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.look.notified() => {}
        }
    }
}

/// Looks once, and adds what is to be built.
async fn look(shared: &Shared, config: &Config, name: &str) -> Result<(), EnqueueError> {
    let Some(configured) = config.repository(name) else {
        return Ok(());
    };
    let repository = shared.repository(name).await?;
    let known = shared.store.branches(name).await?;
    let patterns = configured.branches.iter().map(ToString::to_string);
    let plan = PollPlan::default()
        .branches(patterns)
        .history(configured.history);
    let poll = repository.poll(&known, &plan).await?;
    let base = shared.base(config, name).await?;
    let new = builds(config, name, configured.history, &poll, base.as_ref());
    let committed: HashMap<Revision, Timestamp> = (poll.found.iter())
        .map(|found| (found.commit.revision.clone(), found.commit.committed))
        .collect();
    let added = shared.store.enqueue_all(Timestamp::now(), new).await?;
    for update in poll.updates {
        shared.store.update_branch(Timestamp::now(), update).await?;
    }
    for branch in poll.removed {
        shared.store.remove_branch(name, &branch).await?;
    }
    let added: Vec<_> = (added.into_iter().filter(|added| added.is_new))
        .map(|added| {
            let committed = committed.get(&added.build.key.revision).copied();
            (added.build, committed)
        })
        .collect();
    if !added.is_empty() {
        tracing::info!(repository = name, builds = added.len(), "found work");
        // Who stops finds them in the store next time.
        let _ = shared.orders.send(Order::Added(added)).await;
    }
    Ok(())
}

/// What is to be built of what was found.
fn builds(
    config: &Config,
    repository: &str,
    history: u32,
    poll: &Poll,
    base: Option<&Revision>,
) -> Vec<NewBuild> {
    let mut new = Vec::new();
    let mut older: HashMap<&str, u32> = HashMap::new();
    for found in &poll.found {
        if !found.is_head {
            let older = older.entry(&found.branch).or_default();
            *older += 1;
            if *older > history {
                continue;
            }
        }
        for builder in config.builds(repository, &found.branch) {
            if builder.steps.is_empty() {
                continue;
            }
            let (purpose, reason) = if found.is_head {
                (Purpose::Head, format!("newest commit of {}", found.branch))
            } else {
                (Purpose::History, format!("commit of {}", found.branch))
            };
            new.push(NewBuild {
                key: BuildKey {
                    repository: repository.to_owned(),
                    revision: found.commit.revision.clone(),
                    builder: builder.name.clone(),
                    base: base.cloned(),
                },
                branch: Some(found.branch.clone()),
                host_type: builder.host_type.clone(),
                purpose,
                reason,
            });
        }
    }
    new
}
