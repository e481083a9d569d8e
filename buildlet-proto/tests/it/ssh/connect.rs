//! The server behind `/connect-ssh`, from client to shell.

use buildlet_proto::client::{BuildletClient as _, Config as ClientConfig, HttpClient};
use buildlet_proto::server::Config;
use buildlet_proto::ssh::{BuiltIn, Config as SshConfig, Server};
use tokio::time::timeout;

use super::host::{
    Client, LIMIT, USER, eventually, line_of, new_key, offer, read_until, run_in, runs,
};
use crate::server::Buildlet;

async fn login(ssh: &Server, buildlet: &Buildlet) -> russh::client::Handle<Client> {
    let key = new_key();
    let client = HttpClient::tcp(&buildlet.address.to_string(), ClientConfig::default()).unwrap();
    let io = timeout(LIMIT, client.connect_ssh(USER, &line_of(&key)))
        .await
        .unwrap()
        .unwrap();
    let mut handle = russh::client::connect_stream(Default::default(), io, Client::of(ssh))
        .await
        .unwrap();
    assert!(offer(&mut handle, USER, &key).await.success());
    handle
}

#[tokio::test]
async fn a_client_of_the_buildlet_gets_a_shell_with_the_key_it_brings() {
    let folder = tempfile::tempdir().unwrap();
    let ssh = Server::new(SshConfig::new(folder.path()).shell("/bin/sh")).unwrap();
    let buildlet = Buildlet::start(Config::default().ssh(BuiltIn::new(ssh.clone()))).await;
    let handle = login(&ssh, &buildlet).await;
    let ended = run_in(
        handle.channel_open_session().await.unwrap(),
        "cat; pwd",
        b"typed ",
    )
    .await;
    assert_eq!(ended.text(), format!("typed {}\n", folder.path().display()));
    // And another, with another key.
    login(&ssh, &buildlet).await;
}

#[tokio::test]
async fn connections_end_with_the_buildlet() {
    let folder = tempfile::tempdir().unwrap();
    let ssh = Server::new(SshConfig::new(folder.path()).shell("/bin/sh")).unwrap();
    let buildlet = Buildlet::start(Config::default().ssh(BuiltIn::new(ssh.clone()))).await;
    let handle = login(&ssh, &buildlet).await;
    let mut channel = handle.channel_open_session().await.unwrap();
    channel
        .exec(true, "echo $$ done; sleep 1000")
        .await
        .unwrap();
    let seen = read_until(&mut channel, "done").await;
    let pid = seen.split_whitespace().next().unwrap();
    assert!(runs(pid));
    buildlet.stop.cancel();
    eventually("the process ends", || !runs(pid)).await;
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let ssh = Server::new(SshConfig::new(folder.path())).unwrap();
    let buildlet = Buildlet::start(Config::default().ssh(BuiltIn::new(ssh))).await;
    let client = HttpClient::tcp(&buildlet.address.to_string(), ClientConfig::default()).unwrap();
    let refused = client
        .connect_ssh(USER, "command=\"true\" ssh-ed25519 AAAA")
        .await;
    let Err(error) = refused else {
        panic!("let in")
    };
    assert!(
        format!("{error:?}").contains("adding ssh authorized key"),
        "{error:?}"
    );
}
