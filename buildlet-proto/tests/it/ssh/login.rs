use std::time::Duration;

use buildlet_proto::ssh::{AuthorizedKeys, HostKey};
use russh::MethodKind;
use russh::client::AuthResult;

use super::host::{Host, USER, line_of, new_key, offer};

#[tokio::test]
async fn only_a_known_key_of_the_same_user_gets_in() {
    let host = Host::start().await;
    let mut handle = host.connect().await.unwrap();
    assert!(!offer(&mut handle, USER, &new_key()).await.success());
    assert!(!offer(&mut handle, "root", &host.key).await.success());
    assert!(offer(&mut handle, USER, &host.key).await.success());
}

#[tokio::test]
async fn keys_can_be_added_while_the_server_runs() {
    let host = Host::start().await;
    let (mut handle, second) = (host.connect().await.unwrap(), new_key());
    assert!(!offer(&mut handle, "second", &second).await.success());
    host.server
        .keys()
        .authorize("second", &line_of(&second))
        .unwrap();
    assert!(offer(&mut handle, "second", &second).await.success());
    // Upstream's server only ever checks the first key it was given.
    assert!(
        offer(&mut host.connect().await.unwrap(), USER, &host.key)
            .await
            .success()
    );
}

#[tokio::test]
async fn a_server_without_keys_lets_nobody_in() {
    let host = Host::start_with(|config| config.keys(AuthorizedKeys::new())).await;
    let mut handle = host.connect().await.unwrap();
    assert!(!offer(&mut handle, "", &new_key()).await.success());
}

#[tokio::test]
async fn there_are_no_passwords_and_nothing_is_free() {
    let host = Host::start().await;
    let mut handle = host.connect().await.unwrap();
    let AuthResult::Failure {
        remaining_methods, ..
    } = handle.authenticate_none(USER).await.unwrap()
    else {
        panic!("let in for nothing")
    };
    assert_eq!(*remaining_methods, [MethodKind::PublicKey]);
    assert!(
        !handle
            .authenticate_password(USER, "")
            .await
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn a_connection_has_a_limit_of_refused_keys() {
    let host = Host::start_with(|config| config.max_auth_attempts(2)).await;
    let mut handle = host.connect().await.unwrap();
    let _ = handle.authenticate_none(USER).await;
    for _ in 0..2 {
        assert!(!offer(&mut handle, USER, &new_key()).await.success());
    }
    let key = russh::keys::PrivateKeyWithHashAlg::new(std::sync::Arc::clone(&host.key), None);
    assert!(
        !handle
            .authenticate_publickey(USER, key)
            .await
            .is_ok_and(|result| result.success())
    );
}

#[tokio::test]
async fn a_refusal_takes_its_time() {
    let host = Host::start_with(|config| config.refusal_time(Duration::from_millis(300))).await;
    let mut handle = host.connect().await.unwrap();
    let began = std::time::Instant::now();
    assert!(!offer(&mut handle, USER, &new_key()).await.success());
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn the_host_is_known_by_its_key() {
    let key = HostKey::generate();
    let host = Host::start_with(|config| config.host_key(key.clone())).await;
    assert_eq!(host.server.host_key(), key.public_key());
    // The client of these tests takes no other.
    host.login().await;
}

#[tokio::test]
async fn nothing_can_be_done_before_logging_in() {
    let host = Host::start().await;
    let handle = host.connect().await.unwrap();
    let opened = tokio::time::timeout(Duration::from_secs(1), handle.channel_open_session()).await;
    assert!(!matches!(opened, Ok(Ok(_))));
}
