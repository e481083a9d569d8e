//! Numbers for Prometheus, in its text form.

use std::fmt::Write as _;
use std::time::SystemTime;

use maintner::leader::SourceState;

use crate::state::{Source, State};

pub(crate) fn metrics(state: &State) -> String {
    let mut text = Text::default();
    let ready = state.ready();
    let is_ready = u64::from(ready.is_some());
    text.add(
        "maintnerd_ready",
        "gauge",
        "Whether the log is loaded.",
        &[("", is_ready)],
    );
    let Some(ready) = ready else {
        return text.0;
    };
    let (stats, corpus) = (ready.stats(), ready.reader().view().stats());
    text.add(
        "maintnerd_log_bytes",
        "gauge",
        "Bytes of the log.",
        &[("", stats.log_bytes)],
    );
    let appended = [("", stats.appended)];
    text.add(
        "maintnerd_appended_total",
        "counter",
        "Mutations appended since the start.",
        &appended,
    );
    text.add(
        "maintnerd_mutations",
        "gauge",
        "Mutations of the log.",
        &[("", corpus.records)],
    );
    text.add(
        "maintnerd_commits",
        "gauge",
        "Commits of the corpus.",
        &[("", corpus.commits as u64)],
    );
    if let Source::Leader {
        storing: Some(storing),
        ..
    } = &ready.source
    {
        let status = storing.status.borrow().clone();
        text.add(
            "maintnerd_bucket_bytes",
            "gauge",
            "Bytes of the log that the bucket has.",
            &[("", status.bytes)],
        );
        text.add(
            "maintnerd_bucket_failing",
            "gauge",
            "Whether nothing could be stored the last time.",
            &[("", u64::from(status.error.is_some()))],
        );
    }
    if let Source::Leader { health, .. } = &ready.source {
        let sources = health.sources();
        let mut of = |name, kind, help, value: &dyn Fn(&maintner::leader::SourceHealth) -> u64| {
            let values: Vec<_> = sources
                .iter()
                .map(|source| (source.name.as_str(), value(source)))
                .collect();
            text.add(name, kind, help, &values);
        };
        let lag = |source: &maintner::leader::SourceHealth| {
            let caught_up = source.caught_up.unwrap_or_else(|| state.started());
            SystemTime::now()
                .duration_since(caught_up)
                .map_or(0, |lag| lag.as_secs())
        };
        of(
            "maintnerd_source_lag_seconds",
            "gauge",
            "Since everything older than that is in the log.",
            &lag,
        );
        of(
            "maintnerd_source_failures",
            "gauge",
            "Failures in a row.",
            &|source| source.failures.into(),
        );
        of(
            "maintnerd_source_running",
            "gauge",
            "Whether a round runs.",
            &|source| u64::from(source.state == SourceState::Running),
        );
        of(
            "maintnerd_source_rounds_total",
            "counter",
            "Rounds that succeeded.",
            &|source| source.rounds,
        );
        of(
            "maintnerd_source_mutations_total",
            "counter",
            "Mutations.",
            &|source| source.mutations,
        );
        of(
            "maintnerd_source_requests_total",
            "counter",
            "Requests.",
            &|source| source.requests,
        );
        of(
            "maintnerd_source_skipped",
            "gauge",
            "What could not be used.",
            &|source| source.skipped,
        );
    }
    if let Some(governor) = &ready.governor {
        let limits = governor.limits();
        text.add(
            "maintnerd_github_requests_total",
            "counter",
            "Requests.",
            &[("", limits.requests)],
        );
        let not_modified = [("", limits.not_modified)];
        text.add(
            "maintnerd_github_not_modified_total",
            "counter",
            "Requests that found nothing new.",
            &not_modified,
        );
        text.add(
            "maintnerd_github_limited_total",
            "counter",
            "Requests refused by a limit.",
            &[("", limits.limited)],
        );
        if let Some(remaining) = limits.remaining {
            text.add(
                "maintnerd_github_remaining",
                "gauge",
                "Requests left in this hour.",
                &[("", remaining)],
            );
        }
    }
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    /// Values by the name of a source, or one without.
    fn add(&mut self, name: &str, kind: &str, help: &str, values: &[(&str, u64)]) {
        // A string takes whatever is written.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (source, value) in values {
            let _ = match *source {
                "" => writeln!(self.0, "{name} {value}"),
                source => {
                    let source = source.replace('\\', "\\\\").replace('"', "\\\"");
                    writeln!(self.0, "{name}{{source=\"{source}\"}} {value}")
                }
            };
        }
    }
}
