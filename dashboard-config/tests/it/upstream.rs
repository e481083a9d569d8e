//! Upstream's own configuration decides and derives what upstream does. `tests/data/upstream-2022` was written by upstream's code: see the README there.

use std::collections::{BTreeMap, BTreeSet};

use dashboard_config::{Change, Config, Deployment, Mode, Term, upstream_2022};

const POLICIES: &str = include_str!("../data/upstream-2022/policies.tsv");
const DERIVED: &str = include_str!("../data/upstream-2022/derived.tsv");

fn production() -> Config {
    upstream_2022(Deployment::Production).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn it_is_whole_and_written_as_the_same() {
    for deployment in [
        Deployment::Production,
        Deployment::Staging,
        Deployment::Development,
    ] {
        let config = upstream_2022(deployment).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((config.hosts().len(), config.builders().len()), (74, 114));
        assert_eq!(config.repositories().len(), 43);
        let text = config.to_toml();
        let again = Config::parse("again.toml", &text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again, config);
    }
}

#[test]
fn every_builder_decides_as_upstream_for_every_repository_and_branch() {
    let config = production();
    let mut lines = POLICIES
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    let mut list = |name: &str| -> Vec<&str> {
        let line = lines.next().unwrap();
        assert_eq!(line[0], name);
        line[1].split(' ').collect()
    };
    let (projects, branches, bases) = (list("projects"), list("branches"), list("bases"));
    let mut cases: Vec<(&str, &str, &str)> =
        bases.iter().map(|base| ("go", *base, *base)).collect();
    for project in &projects {
        for branch in &branches {
            cases.extend(bases.iter().map(|base| (*project, *branch, *base)));
        }
    }
    let mut compared = 0;
    for line in lines {
        let [mode, digits, builders] = line[..] else {
            panic!("three columns")
        };
        let mode = if mode == "try" {
            Mode::Try
        } else {
            Mode::PostSubmit
        };
        for builder in builders
            .split(' ')
            .map(|name| config.builder(name).unwrap())
        {
            for (i, (repo, branch, base)) in cases.iter().enumerate() {
                // The main repository stands first, with itself; and that a repository cannot be built is asked elsewhere by upstream.
                if i >= bases.len() && *repo == "go" || !config.repository(repo).unwrap().can_build
                {
                    continue;
                }
                let digit = u8::from_str_radix(&digits[i / 4..=i / 4], 16).unwrap();
                let expected = digit & (8 >> (i % 4)) != 0;
                let decision =
                    config.decide(builder, &Change::new(repo, branch).base_branch(base), mode);
                assert_eq!(
                    decision.allowed(),
                    expected,
                    "{} {repo} {branch} {base} {mode:?}: {decision}",
                    builder.name
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 300_000, "{compared}");
}

#[test]
fn what_is_derived_is_what_upstream_derives() {
    let config = production();
    let bucket = &config.environment().buckets.buildlets;
    let project = &config.environment().cloud.as_ref().unwrap().project;
    let mut seen = BTreeSet::new();
    for line in DERIVED.lines() {
        let [name, key, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        seen.insert(name);
        let builder = config.builder(name).unwrap();
        let host = config.host(&builder.host_type).unwrap();
        let modules = |repo: &str| {
            join(
                builder
                    .module_env(host, repo)
                    .iter()
                    .map(|(k, v)| format!("{k}={v}")),
            )
        };
        let tests = |mode| {
            let skipped = TESTS
                .iter()
                .filter(|test| !config.runs_test(builder, test, mode));
            join(skipped.map(ToString::to_string))
        };
        let found = match key {
            "host" => host.name.clone(),
            "goos" => builder.goos().to_owned(),
            "goarch" => builder.goarch().to_owned(),
            "all" => {
                let go = builder.go.as_ref().unwrap();
                join(
                    [builder.all_script().to_owned()]
                        .into_iter()
                        .chain(go.all_script_args.clone()),
                )
            }
            "make" => builder.make_script().to_owned(),
            "goroot_final" => builder.goroot_final().to_owned(),
            "race" => builder.is_race().to_string(),
            "long" => builder.is_long_test().to_string(),
            "race_packages" => builder.race_packages().join(" "),
            "split" => builder.splits_make_and_run().to_string(),
            "timeout" => (builder.dist_test_timeout(host).as_secs() / 60).to_string(),
            "helpers" => format!(
                "{}/{}",
                builder.test_helpers(true),
                builder.test_helpers(false)
            ),
            "pool" => host.pool_name().to_owned(),
            "hermetic" => host.is_hermetic().to_string(),
            "machine" => format!("{} {}", host.machine_type(), host.cpus()),
            "vm_image" => host.container_vm_image(project),
            "buildlet" => host.buildlet_url(bucket),
            "bootstrap" => host.go_bootstrap_url(bucket),
            "env" => join(builder.go_env(host).iter().map(ToString::to_string)),
            "modules go" => modules("go"),
            "modules net" => modules("net"),
            "modules build" => modules("build"),
            "skips post-submit" => tests(Mode::PostSubmit),
            "skips try" => tests(Mode::Try),
            other => panic!("{other}"),
        };
        assert_eq!(found, expected, "{name} {key}");
        if key == "skips post-submit" {
            assert_eq!(
                tests(Mode::SlowBot),
                expected,
                "who is asked for by name runs all: {name}"
            );
        }
    }
    assert_eq!(seen.len(), 114);
}

const TESTS: [&str; 16] = [
    "api",
    "reboot",
    "test:0_1",
    "doc_progs",
    "wiki",
    "bench_go1",
    "codewalk",
    "runtime:cpu124",
    "race",
    "moved_goroot",
    "go_test:cmd/go",
    "go_test:cmd/internal/x",
    "go_test:net",
    "go_test:cmd/vendor/golang.org/x/arch/x",
    "nolibgcc:crypto/x509",
    "cgo_test",
];

fn join(words: impl IntoIterator<Item = String>) -> String {
    words.into_iter().collect::<Vec<_>>().join(" ")
}

/// The table of try sets.
#[test]
fn try_sets_are_upstreams() {
    let config = production();
    let set = |repo, branch, base| -> Vec<String> {
        let change = Change::new(repo, branch).base_branch(base);
        config
            .try_set(&change)
            .iter()
            .map(|builder| builder.name.clone())
            .collect()
    };
    let go = set("go", "master", "master");
    assert_eq!(go.len(), 27);
    assert_eq!(
        go.iter()
            .filter(|name| name.starts_with("misc-compile-"))
            .count(),
        13
    );
    let net = set("net", "master", "master");
    assert_eq!(
        net,
        [
            "android-amd64-emu",
            "freebsd-amd64-12_3",
            "linux-386",
            "linux-amd64",
            "linux-amd64-race",
            "linux-arm-aws",
            "linux-arm64-aws",
            "openbsd-amd64-68",
            "openbsd-amd64-70",
            "windows-386-2008",
            "windows-amd64-2016"
        ]
    );
    assert_eq!(
        set("mobile", "master", "master"),
        ["android-amd64-emu", "linux-amd64-androidemu"]
    );
    assert_eq!(
        set("exp", "master", "master"),
        [
            "linux-amd64",
            "linux-amd64-race",
            "windows-386-2008",
            "windows-amd64-2016"
        ]
    );
    assert!(set("exp", "master", "release-branch.go1.17").is_empty());
    assert_eq!(
        set("go", "dev.boringcrypto", "dev.boringcrypto"),
        ["linux-amd64", "windows-386-2008"]
    );
    let without_70: Vec<String> = net
        .into_iter()
        .filter(|name| name != "openbsd-amd64-70")
        .collect();
    assert_eq!(set("tools", "master", "release-branch.go1.16"), without_70);
}

/// The table of builders and repositories: B is a try and a build after merging, P the latter only.
#[test]
fn builders_build_upstreams_repositories() {
    const TABLE: &str = "
        linux-amd64 go B|linux-amd64 net B|linux-amd64 sys B|linux-amd64 website B|linux-amd64 exp B|linux-amd64 build B
        linux-amd64@1.11 net B|linux-amd64@1.10 net -|linux-amd64@1.12 exp -|linux-amd64-ssacheck net -|linux-386-softfloat crypto P
        linux-386-softfloat@1.15 crypto -|android-amd64-emu mobile B|android-amd64-emu@1.10 mobile -|android-amd64-emu website -
        android-386-emu mobile P|freebsd-amd64-11_4@1.16 go P|freebsd-amd64-11_4@1.16 sys B|freebsd-amd64-11_4 go -
        netbsd-amd64-9_0 sys B|netbsd-amd64-9_0 net P|aix-ppc64 mobile -|aix-ppc64@dev.link go P|js-wasm go B|js-wasm net P
        js-wasm@1.12 net -|js-wasm tools -|darwin-amd64-race net -|windows-amd64-race net P|linux-amd64-longtest go P
        linux-amd64-longtest@1.14 go B|linux-amd64-longtest@1.14 net -|linux-386-longtest exp -|windows-amd64-longtest exp P
        darwin-amd64-10_12 go -|darwin-amd64-10_12@1.16 net P|darwin-amd64-10_14 exp P|plan9-386 go -|plan9-arm net P
        plan9-arm@1.12 go -|dragonfly-amd64@1.13 go -|linux-amd64-staticlockranking@1.15 go P|linux-amd64-staticlockranking@1.14 go -
        linux-amd64-unified tools B|linux-amd64-unified@dev.typeparams net -|linux-mips64le-mengzhuo net P|linux-amd64-nocgo mobile -";
    let config = production();
    let cases: Vec<&str> = TABLE
        .split(['|', '\n'])
        .map(str::trim)
        .filter(|case| !case.is_empty())
        .collect();
    assert_eq!(cases.len(), 47);
    for case in cases {
        let [who, repo, expected] = case.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{case}")
        };
        let (name, base) = who.split_once('@').unwrap_or((who, "master"));
        let base = if base.starts_with('1') {
            format!("release-branch.go{base}")
        } else {
            base.to_owned()
        };
        let branch = if repo == "go" {
            base.as_str()
        } else {
            "master"
        };
        let builder = config.builder(name).unwrap();
        let change = Change::new(repo, branch).base_branch(&base);
        let builds = |mode| config.decide(builder, &change, mode).allowed();
        let found = match (builds(Mode::Try), builds(Mode::PostSubmit)) {
            (true, true) => "B",
            (false, true) => "P",
            (true, false) => "T",
            (false, false) => "-",
        };
        assert_eq!(found, expected, "{case}");
    }
}

#[test]
fn words_of_requests_stand_for_builders() {
    let config = production();
    let name = |term| {
        config
            .builder_for_term(term)
            .map(|builder| builder.name.as_str())
    };
    for (term, builder) in [
        ("longtest", Some("linux-amd64-longtest")),
        ("mac", Some("darwin-amd64-10_14")),
        ("arm64", Some("linux-arm64-aws")),
        ("linux", Some("linux-amd64")),
        ("windows-amd64", Some("windows-amd64-2016")),
        ("linux-amd64-race", Some("linux-amd64-race")),
        ("ios-amd64", None),
        ("", None),
    ] {
        assert_eq!(name(term), builder, "{term}");
    }
    let request = "LGTM\nTRY=mac, ios-amd64 x/net@linux-arm;bogus x/nothing\nnot TRY=windows";
    let terms = config.try_terms(request);
    let [Term::Builder(mac), rest @ ..] = &terms[..] else {
        panic!("{terms:?}")
    };
    assert_eq!(mac.name, "darwin-amd64-10_14");
    assert_eq!(
        rest,
        [
            Term::NoBuilder("ios-amd64"),
            Term::Repository {
                repo: "net",
                builder: Some("linux-arm")
            },
            Term::Unknown("bogus"),
            Term::Unknown("x/nothing"),
        ]
    );
    assert!(
        config
            .try_terms(&format!("TRY=mac {}", "x".repeat(1024)))
            .is_empty()
    );
}

#[test]
fn every_port_is_a_word_of_requests_or_a_builder() {
    let config = production();
    let mut systems: BTreeMap<&str, usize> = BTreeMap::new();
    for builder in config
        .builders()
        .filter(|builder| builder.splits_make_and_run())
    {
        *systems.entry(builder.goos()).or_default() += 1;
        let port = format!("{}-{}", builder.goos(), builder.goarch());
        for word in [builder.goos(), builder.goarch(), &port] {
            let known = config.aliases().contains_key(word) || config.builder(word).is_some();
            // What upstream says of s390x's sake: a builder's word need not be a port of its own.
            assert!(
                known || word == "js-wasm" || word == "loong64" || word == "linux-loong64",
                "{word}"
            );
        }
    }
    assert!(systems.len() >= 13, "{systems:?}");
}

#[test]
fn cross_compilers_have_at_most_three_targets_each() {
    let config = production();
    let mut count = 0;
    for builder in config
        .builders()
        .filter(|builder| !builder.splits_make_and_run())
    {
        let [pattern] = &builder.go.as_ref().unwrap().all_script_args[..] else {
            panic!("{}", builder.name)
        };
        let targets = pattern
            .strip_prefix("^(")
            .and_then(|rest| rest.strip_suffix(")$"))
            .unwrap();
        assert!(targets.split('|').count() <= 3, "{pattern}");
        assert!(builder.try_only && builder.go.as_ref().unwrap().compile_only);
        count += 1;
    }
    assert_eq!(count, 13);
}

#[test]
fn the_page_of_builders_is_upstreams() {
    let config = production();
    let json = config.to_upstream_json();
    let linux = "\t\t\"linux-amd64\": {\n\t\t\t\"Name\": \"linux-amd64\",\n\t\t\t\"HostType\": \"host-linux-bullseye\",\n\t\t\t\"KnownIssue\": 0,\n\t\t\t\"Notes\": \"\",\n\t\t\t\"CompileOnly\": false,\n\t\t\t\"FlakyNet\": false,\n\t\t\t\"RunBench\": false,\n\t\t\t\"MinimumGoVersion\": {\n\t\t\t\t\"Major\": 0,\n\t\t\t\t\"Minor\": 0\n\t\t\t},\n\t\t\t\"SkipSnapshot\": false,\n\t\t\t\"StopAfterMake\": false,\n\t\t\t\"InstallRacePackages\": null,\n\t\t\t\"GoDeps\": null,\n\t\t\t\"CrossCompileConfig\": null\n\t\t},\n";
    assert!(
        json.contains(linux),
        "{}",
        &json[json.find("\"linux-amd64\"").unwrap()..][..600]
    );
    assert!(json.contains("\"DeleteTimeout\": 28800000000000,"));
    assert!(json.starts_with("{\n\t\"Builders\": {\n\t\t\"aix-ppc64\": {\n"));
}
