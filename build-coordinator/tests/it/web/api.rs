//! `/api/v1`, held against its description.

use std::collections::BTreeSet;

use build_coordinator::api::{Build, BuildFilter, Builds, Enqueue, MAX_LISTED, OPENAPI, State};
use serde_json::{Value, json};

use super::client::{Reply, serve};
use super::memory::{Memory, build, busy};

fn document() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

/// Says what of `value` is not as `schema` says.
fn mismatch(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        return mismatch(document, resolve(document, name), value, at);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        if let Some(problem) = mismatch(document, part, value, at) {
            return Some(problem);
        }
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        return Some(format!("{at} is {value}"));
    }
    match schema["type"].as_str() {
        Some("object") => {
            let Some(object) = value.as_object() else {
                return Some(format!("{at} is no object: {value}"));
            };
            for name in schema["required"].as_array().into_iter().flatten() {
                if !object.contains_key(name.as_str().unwrap()) {
                    return Some(format!("{at} has no {name}"));
                }
            }
            let properties = schema["properties"].as_object()?;
            object
                .iter()
                .find_map(|(name, value)| match properties.get(name) {
                    // What is not described is a mistake of the description.
                    None => Some(format!("{at}.{name} is not described")),
                    Some(schema) => mismatch(document, schema, value, &format!("{at}.{name}")),
                })
        }
        Some("array") => {
            let Some(items) = value.as_array() else {
                return Some(format!("{at} is no list: {value}"));
            };
            items.iter().enumerate().find_map(|(n, item)| {
                mismatch(document, &schema["items"], item, &format!("{at}[{n}]"))
            })
        }
        Some("integer") => {
            let least = schema["minimum"].as_u64().unwrap_or(0);
            (value.as_u64().is_none_or(|value| value < least)).then(|| format!("{at} is {value}"))
        }
        Some("string") => {
            let Some(text) = value.as_str() else {
                return Some(format!("{at} is no string: {value}"));
            };
            let is_time = text.parse::<build_coordinator::api::Timestamp>().is_ok();
            (schema["format"] == "date-time" && !is_time)
                .then(|| format!("{at} is no time: {text}"))
        }
        _ => None,
    }
}

fn resolve<'a>(document: &'a Value, name: &str) -> &'a Value {
    let found = document.pointer(name.strip_prefix('#').unwrap());
    found.unwrap_or_else(|| panic!("{name} is not described"))
}

/// Fails unless an answer is one that the document has.
fn check(document: &Value, operation: &Value, reply: &Reply) {
    let status = reply.status.to_string();
    let responses = &operation["responses"];
    let mut response = responses.get(&status).unwrap_or(&responses["default"]);
    if let Some(name) = response["$ref"].as_str() {
        response = resolve(document, name);
    }
    assert!(
        responses.get(&status).is_some() || reply.status >= 400,
        "{status} is not described: {}",
        reply.text()
    );
    if let Some(schema) = response.pointer("/content/application~1json/schema") {
        assert_eq!(reply.header("content-type"), Some("application/json"));
        if let Some(problem) = mismatch(document, schema, &reply.json(), "answer") {
            panic!("{problem}: {}", reply.text());
        }
    }
}

/// Every operation, with a request that succeeds.
const REQUESTS: [(&str, &str, &str, &str, u16); 22] = [
    ("get", "/api/v1/builds", "?limit=100", "", 200),
    (
        "post",
        "/api/v1/builds",
        "",
        r#"{"repository": "demo", "revision": "main"}"#,
        201,
    ),
    ("get", "/api/v1/builds/{id}", "5000", "", 200),
    ("get", "/api/v1/builds/{id}", "5003", "", 200),
    ("post", "/api/v1/builds/{id}/cancel", "5002", "", 202),
    ("post", "/api/v1/builds/{id}/retry", "5000", "", 202),
    (
        "get",
        "/api/v1/builds/{id}/attempts/{attempt}/log",
        "5000",
        "",
        200,
    ),
    (
        "get",
        "/api/v1/builds/{id}/attempts/{attempt}/log/times",
        "5000",
        "",
        200,
    ),
    (
        "get",
        "/api/v1/builds/{id}/attempts/{attempt}/files/{name}",
        "5000",
        "",
        200,
    ),
    ("get", "/api/v1/queue", "", "", 200),
    ("get", "/api/v1/machines", "", "", 200),
    ("post", "/api/v1/machines/{name}/drain", "worker-1", "", 200),
    ("get", "/api/v1/machines", "", "", 200),
    (
        "post",
        "/api/v1/machines/{name}/undrain",
        "worker-1",
        "",
        200,
    ),
    (
        "post",
        "/api/v1/tokens",
        "",
        r#"{"name": "laptop", "scope": "change", "expires": "2999-01-01T00:00:00Z"}"#,
        201,
    ),
    (
        "post",
        "/api/v1/tokens/{id}/revoke",
        "0123456789abcdef",
        "",
        200,
    ),
    ("get", "/api/v1/tokens", "", "", 200),
    ("post", "/api/v1/reload", "", "", 200),
    ("post", "/api/v1/prune", "?dry_run=1", "", 200),
    ("get", "/api/v1/health", "", "", 200),
    ("get", "/api/v1/openapi.json", "", "", 200),
    // And one that does not.
    ("get", "/api/v1/builds/{id}", "99999", "", 404),
];

fn filled(path: &str, value: &str) -> String {
    if path.contains("{id}") {
        let path = path.replace("{id}", value).replace("{attempt}", "1");
        path.replace("{name}", "target/report%20%3C1%3E.html")
    } else if path.contains("{name}") {
        path.replace("{name}", value)
    } else {
        format!("{path}{value}")
    }
}

#[tokio::test]
async fn every_operation_answers_as_the_document_says() {
    let server = serve(busy()).await;
    let document = document();
    let mut tried = BTreeSet::new();
    for (method, path, value, body, status) in REQUESTS {
        let operation = &document["paths"][path][method];
        assert!(operation.is_object(), "{method} {path} is not described");
        let headers: &[_] = if body.is_empty() {
            &[]
        } else {
            &[("Content-Type", "application/json")]
        };
        let reply = server
            .send(
                &method.to_ascii_uppercase(),
                &filled(path, value),
                headers,
                body,
            )
            .await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        check(&document, operation, &reply);
        tried.insert(format!("{method} {path}"));
    }
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            described.insert(format!("{method} {path}"));
        }
    }
    assert_eq!(tried, described);
}

#[tokio::test]
async fn no_method_or_path_is_answered_that_the_document_does_not_have() {
    let server = serve(busy()).await;
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "delete", "patch"] {
            if item.get(method).is_none() {
                let reply = server
                    .send(
                        &method.to_ascii_uppercase(),
                        &filled(path, if path.contains("{id}") { "5000" } else { "" }),
                        &[],
                        "",
                    )
                    .await;
                assert_eq!(reply.status, 405, "{method} {path}");
                check(
                    &document,
                    &item.as_object().unwrap().values().next().unwrap().clone(),
                    &reply,
                );
            }
        }
    }
    let unknown = server.get("/api/v1/nothing").await;
    assert_eq!(
        (unknown.status, unknown.json()["error"]["code"].as_str()),
        (404, Some("not_found"))
    );
}

#[test]
fn the_document_and_the_types_have_the_same_states() {
    let document = document();
    let names: Vec<_> = State::ALL.iter().map(|state| json!(state.name())).collect();
    assert_eq!(
        document["components"]["schemas"]["State"]["enum"],
        json!(names)
    );
    for state in State::ALL {
        assert_eq!(json!(state), json!(state.name()));
        assert_eq!(State::from_name(state.name()), Some(state));
    }
}

#[test]
fn a_build_with_every_field_is_described_and_read_again() {
    let document = document();
    let mut full = build(1, "linux", State::Failed);
    full.base_revision = Some(full.revision.clone());
    full.attempts[0].log_bytes = Some(5);
    full.attempts[0].steps[0].exit = Some("exit status 1".to_owned());
    full.attempts[0].spans[0].detail = Some("m".to_owned());
    let value = serde_json::to_value(&full).unwrap();
    let schema = &document["components"]["schemas"]["Build"];
    assert_eq!(mismatch(&document, schema, &value, "build"), None);
    for (name, schema) in schema["properties"].as_object().unwrap() {
        assert!(
            value.get(name).is_some(),
            "{name} is described, and no field: {schema}"
        );
    }
    assert_eq!(serde_json::from_value::<Build>(value).unwrap(), full);
}

#[test]
fn what_is_not_as_described_is_found() {
    let document = document();
    let schema = json!({"$ref": "#/components/schemas/Build"});
    let good = serde_json::to_value(build(1, "linux", State::Running)).unwrap();
    assert_eq!(mismatch(&document, &schema, &good, "b"), None);
    for (pointer, value) in [
        ("/id", json!("1")),
        ("/state", json!("odd")),
        ("/created", json!("yesterday")),
        ("/attempts/0/number", json!(0)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert!(
            mismatch(&document, &schema, &bad, "b").is_some(),
            "{pointer}"
        );
    }
    let mut more = good;
    more["surprise"] = json!(1);
    assert!(mismatch(&document, &schema, &more, "b").is_some());
}

#[tokio::test]
async fn lists_have_pages_and_filters() {
    let memory = busy();
    let server = serve(memory.clone()).await;
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let page: Builds = serde_json::from_value(
            server
                .get(&format!("/api/v1/builds?limit=37{next}"))
                .await
                .json(),
        )
        .unwrap();
        assert!(page.builds.len() <= 37);
        all.extend(page.builds.iter().map(|build| build.id));
        match page.next_before {
            Some(before) => next = format!("&before={before}"),
            None => break,
        }
    }
    let known: Vec<u64> = memory
        .known
        .lock()
        .unwrap()
        .builds
        .keys()
        .rev()
        .copied()
        .collect();
    assert_eq!(all, known);
    let running = server
        .get("/api/v1/builds?state=running&builder=linux-arm64&revision=4B82")
        .await
        .json();
    assert_eq!(running["builds"][0]["id"], 5001);
    assert_eq!(running["builds"].as_array().unwrap().len(), 1);
    let too_many = server
        .get(&format!("/api/v1/builds?limit={}", MAX_LISTED + 1))
        .await;
    assert_eq!(
        (too_many.status, too_many.json()["error"]["code"].as_str()),
        (400, Some("bad_request"))
    );
    // What a program would send with the types.
    let filter = BuildFilter {
        builder: Some("linux-arm64".to_owned()),
        limit: Some(1),
        ..BuildFilter::default()
    };
    assert_eq!(
        serde_json::to_value(&filter).unwrap(),
        json!({"builder": "linux-arm64", "limit": 1})
    );
}

#[tokio::test]
async fn commands_say_why_they_are_not_done() {
    let memory = busy();
    let server = serve(memory.clone()).await;
    let json = [("Content-Type", "application/json")];
    for (path, body, status, code) in [
        ("/api/v1/builds/5000/cancel", "", 409, "conflict"),
        ("/api/v1/builds/5001/retry", "", 409, "conflict"),
        ("/api/v1/builds/99999/retry", "", 404, "not_found"),
        (
            "/api/v1/builds",
            r#"{"repository": "other", "revision": "main"}"#,
            404,
            "not_found",
        ),
        (
            "/api/v1/builds",
            r#"{"repository": "demo", "revision": "main", "more": 1}"#,
            422,
            "bad_request",
        ),
        ("/api/v1/builds", "no JSON", 400, "bad_request"),
    ] {
        let reply = server.send("POST", path, &json, body).await;
        let error = reply.json()["error"].clone();
        assert_eq!(
            (reply.status, error["code"].as_str()),
            (status, Some(code)),
            "{path} {body}"
        );
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
    let form = server
        .post("/api/v1/builds", &[], "repository=demo&revision=main")
        .await;
    assert_eq!(form.status, 415);
    assert!(memory.commands().is_empty());
    let what = Enqueue {
        repository: "demo".to_owned(),
        revision: "main".to_owned(),
        builder: None,
    };
    let made = server
        .send(
            "POST",
            "/api/v1/builds",
            &json,
            &serde_json::to_string(&what).unwrap(),
        )
        .await;
    assert_eq!((made.status, made.json()), (201, json!({"builds": [5005]})));
}

fn with_log() -> std::sync::Arc<Memory> {
    let memory = busy();
    let log = memory.open_log(5000, 1);
    log.append(b"0123456789");
    log.close();
    memory
}

#[tokio::test]
async fn parts_of_a_log_are_given() {
    let server = serve(with_log()).await;
    let path = "/api/v1/builds/5000/attempts/1/log";
    for (range, status, content_range, body) in [
        ("bytes=0-3", 206, Some("bytes 0-3/10"), "0123"),
        ("bytes=4-", 206, Some("bytes 4-9/10"), "456789"),
        ("bytes=-2", 206, Some("bytes 8-9/10"), "89"),
        ("bytes=8-100", 206, Some("bytes 8-9/10"), "89"),
        ("bytes=10-", 416, Some("bytes */10"), ""),
        ("bytes=0-1,3-4", 200, None, "0123456789"),
        ("nonsense", 200, None, "0123456789"),
    ] {
        let reply = server.get_with(path, &[("Range", range)]).await;
        assert_eq!(
            (reply.status, reply.header("content-range"), reply.text()),
            (status, content_range, body),
            "{range}"
        );
    }
    let whole = server.get(path).await;
    assert_eq!(
        (
            whole.header("content-length"),
            whole.header("accept-ranges")
        ),
        (Some("10"), Some("bytes"))
    );
    assert_eq!(server.get(&format!("{path}?offset=7")).await.text(), "789");
    assert_eq!(
        server
            .get(&format!("{path}?follow=1&offset=7"))
            .await
            .text(),
        "789"
    );
    let head = server.send("HEAD", path, &[], "").await;
    assert_eq!(
        (head.status, head.header("content-length"), head.body.len()),
        (200, Some("10"), 0)
    );
}

#[tokio::test]
async fn of_a_log_that_grows_a_part_has_no_total() {
    let memory = busy();
    let server = serve(memory.clone()).await;
    memory.open_log(5001, 1).append(b"0123456789");
    let path = "/builds/5001/attempts/1/log";
    let reply = server.get_with(path, &[("Range", "bytes=2-3")]).await;
    assert_eq!(
        (reply.status, reply.header("content-range"), reply.text()),
        (206, Some("bytes 2-3/*"), "23")
    );
    // Without `follow` it is what there is now.
    assert_eq!(server.get(path).await.text(), "0123456789");
}
