//! The one that writes, and the loops of sources.

use std::collections::VecDeque;
use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use maintner::leader::{
    LeadError, Leader, LeaderConfig, Round, Schedule, Source, SourceError, SourceErrorKind,
    SourceState, Supervisor, Wake,
};
use maintner::reclog::Sync;
use maintner::{Corpus, pb};
use tempfile::tempdir;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);

fn issue(number: i32) -> pb::Mutation {
    pb::Mutation {
        github_issue: Some(pb::GithubIssueMutation {
            owner: "o".to_owned(),
            repo: "r".to_owned(),
            number,
            title: format!("issue {number}"),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn config() -> LeaderConfig {
    LeaderConfig::default().sync(Sync::Never)
}

fn numbers(view: &maintner::View) -> Vec<i32> {
    let repo = view.github().repo("o", "r");
    repo.map_or_else(Vec::new, |repo| {
        repo.issues().map(|issue| issue.number()).collect()
    })
}

#[tokio::test]
async fn what_is_appended_is_in_the_view_and_in_the_log() {
    let dir = tempdir().unwrap();
    let log = dir.path().join("made/for/it");
    let leader = Leader::open(&log, LeaderConfig::default()).await.unwrap();
    assert_eq!(leader.stats().log_bytes, 0);
    leader.append(vec![issue(1), issue(2)]).await.unwrap();
    assert_eq!(numbers(&leader.view()), [1, 2]);
    assert_eq!(numbers(&Corpus::open(&log).unwrap().view()), [1, 2]);
    let clone = leader.clone();
    let appending = tokio::task::spawn_blocking(move || clone.append_blocking(vec![issue(3)]));
    appending.await.unwrap().unwrap();
    assert_eq!(leader.stats().appended, 3);
    assert_eq!(
        leader
            .stats()
            .hours
            .iter()
            .map(|(_, count)| count)
            .sum::<u64>(),
        3
    );
    assert_eq!(leader.longer_than(10).await, Some(leader.stats().log_bytes));

    let other = Leader::open(&log, config()).await.unwrap_err();
    assert!(matches!(other, LeadError::Open { .. }), "{other:?}");
    leader.close().await;
    let late = leader.append(vec![issue(4)]).await;
    assert!(matches!(late, Err(LeadError::Closed)), "{late:?}");
    assert!(matches!(leader.broken().await, LeadError::Closed));
    assert_eq!(leader.longer_than(u64::MAX).await, None);
    let again = Leader::open(&log, config()).await.unwrap();
    assert_eq!(numbers(&again.view()), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_append_and_each_finds_its_own() {
    let dir = tempdir().unwrap();
    let leader = Leader::open(dir.path(), config()).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let leader = leader.clone();
        tasks.spawn(async move {
            for step in 0..50 {
                let number = 1 + task * 50 + step;
                leader.append(vec![issue(number)]).await.unwrap();
                let view = leader.view();
                let repo = view.github().repo("o", "r").unwrap();
                assert!(repo.issue(number).is_some());
            }
        });
    }
    tasks.join_all().await;
    leader.close().await;
    let corpus = Corpus::open(dir.path()).unwrap();
    assert_eq!(numbers(&corpus.view()), (1..=400).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_leader_whose_log_is_taken_away_says_so_and_writes_no_more() {
    let dir = tempdir().unwrap();
    let leader = Leader::open(dir.path(), config()).await.unwrap();
    leader.append(vec![issue(1)]).await.unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let error = leader.append(vec![issue(2)]).await.unwrap_err();
    assert!(error.is_final(), "{error:?}");
    assert!(error.source().is_some());
    let error = leader.append(vec![issue(3)]).await.unwrap_err();
    assert!(matches!(error, LeadError::Broken { .. }), "{error:?}");
    assert!(matches!(leader.broken().await, LeadError::Broken { .. }));
}

/// What a round does.
enum Act {
    Append(i32),
    More(i32),
    Nothing,
    Fail(SourceError),
    Panic,
    Hang,
}

/// Does as it is told, and tells when and why it was asked.
struct Script {
    acts: Arc<Mutex<VecDeque<Act>>>,
    asked: mpsc::UnboundedSender<(Wake, Duration)>,
    start: Instant,
}

impl Script {
    fn new(
        acts: impl IntoIterator<Item = Act>,
    ) -> (Self, mpsc::UnboundedReceiver<(Wake, Duration)>) {
        let (asked, told) = mpsc::unbounded_channel();
        let acts = Arc::new(Mutex::new(acts.into_iter().collect()));
        let start = Instant::now();
        (Self { acts, asked, start }, told)
    }
}

#[async_trait]
impl Source for Script {
    fn name(&self) -> &str {
        "script"
    }

    async fn round(&mut self, leader: &Leader, wake: Wake) -> Result<Round, SourceError> {
        let act = self.acts.lock().unwrap().pop_front();
        let _ = self.asked.send((wake, self.start.elapsed()));
        let mut round = Round::default();
        round.requests = 1;
        match act.unwrap_or(Act::Nothing) {
            Act::Nothing => {}
            Act::Append(number) => {
                leader.append(vec![issue(number)]).await?;
                round.mutations = 1;
            }
            Act::More(number) => {
                leader.append(vec![issue(number)]).await?;
                round.mutations = 1;
                round.has_more = true;
            }
            Act::Fail(error) => return Err(error),
            Act::Panic => panic!("as told"),
            Act::Hang => std::future::pending().await,
        }
        Ok(round)
    }
}

/// The log is written by a thread, for which paused time does not wait, so that these sources append nothing.
async fn times(acts: Vec<Act>, schedule: Schedule, rounds: usize) -> Vec<(Wake, u64)> {
    let dir = tempdir().unwrap();
    let leader = Leader::open(dir.path(), config()).await.unwrap();
    let mut supervisor = Supervisor::new(leader);
    tokio::time::pause();
    let (script, mut told) = Script::new(acts);
    supervisor.add(script, schedule);
    let stop = CancellationToken::new();
    let running = tokio::spawn(supervisor.run(stop.clone()));
    let mut seen = Vec::new();
    while seen.len() < rounds {
        let (wake, after) = told.recv().await.unwrap();
        seen.push((wake, after.as_secs()));
    }
    stop.cancel();
    running.await.unwrap();
    seen
}

#[tokio::test]
async fn rounds_come_at_intervals() {
    let seen = times(vec![], Schedule::every(60 * SECOND), 4).await;
    let interval = Wake::Interval;
    assert_eq!(
        seen,
        [
            (Wake::Start, 0),
            (interval, 60),
            (interval, 120),
            (interval, 180)
        ]
    );
}

#[tokio::test]
async fn failures_wait_longer_and_longer_and_a_pause_that_was_asked_for_is_kept() {
    let acts = vec![
        Act::Fail(SourceError::transient("a")),
        Act::Fail(SourceError::transient("b")),
        Act::Fail(SourceError::rate_limited("c", 1000 * SECOND)),
        Act::Panic,
        Act::Nothing,
    ];
    let schedule = Schedule::every(60 * SECOND).pauses(10 * SECOND, 300 * SECOND);
    let seen = times(acts, schedule, 6).await;
    let gaps: Vec<_> = seen.windows(2).map(|two| two[1].1 - two[0].1).collect();
    assert!((5..=10).contains(&gaps[0]), "{gaps:?}");
    assert!((10..=20).contains(&gaps[1]), "{gaps:?}");
    assert!((1000..=1001).contains(&gaps[2]), "{gaps:?}");
    assert!(
        (300..=301).contains(&gaps[3]),
        "a fault is tried seldom: {gaps:?}"
    );
    assert_eq!(gaps[4], 60);
    assert!(seen[..5].iter().all(|(wake, _)| *wake == Wake::Start));
}

#[tokio::test]
async fn a_hint_begins_a_round_and_more_of_them_until_something_is_found() {
    let dir = tempdir().unwrap();
    let leader = Leader::open(dir.path(), config()).await.unwrap();
    let mut supervisor = Supervisor::new(leader);
    tokio::time::pause();
    let (script, mut told) = Script::new([]);
    supervisor.add(script, Schedule::every(20 * SECOND).expect_changes(true));
    let (hints, health) = (supervisor.hints(), supervisor.health());
    assert!(!hints.wake("nobody"));
    assert_eq!(health.sources()[0].state, SourceState::Stopped);
    let stop = CancellationToken::new();
    let running = tokio::spawn(supervisor.run(stop.clone()));
    assert_eq!(told.recv().await.unwrap().0, Wake::Start);
    assert!(hints.wake("script") && hints.wake("script"));
    let mut seen = Vec::new();
    for _ in 0..7 {
        let (wake, after) = told.recv().await.unwrap();
        seen.push((wake, after.as_secs()));
    }
    let (hint, interval) = (Wake::Hint, Wake::Interval);
    let wanted = [
        (hint, 0),
        (hint, 1),
        (hint, 3),
        (hint, 7),
        (hint, 15),
        (hint, 31),
        (interval, 51),
    ];
    assert_eq!(seen, wanted);
    let health = health.sources();
    assert_eq!((health[0].failures, health[0].error.clone()), (0, None));
    assert!(health[0].caught_up.is_some() && health[0].requests >= 7);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn one_that_fails_stops_no_other_and_health_says_why() {
    let dir = tempdir().unwrap();
    let leader = Leader::open(dir.path(), config()).await.unwrap();
    let mut supervisor = Supervisor::new(leader.clone());
    let refused = SourceError::permanent("wrong\npassword");
    let (bad, mut bad_told) = Script::new([Act::Fail(refused)]);
    let (hung, mut hung_told) = Script::new([Act::Hang]);
    let (good, mut good_told) = Script::new([Act::More(1), Act::More(2), Act::Append(3)]);
    for source in [bad, hung, good] {
        supervisor.add(source, Schedule::every(3600 * SECOND));
    }
    let health = supervisor.health();
    let stop = CancellationToken::new();
    let running = tokio::spawn(supervisor.run(stop.clone()));
    bad_told.recv().await.unwrap();
    hung_told.recv().await.unwrap();
    for _ in 0..3 {
        good_told.recv().await.unwrap();
    }
    assert!(leader.longer_than(0).await.is_some());
    let deadline = std::time::Instant::now() + 60 * SECOND;
    let health = loop {
        let health = health.sources();
        let is_done = health[0].error.is_some() && health[2].rounds == 3;
        if is_done && health[2].state == SourceState::Waiting {
            break health;
        }
        assert!(std::time::Instant::now() < deadline, "{health:?}");
        tokio::task::yield_now().await;
    };
    let text = "the source cannot be followed: wrong password".to_owned();
    assert_eq!(health[0].error, Some((SourceErrorKind::Permanent, text)));
    assert_eq!(health[1].state, SourceState::Running);
    assert_eq!((health[2].mutations, health[2].requests), (3, 3));
    assert_eq!(numbers(&leader.view()), [1, 2, 3]);
    // The one that hangs is dropped.
    stop.cancel();
    running.await.unwrap();
    leader.close().await;
}

#[tokio::test]
async fn one_round_of_each_ends_with_the_first_failure() {
    let dir = tempdir().unwrap();
    let leader = Leader::open(dir.path(), config()).await.unwrap();
    let mut supervisor = Supervisor::new(leader.clone());
    let (good, _told) = Script::new([Act::More(1), Act::Append(2)]);
    supervisor.add(good, Schedule::every(SECOND));
    let rounds = supervisor.run_once().await.unwrap();
    assert_eq!(
        (rounds.len(), rounds[0].mutations, rounds[0].requests),
        (1, 2, 2)
    );
    let mut supervisor = Supervisor::new(leader.clone());
    let (bad, _told) = Script::new([Act::Fail(SourceError::transient("no network"))]);
    let (good, _told) = Script::new([Act::Append(3)]);
    supervisor.add(bad, Schedule::every(SECOND));
    supervisor.add(good, Schedule::every(SECOND));
    let error = supervisor.run_once().await.unwrap_err();
    assert_eq!(error.kind(), SourceErrorKind::Transient);
    assert_eq!(numbers(&leader.view()), [1, 2, 3]);
}
