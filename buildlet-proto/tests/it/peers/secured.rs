//! Upstream's buildlet serves TLS with a key pair of our making.

use std::sync::Arc;

use buildlet_proto::client::{BuildletClient as _, CallError, Config, HttpClient};
use buildlet_proto::key::KeyPair;
use tokio_rustls::rustls::crypto::ring;

use super::go_buildlet::{drive, open};

#[tokio::test]
async fn a_go_buildlet_serves_tls_with_our_pair_and_is_known_by_its_key() {
    let pair = tokio::task::spawn_blocking(KeyPair::generate)
        .await
        .unwrap()
        .unwrap();
    assert!(pair.cert_pem().starts_with("-----BEGIN CERTIFICATE-----\n"));
    assert!(
        pair.key_pem()
            .starts_with("-----BEGIN RSA PRIVATE KEY-----\n")
    );
    let password = pair.password();
    let env = [
        ("META_tls_cert", pair.cert_pem()),
        ("META_tls_key", pair.key_pem()),
        ("META_password", &password),
    ];
    let Some((buildlet, address)) = open(&env).await else {
        return;
    };
    let client = |pair| {
        let provider = Arc::new(ring::default_provider());
        HttpClient::tls(&address, pair, provider, Config::default()).unwrap()
    };
    drive(&client(&pair), buildlet.work_dir()).await;

    let other = tokio::task::spawn_blocking(KeyPair::generate)
        .await
        .unwrap()
        .unwrap();
    assert_ne!(other.password(), password);
    let refused = client(&other).status().await.unwrap_err();
    assert!(matches!(refused, CallError::Connect(_)), "{refused:?}");
}
