use pubsubhelper::{Event, MAX_BODY, Signal, WebhookError, WebhookSecret};

use crate::vectors::{read, text};

#[test]
fn every_recorded_delivery_is_judged_as_upstream_does() {
    let vectors = read("webhook");
    let secret = WebhookSecret::new(text(&vectors, "secret").as_bytes()).unwrap();
    let mut published = 0;
    for case in vectors["cases"].as_array().unwrap() {
        let name = text(case, "name");
        // These are the HTTP service's.
        if ["plain_http", "cross_origin", "too_big"].contains(&name) {
            continue;
        }
        let header = text(case, "signature_header");
        let signature = header
            .strip_prefix("X-Hub-Signature-256: ")
            .map(str::as_bytes);
        let result = secret.read(signature, text(case, "request_body").as_bytes());
        if case["published"].is_null() {
            assert!(result.is_err(), "{name}");
        } else {
            let expected = Event::from_json(case["published"].to_string().as_bytes()).unwrap();
            assert_eq!(
                Event::new(expected.time.unwrap(), result.unwrap()),
                expected,
                "{name}"
            );
            published += 1;
        }
    }
    assert_eq!(published, 5);
}

#[test]
fn a_stored_delivery_is_checked_like_one_that_comes() {
    let vectors = read("webhook");
    let secret = WebhookSecret::new(b"s3cr3t").unwrap();
    let case = &vectors["cases"][0];
    let (signature, body) = (text(case, "signature_header"), text(case, "request_body"));
    for end in ["\n", "\r\n"] {
        let head = format!(
            "X-GitHub-Event: issues{end}{}{end}{end}",
            signature.to_lowercase()
        );
        let stored = format!("{head}{body}");
        assert!(secret.read_stored(stored.as_bytes()).is_ok());
        let changed = format!("{head}{body} ");
        let error = secret.read_stored(changed.as_bytes()).unwrap_err();
        assert!(matches!(error, WebhookError::WrongSignature));
    }
    for nothing in ["", "\n", body, signature, &format!("{signature}\n{body}")] {
        let error = secret.read_stored(nothing.as_bytes()).unwrap_err();
        assert!(matches!(error, WebhookError::NoSignature), "{nothing}");
    }
}

#[test]
fn neither_a_secret_nor_a_signature_is_ever_shown() {
    let secret = WebhookSecret::new(b"s3cr3t").unwrap();
    assert_eq!(format!("{secret:?}"), "WebhookSecret(..)");
    let signature = format!("sha256={}", "ab".repeat(32));
    let error = secret.read(Some(signature.as_bytes()), b"{}").unwrap_err();
    assert!(matches!(error, WebhookError::WrongSignature));
    let shown = format!("{error} {error:?}");
    assert!(
        !shown.contains("abab") && !shown.contains("s3cr3t"),
        "{shown}"
    );
}

#[test]
fn an_empty_secret_is_none() {
    assert!(WebhookSecret::new(b"").is_err());
}

#[test]
fn a_long_body_is_not_even_hashed() {
    let secret = WebhookSecret::new(b"s3cr3t").unwrap();
    let error = secret.read(None, &vec![0; MAX_BODY + 1]).unwrap_err();
    assert!(matches!(error, WebhookError::TooLong { .. }));
}

#[test]
fn a_signal_of_an_issue_has_its_number() {
    let vectors = read("webhook");
    let secret = WebhookSecret::new(b"s3cr3t").unwrap();
    let case = &vectors["cases"][0];
    let signature = text(case, "signature_header")
        .strip_prefix("X-Hub-Signature-256: ")
        .unwrap();
    let signal = secret.read(
        Some(signature.as_bytes()),
        text(case, "request_body").as_bytes(),
    );
    let Ok(Signal::Github(event)) = signal else {
        panic!("{signal:?}");
    };
    assert_eq!(
        (
            event.repo.as_str(),
            event.issue_number,
            event.pull_request_number
        ),
        ("go", 2, 0)
    );
}
