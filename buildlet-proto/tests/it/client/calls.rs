use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use buildlet_proto::client::{
    Archive, BuildletClient as _, CallError, Config, Content, Exec, ExecError, HttpClient,
};
use buildlet_proto::types::ext::ArchiveFormat;
use buildlet_proto::types::{ExecRequest, FileMode, ListRequest};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

use super::script::{Script, Then, exec_reply, reply};

#[tokio::test]
async fn every_request_carries_the_password_and_the_name_for_a_coordinator_in_between() {
    let script = Script::always(reply("200 OK", "/workdir"), Then::Stay);
    let config = Config::default()
        .heartbeat_interval(None)
        .host("builder-7")
        .password("sesame")
        .proxied("user-x-linux-0");
    let client = script.client(config);
    client.work_dir().await.unwrap();
    let expected = concat!(
        "GET /workdir HTTP/1.1\r\nHost: builder-7\r\nUser-Agent: buildlet-proto/",
        env!("CARGO_PKG_VERSION"),
        "\r\nAuthorization: Basic Z29tb3RlOnNlc2FtZQ==\r\nX-Buildlet-Proxy: user-x-linux-0\r\n\r\n"
    );
    assert_eq!(script.requests(), [expected]);
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let refused = |config: Config| HttpClient::tcp("x:80", config).unwrap_err().to_string();
    assert_eq!(
        refused(Config::default().heartbeat_failures(0)),
        "heartbeat failures must be at least 1"
    );
    assert_eq!(
        refused(Config::default().host("a\nb")),
        "host cannot be written in a header"
    );
    let debug = format!("{:?}", Config::default().password("sesame"));
    assert!(!debug.contains("sesame"), "{debug}");
}

#[tokio::test]
async fn proxied_ports_are_raw_connections_and_no_byte_behind_the_head_is_lost() {
    let head =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcpproxy\r\nConnection: upgrade\r\n\r\n";
    let script = Script::always(format!("{head}SSH-2.0-x\r\n"), Then::Hang);
    let client = script.client(Config::default().heartbeat_interval(None).proxied("b"));
    for io in [
        client.proxy_tcp(22).await,
        client.connect_ssh("root", "key").await,
    ] {
        let mut io = io.unwrap();
        let mut banner = [0; 11];
        io.read_exact(&mut banner).await.unwrap();
        assert_eq!(&banner, b"SSH-2.0-x\r\n");
        io.write_all(b"!").await.unwrap(); // after which the other side closes
        assert_eq!(io.read(&mut banner).await.unwrap(), 0);
    }
    let requests = script.requests();
    assert!(
        requests[0].starts_with("POST /tcpproxy HTTP/1.1\r\n"),
        "{}",
        requests[0]
    );
    assert!(
        requests[0].contains("\r\nX-Target-Port: 22\r\n"),
        "{}",
        requests[0]
    );
}

#[tokio::test]
async fn a_value_that_would_add_a_header_is_not_sent() {
    let script = Script::always(reply("200 OK", ""), Then::Stay);
    let client = script.quiet_client();
    let error = client
        .connect_ssh("root", "key\r\nX: y")
        .await
        .map(drop)
        .unwrap_err();
    assert!(matches!(error, CallError::Unsendable(_)));
    assert!(script.requests().is_empty());
}

#[tokio::test]
async fn contents_of_known_length_say_so() {
    let script = Script::always(reply("200 OK", "OK"), Then::Stay);
    let client = script.quiet_client();
    let mode = FileMode::from_unix(0o644);
    let sized = Content::from_sized_reader(&b"12345"[..], 3);
    client.put(sized, "f", mode).await.unwrap();
    client
        .put(Content::from_reader(&b"12345"[..]), "f", mode)
        .await
        .unwrap();
    let requests = script.requests();
    assert!(
        requests[0].ends_with("\r\nContent-Length: 3\r\n\r\n123"),
        "{}",
        requests[0]
    );
    assert!(
        requests[1].ends_with("\r\n\r\n5\r\n12345\r\n0\r\n\r\n"),
        "{}",
        requests[1]
    );
}

#[tokio::test]
async fn a_source_that_fails_or_ends_early_fails_the_call() {
    struct Broken;
    impl AsyncRead for Broken {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::Error::other("disk on fire")))
        }
    }
    let script = Script::always(reply("200 OK", "OK"), Then::Stay);
    let client = script.quiet_client();
    let archive = Archive::tar_gz(Content::from_reader(Broken));
    let error = client.put_tar(archive, "").await.unwrap_err();
    assert!(matches!(error, CallError::Source(_)), "{error:?}");
    assert_eq!(error.source().unwrap().to_string(), "disk on fire");

    let short = Content::from_sized_reader(&b"12345"[..], 10);
    let error = client
        .put(short, "f", FileMode::default())
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Connection(_)), "{error:?}");
    assert!(script.requests().is_empty());
}

#[tokio::test]
async fn an_archive_that_ends_in_the_middle_is_an_error() {
    for cut in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
    ] {
        let script = Script::always(cut, Then::Close);
        let client = script.quiet_client();
        let mut archive = client.get_tar("x", ArchiveFormat::TarGz).await.unwrap();
        let mut read = Vec::new();
        archive.read_to_end(&mut read).await.unwrap_err();
        assert_eq!(read, b"hello");
        assert_eq!(client.broken(), None);
    }
}

#[tokio::test]
async fn plain_tar_is_for_buildlets_that_offer_it() {
    for offers in [true, false] {
        let script = Script::new(move |request| {
            let plain = request.contains("\r\nX-Buildlet-Accept: tar\r\n");
            assert!(offers || !plain, "{request}");
            let answer = match request.split([' ', '?']).nth(1).unwrap() {
                "/status" if offers => reply(
                    "200 OK",
                    r#"{"Version":29,"Impl":"x","Extensions":["tar"]}"#,
                ),
                "/status" => reply("200 OK", r#"{"Version":29}"#),
                "/tgz" if plain => {
                    b"HTTP/1.1 200 OK\r\nX-Buildlet-Format: tar\r\nContent-Length: 3\r\n\r\ntar"
                        .to_vec()
                }
                "/tgz" => reply("200 OK", "tgz"),
                _ => reply("200 OK", "OK"),
            };
            (answer, Then::Stay)
        });
        let client = script.quiet_client();
        let archive = client.get_tar("x", ArchiveFormat::Tar).await.unwrap();
        let format = archive.format();
        assert_eq!(format == ArchiveFormat::Tar, offers);
        drop(archive);
        let put = client.put_tar(Archive::tar("tar"), "").await;
        assert_eq!(put.is_ok(), offers);
        let sent = script
            .requests()
            .iter()
            .any(|r| r.contains("X-Buildlet-Format: tar\r\n"));
        assert_eq!(sent, offers);
    }
}

#[tokio::test]
async fn a_long_refusal_is_cut() {
    let long = "x".repeat(100_000);
    let script = Script::always(reply("500 Internal Server Error", &long), Then::Stay);
    let client = script.quiet_client();
    let error = client.remove_all(&["x".into()]).await.unwrap_err();
    let CallError::Refused { text, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(text.len(), 4096);
}

#[tokio::test]
async fn a_status_without_end_is_bounded() {
    let long = format!("\"{}\"", "x".repeat(1 << 20));
    let script = Script::always(reply("200 OK", &long), Then::Stay);
    let error = script.quiet_client().status().await.unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "reply over 64 KiB");
}

#[tokio::test]
async fn a_head_and_trailers_without_end_are_bounded() {
    let long = format!("X-Y: {}\r\n", "y".repeat(1000)).repeat(1000);
    let head = Script::always(format!("HTTP/1.1 200 OK\r\n{long}"), Then::Hang);
    let error = head.quiet_client().status().await.unwrap_err();
    assert!(matches!(error, CallError::Connection(_)), "{error:?}");

    let exec = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    let trailers = Script::always(format!("{exec}{long}"), Then::Hang);
    let client = trailers.quiet_client();
    let error = client.exec(ExecRequest::new("x").into()).await.unwrap_err();
    assert!(matches!(error, ExecError::Cut(_)), "{error:?}");
}

#[tokio::test]
async fn a_listing_is_read_line_by_line_however_it_is_cut() {
    let text = "drwxr-xr-x\tsrc/\n-rw-r--r--\tsrc/a b\t3\t2001-09-09T01:46:40Z\nLrwxrwxrwx\tl\n";
    for piece in [1, 2, 3, 7, 1000] {
        let mut answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
        for chunk in text.as_bytes().chunks(piece) {
            let chunk = str::from_utf8(chunk).unwrap();
            answer += &format!("{:x}\r\n{chunk}\r\n", chunk.len());
        }
        let script = Script::always(answer + "0\r\n\r\n", Then::Stay);
        let client = script.quiet_client();
        let listing = client.list_dir(ListRequest::new("")).await.unwrap();
        let entries = listing.collect().await.unwrap();
        let names: Vec<_> = entries
            .iter()
            .map(|entry| entry.name().into_owned())
            .collect();
        assert_eq!(names, ["src", "src/a b", "l"]);
    }
}

#[tokio::test]
async fn a_bad_line_is_an_error_and_the_others_are_read() {
    let text = "drwxr-xr-x\tsrc/\n-rw-r--r--\tname\nwith line feed\t0\t2001-09-09T01:46:40Z\nLrwxrwxrwx\tl";
    let script = Script::always(reply("200 OK", text), Then::Stay);
    let client = script.quiet_client();
    let mut listing = client.list_dir(ListRequest::new("")).await.unwrap();
    let mut seen = Vec::new();
    loop {
        match listing.next().await {
            Ok(Some(entry)) => seen.push(entry.name().into_owned()),
            Ok(None) => break,
            Err(error) => seen.push(error.source().unwrap().to_string()),
        }
    }
    let bad = r#"line "with line feed\t0\t2001-09-09T01:46:40Z" has no file mode"#;
    assert_eq!(seen, ["src", "name", bad, "l"]);
}

#[tokio::test]
async fn a_line_without_end_is_bounded() {
    let text = "x".repeat(1 << 20);
    let script = Script::always(reply("200 OK", &text), Then::Stay);
    let client = script.quiet_client();
    let mut listing = client.list_dir(ListRequest::new("")).await.unwrap();
    let error = listing.next().await.unwrap_err();
    assert_eq!(
        error.source().unwrap().to_string(),
        "line of a listing over 64 KiB"
    );
    assert_eq!(listing.next().await.unwrap(), None);
}

#[tokio::test]
async fn output_comes_as_it_is_written() {
    let script = Script::always(exec_reply("hello", "exit status 7"), Then::Stay);
    let client = script.quiet_client();
    let mut running = client.start(ExecRequest::new("x")).await.unwrap();
    assert_eq!(running.next_output().await.unwrap().unwrap(), "hello");
    assert_eq!(running.outcome(), None);
    assert_eq!(running.next_output().await.unwrap(), None);
    assert_eq!(running.outcome().unwrap().state.exit_code(), Some(7));
    let outcome = running.wait().await.unwrap();
    assert_eq!(outcome.success().unwrap_err().to_string(), "exit status 7");

    let running = client.start(ExecRequest::new("x")).await.unwrap();
    let (kept, _) = running.collect(3).await.unwrap();
    assert_eq!(kept, "hel");
}

#[tokio::test]
async fn a_sink_that_fails_ends_the_command() {
    let script = Script::always(exec_reply(&"x".repeat(1000), "ok"), Then::Stay);
    let client = script.quiet_client();
    let (theirs, sink) = tokio::io::duplex(10);
    drop(theirs);
    let error = client
        .exec(Exec::from(ExecRequest::new("x")).output(sink))
        .await
        .unwrap_err();
    assert!(matches!(error, ExecError::Output(_)) && !error.breaks());
    assert_eq!(client.broken(), None);
}

#[tokio::test]
async fn dropping_a_command_closes_its_connection() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n";
    let script = Script::always(head, Then::Hang);
    let client = script.quiet_client();
    let exec = client.exec(ExecRequest::new("x").into());
    tokio::time::timeout(Duration::from_millis(50), exec)
        .await
        .unwrap_err();
    let closed = async {
        while script.closed() < 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_cannot_be_made_is_told_in_time() {
    struct Never;
    #[async_trait::async_trait]
    impl buildlet_proto::client::Connector for Never {
        async fn connect(&self) -> io::Result<buildlet_proto::client::BoxIo> {
            std::future::pending().await
        }
    }
    let config = Config::default().heartbeat_interval(None);
    let client = HttpClient::new(Never, "x", config).unwrap();
    let error = client.remove_all(&["x".into()]).await.unwrap_err();
    assert_eq!(
        error.source().unwrap().to_string(),
        "no connection within 20s"
    );

    let script = Script::always("", Then::Stay);
    script.refuse();
    let error = script
        .quiet_client()
        .remove_all(&["x".into()])
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Connect(_)));
}
