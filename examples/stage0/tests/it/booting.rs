use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant, SystemTime};

use crate::machine::{Machine, buildlet, text};
use crate::server::{Authority, Reply, Server, ok, status};

/// Of `buildlet("new")`.
fn sha256_of(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

const MODIFIED: &str = "Last-Modified: Sun, 09 Sep 2001 01:46:40 GMT\r\n";

fn has(headers: &[String], header: &str) -> bool {
    headers.iter().any(|line| line == header)
}

#[test]
fn a_new_machine_fetches_and_runs_the_buildlet() {
    let (machine, server) = (
        Machine::new(),
        Server::start([ok(MODIFIED, &buildlet("new"))]),
    );
    assert_eq!(
        machine.boots(&["--url", &server.url("/b"), "--", "-reverse-type=x", "y z"]),
        "new -reverse-type=x y z\n"
    );
    assert_eq!(machine.names(), ["buildlet.exe", "buildlet.exe.note"]);
    let meta = fs::metadata(machine.path("buildlet.exe")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o755);
    assert_eq!(
        meta.modified()
            .unwrap()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs(),
        1_000_000_000
    );
    assert_eq!((server.requests().len(), server.probes()), (1, 1));
}

#[test]
fn what_is_current_is_not_sent_again() {
    let machine = Machine::new();
    let server = Server::start([
        ok(&format!("{MODIFIED}ETag: \"1\"\r\n"), &buildlet("new")),
        status("304 Not Modified"),
    ]);
    let url = server.url("/b?first");
    assert_eq!(machine.boots(&["--url", &url]), "new\n");
    // The query is no part of what the file is.
    assert_eq!(machine.boots(&["--url", &server.url("/b?second")]), "new\n");
    let requests = server.requests();
    assert!(
        !requests[0]
            .headers
            .iter()
            .any(|line| line.starts_with("if-")),
        "{requests:?}"
    );
    assert!(
        has(&requests[1].headers, "if-none-match: \"1\""),
        "{requests:?}"
    );
    assert!(
        has(
            &requests[1].headers,
            "if-modified-since: sun, 09 sep 2001 01:46:40 gmt"
        ),
        "{requests:?}"
    );
    // Of another URL, it says nothing.
    server.then([ok("", &buildlet("other"))]);
    assert_eq!(machine.boots(&["--url", &server.url("/other")]), "other\n");
    assert!(
        !server.requests()[2]
            .headers
            .iter()
            .any(|line| line.starts_with("if-"))
    );
}

#[test]
fn a_file_of_the_same_size_and_time_is_current() {
    // As upstream's program leaves it, and with a server that knows no conditions: the body would be refused, if it were read.
    let machine = Machine::new();
    let old = buildlet("old");
    fs::write(machine.path("buildlet.exe"), &old).unwrap();
    fs::set_permissions(
        machine.path("buildlet.exe"),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    File::options()
        .write(true)
        .open(machine.path("buildlet.exe"))
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000))
        .unwrap();
    let head = |length: usize, date: &str| {
        Reply::Raw(
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{date}\r\n").into_bytes(),
        )
    };
    let server = Server::start([head(old.len(), MODIFIED)]);
    assert_eq!(machine.boots(&["--url", &server.url("/b")]), "old\n");
    assert_eq!(server.requests().len(), 1);
    // Another size or time is another file.
    for reply in [
        head(old.len() + 1, MODIFIED),
        head(
            old.len(),
            "Last-Modified: Sun, 09 Sep 2001 01:46:41 GMT\r\n",
        ),
    ] {
        let server = Server::start([reply, ok("", &buildlet("new"))]);
        assert_eq!(machine.boots(&["--url", &server.url("/b")]), "new\n");
        fs::write(machine.path("buildlet.exe"), &old).unwrap();
        fs::remove_file(machine.path("buildlet.exe.note")).unwrap();
    }
}

/// Everything that can be wrong with a download.
fn faults() -> Vec<(&'static str, Reply)> {
    let whole = buildlet("new");
    let raw = |head: &str, body: &[u8]| Reply::Raw([head.as_bytes(), body].concat());
    vec![
        (
            "500 Internal Server Error",
            status("500 Internal Server Error"),
        ),
        ("404 Not Found", status("404 Not Found")),
        ("304 Not Modified", status("304 Not Modified")),
        ("", raw("", b"")),
        ("", raw("rubbish\r\n\r\n", b"")),
        // Cut: told by the length, and by the missing last chunk.
        (
            "",
            raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", &whole),
        ),
        (
            "",
            raw(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1f\r\n",
                &whole,
            ),
        ),
        // Without a length, the end of the connection says nothing.
        (
            "does not say how long it is",
            raw("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", &whole),
        ),
        ("ended early", ok("", b"")),
        (
            "longer than 1048576 bytes",
            raw(
                "HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n",
                &[b'x'; 2_000_000],
            ),
        ),
        (
            "",
            raw(
                "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                b"",
            ),
        ),
    ]
}

#[test]
fn a_download_that_fails_leaves_nothing_behind() {
    for (message, fault) in faults() {
        let (machine, server) = (Machine::new(), Server::start([fault.clone()]));
        let said = machine.fails(&["--insecure", "--max-size", "1", "--url", &server.url("/b")]);
        assert!(
            said.contains("no buildlet to run") && said.contains(message),
            "{fault:?}: {said}"
        );
        assert!(
            machine.names().is_empty(),
            "{fault:?}: {:?}",
            machine.names()
        );
    }
}

#[test]
fn a_download_that_fails_leaves_the_last_good_buildlet() {
    let machine = Machine::new();
    let good = Server::start([ok("", &buildlet("old"))]);
    assert_eq!(machine.boots(&["--url", &good.url("/b")]), "old\n");
    // The 304 answers no condition of ours here, and yet does no harm.
    for (_, fault) in faults() {
        let server = Server::start([fault.clone()]);
        assert_eq!(
            machine.boots(&["--max-size", "1", "--url", &server.url("/b")]),
            "old\n",
            "{fault:?}"
        );
        assert_eq!(
            machine.names(),
            ["buildlet.exe", "buildlet.exe.note"],
            "{fault:?}"
        );
    }
}

#[test]
fn a_download_is_tried_again() {
    let (machine, server) = (
        Machine::new(),
        Server::start([
            status("503 Busy"),
            status("503 Busy"),
            ok("", &buildlet("new")),
        ]),
    );
    assert_eq!(machine.boots(&["--url", &server.url("/b")]), "new\n");
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_server_that_stalls_is_given_up() {
    let machine = Machine::new();
    let server = Server::start([Reply::Hang(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n#!/bin/sh\n".to_vec(),
    )]);
    let began = Instant::now();
    let said = machine.fails(&[
        "--insecure",
        "--download-limit",
        "300ms",
        "--url",
        &server.url("/b"),
    ]);
    assert!(
        said.contains("no buildlet to run") && began.elapsed() < Duration::from_secs(15),
        "{said}"
    );
    assert!(machine.names().is_empty());
}

#[test]
fn a_program_that_is_stopped_in_a_download_leaves_nothing_behind() {
    let machine = Machine::new();
    let server = Server::start([Reply::Hang(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n#!/bin/sh\n".to_vec(),
    )]);
    let mut running = machine.start(&[
        "--insecure",
        "--download-limit",
        "1s",
        "--url",
        &server.url("/b"),
    ]);
    server.wait_for(1);
    running.signal("TERM");
    assert_eq!(running.ends(), Some(0));
    assert!(!machine.path("buildlet.exe").exists());
}

#[test]
fn a_program_that_is_killed_in_a_download_leaves_the_old_buildlet() {
    let machine = Machine::new();
    let server = Server::start([ok("", &buildlet("old"))]);
    assert_eq!(machine.boots(&["--url", &server.url("/b")]), "old\n");
    server.then([Reply::Hang(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n#!/bin/sh\necho half".to_vec(),
    )]);
    let mut running = machine.start(&["--insecure", "--url", &server.url("/b")]);
    server.wait_for(2);
    running.signal("KILL");
    running.ends();
    server.then([status("500 Broken")]);
    assert_eq!(machine.boots(&["--url", &server.url("/b")]), "old\n");
}

#[test]
fn nothing_but_the_given_checksum_is_run() {
    let (right, wrong) = (buildlet("right"), buildlet("wrong"));
    let sum = sha256_of(&right);
    let machine = Machine::new();
    let server = Server::start([ok("", &wrong)]);
    let args = ["--url", &server.url("/b"), "--sha256", &sum];
    let said = machine.fails(&args);
    assert!(
        said.contains(&format!(
            "its SHA-256 is {}, and should be {sum}",
            sha256_of(&wrong)
        )),
        "{said}"
    );
    assert!(machine.names().is_empty());
    // Neither is what lies there, however it got there.
    fs::write(machine.path("buildlet.exe"), &wrong).unwrap();
    machine.fails(&args);
    // A reply without a length will do, as the checksum tells whether it is whole.
    server.then([Reply::Raw(
        [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", &right[..]].concat(),
    )]);
    assert_eq!(
        text(&machine.run(&[&["--once"], &args[..]].concat()).stdout),
        "right\n"
    );
    // And then no server is needed.
    let asked = server.requests().len();
    assert_eq!(
        text(&machine.run(&[&["--once"], &args[..]].concat()).stdout),
        "right\n"
    );
    assert_eq!(server.requests().len(), asked);
}

#[test]
fn the_checksum_may_lie_beside_the_buildlet() {
    let new = buildlet("new");
    let machine = Machine::new();
    let sum = |bytes: &[u8]| {
        ok(
            "",
            format!("{}  buildlet.linux-amd64\n", sha256_of(bytes)).as_bytes(),
        )
    };
    let server = Server::start([sum(&new), ok("", &new), sum(&new)]);
    let url = server.url("/b?x");
    assert_eq!(machine.boots(&["--sha256-file", "--url", &url]), "new\n");
    assert_eq!(machine.boots(&["--sha256-file", "--url", &url]), "new\n");
    let targets: Vec<String> = server
        .requests()
        .into_iter()
        .map(|request| request.target)
        .collect();
    assert_eq!(targets, ["/b.sha256?x", "/b?x", "/b.sha256?x"]);
    // One of something else, none at all, and one that is missing: the good one stays.
    for script in [
        vec![sum(b"else"), ok("", &buildlet("newer"))],
        vec![ok("", b"<html>")],
        vec![status("404 Not Found")],
    ] {
        let server = Server::start(script);
        assert_eq!(
            machine.boots(&["--sha256-file", "--url", &server.url("/b")]),
            "new\n"
        );
    }
}

#[test]
fn a_buildlet_that_rotted_is_fetched_again_and_never_run() {
    let machine = Machine::new();
    let server = Server::start([ok(&format!("{MODIFIED}ETag: \"1\"\r\n"), &buildlet("good"))]);
    let url = server.url("/b");
    machine.boots(&["--url", &url]);
    fs::write(machine.path("buildlet.exe"), buildlet("evil")).unwrap();
    let broken = Server::start([status("500 Broken")]);
    machine.fails(&["--insecure", "--url", &broken.url("/b")]);
    // It is not asked about either, as if it were what had been fetched.
    assert_eq!(machine.boots(&["--url", &url]), "good\n");
    assert!(
        !server.requests()[1]
            .headers
            .iter()
            .any(|line| line.starts_with("if-"))
    );
}

#[test]
fn plain_http_needs_a_checksum_or_a_word() {
    let (machine, server) = (Machine::new(), Server::start([ok("", &buildlet("new"))]));
    for args in [
        &["--url", &server.url("/b")][..],
        &["--sha256-file", "--url", &server.url("/b")],
    ] {
        let said = machine.fails(args);
        assert!(said.contains("nothing vouches for what"), "{said}");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn redirects_are_followed() {
    let machine = Machine::new();
    let target = Server::start([ok("", &buildlet("moved"))]);
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        target.url("/there")
    );
    let server = Server::start([Reply::Raw(redirect.into_bytes())]);
    assert_eq!(machine.boots(&["--url", &server.url("/b")]), "moved\n");
    assert_eq!(target.requests()[0].target, "/there");
}

#[test]
fn the_url_may_come_from_a_metadata_server() {
    let (machine, files) = (Machine::new(), Server::start([ok("", &buildlet("new"))]));
    let metadata = Server::start([ok(
        "",
        format!("{}\n", files.url("/from-metadata")).as_bytes(),
    )]);
    assert_eq!(
        machine.boots(&["--metadata", &metadata.url("/attributes/")]),
        "new\n"
    );
    let asked = &metadata.requests()[0];
    assert_eq!(asked.target, "/attributes/buildlet-binary-url");
    assert!(has(&asked.headers, "metadata-flavor: google"), "{asked:?}");
    assert_eq!(files.requests()[0].target, "/from-metadata");
    // If it has none, there is the bucket.
    metadata.then([status("404 Not Found")]);
    machine.boots(&[
        "--metadata",
        &metadata.url(""),
        "--bucket",
        &files.url("/bucket/"),
    ]);
    assert!(
        files.requests()[1]
            .target
            .starts_with("/bucket/buildlet.linux-"),
        "{:?}",
        files.requests()
    );
}

#[test]
fn the_network_is_waited_for() {
    let (machine, server) = (Machine::new(), Server::start([ok("", &buildlet("new"))]));
    // Hangs up on the first who asks, and answers the second, who comes a second later.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let probe = format!("http://{}/netcheck", listener.local_addr().unwrap());
    let url = server.url("/b");
    let running = machine.start(&["--probe-url", &probe, "--insecure", "--once", "--url", &url]);
    drop(listener.accept().unwrap());
    let (mut stream, _) = listener.accept().unwrap();
    assert!(server.requests().is_empty());
    std::io::Write::write_all(
        &mut stream,
        b"HTTP/1.1 500 Whatever\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    )
    .unwrap();
    assert_eq!(running.line(), "new");
    // Not for ever: the download finds out by itself.
    let nobody = "http://127.0.0.1:1/";
    assert_eq!(
        Machine::new().boots(&["--network-wait", "0", "--probe-url", nobody, "--url", &url]),
        "new\n"
    );
}

#[test]
fn servers_are_believed_if_an_authority_vouches_for_them() {
    let (machine, ca, other) = (Machine::new(), Authority::new(), Authority::new());
    let server = Server::start_tls(&ca, [ok("", &buildlet("new"))]);
    fs::write(machine.path("ca.pem"), ca.pem()).unwrap();
    fs::write(machine.path("other.pem"), other.pem()).unwrap();
    fs::write(machine.path("empty.pem"), "").unwrap();
    let url = server.url("/b");
    for args in [&["--ca", "other.pem"][..], &[]] {
        let said = machine.fails(&[&["--url", &url], args].concat());
        assert!(said.contains("certificate"), "{said}");
    }
    assert!(
        machine
            .fails(&["--url", &url, "--ca", "empty.pem"])
            .contains("has no certificate")
    );
    assert!(server.requests().is_empty());
    let output = machine.run(&["--once", "--url", &url, "--ca", "ca.pem"]);
    assert_eq!(text(&output.stdout), "new\n", "{}", text(&output.stderr));
    // From there, nobody is led back to where there is no vouching.
    let plain = Server::start([ok("", &buildlet("evil"))]);
    let location = plain.url("/b");
    server.then([Reply::Raw(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes())]);
    let empty = Machine::new();
    empty.fails(&[
        "--url",
        &url,
        "--ca",
        machine.path("ca.pem").to_str().unwrap(),
    ]);
    assert!(plain.requests().is_empty());
}
