//! The transport of the feature `hyper`, against a socket.

use gerrit::{AccountId, Auth, Client, Config, ErrorKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Answers one connection with `answer`, and returns what was asked.
async fn serve(listener: TcpListener, answer: &'static str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        asked.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
    String::from_utf8(asked).unwrap()
}

async fn ask(answer: &'static str) -> (Result<u64, gerrit::Error>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/r/", listener.local_addr().unwrap());
    let config = Config::default().auth(Auth::basic("u", "p")).attempts(1);
    let client = Client::new(&url, config).unwrap();
    let account = client.account(&AccountId::me());
    let (asked, got) = tokio::join!(serve(listener, answer), account.get());
    (got.map(|account| account.account_id), asked)
}

#[tokio::test]
async fn a_call_goes_over_a_socket() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n)]}'\n{\"_account_id\":7}";
    let (got, asked) = ask(answer).await;
    assert_eq!(got.unwrap(), 7);
    assert!(
        asked.starts_with("GET /r/a/accounts/self HTTP/1.1\r\n"),
        "{asked}"
    );
    let asked = asked.to_ascii_lowercase();
    for header in [
        "accept: application/json\r\n",
        "accept-encoding: gzip\r\n",
        "authorization: basic dtpw\r\n",
        "user-agent: gerrit-client/",
        "host: 127.0.0.1:",
    ] {
        assert!(asked.contains(header), "{header} in {asked}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_of_the_network() {
    let (got, _) = ask("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n)]}'\n{").await;
    assert_eq!(got.unwrap_err().kind(), ErrorKind::Network);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_of_the_network() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(&url, Config::default().attempts(1)).unwrap();
    let error = client.account(&AccountId::me()).get().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
}
