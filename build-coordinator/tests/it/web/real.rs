//! The pages and the API of a coordinator that builds.

use std::sync::Arc;

use build_coordinator::api::{Build, Builds, Enqueued, LogTimes, Machines, Queue, State};
use build_coordinator::model::{Scope, Timestamp};
use build_coordinator::web::SiteConfig;
use serde::de::DeserializeOwned;

use super::client::{Reply, Running, read_until, serve, serve_with};
use crate::coordinator::support::{DEADLINE, FakePool, Place, builder, gate, open_gate, pid};

fn read<T: DeserializeOwned>(reply: &Reply) -> T {
    assert!(reply.status < 300, "{}: {}", reply.status, reply.text());
    serde_json::from_slice(&reply.body).unwrap()
}

async fn when(server: &Running, id: u64, is_so: impl Fn(&Build) -> bool) -> Build {
    let looking = async {
        loop {
            let build: Build = read(&server.get(&format!("/api/v1/builds/{id}")).await);
            if is_so(&build) {
                return build;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, looking)
        .await
        .expect("it happens")
}

#[tokio::test]
async fn a_build_is_seen_from_its_first_line_to_its_stored_log() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(&builder(
        "test",
        "",
        &format!("echo begun; {}", gate(folder.path())),
    ));
    let pool = FakePool::new(1);
    let system = place.start(&pool).await;
    let server = serve(Arc::new(system.coordinator.clone())).await;
    pid(&pool, 0).await;

    let running: Builds = read(&server.get("/api/v1/builds?state=running").await);
    let [build] = running.builds.as_slice() else {
        panic!("{running:?}")
    };
    assert_eq!(
        (build.repository.as_str(), build.builder.as_str()),
        ("site", "test")
    );
    assert_eq!(build.subject.as_deref(), Some("version 1"));
    let id = build.id;
    let mut seen = String::new();
    let mut events = server
        .open(&format!("/builds/{id}/events?attempt=1"), &[])
        .await;
    read_until(&mut events, &mut seen, "begun</span>").await;
    assert!(!seen.contains("event: end"));
    let page = server.get(&format!("/builds/{id}")).await;
    assert!(page.text().contains("running") && page.text().contains("data-events="));
    let rev = &build.revision;
    let live = server
        .get(&format!(
            "/temporarylogs?name=test&rev={rev}&st={id}.1&nostream=1"
        ))
        .await;
    assert!(
        live.text().contains("   status: still running\n") && live.text().contains("begun\n"),
        "{}",
        live.text()
    );

    open_gate(folder.path());
    read_until(&mut events, &mut seen, "event: end\n").await;
    let done = when(&server, id, |build| {
        build.state == State::Succeeded && build.attempts[0].log_bytes.is_some()
    })
    .await;
    let attempt = &done.attempts[0];
    assert_eq!(
        (attempt.state, attempt.machine.as_deref()),
        (State::Succeeded, Some("m1"))
    );
    assert!(attempt.spans.iter().any(|span| span.name == "write_source"));
    let path = format!("/api/v1/builds/{id}/attempts/1/log");
    let log = server.get(&path).await;
    assert!(log.text().ends_with("begun\n1"), "{}", log.text());
    assert_eq!(log.body.len() as u64, attempt.log_bytes.unwrap());
    let last = server.get_with(&path, &[("Range", "bytes=-1")]).await;
    assert_eq!((last.status, last.text()), (206, "1"));
    let times: LogTimes = read(&server.get(&format!("{path}/times")).await);
    assert!(!times.marks.is_empty() && times.marks[0].time >= attempt.started);
    let page = server.get(&format!("/builds/{id}")).await;
    assert!(
        page.text().contains("<time"),
        "lines have times still: {}",
        page.text()
    );
    assert!(page.text().contains("begun</span>") && !page.text().contains("data-events="));

    let dashboard = server.get("/dashboard").await;
    assert!(
        dashboard
            .text()
            .contains(&format!("class=\"cell ok\" href=\"/builds/{id}\"")),
        "{}",
        dashboard.text()
    );
    assert!(dashboard.text().contains("version 1"));
    let status = server
        .get("/dashboard?repo=site&branch=main&mode=json")
        .await
        .json();
    assert_eq!(
        (
            &status["builders"][0],
            &status["revisions"][0]["results"][0]
        ),
        (&"test".into(), &"ok".into())
    );
    for path in [
        "/",
        "/builds",
        "/queue",
        "/machines",
        "/builders",
        "/metrics",
        "/healthz",
        "/status/store",
        "/status/reverse.json",
    ] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    assert!(server.get("/builders?mode=json").await.json()["Builders"]["test"].is_object());
    let metrics = server.get("/metrics").await;
    assert!(
        metrics
            .text()
            .contains("build_coordinator_builds_total{result=\"succeeded\"} 1"),
        "{}",
        metrics.text()
    );
    system.coordinator.drain().await;
    // What is over is still shown by nobody else; that the store is closed is told.
    assert_eq!(server.get("/healthz").await.status, 503);
}

#[tokio::test]
async fn builds_are_asked_for_explained_cancelled_and_retried() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(&builder("test", "", &gate(folder.path())));
    let pool = FakePool::new(1);
    let system = place.start(&pool).await;
    let server = serve(Arc::new(system.coordinator.clone())).await;
    pid(&pool, 0).await;
    let revision = place.commit("2");
    let json = [("Content-Type", "application/json")];
    let what = format!(r#"{{"repository": "site", "revision": "{revision}"}}"#);
    let added: Enqueued = read(&server.send("POST", "/api/v1/builds", &json, &what).await);
    let [id] = added.builds.as_slice() else {
        panic!("{added:?}")
    };

    // Whoever looked for work may have been faster: then the build is in the store a moment before it is in the queue.
    let queued = async {
        loop {
            let queue: Queue = read(&server.get("/api/v1/queue").await);
            if !queue.items.is_empty() {
                return queue;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let queue = tokio::time::timeout(DEADLINE, queued)
        .await
        .expect("it waits");
    let [item] = queue.items.as_slice() else {
        panic!("{queue:?}")
    };
    assert_eq!((item.build, queue.total, item.position), (*id, 1, 1));
    assert!(item.reason.contains("busy"), "{}", item.reason);
    assert!(
        server
            .get(&format!("/builds/{id}"))
            .await
            .text()
            .contains(&item.reason)
    );
    let machines: Machines = read(&server.get("/api/v1/machines").await);
    assert_eq!(
        machines
            .pools
            .iter()
            .map(|pool| pool.waiting)
            .sum::<usize>(),
        1
    );

    let cancelled = server
        .send("POST", &format!("/api/v1/builds/{id}/cancel"), &[], "")
        .await;
    assert_eq!(cancelled.status, 202);
    when(&server, *id, |build| build.state == State::Cancelled).await;
    let again = server
        .send("POST", &format!("/api/v1/builds/{id}/cancel"), &[], "")
        .await;
    assert_eq!(
        (again.status, again.json()["error"]["code"].as_str()),
        (409, Some("conflict"))
    );
    open_gate(folder.path());
    let csrf = server.get(&format!("/builds/{id}")).await.csrf();
    assert_eq!(
        server
            .post(&format!("/builds/{id}/retry"), &[], &format!("csrf={csrf}"))
            .await
            .status,
        303
    );
    when(&server, *id, |build| build.state == State::Succeeded).await;

    for (body, status) in [
        (r#"{"repository": "none", "revision": "main"}"#, 404),
        (
            r#"{"repository": "site", "revision": "--upload-pack=false"}"#,
            404,
        ),
        (
            r#"{"repository": "site", "revision": "main", "builder": "none"}"#,
            404,
        ),
    ] {
        assert_eq!(
            server
                .send("POST", "/api/v1/builds", &json, body)
                .await
                .status,
            status,
            "{body}"
        );
    }
    assert_eq!(server.get("/builds/99").await.status, 404);
    assert_eq!(server.get("/dashboard?repo=none").await.status, 404);
    system.coordinator.stop().await;
}

#[tokio::test]
async fn tokens_of_the_store_open_the_door() {
    let place = Place::new(&builder("test", "", "true"));
    let system = place.start(&FakePool::new(1)).await;
    let config = SiteConfig::default().trust_loopback(false);
    let server = serve_with(Arc::new(system.coordinator.clone()), config).await;
    let id = system.done(1).await[0].build.id.0;
    let store = system.coordinator.store();
    let (token, text) = store
        .create_token(Timestamp::now(), "alice", Scope::Change, None)
        .await
        .unwrap();
    let bearer = format!("Bearer {}", text.expose());
    let path = format!("/api/v1/builds/{id}/retry");
    assert_eq!(server.post(&path, &[], "").await.status, 401);
    assert_eq!(
        server
            .post(&path, &[("Authorization", &bearer)], "")
            .await
            .status,
        202
    );
    store
        .revoke_token(Timestamp::now(), &token.id)
        .await
        .unwrap();
    assert_eq!(
        server
            .post(&path, &[("Authorization", &bearer)], "")
            .await
            .status,
        401
    );
    system.coordinator.stop().await;
}
