//! Commands that outlive their connection.

use std::path::Path;
use std::time::Duration;

use buildlet_proto::client::{
    self, AttachError, BuildletClient as _, CallError, ExecError, HttpClient, Running,
};
use buildlet_proto::server::Config;
use buildlet_proto::types::ext::{Extension, Resume, ResumeKey};
use buildlet_proto::types::{ExecRequest, ProcessState};
use tokio::time::timeout;

use super::{Buildlet, LIMIT, eventually, is_gone, write};

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(100);

fn key(number: u8) -> ResumeKey {
    ResumeKey::from_bytes([number; 24])
}

fn client(buildlet: &Buildlet) -> HttpClient {
    HttpClient::tcp(&buildlet.address.to_string(), client::Config::default()).unwrap()
}

fn command(script: &str, resume: Resume) -> ExecRequest {
    ExecRequest::new("sh")
        .args(["-c", script])
        .system_level(true)
        .resumable(resume)
}

async fn start(client: &HttpClient, script: &str, grace: Duration) -> Running {
    let resume = Resume::new(key(1), 0).grace(grace);
    client.start(command(script, resume)).await.unwrap()
}

/// Reads until there are so many bytes.
async fn read(running: &mut Running, len: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < len {
        let piece = timeout(LIMIT, running.next_output())
            .await
            .expect("in time");
        read.extend_from_slice(&piece.unwrap().expect("there is more"));
    }
    read
}

async fn rest(running: Running) -> (String, client::Outcome) {
    let (output, outcome) = timeout(LIMIT, running.collect(64 << 20))
        .await
        .expect("in time")
        .unwrap();
    (String::from_utf8(output.to_vec()).unwrap(), outcome)
}

/// A shell's wait for a file.
fn wait_for(path: &Path) -> String {
    format!("until [ -e {} ]; do sleep 0.01; done", path.display())
}

async fn alone(client: &HttpClient) {
    let empty = async {
        while !client.status().await.unwrap().kept().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, empty).await.expect("nothing is kept");
}

#[tokio::test]
async fn a_command_goes_on_without_its_connection_and_its_output_continues_where_it_stopped() {
    let buildlet = Buildlet::start(Config::default()).await;
    let go = buildlet.path("go");
    let script = format!("printf onetwo; {}; printf three; exit 7", wait_for(&go));
    let first = client(&buildlet);
    let mut running = start(&first, &script, HOUR).await;
    assert_eq!(read(&mut running, 6).await, b"onetwo");
    drop(running);
    drop(first);

    let second = client(&buildlet);
    let kept = second.status().await.unwrap().kept().to_vec();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].name, kept[0].part), (key(1).name(), 0));
    assert!(kept[0].running);
    let running = second.attach(&key(1), 0, 3).await.unwrap();
    write(&go, "", 0o644);
    let (output, outcome) = rest(running).await;
    assert_eq!(output, "twothree");
    assert_eq!(outcome.state, ProcessState::Exited(7));
    assert!(outcome.usage.is_some() && outcome.enforced.is_some());
}

#[tokio::test]
async fn an_end_that_nobody_heard_of_is_kept() {
    let buildlet = Buildlet::start(Config::default()).await;
    let go = buildlet.path("go");
    let script = format!("{}; printf late; exit 3", wait_for(&go));
    let client = client(&buildlet);
    drop(start(&client, &script, HOUR).await);
    write(&go, "", 0o644);
    let ended = async {
        while client.status().await.unwrap().kept()[0].running {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, ended).await.expect("it ends");
    // The reply may have been lost as well.
    for _ in 0..2 {
        let running = client.attach(&key(1), 0, 0).await.unwrap();
        let (output, outcome) = rest(running).await;
        assert_eq!(
            (output.as_str(), outcome.state),
            ("late", ProcessState::Exited(3))
        );
    }
    let next = client.start(command("printf next", Resume::new(key(1), 1)));
    assert_eq!(rest(next.await.unwrap()).await.0, "next");
    let old = client.attach(&key(1), 0, 0).await;
    assert!(
        matches!(old, Err(AttachError::Unknown)),
        "the next took its place"
    );
}

#[tokio::test]
async fn only_who_has_the_key_and_may_use_the_buildlet_comes_back() {
    let buildlet = Buildlet::start(Config::default().password("sekret")).await;
    let address = buildlet.address.to_string();
    let owner = HttpClient::tcp(&address, client::Config::default().password("sekret")).unwrap();
    let running = start(&owner, "sleep 1000", HOUR).await;

    let mut bytes = [1; 24];
    bytes[23] ^= 1;
    for (key, part) in [(ResumeKey::from_bytes(bytes), 0), (key(2), 0), (key(1), 1)] {
        let found = owner.attach(&key, part, 0).await;
        assert!(matches!(found, Err(AttachError::Unknown)), "{found:?}");
        if key != self::key(1) {
            let again = owner
                .start(command("true", Resume::new(key.clone(), 9)))
                .await;
            let taken = key.name() == self::key(1).name();
            assert_eq!(
                again.is_err(),
                taken,
                "a name is nobody else's while it is used"
            );
        }
    }
    for config in [
        client::Config::default(),
        client::Config::default().password("other"),
    ] {
        let neighbour = HttpClient::tcp(&address, config).unwrap();
        let found = neighbour.attach(&key(1), 0, 0).await.expect_err("no");
        let AttachError::Call(CallError::Refused { status, .. }) = found else {
            panic!("{found:?}");
        };
        assert_eq!(status, 403);
        assert!(neighbour.abandon(&[]).await.is_err());
    }
    assert!(running.outcome().is_none());
    drop(running);
    owner
        .attach(&key(1), 0, 0)
        .await
        .expect("it is still there");
}

#[tokio::test]
async fn what_nobody_claims_is_killed_with_all_that_it_started() {
    // The client's wish, and the buildlet's own limit.
    for (config, grace) in [
        (Config::default(), SOON),
        (Config::default().kept_limit(SOON), HOUR),
    ] {
        let buildlet = Buildlet::start(config).await;
        let client = client(&buildlet);
        let script = "sleep 1000 & echo $!; echo $$; wait";
        let mut running = start(&client, script, grace).await;
        let mut pids = String::new();
        while pids.lines().count() < 2 || !pids.ends_with('\n') {
            pids += str::from_utf8(&read(&mut running, 1).await).unwrap();
        }
        drop(running);
        eventually("the tree is gone", || pids.lines().all(is_gone)).await;
        alone(&client).await;
        let late = client.attach(&key(1), 0, 0).await;
        assert!(matches!(late, Err(AttachError::Unknown)));
    }
}

#[tokio::test]
async fn while_somebody_reads_no_time_runs() {
    let buildlet = Buildlet::start(Config::default().kept_limit(Duration::from_millis(50))).await;
    let client = client(&buildlet);
    let running = start(&client, "sleep 0.5; printf done", HOUR).await;
    assert_eq!(rest(running).await.0, "done");
}

#[tokio::test]
async fn the_command_waits_when_its_buffer_is_full_and_no_byte_is_lost() {
    // More than the system's sockets take: what is on its way is lost with a connection.
    const KEPT: usize = 16 << 20;
    const LINES: usize = 6_000_000;
    let buildlet = Buildlet::start(Config::default().kept_bytes(KEPT)).await;
    let written = buildlet.path("written");
    let script = format!("seq 1 {LINES}; : > {}", written.display());
    let expected: String = (1..=LINES).map(|i| format!("{i}\n")).collect();
    assert!(expected.len() > 2 * KEPT);
    let client = client(&buildlet);
    let mut running = start(&client, &script, HOUR).await;
    let mut output = read(&mut running, 10).await;
    drop(running);
    // Pipe, queue and buffer have less than the command writes.
    let kept = async {
        loop {
            let kept = client.status().await.unwrap().kept().to_vec();
            tokio::time::sleep(Duration::from_millis(20)).await;
            if kept == client.status().await.unwrap().kept() {
                return kept;
            }
        }
    };
    assert!(timeout(LIMIT, kept).await.expect("in time")[0].running);
    assert!(!written.exists(), "it cannot have written everything");

    // Connections fail again and again.
    let mut rounds = 0;
    loop {
        let mut running = client
            .attach(&key(1), 0, output.len() as u64)
            .await
            .unwrap();
        let more = read(&mut running, 1).await;
        output.extend_from_slice(&more);
        rounds += 1;
        if rounds == 5 {
            output.extend_from_slice(rest(running).await.0.as_bytes());
            break;
        }
    }
    assert!(output == expected.as_bytes(), "{} bytes", output.len());

    let gone = client.attach(&key(1), 0, 0).await;
    assert!(
        matches!(gone, Err(AttachError::OutputGone { offset: 0 })),
        "{gone:?}"
    );
    let beyond = client.attach(&key(1), 0, 1 << 40).await.expect_err("no");
    let AttachError::Call(CallError::Refused { status, .. }) = beyond else {
        panic!("{beyond:?}");
    };
    assert_eq!(status, 416);
}

#[tokio::test]
async fn who_comes_back_takes_over() {
    let buildlet = Buildlet::start(Config::default()).await;
    let go = buildlet.path("go");
    let script = format!("printf a; {}; printf b", wait_for(&go));
    let client = client(&buildlet);
    let mut first = start(&client, &script, HOUR).await;
    assert_eq!(read(&mut first, 1).await, b"a");
    let second = client.attach(&key(1), 0, 0).await.unwrap();
    let cut = timeout(LIMIT, first.next_output()).await.expect("at once");
    assert!(matches!(cut, Err(ExecError::Cut(_))), "{cut:?}");
    write(&go, "", 0o644);
    assert_eq!(rest(second).await.0, "ab");
}

#[tokio::test]
async fn one_key_runs_one_command_at_a_time() {
    let buildlet = Buildlet::start(Config::default()).await;
    let client = client(&buildlet);
    let running = start(&client, "sleep 1000", HOUR).await;
    for part in [0, 1] {
        let second = client
            .start(command("true", Resume::new(key(1), part)))
            .await;
        let Err(ExecError::Start(CallError::Refused { status, .. })) = second else {
            panic!("part {part} runs beside it");
        };
        assert_eq!(status, 409);
    }
    drop(running);
    client.abandon(&[key(2).name()]).await.unwrap();
    assert_eq!(
        client.status().await.unwrap().kept().len(),
        1,
        "another's name"
    );
    client.abandon(&[key(1).name()]).await.unwrap();
    alone(&client).await;
}

#[tokio::test]
async fn who_abandons_commands_waits_until_they_are_dead() {
    let buildlet = Buildlet::start(Config::default()).await;
    let client = client(&buildlet);
    let mut pids = Vec::new();
    let mut others = Vec::new();
    for number in 1..=3 {
        let resume = Resume::new(key(number), 0).grace(HOUR);
        let script = "echo $$; exec sleep 1000";
        let mut running = client.start(command(script, resume)).await.unwrap();
        let pid = read(&mut running, 2).await;
        pids.push(String::from_utf8(pid).unwrap());
        others.push(running);
    }
    drop(others.split_off(1));
    client.abandon(&[]).await.unwrap();
    assert!(
        pids.iter().all(|pid| is_gone(pid)),
        "also where somebody reads"
    );
    let cut = timeout(LIMIT, others.remove(0).wait())
        .await
        .expect("at once");
    assert!(matches!(cut, Err(ExecError::Cut(_))), "{cut:?}");
    alone(&client).await;
}

#[tokio::test]
async fn only_so_many_commands_are_kept_and_ended_ones_make_place() {
    let buildlet = Buildlet::start(Config::default().max_kept(2)).await;
    let client = client(&buildlet);
    let resume = |number| Resume::new(key(number), 0);
    let _first = client
        .start(command("sleep 1000", resume(1)))
        .await
        .unwrap();
    let second = client.start(command("printf x", resume(2))).await.unwrap();
    assert_eq!(rest(second).await.0, "x");
    // Its reply is read; it may take a moment until the buildlet knows.
    let third = async {
        loop {
            match client.start(command("sleep 1000", resume(3))).await {
                Ok(running) => return running,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let _third = timeout(LIMIT, third).await.expect("there is place");
    let gone = client.attach(&key(2), 0, 0).await;
    assert!(matches!(gone, Err(AttachError::Unknown)));
    let fourth = client.start(command("true", resume(4))).await;
    let Err(ExecError::Start(CallError::Refused { status, .. })) = fourth else {
        panic!("it is kept");
    };
    assert_eq!(status, 503);
}

#[tokio::test]
async fn a_buildlet_that_keeps_nothing_does_not_offer_it() {
    let buildlet = Buildlet::start(Config::default().max_kept(0)).await;
    let client = client(&buildlet);
    assert!(!client.supports(Extension::Resume).await.unwrap());
    let started = client.start(command("true", Resume::new(key(1), 0))).await;
    let Err(ExecError::Start(CallError::Unsupported(Extension::Resume))) = started else {
        panic!("it would end with its connection, and nobody would know");
    };
    let attached = client.attach(&key(1), 0, 0).await;
    assert!(matches!(
        attached,
        Err(AttachError::Call(CallError::Unsupported(_)))
    ));
    for request in ["/attach", "/abandon"] {
        let reply = buildlet.ask(super::post(request, "")).await;
        assert_eq!(reply.status(), 404);
    }
}

#[tokio::test]
async fn requests_that_make_no_sense_are_told_so() {
    let buildlet = Buildlet::start(Config::default()).await;
    let good = key(1).to_text();
    for (target, form) in [
        ("/attach", String::new()),
        ("/attach", "resume=x".into()),
        ("/attach", format!("resume={good}&part=-1")),
        ("/attach", format!("resume={good}&offset=1e3")),
        ("/abandon", "name=zz".into()),
        ("/exec", format!("cmd=true&mode=sys&resume={good}x")),
        (
            "/exec",
            format!("cmd=true&mode=sys&resume={good}&grace=2min"),
        ),
    ] {
        let reply = buildlet.ask(super::post(target, &form)).await;
        assert_eq!(reply.status(), 400, "{target} {form}: {}", reply.text());
        assert!(reply.text().contains("parameter"), "{}", reply.text());
    }
    let reply = buildlet
        .ask(super::post("/attach", &format!("resume={good}")))
        .await;
    assert_eq!(reply.status(), 404);
}
