//! Each rule of the validator: a file that keeps it has no problem, and one that breaks it has exactly that problem.

use dashboard_config::{Config, Severity};

/// A good file that the cases below change.
const GOOD: &str = r#"
[environment]
dashboard_url = "https://build.example.org/"
guard = "all"

[repo.site]
clone_url = "https://git.example.org/site"

[host.linux]
pool = "reverse"

[host.cloud]
pool = "container"
provider = "gce"
container_image = "image"
buildlet_url = "https://example.org/buildlet"

[policy.all]
default = true

[builder.test]
host_type = "linux"
repos = ["site"]
builds = "all"
step = [{ run = "make" }]

[builder.linux-amd64]
host_type = "cloud"
helpers = { try = 2 }
go = {}

[alias]
amd64 = "linux-amd64"
none = ""
"#;

/// Makes the change, and returns each problem as `line: message`.
fn problems(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "{from}");
    let text = GOOD.replacen(from, to, 1);
    let found = match Config::parse("builders.toml", &text) {
        Ok(config) => config.warnings().to_vec(),
        Err(error) => error.iter().cloned().collect(),
    };
    for problem in &found {
        assert!(
            !problem.hint().is_empty() && problem.file() == Some("builders.toml"),
            "{problem}"
        );
    }
    found
        .iter()
        .map(|problem| {
            let severity = if problem.severity() == Severity::Warning {
                "warning: "
            } else {
                ""
            };
            format!(
                "{}: {severity}{}",
                problem.line().unwrap(),
                problem.message()
            )
        })
        .collect()
}

#[test]
fn the_good_file_has_no_problem() {
    assert_eq!(
        problems("[environment]", "[environment]"),
        Vec::<String>::new()
    );
}

#[test]
fn each_broken_rule_is_one_problem_at_its_place() {
    let mut wrong = Vec::new();
    for (from, to, expected) in [
        // Names.
        (
            "[builder.test]",
            "[builder.Test]",
            "21: \"Test\" cannot be a name: it goes into addresses and file names",
        ),
        (
            "amd64 = \"linux-amd64\"",
            "amd64 = \"linux-amd65\"",
            "33: there is no builder \"linux-amd65\"",
        ),
        // Hosts.
        (
            "pool = \"reverse\"",
            "pool = \"reverse\"\nvm_image = \"x\"",
            "11: a machine of pool \"reverse\" has no vm_image",
        ),
        (
            "pool = \"reverse\"",
            "pool = \"reverse\"\nmachine_type = \"e2\"",
            "11: no cloud makes machines of pool \"reverse\"",
        ),
        (
            "pool = \"reverse\"",
            "pool = \"reverse\"\nprovider = \"gce\"",
            "11: nobody's cloud runs machines of pool \"reverse\"",
        ),
        (
            "pool = \"reverse\"",
            "pool = \"reverse\"\nexpect_num = -1",
            "11: -1 is out of range",
        ),
        (
            "pool = \"reverse\"",
            "pool = \"revers\"",
            "10: \"revers\" is not a word that is known here",
        ),
        (
            "pool = \"reverse\"\n",
            "",
            "9: `pool` is missing in `linux`",
        ),
        (
            "container_image = \"image\"\n",
            "",
            "12: a container needs an image",
        ),
        (
            "provider = \"gce\"\n",
            "",
            "12: somebody must run a machine of pool \"container\"",
        ),
        (
            "buildlet_url = \"https://example.org/buildlet\"\n",
            "",
            "12: such a machine must fetch its buildlet from somewhere",
        ),
        (
            "https://example.org/buildlet",
            "ftp://x",
            "16: \"ftp://x\" is no address",
        ),
        (
            "https://example.org/buildlet",
            "http://example.org/buildlet",
            "16: warning: what is fetched this way can be changed on the way",
        ),
        (
            "[host.cloud]",
            "[host.spare]\npool = \"reverse\"\n[host.cloud]",
            "12: warning: no builder runs on `spare`",
        ),
        (
            "guard =",
            "unused_hosts = [\"linux\"]\nguard =",
            "4: a builder does run on `linux`",
        ),
        (
            "guard =",
            "unused_hosts = [\"other\"]\nguard =",
            "4: there is no host \"other\"",
        ),
        // Builders.
        (
            "host_type = \"linux\"",
            "host_type = \"linus\"",
            "22: there is no host \"linus\"",
        ),
        (
            "host_type = \"linux\"\n",
            "",
            "21: `host_type` is missing in `test`",
        ),
        (
            "helpers = { try = 2 }\ngo = {}",
            "helpers = { try = 2 }\ngo = { skip_snapshot = true }",
            "29: without a snapshot no other machine can help",
        ),
        (
            "helpers = { try = 2 }",
            "helpers = { try = -2 }",
            "29: -2 is out of range",
        ),
        (
            "repos = [\"site\"]",
            "helpers = { try = 1 }",
            "23: warning: machines that dial in help no other",
        ),
        (
            "builds = \"all\"",
            "known_issues = [0]",
            "24: 0 is no issue",
        ),
        (
            "builds = \"all\"",
            "env = [\"NAME\"]",
            "24: an environment variable has the form NAME=value",
        ),
        (
            "builds = \"all\"",
            "env = [\"=x\"]",
            "24: the name of an environment variable is neither empty nor has =",
        ),
        (
            "builds = \"all\"",
            "env = [\"A=1\", \"A=2\"]",
            "24: warning: A is set twice",
        ),
        (
            "builds = \"all\"",
            "builds = \"any\"",
            "24: there is no policy \"any\"",
        ),
        (
            "builds = \"all\"",
            "try = { policy = \"any\" }",
            "24: there is no policy \"any\"",
        ),
        (
            "builds = \"all\"",
            "test_policy = \"any\"",
            "24: there is no test policy \"any\"",
        ),
        (
            "builds = \"all\"",
            "notify = [\"any\"]",
            "24: there is no notify \"any\"",
        ),
        (
            "builds = \"all\"",
            "priority = 101",
            "24: a priority is from -100 to 100",
        ),
        (
            "builds = \"all\"",
            "timeout = \"0s\"",
            "24: no build ends in no time",
        ),
        (
            "builds = \"all\"",
            "retry = { attempts = 0 }",
            "24: there are 1 to 20 attempts",
        ),
        (
            "builds = \"all\"",
            "contains = [\"main\"]",
            "24: \"main\" is no commit id",
        ),
        (
            "builds = \"all\"",
            "artifact = [{ paths = [\"../x\"] }]",
            "24: \"../x\" leaves the source of the repository",
        ),
        (
            "builds = \"all\"",
            "artifact = [{ paths = [\"/etc/*\"] }]",
            "24: \"/etc/*\" leaves the source of the repository",
        ),
        (
            "builds = \"all\"",
            "artifact = [{ paths = [] }]",
            "24: an artifact without paths keeps nothing",
        ),
        (
            "builds = \"all\"",
            "branches = [\"[a-z]\"]",
            "24: \"[a-z]\": '[' has no meaning in a pattern",
        ),
        (
            "builds = \"all\"",
            "go = {}",
            "24: a build of Go has steps of its own",
        ),
        (
            "step = [{ run = \"make\" }]",
            "",
            "21: `test` has no steps, so it does nothing",
        ),
        (
            "go = {}",
            "go = { goarch = \"a-b\" }",
            "27: `linux-amd64` does not say its goarch",
        ),
        (
            "repos = [\"site\"]",
            "repos = [\"sites\"]",
            "23: there is no repo \"sites\"",
        ),
        (
            "repos = [\"site\"]",
            "repos = [\"x*\"]",
            "23: warning: \"x*\" matches no repo",
        ),
        // Steps.
        ("run = \"make\"", "run = \"\"", "25: the script is empty"),
        (
            "run = \"make\"",
            "run = []",
            "25: there is no program to run",
        ),
        (
            "run = \"make\"",
            "run = [\"{revision}\"]",
            "25: \"{revision}\": {revision} is unknown; there are {workdir}, {repo}, {rev}, {branch}, {base_rev} and {builder}, and {{revision}} for the text itself",
        ),
        (
            "run = \"make\"",
            "run = \"git log {rev}\"",
            "25: warning: a script is no template: {rev} stays as it is",
        ),
        (
            "run = \"make\"",
            "run = [\"make\"], shell = [\"sh\"]",
            "25: a list is run without a shell",
        ),
        (
            "run = \"make\"",
            "run = \"make\", dir = \"a/../../b\"",
            "25: \"a/../../b\" leaves the source of the repository",
        ),
        (
            "run = \"make\"",
            "run = \"make\", dir = \"{workdir}/..\"",
            "25: \"..\" leaves the source of the repository",
        ),
        (
            "run = \"make\"",
            "run = \"make\", success_codes = []",
            "25: no exit code would mean success",
        ),
        (
            "run = \"make\"",
            "run = \"make\", timeout = \"2h\"",
            "25: warning: the whole build has less time than this step",
        ),
        (
            "run = \"make\"",
            "run = \"make\", timeout = \"5\"",
            "25: \"5\": not a duration",
        ),
        (
            "run = \"make\"",
            "run = \"make\", name = \"\"",
            "25: a step's name is shown to people",
        ),
        // Repositories.
        (
            "clone_url = \"https://git.example.org/site\"",
            "",
            "6: nothing says where `site` is fetched from",
        ),
        (
            "https://git.example.org/site",
            "--upload-pack=x",
            "7: git would take this for an option",
        ),
        (
            "[host.linux]",
            "base = \"sit\"\n[host.linux]",
            "9: there is no repo \"sit\"",
        ),
        (
            "[host.linux]",
            "base = \"site\"\n[host.linux]",
            "9: `site` is built against another one itself",
        ),
        (
            "[host.linux]",
            "mirror_to_github = true\n[host.linux]",
            "6: a mirror at GitHub needs a name there",
        ),
        (
            "[host.linux]",
            "github_repo = \"x\"\n[host.linux]",
            "9: this is not an owner and a name",
        ),
        (
            "[host.linux]",
            "poll = \"1ms\"\n[host.linux]",
            "9: looking more often than ten times a second is too often",
        ),
        (
            "[host.linux]",
            "import_path = \"x\"\n[repo.z]\nclone_url = \"/z\"\nimport_path = \"x\"\n[host.linux]",
            "12: \"x\" is that of `site` too",
        ),
        // Policies.
        (
            "guard = \"all\"",
            "guard = \"al\"",
            "4: there is no policy \"al\"",
        ),
        (
            "default = true",
            "default = \"all\"",
            "18: policy `all` asks itself",
        ),
        (
            "default = true",
            "base = \"b\"\n[policy.b]\nbase = \"b\"",
            "20: policy `b` asks itself",
        ),
        (
            "default = true",
            "rule = [{ allow = true }, { repo = [\"x\"], allow = false }]",
            "19: warning: this rule always matches, so those after it never do",
        ),
        (
            "default = true",
            "rule = [{ repo = [], allow = true }]",
            "19: warning: an empty list matches nothing",
        ),
        (
            "default = true",
            "rule = [{ version_min = \"1\", allow = true }]",
            "19: \"1\": not a version",
        ),
        (
            "[alias]",
            "[test_policy.t]\nbase = \"t\"\n[alias]",
            "32: test policy `t` asks itself",
        ),
        // The environment and notify.
        (
            "example.org/\"\nguard",
            "example.org\"\nguard",
            "3: the base of the dashboard's addresses must end with a slash",
        ),
        (
            "https://build.example.org/",
            "build/",
            "3: \"build/\" is no address",
        ),
        ("[alias]", "[notify.n]\n[alias]", "32: `n` tells nobody"),
        (
            "[alias]",
            "[notify.n]\nwebhook = \"x\"\n[alias]",
            "33: \"x\" is no address",
        ),
        (
            "[alias]",
            "[notify.n]\nterminal = true\nsecret_file = \"x\"\n[alias]",
            "34: only a webhook is signed",
        ),
        // TOML itself.
        ("go = {}", "go = {}\ngo = {}", "31: duplicate key"),
        (
            "go = {}",
            "go = ",
            "30: string values must be quoted, expected literal string",
        ),
    ] {
        let found = problems(from, to);
        if found != [expected] {
            wrong.push(format!(
                "{to}
  found {found:?}
  not {expected:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_policy_behind_another_is_no_loop() {
    let text = "[policy.a]\nbase = 'c'\ndefault = 'b'\n[policy.b]\nbase = 'c'\n[policy.c]\n";
    assert_eq!(Config::parse("builders.toml", text).unwrap().warnings(), []);
    let text = "[policy.a]\nbase = 'b'\n[policy.b]\ndefault = 'c'\n[policy.c]\nbase = 'a'\n";
    assert_eq!(
        Config::parse("builders.toml", text)
            .unwrap_err()
            .iter()
            .count(),
        3
    );
}

#[test]
fn deep_nesting_is_refused_and_does_no_harm() {
    let text = format!("x = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Config::parse("builders.toml", &text).is_err());
}

#[test]
fn a_file_that_a_repository_carries_speaks_of_that_repository_alone() {
    let rest =
        "[host.h]\npool = 'process'\n[builder.b]\nhost_type = 'h'\n[[builder.b.step]]\nrun = 'x'\n";
    let carried = |text: &str| {
        let text = format!("{text}\n{rest}");
        Config::parse_carried("builders.toml", &text, "https://example.org/site")
    };
    let config = carried("[repo.site]\nclone_url = '.'").unwrap();
    let url = &config.repository("site").unwrap().clone_url;
    assert_eq!(url, "https://example.org/site");
    for text in [
        "[repo.site]\nclone_url = '/home/me/secret'",
        "[repo.site]\nclone_url = '../secret'",
        "[repo.site]\nclone_url = '.'\n[notify.n]\nwebhook = 'https://example.org/x'\nsecret_file = '/etc/key'",
    ] {
        let error = carried(text).unwrap_err();
        let first = error.iter().next().unwrap();
        assert!(
            first
                .message()
                .starts_with("a file that a repository carries"),
            "{error}"
        );
        assert!(first.line().is_some(), "{error}");
    }
}
