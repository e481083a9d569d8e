//! What the coordinator does, on the terminal that it was started in.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use build_coordinator::coordinator::{ConfigNews, Coordinator};
use build_coordinator::model::{BuildDetail, BuildId, BuildState, Cause};
use build_coordinator::notify::terminal_rules;
use build_coordinator::store::StoreError;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::{MissedTickBehavior, interval};

use crate::shown::{ending, took, what};
use crate::terminal::printable;

/// How often the times of what runs are brought up to date.
const TICK: Duration = Duration::from_millis(500);
/// Builds that are shown with a line of their own at a time; a terminal has not many more.
const LINES: usize = 16;

/// Shows builds as they begin and end, until the store is closed: lines that stay, and below them on a terminal one for each build that runs.
///
/// Cancel safe: nothing is lost but what would have been shown.
pub(crate) async fn show(coordinator: Coordinator) {
    let mut events = coordinator.subscribe();
    let mut config = coordinator.config_news();
    let mut screen = Screen::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let changed = tokio::select! {
            events = events.next() => events,
            Ok(()) = config.changed() => {
                screen.config(&config.borrow_and_update());
                continue;
            }
            _ = ticks.tick() => {
                screen.tick();
                continue;
            }
        };
        let shown = match changed {
            Ok(None) => return,
            Ok(Some(events)) => {
                let builds: BTreeSet<BuildId> = events.iter().map(|event| event.build).collect();
                show_builds(&coordinator, &builds, &mut screen).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = shown {
            tracing::debug!("progress is not shown: {error}");
            ticks.tick().await;
        }
    }
}

async fn show_builds(
    coordinator: &Coordinator,
    builds: &BTreeSet<BuildId>,
    screen: &mut Screen,
) -> Result<(), StoreError> {
    for id in builds {
        if let Some(detail) = coordinator.store().detail(*id).await? {
            let build = detail.build.clone();
            let config = coordinator.config();
            let rules = terminal_rules(coordinator.store(), &config, &build).await?;
            screen.build(detail);
            for (rule, on) in rules {
                screen.say(&format!(
                    "! {}: {on}, as rule {} tells",
                    what(&build),
                    printable(&rule)
                ));
            }
        }
    }
    Ok(())
}

/// Where it is shown.
struct Screen {
    /// What runs.
    running: BTreeMap<BuildId, Running>,
    /// On a terminal.
    bars: Option<MultiProgress>,
}

struct Running {
    detail: BuildDetail,
    bar: Option<ProgressBar>,
}

impl Screen {
    fn new() -> Self {
        Self {
            running: BTreeMap::new(),
            bars: io::stderr().is_terminal().then(MultiProgress::new),
        }
    }

    /// A build as it is now.
    fn build(&mut self, detail: BuildDetail) {
        let id = detail.build.id;
        match detail.build.state {
            BuildState::Running { .. } => self.runs(detail),
            BuildState::Done { cause } => {
                self.ended(id);
                let what = what(&detail.build);
                match cause {
                    Cause::Succeeded => {
                        self.say(&format!("✓ {what} succeeded in {}", took(&detail.build)));
                    }
                    _ => self.say(&format!("✗ {what} {}", ending(&detail))),
                }
            }
            // It waits: still, or once more.
            _ => {
                if self.ended(id) {
                    let last = detail
                        .attempts
                        .last()
                        .and_then(|attempt| attempt.end.as_ref());
                    let why = last.map(|end| end.cause.to_string()).unwrap_or_default();
                    self.say(&format!(
                        "↻ {}: {why}; it is tried again",
                        what(&detail.build)
                    ));
                }
            }
        }
    }

    fn runs(&mut self, detail: BuildDetail) {
        let id = detail.build.id;
        if let Some(running) = self.running.get_mut(&id) {
            running.detail = detail;
            running.tick();
            return;
        }
        self.say(&format!("  {} runs", what(&detail.build)));
        let shown = self
            .running
            .values()
            .filter(|running| running.bar.is_some())
            .count();
        let bar = self.bars.as_ref().filter(|_| shown < LINES).map(|bars| {
            let style = ProgressStyle::with_template("{spinner} {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            bars.add(ProgressBar::new_spinner().with_style(style))
        });
        let running = Running { detail, bar };
        running.tick();
        self.running.insert(id, running);
    }

    /// Whether it ran.
    fn ended(&mut self, id: BuildId) -> bool {
        let Some(running) = self.running.remove(&id) else {
            return false;
        };
        if let (Some(bars), Some(bar)) = (&self.bars, running.bar) {
            bar.finish_and_clear();
            bars.remove(&bar);
        }
        true
    }

    fn tick(&self) {
        for running in self.running.values() {
            running.tick();
        }
    }

    fn config(&self, news: &ConfigNews) {
        match news {
            ConfigNews::Used { notes, .. } => {
                self.say("the configuration has changed, and is used from now on");
                for note in notes {
                    self.say(&format!("  {}", printable(note)));
                }
            }
            ConfigNews::Refused { problems, .. } => {
                self.say("the configuration is not good, and the one before is used");
                for line in problems.to_string().lines() {
                    self.say(&printable(line));
                }
            }
            _ => {}
        }
    }

    fn say(&self, line: &str) {
        // There is nobody to tell when standard error is closed.
        let _ = match &self.bars {
            Some(bars) => bars.println(line),
            None => writeln!(io::stderr(), "{line}"),
        };
    }
}

impl Running {
    fn tick(&self) {
        let Some(bar) = &self.bar else { return };
        let attempt = self.detail.attempts.last();
        let step = attempt
            .and_then(|attempt| attempt.steps.last())
            .filter(|step| step.ended.is_none());
        let step = step
            .map(|step| format!(": {}", printable(&step.name)))
            .unwrap_or_default();
        bar.set_message(format!(
            "{} {}{step}",
            what(&self.detail.build),
            took(&self.detail.build)
        ));
        bar.tick();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(bars) = &self.bars {
            // What is not cleared stays on the screen, and does no harm.
            let _ = bars.clear();
        }
    }
}
