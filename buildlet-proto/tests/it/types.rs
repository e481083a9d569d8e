use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, SystemTime};

use buildlet_proto::types::{
    DirEntry, EnvList, EnvStyle, FileMode, Form, PathStyle, ProcessState, RelativePath, Signal,
    Status, windows_path,
};
use proptest::prelude::*;
use serde::Deserialize;

use crate::data::{rows, vectors};

#[derive(Deserialize)]
struct PathRow {
    path: String,
    unix: String,
    windows: String,
}

#[test]
fn the_path_rule_is_upstreams_for_both_systems_on_any_host() {
    for row in rows::<PathRow>("paths") {
        for (style, expected) in [
            (PathStyle::Unix, &row.unix),
            (PathStyle::Windows, &row.windows),
        ] {
            let answer = match RelativePath::parse(&row.path, style) {
                Ok(path) => path.as_given().to_str().unwrap().to_owned(),
                Err(error) => format!("error: {error}"),
            };
            assert_eq!(&answer, expected, "{:?} {style:?}", row.path);
        }
    }
}

#[test]
fn paths_are_cleaned_for_joining() {
    for (path, style, clean) in [
        ("a/../b//c/", PathStyle::Unix, "b/c"),
        ("a/..", PathStyle::Unix, "."),
        ("./a", PathStyle::Unix, "a"),
        (r"a\b", PathStyle::Unix, r"a\b"),
        ("a/b/../c", PathStyle::Windows, r"a\c"),
        (r"a\..\C:x", PathStyle::Windows, r".\C:x"),
    ] {
        let path = RelativePath::parse(path, style).unwrap();
        assert_eq!(path.as_path(), Path::new(clean));
        assert_eq!(path.is_base(), clean == ".");
    }
}

#[derive(Deserialize)]
struct DedupRow {
    env: Vec<String>,
    #[serde(rename = "get_A")]
    get_a: String,
    #[serde(rename = "get_K1")]
    get_k1: String,
    goos: String,
    result: Vec<String>,
}

fn style(goos: &str) -> EnvStyle {
    match goos {
        "linux" => EnvStyle::Unix,
        "windows" => EnvStyle::Windows,
        "plan9" => EnvStyle::Plan9,
        other => panic!("{other}"),
    }
}

#[test]
fn the_last_of_equal_variables_counts() {
    for row in rows::<DedupRow>("envdedup") {
        let mut env = EnvList::new(style(&row.goos), row.env.clone());
        let get = |key| env.get(key).unwrap_or_default();
        assert_eq!(get("A"), OsString::from(row.get_a));
        assert_eq!(get("K1"), OsString::from(row.get_k1), "{:?}", row.env);
        env.deduplicate();
        if row.goos == "windows" && row.env[0].starts_with("=C:") {
            // Upstream forgets the current directory of D: here.
            assert_eq!(row.result, ["=C:=z"]);
            assert_eq!(env.entries(), ["=D:=y", "=C:=z"]);
        } else {
            assert_eq!(
                env.entries(),
                os_strings(&row.result),
                "{:?} {}",
                row.env,
                row.goos
            );
        }
    }
}

#[derive(Deserialize)]
struct PathEnvRow {
    differs: bool,
    env: Vec<String>,
    goos: String,
    path: Vec<String>,
    result: String,
    workdir: String,
}

#[test]
fn path_lists_are_applied_as_upstream_does() {
    for row in rows::<PathEnvRow>("pathenv") {
        let mut env = EnvList::new(style(&row.goos), row.env.clone());
        env.apply_path(&os_strings(&row.path), row.workdir.as_ref());
        let mut expected = os_strings(&row.env);
        expected.extend(row.differs.then(|| row.result.into()));
        assert_eq!(env.into_entries(), expected, "{:?}", row.path);
    }
}

fn os_strings(texts: &[String]) -> Vec<OsString> {
    texts.iter().map(OsString::from).collect()
}

#[derive(Deserialize)]
struct WindowsPathRow {
    goarch: String,
    path: String,
    result: String,
}

#[test]
fn the_windows_path_is_upstreams() {
    for row in rows::<WindowsPathRow>("windowspath") {
        assert_eq!(windows_path(&row.path, &row.goarch), row.result);
    }
}

#[derive(Deserialize)]
struct Modes {
    bits: BTreeMap<String, u32>,
    rows: Vec<ModeRow>,
}

#[derive(Deserialize)]
struct ModeRow {
    regular: bool,
    string: String,
    value: u32,
}

#[test]
fn file_modes_are_upstreams() {
    let modes: Modes = vectors("filemode");
    for row in modes.rows {
        let mode = FileMode::from_bits(row.value);
        assert_eq!(mode.to_string(), row.string);
        assert_eq!(row.string.parse(), Ok(mode));
        assert_eq!(FileMode::from_decimal(&row.value.to_string()), Ok(mode));
        assert_eq!(mode.is_regular(), row.regular, "{}", row.string);
    }
    for (name, bit) in modes.bits {
        let letter = name.split(' ').next().unwrap();
        assert_eq!(
            FileMode::from_bits(1 << bit).to_string(),
            format!("{letter}---------")
        );
    }
}

#[test]
fn unix_modes_are_translated() {
    for (unix, string) in [
        (0o100_644, "-rw-r--r--"),
        (0o040_755, "drwxr-xr-x"),
        (0o041_777, "dtrwxrwxrwx"),
        (0o120_777, "Lrwxrwxrwx"),
        (0o010_644, "prw-r--r--"),
        (0o140_755, "Srwxr-xr-x"),
        (0o060_660, "Drw-rw----"),
        (0o020_666, "Dcrw-rw-rw-"),
        (0o107_777, "ugtrwxrwxrwx"),
    ] {
        let mode = FileMode::from_unix(unix);
        assert_eq!(mode.to_string(), string);
        assert_eq!(mode.to_unix_permissions(), unix & 0o7777);
    }
}

#[test]
fn decimal_modes_follow_the_wire() {
    let of = |text| FileMode::from_decimal(text).map(FileMode::bits);
    assert_eq!(of("644"), Ok(0o1204)); // the trap: the number is not octal
    assert_eq!(of("4294967716"), Ok(420));
    assert_eq!(of("-1"), Ok(u32::MAX)); // which is no regular file's
    for bad in ["", "0o644", "0x1", "1.0", " 420", "9223372036854775808"] {
        assert!(of(bad).is_err(), "{bad}");
    }
}

#[derive(Deserialize)]
struct Signals {
    linux: BTreeMap<i32, String>,
}

#[test]
fn signals_have_upstreams_names() {
    let signals: Signals = vectors("signals");
    assert_eq!(signals.linux.len(), 64);
    for (number, name) in signals.linux {
        let signal = Signal::from_number(number);
        assert_eq!(signal.to_string(), name);
        assert_eq!(Signal::from_name(&name), Some(signal));
        let state = ProcessState::parse(&format!("signal: {name}"));
        let expected = ProcessState::Signaled {
            signal,
            core_dumped: false,
        };
        assert_eq!(state, expected);
    }
    assert_eq!(Signal::from_number(0).to_string(), "signal 0");
    assert_eq!(Signal::from_name("Killed"), None);
}

#[derive(Deserialize)]
struct Captured {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    response: Response,
}

#[derive(Deserialize)]
struct Response {
    status_line: String,
    #[serde(default)]
    body: serde_json::Value,
    #[serde(default)]
    trailers: Option<Vec<(String, String)>>,
}

#[test]
fn every_listing_that_upstream_gave_is_read_and_written_again() {
    let mut lines = 0;
    for case in vectors::<Captured>("ls").cases {
        if case.response.status_line != "HTTP/1.1 200 OK" {
            continue;
        }
        for line in case.response.body["text"]
            .as_str()
            .unwrap()
            .split_inclusive('\n')
        {
            let entry = DirEntry::parse(line.trim_end_matches('\n').as_bytes())
                .unwrap_or_else(|error| panic!("{}: {error}", case.name));
            let mut again = Vec::new();
            entry.write_line(&mut again);
            assert_eq!(String::from_utf8(again).unwrap(), line);
            lines += 1;
        }
    }
    assert!(lines > 20);
}

#[test]
fn every_process_state_that_upstream_gave_is_read_and_written_again() {
    let mut states = 0;
    for case in vectors::<Captured>("exec").cases {
        for (name, value) in case.response.trailers.unwrap_or_default() {
            assert_eq!(name, buildlet_proto::types::endpoint::PROCESS_STATE);
            assert_eq!(ProcessState::parse(&value).to_string(), value);
            states += 1;
        }
    }
    assert!(states > 20);
}

#[test]
fn lines_of_another_form_are_refused_by_name() {
    for (line, problem) in [
        ("", r#"line "" has no file mode"#),
        ("rw-r--r--\ta", r#"line "rw-r--r--\ta" has no file mode"#),
        ("-rw-r--r--", r#"line "-rw-r--r--" has no name"#),
        (
            "-rw-r--r--\ta\tx\t2001-09-09T01:46:40Z",
            r#"line "-rw-r--r--\ta\tx\t2001-09-09T01:46:40Z" has a bad size"#,
        ),
        (
            "-rw-r--r--\ta\t1",
            r#"line "-rw-r--r--\ta\t1" has a bad time"#,
        ),
        (
            "-rw-r--r--\ta\t1\t2001-09-09T01:46:40Z\td\te",
            r#"line "-rw-r--r--\ta\t1\t2001-09-09T01:46:40Z\td\te" has too many fields"#,
        ),
    ] {
        let error = DirEntry::parse(line.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), problem);
    }
}

#[test]
fn a_status_is_read_as_go_reads_it() {
    for (json, version) in [
        (r#"{"Version":29}"#, 29),
        (r#"{"version":5,"x":[]}"#, 5),
        ("{}\n", 0),
        (r#"{"VERSION":-1}"#, -1),
    ] {
        let status = Status::from_json(json.as_bytes()).unwrap();
        assert_eq!(status.version(), version);
        assert_eq!(status.implementation(), None);
    }
    for bad in ["hi", "[]", r#"{"Version":"29"}"#, ""] {
        assert!(Status::from_json(bad.as_bytes()).is_err(), "{bad}");
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..20)
}

/// Paths of the pieces that matter.
fn paths() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "..", ".", "/", "\\", "C:", "??", "?", "UNC", "", " ", ":",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// The bits that a mode string shows.
const IN_STRINGS: u32 = 0xfff8_01ff;

proptest! {
    #[test]
    fn forms_survive_a_trip(fields in prop::collection::vec(("[a-c]{0,2}", bytes()), 0..10)) {
        let mut form = Form::new();
        for (key, value) in &fields {
            form.add(key, value);
        }
        let back = Form::parse(form.encode().as_bytes()).unwrap();
        let mut sorted = fields.clone();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let pairs: Vec<_> = back.pairs().map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
        let expected: Vec<_> = sorted.into_iter().map(|(k, v)| (k.into_bytes(), v)).collect();
        prop_assert_eq!(pairs, expected);
        prop_assert_eq!(back.encode(), form.encode());
    }

    #[test]
    fn an_accepted_path_never_leaves_its_base(path in paths()) {
        if let Ok(path) = RelativePath::parse(&path, PathStyle::Unix) {
            let clean = path.as_path().to_str().unwrap();
            prop_assert!(!clean.starts_with('/'), "{}", clean);
            prop_assert!(clean.split('/').all(|part| part != ".."), "{}", clean);
        }
        if let Ok(path) = RelativePath::parse(&path, PathStyle::Windows) {
            let clean = path.as_path().to_str().unwrap();
            prop_assert!(!clean.starts_with(['/', '\\']), "{}", clean);
            prop_assert!(clean.split(['/', '\\']).all(|part| part != ".."), "{}", clean);
            prop_assert!(!clean.get(1..).unwrap().starts_with(':'), "{}", clean);
        }
    }

    #[test]
    fn entries_survive_a_trip(mode in any::<u32>(), name in "[^\t\n/]{1,10}", size in any::<u64>(), second in 0_u64..250_000_000_000) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        let mode = FileMode::from_bits(mode & IN_STRINGS & !FileMode::DIR.bits());
        for entry in [
            DirEntry::file(mode, name.clone(), size, time),
            DirEntry::file(mode, name.clone(), size, time).with_digest("da39"),
            DirEntry::new(FileMode::DIR, name.clone()),
        ] {
            let mut line = Vec::new();
            entry.write_line(&mut line);
            prop_assert_eq!(line.pop(), Some(b'\n'));
            prop_assert_eq!(DirEntry::parse(&line), Ok(entry));
        }
    }

    #[test]
    fn modes_and_states_survive_a_trip(bits in any::<u32>(), text in "(ok|exit status |signal: )?[ -~]{0,20}") {
        let string = FileMode::from_bits(bits & IN_STRINGS).to_string();
        prop_assert_eq!(string.parse::<FileMode>().unwrap().to_string(), string);
        prop_assert_eq!(ProcessState::parse(&text).to_string(), text);
    }
}
