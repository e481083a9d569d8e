use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, SystemTime};

use pubsubhelper::{Event, GithubEvent, Hub, HubConfig, OpenHubError, Signal, Time};
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn issue(number: i64) -> Signal {
    Signal::Github(GithubEvent {
        action: "opened".to_owned(),
        repo_owner: "golang".to_owned(),
        repo: "go".to_owned(),
        issue_number: number,
        ..GithubEvent::default()
    })
}

fn number(event: &Event) -> i64 {
    event.github.as_ref().unwrap().issue_number
}

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

/// A clock that is set, in seconds.
fn clock(seconds: u64) -> (Arc<AtomicU64>, HubConfig) {
    let clock = Arc::new(AtomicU64::new(seconds));
    let read = Arc::clone(&clock);
    let now = move || SystemTime::UNIX_EPOCH + Duration::from_secs(read.load(Ordering::SeqCst));
    (clock, HubConfig::default().clock(now))
}

#[test]
fn times_increase_when_the_clock_stands_or_steps_back() {
    let (clock, config) = clock(1000);
    let hub = Hub::in_memory(config);
    let first = hub.publish(issue(1));
    let second = hub.publish(issue(2));
    clock.store(10, Ordering::SeqCst);
    let third = hub.publish(issue(3));
    assert_eq!(first, time("1970-01-01T00:16:40Z"));
    assert_eq!(second, time("1970-01-01T00:16:40.000000001Z"));
    assert_eq!(third, time("1970-01-01T00:16:40.000000002Z"));
}

#[tokio::test]
async fn who_passes_each_time_gets_each_event_once_in_order() {
    let hub = Hub::in_memory(HubConfig::default());
    let start = hub.publish(issue(-1));
    let (threads, each) = (8, 125);
    let barrier = Arc::new(Barrier::new(threads));
    let publishers: Vec<_> = (0..threads)
        .map(|thread| {
            let (hub, barrier) = (hub.clone(), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                for n in 0..each {
                    hub.publish(issue((thread * each + n) as i64));
                }
            })
        })
        .collect();
    let (mut after, mut seen) = (start, Vec::new());
    while seen.len() < threads * each {
        let event = hub.next_after(Some(after)).await;
        assert!(event.time.unwrap() > after && !event.long_poll_timeout);
        after = event.time.unwrap();
        seen.push(number(&event));
    }
    for publisher in publishers {
        publisher.join().unwrap();
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..(threads * each) as i64).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_after_thirty_seconds_and_loses_nothing() {
    let (_, config) = clock(1000);
    let hub = Hub::in_memory(config);
    let begin = Instant::now();
    let event = hub.next_after(None).await;
    assert_eq!(begin.elapsed(), Duration::from_secs(30));
    assert!(event.long_poll_timeout);
    assert_eq!(event.time, Some(time("1970-01-01T00:16:40Z")));
    // In the same second of the clock.
    let later = hub.publish(issue(1));
    assert!(Some(later) > event.time);
    let next = hub.next_after(event.time).await;
    assert_eq!((number(&next), next.time), (1, Some(later)));
}

#[tokio::test(start_paused = true)]
async fn an_event_at_the_moment_of_the_time_out_is_not_lost() {
    let hub = Hub::in_memory(HubConfig::default());
    let mut after = Some(hub.publish(issue(0)));
    let publisher = tokio::spawn({
        let hub = hub.clone();
        async move {
            for n in 1..=20 {
                tokio::time::sleep(Duration::from_secs(30)).await;
                hub.publish(issue(n));
            }
        }
    });
    let mut seen = Vec::new();
    while seen.len() < 20 {
        let event = hub.next_after(after).await;
        after = event.time;
        if !event.long_poll_timeout {
            seen.push(number(&event));
        }
    }
    publisher.await.unwrap();
    assert_eq!(seen, (1..=20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_client_from_the_future_is_brought_back() {
    let (_, config) = clock(1000);
    let hub = Hub::in_memory(config);
    let event = hub.next_after(Some(time("9999-01-01T00:00:00Z"))).await;
    assert_eq!(event.time, Some(time("1970-01-01T00:16:40Z")));
    assert!(hub.publish(issue(1)) > event.time.unwrap());
}

#[test]
fn recent_events_are_newest_first_and_their_bound_is_inclusive() {
    let hub = Hub::in_memory(HubConfig::default());
    let times: Vec<Time> = (0..4).map(|n| hub.publish(issue(n))).collect();
    let numbers = |after| {
        hub.recent(after)
            .iter()
            .map(|event| number(event))
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(None), [3, 2, 1, 0]);
    assert_eq!(numbers(Some(times[2])), [3, 2]);
    assert!(numbers(Some(time("9999-01-01T00:00:00Z"))).is_empty());
}

#[test]
fn as_much_is_kept_as_was_said() {
    let (clock, config) = clock(1000);
    let hub = Hub::in_memory(
        config
            .max_events(5)
            .min_events(2)
            .keep_for(Duration::from_secs(100)),
    );
    for n in 0..9 {
        hub.publish(issue(n));
    }
    assert_eq!(hub.recent(None).len(), 5);
    clock.store(2000, Ordering::SeqCst);
    hub.publish(issue(9));
    assert_eq!(hub.recent(None).len(), 2);
}

#[tokio::test]
async fn events_are_there_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    let (clock, config) = clock(1000);
    let open = || Hub::open(config.clone().max_events(10), &file).unwrap();
    let hub = open();
    let mut newest = hub.publish(issue(0));
    for n in 1..100 {
        newest = hub.publish(issue(n));
        if n % 7 == 0 {
            assert!(hub.persisted(newest, LIMIT).await);
        }
    }
    assert!(hub.persisted(newest, LIMIT).await);
    let before = hub.recent(None);
    assert!(std::fs::read_to_string(&file).unwrap().lines().count() <= 20);
    assert!(matches!(
        Hub::open(config.clone(), &file),
        Err(OpenHubError::InUse { .. })
    ));
    drop(hub);
    clock.store(10, Ordering::SeqCst);
    let hub = open();
    assert_eq!(hub.recent(None), before);
    assert!(hub.publish(issue(100)) > newest);
}

#[test]
fn what_a_crash_left_of_a_line_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    let hub = Hub::open(HubConfig::default(), &file).unwrap();
    hub.publish(issue(1));
    hub.publish(issue(2));
    drop(hub); // writes
    let whole = std::fs::read(&file).unwrap();
    let first = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for cut in first..=whole.len() {
        std::fs::write(&file, &whole[..cut]).unwrap();
        let hub = Hub::open(HubConfig::default(), &file).unwrap();
        let kept = 1 + usize::from(cut == whole.len());
        assert_eq!(hub.recent(None).len(), kept, "{cut}");
        hub.publish(issue(3));
        drop(hub);
        let hub = Hub::open(HubConfig::default(), &file).unwrap();
        assert_eq!(hub.recent(None).len(), kept + 1);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_cannot_be_written_stops_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("sub");
    std::fs::create_dir(&gone).unwrap();
    let hub = Hub::open(HubConfig::default().max_events(1), gone.join("events")).unwrap();
    std::fs::remove_dir_all(&gone).unwrap();
    // Sooner or later the file is made anew, and cannot be.
    let mut failed = false;
    for n in 0..10 {
        let time = hub.publish(issue(n));
        failed |= !hub.persisted(time, LIMIT).await;
        assert_eq!(number(&hub.recent(None)[0]), n);
    }
    assert!(failed);
    std::fs::create_dir(&gone).unwrap();
    let time = hub.publish(issue(10));
    assert!(hub.persisted(time, LIMIT).await);
}
