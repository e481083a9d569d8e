//! Loads a log and prints how long that took, what it cost, and how long some queries take: in the form in which
//! `interop/cmd/gomaintner load` prints the same for Go's maintner.
//!
//! ```sh
//! cargo run -p maintner --release --example measure -- LOG-FOLDER [THREADS]
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use maintner::{Cl, Config, Corpus};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: measure LOG-FOLDER [THREADS]")?;
    let mut config = Config::default();
    if let Some(threads) = args.next() {
        config = config.threads(threads.parse()?);
    }

    let start = Instant::now();
    let mut corpus = Corpus::at(dir, config);
    corpus.update()?;
    println!("load_seconds {:.3}", start.elapsed().as_secs_f64());
    print_costs();
    let view = corpus.view();
    println!("{:?}", view.stats());

    let mut open: Vec<Cl<'_>> = Vec::new();
    timed("open_cls", || {
        open.clear();
        open.extend(
            view.gerrit()
                .projects()
                .flat_map(|project| project.open_cls()),
        );
        open.len()
    });
    timed("votes_of_open_cls", || {
        let votes = open
            .iter()
            .filter_map(Cl::meta)
            .map(|meta| meta.label_votes().len());
        votes.sum()
    });
    timed("issues_by_label", || {
        let issues = view.github().repos().flat_map(|repo| repo.issues());
        issues
            .filter(|issue| issue.has_label("NeedsInvestigation"))
            .count()
    });
    timed("subjects_of_open_cls", || {
        open.iter().map(|cl| cl.subject().trim().len()).sum()
    });
    Ok(())
}

/// The best of five runs, and the answer so that it can be compared.
fn timed(name: &str, mut query: impl FnMut() -> usize) {
    let mut best = Duration::MAX;
    let mut answer = 0;
    for _ in 0..5 {
        let start = Instant::now();
        answer = query();
        best = best.min(start.elapsed());
    }
    println!(
        "{name}_ms {:.3}\n{name}_answer {answer}",
        best.as_secs_f64() * 1000.0
    );
}

/// CPU time and peak memory, where the system tells.
fn print_costs() {
    if let Ok(stat) = std::fs::read_to_string("/proc/self/stat")
        && let Some((_, fields)) = stat.rsplit_once(')')
    {
        // User and system time in hundredths of a second: fields 14 and 15, and this begins behind the second.
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|ticks| ticks.parse::<u64>().ok())
            .sum();
        println!("cpu_seconds {:.2}", ticks as f64 / 100.0);
    }
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        for (name, field) in [("peak_rss_mib", "VmHWM:"), ("rss_mib", "VmRSS:")] {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            println!("{name} {}", kib.unwrap_or(0) >> 10);
        }
    }
}
