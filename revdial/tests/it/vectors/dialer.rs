//! `dialer.json`: a Go coordinator at a scripted buildlet, and ours at the same.

use std::time::Duration;

use revdial::proto::{DialerId, PickupPath};
use revdial::{Connection, DialError, Dialer, DialerConfig, PickupRegistry, SessionEnd};
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex,
};

use super::{ID, case, texts};

const DIALER: &str = include_str!("../../data/dialer.json");

/// A dialer of ours, whose listener is the test.
struct Scripted {
    registry: PickupRegistry,
    dialer: Dialer,
    control: BufReader<DuplexStream>,
}

impl Scripted {
    fn begin(path: &str) -> Self {
        let registry = PickupRegistry::new();
        let (control, ours) = duplex(1 << 16);
        let id = DialerId::parse(ID).unwrap();
        let path = PickupPath::new(path).unwrap();
        let dialer = Dialer::new(ours, &path, id, &registry, DialerConfig::default()).unwrap();
        Self {
            registry,
            dialer,
            control: BufReader::new(control),
        }
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.control.read_line(&mut line).await.unwrap();
        line
    }

    /// Begins a dial, and waits until the listener is asked.
    async fn dial(
        &mut self,
        limit: Duration,
    ) -> tokio::task::JoinHandle<Result<Connection, DialError>> {
        let dialer = self.dialer.clone();
        let dialing = tokio::spawn(async move { dialer.dial_within(limit).await });
        while !self.line().await.contains("conn-ready") {}
        dialing
    }

    fn deliver(&self) -> DuplexStream {
        let (theirs, ours) = duplex(1024);
        self.registry
            .deliver(self.dialer.id(), Connection::new(ours))
            .unwrap();
        theirs
    }
}

const SOON: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn a_pick_up_that_failed_is_the_error_of_the_dial_that_waits() {
    let case = case(
        DIALER,
        "pickup-failed becomes the error of the waiting dial",
    );
    let mut peer = Scripted::begin("/revdial");
    let dialing = peer.dial(SOON).await;
    let line = case["control_line_from_buildlet"].as_str().unwrap();
    peer.control
        .write_all(format!("{line}\n").as_bytes())
        .await
        .unwrap();
    let error = dialing.await.unwrap().unwrap_err().to_string();
    assert!(
        case["error_of_the_http_call"]
            .as_str()
            .unwrap()
            .ends_with(&error),
        "{error}"
    );
    assert_eq!(case["client_marked_broken"], false);
    assert!(!peer.dialer.is_closed());
}

#[tokio::test(start_paused = true)]
async fn lines_that_are_none_end_the_session_and_unknown_commands_do_not() {
    for (name, line, lives) in [
        ("line that is not JSON", "xyz\n".to_owned(), false),
        (
            "line over 4096 bytes with its newline",
            format!("{}{{}}\n", " ".repeat(4094)),
            false,
        ),
        (
            "unknown command",
            "{\"command\":\"hello\"}\n".to_owned(),
            true,
        ),
    ] {
        let case = case(DIALER, name);
        assert_eq!(case["result"] == "ignored, connection stays", lives);
        let mut peer = Scripted::begin("/revdial");
        peer.control.write_all(line.as_bytes()).await.unwrap();
        if lives {
            let dialing = peer.dial(SOON).await;
            peer.deliver();
            dialing.await.unwrap().unwrap();
        } else {
            assert!(
                matches!(peer.dialer.closed().await, SessionEnd::Protocol(_)),
                "{name}"
            );
            assert!(peer.registry.is_empty());
        }
    }
}

/// Here ours differs: with upstream's dialer, the next dial fails with the text that nobody waited for.
#[tokio::test(start_paused = true)]
async fn a_failure_that_nobody_waits_for_is_forgotten() {
    let case = case(DIALER, "pickup-failed while nobody dials");
    let mut peer = Scripted::begin("/revdial");
    let line = case["control_line_from_buildlet"].as_str().unwrap();
    peer.control
        .write_all(format!("{line}\n").as_bytes())
        .await
        .unwrap();
    let dialing = peer.dial(SOON).await;
    peer.deliver();
    dialing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_gave_up_leaves_its_connection_to_the_next() {
    let case = case(DIALER, "dial whose context ends after conn-ready");
    assert!(
        case["result"]
            .as_str()
            .unwrap()
            .contains("handed to the next dial")
    );
    let mut peer = Scripted::begin("/revdial");
    let dialing = peer.dial(Duration::from_secs(1)).await;
    assert!(matches!(
        dialing.await.unwrap(),
        Err(DialError::TimedOut { .. })
    ));
    let mut theirs = peer.deliver();
    theirs.write_all(b"!").await.unwrap();
    let mut conn = peer.dialer.dial().await.unwrap();
    assert_eq!(conn.read_u8().await.unwrap(), b'!');
}

#[tokio::test(start_paused = true)]
async fn a_dial_on_a_closed_dialer_fails_with_upstreams_words() {
    let case = case(DIALER, "dial on a closed dialer");
    let peer = Scripted::begin("/revdial");
    peer.dialer.close().await;
    let error = peer.dialer.dial().await.unwrap_err();
    assert_eq!(error.to_string(), case["error"].as_str().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_pick_up_path_may_have_a_query() {
    let case = case(DIALER, "connPath that has a query");
    let mut peer = Scripted::begin(case["dialer_path"].as_str().unwrap());
    let _dialing = tokio::spawn({
        let dialer = peer.dialer.clone();
        async move { dialer.dial().await }
    });
    for expected in texts(&case["control_lines"]) {
        assert_eq!(
            peer.line().await,
            expected.replace("48594f23e6936107534fa533c8f337b2", ID)
        );
    }
}
