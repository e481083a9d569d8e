//! The page for people.

use std::time::{Duration, SystemTime};

use askama::Template;
use maintner::leader::{SourceErrorKind, SourceHealth, SourceState};
use maintner::sync::github::RateLimits;

use crate::bucket::BucketLogStatus;
use crate::hours::HOURS;
use crate::state::{Source, State};

/// The size of the chart's bars.
const BAR: u64 = 14;
const HEIGHT: u64 = 120;

#[derive(Template)]
#[template(path = "status.html")]
struct Page {
    version: &'static str,
    up: String,
    ready: Option<Facts>,
}

struct Facts {
    mode: &'static str,
    log: String,
    appended: u64,
    records: u64,
    commits: usize,
    projects: usize,
    repos: usize,
    has_logs: bool,
    sources: Vec<Row>,
    limits: Option<Limits>,
    bucket: Option<String>,
    bars: Vec<Bar>,
    width: u64,
    most: u64,
}

/// What GitHub allows, and what was asked.
struct Limits {
    left: String,
    /// What is left, and of how much.
    meter: Option<(u64, u64)>,
    resets: String,
    held: String,
    sent: u64,
    not_modified: u64,
    refused: u64,
}

struct Row {
    name: String,
    class: &'static str,
    state: String,
    caught_up: String,
    next: String,
    took: String,
    rounds: u64,
    mutations: u64,
    requests: u64,
    skipped: u64,
    error: String,
}

struct Bar {
    x: u64,
    y: u64,
    height: u64,
    title: String,
}

pub(crate) fn page(state: &State) -> askama::Result<String> {
    let now = SystemTime::now();
    let page = Page {
        version: env!("CARGO_PKG_VERSION"),
        up: ago(now, state.started()),
        ready: state.ready().map(|ready| {
            let (stats, view) = (ready.stats(), ready.reader().view());
            let (bars, most) = chart(now, state.hours().counts(now, stats.hours));
            let (mode, sources) = match &ready.source {
                Source::Leader { health, .. } => ("leader", health.sources()),
                Source::Follower(_) => ("follower", Vec::new()),
            };
            Facts {
                mode,
                log: size(stats.log_bytes),
                appended: stats.appended,
                records: view.stats().records,
                commits: view.stats().commits,
                projects: view.gerrit().projects().count(),
                repos: view.github().repos().count(),
                has_logs: ready.logs.is_some(),
                sources: sources.iter().map(|source| row(now, source)).collect(),
                limits: ready
                    .governor
                    .as_ref()
                    .map(|governor| limits(now, &governor.limits())),
                bucket: match &ready.source {
                    Source::Leader {
                        storing: Some(storing),
                        ..
                    } => Some(bucket(now, &storing.status.borrow(), stats.log_bytes)),
                    _ => None,
                },
                bars,
                width: HOURS * BAR,
                most,
            }
        }),
    };
    page.render()
}

fn row(now: SystemTime, source: &SourceHealth) -> Row {
    let (class, state) = match (source.state, &source.error) {
        (_, Some((SourceErrorKind::Permanent, _))) => ("bad", "needs somebody"),
        (_, Some((SourceErrorKind::RateLimited, _))) => ("late", "told to wait"),
        (_, Some(_)) => ("late", "failing"),
        (SourceState::Running, None) => ("busy", "running"),
        (SourceState::Waiting, None) => ("good", "waiting"),
        _ => ("late", "stopped"),
    };
    let next = source.next.and_then(|next| next.duration_since(now).ok());
    Row {
        name: source.name.clone(),
        class,
        state: state.to_owned(),
        caught_up: source
            .caught_up
            .map_or_else(|| "never".to_owned(), |at| format!("{} ago", ago(now, at))),
        next: next.map_or_else(String::new, |next| format!("in {}", span(next))),
        took: if source.rounds > 0 {
            span(source.took)
        } else {
            String::new()
        },
        rounds: source.rounds,
        mutations: source.mutations,
        requests: source.requests,
        skipped: source.skipped,
        error: source
            .error
            .as_ref()
            .map_or_else(String::new, |(_, text)| text.clone()),
    }
}

fn limits(now: SystemTime, limits: &RateLimits) -> Limits {
    let number = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let resets = limits.resets.and_then(|at| at.duration_since(now).ok());
    Limits {
        left: format!("{} of {}", number(limits.remaining), number(limits.limit)),
        meter: limits.remaining.zip(limits.limit),
        resets: resets.map_or_else(String::new, |resets| format!("in {}", span(resets))),
        held: if limits.held.is_zero() {
            String::new()
        } else {
            span(limits.held)
        },
        sent: limits.requests,
        not_modified: limits.not_modified,
        refused: limits.limited,
    }
}

fn bucket(now: SystemTime, status: &BucketLogStatus, log_bytes: u64) -> String {
    let mut text = format!("{} in {} segments", size(status.bytes), status.segments);
    match log_bytes.saturating_sub(status.bytes) {
        0 => text += ", which is everything",
        waiting => text += &format!("; {} are still to be stored", size(waiting)),
    }
    if let Some(at) = status.stored {
        text += &format!("; the last were stored {} ago", ago(now, at));
    }
    if let Some(error) = &status.error {
        text += &format!("; it was tried again since, in vain: {error}");
    }
    text
}

/// A bar for each of the last hours, and what the highest one stands for.
fn chart(now: SystemTime, hours: Vec<(SystemTime, u64)>) -> (Vec<Bar>, u64) {
    let most = hours.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let bars = hours.into_iter().filter_map(|(hour, count)| {
        let back = now.duration_since(hour).unwrap_or_default().as_secs() / 3600;
        let place = HOURS.checked_sub(1 + back)?;
        let height = (count * HEIGHT / most.max(1)).max(1);
        let time = jiff::Timestamp::try_from(hour).ok()?;
        Some(Bar {
            x: place * BAR,
            y: HEIGHT - height,
            height,
            title: format!("{}: {count}", time.strftime("%Y-%m-%d %H:00")),
        })
    });
    (bars.collect(), most)
}

fn ago(now: SystemTime, then: SystemTime) -> String {
    span(now.duration_since(then).unwrap_or_default())
}

fn span(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=9_999_999 => format!("{} kB", bytes / 1000),
        10_000_000..=9_999_999_999 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}
