//! A coordinator, as the pages and the API see it.

use std::sync::Arc;

use async_trait::async_trait;
use build_scheduler::{Explanation, Time};
use dashboard_config::Config;
use tokio::sync::watch;

use crate::api::{
    Build, BuildFilter, CreatedToken, Enqueue, Health, Machines, NewToken, Pool, Pruned, Queue,
    QueueItem, Reloaded, Timestamp, Token, TokenId,
};
use crate::coordinator::{ConfigNews, Coordinator, PruneError};
use crate::model::{BuildId, EventSeq};
use crate::store::StoreError;
use crate::web::backend::{
    Actor, Backend, BackendError, BuilderRow, Builders, CommandError, File, Grid, GridQuery,
    HostRow, Identity, Log, Repository, Sample,
};
use crate::web::machines::{machines, status};
use crate::web::refusals::sentence;
use crate::web::{contents, health, records};

/// Builds that wait and are explained on a page.
const QUEUE: usize = 200;

#[async_trait]
impl Backend for Coordinator {
    async fn builds(&self, filter: &BuildFilter) -> Result<Vec<Build>, BackendError> {
        records::builds(self.store(), filter)
            .await
            .map_err(BackendError::new)
    }

    async fn build(&self, id: u64) -> Result<Option<Build>, BackendError> {
        records::build(self.store(), id)
            .await
            .map_err(BackendError::new)
    }

    async fn repositories(&self) -> Result<Vec<Repository>, BackendError> {
        let config = self.config();
        let mut all = Vec::new();
        for repository in config
            .repositories()
            .filter(|repository| repository.show_on_dashboard)
        {
            let main = config.main_branch(repository);
            let known = self
                .store()
                .branches(&repository.name)
                .await
                .map_err(BackendError::new)?;
            let mut branches: Vec<String> = known.into_iter().map(|branch| branch.name).collect();
            branches.sort_by_key(|name| name != main);
            all.push(Repository {
                name: repository.name.clone(),
                branches,
            });
        }
        Ok(all)
    }

    async fn grid(&self, query: &GridQuery) -> Result<Option<Grid>, BackendError> {
        let config = self.config();
        let repository = match query.repository.as_str() {
            "" => config
                .repositories()
                .find(|repository| repository.show_on_dashboard),
            name => config.repository(name),
        };
        let Some(repository) = repository else {
            // A coordinator of nothing has an empty grid.
            return Ok(query.repository.is_empty().then(Grid::default));
        };
        let mut query = query.clone();
        query.repository.clone_from(&repository.name);
        if query.branch.is_empty() {
            let main = config.main_branch(repository);
            let known = self
                .store()
                .branches(&repository.name)
                .await
                .map_err(BackendError::new)?;
            let shown = known
                .iter()
                .find(|branch| branch.name == main)
                .or(known.first());
            query.branch = shown.map_or(main, |branch| &branch.name).to_owned();
        }
        let builders = config.builds(&repository.name, &query.branch);
        let columns = builders
            .into_iter()
            .map(|builder| builder.name.clone())
            .collect();
        records::grid(self.store(), &query, columns)
            .await
            .map(Some)
            .map_err(BackendError::new)
    }

    async fn queue(&self) -> Result<Queue, BackendError> {
        let waiting = self.queue(QUEUE).await.map_err(BackendError::new)?;
        let hosts = self.hosts().await.map_err(BackendError::new)?;
        let mut items = Vec::with_capacity(waiting.len());
        for one in waiting {
            // What was there when the queue was looked at may be gone.
            let Some(build) = self
                .store()
                .build(one.build)
                .await
                .map_err(BackendError::new)?
            else {
                continue;
            };
            let (since, ahead, starts) = match &one.explanation {
                Explanation::Waiting {
                    since,
                    ahead,
                    starts,
                    ..
                } => (timestamp(*since), *ahead, *starts),
                _ => (build.queued, None, None),
            };
            items.push(QueueItem {
                build: build.id.0,
                repository: build.key.repository,
                revision: build.key.revision.to_string(),
                builder: build.key.builder,
                host_type: build.host_type,
                position: ahead.map_or(items.len(), |ahead| ahead) + 1,
                reason: reasons(&one.explanation).unwrap_or_default(),
                since,
                estimated_start: starts.map(timestamp),
            });
        }
        let total = hosts
            .iter()
            .map(|host| host.waiting)
            .sum::<usize>()
            .max(items.len());
        Ok(Queue { items, total })
    }

    async fn why(&self, build: u64) -> Result<Option<String>, BackendError> {
        let explanation = self
            .explain(BuildId(build))
            .await
            .map_err(BackendError::new)?;
        Ok(explanation.as_ref().and_then(reasons))
    }

    async fn reverse_status(&self) -> Result<String, BackendError> {
        Ok(status(self).reverse_json())
    }

    async fn machines(&self) -> Result<Machines, BackendError> {
        let hosts = self.hosts().await.map_err(BackendError::new)?;
        let mut told = machines(&status(self), &self.drained_machines(), Timestamp::now());
        for host in hosts {
            let name = host.host_type.as_str();
            let pool = match told.pools.iter_mut().find(|pool| pool.host_type == name) {
                Some(pool) => pool,
                None => {
                    told.pools.push(Pool {
                        host_type: name.to_owned(),
                        ..Pool::default()
                    });
                    told.pools.last_mut().expect("one was added")
                }
            };
            pool.waiting += host.waiting;
        }
        Ok(told)
    }

    async fn health(&self) -> Result<Health, BackendError> {
        health::health(self).await.map_err(BackendError::new)
    }

    async fn builders(&self) -> Result<Builders, BackendError> {
        Ok(builders(&self.config()))
    }

    async fn log(&self, build: u64, attempt: u32, from: u64) -> Result<Option<Log>, BackendError> {
        contents::log(self, BuildId(build).attempt(attempt), from).await
    }

    async fn artifact(
        &self,
        build: u64,
        attempt: u32,
        name: &str,
    ) -> Result<Option<File>, BackendError> {
        contents::artifact(self, BuildId(build).attempt(attempt), name).await
    }

    async fn samples(&self) -> Result<Vec<Sample>, BackendError> {
        let results = self
            .store()
            .results_since(Timestamp::EPOCH)
            .await
            .map_err(BackendError::new)?;
        let mut samples: Vec<Sample> = results
            .into_iter()
            .map(|(cause, count)| Sample {
                name: "build_coordinator_builds_total",
                help: "Builds that are over, by result.",
                labels: vec![("result", cause.as_str().to_owned())],
                value: count as f64,
            })
            .collect();
        for pool in self.pools() {
            let metrics = pool.metrics();
            let mut counter = |name, help, value: u64| {
                let labels = vec![("pool", pool.description())];
                samples.push(Sample {
                    name,
                    help,
                    labels,
                    value: value as f64,
                });
            };
            counter(
                "build_coordinator_registrations_total",
                "Machines that registered.",
                metrics.registered,
            );
            counter(
                "build_coordinator_registrations_refused_total",
                "Machines that were not let in.",
                metrics.refused,
            );
            counter(
                "build_coordinator_leases_total",
                "Leases given.",
                metrics.leases,
            );
            counter(
                "build_coordinator_leases_lost_total",
                "Leases whose machine was lost.",
                metrics.lost,
            );
            counter(
                "build_coordinator_quarantines_total",
                "Times a machine was put in quarantine.",
                metrics.quarantined,
            );
        }
        Ok(samples)
    }

    fn changes(&self) -> watch::Receiver<EventSeq> {
        self.store().changes()
    }

    async fn authenticate(&self, token: &str) -> Result<Option<Identity>, BackendError> {
        records::authenticate(self.store(), token)
            .await
            .map_err(BackendError::new)
    }

    async fn cancel(&self, build: u64, by: &Actor) -> Result<(), CommandError> {
        Ok(Self::cancel(self, BuildId(build), by.name()).await?)
    }

    async fn retry(&self, build: u64, by: &Actor) -> Result<(), CommandError> {
        Ok(Self::retry(self, BuildId(build), by.name()).await?)
    }

    async fn enqueue(&self, what: &Enqueue, by: &Actor) -> Result<Vec<u64>, CommandError> {
        let Enqueue {
            repository,
            revision,
            builder,
        } = what;
        let builds =
            Self::enqueue(self, repository, revision, builder.as_deref(), by.name()).await?;
        Ok(builds.into_iter().map(|build| build.id.0).collect())
    }

    async fn drain_machine(
        &self,
        name: &str,
        drained: bool,
        by: &Actor,
    ) -> Result<bool, CommandError> {
        let is_here = Self::drain_machine(self, name, drained, by.name()).await?;
        tracing::info!(
            machine = name,
            drained,
            is_here,
            by = by.name(),
            "a machine is drained, or not"
        );
        Ok(is_here)
    }

    async fn reload(&self, by: &Actor) -> Result<Reloaded, CommandError> {
        tracing::info!(by = by.name(), "the configuration is to be read again");
        let changed = self.reload_files().await?;
        let notes = match &*self.config_news().borrow() {
            ConfigNews::Used { notes, .. } if changed => notes.clone(),
            _ => Vec::new(),
        };
        Ok(Reloaded { changed, notes })
    }

    async fn prune(&self, dry_run: bool, by: &Actor) -> Result<Pruned, CommandError> {
        tracing::info!(by = by.name(), dry_run, "old builds are to be removed");
        let pruned = Self::prune(self, dry_run)
            .await
            .map_err(|error| match error {
                PruneError::Stopping => CommandError::Unavailable(sentence(&error)),
                error => BackendError::new(error).into(),
            })?;
        Ok(Pruned {
            builds: pruned.builds,
            bytes: pruned.bytes,
            newest: pruned.newest,
            dry_run,
        })
    }

    async fn tokens(&self) -> Result<Vec<Token>, BackendError> {
        self.store().tokens().await.map_err(BackendError::new)
    }

    async fn create_token(
        &self,
        what: &NewToken,
        by: &Actor,
    ) -> Result<CreatedToken, CommandError> {
        let now = Timestamp::now();
        if what.expires.is_some_and(|expires| expires <= now) {
            return Err(CommandError::Invalid(
                "The token would have ended already.".to_owned(),
            ));
        }
        let created = self
            .store()
            .create_token(now, &what.name, what.scope, what.expires);
        let (token, text) = created.await.map_err(|error| match error {
            StoreError::Name { .. } => CommandError::Invalid(sentence(&error)),
            error => BackendError::new(error).into(),
        })?;
        tracing::info!(token = %token.id, name = token.name, by = by.name(), "a token is made");
        let secret = text.expose().to_owned();
        Ok(CreatedToken { token, secret })
    }

    async fn revoke_token(&self, id: &TokenId, by: &Actor) -> Result<(), CommandError> {
        let revoked = self.store().revoke_token(Timestamp::now(), id).await;
        if !revoked.map_err(BackendError::new)? {
            return Err(CommandError::NotFound(
                "There is no such token that can be used.".to_owned(),
            ));
        }
        tracing::info!(token = %id, by = by.name(), "a token is taken back");
        Ok(())
    }
}

/// What a build waits for, all of it, as a sentence.
fn reasons(explanation: &Explanation) -> Option<String> {
    match explanation {
        Explanation::Waiting { reasons, .. } => {
            let all: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            Some(all.join("; "))
        }
        _ => None,
    }
}

fn builders(config: &Arc<Config>) -> Builders {
    let repositories: Vec<_> = config.repositories().collect();
    let rows = config.builders().map(|builder| BuilderRow {
        name: builder.name.clone(),
        host_type: builder.host_type.clone(),
        steps: builder
            .steps
            .iter()
            .map(|step| step.title().into_owned())
            .collect(),
        repositories: repositories
            .iter()
            .filter(|repository| {
                let built = config.builds(&repository.name, config.main_branch(repository));
                built.iter().any(|known| known.name == builder.name)
            })
            .map(|repository| repository.name.clone())
            .collect(),
        notes: builder.notes.clone(),
        known_issue: builder.known_issues.first().map(|issue| u64::from(*issue)),
    });
    let hosts = config.hosts().map(|host| HostRow {
        name: host.name.clone(),
        kind: match host.pool {
            dashboard_config::Pool::Process => "local processes".to_owned(),
            other => other.as_str().to_owned(),
        },
        expected: usize::try_from(host.expect_num).unwrap_or(usize::MAX),
        notes: host.notes.clone(),
    });
    Builders {
        rows: rows.collect(),
        hosts: hosts.collect(),
        json: config.to_upstream_json(),
    }
}

fn timestamp(time: Time) -> Timestamp {
    Timestamp::from_micros(time.unix_millis().saturating_mul(1000))
}
