//! What an operator asks of a coordinator that runs.

use std::fs;
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::running::{LIMIT, Project};
use crate::{stderr, stdout};

const CONFIG: &str = "[repo.site]\nclone_url = '.'\n[host.local]\npool = 'process'\nexpect_num = 1\n\
                      [builder.first]\nhost_type = 'local'\n[[builder.first.step]]\nrun = 'echo one'\n";

fn said(output: &Output, text: &str) {
    let all = stdout(output) + &stderr(output);
    assert!(all.contains(text), "{text:?} is not in {output:?}");
}

#[test]
fn tokens_machines_and_the_configuration_are_administered() {
    let project = Project::new("all:\n");
    let file = project.path().join("builders.toml");
    fs::write(&file, CONFIG).unwrap();
    let mut running = project.start(&[]);
    let line = running.until(" shows it");
    let (url, _) = line.split_once(" shows it").unwrap();
    let ask = |args: &[&str]| {
        let mut command = project.command(args);
        command.args(["--server", url]).output().unwrap()
    };

    // The configuration.
    said(&ask(&["reload"]), "what it said before");
    fs::write(
        &file,
        format!("{CONFIG}[builder.second]\nhost_type = 'nothing'\n"),
    )
    .unwrap();
    running.until("the configuration is not good");
    running.until("builders.toml:11:");
    let refused = ask(&["reload"]);
    assert_eq!(refused.status.code(), Some(1));
    said(&refused, "builders.toml:11:");
    fs::write(&file, CONFIG.replace("first", "third")).unwrap();
    running.signal("-HUP");
    running.until("the configuration has changed");
    let end = Instant::now() + LIMIT;
    while !ask(&["enqueue", "site", "main", "--builder", "third"])
        .status
        .success()
    {
        assert!(Instant::now() < end, "the new builder is not used");
        thread::sleep(Duration::from_millis(50));
    }

    // Tokens.
    let created = ask(&["token", "create", "--name", "laptop", "--expires", "90d"]);
    assert!(created.status.success(), "{created:?}");
    let token = stdout(&created);
    assert!(
        token.starts_with("bskt_") && token.lines().count() == 1,
        "{token}"
    );
    said(&created, "shown this once");
    let listed = ask(&["token", "list"]);
    said(&listed, "laptop");
    assert!(!stdout(&listed).contains(token.trim()), "{listed:?}");
    let kept = project.path().join("token");
    fs::write(&kept, &token).unwrap();
    let with_token = ["builds", "--token-file", kept.to_str().unwrap()];
    assert!(ask(&with_token).status.success());
    // It allows to change builds, and nothing more.
    let mut more = vec!["token", "list"];
    more.extend(&with_token[1..]);
    said(&ask(&more), "scope `admin`");
    said(&ask(&["token", "revoke", token.trim()]), "worth nothing");
    let refused = ask(&with_token);
    assert_eq!(refused.status.code(), Some(1));
    said(&refused, "not known");
    said(&ask(&["token", "list"]), "taken back");

    // Machines.
    let end = Instant::now() + LIMIT;
    let name = loop {
        let machines: Value = serde_json::from_slice(&ask(&["machines", "--json"]).stdout).unwrap();
        if let Some(name) = machines["machines"][0]["name"].as_str() {
            break name.to_owned();
        }
        assert!(Instant::now() < end, "no machine comes: {machines}");
        thread::sleep(Duration::from_millis(50));
    };
    said(&ask(&["machines", "drain", &name]), "gets nothing new");
    said(&ask(&["machines"]), "draining");
    said(&ask(&["machines", "undrain", &name]), "gets builds again");
    // A name is remembered that is not here yet.
    said(&ask(&["machines", "drain", "no/such"]), "is not here");
    said(&ask(&["machines"]), "no/such");
    said(&ask(&["machines", "undrain", "no/such"]), "when it comes");
    let unknown = ask(&["machines", "undrain", "no/such"]);
    assert_eq!(unknown.status.code(), Some(1));
    said(&unknown, "No machine \"no/such\" is here");
    running.signal("-INT");
    let (status, lines) = running.end();
    assert!(status.success(), "{lines:#?}");
}
