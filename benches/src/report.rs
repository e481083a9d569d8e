//! The report: which measurements are made, and how they are shown.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;

use anyhow::Context as _;

use crate::chart::{self, Point};
use crate::cli::ReportArgs;
use crate::data::{self, Corpus};
use crate::machine;
use crate::measure::{Bench, Direction, Measured};
use crate::subject::{Field, Role, Subject};
use crate::table::{Align, markdown};

/// Threads in the main tables: as many as the smallest machine that people still build on has CPUs.
const THREADS: usize = 2;
/// Sizes of `--quick`, in MiB.
const QUICK_SOURCE: u64 = 4;
const QUICK_BINARIES: u64 = 2;

pub(crate) fn report(args: &ReportArgs) -> anyhow::Result<()> {
    let field = Field::find(args)?;
    let runs = if args.quick { 1 } else { args.runs };
    let bench = Bench::new(runs)?;
    let (source, binaries) = if args.quick {
        (QUICK_SOURCE, QUICK_BINARIES)
    } else {
        (args.source, args.binaries)
    };
    let data_dir = harness::target_dir().join("benches");
    eprintln!("making the data");
    let source = data::source_tree(&data_dir, source << 20)?;
    let binaries = data::binaries(&data_dir, binaries << 20)?;

    let mut text = introduction(&field, &bench, runs, &[&source, &binaries])?;
    if args.quick {
        text.push_str(
            "\n**A quick run: it shows that the program works, and its times mean nothing.**\n",
        );
    }

    let writers = write(&bench, &field.writers(THREADS), &source)?;
    section(
        &mut text,
        &format!("Writing: {}", source.name),
        &main_table(&writers, source.len, Direction::Write),
    );
    let others = write(&bench, &field.writers(THREADS), &binaries)?;
    section(
        &mut text,
        &format!("Writing: {}", binaries.name),
        &main_table(&others, binaries.len, Direction::Write),
    );

    let mut subjects = Vec::new();
    for threads in [1, 2, 4, 8] {
        subjects.push(field.go_writer(threads));
        subjects.push(field.our_writer("zlib-rs", 6, threads));
        subjects.push(field.our_writer("libdeflate", 6, threads));
    }
    let scaling = write(&bench, &subjects, &source)?;
    section(
        &mut text,
        &format!("Writing with more threads: {}", source.name),
        &scaling_table(&scaling, source.len),
    );

    // What readers read: upstream's own output, a member for each MiB.
    let compressed = bench.keep("go.gz");
    let made = field
        .go_writer(THREADS)
        .command(&source.path)
        .stdin(File::open(&source.path)?)
        .stdout(File::create(&compressed)?)
        .status();
    anyhow::ensure!(
        made.context("cannot start gopargzip")?.success(),
        "gopargzip cannot compress the source tree"
    );
    let read = |subjects: &[Subject]| {
        eprintln!("reading: {}", source.name);
        bench.measure(subjects, Direction::Read, &compressed, &source.sha256)
    };
    let readers = read(&field.readers(THREADS))?;
    let title = format!("Reading: {}, as Go's pargzip wrote it", source.name);
    section(
        &mut text,
        &title,
        &main_table(&readers, source.len, Direction::Read),
    );

    let mut subjects = Vec::new();
    for threads in [1, 2, 4] {
        subjects.push(field.our_reader("zlib-rs", threads));
        subjects.push(field.our_reader("libdeflate", threads));
        subjects.extend(field.rapidgzip(threads));
    }
    let scaling = read(&subjects)?;
    section(
        &mut text,
        "Reading with more threads",
        &scaling_table(&scaling, source.len),
    );

    for name in &field.missing {
        writeln!(text, "\n{name}: not measured: not found on this machine.")?;
    }

    let title = format!("Writing a {}, {THREADS} threads", source.name);
    chart::draw(&args.svg, &title, &points(&writers, source.len))?;
    if let Some(path) = &args.markdown {
        fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    io::Write::write_all(&mut io::stdout(), text.as_bytes()).context("cannot print the tables")?;
    Ok(())
}

fn write(bench: &Bench, subjects: &[Subject], corpus: &Corpus) -> anyhow::Result<Vec<Measured>> {
    eprintln!("writing: {}", corpus.name);
    bench.measure(subjects, Direction::Write, &corpus.path, &corpus.sha256)
}

fn introduction(
    field: &Field,
    bench: &Bench,
    runs: u32,
    corpora: &[&Corpus],
) -> anyhow::Result<String> {
    let mut text = String::new();
    writeln!(text, "Machine: {}.\n", machine::describe())?;
    writeln!(text, "Programs: {}.\n", field.versions().join("; "))?;
    for Corpus {
        name,
        origin,
        len,
        sha256,
        ..
    } in corpora
    {
        writeln!(
            text,
            "Data: {name}, {origin}, {len} bytes, SHA-256 `{sha256}`.\n"
        )?;
    }
    writeln!(
        text,
        "Whole processes, input from a file in the page cache, compressed output to a file in memory, decompressed output thrown away. Each subject's output was checked, \
         which was its warm-up too, then all ran in turns, {runs} times each. Times are medians, spread is (slowest − fastest) / \
         median, CPU is user and system time, MB are 10⁶ bytes of uncompressed data, MiB are 2²⁰. A process that does \
         nothing shows a peak of {:.1} MiB here.",
        mib(bench.floor()? as f64),
    )?;
    Ok(text)
}

fn section(text: &mut String, title: &str, table: &str) {
    write!(text, "\n### {title}\n\n{table}").expect("a String takes everything");
}

fn main_table(all: &[Measured], len: u64, direction: Direction) -> String {
    let upstream = all
        .iter()
        .find(|this| this.subject.role == Role::Upstream)
        .map(Measured::wall);
    let mut columns = vec![
        ("program", Align::Left),
        ("setting", Align::Left),
        ("threads", Align::Right),
        ("MB/s", Align::Right),
        ("× Go", Align::Right),
        ("wall s", Align::Right),
        ("spread", Align::Right),
        ("CPU s", Align::Right),
        ("peak MiB", Align::Right),
    ];
    if direction == Direction::Write {
        columns.push(("size", Align::Right));
    }
    let rows: Vec<_> = all
        .iter()
        .map(|this| {
            let mut row = vec![
                this.subject.name.to_owned(),
                this.subject.setting.clone(),
                this.subject.threads.to_string(),
                format!("{:.0}", speed(this, len)),
                upstream.map_or_else(String::new, |upstream| {
                    format!("{:.2}", upstream / this.wall())
                }),
                format!("{:.2}", this.wall()),
                format!("{:.0} %", 100.0 * this.spread()),
                format!("{:.2}", this.cpu()),
                format!("{:.1}", mib(this.peak())),
            ];
            if direction == Direction::Write {
                row.push(format!("{:.2} %", size(this, len)));
            }
            row
        })
        .collect();
    markdown(&columns, &rows)
}

/// One row a program and setting, one column a number of threads.
fn scaling_table(all: &[Measured], len: u64) -> String {
    let mut threads: Vec<usize> = all.iter().map(|this| this.subject.threads).collect();
    threads.sort_unstable();
    threads.dedup();
    let titles: Vec<String> = threads
        .iter()
        .map(|n| format!("{n}, MB/s (peak MiB)"))
        .collect();
    let mut columns = vec![("program", Align::Left), ("setting", Align::Left)];
    columns.extend(titles.iter().map(|title| (title.as_str(), Align::Right)));
    let key = |this: &Measured| (this.subject.name, this.subject.setting.clone());
    let mut keys: Vec<_> = Vec::new();
    for this in all {
        if !keys.contains(&key(this)) {
            keys.push(key(this));
        }
    }
    let rows: Vec<_> = keys
        .into_iter()
        .map(|(name, setting)| {
            let cell = |threads: &usize| {
                let this = all.iter().find(|this| {
                    key(this) == (name, setting.clone()) && this.subject.threads == *threads
                });
                this.map_or_else(String::new, |this| {
                    format!("{:.0} ({:.1})", speed(this, len), mib(this.peak()))
                })
            };
            let cells: Vec<_> = threads.iter().map(cell).collect();
            [vec![name.to_owned(), setting.clone()], cells].concat()
        })
        .collect();
    markdown(&columns, &rows)
}

fn points(all: &[Measured], len: u64) -> Vec<Point> {
    all.iter()
        .map(|this| {
            let subject = &this.subject;
            // Ours come in several levels of one library: "libdeflate 6" is of the series "libdeflate".
            let engine = subject
                .setting
                .rsplit_once(' ')
                .map_or("", |(engine, _)| engine);
            Point {
                label: subject.to_string(),
                role: subject.role,
                series: format!("{} {engine}", subject.name),
                size: size(this, len),
                speed: speed(this, len),
            }
        })
        .collect()
}

/// MB of uncompressed data a second.
fn speed(this: &Measured, len: u64) -> f64 {
    len as f64 / 1e6 / this.wall()
}

/// Output in percent of the input.
fn size(this: &Measured, len: u64) -> f64 {
    100.0 * this.output_len as f64 / len as f64
}

fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::measure::Run;

    fn measured(
        role: Role,
        name: &'static str,
        setting: &str,
        threads: usize,
        seconds: f64,
    ) -> Measured {
        let run = Run {
            wall: Duration::from_secs_f64(seconds),
            cpu: Duration::from_secs(3),
            peak: 5 << 20,
        };
        let subject = Subject::new(role, name, setting, threads, name, &[]);
        Measured {
            subject,
            output_len: 25_000_000,
            runs: vec![run; 3],
        }
    }

    #[test]
    fn upstream_is_what_others_are_compared_with() {
        let all = [
            measured(Role::Upstream, "Go", "x", 2, 2.0),
            measured(Role::Ours, "ours", "y", 2, 0.5),
        ];
        let table = main_table(&all, 100_000_000, Direction::Write);
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows[0],
            "| Go      | x       |       2 |   50 | 1.00 |   2.00 |    0 % |  3.00 |      5.0 | 25.00 % |"
        );
        assert_eq!(
            rows[1],
            "| ours    | y       |       2 |  200 | 4.00 |   0.50 |    0 % |  3.00 |      5.0 | 25.00 % |"
        );
    }

    #[test]
    fn scaling_has_a_row_for_each_setting() {
        let all = [
            measured(Role::Ours, "ours", "a 6", 1, 2.0),
            measured(Role::Ours, "ours", "b 6", 1, 1.0),
            measured(Role::Ours, "ours", "a 6", 2, 1.0),
        ];
        let table = scaling_table(&all, 100_000_000);
        let rows: Vec<String> = table
            .lines()
            .skip(2)
            .map(|line| line.replace(' ', ""))
            .collect();
        assert_eq!(rows, ["|ours|a6|50(5.0)|100(5.0)|", "|ours|b6|100(5.0)||"]);
    }

    #[test]
    fn levels_of_one_library_are_one_series() {
        let all = [
            measured(Role::Ours, "pargzip", "zlib-rs 6", 2, 1.0),
            measured(Role::Ours, "pargzip", "zlib-rs 7", 2, 1.0),
            measured(Role::Rival, "pigz", "-6", 2, 1.0),
        ];
        let series: Vec<_> = points(&all, 100_000_000)
            .into_iter()
            .map(|point| point.series)
            .collect();
        assert_eq!(series, ["pargzip zlib-rs", "pargzip zlib-rs", "pigz "]);
    }
}
