//! A coordinator that keeps everything in memory and builds nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use build_coordinator::api::*;
use build_coordinator::model::EventSeq;
use build_coordinator::web::*;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::watch;

pub(super) const REVISION: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
pub(super) const CHANGER: &str = "changer-token";
pub(super) const READER: &str = "reader-token";
pub(super) const ADMIN: &str = "admin-token";

#[derive(Default)]
pub(super) struct Known {
    pub(super) builds: BTreeMap<u64, Build>,
    pub(super) grid: Grid,
    pub(super) queue: Queue,
    pub(super) machines: Machines,
    pub(super) health: Health,
    pub(super) builders: Builders,
    pub(super) commands: Vec<String>,
    pub(super) revoked: Vec<String>,
    pub(super) files: BTreeMap<String, &'static [u8]>,
    pub(super) tokens: Vec<Token>,
}

pub(super) struct Memory {
    pub(super) known: Mutex<Known>,
    logs: Mutex<BTreeMap<(u64, u32), livelog::Buffer>>,
    changes: watch::Sender<EventSeq>,
}

impl Memory {
    pub(super) fn new(known: Known) -> Arc<Self> {
        Arc::new(Self {
            known: Mutex::new(known),
            logs: Mutex::default(),
            changes: watch::Sender::new(EventSeq(0)),
        })
    }

    /// Changes what is known, and tells it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        let done = change(&mut self.known.lock().unwrap());
        self.changes.send_modify(|n| n.0 += 1);
        done
    }

    /// Opens the log of an attempt; it ends when the buffer is closed.
    pub(super) fn open_log(&self, build: u64, attempt: u32) -> livelog::Buffer {
        let config = livelog::Config::default()
            .limit(16 << 20)
            .time_index(Duration::from_millis(10));
        let log = livelog::Buffer::with_config(config).unwrap();
        self.logs
            .lock()
            .unwrap()
            .insert((build, attempt), log.clone());
        log
    }

    /// How many streams of that log are open.
    pub(super) fn readers(&self, build: u64, attempt: u32) -> usize {
        self.logs.lock().unwrap()[&(build, attempt)].readers()
    }

    pub(super) fn commands(&self) -> Vec<String> {
        self.known.lock().unwrap().commands.clone()
    }

    fn command(
        &self,
        build: u64,
        what: &str,
        by: &Actor,
        state: State,
    ) -> Result<(), CommandError> {
        self.change(|known| {
            let Some(build) = known.builds.get_mut(&build) else {
                return Err(CommandError::NotFound("There is no such build.".to_owned()));
            };
            if build.state.has_ended() == (what == "cancel") {
                return Err(CommandError::Conflict(format!(
                    "A build that is {} cannot be told to {what}.",
                    build.state.name()
                )));
            }
            build.state = state;
            if let Some(attempt) = build.attempts.last_mut().filter(|_| what == "cancel") {
                attempt.state = state;
            }
            known
                .commands
                .push(format!("{what} {} by {}", build.id, by.name()));
            Ok(())
        })
    }
}

#[async_trait]
impl Backend for Memory {
    async fn builds(&self, filter: &BuildFilter) -> Result<Vec<Build>, BackendError> {
        let known = self.known.lock().unwrap();
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == value)
        };
        let found = known.builds.values().rev().filter(|build| {
            is(&filter.repository, &build.repository)
                && is(&filter.builder, &build.builder)
                && is(&filter.branch, build.branch.as_deref().unwrap_or_default())
                && filter
                    .revision
                    .as_ref()
                    .is_none_or(|prefix| build.revision.starts_with(prefix))
                && filter.state.is_none_or(|state| build.state == state)
                && filter.before.is_none_or(|before| build.id < before)
        });
        let without_attempts = |build: &Build| Build {
            attempts: Vec::new(),
            ..build.clone()
        };
        Ok(found
            .take(filter.limit.expect("callers set one"))
            .map(without_attempts)
            .collect())
    }

    async fn build(&self, id: u64) -> Result<Option<Build>, BackendError> {
        Ok(self.known.lock().unwrap().builds.get(&id).cloned())
    }

    async fn repositories(&self) -> Result<Vec<Repository>, BackendError> {
        let grid = &self.known.lock().unwrap().grid;
        Ok(vec![Repository {
            name: grid.repository.clone(),
            branches: vec![grid.branch.clone()],
        }])
    }

    async fn grid(&self, query: &GridQuery) -> Result<Option<Grid>, BackendError> {
        let known = self.known.lock().unwrap();
        let mut grid = known.grid.clone();
        if !query.repository.is_empty() && query.repository != grid.repository {
            return Ok(None);
        }
        let skipped = query
            .before
            .map_or(query.page * query.rows, |before| {
                usize::try_from(-before).unwrap()
            })
            .min(grid.rows.len());
        grid.rows.drain(..skipped);
        grid.next =
            (grid.rows.len() > query.rows).then(|| -i64::try_from(skipped + query.rows).unwrap());
        grid.rows.truncate(query.rows);
        Ok(Some(grid))
    }

    async fn queue(&self) -> Result<Queue, BackendError> {
        Ok(self.known.lock().unwrap().queue.clone())
    }

    async fn why(&self, build: u64) -> Result<Option<String>, BackendError> {
        let known = self.known.lock().unwrap();
        Ok(known
            .queue
            .items
            .iter()
            .find(|item| item.build == build)
            .map(|item| item.reason.clone()))
    }

    async fn reverse_status(&self) -> Result<String, BackendError> {
        Ok("{\n\t\"HostTypes\": {}\n}\n".to_owned())
    }

    async fn machines(&self) -> Result<Machines, BackendError> {
        Ok(self.known.lock().unwrap().machines.clone())
    }

    async fn health(&self) -> Result<Health, BackendError> {
        Ok(self.known.lock().unwrap().health.clone())
    }

    async fn builders(&self) -> Result<Builders, BackendError> {
        Ok(self.known.lock().unwrap().builders.clone())
    }

    async fn log(&self, build: u64, attempt: u32, from: u64) -> Result<Option<Log>, BackendError> {
        let Some(log) = self.logs.lock().unwrap().get(&(build, attempt)).cloned() else {
            return Ok(None);
        };
        let marks = log
            .times()
            .iter()
            .map(|mark| TimeMark {
                offset: mark.offset,
                time: mark.time.into(),
            })
            .collect();
        let bytes = stream::unfold(log.reader_at(from), |mut reader| async move {
            let chunk = reader
                .next_chunk()
                .await
                .map_err(std::io::Error::other)
                .transpose()?;
            Some((chunk, reader))
        });
        Ok(Some(Log {
            bytes: Box::pin(bytes),
            len: log.end(),
            is_live: !log.is_closed(),
            marks,
        }))
    }

    async fn artifact(&self, _: u64, _: u32, name: &str) -> Result<Option<File>, BackendError> {
        let file = self.known.lock().unwrap().files.get(name).copied();
        Ok(file.map(|bytes| File {
            bytes: Box::pin(stream::iter([Ok(Bytes::from_static(bytes))])),
            len: bytes.len() as u64,
        }))
    }

    async fn samples(&self) -> Result<Vec<Sample>, BackendError> {
        let name = "build_coordinator_leases_total";
        Ok(vec![Sample {
            name,
            help: "Leases given.",
            labels: Vec::new(),
            value: 3.0,
        }])
    }

    fn changes(&self) -> watch::Receiver<EventSeq> {
        self.changes.subscribe()
    }

    async fn authenticate(&self, token: &str) -> Result<Option<Identity>, BackendError> {
        if self
            .known
            .lock()
            .unwrap()
            .revoked
            .iter()
            .any(|revoked| revoked == token)
        {
            return Ok(None);
        }
        Ok(match token {
            CHANGER => Some(Identity {
                name: "alice".to_owned(),
                scope: Scope::Change,
            }),
            ADMIN => Some(Identity {
                name: "carol".to_owned(),
                scope: Scope::Admin,
            }),
            READER => Some(Identity {
                name: "bob".to_owned(),
                scope: Scope::Read,
            }),
            _ => None,
        })
    }

    async fn cancel(&self, build: u64, by: &Actor) -> Result<(), CommandError> {
        self.command(build, "cancel", by, State::Cancelled)?;
        for ((id, _), log) in &*self.logs.lock().unwrap() {
            if *id == build {
                log.close();
            }
        }
        Ok(())
    }

    async fn retry(&self, build: u64, by: &Actor) -> Result<(), CommandError> {
        self.command(build, "retry", by, State::Waiting)
    }

    async fn enqueue(&self, what: &Enqueue, by: &Actor) -> Result<Vec<u64>, CommandError> {
        self.change(|known| {
            if what.repository != known.grid.repository {
                return Err(CommandError::NotFound(
                    "There is no such repository.".to_owned(),
                ));
            }
            let id = known.builds.keys().last().map_or(1, |last| last + 1);
            let builder = what
                .builder
                .clone()
                .unwrap_or_else(|| "linux-amd64".to_owned());
            let build = build(id, &builder, State::Waiting);
            known.builds.insert(id, build);
            known
                .commands
                .push(format!("enqueue {} by {}", what.revision, by.name()));
            Ok(vec![id])
        })
    }

    async fn drain_machine(
        &self,
        name: &str,
        drained: bool,
        by: &Actor,
    ) -> Result<bool, CommandError> {
        self.change(|known| {
            let found = known
                .machines
                .machines
                .iter_mut()
                .find(|one| one.name == name);
            let machine = found
                .ok_or_else(|| CommandError::NotFound("There is no such machine.".to_owned()))?;
            machine.drained = drained;
            known
                .commands
                .push(format!("drain {name} {drained} by {}", by.name()));
            Ok(true)
        })
    }

    async fn reload(&self, by: &Actor) -> Result<Reloaded, CommandError> {
        self.change(|known| known.commands.push(format!("reload by {}", by.name())));
        Ok(Reloaded {
            changed: true,
            notes: vec!["host types are as they were".to_owned()],
        })
    }

    async fn prune(&self, dry_run: bool, by: &Actor) -> Result<Pruned, CommandError> {
        self.change(|known| {
            known
                .commands
                .push(format!("prune {dry_run} by {}", by.name()));
        });
        Ok(Pruned {
            builds: 2,
            bytes: 10,
            newest: Some(ago(5)),
            dry_run,
        })
    }

    async fn tokens(&self) -> Result<Vec<Token>, BackendError> {
        Ok(self.known.lock().unwrap().tokens.clone())
    }

    async fn create_token(&self, what: &NewToken, _: &Actor) -> Result<CreatedToken, CommandError> {
        let token = serde_json::json!({
            "id": "0123456789abcdef",
            "name": what.name,
            "scope": what.scope,
            "created": ago(0),
            "expires": what.expires,
        });
        let token: Token = serde_json::from_value(token).unwrap();
        self.change(|known| known.tokens.push(token.clone()));
        let secret = "bskt_0123456789abcdef_secret".to_owned();
        Ok(CreatedToken { token, secret })
    }

    async fn revoke_token(&self, id: &TokenId, _: &Actor) -> Result<(), CommandError> {
        self.change(|known| {
            let found = known.tokens.iter_mut().find(|token| token.id == *id);
            let token = found
                .ok_or_else(|| CommandError::NotFound("There is no such token.".to_owned()))?;
            token.revoked = Some(ago(0));
            Ok(())
        })
    }
}

/// A moment, in seconds before now.
pub(super) fn ago(seconds: u64) -> Timestamp {
    (std::time::SystemTime::now() - Duration::from_secs(seconds)).into()
}

pub(super) fn build(id: u64, builder: &str, state: State) -> Build {
    let is_begun = state != State::Waiting;
    Build {
        id,
        repository: "demo".to_owned(),
        revision: REVISION.to_owned(),
        branch: Some("main".to_owned()),
        base_revision: None,
        builder: builder.to_owned(),
        state,
        created: ago(600),
        started: is_begun.then(|| ago(500)),
        ended: state.has_ended().then(|| ago(300)),
        subject: Some("parser: report the column of an unexpected token".to_owned()),
        author: Some("Ada Example <ada@example.org>".to_owned()),
        attempts: if is_begun {
            vec![attempt(1, state)]
        } else {
            Vec::new()
        },
    }
}

pub(super) fn attempt(number: u32, state: State) -> Attempt {
    let span = |name: &str, from, to: Option<u64>| Span {
        name: name.to_owned(),
        detail: None,
        started: ago(from),
        ended: to.map(ago),
    };
    let step = |name: &str, state, offset, from, to: Option<u64>| Step {
        name: name.to_owned(),
        state,
        log_offset: Some(offset),
        started: Some(ago(from)),
        ended: to.map(ago),
        exit: None,
    };
    let last = state.has_ended().then_some(300);
    Attempt {
        number,
        state,
        reason: (state == State::Failed).then(|| "step test: exit status 101".to_owned()),
        machine: Some("worker-3".to_owned()),
        started: ago(500),
        awaited_until: None,
        ended: last.map(ago),
        steps: vec![
            step("fetch", State::Succeeded, 0, 498, Some(480)),
            step("cargo build", State::Succeeded, 30, 480, Some(400)),
            step("cargo test", state, 90, 400, last),
        ],
        spans: vec![
            span("get_buildlet", 500, Some(499)),
            span("write_source", 499, Some(480)),
            span("step: cargo build", 480, Some(400)),
            span("step: cargo test", 400, last),
        ],
        artifacts: vec![Artifact {
            name: "target/report <1>.html".to_owned(),
            bytes: 12_345,
        }],
        log_bytes: None,
    }
}

/// A coordinator as one might find it: every page has something to show.
pub(super) fn busy() -> Arc<Memory> {
    let builders = [
        "linux-amd64",
        "linux-amd64-race",
        "linux-arm64",
        "darwin-arm64",
        "freebsd-amd64",
        "windows-amd64",
        "linux-amd64-longtest",
    ];
    let mut known = Known::default();
    known.grid = grid(&mut known.builds, &builders, 24);
    known
        .builds
        .insert(5000, build(5000, "linux-amd64", State::Failed));
    known
        .builds
        .insert(5001, build(5001, "linux-arm64", State::Running));
    known
        .builds
        .insert(5002, build(5002, "darwin-arm64", State::Waiting));
    let mut twice = build(5003, "freebsd-amd64", State::Succeeded);
    twice.attempts.insert(
        0,
        Attempt {
            reason: Some("the machine went away: no heartbeat for 30 s".to_owned()),
            ..attempt(1, State::LostBuildlet)
        },
    );
    twice.attempts[1].number = 2;
    known.builds.insert(5003, twice);
    known.queue = Queue {
        items: vec![
            QueueItem {
                build: 5002,
                repository: "demo".to_owned(),
                revision: REVISION.to_owned(),
                builder: "darwin-arm64".to_owned(),
                host_type: "host-darwin-arm64".to_owned(),
                position: 1,
                reason: "no machine of type host-darwin-arm64 is connected".to_owned(),
                since: ago(420),
                estimated_start: None,
            },
            QueueItem {
                build: 5004,
                repository: "demo".to_owned(),
                revision: REVISION.to_owned(),
                builder: "linux-amd64-longtest".to_owned(),
                host_type: "host-linux-amd64".to_owned(),
                position: 1,
                reason: "all 2 machines of type host-linux-amd64 are busy; the first is free in about 3 m".to_owned(),
                since: ago(60),
                estimated_start: Some((std::time::SystemTime::now() + Duration::from_secs(200)).into()),
            },
        ],
        total: 2,
    };
    known
        .builds
        .insert(5004, build(5004, "linux-amd64-longtest", State::Waiting));
    let machine = |name: &str, host_type: &str, state, build| Machine {
        name: name.to_owned(),
        host_type: host_type.to_owned(),
        state,
        reason: None,
        version: Some("26 (build-system-kit)".to_owned()),
        connected: Some(ago(80_000)),
        since: Some(ago(250)),
        build,
        drained: false,
    };
    known.machines = Machines {
        pools: vec![
            Pool {
                host_type: "host-linux-amd64".to_owned(),
                connected: 3,
                expected: 3,
                idle: 1,
                busy: 2,
                waiting: 1,
            },
            Pool {
                host_type: "host-linux-arm64".to_owned(),
                connected: 1,
                expected: 2,
                idle: 0,
                busy: 1,
                waiting: 0,
            },
            Pool {
                host_type: "host-darwin-arm64".to_owned(),
                expected: 1,
                waiting: 1,
                ..Pool::default()
            },
        ],
        machines: vec![
            machine("worker-1", "host-linux-amd64", MachineState::Idle, None),
            machine(
                "worker-2",
                "host-linux-amd64",
                MachineState::Busy,
                Some(5001),
            ),
            Machine {
                reason: Some(
                    "3 builds in a row lost their connection; tried again in 4 m".to_owned(),
                ),
                ..machine(
                    "worker-3",
                    "host-linux-amd64",
                    MachineState::Quarantined,
                    None,
                )
            },
            machine(
                "graviton-1",
                "host-linux-arm64",
                MachineState::Busy,
                Some(5001),
            ),
        ],
    };
    let check = |id: &str, title: &str, lines: Vec<HealthLine>| HealthCheck {
        id: id.to_owned(),
        title: title.to_owned(),
        lines,
    };
    known.health.checks = vec![
        check("store", "Store", Vec::new()),
        check(
            "host-darwin-arm64",
            "host-darwin-arm64",
            vec![HealthLine {
                level: Level::Warn,
                text: "0 connected; want 1".to_owned(),
            }],
        ),
    ];
    known.builders = Builders {
        rows: builders
            .iter()
            .map(|name| BuilderRow {
                name: (*name).to_owned(),
                host_type: "host-linux-amd64".to_owned(),
                steps: ["fetch", "cargo build", "cargo test"]
                    .map(str::to_owned)
                    .into(),
                repositories: vec!["demo".to_owned()],
                notes: "Release and debug".to_owned(),
                known_issue: (*name == "freebsd-amd64").then_some(1234),
            })
            .collect(),
        hosts: vec![HostRow {
            name: "host-linux-amd64".to_owned(),
            kind: "reverse".to_owned(),
            expected: 3,
            notes: "In the cellar".to_owned(),
        }],
        json: "{\n\t\"Builders\": {},\n\t\"Hosts\": {}\n}\n".to_owned(),
    };
    known.files.insert(
        "target/report <1>.html".to_owned(),
        b"<script>alert(1)</script>",
    );
    let memory = Memory::new(known);
    let failed = memory.open_log(5000, 1);
    failed.append(FAILED_LOG.as_bytes());
    failed.close();
    let succeeded = memory.open_log(5003, 2);
    succeeded.append(FAILED_LOG.as_bytes());
    succeeded.close();
    memory
        .open_log(5001, 1)
        .append(&FAILED_LOG.as_bytes()[..400]);
    memory
}

/// So many commits on these builders, in every state.
pub(super) fn grid(builds: &mut BTreeMap<u64, Build>, builders: &[&str], commits: u64) -> Grid {
    let subjects = [
        "parser: report the column of an unexpected token",
        "all: use the new error type everywhere",
        "net: keep the connection open after a failed upload, because reconnecting through the proxy takes a second each time",
        "doc: say what a limit is for",
        "runtime: fix a race between closing and reading",
    ];
    let mut rows = Vec::new();
    let mut id = 1;
    for n in 0..commits {
        let revision = format!(
            "{:040x}",
            0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n + 1) as u128 * 0x1_0000_0001_0001
        );
        let mut cells = Vec::new();
        for (column, builder) in builders.iter().enumerate() {
            let state = match (n, column, (n * 7 + column as u64 * 3) % 23) {
                (0, 2, _) | (1, 4, _) => State::Running,
                (0, ..) | (1, 6, _) => State::Waiting,
                (.., 1 | 9) => State::Failed,
                (.., 5) => State::TimedOut,
                (.., 13) => State::Cancelled,
                (.., 17) if column > 2 => State::LostBuildlet,
                _ => State::Succeeded,
            };
            let is_built = (n + column as u64) % 11 != 7;
            cells.push(is_built.then_some(Cell { build: id, state }));
            if is_built {
                builds.insert(
                    id,
                    Build {
                        revision: revision.clone(),
                        ..build(id, builder, state)
                    },
                );
            }
            id += 1;
        }
        rows.push(GridRow {
            revision,
            subject: subjects[n as usize % subjects.len()].to_owned(),
            author: "Ada Example <ada@example.org>".to_owned(),
            time: ago(n * 5000 + 200),
            base: None,
            cells,
        });
    }
    let builders = builders.iter().map(|&name| name.to_owned()).collect();
    Grid {
        repository: "demo".to_owned(),
        branch: "main".to_owned(),
        builders,
        rows,
        next: None,
    }
}

pub(super) const FAILED_LOG: &str = "\
Fetching 4b825dc642cb6eb9a060
\x1b[1m\x1b[32m   Compiling\x1b[0m memchr v2.8.0
\x1b[1m\x1b[32m   Compiling\x1b[0m demo v0.1.0
\x1b[1m\x1b[32m    Finished\x1b[0m `test` profile in 4.21s
\x1b[1m\x1b[32m     Running\x1b[0m unittests src/lib.rs

running 4 tests
test parser::empty ... \x1b[32mok\x1b[m
test parser::nested ... \x1b[32mok\x1b[m
test parser::columns ... \x1b[31mFAILED\x1b[m
test parser::long_lines ... \x1b[33mignored\x1b[m

failures:

---- parser::columns stdout ----
thread 'parser::columns' panicked at src/parser.rs:142:9:
assertion `left == right` failed
  left: 17
 right: 18
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace

failures:
    parser::columns

test result: \x1b[31mFAILED\x1b[m. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out
\x1b[1m\x1b[31merror\x1b[0m: test failed, to rerun pass `--lib`
";
