//! What `maintq export` writes, as `DuckDB` reads it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{ended, maintq, on, rows, stdout};

/// A log of a megabyte with all kinds of activity.
fn made(dir: &Path) -> String {
    let log = dir.join("log");
    let mut command = maintq();
    command.args(["log", "make", "--size", "1M"]).arg(&log);
    stdout(&command.output().unwrap());
    log.to_str().unwrap().to_owned()
}

#[test]
fn duckdb_reads_what_the_lists_list() {
    let Some(duckdb) = harness::tool_or_skip("duckdb") else {
        return;
    };
    let dir = tempdir().unwrap();
    let log = made(dir.path());
    let export = dir.path().join("parquet");
    let export = export.to_str().unwrap();
    let args = [
        "export",
        "--log",
        &log,
        "--parquet",
        export,
        "--format",
        "json",
    ];
    let written = rows(&maintq().args(args).output().unwrap());
    assert_eq!(written.len(), 10);
    // One answer a query, as JSON.
    let ask = |query: &str| -> Vec<Value> {
        let query = query.replace("IN/", &format!("{export}/"));
        let output = duckdb.filter(&["-json", "-c", &query], b"").unwrap();
        let answer = stdout(&output);
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{query}: {answer}"))
    };
    for table in &written {
        let file = Path::new(table["file"].as_str().unwrap());
        let name = file.file_name().unwrap().to_str().unwrap();
        let count = ask(&format!("SELECT count(*) AS n FROM 'IN/{name}'"));
        assert_eq!(count, [json!({ "n": table["rows"] })], "{name}");
    }

    let list = |args: &[&str]| {
        let args = [
            args,
            &["--log", &log, "--format", "json", "--columns", "all"],
        ]
        .concat();
        rows(&maintq().args(args).output().unwrap())
    };
    // Every field of every row.
    for (table, lists) in [
        ("cls", &["cls"][..]),
        ("issues", &["issues", "pulls"]),
        ("commits", &["commits"]),
    ] {
        let mut listed: Vec<Value> = lists.iter().flat_map(|name| list(&[name])).collect();
        let key = if table == "commits" { "hash" } else { "number" };
        let mut read = ask(&format!(
            "SET TimeZone='UTC'; SELECT * FROM 'IN/{table}.parquet'"
        ));
        assert!(!read.is_empty(), "{table}");
        for rows in [&mut listed, &mut read] {
            rows.sort_by_key(|row| (row[key].as_i64(), row[key].to_string()));
        }
        assert_eq!(read.len(), listed.len(), "{table}");
        for (read, listed) in read.iter().zip(&listed) {
            assert_eq!(comparable(read), comparable(listed), "{table}");
        }
    }
    // What belongs to others leads to them.
    let lost = ask(
        "SELECT count(*) AS n FROM 'IN/comments.parquet' c ANTI JOIN 'IN/issues.parquet' i ON c.repo = i.repo AND c.number = i.number",
    );
    assert_eq!(lost, [json!({ "n": 0 })]);
    let votes = ask(
        "SELECT count(DISTINCT cl) AS n FROM 'IN/cl_votes.parquet' WHERE label = 'Code-Review' AND vote > 0",
    );
    let voted = list(&["cls", "votes ~ Code-Review+"]).len();
    assert_eq!(votes, [json!({ "n": voted })]);
}

/// Times in one form, and lists too, whatever `DuckDB`'s JSON makes of them.
fn comparable(row: &Value) -> Value {
    let fields = row.as_object().unwrap().iter();
    let fields = fields.map(|(name, value)| {
        let value = match value {
            Value::String(text) => {
                let digits = text.replace('T', " ");
                let time = digits.trim_end_matches('Z').trim_end_matches("+00");
                match time.len() == 19 && time.as_bytes()[13] == b':' {
                    true => json!(time),
                    false => json!(text),
                }
            }
            value => value.clone(),
        };
        (name.clone(), value)
    });
    Value::Object(fields.collect())
}

#[test]
fn files_appear_whole_and_replace_older_ones() {
    let dir = tempdir().unwrap();
    let export = dir.path().to_str().unwrap();
    for log in ["disk/12-gerrit-cl-life", "disk/14-gerrit-state"] {
        stdout(&on(log, &["export", "--parquet", export]));
    }
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 10);
    assert!(
        names.iter().all(|name| name.ends_with(".parquet")),
        "{names:?}"
    );
    for name in names {
        let bytes = fs::read(dir.path().join(name)).unwrap();
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    }
}

#[test]
fn a_folder_or_a_question_must_be_given() {
    let (code, out, err) = ended(&on("disk/14-gerrit-state", &["export"]));
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("--parquet"), "{err}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let (code, _, err) = ended(&on("disk/14-gerrit-state", &["export", "--parquet", path]));
    assert_eq!(code, 1);
    assert!(err.contains(path), "{err}");
}
