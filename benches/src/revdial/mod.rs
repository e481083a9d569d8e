//! What reverse dialing costs over the TLS below it, and beside the Go package.
//!
//! The Go peer is `interop/cmd/revdialbench`, which does the same as `worker` with Go's own TLS below. Both ends are in one
//! process each time, over loopback.

mod idle;
mod link;
mod reverse;
mod worker;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Runtime;

pub use self::idle::{coordinator, workers};
pub use self::link::{Bare, Configs, Link};
pub use self::reverse::{Reverse, warm_dial};
pub use self::worker::{dials, round_trip, throughput};
use crate::cli::RevdialArgs;
use crate::livelog::median;
use crate::machine;
use crate::table::{Align, markdown};

/// What a row of the table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Throughput,
    RoundTrip,
    Dials { at_once: usize, resumed: bool },
    WarmDial,
}

const CASES: [Case; 7] = [
    Case::Throughput,
    Case::RoundTrip,
    Case::Dials {
        at_once: 1,
        resumed: false,
    },
    Case::Dials {
        at_once: 8,
        resumed: false,
    },
    Case::Dials {
        at_once: 1,
        resumed: true,
    },
    Case::Dials {
        at_once: 8,
        resumed: true,
    },
    Case::WarmDial,
];

/// What was measured of one case: a number a round, of each subject that does it.
#[derive(Debug, Default)]
struct Measured {
    go_tls: Vec<f64>,
    go: Vec<f64>,
    tls: Vec<f64>,
    ours: Vec<f64>,
}

/// Measures all in turns, and prints the tables.
pub(crate) fn report(args: &RevdialArgs) -> anyhow::Result<()> {
    let go = harness::peer("revdialbench")?;
    let (rounds, mib, time, registered) = if args.quick {
        (1, 8, Duration::from_millis(50), 50)
    } else {
        (
            args.rounds,
            args.mib,
            Duration::from_secs(1),
            args.registered,
        )
    };
    let runtime = runtime()?;
    let ours = runtime.block_on(Subjects::new())?;
    let mut measured: Vec<Measured> = CASES.iter().map(|_| Measured::default()).collect();
    for round in 1..=rounds {
        eprintln!("  round {round} of {rounds}");
        let output = go
            .command()
            .args([
                "-mib",
                &mib.to_string(),
                "-time",
                &format!("{}ms", time.as_millis()),
            ])
            .output()
            .context("cannot run the Go peer")?;
        anyhow::ensure!(
            output.status.success(),
            "the Go peer failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        for (case, measured) in CASES.into_iter().zip(&mut measured) {
            if let Some(name) = case.of_peer() {
                measured.go_tls.push(of_peer(&output, "tls", name)?);
                measured.go.push(of_peer(&output, "revdial", name)?);
            }
            ours.measure(&runtime, case, mib, time, measured)?;
        }
    }
    drop(ours);
    drop(runtime);
    eprintln!("  {registered} registered workers");
    let mut text = String::new();
    writeln!(text, "Machine: {}.\n", machine::describe())?;
    let rows: Vec<_> = CASES
        .into_iter()
        .zip(&mut measured)
        .map(|(case, measured)| case.row(measured))
        .collect();
    let columns = [
        ("what", Align::Left),
        ("Go, TLS", Align::Right),
        ("Go, revdial", Align::Right),
        ("TLS", Align::Right),
        ("revdial", Align::Right),
        ("of TLS", Align::Right),
        ("× Go", Align::Right),
        ("goal", Align::Left),
    ];
    writeln!(text, "{}", markdown(&columns, &rows))?;
    text += &idle::report(registered)?;
    print!("{text}");
    Ok(())
}

/// A runtime of two threads, for both ends.
///
/// # Errors
///
/// When the system gives no threads.
pub fn runtime() -> anyhow::Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.context("cannot start a runtime")
}

/// The peer's number for a case among its lines.
fn of_peer(output: &str, subject: &str, case: &str) -> anyhow::Result<f64> {
    let prefix = format!("{subject} {case}=");
    let line = output
        .lines()
        .find_map(|line| line.strip_prefix(&prefix)?.parse().ok());
    line.with_context(|| format!("the Go peer left out {subject} {case}"))
}

/// What is measured of ours.
struct Subjects {
    full: Pair,
    resumed: Pair,
    warm: Arc<Reverse>,
}

struct Pair {
    tls: Arc<Bare>,
    ours: Arc<Reverse>,
}

impl Pair {
    async fn new(resume: bool) -> anyhow::Result<Self> {
        let configs = Configs::new(resume)?;
        Ok(Self {
            tls: Arc::new(Bare::new(&configs).await?),
            ours: Arc::new(Reverse::new(&configs, 0).await?),
        })
    }
}

impl Subjects {
    async fn new() -> anyhow::Result<Self> {
        Ok(Self {
            full: Pair::new(false).await?,
            resumed: Pair::new(true).await?,
            warm: Arc::new(Reverse::new(&Configs::new(true)?, reverse::WARM).await?),
        })
    }

    fn measure(
        &self,
        runtime: &Runtime,
        case: Case,
        mib: u32,
        time: Duration,
        to: &mut Measured,
    ) -> anyhow::Result<()> {
        let Pair { tls, ours } = match case {
            Case::Dials { resumed: true, .. } => &self.resumed,
            _ => &self.full,
        };
        let (tls, ours, warm) = (Arc::clone(tls), Arc::clone(ours), Arc::clone(&self.warm));
        // As a task: what runs on this thread instead would have to be woken by the runtime's.
        let measured = runtime.spawn(async move {
            anyhow::Ok(match case {
                Case::Throughput => (
                    Some(throughput(&*tls, mib).await?),
                    throughput(&*ours, mib).await?,
                ),
                Case::RoundTrip => (
                    Some(round_trip(&*tls, time).await?),
                    round_trip(&*ours, time).await?,
                ),
                Case::Dials { at_once, .. } => (
                    Some(dials(&tls, at_once, time).await?),
                    dials(&ours, at_once, time).await?,
                ),
                Case::WarmDial => (None, warm_dial(&warm, time).await?),
            })
        });
        let (tls, ours) = runtime.block_on(measured)??;
        to.tls.extend(tls);
        to.ours.push(ours);
        Ok(())
    }
}

impl Case {
    /// Its name in what the Go peer prints. Go's worker never resumes a session, so its numbers stand beside ours either way.
    fn of_peer(self) -> Option<&'static str> {
        match self {
            Self::Throughput => Some("throughput"),
            Self::RoundTrip => Some("rtt64"),
            Self::Dials { at_once: 1, .. } => Some("dials1"),
            Self::Dials { .. } => Some("dials8"),
            Self::WarmDial => None,
        }
    }

    fn row(self, measured: &mut Measured) -> Vec<String> {
        let Measured {
            go_tls,
            go,
            tls,
            ours,
        } = measured;
        let [go_tls, go, tls, ours] =
            [go_tls, go, tls, ours].map(|of| (!of.is_empty()).then(|| median(of)));
        let ours = ours.expect("it was measured each round");
        // How many times as fast, whichever way the numbers count.
        let times = |other: f64| {
            if self.less_is_better() {
                other / ours
            } else {
                ours / other
            }
        };
        let goal = match self {
            Self::Throughput => goal("0.97 of TLS", tls.is_some_and(|tls| times(tls) >= 0.97)),
            // Within what two runs of the same differ by.
            Self::RoundTrip => goal(
                "as TLS, within 3 %",
                tls.is_some_and(|tls| times(tls) >= 0.97),
            ),
            Self::Dials { .. } => goal("1.8 × Go", go.is_some_and(|go| times(go) >= 1.8)),
            Self::WarmDial => goal("under 100 µs", ours < 100_000.0),
        };
        let cell =
            |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| self.show(value));
        let ratio = |other: Option<f64>| {
            other.map_or_else(|| "–".to_owned(), |other| format!("{:.2}", times(other)))
        };
        vec![
            self.title(),
            cell(go_tls),
            cell(go),
            cell(tls),
            self.show(ours),
            ratio(tls),
            ratio(go),
            goal,
        ]
    }

    fn title(self) -> String {
        match self {
            Self::Throughput => "one connection, MiB/s".to_owned(),
            Self::RoundTrip => "64 bytes and back, µs".to_owned(),
            Self::Dials { at_once, resumed } => {
                let how = if resumed {
                    "sessions resumed"
                } else {
                    "full handshakes"
                };
                format!("dials/s, {at_once} at a time, {how}")
            }
            Self::WarmDial => "dial with warm stock, µs".to_owned(),
        }
    }

    fn less_is_better(self) -> bool {
        matches!(self, Self::RoundTrip | Self::WarmDial)
    }

    fn show(self, value: f64) -> String {
        if self.less_is_better() {
            format!("{:.1}", value / 1e3)
        } else {
            format!("{value:.0}")
        }
    }
}

fn goal(goal: &str, met: bool) -> String {
    format!("{goal}: {}", if met { "met" } else { "**missed**" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_lines_are_told_apart() {
        let output = "tls dials1=3.5\nrevdial dials1=4.0\nrevdial dials8=5\n";
        assert_eq!(of_peer(output, "tls", "dials1").unwrap(), 3.5);
        assert_eq!(of_peer(output, "revdial", "dials1").unwrap(), 4.0);
        assert_eq!(of_peer(output, "revdial", "dials8").unwrap(), 5.0);
        assert!(of_peer(output, "tls", "dials8").is_err());
    }

    #[test]
    fn a_row_says_whether_its_goal_is_met() {
        let mut measured = Measured {
            go_tls: vec![900.0],
            go: vec![700.0],
            tls: vec![2000.0],
            ours: vec![1400.0, 1000.0, 1300.0],
        };
        let row = Case::Dials {
            at_once: 1,
            resumed: false,
        }
        .row(&mut measured);
        assert_eq!(
            row[1..],
            [
                "900",
                "700",
                "2000",
                "1300",
                "0.65",
                "1.86",
                "1.8 × Go: met"
            ]
        );
        let row = Case::WarmDial.row(&mut Measured {
            ours: vec![123_456.0],
            ..Measured::default()
        });
        assert_eq!(
            row[1..],
            ["–", "–", "–", "123.5", "–", "–", "under 100 µs: **missed**"]
        );
    }
}
