//! Lists, filters and formats.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use maintner::pb;
use maintner::reclog::{Writer, WriterConfig, encode_into, segments};
use prost::Message as _;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{ended, maintq, on, rows, stdout, vector};

const STATE: &str = "disk/14-gerrit-state";
const API: &str = "api/corpus";

/// The values of a field.
fn values(rows: &[Value], field: &str) -> Vec<Value> {
    rows.iter().map(|row| row[field].clone()).collect()
}

#[test]
fn open_changes_are_those_that_go_lists() {
    let rows = rows(&on(
        STATE,
        &["open-cls", "--project", "go", "--format", "json"],
    ));
    // As the README of the crate says of this log.
    assert_eq!(rows.len(), 11);
    assert!(
        values(&rows, "project")
            .iter()
            .all(|project| project == "go")
    );
    let none = on(STATE, &["open-cls", "--project", "build"]);
    assert_eq!(stdout(&none), "");
}

#[test]
fn flags_and_filters_say_the_same() {
    let open = rows(&on(STATE, &["open-cls", "--format", "json"]));
    let filtered = rows(&on(STATE, &["cls", "open", "--format", "json"]));
    let spelled = "status = new and server = go.googlesource.com";
    let spelled = rows(&on(STATE, &["cls", spelled, "--format", "json"]));
    assert_eq!(open, filtered);
    assert_eq!(open, spelled);
    let all = rows(&on(STATE, &["cls", "--format", "json"]));
    let rest = rows(&on(STATE, &["cls", "not open", "--format", "json"]));
    assert_eq!(all.len(), open.len() + rest.len());
    assert!(!rest.is_empty());
}

#[test]
fn rows_are_sorted_and_limited() {
    let args = ["cls", "--format", "json", "--sort", "-number", "-n", "3"];
    let mut numbers = values(&rows(&on(STATE, &args)), "number");
    assert_eq!(numbers.len(), 3);
    assert!(numbers[0].as_i64() > numbers[1].as_i64());
    let all = rows(&on(STATE, &["cls", "--format", "json", "--sort", "number"]));
    let mut last = values(&all, "number").split_off(all.len() - 3);
    last.reverse();
    numbers.truncate(3);
    assert_eq!(numbers, last);
}

#[test]
fn issues_and_pull_requests_are_listed_apart() {
    const LOG: &str = "disk/02-github-issue-update";
    let numbers = |list: &str| {
        let rows = rows(&on(LOG, &[list, "--columns", "all", "--format", "json"]));
        assert!(rows.iter().all(|row| row["pull"] == json!(list == "pulls")));
        values(&rows, "number")
    };
    assert_eq!(numbers("issues"), [3, 7]);
    assert_eq!(numbers("pulls"), [6]);
}

/// A mutation that gives an issue of that log a title.
pub(crate) fn rename(number: i32, title: &str) -> Vec<u8> {
    pb::Mutation {
        github_issue: Some(pb::GithubIssueMutation {
            owner: "golang".into(),
            repo: "go".into(),
            number,
            title: title.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
    .encode_to_vec()
}

/// A log with one issue, whose writer is no friend.
pub(crate) fn hostile_log() -> tempfile::TempDir {
    let dir = tempdir().unwrap();
    let issue = |number: i32, title: &str, created: i64| pb::Mutation {
        github_issue: Some(pb::GithubIssueMutation {
            owner: "golang".into(),
            repo: "go".into(),
            number,
            title: title.into(),
            user: Some(pb::GithubUser {
                id: 7,
                login: "eve".into(),
            }),
            created: Some(pb::Timestamp {
                seconds: created,
                nanos: 0,
            }),
            add_label: vec![pb::GithubLabel {
                id: i64::from(number),
                name: "NeedsFix".into(),
            }],
            ..Default::default()
        }),
        ..Default::default()
    };
    let mutations = [
        // 2026-01-31T12:00:00Z, and a year before.
        issue(
            1,
            "=cmd|' /C calc'!A0, \x1b]0;owned\x07\u{202e}\r\nx",
            1_769_860_800,
        ),
        issue(2, "plain", 1_738_324_800),
    ];
    let mut log = Writer::open(dir.path(), WriterConfig::default()).unwrap();
    log.append(mutations.iter().map(prost::Message::encode_to_vec))
        .unwrap();
    dir
}

#[test]
fn what_strangers_wrote_harms_nobody() {
    let log = hostile_log();
    let run = |format: &str| {
        let mut command = maintq();
        command.args([
            "issues",
            "number = 1",
            "--columns",
            "title,author",
            "--format",
            format,
        ]);
        stdout(&command.arg("--log").arg(log.path()).output().unwrap())
    };
    assert_eq!(
        run("table"),
        "TITLE                              AUTHOR\n\
         =cmd|' /C calc'!A0, \u{fffd}]0;owned\u{fffd}\u{fffd} x  eve\n"
    );
    assert_eq!(
        run("csv"),
        "title,author\r\n\"'=cmd|' /C calc'!A0, \u{fffd}]0;owned\u{fffd}\u{fffd}\nx\",eve\r\n"
    );
    assert_eq!(
        run("csv-exact"),
        "title,author\r\n\"=cmd|' /C calc'!A0, \x1b]0;owned\x07\u{202e}\r\nx\",eve\r\n"
    );
    assert_eq!(
        run("json"),
        "{\"title\":\"=cmd|' /C calc'!A0, \\u001b]0;owned\\u0007\\u202e\\r\\nx\",\"author\":\"eve\"}\n"
    );
}

#[test]
fn labels_and_times_choose_issues() {
    let log = hostile_log();
    let numbers = |args: &[&str]| {
        let mut command = maintq();
        command
            .args(["issues", "--format", "json", "--log"])
            .arg(log.path());
        values(&rows(&command.args(args).output().unwrap()), "number")
    };
    assert_eq!(
        numbers(&["--label", "NeedsFix", "--since", "2026-01-01"]),
        [1]
    );
    assert_eq!(numbers(&["--until", "2025"]), [2]);
    assert_eq!(
        numbers(&["--label", "NeedsFix", "--label", "other"]),
        [0; 0]
    );
    assert_eq!(numbers(&["--author", "eve", "--open"]), [1, 2]);
    assert_eq!(
        numbers(&["created = 2026-01-31", "--repo", "golang/go"]),
        [1]
    );
    assert_eq!(numbers(&["--repo", "tools"]), [0; 0]);
}

#[test]
fn commits_are_those_on_branches() {
    let all = rows(&on(
        API,
        &["commits", "--format", "json", "--columns", "all"],
    ));
    let log = maintner::Corpus::open(vector(API)).unwrap();
    let view = log.view();
    for row in &all {
        let commit = view.git_commit(row["hash"].as_str().unwrap()).unwrap();
        assert_eq!(row["author"], commit.author().name());
    }
    if let Some(first) = all.first() {
        let author = first["author"].as_str().unwrap();
        let args = ["commits", "--format", "json", "--author", author];
        let by_author = rows(&on(API, &args));
        let expected = all.iter().filter(|row| row["author"] == author).count();
        assert!(by_author.len() >= expected && expected > 0);
    }
    assert!(!all.is_empty());
}

#[test]
fn mistakes_are_told_with_their_place() {
    let (code, out, err) = ended(&on(STATE, &["cls", "statsu = new"]));
    assert_eq!((code, out.as_str()), (2, ""));
    let lines: Vec<_> = err.lines().collect();
    assert!(lines[0].starts_with("maintq: the filter is not understood: there is no field \"statsu\"; the fields are: project,"));
    assert_eq!(lines[1..], ["    statsu = new", "    ^^^^^^"]);

    for (args, says) in [
        (
            &["cls", "--columns", "subject,nope"][..],
            "no field \"nope\"",
        ),
        (&["cls", "--sort", "nope"], "no field \"nope\""),
        (
            &["cls", "--since", "yesterday"],
            "--since: \"yesterday\" is not a time",
        ),
        (
            &["cls", "--watch", "--sort", "number"],
            "exclude each other",
        ),
        (&["clss"], "unrecognized subcommand"),
    ] {
        let (code, out, err) = ended(&on(STATE, args));
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.contains(says), "{args:?}: {err}");
    }
}

#[test]
fn a_log_that_cannot_be_read_is_named() {
    let (code, out, err) = ended(&on("disk/54-bad-prefix", &["cls"]));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains("54-bad-prefix") && err.contains("byte"),
        "{err}"
    );
    let (code, _, err) = ended(&on("nowhere", &["stats"]));
    assert_eq!(code, 1);
    assert!(err.contains("nowhere"), "{err}");
}

#[test]
fn of_a_torn_log_what_is_whole_is_listed() {
    let dir = tempdir().unwrap();
    let segment = &segments(&vector(STATE)).unwrap()[0];
    let bytes = fs::read(&segment.path).unwrap();
    fs::write(dir.path().join(&segment.name), &bytes[..bytes.len() - 1]).unwrap();
    let mut command = maintq();
    command
        .args(["cls", "--format", "json", "--log"])
        .arg(dir.path());
    let (code, out, err) = ended(&command.output().unwrap());
    assert_eq!(code, 0);
    assert!(out.lines().count() > 5);
    assert!(
        err.contains(&segment.name) && err.contains("maintq log repair"),
        "{err}"
    );
}

#[test]
fn a_snapshot_is_kept_and_used_and_it_is_said_when_it_cannot_be() {
    let dir = tempdir().unwrap();
    let (log, snapshot) = (dir.path().join("log"), dir.path().join("snapshot"));
    let mut command = maintq();
    command.args(["log", "make", "--size", "5M"]).arg(&log);
    stdout(&command.output().unwrap());
    let stats = || {
        let mut command = maintq();
        command.arg("stats").arg("--log").arg(&log);
        command.arg("--snapshot").arg(&snapshot);
        ended(&command.output().unwrap())
    };
    let (code, first, err) = stats();
    assert_eq!((code, err.as_str()), (0, ""));
    let made = fs::metadata(&snapshot).unwrap();
    assert_eq!(stats(), (0, first.clone(), String::new()));
    let used = fs::metadata(&snapshot).unwrap();
    assert_eq!(used.modified().unwrap(), made.modified().unwrap());

    fs::remove_file(&snapshot).unwrap();
    fs::write(&snapshot, [b'x'; 5000]).unwrap();
    assert_eq!(
        stats(),
        (0, first.clone(), String::new()),
        "another takes its place"
    );
    assert!(fs::metadata(&snapshot).unwrap().len() > 5000);

    fs::remove_file(&snapshot).unwrap();
    fs::create_dir(&snapshot).unwrap();
    let (code, out, err) = stats();
    assert_eq!((code, out), (0, first));
    assert!(err.contains("cannot write the snapshot"), "{err}");
}

#[test]
fn an_empty_log_is_mentioned() {
    let (code, out, err) = ended(&on("disk/22-empty-log", &["issues"]));
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(err.contains("22-empty-log is empty"), "{err}");
}

#[test]
fn help_teaches_the_filters() {
    let help = stdout(&on(STATE, &["issues", "--help"]));
    for taught in [
        "labels = NeedsFix",
        "90d",
        "in (a, b, c)",
        "maintq fields",
        "--since",
    ] {
        assert!(help.contains(taught), "{taught}: {help}");
    }
    let fields = rows(&on(STATE, &["fields", "--format", "json"]));
    assert!(
        fields
            .iter()
            .any(|row| row["of"] == "commits" && row["field"] == "author")
    );
}

/// As a shell runs them, but for what would go on, or go elsewhere.
#[test]
fn the_examples_of_the_help_work() {
    let help = stdout(&on(STATE, &["--help"]));
    let lines = help.lines().map(str::trim);
    let examples: Vec<_> = lines.filter(|line| line.starts_with("maintq ")).collect();
    assert!(examples.len() > 5);
    // `asking.rs` asks a server.
    for example in examples.iter().filter(|one| !one.contains("--server")) {
        let end = example
            .find(" | ")
            .or(example.find(" > commits.csv"))
            .unwrap_or(example.len());
        let command = example[..end].replace("--watch", "");
        let command = command.replace("--log ./my-log", "");
        let output = Command::new("sh")
            .args([
                "-c",
                &format!("maintq() {{ \"$PROGRAM\" \"$@\"; }}; {command}"),
            ])
            .env("PROGRAM", env!("CARGO_BIN_EXE_maintq"))
            .env("MAINTQ_LOG", vector(STATE))
            .output()
            .unwrap();
        stdout(&output);
    }
    let help = stdout(&on(STATE, &["issues", "--help"]));
    let filter = help
        .lines()
        .find(|line| line.starts_with("    labels = "))
        .unwrap();
    stdout(&on(STATE, &["issues", filter]));
}

#[test]
fn stats_count_what_lists_list() {
    let stats = rows(&on(STATE, &["stats", "--format", "json"]));
    let of = |what: &str| stats.iter().find(|row| row["what"] == what).unwrap()["count"].clone();
    assert_eq!(of("changes under review"), 11);
    let corpus = maintner::Corpus::open(vector(STATE)).unwrap();
    assert_eq!(of("mutations"), corpus.view().stats().records);
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let mut child = maintq()
        .args(["cls", "--columns", "all", "--format", "json"])
        .env("MAINTQ_LOG", vector(STATE))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), stderr.as_str()),
        (Some(141), "")
    );
}

#[test]
fn watching_shows_what_comes() {
    let log = hostile_log();
    let mut child = maintq()
        .args([
            "issues",
            "title ~ new",
            "--watch",
            "--format",
            "json",
            "--columns",
            "title",
            "--log",
        ])
        .arg(log.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Whether it was read before or after the first of these, it shows the last state in the end.
    let mut writer = Writer::open(log.path(), WriterConfig::default()).unwrap();
    writer
        .append([rename(2, "something new"), rename(1, "old")])
        .unwrap();
    assert_eq!(
        lines.next().unwrap().unwrap(),
        r#"{"title":"something new"}"#
    );
    writer.append([rename(1, "also new")]).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), r#"{"title":"also new"}"#);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn watching_says_that_a_record_stays_unfinished_and_goes_on_when_it_is_whole() {
    let log = hostile_log();
    let segment = segments(log.path()).unwrap().remove(0).path;
    let mut whole = fs::read(&segment).unwrap();
    let at = whole.len() as u64;
    encode_into(&mut whole, 0, &rename(2, "late"));
    let mut child = maintq()
        .args([
            "issues",
            "--watch",
            "--format",
            "json",
            "--columns",
            "title",
        ])
        .arg("--log")
        .arg(log.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut rows = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    // Both are listed, so from now on it watches.
    for _ in 0..2 {
        rows.next().unwrap().unwrap();
    }
    // Appended, so that nobody sees less than there was.
    let append = |bytes: &[u8]| {
        let mut file = OpenOptions::new().append(true).open(&segment).unwrap();
        file.write_all(bytes).unwrap();
    };
    let (most, last) = whole.split_at(whole.len() - 1);
    append(&most[at as usize..]);
    let complaint = said.next().unwrap().unwrap();
    assert!(
        complaint.contains(&format!("byte {at}")) && complaint.contains("waiting for the rest"),
        "{complaint}"
    );
    append(last);
    assert_eq!(rows.next().unwrap().unwrap(), r#"{"title":"late"}"#);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.next().is_none(), "it is said once");
}
