//! What pages say.

use build_coordinator::api::State;

use super::client::serve;
use super::memory::{REVISION, busy};

#[tokio::test]
async fn the_status_page_names_what_runs_waits_and_fails() {
    let server = serve(busy()).await;
    let text = server.get("/").await.text().to_owned();
    for part in [
        "/builds/5001",
        "host-darwin-arm64",
        "0 connected; want 1",
        "no machine of type host-darwin-arm64 is connected",
    ] {
        assert!(text.contains(part), "{part}");
    }
    for section in ["active", "completed", "pools", "pending", "health"] {
        assert!(text.contains(&format!("id=\"{section}\"")), "{section}");
    }
}

#[tokio::test]
async fn the_dashboard_has_a_cell_for_each_build_and_goes_back_in_time() {
    let memory = busy();
    let server = serve(memory.clone()).await;
    let text = server.get("/dashboard?rows=10").await.text().to_owned();
    let cells: usize = memory.known.lock().unwrap().grid.rows[..10]
        .iter()
        .map(|row| row.cells.iter().flatten().count())
        .sum();
    assert_eq!(text.matches("class=\"cell ").count(), cells);
    assert!(
        text.contains(
            "rel=\"next\" href=\"/dashboard?repo=demo&#38;branch=main&#38;rows=10&#38;page=1\""
        ),
        "{text}"
    );
    let second = server
        .get("/dashboard?repo=demo&branch=main&rows=10&before=-10")
        .await
        .text()
        .to_owned();
    assert!(second.contains(">Newest</a>"));
    let page = server.get("/dashboard?rows=10&page=1").await;
    let page = page.text();
    let of_first = memory.known.lock().unwrap().grid.rows[10].revision.clone();
    assert!(page.contains(&of_first[..10]) && second.contains(&of_first[..10]));
    assert!(
        page.contains("rel=\"prev\" href=\"/dashboard?repo=demo&#38;branch=main&#38;rows=10\"")
    );
    assert!(page.contains("rows=10&#38;page=2\""));
    let behind = server.get("/dashboard?page=1000").await;
    assert_eq!(behind.status, 200);
    assert!(!behind.text().contains("rel=\"next\""));
    for (wrong, said) in [
        ("x", "invalid page value"),
        ("1.5", "invalid page value"),
        ("-1", "negative page"),
    ] {
        let refused = server.get(&format!("/dashboard?page={wrong}")).await;
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains(said), "{}", refused.text());
    }
    assert_eq!(server.get("/dashboard?repo=none").await.status, 404);
    for wrong in ["before=x", "rows=100000", "mode=nonsense"] {
        assert_eq!(
            server.get(&format!("/dashboard?{wrong}")).await.status,
            400,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn programs_read_the_dashboard_as_they_read_upstreams() {
    let memory = busy();
    let server = serve(memory.clone()).await;
    let status = server.get("/dashboard?mode=json").await.json();
    let grid = memory.known.lock().unwrap().grid.clone();
    assert_eq!(status["builders"][0], "linux-amd64");
    assert!(status["revisions"][3].get("goRevision").is_none());
    memory.change(|known| known.grid.rows[3].base = Some(REVISION.to_owned()));
    let against = server.get("/dashboard?mode=json").await.json();
    assert_eq!(against["revisions"][3]["goRevision"], REVISION);
    let revision = &status["revisions"][3];
    assert_eq!(revision["repo"], "demo");
    assert_eq!(revision["revision"], grid.rows[3].revision.as_str());
    let base = format!("http://{}/builds/", server.address);
    for (result, cell) in revision["results"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&grid.rows[3].cells)
    {
        let expected = match cell {
            Some(cell) if cell.state == State::Succeeded => "ok".to_owned(),
            Some(cell) if cell.state.is_failure() => format!("{base}{}", cell.build),
            _ => String::new(),
        };
        assert_eq!(result, &expected);
    }
    let failures = server
        .get("/dashboard?mode=failures")
        .await
        .text()
        .to_owned();
    let failed = |row: &build_coordinator::web::GridRow| {
        row.cells
            .iter()
            .flatten()
            .filter(|c| c.state.is_failure())
            .count()
    };
    // A page has thirty commits.
    assert_eq!(
        failures.lines().count(),
        grid.rows.iter().take(30).map(failed).sum::<usize>()
    );
    assert!(
        failures
            .lines()
            .all(|line| line.split(' ').count() == 3 && line.contains(&base))
    );
}

#[tokio::test]
async fn the_status_files_are_upstreams() {
    let server = serve(busy()).await;
    let reverse = server.get("/status/reverse.json").await;
    assert_eq!(reverse.text(), "{\n\t\"HostTypes\": {}\n}\n");
    let active = server.get("/status/post-submit-active.json").await.json();
    let mine = active
        .as_array()
        .unwrap()
        .iter()
        .find(|build| build["builder"] == "linux-arm64" && build["commit"] == REVISION);
    assert_eq!(
        mine.unwrap()["statusURL"],
        format!("http://{}/builds/5001", server.address)
    );
    assert_eq!(server.get("/status/store").await.text(), "ok\n");
    let check = server.get("/status/host-darwin-arm64").await;
    assert_eq!(
        (check.status, check.text()),
        (
            200,
            "# \"host-darwin-arm64\" status: host-darwin-arm64\nWarn: 0 connected; want 1\n"
        )
    );
    assert_eq!(server.get("/status/nothing").await.status, 404);
    assert!(server.get("/builders?mode=json").await.json()["Builders"].is_object());
}

#[tokio::test]
async fn a_builds_page_has_its_steps_its_attempts_and_the_way_to_the_failure() {
    let server = serve(busy()).await;
    let text = server.get("/builds/5000").await.text().to_owned();
    for part in [
        "cargo test",
        "exit status 101",
        "href=\"#L10\">Jump to failure",
        "report%20%3C1%3E.html",
        "<svg height",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert!(text.contains("<span class=\"f1\">FAILED</span>"));
    let twice = server.get("/builds/5003").await.text().to_owned();
    assert!(
        twice.contains("?attempt=1")
            && twice.contains("?attempt=2")
            && !twice.contains("no heartbeat")
    );
    let first = server.get("/builds/5003?attempt=1").await.text().to_owned();
    assert!(first.contains("no heartbeat for 30 s"));
    for missing in [
        "/builds/99999",
        "/builds/5003?attempt=9",
        "/builds/5000/attempts/7/log",
        "/builds/5000/attempts/1/files/no",
    ] {
        assert_eq!(server.get(missing).await.status, 404, "{missing}");
    }
    let waiting = server.get("/builds/5002").await.text().to_owned();
    assert!(waiting.contains("no machine of type host-darwin-arm64 is connected"));
    assert!(waiting.contains("http-equiv=\"refresh\""));
}

#[tokio::test]
async fn lists_are_filtered_and_have_a_next_page() {
    let server = serve(busy()).await;
    let text = server
        .get("/builds?builder=linux-arm64&state=running")
        .await
        .text()
        .to_owned();
    assert!(text.contains("/builds/5001\"") && !text.contains("/builds/5000\""));
    let first = server.get("/builds?limit=5").await.text().to_owned();
    assert_eq!(first.matches("<th scope=\"row\"").count(), 5);
    assert!(first.contains("before="));
    for wrong in [
        "state=nonsense",
        "revision=xyz",
        "revision=ab",
        "before=x",
        "limit=5000",
    ] {
        assert_eq!(
            server.get(&format!("/builds?{wrong}")).await.status,
            400,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn temporary_logs_are_upstreams() {
    let memory = busy();
    let server = serve(memory.clone()).await;
    let path = format!("/temporarylogs?name=linux-amd64&rev={REVISION}&st=5000.1");
    let reply = server.get(&path).await;
    assert_eq!(
        reply.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let text = reply.text();
    assert!(
        text.starts_with(&format!(
            "  builder: linux-amd64\n      rev: {REVISION}\n buildlet: worker-3\n  started: 20"
        )),
        "{text}"
    );
    assert!(text.contains("\n    ended: 20") && text.contains("\n  success: false\n"));
    assert!(
        text.contains("\nEvents:\n  20")
            && text.contains(" get_buildlet\n")
            && text.contains("\nBuild log:\nFetching 4b")
    );
    for missing in [
        "/temporarylogs".to_owned(),
        format!("/temporarylogs?name=linux-amd64&rev={REVISION}&st=5000.2"),
        format!("/temporarylogs?name=linux-amd64&rev={REVISION}&st=0xc000123400"),
        format!("/temporarylogs?name=other&rev={REVISION}&st=5000.1"),
        format!("/temporarylogs?name=linux-amd64&rev={}", &REVISION[..12]),
        format!("/temporarylogs?name=linux-amd64&rev={REVISION}&subName=demo&subRev={REVISION}"),
    ] {
        assert_eq!(server.get(&missing).await.status, 404, "{missing}");
    }
    let still = server
        .get(&format!(
            "/temporarylogs?name=linux-arm64&rev={REVISION}&st=5001.1&nostream=1"
        ))
        .await;
    assert!(
        still.text().contains("   status: still running\n") && still.text().contains(" (now)\n")
    );
    assert!(
        still
            .text()
            .contains("\n\n(live streaming disabled; reload manually to see status)\nFetching")
    );
    let waiting = server
        .get(&format!("/temporarylogs?name=darwin-arm64&rev={REVISION}"))
        .await;
    assert!(waiting.text().ends_with(
        "\n\n(buildlet still starting; no live streaming. reload manually to see status)\n"
    ));
}

#[tokio::test]
async fn numbers_are_in_prometheuss_form() {
    let server = serve(busy()).await;
    server.get("/").await;
    let text = server.get("/metrics").await.text().to_owned();
    for line in [
        "# TYPE build_coordinator_machines gauge",
        "build_coordinator_machines{host_type=\"host-linux-amd64\",state=\"busy\"} 1",
        "build_coordinator_queue_builds{host_type=\"host-darwin-arm64\"} 1",
        "# TYPE build_coordinator_leases_total counter",
        "build_coordinator_leases_total 3",
        "build_coordinator_http_requests_total{status=\"200\"} 1",
    ] {
        assert!(
            text.lines().any(|have| have == line),
            "{line} is not in\n{text}"
        );
    }
}

#[tokio::test]
async fn files_of_the_program_are_kept_by_browsers_for_as_long_as_they_are_the_same() {
    let server = serve(busy()).await;
    let first = server.get("/style.css").await;
    let tag = first.header("etag").unwrap().to_owned();
    let again = server
        .get_with("/style.css", &[("If-None-Match", &tag)])
        .await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(server.get("/other.css").await.status, 404);
    assert_eq!(server.send("DELETE", "/builds", &[], "").await.status, 405);
}

#[tokio::test]
async fn a_form_builds_a_revision() {
    let memory = busy();
    let server = serve(memory.clone()).await;
    let csrf = server.get("/builds").await.csrf();
    let made = server
        .post(
            "/builds",
            &[],
            &format!("csrf={csrf}&repository=demo&revision=main&builder="),
        )
        .await;
    assert_eq!(
        (made.status, made.header("location")),
        (303, Some("/builds/5005"))
    );
    assert_eq!(memory.commands(), ["enqueue main by local"]);
    let unknown = server
        .post(
            "/builds",
            &[],
            &format!("csrf={csrf}&repository=other&revision=main"),
        )
        .await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("There is no such repository."));
}
