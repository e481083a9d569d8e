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
use tokio::runtime::{Handle, Runtime};

pub use self::idle::{coordinator, workers};
pub use self::link::{Bare, Configs, Link};
pub use self::reverse::{Reverse, warm_dial};
pub use self::worker::{Cost, dials, round_trip, throughput};
use crate::cli::RevdialArgs;
use crate::livelog::median;
use crate::machine;
use crate::table::{Align, markdown};

/// Turns of the subjects in a round of round trips.
const TURNS: u32 = 10;

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

/// What was measured of one case, a cost a round; nothing of subjects that do not do it.
#[derive(Debug, Default)]
struct Measured {
    go_tls: Vec<Cost>,
    go: Vec<Cost>,
    tls: Vec<Cost>,
    ours: Vec<Cost>,
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
    let ours = Subjects::new()?;
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
            ours.measure(case, mib, time, measured)?;
        }
    }
    drop(ours);
    eprintln!("  {registered} registered workers");
    let mut text = String::new();
    writeln!(text, "Machine: {}.\n", machine::describe())?;
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
    let cases = || CASES.into_iter().zip(&measured);
    let rows: Vec<_> = cases().map(|(case, measured)| case.row(measured)).collect();
    writeln!(text, "{}", markdown(&columns, &rows))?;
    let rows: Vec<_> = cases()
        .filter_map(|(case, measured)| case.cpu_row(measured))
        .collect();
    writeln!(text, "{}", markdown(&columns[..7], &rows))?;
    text += &idle::report(registered)?;
    print!("{text}");
    Ok(())
}

/// A runtime of so many threads.
///
/// # Errors
///
/// When the system gives none.
pub fn runtime(threads: usize) -> anyhow::Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build();
    runtime.context("cannot start a runtime")
}

/// The peer's numbers for a case among its lines.
fn of_peer(output: &str, subject: &str, case: &str) -> anyhow::Result<Cost> {
    let prefix = format!("{subject} {case} ");
    let found = output.lines().find_map(|line| {
        let (wall, cpu) = line
            .strip_prefix(&prefix)?
            .strip_prefix("wall=")?
            .split_once(" cpu=")?;
        Some(Cost {
            wall: wall.parse().ok()?,
            cpu: cpu.parse().ok()?,
        })
    });
    found.with_context(|| format!("the Go peer left out {subject} {case}"))
}

/// What is measured of ours.
struct Subjects {
    /// A thread for each end, as in two programs: on the same two threads, whether a transfer has one of them or both is luck.
    apart: Pair,
    /// One thread for both ends: of a round trip between two, most is to wake the other.
    near: Pair,
    /// Two threads for both ends: dials at a time are not the same work for either.
    full: Pair,
    resumed: Pair,
    warm: Arc<Reverse>,
    // Behind what runs on them.
    together: Runtime,
    alone: Runtime,
    dialing: Runtime,
    _working: Runtime,
}

struct Pair {
    tls: Arc<Bare>,
    ours: Arc<Reverse>,
}

impl Pair {
    async fn new(resume: bool, worker: &Handle) -> anyhow::Result<Self> {
        let configs = Configs::new(resume)?;
        Ok(Self {
            tls: Arc::new(Bare::new(&configs, worker).await?),
            ours: Arc::new(Reverse::new(&configs, 0, worker).await?),
        })
    }
}

impl Subjects {
    fn new() -> anyhow::Result<Self> {
        let (together, alone) = (runtime(2)?, runtime(1)?);
        let (dialing, working) = (runtime(1)?, runtime(1)?);
        let worker = together.handle();
        let warm = async { Reverse::new(&Configs::new(true)?, reverse::WARM, worker).await };
        Ok(Self {
            apart: dialing.block_on(Pair::new(false, working.handle()))?,
            near: alone.block_on(Pair::new(false, alone.handle()))?,
            full: together.block_on(Pair::new(false, worker))?,
            resumed: together.block_on(Pair::new(true, worker))?,
            warm: Arc::new(together.block_on(warm)?),
            together,
            alone,
            dialing,
            _working: working,
        })
    }

    fn measure(
        &self,
        case: Case,
        mib: u32,
        time: Duration,
        to: &mut Measured,
    ) -> anyhow::Result<()> {
        let (pair, runtime) = match case {
            Case::Throughput => (&self.apart, &self.dialing),
            Case::Dials { resumed: true, .. } => (&self.resumed, &self.together),
            Case::RoundTrip => (&self.near, &self.alone),
            Case::Dials { .. } | Case::WarmDial => (&self.full, &self.together),
        };
        let Pair { tls, ours } = pair;
        let (tls, ours, warm) = (Arc::clone(tls), Arc::clone(ours), Arc::clone(&self.warm));
        // As a task: what runs on this thread instead would have to be woken by the runtime's.
        let measured = runtime.spawn(async move {
            let (mut of_tls, mut of_ours) = (Vec::new(), Vec::new());
            match case {
                Case::Throughput => {
                    of_tls.push(throughput(&*tls, mib).await?);
                    of_ours.push(throughput(&*ours, mib).await?);
                }
                // By turns, as a few percent are to be seen and the clock of a CPU changes more than that.
                Case::RoundTrip => {
                    for _ in 0..TURNS {
                        of_tls.push(round_trip(&*tls, time / TURNS).await?);
                        of_ours.push(round_trip(&*ours, time / TURNS).await?);
                    }
                }
                Case::Dials { at_once, .. } => {
                    of_tls.push(dials(&tls, at_once, time).await?);
                    of_ours.push(dials(&ours, at_once, time).await?);
                }
                Case::WarmDial => of_ours.push(warm_dial(&warm, time).await?),
            }
            anyhow::Ok((of_tls, of_ours))
        });
        let (tls, ours) = runtime.block_on(measured)??;
        to.tls.extend(tls);
        to.ours.extend(ours);
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

    fn row(self, measured: &Measured) -> Vec<String> {
        let of = Medians::of(measured, |cost| cost.wall);
        let goal = match self {
            Self::Throughput => goal(
                "0.97 of TLS",
                of.tls.is_some_and(|tls| tls / of.ours >= 0.97),
            ),
            // Within what two runs of the same differ by.
            Self::RoundTrip => goal(
                "as TLS, within 3 %",
                of.tls.is_some_and(|tls| tls / of.ours >= 0.97),
            ),
            Self::Dials { .. } => goal("1.8 × Go", of.go.is_some_and(|go| go / of.ours >= 1.8)),
            Self::WarmDial => goal("under 100 µs", of.ours < 100_000.0),
        };
        let mut row = of.row(self.title(), |nanoseconds| self.show(nanoseconds));
        row.push(goal);
        row
    }

    /// What a MiB or a dial takes of the CPUs.
    fn cpu_row(self, measured: &Measured) -> Option<Vec<String>> {
        let title = match self {
            Self::Throughput => "CPU, µs a MiB".to_owned(),
            Self::Dials { .. } => self.title().replace("dials/s", "CPU, µs a dial"),
            // What it takes besides is mostly to wait.
            Self::RoundTrip | Self::WarmDial => return None,
        };
        let of = Medians::of(measured, |cost| cost.cpu);
        Some(of.row(title, |nanoseconds| format!("{:.0}", nanoseconds / 1e3)))
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

    fn show(self, nanoseconds: f64) -> String {
        match self {
            Self::RoundTrip | Self::WarmDial => format!("{:.1}", nanoseconds / 1e3),
            Self::Throughput | Self::Dials { .. } => format!("{:.0}", 1e9 / nanoseconds),
        }
    }
}

/// The medians of one number, in nanoseconds.
struct Medians {
    go_tls: Option<f64>,
    go: Option<f64>,
    tls: Option<f64>,
    ours: f64,
}

impl Medians {
    fn of(measured: &Measured, number: impl Fn(&Cost) -> f64) -> Self {
        let Measured {
            go_tls,
            go,
            tls,
            ours,
        } = measured;
        let [go_tls, go, tls, ours] = [go_tls, go, tls, ours].map(|costs| {
            (!costs.is_empty()).then(|| median(&mut costs.iter().map(&number).collect::<Vec<_>>()))
        });
        let ours = ours.expect("it was measured each round");
        Self {
            go_tls,
            go,
            tls,
            ours,
        }
    }

    fn row(&self, title: String, show: impl Fn(f64) -> String) -> Vec<String> {
        let cell = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), &show);
        let ratio = |other: Option<f64>| {
            other.map_or_else(
                || "–".to_owned(),
                |other| format!("{:.2}", other / self.ours),
            )
        };
        vec![
            title,
            cell(self.go_tls),
            cell(self.go),
            cell(self.tls),
            show(self.ours),
            ratio(self.tls),
            ratio(self.go),
        ]
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
        let output = "tls dials1 wall=3.5 cpu=7\nrevdial dials1 wall=4.0 cpu=8\nrevdial dials8 wall=5 cpu=9\n";
        assert_eq!(of_peer(output, "tls", "dials1").unwrap().wall, 3.5);
        assert_eq!(of_peer(output, "revdial", "dials1").unwrap().cpu, 8.0);
        assert_eq!(of_peer(output, "revdial", "dials8").unwrap().wall, 5.0);
        assert!(of_peer(output, "tls", "dials8").is_err());
    }

    #[test]
    fn a_row_says_whether_its_goal_is_met() {
        let costs = |a_second: &[f64]| {
            a_second
                .iter()
                .map(|n| Cost {
                    wall: 1e9 / n,
                    cpu: 2e9 / n,
                })
                .collect()
        };
        let measured = Measured {
            go_tls: costs(&[900.0]),
            go: costs(&[700.0]),
            tls: costs(&[2000.0]),
            ours: costs(&[1400.0, 1000.0, 1300.0]),
        };
        let dials = Case::Dials {
            at_once: 1,
            resumed: false,
        };
        assert_eq!(
            dials.row(&measured)[1..],
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
        let cpu = [
            "CPU, µs a dial, 1 at a time, full handshakes",
            "2222",
            "2857",
            "1000",
            "1538",
            "0.65",
            "1.86",
        ];
        assert_eq!(dials.cpu_row(&measured).unwrap(), cpu);
        let measured = Measured {
            ours: vec![Cost {
                wall: 123_456.0,
                cpu: 0.0,
            }],
            ..Measured::default()
        };
        assert_eq!(
            Case::WarmDial.row(&measured)[1..],
            ["–", "–", "–", "123.5", "–", "–", "under 100 µs: **missed**"]
        );
    }
}
