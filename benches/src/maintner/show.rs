//! Tables and charts of the results.

use std::fmt::Write as _;
use std::path::Path;

use crate::chart::{Line, draw_lines};
use crate::machine;
use crate::maintner::append::BATCHES;
use crate::maintner::queries::QUERIES;
use crate::maintner::results::Results;
use crate::subject::Role;
use crate::table::{Align, markdown};

/// Sizes of logs that may have been measured, in MiB.
const SIZES: std::ops::RangeInclusive<u64> = 1..=65_536;

/// What there are results for.
pub(super) fn tables(results: &Results) -> anyhow::Result<String> {
    let mut text = format!("Machine: {}.\n", machine::describe());
    for (title, columns, rows) in [
        (
            "Loading",
            &LOAD_COLUMNS[..],
            sizes(results, "load", "ours/load_seconds")
                .filter_map(|mib| load_row(results, mib))
                .collect::<Vec<_>>(),
        ),
        (
            "Queries",
            &QUERY_COLUMNS,
            sizes(results, "query", "ours/open_cls")
                .flat_map(|mib| {
                    QUERIES
                        .iter()
                        .filter_map(move |query| query_row(results, mib, query))
                })
                .collect(),
        ),
        ("The rest", &OTHER_COLUMNS, other_rows(results)),
    ] {
        if !rows.is_empty() {
            write!(text, "\n#### {title}\n\n{}", markdown(columns, &rows))?;
        }
    }
    Ok(text)
}

/// Load time, and memory, by the size of the log: `maintner-load.svg` and `maintner-memory.svg`.
pub(super) fn charts(results: &Results, dir: &Path) -> anyhow::Result<()> {
    let line = |label: &str, role, kind: &str, what: &str, unit: f64| Line {
        label: label.to_owned(),
        role,
        points: sizes(results, kind, what)
            .filter_map(|mib| {
                let value = results.get(&format!("{kind}/{mib}/{what}"))?;
                Some((mib as f64, value / unit))
            })
            .collect(),
    };
    let mib = 1024.0;
    let charts = [
        (
            "maintner-load.svg",
            "Time to load a log",
            "seconds",
            vec![
                line("Go's", Role::Upstream, "load", "go/load_seconds", 1.0),
                line("ours", Role::Ours, "load", "ours/load_seconds", 1.0),
                line("– by snapshot", Role::Ours, "start", "mapped/seconds", 1.0),
            ],
        ),
        (
            "maintner-memory.svg",
            "Memory of a loaded log, at most",
            "MiB",
            vec![
                line("Go's", Role::Upstream, "load", "go/peak_kib", mib),
                line("ours", Role::Ours, "load", "ours/peak_kib", mib),
                line(
                    "– by snapshot",
                    Role::Ours,
                    "start",
                    "mapped/all_private_kib",
                    mib,
                ),
            ],
        ),
    ];
    for (file, title, unit, mut lines) in charts {
        // One point is no line.
        lines.retain(|line| line.points.len() > 1);
        if !lines.is_empty() {
            draw_lines(&dir.join(file), title, ["log, MiB", unit], &lines)?;
        }
    }
    Ok(())
}

fn sizes<'a>(
    results: &'a Results,
    kind: &'a str,
    what: &'a str,
) -> impl Iterator<Item = u64> + use<'a> {
    SIZES.filter(move |mib| results.runs(&format!("{kind}/{mib}/{what}")) > 0)
}

const LOAD_COLUMNS: [(&str, Align); 13] = [
    ("log, MiB", Align::Right),
    ("runs", Align::Right),
    ("Go, s", Align::Right),
    ("ours, s", Align::Right),
    ("of Go", Align::Right),
    ("spread", Align::Right),
    ("Go, CPU s", Align::Right),
    ("ours, CPU s", Align::Right),
    ("of Go", Align::Right),
    ("Go, peak MiB", Align::Right),
    ("ours, peak MiB", Align::Right),
    ("ours, private MiB", Align::Right),
    ("private of Go's peak", Align::Right),
];

fn load_row(results: &Results, mib: u64) -> Option<Vec<String>> {
    let key = |what: &str| format!("load/{mib}/{what}");
    let get = |what: &str| results.get(&key(what));
    let (go, ours) = (get("go/load_seconds")?, get("ours/load_seconds")?);
    let (go_cpu, cpu) = (get("go/cpu_seconds")?, get("ours/cpu_seconds")?);
    let peak = get("go/peak_kib")?;
    let private = get("ours/private_kib")?;
    Some(vec![
        mib.to_string(),
        results.runs(&key("ours/load_seconds")).to_string(),
        format!("{go:.2}"),
        format!("{ours:.2}"),
        format!("{:.3}", ours / go),
        format!(
            "{:.0} %",
            results.spread(&key("ours/load_seconds"))? * 100.0
        ),
        format!("{go_cpu:.2}"),
        format!("{cpu:.2}"),
        format!("{:.3}", cpu / go_cpu),
        format!("{:.0}", peak / 1024.0),
        format!("{:.0}", get("ours/peak_kib")? / 1024.0),
        format!("{:.0}", private / 1024.0),
        format!("{:.2}", private / peak),
    ])
}

const QUERY_COLUMNS: [(&str, Align); 5] = [
    ("what", Align::Left),
    ("log, MiB", Align::Right),
    ("Go, µs", Align::Right),
    ("ours, µs", Align::Right),
    ("× Go (goal 5)", Align::Right),
];

fn query_row(
    results: &Results,
    mib: u64,
    (name, title): &(&'static str, &str),
) -> Option<Vec<String>> {
    let get = |who| results.get(&format!("query/{mib}/{who}/{name}"));
    let (go, ours) = (get("go")?, get("ours")?);
    Some(vec![
        (*title).to_owned(),
        mib.to_string(),
        format!("{:.1}", go / 1000.0),
        format!("{:.1}", ours / 1000.0),
        format!("{:.1}", go / ours),
    ])
}

const OTHER_COLUMNS: [(&str, Align); 3] = [
    ("what", Align::Left),
    ("goal", Align::Left),
    ("measured", Align::Left),
];

fn other_rows(results: &Results) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |what: String, goal: &str, measured: Option<String>| {
        if let Some(measured) = measured {
            rows.push(vec![what, goal.to_owned(), measured]);
        }
    };
    for mib in sizes(results, "scan", "ours") {
        let get = |who| results.get(&format!("scan/{mib}/{who}"));
        let measured = || {
            let (read, ours, go) = (get("read")?, get("ours")?, get("go")?);
            Some(format!(
                "{:.0} % ({ours:.0} and {read:.0} MB/s; Go {go:.0})",
                ours / read * 100.0
            ))
        };
        row(
            format!("records of {mib} MiB found, of reading the files from memory"),
            "at least 80 %",
            measured(),
        );
    }
    for mib in sizes(results, "start", "mapped/seconds") {
        let get = |what| results.get(&format!("start/{mib}/{what}"));
        let measured = || {
            let of_go = get("mapped/seconds")
                .zip(results.get(&format!("load/{mib}/go/load_seconds")))
                .map_or_else(String::new, |(ours, go)| {
                    format!("; {:.0} × Go's load", go / ours)
                });
            Some(format!(
                "{:.3} s, {:.1} MiB private{of_go}; all open changes listed: {:.3} s, {:.1} MiB",
                get("mapped/seconds")?,
                get("mapped/private_kib")? / 1024.0,
                get("mapped/all_seconds")?,
                get("mapped/all_private_kib")? / 1024.0,
            ))
        };
        row(
            format!("start from a snapshot of {mib} MiB to the first answered query"),
            "under 0.2 s, under 50 MB private",
            measured(),
        );
        let made = || {
            Some(format!(
                "{:.2} s, {:.0} MiB private after it, at most {:.0} MiB; a file of {:.0} MiB",
                get("made/seconds")?,
                get("made/private_kib")? / 1024.0,
                get("made/peak_kib")? / 1024.0,
                get("made/file_kib")? / 1024.0,
            ))
        };
        row(
            format!("– {mib} MiB loaded, and the snapshot made"),
            "",
            made(),
        );
    }
    for (what, title) in [
        (
            "received",
            "a mutation's last byte received to seen in a query, another thread querying",
        ),
        (
            "appended",
            "– from before it is appended, synced and served",
        ),
    ] {
        let get = |part| results.get(&format!("follow/{what}/{part}"));
        let measured = || {
            let (median, p99) = (get("median_ms")?, get("p99_ms")?);
            Some(format!(
                "{median:.2} ms, 99 of 100 within {p99:.2} ms, at most {:.1}",
                get("most_ms")?
            ))
        };
        let goal = match what {
            "received" => "median 2 ms, 99 of 100 within 20 ms",
            _ => "",
        };
        row(title.to_owned(), goal, measured());
    }
    for batch in BATCHES {
        let measured = results.get(&format!("append/ours/{batch}"));
        row(
            format!("mutations appended a second, on the disk after each {batch}"),
            "at least 200,000",
            measured.map(|rate| format!("{rate:.0}")),
        );
    }
    let unsynced = results
        .get("append/ours/unsynced")
        .zip(results.get("append/go/unsynced"));
    row(
        "– one by one, not synced, as Go's".to_owned(),
        "",
        unsynced.map(|(ours, go)| format!("{ours:.0} (Go {go:.0})")),
    );
    for encoding in ["identity", "gzip"] {
        let get = |what| results.get(&format!("serve/{encoding}/{what}"));
        let measured = || {
            let (rate, cpu) = (get("mb_s")?, get("cpu_s")?);
            let (before, peak) = (get("before_kib")? / 1024.0, get("peak_kib")? / 1024.0);
            let bare = results.get("serve/bare/mb_s")?;
            Some(format!(
                "{rate:.0} MB/s of log (bare connections {bare:.0}), {cpu:.1} s of CPU; {before:.1} MiB before, at most {peak:.1}"
            ))
        };
        row(
            format!("a log served to followers that begin at once, {encoding}"),
            "as the network, memory flat",
            measured(),
        );
    }
    for (kind, title) in [
        ("", "a project followed from nothing"),
        ("again_", "– again, with a new start, and nothing new"),
    ] {
        let measured = || {
            let get = |who, what| results.get(&format!("sync/{who}/{kind}{what}"));
            let (ours, go) = (get("ours", "seconds")?, get("go", "seconds")?);
            let changes = results.get("sync/changes")?;
            let theirs = results.get("sync/go/changes")?;
            let rate = match kind {
                "" => format!("{changes:.0} changes, {:.0} a second: ", changes / ours),
                _ => String::new(),
            };
            let (ours_asked, go_asked) = (get("ours", "requests")?, get("go", "requests")?);
            let go = match theirs < changes {
                true => format!(
                    "Go not at its end after {go:.0} s and {go_asked:.0}, with {theirs:.0} changes, {:.1} a second (1/{:.0})",
                    theirs / go,
                    changes / ours * go / theirs
                ),
                false => format!("Go {go:.2} s and {go_asked:.0} ({:.1} x)", go / ours),
            };
            Some(format!(
                "{rate}{ours:.2} s and {ours_asked:.0} requests; {go}"
            ))
        };
        let goal = if kind.is_empty() { "" } else { "one request" };
        row(title.to_owned(), goal, measured());
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_measured_is_shown() {
        let mut results = Results::default();
        let empty = tables(&results).unwrap();
        assert!(!empty.contains('|'), "{empty}");
        for (what, value) in [
            ("scan/7/read", 4000.0),
            ("scan/7/ours", 3000.0),
            ("scan/7/go", 500.0),
        ] {
            results.add(what, value).unwrap();
        }
        let text = tables(&results).unwrap();
        assert!(text.contains("75 % (3000 and 4000 MB/s; Go 500)"), "{text}");
        assert!(!text.contains("Loading"), "{text}");
    }
}
