use std::collections::HashMap;

use async_trait::async_trait;
use pubsubhelper::{
    Envelope, Event, KeySource, MailConfig, MailError, MailReader, MailRefusal, ResolveKeyError,
    Signal,
};
use serde_json::Value;

use crate::vectors::{read, text};

/// The keys that were there when the mails were recorded.
pub(crate) struct Recorded(HashMap<String, String>);

impl Recorded {
    pub(crate) fn keys() -> Self {
        let vectors = read("mails");
        let records = vectors["dns_txt"].as_object().unwrap();
        Self(
            records
                .iter()
                .map(|(name, text)| (format!("{name}."), text.as_str().unwrap().to_owned()))
                .collect(),
        )
    }
}

#[async_trait]
impl KeySource for Recorded {
    async fn key_records(&self, name: &str) -> Result<Vec<Vec<u8>>, ResolveKeyError> {
        Ok(self
            .0
            .get(name)
            .map(|text| text.clone().into_bytes())
            .into_iter()
            .collect())
    }
}

struct Offline;

#[async_trait]
impl KeySource for Offline {
    async fn key_records(&self, name: &str) -> Result<Vec<Vec<u8>>, ResolveKeyError> {
        Err(ResolveKeyError::TimedOut {
            name: name.to_owned(),
        })
    }
}

fn reader() -> MailReader {
    MailReader::new(MailConfig::default(), Recorded::keys()).unwrap()
}

pub(crate) fn case(name: &str) -> Value {
    let vectors = read("mails");
    let cases = vectors["cases"].as_array().unwrap();
    cases
        .iter()
        .find(|case| case["name"] == name)
        .unwrap()
        .clone()
}

fn mail(case: &Value) -> Envelope {
    Envelope {
        sender: text(case, "mail_from").to_owned(),
        message: format!("{}\r\n", text(case, "message")).into_bytes(),
    }
}

async fn refusal(reader: &MailReader, mail: &Envelope) -> MailRefusal {
    match reader.read(mail).await {
        Err(MailError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_recorded_mail_is_judged_as_it_must_be() {
    let vectors = read("mails");
    let mut counts = (0, 0);
    for case in vectors["cases"].as_array().unwrap() {
        let name = text(case, "name");
        let ours = text(case, "new_server");
        let accept = match ours {
            "same as upstream" => !case["published"].is_null(),
            other if other.starts_with("accept") => true,
            other if other.starts_with("reject") || other.starts_with("drop") => false,
            other => panic!("{name}: {other}"),
        };
        let result = reader().read(&mail(case)).await;
        assert_eq!(result.is_ok(), accept, "{name}: {result:?}");
        if let (Ok(signal), false) = (&result, case["published"].is_null()) {
            let expected = Event::from_json(case["published"].to_string().as_bytes()).unwrap();
            assert_eq!(
                Event::new(expected.time.unwrap(), signal.clone()),
                expected,
                "{name}"
            );
        }
        if accept { counts.0 += 1 } else { counts.1 += 1 }
    }
    assert!(counts.0 >= 7 && counts.1 >= 9, "{counts:?}");
}

#[tokio::test]
async fn each_refusal_has_its_reason() {
    for (name, reason) in [
        ("suffix_only_domain_evilgoogle_com", "another domain"),
        ("rsa_sha1", "SHA-1"),
        ("tampered_body", "body hash"),
        ("tampered_subject", "does not hold"),
        ("dns_missing", "does not hold"),
        ("no_dkim", "no DKIM signature"),
        ("unknown_canon", "malformed"),
        ("other_domain", "another domain"),
    ] {
        let refusal = refusal(&reader(), &mail(&case(name))).await;
        assert!(refusal.to_string().contains(reason), "{name}: {refusal}");
    }
    let none = refusal(&reader(), &mail(&case("no_gerrit_headers"))).await;
    assert_eq!(none, MailRefusal::NoProject);
}

#[tokio::test]
async fn a_mail_counts_once() {
    let reader = reader();
    let mail = mail(&case("good"));
    assert!(reader.read(&mail).await.is_ok());
    assert_eq!(refusal(&reader, &mail).await, MailRefusal::Again);
}

#[tokio::test]
async fn a_limit_on_the_signed_body_is_refused() {
    let mut mail = mail(&case("good"));
    mail.message = String::from_utf8(mail.message)
        .unwrap()
        .replace("; bh=", "; l=5; bh=")
        .into_bytes();
    let refusal = refusal(&reader(), &mail).await;
    assert!(refusal.to_string().contains("l="), "{refusal}");
}

#[tokio::test]
async fn headers_that_must_be_signed_and_are_not_are_refused() {
    let config = MailConfig::default().require_signed_headers(true);
    let reader = MailReader::new(config, Recorded::keys()).unwrap();
    let refusal = refusal(&reader, &mail(&case("tampered_unsigned_gerrit_header"))).await;
    assert!(matches!(refusal, MailRefusal::HeaderNotSigned { .. }));
}

#[tokio::test]
async fn without_an_answer_about_the_key_the_mail_is_to_come_again() {
    let reader = MailReader::new(MailConfig::default(), Offline).unwrap();
    let result = reader.read(&mail(&case("good"))).await;
    assert!(matches!(result, Err(MailError::Keys(_))));
}

#[tokio::test]
async fn other_domains_and_hosts_can_be_believed() {
    let config = MailConfig::default()
        .domains(vec!["Example.com".to_owned()])
        .sender_host("h");
    let reader = MailReader::new(config, Recorded::keys()).unwrap();
    let mut mail = mail(&case("other_domain"));
    mail.sender = "x@H".to_owned();
    assert!(matches!(reader.read(&mail).await, Ok(Signal::Gerrit(_))));
}
