use std::fs;

use crate::machine::{Machine, text};
use crate::server::{Server, ok, status};

fn script(body: &str) -> Vec<u8> {
    format!("#!/bin/sh\n{body}\n").into_bytes()
}

#[test]
fn the_buildlet_is_run_again_and_again_and_each_time_the_newest() {
    let machine = Machine::new();
    let server = Server::start([
        ok("", &script("echo one")),
        ok("", &script("echo two; exit 1")),
        ok("", &script("echo three; kill -9 $$")),
    ]);
    let mut running = machine.start(&["--insecure", "--url", &server.url("/b")]);
    let lines: Vec<String> = (0..5).map(|_| running.line()).collect();
    assert_eq!(lines, ["one", "two", "three", "three", "three"]);
    running.signal("TERM");
    running.ends();
}

#[test]
fn pauses_grow_while_the_buildlet_soon_ends() {
    let (machine, server) = (
        Machine::new(),
        Server::start([ok("ETag: \"1\"\r\n", &script("date +%s%N"))]),
    );
    let mut running = machine.start(&[
        "--insecure",
        "--pause",
        "200ms",
        "--max-pause",
        "800ms",
        "--url",
        &server.url("/b"),
    ]);
    let times: Vec<u64> = (0..4)
        .map(|_| running.line().parse::<u64>().unwrap() / 1_000_000)
        .collect();
    // At least half of 200, 400 and 800 ms.
    let pauses: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        pauses[0] >= 100 && pauses[1] >= 200 && pauses[2] >= 400,
        "{pauses:?}"
    );
    // In the pause there is nothing to wait for, unless the script has not quite ended.
    running.signal("INT");
    assert!(matches!(running.ends(), Some(0 | 130)));
}

#[test]
fn signals_are_passed_on() {
    let body = "trap 'echo hup' HUP; trap 'echo usr1' USR1; trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.02; done";
    let (machine, server) = (Machine::new(), Server::start([ok("", &script(body))]));
    let mut running = machine.start(&["--insecure", "--url", &server.url("/b")]);
    assert_eq!(running.line(), "ready");
    for (signal, line) in [("HUP", "hup"), ("USR1", "usr1"), ("TERM", "term")] {
        running.signal(signal);
        assert_eq!(running.line(), line);
    }
    assert_eq!(running.ends(), Some(3));
}

#[test]
fn a_buildlet_that_does_not_end_is_killed_with_what_it_started() {
    let body = "trap '' TERM INT; sleep 1000 & echo $!; while :; do sleep 0.02; done";
    let (machine, server) = (Machine::new(), Server::start([ok("", &script(body))]));
    let mut running = machine.start(&[
        "--insecure",
        "--stop-limit",
        "0",
        "--url",
        &server.url("/b"),
    ]);
    let pid = running.line();
    running.signal("TERM");
    assert_eq!(running.ends(), Some(128 + 9));
    let dead = || {
        fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
    };
    let deadline = std::time::Instant::now() + crate::server::LIMIT;
    while !dead() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn once_exits_as_the_buildlet_does() {
    for (body, code) in [("exit 7", 7), ("kill -TERM $$", 128 + 15), ("exit 0", 0)] {
        let (machine, server) = (Machine::new(), Server::start([ok("", &script(body))]));
        let output = machine.run(&["--once", "--insecure", "--url", &server.url("/b")]);
        assert_eq!(output.status.code(), Some(code), "{body}");
    }
}

#[test]
fn what_cannot_be_run_is_an_error_and_not_the_end() {
    let (machine, server) = (
        Machine::new(),
        Server::start([
            ok("", b"#!/nonexistent/interpreter\n"),
            ok("", b"#!/nonexistent/interpreter\n"),
            ok("", &script("echo new")),
        ]),
    );
    let said = machine.fails(&["--insecure", "--url", &server.url("/b")]);
    assert!(said.contains("cannot run"), "{said}");
    let running = machine.start(&["--insecure", "--url", &server.url("/b")]);
    assert_eq!(running.line(), "new");
}

#[test]
fn the_buildlet_is_told_how_long_it_took() {
    let (machine, server) = (
        Machine::new(),
        Server::start([ok(
            "",
            &script("echo $GO_STAGE0_NET_DELAY $GO_STAGE0_DL_DELAY $HOME $USER"),
        )]),
    );
    let mut command = machine.command(&["--once", "--insecure", "--url", &server.url("/b")]);
    let output = command
        .env_remove("HOME")
        .env_remove("USER")
        .output()
        .unwrap();
    let said = text(&output.stdout);
    let mut words = said.split_whitespace();
    for _ in 0..2 {
        let delay = words.next().unwrap().strip_suffix("ms").unwrap();
        assert!(delay.parse::<u64>().unwrap() < 20_000);
    }
    let root = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0;
    assert_eq!(
        words.collect::<Vec<_>>(),
        if root {
            vec!["/root", "root"]
        } else {
            Vec::new()
        }
    );
}

#[test]
fn arguments_may_come_from_a_table() {
    let (machine, server) = (
        Machine::new(),
        Server::start([ok("", &script("echo \"$@\""))]),
    );
    fs::write(machine.path("hosts.toml"), "[[host]]\nname = \"host-x\"\nargs = [\"--hostname=$GO_BUILDER_ENV\", \"--reverse-type=host-x\"]\n").unwrap();
    let url = server.url("/b");
    let args = ["--hosts", "hosts.toml", "--url", &url];
    assert_eq!(
        machine.boots(&[&["--host", "host-x"], &args[..]].concat()),
        "--hostname=host-x --reverse-type=host-x\n"
    );
    let said = machine.fails(&[&["--insecure", "--host", "host-y"], &args[..]].concat());
    assert!(said.contains("no row is for the host host-y"), "{said}");
}

#[test]
fn a_command_line_without_sense_exits_with_2() {
    let machine = Machine::new();
    for args in [
        &[][..],
        &["--url"],
        &["--url", "u", "--sha256", "xyz"],
        &["--untar-file", "f"],
        &["--url", "u", "--pause", "long"],
        &["--nope"],
    ] {
        assert_eq!(machine.run(args).status.code(), Some(2), "{args:?}");
    }
    let help = machine.run(&["--help"]);
    assert!(help.status.success() && text(&help.stdout).contains("Examples:"));
}

#[test]
fn upstreams_single_dashes_work() {
    let (machine, server) = (Machine::new(), Server::start([status("500 Broken")]));
    let said = machine.fails(&[
        "-insecure",
        "-network-wait=1s",
        &format!("-url={}", server.url("/b")),
    ]);
    assert!(said.contains("500"), "{said}");
}
