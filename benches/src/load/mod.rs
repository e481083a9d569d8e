//! A coordinator under load, beside Buildbot: 1,000 machines and 10,000 builds, and real buildlets that run `true`.
//!
//! The coordinator is the program, a process of its own. The thousand machines are simulated: they register, and speak the whole protocol
//! over TLS and TCP on loopback, but start no processes; all are in this program. Where it is compared with Buildbot, both run `true` as
//! a process, on real buildlets and real workers.

mod buildbot;
mod coordinator;
pub(crate) mod process;
mod project;
mod simulated;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use self::buildbot::Buildbot;
use self::coordinator::Coordinator;
use self::process::{cpu, forget_peak, peak, resident};
use self::project::{GREETING, Machines, Project};
use self::simulated::Simulated;
use crate::machine;
use crate::measure::median;
use crate::table::{Align, markdown};

/// What `load` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct LoadArgs {
    /// Little of everything and no Buildbot: shows that it works, measures nothing
    #[arg(long)]
    quick: bool,
    /// Simulated machines
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    machines: u32,
    /// Builds on the simulated machines
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    builds: u32,
    /// The coordinator [default: built from this workspace]
    #[arg(long, value_name = "FILE")]
    coordinator: Option<PathBuf>,
    /// A folder with a Python environment that has Buildbot, or is to get it [default: in the target directory]
    #[arg(long, value_name = "DIR")]
    buildbot: Option<PathBuf>,
    /// Measure ours alone
    #[arg(long)]
    no_buildbot: bool,
}

/// How much is done.
struct Size {
    machines: u32,
    builds: u32,
    /// With each number of real buildlets.
    local_builds: u32,
    buildbot_builds: u32,
    /// Builds whose logs are waited for, and pages that are asked for.
    samples: u32,
    /// How long machines that have registered are left alone before memory is measured.
    rest: Duration,
}

/// Builders of the simulated machines.
const BUILDERS: u32 = 10;
/// Numbers of real buildlets, and of Buildbot's workers.
const WORKERS: [u32; 2] = [1, 10];
/// How long all builds may take.
const LIMIT: Duration = Duration::from_secs(900);

/// Measures, and prints tables.
pub(crate) fn report(args: &LoadArgs) -> anyhow::Result<()> {
    program::raise_file_limit();
    let size = if args.quick {
        Size {
            machines: 20,
            builds: 100,
            local_builds: 20,
            buildbot_builds: 0,
            samples: 3,
            rest: Duration::ZERO,
        }
    } else {
        Size {
            machines: args.machines,
            builds: args.builds,
            local_builds: 600,
            buildbot_builds: 100,
            samples: 50,
            rest: Duration::from_secs(5),
        }
    };
    let program = match &args.coordinator {
        Some(program) => program.clone(),
        None => build_ours()?,
    };
    let buildbot = if args.quick || args.no_buildbot {
        None
    } else {
        let environment = args.buildbot.clone();
        let environment = environment.unwrap_or_else(buildbot::default_environment);
        match Buildbot::find_or_install(&environment) {
            Ok(buildbot) => Some(buildbot),
            Err(error) => {
                eprintln!("Buildbot is left out: {error:#}");
                None
            }
        }
    };
    let folder = tempfile::tempdir().context("cannot make a directory")?;
    let rows = size.builds.max(size.local_builds).div_ceil(BUILDERS);
    let commits = 1 + rows.max(size.samples);
    eprintln!("  making a repository of {commits} commits");
    let project = Project::new(folder.path(), commits)?;

    let mut rows = many(&program, &project, &size)?;
    let mut compared = Vec::new();
    for workers in WORKERS {
        eprintln!("  {workers} real buildlets");
        let ours = local(&program, &project, &size, workers)?;
        rows.extend(ours.rows);
        let theirs = match &buildbot {
            Some(buildbot) => {
                eprintln!("  {workers} workers of Buildbot");
                let folder = folder.path().join(format!("buildbot-{workers}"));
                Some(buildbot.measure(&folder, workers, size.buildbot_builds)?)
            }
            None => None,
        };
        compared.push(comparison(workers, ours.builds_a_second, theirs));
    }
    let columns = [
        ("what", Align::Left),
        ("goal", Align::Left),
        ("measured", Align::Right),
        ("", Align::Left),
    ];
    println!("{}", markdown(&columns, &rows));
    let columns = [
        ("workers", Align::Right),
        ("ours, builds/s", Align::Right),
        ("Buildbot, builds/s", Align::Right),
        ("ratio", Align::Right),
        ("its master, MiB", Align::Right),
        ("a worker, MiB", Align::Right),
        ("goal: 20 ×", Align::Left),
    ];
    println!("{}", markdown(&columns, &compared));
    println!("Machine: {}.", machine::describe());
    Ok(())
}

/// Many simulated machines and many builds.
fn many(program: &Path, project: &Project, size: &Size) -> anyhow::Result<Vec<Vec<String>>> {
    let Size {
        machines, builds, ..
    } = *size;
    let state = project.state("many")?;
    let config = project.config("many", Machines::Reverse, BUILDERS, "[\"true\"]")?;
    let coordinator = Coordinator::start(program, &config, &state)?;
    let pid = coordinator.pid();
    let alone = resident(pid)?;

    eprintln!("  {machines} machines register");
    let begun = Instant::now();
    let simulated = Simulated::start(machines, coordinator.port, &state)?;
    coordinator.until_idle(machines.into(), simulated.patience())?;
    let registering = begun.elapsed();
    // The connections over which they were looked at are closed after a moment.
    thread::sleep(size.rest);
    let registered = resident(pid)?;

    eprintln!("  {builds} builds");
    forget_peak(pid)?;
    let (cpu_before, begun) = (cpu(pid)?, Instant::now());
    let rows = builds.div_ceil(BUILDERS);
    let mut enqueued = 0;
    for revision in &project.revisions[..rows as usize] {
        enqueued += coordinator.enqueue(revision, None)?.len() as u64;
    }
    let enqueuing = begun.elapsed();
    coordinator.until_done(enqueued, LIMIT)?;
    let took = begun.elapsed();
    let used = cpu(pid)? - cpu_before;
    let (commands, registrations) = simulated.counts();
    ensure!(
        commands >= enqueued,
        "{enqueued} builds are said to have run, but {commands} commands did"
    );
    let most = peak(pid)?;
    let mut rows = vec![
        row(
            &format!("{enqueued} builds on {machines} simulated machines, builds/s"),
            "",
            format!("{:.0}", enqueued as f64 / took.as_secs_f64()),
            None,
        ),
        row(
            "– of that time, adding them",
            "",
            format!(
                "{:.1} of {:.1} s",
                enqueuing.as_secs_f64(),
                took.as_secs_f64()
            ),
            None,
        ),
        row(
            "– the coordinator's CPU time a build, ms",
            "",
            format!("{:.2}", used.as_secs_f64() * 1e3 / enqueued as f64),
            None,
        ),
        row(
            "– commands beyond one a build; registrations beyond one a machine",
            "0; 0",
            format!(
                "{}; {}",
                commands - enqueued,
                registrations - u64::from(machines)
            ),
            Some(commands == enqueued && registrations == u64::from(machines)),
        ),
        row(
            &format!("{machines} machines register, s"),
            "",
            format!("{:.1}", registering.as_secs_f64()),
            None,
        ),
        row(
            "coordinator alone, MiB",
            "30",
            mib(alone),
            Some(alone <= 30 << 20),
        ),
        row(
            &format!("– with {machines} machines registered, at rest, MiB"),
            "30",
            mib(registered),
            Some(registered <= 30 << 20),
        ),
        row(
            "– at most during these builds, MiB",
            "30",
            mib(most),
            Some(most <= 30 << 20),
        ),
    ];
    for (what, path) in [
        (
            "page with 1,000 builds, /builds?limit=1000, ms",
            "/builds?limit=1000",
        ),
        ("status page, ms", "/"),
    ] {
        let mut times = Vec::new();
        for _ in 0..size.samples {
            times.push(coordinator.page(path)?.1.as_secs_f64() * 1e3);
        }
        let time = median(times.into_iter());
        rows.push(row(what, "100", format!("{time:.1}"), Some(time < 100.0)));
    }
    drop(simulated);
    coordinator.end()?;
    Ok(rows)
}

/// What real buildlets did.
struct Local {
    builds_a_second: f64,
    rows: Vec<Vec<String>>,
}

/// Real buildlets, beside the coordinator.
fn local(program: &Path, project: &Project, size: &Size, workers: u32) -> anyhow::Result<Local> {
    let name = format!("local-{workers}");
    let state = project.state(&name)?;
    let config = project.config(&name, Machines::Local(workers), BUILDERS, "[\"true\"]")?;
    let coordinator = Coordinator::start(program, &config, &state)?;
    let pid = coordinator.pid();
    coordinator.until_idle(workers.into(), Duration::from_secs(60))?;
    let (warm, measured) = project.revisions.split_at(1);
    let mut enqueued = coordinator.enqueue(&warm[0], None)?.len() as u64;
    coordinator.until_done(enqueued, LIMIT)?;

    forget_peak(pid)?;
    let (begun, before) = (Instant::now(), enqueued);
    for revision in &measured[..size.local_builds.div_ceil(BUILDERS) as usize] {
        enqueued += coordinator.enqueue(revision, None)?.len() as u64;
    }
    coordinator.until_done(enqueued, LIMIT)?;
    let builds_a_second = (enqueued - before) as f64 / begun.elapsed().as_secs_f64();
    let most = peak(pid)?;
    let mut buildlet = 0;
    for child in process::children(pid)? {
        // The coordinator has other children too, which come and go: git.
        let is_buildlet = fs::read(format!("/proc/{child}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains("--reverse-type="));
        if is_buildlet {
            buildlet = buildlet.max(peak(child).unwrap_or(0));
        }
    }
    ensure!(
        buildlet > 0,
        "no buildlet was found among the coordinator's processes"
    );
    coordinator.end()?;

    let label = if workers == 1 {
        "1 real buildlet"
    } else {
        "10 real buildlets"
    };
    let mut rows = vec![
        row(
            &format!("{label}: coordinator, at most, MiB"),
            "30",
            mib(most),
            Some(most <= 30 << 20),
        ),
        row(
            &format!("{label}: a buildlet, at most, MiB"),
            "15",
            mib(buildlet),
            Some(buildlet <= 15 << 20),
        ),
    ];
    for (what, mut times) in latencies(program, project, size, workers)? {
        times.sort_unstable_by(f64::total_cmp);
        let middle = median(times.iter().copied());
        let late = times[(times.len() * 99).div_ceil(100) - 1];
        rows.push(row(
            &format!("{label}: {what}, median (99 of 100), ms"),
            "50",
            format!("{middle:.1} ({late:.1})"),
            Some(middle < 50.0),
        ));
    }
    Ok(Local {
        builds_a_second,
        rows,
    })
}

/// From asking for a build to reading the first line of its log, in ms, when machines are idle.
fn latencies(
    program: &Path,
    project: &Project,
    size: &Size,
    workers: u32,
) -> anyhow::Result<[(&'static str, Vec<f64>); 2]> {
    let name = format!("latency-{workers}");
    let state = project.state(&name)?;
    let command = format!("[\"echo\", \"{GREETING}\"]");
    let config = project.config(&name, Machines::Local(workers), 1, &command)?;
    let coordinator = Coordinator::start(program, &config, &state)?;
    let (mut first, mut of_command) = (Vec::new(), Vec::new());
    for (number, revision) in (1..).zip(&project.revisions[..=size.samples as usize]) {
        coordinator.until_idle(workers.into(), Duration::from_secs(60))?;
        let lines = coordinator.first_lines(revision, "b1", GREETING)?;
        coordinator.until_done(number, LIMIT)?;
        // The first build of a coordinator has more to do.
        if number > 1 {
            first.push(lines.any.as_secs_f64() * 1e3);
            of_command.push(lines.of_command.as_secs_f64() * 1e3);
        }
    }
    coordinator.end()?;
    Ok([
        ("build asked for to first line of its log", first),
        ("– to first line of its command", of_command),
    ])
}

fn comparison(workers: u32, ours: f64, theirs: Option<buildbot::Measured>) -> Vec<String> {
    let Some(theirs) = theirs else {
        let mut row = vec![workers.to_string(), format!("{ours:.1}")];
        row.resize(7, "–".to_owned());
        return row;
    };
    let ratio = ours / theirs.builds_a_second;
    vec![
        workers.to_string(),
        format!("{ours:.1}"),
        format!("{:.2}", theirs.builds_a_second),
        format!("{ratio:.1}"),
        mib(theirs.master),
        mib(theirs.worker),
        met(ratio >= 20.0),
    ]
}

fn row(what: &str, goal: &str, measured: String, is_met: Option<bool>) -> Vec<String> {
    let verdict = is_met.map(met).unwrap_or_default();
    vec![what.to_owned(), goal.to_owned(), measured, verdict]
}

fn met(yes: bool) -> String {
    if yes { "met" } else { "**missed**" }.to_owned()
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

/// Builds the program as a person would who installs it, and returns where it is.
fn build_ours() -> anyhow::Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = harness::target_dir();
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--quiet"])
        .args(["--package", "coordinator", "--target-dir"])
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .context(
            "cannot start cargo to build the coordinator; name a built one with --coordinator",
        )?;
    ensure!(status.success(), "the coordinator does not build");
    Ok(target.join("release/coordinator"))
}
