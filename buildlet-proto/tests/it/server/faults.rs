//! Clients that go away, disks that are full, and many requests.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use buildlet_proto::server::Config;
use tokio::time::Instant;

use super::{Buildlet, eventually, get, is_gone, post, put, shell, write};

async fn idle(buildlet: &Buildlet) {
    for _ in 0..1000 {
        let reply = buildlet.ask(get("/debug/goroutines")).await;
        if reply.text().starts_with("0 commands,") && reply.text().ends_with(" 0 file operations\n")
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("something never ends");
}

#[tokio::test]
async fn a_client_that_hangs_up_kills_all_that_its_command_started() {
    let buildlet = Buildlet::start(Config::default()).await;
    let mut took = Vec::new();
    // A busy machine may keep all of this waiting, but hardly each time.
    while took.len() < 5 && took.iter().all(|took| *took > Duration::from_secs(1)) {
        took.push(hang_up(&buildlet).await);
    }
    assert!(took.last() < Some(&Duration::from_secs(1)), "{took:?}");
}

/// Hangs up on a command, and returns how long it took until nothing was left of it.
async fn hang_up(buildlet: &Buildlet) -> Duration {
    let mut connection = buildlet.connect().await;
    // Upstream kills the second alone (golang/go 29319, 15778).
    connection
        .send(shell("sleep 30 & echo $!; echo $$; exec sleep 31"))
        .await;
    connection.head().await;
    let mut pids = Vec::new();
    while pids.len() < 2 {
        let chunk = String::from_utf8(connection.chunk().await).unwrap();
        pids.extend(chunk.lines().map(str::to_owned));
    }
    assert!(!pids.iter().any(|pid| is_gone(pid)));
    let began = Instant::now();
    drop(connection);
    eventually("both are gone", || pids.iter().all(|pid| is_gone(pid))).await;
    idle(buildlet).await;
    began.elapsed()
}

#[tokio::test]
async fn a_client_that_vanishes_in_an_upload_leaves_nothing_running() {
    let buildlet = Buildlet::start(Config::default()).await;
    for target in ["/write?mode=420&path=f", "/writetgz", "/exec", "/removeall"] {
        let method = if target.starts_with("/w") {
            "PUT"
        } else {
            "POST"
        };
        let mut connection = buildlet.connect().await;
        connection
            .send(format!(
                "{method} {target} HTTP/1.1\r\nHost: \r\nContent-Length: 1000\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\n\r\npath=a"
            ))
            .await;
        drop(connection);
        idle(&buildlet).await;
    }
}

#[tokio::test]
async fn a_client_that_vanishes_in_a_download_leaves_nothing_running() {
    let buildlet = Buildlet::start(Config::default()).await;
    let noise: Vec<u8> = (0..8_u32 << 20)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for n in 0..4 {
        write(buildlet.path(&format!("d/{n}")), &noise, 0o644);
    }
    let request = get("/tgz?dir=d").replacen("\r\n", "\r\nX-Buildlet-Accept: tar\r\n", 1);
    let mut connection = buildlet.connect().await;
    connection.send(request).await;
    connection.head().await;
    drop(connection);
    idle(&buildlet).await;
}

#[tokio::test]
async fn an_archive_that_cannot_be_finished_is_cut_off() {
    let buildlet = Buildlet::start(Config::default()).await;
    write(buildlet.path("d/a"), vec![b'x'; 4 << 20], 0o644);
    // Deeper than a walk goes, and found only after the file was sent.
    let deep = "z/".repeat(2000);
    let mut dir = std::fs::File::open(buildlet.path("d")).unwrap();
    for name in deep.split_terminator('/') {
        use rustix::fs::{Mode, OFlags, mkdirat, openat};
        mkdirat(&dir, name, Mode::RWXU).unwrap();
        dir = openat(&dir, name, OFlags::DIRECTORY, Mode::empty())
            .unwrap()
            .into();
    }
    let request = get("/tgz?dir=d").replacen("\r\n", "\r\nX-Buildlet-Accept: tar\r\n", 1);
    let mut connection = buildlet.connect().await;
    connection.send(request).await;
    assert_eq!(connection.head().await.0, "HTTP/1.1 200 OK");
    let rest = connection.end().await;
    assert!(rest.len() > 4 << 20);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it looks complete");
}

/// Runs one of the tests below, which are ignored otherwise, in a process of its own.
fn alone(mut command: Command, test: &str) -> bool {
    let output = command
        .args([
            "--exact",
            &format!("server::faults::{test}"),
            "--ignored",
            "--nocapture",
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if !said.contains("running 1 test") {
        return false; // The launcher failed.
    }
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    true
}

fn this_program() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

#[test]
fn many_short_requests_leave_nothing_behind() {
    let mut program = this_program();
    // Which thread takes which arena of the allocator is chance, and each grows by itself.
    program.env("MALLOC_ARENA_MAX", "1");
    assert!(alone(program, "requests_in_a_row"));
}

#[tokio::test]
#[ignore = "counts the descriptors of its process: run by many_short_requests_leave_nothing_behind"]
async fn requests_in_a_row() {
    let rounds = std::env::var("SOAK_REQUESTS").map_or(1500, |count| count.parse().unwrap());
    let buildlet = Buildlet::start(Config::default()).await;
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let resident = || -> u64 {
        let status = fs::read_to_string("/proc/self/statm").unwrap();
        status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
    };
    let mut kept = buildlet.connect().await;
    let mut thirds = Vec::new();
    for round in 0..rounds {
        // As a Go coordinator: some on new connections, some on one that is kept.
        let request: Vec<u8> = match round % 8 {
            0 => put("/write?mode=420&path=f", b"x"),
            1 => get("/ls").into(),
            2 => get("/tgz?dir=.").into(),
            3 => post("/removeall", "path=f").into(),
            4 if round % 64 == 4 => shell("true").into(),
            5 => put("/writetgz", b"no archive"),
            6 => get("/nothing").into(),
            _ => get("/status").into(),
        };
        if round % 2 == 0 {
            assert!(buildlet.ask(request).await.status() < 500);
        } else {
            kept.send(request).await;
            assert!(kept.reply().await.status() < 500);
        }
        if round == rounds / 3 || round == rounds * 2 / 3 {
            thirds.push((descriptors(), resident()));
        }
    }
    idle(&buildlet).await;
    thirds.push((descriptors(), resident()));
    let all = format!("descriptors and KiB resident after each third: {thirds:?}");
    assert!(thirds[2].0 <= thirds[0].0 + 2, "{all}");
    // Caches may still be filled once; a leak goes on. One of 4 KiB a request shows, of 1 KiB when there are more requests.
    let grows = |from: u64, to: u64| to > from + 1024 + rounds / 3;
    assert!(
        !(grows(thirds[0].1, thirds[1].1) && grows(thirds[1].1, thirds[2].1)),
        "{all}"
    );
}

#[test]
fn a_full_disk_is_told_and_survived() {
    let dir = tempfile::tempdir().unwrap();
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg("mount -t tmpfs -o size=1m tmpfs \"$TMPDIR\" && exec \"$@\"")
        .arg("sh")
        .arg(std::env::current_exe().unwrap())
        .env("TMPDIR", dir.path());
    if !alone(unshare, "uploads_to_a_small_disk") {
        eprintln!("SKIPPED: this system does not let us mount a small file system");
    }
}

#[tokio::test]
#[ignore = "needs a small file system: run by a_full_disk_is_told_and_survived"]
async fn uploads_to_a_small_disk() {
    let buildlet = Buildlet::start(Config::default()).await;
    let content = vec![b'x'; 4 << 20];
    let reply = buildlet.ask(put("/write?mode=420&path=f", &content)).await;
    let path = buildlet.path("f");
    let expected = format!("write {}: no space left on device\n", path.display());
    assert_eq!((reply.status(), reply.text()), (507, expected.as_str()));
    assert_eq!(
        buildlet.ask(post("/removeall", "path=f")).await.status(),
        200
    );

    let mut header = tar::Header::new_ustar();
    header.set_path("a").unwrap();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    let mut archive = tar::Builder::new(gz);
    archive.append(&header, &content[..]).unwrap();
    let archive = archive.into_inner().unwrap().finish().unwrap();
    let reply = buildlet.ask(put("/writetgz", &archive)).await;
    assert_eq!(reply.status(), 507, "{reply:?}");
    assert!(
        reply.text().contains("no space left on device"),
        "{reply:?}"
    );
    assert_eq!(
        buildlet.ask(post("/removeall", "path=a")).await.status(),
        200
    );
    assert_eq!(
        buildlet
            .ask(put("/write?mode=420&path=f", b"x"))
            .await
            .text(),
        "OK"
    );
}
