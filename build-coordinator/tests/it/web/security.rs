//! What strangers write, and what strangers try.

use build_coordinator::api::*;
use build_coordinator::web::{Reading, SiteConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{LIMIT, Reply, serve, serve_with};
use super::memory::{ADMIN, CHANGER, Memory, READER, attempt, build, busy};

const EVIL: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>";

/// Puts the same hostile text wherever a stranger's text can stand.
fn hostile() -> std::sync::Arc<Memory> {
    let memory = busy();
    let evil = || EVIL.to_owned();
    memory.change(|known| {
        for id in 6000..6003 {
            let state = [State::Failed, State::Running, State::Waiting]
                [usize::try_from(id - 6000).unwrap()];
            let mut hostile = build(id, EVIL, state);
            hostile.repository = evil();
            hostile.revision = evil();
            hostile.branch = Some(evil());
            hostile.base_revision = Some(evil());
            hostile.subject = Some(evil());
            hostile.author = Some(evil());
            if let Some(attempt) = hostile.attempts.first_mut() {
                attempt.reason = Some(evil());
                attempt.machine = Some(evil());
                attempt.artifacts[0].name = evil();
                attempt.steps[0].name = evil();
                attempt.steps[0].exit = Some(evil());
                attempt.spans[0].name = evil();
                attempt.spans[0].detail = Some(evil());
            }
            let again = attempt(2, state);
            hostile.attempts.push(again);
            known.builds.insert(id, hostile);
        }
        for row in &mut known.grid.rows {
            row.subject = evil();
            row.author = evil();
            row.revision = evil();
        }
        known.grid.builders[0] = evil();
        known.grid.repository = evil();
        known.grid.branch = evil();
        known.queue.items[0].reason = evil();
        known.queue.items[0].repository = evil();
        known.queue.items[0].revision = evil();
        known.queue.items[0].builder = evil();
        known.queue.items[1].build = 6002;
        known.queue.items[1].reason = evil();
        known.machines.pools[0].host_type = evil();
        for machine in &mut known.machines.machines {
            machine.name = evil();
            machine.host_type = evil();
            machine.reason = Some(evil());
            machine.version = Some(evil());
        }
        known.health.checks[1].id = evil();
        known.health.checks[1].title = evil();
        known.health.checks[1].lines[0].text = evil();
        known.builders.rows[0].name = evil();
        known.builders.rows[0].host_type = evil();
        known.builders.rows[0].notes = evil();
        known.builders.rows[0].steps = vec![evil()];
        known.builders.rows[0].repositories = vec![evil()];
        known.builders.hosts[0].name = evil();
        known.builders.hosts[0].kind = evil();
        known.builders.hosts[0].notes = evil();
    });
    for id in [6000, 6001] {
        for number in [1, 2] {
            let log = memory.open_log(id, number);
            log.append(
                format!("{EVIL}\n\x1b[31m{EVIL}\x1b[0m\x1b]8;;javascript:alert(1)\x07{EVIL}\n")
                    .as_bytes(),
            );
            log.append(EVIL.as_bytes());
            if id == 6000 {
                log.close();
            }
        }
    }
    memory
}

#[tokio::test]
async fn what_strangers_wrote_is_never_markup() {
    let server = serve(hostile()).await;
    for path in [
        "/",
        "/dashboard",
        "/builds",
        "/builds?builder=%22%3E%3Cscript%3E",
        "/builds/6000",
        "/builds/6000?attempt=1",
        "/builds/6001",
        "/builds/6001?attempt=1",
        "/builds/6002",
        "/queue",
        "/machines",
        "/builders",
        "/%3Cscript%3Ealert(1)%3C/script%3E",
    ] {
        let reply = server.get(path).await;
        let text = reply.text();
        assert!(
            reply
                .header("content-type")
                .unwrap()
                .starts_with("text/html"),
            "{path}"
        );
        assert!(
            !text.contains("<script>") && !text.contains("<img"),
            "{path}: {text}"
        );
        assert!(!text.contains("href=\"javascript"), "{path}");
        if !path.contains('%') {
            // Its letters are there, and harmless.
            assert!(
                text.contains("alert(1)"),
                "{path} does not show what it should"
            );
        }
        // No attribute that strangers could add runs anything, and none of ours does.
        assert!(
            !text.contains("onerror=\"") && !text.contains(" onclick") && !text.contains(" style="),
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_is_not_a_page_is_not_shown_as_one() {
    let server = serve(hostile()).await;
    for (path, kind) in [
        ("/builds/6000/attempts/1/log", "text/plain; charset=utf-8"),
        ("/api/v1/builds/6000", "application/json"),
        ("/dashboard?mode=json", "text/json; charset=utf-8"),
        ("/dashboard?mode=failures", "text/plain; charset=utf-8"),
        ("/status/reverse.json", "application/json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
    ] {
        let reply = server.get(path).await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (200, Some(kind)),
            "{path}"
        );
        assert_eq!(
            reply.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
    }
    let file = server
        .get("/builds/5000/attempts/1/files/target/report%20%3C1%3E.html")
        .await;
    assert_eq!(file.text(), "<script>alert(1)</script>");
    assert_eq!(
        file.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(file.header("content-disposition"), Some("attachment"));
    assert_eq!(
        file.header("content-security-policy"),
        Some("default-src 'none'; sandbox")
    );
}

#[tokio::test]
async fn every_answer_has_its_security_headers() {
    let server = serve(busy()).await;
    for path in [
        "/",
        "/nothing",
        "/api/v1/queue",
        "/api/v1/nothing",
        "/style.css",
        "/builds/5000/attempts/1/log",
        "/healthz",
    ] {
        let reply = server.get(path).await;
        let policy = reply.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert!(!policy.contains("unsafe"), "{path}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{path}");
        }
        assert_eq!(reply.header("access-control-allow-origin"), None, "{path}");
    }
}

#[tokio::test]
async fn pages_have_no_scripts_styles_or_addresses_of_others() {
    let server = serve(busy()).await;
    for path in [
        "/",
        "/dashboard",
        "/builds",
        "/builds/5000",
        "/builds/5001",
        "/queue",
        "/machines",
        "/builders",
        "/login",
    ] {
        let text = server.get(path).await.text().to_owned();
        assert!(
            !text.contains("<style") && !text.contains(" style="),
            "{path}"
        );
        for script in text.split("<script").skip(1) {
            assert!(
                script.contains("src=\"/") && script.contains("></script>"),
                "{path}"
            );
        }
        for address in ["src=\"", "href=\"", "action=\""] {
            for target in text.split(address).skip(1) {
                assert!(
                    target.starts_with(['/', '#']) && !target.starts_with("//"),
                    "{path}: {}",
                    &target[..40.min(target.len())]
                );
            }
        }
    }
}

#[tokio::test]
async fn a_name_that_somebody_else_controls_is_not_answered_to() {
    let config = SiteConfig::default().host_names(["ci.example.org".to_owned()]);
    let server = serve_with(busy(), config).await;
    for (host, status) in [
        ("localhost", 200),
        ("[::1]:8119", 200),
        ("ci.example.org", 200),
        ("evil.example", 421),
        ("evil.example:8119", 421),
        ("localhost.evil.example", 421),
        ("", 421),
    ] {
        assert_eq!(
            server.get_with("/", &[("Host", host)]).await.status,
            status,
            "{host}"
        );
    }
    let twice = server
        .get_with("/", &[("Host", "localhost"), ("Host", "evil.example")])
        .await;
    assert_eq!(twice.status, 400);
}

#[tokio::test]
async fn a_form_from_elsewhere_changes_nothing() {
    let memory = busy();
    let server = serve(memory.clone()).await;
    let csrf = server.get("/builds/5001").await.csrf();
    let ours = format!("csrf={csrf}");
    let origin = format!("http://{}", server.address);
    for (headers, body) in [
        (vec![], "csrf=".to_owned()),
        (vec![], String::new()),
        (vec![], format!("csrf={}", "0".repeat(32))),
        (vec![("Origin", "http://evil.example")], ours.clone()),
        (vec![("Origin", "null")], ours.clone()),
        (vec![("Sec-Fetch-Site", "cross-site")], ours.clone()),
    ] {
        assert_eq!(
            server
                .post("/builds/5001/cancel", &headers, &body)
                .await
                .status,
            403,
            "{headers:?} {body}"
        );
    }
    assert_eq!(
        server
            .post(
                "/api/v1/builds/5001/cancel",
                &[("Origin", "http://evil.example")],
                ""
            )
            .await
            .status,
        403
    );
    assert!(memory.commands().is_empty());

    let done = server
        .post(
            "/builds/5001/cancel",
            &[("Origin", &origin), ("Sec-Fetch-Site", "same-origin")],
            &ours,
        )
        .await;
    assert_eq!(
        (done.status, done.header("location")),
        (303, Some("/builds/5001"))
    );
    assert_eq!(memory.commands(), ["cancel 5001 by local"]);
}

#[tokio::test]
async fn beyond_loopback_changing_takes_a_token_that_allows_it() {
    let memory = busy();
    let server = serve_with(memory.clone(), SiteConfig::default().trust_loopback(false)).await;
    assert_eq!(server.get("/builds/5001").await.status, 200);
    assert!(
        !server
            .get("/builds/5001")
            .await
            .text()
            .contains("action=\"/builds/5001/cancel\"")
    );
    let cancel = async |headers: &[(&str, &str)]| {
        server.post("/api/v1/builds/5001/cancel", headers, "").await
    };
    let bearer = |token: &str| format!("Bearer {token}");
    assert_eq!(cancel(&[]).await.status, 401);
    assert_eq!(
        cancel(&[("Authorization", "Bearer nonsense")]).await.status,
        401
    );
    assert_eq!(
        cancel(&[("Authorization", "Basic nonsense")]).await.status,
        401
    );
    assert_eq!(
        cancel(&[("Authorization", &bearer(READER))]).await.status,
        403
    );
    assert!(memory.commands().is_empty());
    assert_eq!(
        cancel(&[("Authorization", &bearer(CHANGER))]).await.status,
        202
    );
    assert_eq!(memory.commands(), ["cancel 5001 by alice"]);
}

#[tokio::test]
async fn machines_tokens_and_the_configuration_are_an_operators() {
    let memory = busy();
    let config = SiteConfig::default()
        .trust_loopback(false)
        .token_hint("Ask <carol>.");
    let server = serve_with(memory.clone(), config).await;
    let bearer = |token: &str| format!("Bearer {token}");
    let json = ("Content-Type", "application/json");
    let requests = [
        ("POST", "/api/v1/machines/worker-1/drain", ""),
        ("POST", "/api/v1/machines/worker-1/undrain", ""),
        ("POST", "/api/v1/reload", ""),
        ("POST", "/api/v1/prune", ""),
        ("GET", "/api/v1/tokens", ""),
        (
            "POST",
            "/api/v1/tokens",
            r#"{"name": "x", "scope": "admin"}"#,
        ),
        ("POST", "/api/v1/tokens/0123456789abcdef/revoke", ""),
    ];
    for (method, path, body) in requests {
        let nobody = server.send(method, path, &[json], body).await;
        assert_eq!(nobody.status, 401, "{path}");
        assert!(nobody.text().contains("Ask <carol>."), "{}", nobody.text());
        for token in [READER, CHANGER] {
            let headers = [json, ("Authorization", &*bearer(token))];
            let refused = server.send(method, path, &headers, body).await;
            assert_eq!(refused.status, 403, "{path}");
        }
    }
    assert!(memory.commands().is_empty());
    for (method, path, body) in requests {
        let headers = [json, ("Authorization", &*bearer(ADMIN))];
        let done = server.send(method, path, &headers, body).await;
        assert!(done.status < 300, "{path}: {}", done.text());
        if done.text().contains("secret") {
            assert_eq!(done.header("cache-control"), Some("no-store"));
        }
    }
    assert_eq!(
        memory.commands(),
        [
            "drain worker-1 true by carol",
            "drain worker-1 false by carol",
            "reload by carol",
            "prune false by carol"
        ]
    );
    let login = server.get("/login").await;
    assert!(
        login.text().contains("Ask &#60;carol&#62;."),
        "{}",
        login.text()
    );
}

#[tokio::test]
async fn the_page_of_machines_drains_them() {
    let memory = busy();
    let server = serve(memory.clone()).await;
    let page = server.get("/machines").await;
    assert_eq!(page.text().matches("<button>Drain</button>").count(), 4);
    let form = format!("csrf={}&machine=worker-1&drained=true", page.csrf());
    assert_eq!(server.post("/machines", &[], &form).await.status, 303);
    let page = server.get("/machines").await;
    assert_eq!(page.text().matches("<button>Undrain</button>").count(), 1);
    let forged = server
        .post("/machines", &[], "machine=worker-1&drained=false")
        .await;
    assert_eq!(forged.status, 403);
    assert_eq!(memory.commands(), ["drain worker-1 true by local"]);

    // Who may not has no button.
    let far = serve_with(memory, SiteConfig::default().trust_loopback(false)).await;
    assert!(!far.get("/machines").await.text().contains("Drain</button>"));
}

#[tokio::test]
async fn what_a_proxy_hands_on_is_not_local() {
    let server = serve(busy()).await;
    for header in ["X-Forwarded-For", "Forwarded", "Via"] {
        let reply = server
            .send(
                "POST",
                "/api/v1/builds/5001/cancel",
                &[(header, "for=192.0.2.1")],
                "",
            )
            .await;
        assert_eq!(reply.status, 401, "{header}");
    }
}

#[tokio::test]
async fn a_closed_site_shows_nothing_to_strangers() {
    let config = SiteConfig::default()
        .trust_loopback(false)
        .reading(Reading::Closed);
    let server = serve_with(busy(), config).await;
    for path in [
        "/",
        "/dashboard",
        "/builds/5000",
        "/builds/5000/attempts/1/log",
        "/metrics",
        "/status/reverse.json",
    ] {
        let reply = server.get(path).await;
        assert_eq!(
            (reply.status, reply.header("location")),
            (303, Some("/login")),
            "{path}"
        );
        assert!(reply.body.is_empty());
    }
    assert_eq!(server.get("/api/v1/builds").await.status, 401);
    for path in ["/login", "/style.css", "/healthz"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    let with_token = server
        .get_with(
            "/api/v1/builds",
            &[("Authorization", &format!("Bearer {READER}"))],
        )
        .await;
    assert_eq!(with_token.status, 200);
}

fn cookie(reply: &Reply) -> String {
    let set = reply.header("set-cookie").expect("a cookie is set");
    for part in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    set.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_browser_signs_in_with_a_token_and_its_session_is_worth_no_more() {
    let memory = busy();
    let server = serve_with(memory.clone(), SiteConfig::default().trust_loopback(false)).await;
    let csrf = server.get("/login").await.csrf();
    let wrong = server
        .post("/login", &[], &format!("csrf={csrf}&token=nonsense"))
        .await;
    assert_eq!(wrong.status, 403);
    assert!(wrong.header("set-cookie").is_none() && wrong.text().contains("not known"));
    assert_eq!(
        server
            .post("/login", &[], &format!("token={CHANGER}"))
            .await
            .status,
        403
    );

    let signed_in = server
        .post("/login", &[], &format!("csrf={csrf}&token={CHANGER}"))
        .await;
    assert_eq!(signed_in.status, 303);
    let cookie = cookie(&signed_in);
    assert!(!cookie.contains(CHANGER));
    let page = server
        .get_with("/builds/5001", &[("Cookie", &cookie)])
        .await;
    assert!(page.text().contains("alice"));
    let own = page.csrf();
    assert_ne!(own, csrf);
    // The form of somebody else does not do, and neither does one without the session.
    assert_eq!(
        server
            .post(
                "/builds/5001/cancel",
                &[("Cookie", &cookie)],
                &format!("csrf={csrf}")
            )
            .await
            .status,
        403
    );
    assert_eq!(
        server
            .post("/builds/5001/cancel", &[], &format!("csrf={own}"))
            .await
            .status,
        403
    );
    assert!(memory.commands().is_empty());
    assert_eq!(
        server
            .post(
                "/builds/5001/cancel",
                &[("Cookie", &cookie)],
                &format!("csrf={own}")
            )
            .await
            .status,
        303
    );
    assert_eq!(memory.commands(), ["cancel 5001 by alice"]);

    // A token that is taken back ends the session.
    memory.change(|known| known.revoked.push(CHANGER.to_owned()));
    assert_eq!(
        server
            .post(
                "/builds/5001/retry",
                &[("Cookie", &cookie)],
                &format!("csrf={own}")
            )
            .await
            .status,
        403
    );
    memory.change(|known| known.revoked.clear());
    assert!(
        !server
            .get_with("/", &[("Cookie", &cookie)])
            .await
            .text()
            .contains("alice")
    );
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let server = serve_with(busy(), SiteConfig::default().trust_loopback(false)).await;
    let csrf = server.get("/login").await.csrf();
    let cookie = cookie(
        &server
            .post("/login", &[], &format!("csrf={csrf}&token={CHANGER}"))
            .await,
    );
    let own = server.get_with("/", &[("Cookie", &cookie)]).await.csrf();
    assert_eq!(
        server
            .post("/logout", &[("Cookie", &cookie)], &format!("csrf={own}"))
            .await
            .status,
        303
    );
    assert!(
        !server
            .get_with("/", &[("Cookie", &cookie)])
            .await
            .text()
            .contains("alice")
    );
}

#[tokio::test]
async fn bodies_and_heads_have_a_limit() {
    let memory = busy();
    let server = serve(memory.clone()).await;
    let big = format!(
        r#"{{"repository": "demo", "revision": "{}"}}"#,
        "a".repeat(100 << 10)
    );
    let json = [("Content-Type", "application/json")];
    let reply = server.send("POST", "/api/v1/builds", &json, &big).await;
    assert_eq!(reply.status, 413);
    assert!(reply.json()["error"]["message"].is_string());
    assert!(memory.commands().is_empty());

    let long = "x".repeat(40 << 10);
    assert_eq!(server.get_with("/", &[("X-Long", &long)]).await.status, 431);
    let many: Vec<(String, String)> = (0..100)
        .map(|n| (format!("X-{n}"), String::new()))
        .collect();
    let many: Vec<(&str, &str)> = many
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(server.get_with("/", &many).await.status, 431);
}

#[tokio::test(start_paused = true)]
async fn whoever_sends_nothing_is_let_go() {
    let server = serve(busy()).await;
    for start in ["", "GET / HTTP/1.1\r\nHost: loc"] {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.write_all(start.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(LIMIT * 2, tcp.read_to_end(&mut answer))
            .await
            .expect("the connection is closed")
            .unwrap();
    }
}
