//! The general form: a builder of a team that builds its own repositories.

use std::time::Duration;

use proptest::prelude::*;

use dashboard_config::{Change, Command, Config, Isolation, Mode, Reason, Supersede, Values};

use crate::{bad, good};

pub(crate) const TEXT: &str = r#"
[repo.site]
clone_url = "https://git.example.org/site"
branches = ["main", "release-*"]
history = 3

[repo.docs]
clone_url = "/srv/git/docs.git"

[host.linux]
pool = "reverse"
expect_num = 2
env = { LANG = "C.UTF-8" }

[notify.team]
webhook = "https://chat.example.org/hook"
secret_file = "/etc/ci/hook.key"
on = ["broken", "fixed"]

[builder.test]
host_type = "linux"
repos = ["site"]
branches = ["main", "release-*"]
env = ["B=1", "A=2"]
timeout = "20m"
isolation = "sandbox"
retry = { attempts = 2, delay = "1s" }
max_at_once = 4
priority = 10
supersede = "waiting"
labels = ["linux", "unit"]
notify = ["team"]

[[builder.test.step]]
name = "build"
run = ["make", "-C", "{workdir}/src", "REV={rev}"]
dir = "sub/dir"
timeout = "5m"
env = { V = "1" }

[[builder.test.step]]
run = """
set -u
make test "BRANCH=$CI_BRANCH"
"""
shell = ["bash", "-e", "-c"]
allow_failure = true
network = false
success_codes = [0, 5]

[[builder.test.artifact]]
paths = ["out/*.tar.gz"]
max_size = "100MiB"

[builder.lint]
host_type = "linux"
repos = ["site", "docs"]
step = [{ run = "make lint" }]
"#;

#[test]
fn a_builder_says_all_that_a_build_needs() {
    let config = good(TEXT);
    assert_eq!(config.warnings(), []);
    let test = config.builder("test").unwrap();
    assert_eq!(test.host_type, "linux");
    assert_eq!(test.timeout, Duration::from_secs(1200));
    assert_eq!(test.isolation, Isolation::Sandbox);
    assert_eq!(test.supersede, Supersede::Waiting);
    assert_eq!((test.max_at_once, test.priority), (4, 10));
    assert_eq!(
        (test.retry.attempts, test.retry.max_delay),
        (2, Duration::from_secs(300))
    );
    assert_eq!(test.artifacts[0].max_size.0, 100 << 20);
    assert_eq!(
        config.notify(test).next().unwrap().webhook.as_deref(),
        Some("https://chat.example.org/hook")
    );
    assert_eq!(config.repository("site").unwrap().history, 3);

    let [build, script] = &test.steps[..] else {
        panic!("two steps")
    };
    let values = Values {
        workdir: "/w",
        rev: "abc",
        branch: "; rm -rf /",
        ..Values::default()
    };
    assert_eq!(build.argv(&values), ["make", "-C", "/w/src", "REV=abc"]);
    assert!(build.succeeds_with(0) && !build.succeeds_with(5));
    assert!(matches!(script.command, Command::Script(_)));
    assert_eq!(script.title(), "set -u");
    assert!(script.succeeds_with(5) && script.allow_failure && !script.network);
    let argv = script.argv(&values);
    assert_eq!(argv[..3], ["bash", "-e", "-c"]);
    assert!(argv[3].contains("\"BRANCH=$CI_BRANCH\"") && !argv[3].contains("rm"));
}

#[test]
fn repositories_and_branches_choose_builders() {
    let config = good(TEXT);
    let names = |repo, branch| -> Vec<String> {
        let builds = config.builds(repo, branch);
        builds
            .into_iter()
            .map(|builder| builder.name.clone())
            .collect()
    };
    assert_eq!(names("site", "main"), ["lint", "test"]);
    assert_eq!(names("site", "release-2"), ["lint", "test"]);
    assert_eq!(names("site", "wip"), ["lint"]);
    assert_eq!(names("docs", "main"), ["lint"]);
    assert!(names("nothing", "main").is_empty());
}

#[test]
fn what_is_built_on_request_alone_has_no_branches_to_look_at() {
    let config = good(TEXT).only_when_asked();
    assert!(config.repository("site").unwrap().branches.is_empty());
    assert_eq!(
        config.builds("site", "main").len(),
        2,
        "what is asked for is decided as before"
    );
    assert_eq!(good(&config.to_toml()), config);
}

#[test]
fn a_decision_says_what_decided_it() {
    let config = good(TEXT);
    let test = config.builder("test").unwrap();
    let decide = |repo, branch, mode| config.decide(test, &Change::new(repo, branch), mode);
    let wip = decide("site", "wip", Mode::PostSubmit);
    assert_eq!(wip.reason(), &Reason::OtherBranches);
    assert_eq!(
        wip.to_string(),
        "does not build it: the builder's branches do not match"
    );
    assert_eq!(
        decide("docs", "main", Mode::PostSubmit).reason(),
        &Reason::OtherRepositories
    );
    assert_eq!(
        decide("other", "main", Mode::PostSubmit).reason(),
        &Reason::UnknownRepository
    );
    assert_eq!(decide("site", "main", Mode::Try).reason(), &Reason::NoTry);
    assert!(decide("site", "main", Mode::SlowBot).allowed());
}

#[test]
fn what_is_written_is_read_as_the_same() {
    let config = good(TEXT);
    let text = config.to_toml();
    let again = good(&text);
    assert_eq!(again, config, "{text}");
    assert_eq!(again.to_toml(), text);
}

#[test]
fn all_problems_are_found_at_once() {
    let error = bad(
        "[host.h]\npool = 'reverse'\n\n[builder.'A b']\nhost_type = 1\ntimout = '5m'\nstep = [{ run = ['a', '{x}'] }, {}]\n",
    );
    let found: Vec<String> = error
        .iter()
        .map(|one| {
            format!(
                "{}:{} {}",
                one.line().unwrap(),
                one.column().unwrap(),
                one.message()
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            "4:10 \"A b\" cannot be a name: it goes into addresses and file names",
            "5:13 this should be a string in quotes, not a whole number",
            "6:1 unknown key `timout`",
            "7:23 \"{x}\": {x} is unknown; there are {workdir}, {repo}, {rev}, {branch}, {base_rev} and {builder}, and {{x}} for the text itself",
            "7:33 `run` is missing",
        ]
    );
}

#[test]
fn files_of_a_directory_are_one_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let (hosts, builders) = TEXT.split_once("[notify.team]").unwrap();
    std::fs::write(dir.path().join("a.toml"), hosts).unwrap();
    std::fs::write(
        dir.path().join("b.toml"),
        format!("[notify.team]{builders}"),
    )
    .unwrap();
    std::fs::write(dir.path().join("notes.txt"), "[").unwrap();
    assert_eq!(Config::load([dir.path()]).unwrap(), good(TEXT));

    std::fs::write(
        dir.path().join("c.toml"),
        "[host.linux]\npool = 'reverse'\n",
    )
    .unwrap();
    let error = Config::load([dir.path()]).unwrap_err().to_string();
    assert!(
        error.contains("c.toml:1:7: error: `linux` stands in two files")
            && error.contains("a.toml"),
        "{error}"
    );

    let error = Config::load([dir.path().join("none.toml")]).unwrap_err();
    assert_eq!(error.iter().next().unwrap().file(), None);
}

#[test]
fn paths_of_repositories_are_paths_from_their_file() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[repo.here]\nclone_url = '.'\n[repo.below]\nclone_url = './sub'\n[repo.other]\nclone_url = '/other'\n";
    std::fs::write(dir.path().join("builders.toml"), text).unwrap();
    let config = Config::load([dir.path().join("builders.toml")]).unwrap();
    let url = |name| &config.repository(name).unwrap().clone_url;
    let root = std::path::absolute(dir.path()).unwrap();
    assert_eq!(std::path::Path::new(url("here")), root);
    assert_eq!(std::path::Path::new(url("below")), root.join("sub"));
    assert_eq!(url("other"), "/other");
}

proptest! {
    #[test]
    fn any_text_in_a_field_survives_writing_and_reading(
        script in "\\PC*[a-z\n\"'\\\\ \t#]{1,20}",
        name in "[^\\pC]{0,20}x",
        value in "[^\\x00]{0,20}",
    ) {
        let base = "[host.h]\npool = 'reverse'\n[builder.b]\nhost_type = 'h'\n";
        let quoted = |text: &str| format!("{}", serde_json::Value::from(text)).replace('\u{7f}', "\\u007f");
        let text = format!("{base}step = [{{ run = {}, name = {}, env = {{ V = {} }} }}]\n", quoted(&script), quoted(&name), quoted(&value));
        prop_assume!(!script.trim().is_empty());
        let config = good(&text);
        let step = &config.builder("b").unwrap().steps[0];
        prop_assert_eq!(&step.command, &Command::Script(script));
        prop_assert_eq!(step.env.get("V"), Some(&*value));
        prop_assert_eq!(good(&config.to_toml()), config);
    }

    #[test]
    fn no_text_brings_the_reader_down(text in "([a-z_]{1,8}|[\\[\\]{}=.,\"'#\n 0-9-]|builder|step|host|run|true){0,60}") {
        if let Err(error) = Config::parse("builders.toml", &text) {
            prop_assert!(error.iter().count() > 0);
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
