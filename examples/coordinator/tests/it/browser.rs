//! The pages of the real program, in Chromium. `SCREENSHOTS=DIRECTORY` keeps pictures; that of the README is made so:
//! `SCREENSHOTS=$PWD/docs cargo test -p coordinator --test it a_thousand_builds`.

use std::fs;
use std::process::{Command, Stdio};

use build_coordinator::model::{
    AfterAttempt, BranchUpdate, BuildKey, Cause, Change, Commit, NewBuild, Purpose, Revision,
    StepOutcome, Timestamp,
};
use build_coordinator::store::{Store, StoreConfig};
use harness::Browser;

use crate::asking::Asked;
use crate::git;
use crate::running::Project;

/// What a build's badge says.
fn is(label: &str) -> String {
    format!("document.querySelector('h1 .badge').textContent.includes('{label}')")
}

fn logged(text: &str) -> String {
    format!("document.getElementById('log').textContent.includes('{text}')")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_found_followed_cancelled_and_retried() {
    let Some(mut browser) = Browser::start().await else {
        return;
    };
    let gates = tempfile::tempdir().unwrap();
    let wait = |gate: &str| {
        let gate = gates.path().join(gate);
        format!("while [ ! -e {} ]; do sleep 0.05; done", gate.display())
    };
    let open = |gate: &str| fs::write(gates.path().join(gate), "").unwrap();
    let project = Project::new(&format!(
        "all:\n\t@echo first line; {}; echo second line; {}; echo last line\n",
        wait("second"),
        wait("last")
    ));
    let asked = Asked::start(&project);
    let id = asked.until("running");

    browser.go(&format!("{}dashboard", asked.url())).await;
    browser.until("document.querySelector('.cell.run')").await;
    browser.click(".cell.run").await;
    browser.until(&is("running")).await;
    browser.until(&logged("first line")).await;
    assert_eq!(browser.eval(&logged("second line")).await, false);
    open("second");
    browser.until(&logged("second line")).await;

    browser.click("form[action$=cancel] button").await;
    browser.until(&is("cancelled")).await;
    assert_eq!(asked.until("cancelled"), id);
    browser
        .until("document.querySelector('form[action$=retry] button')")
        .await;
    browser.click("form[action$=retry] button").await;
    browser.until(&is("running")).await;
    open("last");
    browser.until(&is("ok")).await;
    browser.until(&logged("last line")).await;
    assert_eq!(asked.until("succeeded"), id);

    let build = format!("builds/{id}");
    let pages = [
        "",
        "dashboard",
        "builds",
        &build,
        "queue",
        "machines",
        "builders",
    ];
    for (dark, background) in [(false, "rgb(246, 247, 249)"), (true, "rgb(18, 21, 27)")] {
        browser.dark(dark).await;
        for page in pages {
            let name = if page.is_empty() {
                "status"
            } else {
                &page.replace('/', "-")
            };
            let mode = if dark { "dark" } else { "light" };
            for (width, height) in [(1280, 900), (700, 900), (390, 844)] {
                browser.size(width, height).await;
                browser.go(&format!("{}{page}", asked.url())).await;
                browser.picture(&format!("{name}-{mode}-{width}")).await;
                let fits = "document.documentElement.scrollWidth <= innerWidth
                    && [...document.querySelectorAll('nav.main')].every((nav) => nav.scrollWidth <= nav.clientWidth)";
                assert_eq!(browser.eval(fits).await, true, "/{page} at {width}");
                let seen = browser
                    .eval("getComputedStyle(document.body).backgroundColor")
                    .await;
                assert_eq!(seen, background, "/{page}");
            }
        }
    }
    browser.check(asked.url());
}

/// As many as fit into the picture, and are usual.
const BUILDERS: [&str; 20] = [
    "linux-amd64",
    "linux-amd64-race",
    "linux-amd64-nightly",
    "linux-arm64",
    "linux-386",
    "linux-riscv64",
    "linux-s390x",
    "linux-musl",
    "darwin-arm64",
    "darwin-amd64",
    "windows-amd64",
    "windows-arm64",
    "freebsd-amd64",
    "openbsd-amd64",
    "wasm",
    "clippy",
    "docs",
    "fuzz",
    "bench",
    "package",
];
const COMMITS: u64 = 51;
const SUBJECTS: [&str; 8] = [
    "store: keep the events of a build in one transaction with its state",
    "web: a log is followed from where the page ends",
    "pool: a machine that keeps failing is put in quarantine",
    "README: what the first command does",
    "scheduler: age what waits, so that nothing starves",
    "git: fetch with a time limit, and say which repository it was",
    "run: cancel at every point, and kill what the machine still runs",
    "config: every problem with its line and a hint",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_builds_are_shown_at_once() {
    let Some(mut browser) = Browser::start().await else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let site = dir.path().join("site");
    fs::create_dir(&site).unwrap();
    import(&site);
    let state = dir.path().join("state");
    fs::create_dir(&state).unwrap();
    fill(&state, &commits(&site)).await;
    fs::write(dir.path().join("builders.toml"), config(&site)).unwrap();

    let asked = Asked::with_state(dir.path(), &state);
    browser.size(1280, 860).await;
    browser
        .go(&format!("{}dashboard?rows={COMMITS}", asked.url()))
        .await;
    let cells = browser.eval("document.querySelectorAll('.cell').length");
    assert_eq!(cells.await, COMMITS * BUILDERS.len() as u64);
    let timing = "(() => {
        const [page] = performance.getEntriesByType('navigation');
        return page.domComplete - page.requestStart;
    })()";
    let shown = browser.eval(timing).await.as_f64().unwrap();
    eprintln!("shown after {shown:.0} ms");
    // A hundred times what it takes, as the machine may be busy: the print is the measurement.
    assert!(shown < 60_000.0, "{shown} ms");
    browser.picture("coordinator").await;
    browser.check(asked.url());
}

fn config(site: &std::path::Path) -> String {
    let mut text = format!(
        "[repo.site]\nclone_url = '{}'\n[host.local]\npool = 'process'\nexpect_num = 1\n",
        site.display()
    );
    for name in BUILDERS {
        text += &format!(
            "[builder.{name}]\nhost_type = 'local'\n[[builder.{name}.step]]\nrun = 'true'\n"
        );
    }
    text
}

fn subject(commit: u64) -> &'static str {
    SUBJECTS[(commit % SUBJECTS.len() as u64) as usize]
}

/// Commits a minute apart, at once.
fn import(site: &std::path::Path) {
    use std::io::Write as _;
    git(site, &["init", "--quiet", "--initial-branch=main"]);
    let mut child = Command::new("git")
        .current_dir(site)
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs();
    let mut stream = child.stdin.take().unwrap();
    for commit in 0..COMMITS {
        let (subject, time) = (subject(commit), now - (COMMITS - commit) * 1700);
        let len = subject.len();
        writeln!(
            stream,
            "commit refs/heads/main\ncommitter Ada Example <ada@example.org> {time} +0000\ndata {len}\n{subject}"
        )
        .unwrap();
    }
    drop(stream);
    assert!(child.wait().unwrap().success());
}

/// From the oldest to the newest.
fn commits(site: &std::path::Path) -> Vec<Commit> {
    let log = Command::new("git")
        .current_dir(site)
        .args(["log", "--reverse", "--format=%H %ct %s", "main"])
        .output()
        .unwrap();
    let mut parent = None;
    let mut commits = Vec::new();
    for line in String::from_utf8(log.stdout).unwrap().lines() {
        let mut words = line.splitn(3, ' ');
        let revision: Revision = words.next().unwrap().parse().unwrap();
        let time: i64 = words.next().unwrap().parse().unwrap();
        commits.push(Commit {
            parents: parent.replace(revision.clone()).into_iter().collect(),
            revision,
            author_name: "Ada Example".into(),
            author_email: "ada@example.org".into(),
            committed: Timestamp::from_micros(time * 1_000_000),
            subject: words.next().unwrap().into(),
            body: String::new(),
        });
    }
    commits
}

/// A store in which everything is built; some of it failed.
async fn fill(state: &std::path::Path, commits: &[Commit]) {
    let store = Store::open(StoreConfig::sqlite(state.join("coordinator.db")))
        .await
        .unwrap();
    let now = Timestamp::now();
    let update = BranchUpdate {
        repository: "site".into(),
        branch: "main".into(),
        head: commits.last().unwrap().revision.clone(),
        removed: Vec::new(),
        newer: commits.to_vec(),
        older: Vec::new(),
        history: 0,
    };
    store.update_branch(now, update).await.unwrap();
    let build = |commit: &Commit, builder: &str| NewBuild {
        key: BuildKey {
            repository: "site".into(),
            revision: commit.revision.clone(),
            builder: builder.into(),
            base: None,
        },
        branch: Some("main".into()),
        host_type: "local".into(),
        purpose: Purpose::Head,
        reason: "newest commit of main".into(),
    };
    let all = commits
        .iter()
        .flat_map(|commit| BUILDERS.map(|builder| build(commit, builder)));
    let enqueued = store.enqueue_all(now, all.collect()).await.unwrap();
    let mut changes = Vec::new();
    for (n, one) in enqueued.iter().enumerate() {
        for change in attempt(cause(n)) {
            changes.push((one.build.id, change));
        }
    }
    store.record_all(now, changes).await.unwrap();
    store.close().await.unwrap();
}

/// A breakage that lasts for some commits, and what happens now and then.
fn cause(build: usize) -> Cause {
    let (commit, builder) = (build / BUILDERS.len(), build % BUILDERS.len());
    match builder {
        10 | 11 if (36..44).contains(&commit) => Cause::Failed,
        1 if commit % 17 == 11 => Cause::TimedOut,
        _ if build % 97 == 51 => Cause::Failed,
        _ if build % 211 == 100 => Cause::LostBuildlet,
        _ => Cause::Succeeded,
    }
}

fn attempt(cause: Cause) -> [Change; 4] {
    let outcome = match cause {
        Cause::Succeeded => StepOutcome::Succeeded,
        Cause::TimedOut => StepOutcome::TimedOut,
        _ => StepOutcome::Failed,
    };
    [
        Change::AttemptStarted {
            attempt: 1,
            machine: "local-1".into(),
            owner: "an earlier one".into(),
        },
        Change::StepStarted {
            attempt: 1,
            index: 0,
            name: "test".into(),
            log_offset: 0,
        },
        Change::StepEnded {
            attempt: 1,
            index: 0,
            outcome,
            message: String::new(),
            log_offset: 0,
        },
        Change::AttemptEnded {
            attempt: 1,
            cause,
            message: String::new(),
            then: AfterAttempt::Done,
        },
    ]
}
