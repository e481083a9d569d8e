//! What templates do with values beside showing them.

use askama::Values;

use crate::api::{Build, Level, MachineState, State, Step, Timestamp};
use crate::web::text;

type Shown = askama::Result<String>;

#[askama::filter_fn]
pub(super) fn short(revision: &str, _: &dyn Values) -> Shown {
    Ok(text::short(revision).to_owned())
}

#[askama::filter_fn]
pub(super) fn name_of(author: &str, _: &dyn Values) -> Shown {
    Ok(text::name_of(author).to_owned())
}

#[askama::filter_fn]
pub(super) fn tone(state: &State, _: &dyn Values) -> askama::Result<&'static str> {
    Ok(text::tone(*state))
}

#[askama::filter_fn]
pub(super) fn sign(state: &State, _: &dyn Values) -> askama::Result<&'static str> {
    Ok(text::sign(*state))
}

#[askama::filter_fn]
pub(super) fn label(state: &State, _: &dyn Values) -> askama::Result<&'static str> {
    Ok(text::label(*state))
}

#[askama::filter_fn]
pub(super) fn machine_tone(state: &MachineState, _: &dyn Values) -> askama::Result<&'static str> {
    Ok(match state {
        MachineState::Idle => "ok",
        MachineState::Busy => "run",
        MachineState::Draining => "wait",
        MachineState::Quarantined => "infra",
        MachineState::Lost => "bad",
    })
}

#[askama::filter_fn]
pub(super) fn level_tone(level: &Level, _: &dyn Values) -> askama::Result<&'static str> {
    Ok(match level {
        Level::Info => "off",
        Level::Warn => "infra",
        Level::Error => "bad",
    })
}

#[askama::filter_fn]
pub(super) fn level_name(level: &Level, _: &dyn Values) -> askama::Result<&'static str> {
    Ok(match level {
        Level::Info => "info",
        Level::Warn => "warning",
        Level::Error => "error",
    })
}

#[askama::filter_fn]
pub(super) fn ago(time: &Timestamp, _: &dyn Values, now: &Timestamp) -> Shown {
    Ok(text::ago(*time, *now))
}

/// How long it has been.
#[askama::filter_fn]
pub(super) fn lasting_since(time: &Timestamp, _: &dyn Values, now: &Timestamp) -> Shown {
    Ok(text::lasting(now.since(*time)))
}

/// How long until then.
#[askama::filter_fn]
pub(super) fn until(time: &Timestamp, _: &dyn Values, now: &Timestamp) -> Shown {
    let left = time.since(*now);
    Ok(if left.as_secs() < 5 {
        "soon".to_owned()
    } else {
        text::lasting(left)
    })
}

#[askama::filter_fn]
pub(super) fn lasting(time: &std::time::Duration, _: &dyn Values) -> Shown {
    Ok(text::lasting(*time))
}

#[askama::filter_fn]
pub(super) fn size(bytes: &u64, _: &dyn Values) -> Shown {
    Ok(text::size(*bytes))
}

/// How long a build took or has been running.
#[askama::filter_fn]
pub(super) fn took(
    build: &Build,
    _: &dyn Values,
    now: &Timestamp,
) -> askama::Result<Option<String>> {
    Ok(build
        .started
        .map(|started| text::lasting(build.ended.unwrap_or(*now).since(started))))
}

/// How long a step took or has been running.
#[askama::filter_fn]
pub(super) fn step_took(
    step: &Step,
    _: &dyn Values,
    now: &Timestamp,
) -> askama::Result<Option<String>> {
    Ok(step
        .started
        .map(|started| text::lasting(step.ended.unwrap_or(*now).since(started))))
}

/// For a path: as `urlencode`, but slashes stay.
#[askama::filter_fn]
pub(super) fn path_encode(path: &str, _: &dyn Values) -> Shown {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(byte.into());
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(out)
}
