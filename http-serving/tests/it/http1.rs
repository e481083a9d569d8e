use std::time::Duration;

use http_serving::{ConnectionError, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{BIG, Desk, LIMIT, ask, read_all, read_until, run};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn requests_are_answered_one_after_the_other_and_the_service_knows_who_asks() {
    let server = run(Server::default()).await;
    let mut tcp = server.ask("/").await;
    assert!(
        read_until(&mut tcp, "hello")
            .await
            .starts_with("HTTP/1.1 200")
    );
    ask(&mut tcp, "/who").await;
    let answer = read_until(&mut tcp, "})").await;
    let ours = tcp.local_addr().unwrap();
    assert!(
        answer.contains(&format!("address: {ours}, is_secured: false")),
        "{answer}"
    );
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_a_place() {
    let server = run(Server::default().max_connections(2)).await;
    let mut first = server.ask("/wait").await;
    let _second = server.ask("/never").await;
    server.desk.under_way(2).await;
    let mut third = server.ask("/").await;
    // It could be answered by now, and is not.
    let early = timeout(Duration::from_millis(100), third.read_u8()).await;
    assert!(early.is_err());
    server.desk.release();
    read_until(&mut first, "released").await;
    drop(first);
    read_until(&mut third, "hello").await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_slowly_ends_the_connection_and_so_does_none() {
    for begin in ["GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", ""] {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let server = Server::default().head_limit(5 * SECOND);
        let began = Instant::now();
        let serving = tokio::spawn(async move {
            let stop = CancellationToken::new();
            server
                .serve_connection(ours, Desk::default().service(None), &stop)
                .await
        });
        // After a request that was in time.
        ask(&mut theirs, "/").await;
        read_until(&mut theirs, "hello").await;
        theirs.write_all(begin.as_bytes()).await.unwrap();
        if !begin.is_empty() {
            for _ in 0..4 {
                sleep(SECOND).await;
                theirs.write_all(b"x").await.unwrap();
            }
        }
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 5, "after {begin:?}");
        let _ = serving.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_its_answer_is_left() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let server = Server::default().write_limit(7 * SECOND);
    ask(&mut theirs, "/big").await;
    let began = Instant::now();
    let stop = CancellationToken::new();
    let ended = server
        .serve_connection(ours, Desk::default().service(None), &stop)
        .await;
    assert!(matches!(ended, Err(ConnectionError::Http(_))), "{ended:?}");
    assert_eq!(began.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_all_of_its_answer() {
    let (ours, mut theirs) = tokio::io::duplex(BIG / 8);
    let server = Server::default().write_limit(7 * SECOND);
    tokio::spawn(async move {
        let stop = CancellationToken::new();
        let service = Desk::default().service(None);
        let _ = server.serve_connection(ours, service, &stop).await;
    });
    ask(&mut theirs, "/big").await;
    read_until(&mut theirs, "\r\n\r\n").await;
    let mut piece = vec![0; BIG / 16];
    for _ in 0..16 {
        sleep(6 * SECOND).await;
        theirs.read_exact(&mut piece).await.unwrap();
    }
    assert!(piece.iter().all(|byte| *byte == b'x'));
}

#[tokio::test]
async fn a_head_that_is_too_long_or_has_too_many_fields_is_refused() {
    let server = run(Server::default().max_head_bytes(8 << 10).max_headers(3)).await;
    for fields in [
        format!("X: {}\r\n", "y".repeat(9 << 10)),
        "A: b\r\n".repeat(4),
    ] {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        let answer = read_all(&mut tcp).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}

#[tokio::test]
async fn the_end_waits_for_what_is_being_answered_and_for_nothing_else() {
    let mut server = run(Server::default().stop_limit(LIMIT)).await;
    let mut idle = server.ask("/").await;
    read_until(&mut idle, "hello").await;
    let mut asking = server.ask("/wait").await;
    server.desk.under_way(1).await;
    server.stop.cancel();
    assert_eq!(read_all(&mut idle).await, "");
    let refused = async {
        while TcpStream::connect(server.address).await.is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, refused).await.expect("the port is closed");
    assert!(!server.task.is_finished());
    server.desk.release();
    let answer = read_all(&mut asking).await;
    assert!(answer.ends_with("released"), "{answer}");
    timeout(LIMIT, &mut server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_that_never_ends_is_cut_off() {
    let mut server = run(Server::default().stop_limit(Duration::from_millis(100))).await;
    let mut waiting = server.ask("/never").await;
    let mut reading = server.ask("/news").await;
    server.desk.under_way(2).await;
    read_until(&mut reading, "some\n").await;
    server.stop.cancel();
    timeout(LIMIT, &mut server.task).await.unwrap().unwrap();
    assert_eq!(read_all(&mut waiting).await, "");
    let _ = read_all(&mut reading).await;
    server.desk.under_way(0).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_served_by_itself_says_that_it_did_not_end_in_time() {
    for limit in [0, 5] {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let (desk, stop) = (Desk::default(), CancellationToken::new());
        let (service, stopping) = (desk.service(None), stop.clone());
        let server = Server::default().stop_limit(limit * SECOND);
        let serving =
            tokio::spawn(async move { server.serve_connection(ours, service, &stopping).await });
        ask(&mut theirs, "/never").await;
        desk.under_way(1).await;
        let began = Instant::now();
        stop.cancel();
        let ended = serving.await.unwrap();
        assert!(
            matches!(ended, Err(ConnectionError::Unfinished)),
            "{ended:?}"
        );
        assert_eq!(began.elapsed().as_secs(), u64::from(limit));
    }
}

#[tokio::test]
async fn dropping_the_server_ends_everything() {
    let server = run(Server::default()).await;
    let mut waiting = server.ask("/never").await;
    server.desk.under_way(1).await;
    server.task.abort();
    assert_eq!(read_all(&mut waiting).await, "");
    server.desk.under_way(0).await;
    assert!(TcpStream::connect(server.address).await.is_err());
}
