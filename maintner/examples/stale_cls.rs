//! The changes under review that nobody has touched for long, the stalest first, and whose turn it is.
//!
//! ```sh
//! cargo run -p maintner --release --example stale_cls DAYS [LOG-FOLDER]     # without one, the Go project's log
//! ```

use std::error::Error;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use maintner::{Corpus, Time, View, godata};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: stale_cls DAYS [LOG-FOLDER]";
    let days = args.next().ok_or(usage)?.parse()?;
    let corpus = match args.next() {
        Some(dir) => Corpus::open(dir)?,
        None => godata::corpus()?,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let now = Time::new(now.try_into()?, 0);
    print!("{}", list(&corpus.view(), now, days));
    Ok(())
}

pub(crate) fn list(view: &View, now: Time, days: i64) -> String {
    let mut stale = Vec::new();
    let projects = view.gerrit().projects();
    for cl in projects.flat_map(|project| project.open_cls()) {
        let Some(touched) = cl.meta().map(|meta| meta.commit().commit_instant()) else {
            continue;
        };
        let idle = (now.unix_seconds() - touched.unix_seconds()) / 86_400;
        if idle >= days && !cl.work_in_progress() {
            stale.push((idle, cl));
        }
    }
    stale.sort_by_key(|(idle, cl)| (-idle, cl.number()));
    let mut list = String::new();
    for (idle, cl) in stale {
        let last = cl.messages().last().map(|message| message.author().email());
        let by: Option<i64> = last.and_then(|email| email.split('@').next()?.parse().ok());
        let by_owner = by.is_none() || by == cl.owner_id();
        let turn = if by_owner { "reviewers" } else { "owner" };
        let (project, number) = (cl.project().project(), cl.number());
        // What strangers wrote is not to reach the terminal as it is.
        let subject = cl.subject();
        let subject = subject.trim().escape_debug();
        let _ = writeln!(
            list,
            "{idle:5} days, turn of {turn:9}  {project} {number}: {subject}"
        );
    }
    list
}
