//! Mails signed here, with keys of every kind.

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256, SigningKey};
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::DkimSigner;
use pubsubhelper::{
    Envelope, KeySource, MailConfig, MailError, MailReader, ResolveKeyError, Signal,
};
use rustls::pki_types::PrivateKeyDer;

/// Of 512 bits, as anybody can make out from the public key these days.
const SHORT_KEY: &str = "MIIBOgIBAAJBANAsqfOasHWcuS/un84z8OGwPkBf/TEJdTwHAHAwdrZ9arCUdrxOrYgs3GtVdcO4JhFzT9zlQzI/Kz1r73Zgjg0CAwEAAQJBAIZnn97ZS/7TjjklPuY6YNbGHJshnm4vphJ4js7ga3UMP7G+ZCSiVWHw+MAoHj11V36l7bZFPdF4TBnmcaqVSaECIQD3F3XM6ksMf4wUPsRgBiyFLFub5PVCNpCoQQo2GWnvxQIhANeuBDgF34ijSTCRkyVHnlFUVYoWkdhF/rcNYR2aE4GpAiAuT2RRupvEROeBJ95wTNftQcoNptTcyxNDpaT/TLYRLQIgbf9CB5B3QKiGW07jTNAJ3lC0j4iTOUn5bkJUlVRPPoECIGciWlVBgHHZPcS/GL3C5cveK7eRr1ldqxe3+cAjLy8n";

const MAIL: &str = "From: noreply-gerritcodereview@google.com\r\n\
    To: gopherbot@pubsubhelper.golang.org\r\n\
    Subject: Change in go[master]: net: fix thing\r\n\
    Date: Sat, 21 Nov 2026 01:00:00 +0000\r\n\
    X-Gerrit-Project: net\r\n\
    X-Gerrit-Change-Number: 39551\r\n\
    X-Gerrit-ChangeURL: <https://go-review.googlesource.com/c/net/+/39551?usp=email>\r\n\
    X-Gerrit-Commit: 1eee2c9d8f352483781e772f35dc586a69ff5646\r\n\
    \r\n\
    Hello there.\r\n";

/// What a name server says of `s1._domainkey.google.com.`.
struct Records(Vec<String>);

#[async_trait]
impl KeySource for Records {
    async fn key_records(&self, name: &str) -> Result<Vec<Vec<u8>>, ResolveKeyError> {
        assert_eq!(name, "s1._domainkey.google.com.");
        Ok(self.0.iter().map(|text| text.as_bytes().to_vec()).collect())
    }
}

fn signed(key: impl SigningKey) -> Envelope {
    let signer = DkimSigner::from_key(key)
        .domain("google.com")
        .selector("s1");
    let signer = signer.headers(["From", "To", "Subject", "Date"]);
    let signature = signer.sign(MAIL.as_bytes()).unwrap();
    Envelope {
        sender: "x@gerritcodereview.bounces.google.com".to_owned(),
        message: format!("{}{MAIL}", signature.to_header()).into_bytes(),
    }
}

async fn read(mail: &Envelope, records: &[String]) -> Result<Signal, MailError> {
    let reader = MailReader::new(MailConfig::default(), Records(records.to_vec())).unwrap();
    reader.read(mail).await
}

async fn refusal(mail: &Envelope, records: &[String]) -> String {
    match read(mail, records).await {
        Err(MailError::Refused(refusal)) => refusal.to_string(),
        other => panic!("{other:?}"),
    }
}

fn record(kind: &str, key: &[u8]) -> String {
    format!("v=DKIM1; k={kind}; p={}", BASE64_STANDARD.encode(key))
}

fn ed25519() -> (Ed25519Key, String) {
    let key = Ed25519Key::from_pkcs8_der(&Ed25519Key::generate_pkcs8().unwrap()).unwrap();
    let record = record("ed25519", &key.public_key());
    (key, record)
}

#[tokio::test]
async fn keys_on_curves_are_believed() {
    let (key, record) = ed25519();
    let mail = signed(key);
    assert!(matches!(
        read(&mail, std::slice::from_ref(&record)).await,
        Ok(Signal::Gerrit(_))
    ));
    let (_, other) = ed25519();
    let why = refusal(&mail, &[other]).await;
    assert!(why.contains("does not hold"), "{why}");
}

#[tokio::test]
async fn other_texts_may_stand_beside_a_key() {
    let (key, record) = ed25519();
    let mail = signed(key);
    let others = ["google-site-verification=abc", "v=DKIM1; p=", "v=spf1 -all"];
    let mut records: Vec<String> = others.map(str::to_owned).into();
    let why = refusal(&mail, &records).await;
    assert!(why.contains("does not hold"), "{why}");
    records.push(record);
    read(&mail, &records).await.unwrap();
}

#[tokio::test]
async fn a_short_key_proves_nothing() {
    let der = BASE64_STANDARD.decode(SHORT_KEY).unwrap();
    let key = RsaKey::<Sha256>::from_key_der(PrivateKeyDer::Pkcs1(der.into())).unwrap();
    let record = record("rsa", &key.public_key());
    let why = refusal(&signed(key), &[record]).await;
    assert!(why.contains("does not hold"), "{why}");
}
