//! Where TLS records end: a Go listener loses what stands behind a reply's head in the same record. And that ours loses nothing.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use revdial::trust::Trust;
use revdial::{
    DialerConfig, FrontDoorConfig, Listener, ListenerConfig, Registration, TcpConnector,
};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls;

use crate::over_tls::{self, Coordinator, Stream};

const KEEP_ALIVE: &str = "{\"command\":\"keep-alive\"}\n";
const REGISTRATION: &str = "GET /reverse HTTP/1.1\r\nHost: \r\nX-Go-Builder-Hostname: host-a\r\n\
    X-Go-Builder-Key: 9322a0f46b098a3218073b0711fbdccd\r\nX-Go-Builder-Version: 29\r\n\
    X-Go-Host-Type: host-linux-bullseye\r\nX-Revdial-Version: 2\r\n\r\n";
const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

#[tokio::test]
async fn the_answer_to_a_registration_ends_a_record() {
    for version in VERSIONS {
        // Wants connections at once, so there is something to say.
        let config = FrontDoorConfig::default().dialer(DialerConfig::default().warm(4));
        let mut coordinator = Coordinator::start(config).await;
        let mut worker =
            Client::connect(coordinator.addr, client_config(&coordinator, version)).await;
        worker.send(REGISTRATION.as_bytes()).await;
        let _registered = coordinator.registered().await;
        worker.switched().await;
        let first = String::from_utf8(worker.record().await).unwrap();
        assert!(first.starts_with(KEEP_ALIVE), "{first}");
    }
}

#[tokio::test]
async fn the_answer_to_a_pick_up_ends_a_record() {
    for version in VERSIONS {
        let mut coordinator = Coordinator::start(FrontDoorConfig::default()).await;
        let config = client_config(&coordinator, version);
        let mut worker = Client::connect(coordinator.addr, config.clone()).await;
        worker.send(REGISTRATION.as_bytes()).await;
        let dialer = coordinator.registered().await.dialer;
        worker.switched().await;
        for _ in 0..20 {
            let mut pickup = Client::connect(coordinator.addr, config.clone()).await;
            let request = format!(
                "GET /revdial?revdial.dialer={} HTTP/1.1\r\nHost: \r\n\r\n",
                dialer.id()
            );
            // One write, but a part of it is for whoever dials.
            let request = request + "early";
            let (dialed, ()) = tokio::join!(
                async {
                    let mut conn = dialer.dial().await.unwrap();
                    conn.write_all(b"GET /status").await.unwrap();
                    conn.flush().await.unwrap();
                    conn
                },
                pickup.send(request.as_bytes()),
            );
            pickup.switched().await;
            assert_eq!(pickup.record().await, b"GET /status");
            reads(dialed, b"early").await;
        }
    }
}

#[tokio::test]
async fn what_stands_behind_an_answer_in_its_record_reaches_the_worker() {
    let mut coordinator = Coordinator::start(FrontDoorConfig::default()).await;
    let config = over_tls::client_config(Trust::Roots(coordinator.roots()));
    let address = format!("localhost:{}", coordinator.addr.port());
    let connector = TcpConnector::new(&address).unwrap().tls(config).unwrap();
    let registration = Registration::buildlet("type", "key", "host-a", "29")
        .unwrap()
        .path("/by-hand")
        .unwrap();
    let registering = Listener::register(connector, registration, ListenerConfig::default());
    let (listener, control) = tokio::join!(
        registering,
        answer(
            &mut coordinator,
            "{\"command\":\"conn-ready\",\"connPath\":\"/pick-up\"}\n"
        )
    );
    let mut listener = listener.unwrap();
    let _pickup = answer(&mut coordinator, "early").await;
    reads(listener.accept().await.unwrap(), b"early").await;
    drop(control);
}

/// Answers the next request with `101` and with what is behind it, in one record.
async fn answer(coordinator: &mut Coordinator, behind: &str) -> Stream {
    let mut stream = coordinator.other().await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let bytes = format!("HTTP/0.0 101 Switching Protocols\r\n\r\n{behind}");
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

async fn reads(mut conn: revdial::Connection, want: &[u8]) {
    let mut got = vec![0; want.len()];
    timeout(LIMIT, conn.read_exact(&mut got))
        .await
        .expect("the bytes are there")
        .unwrap();
    assert_eq!(got, want);
}

fn client_config(
    coordinator: &Coordinator,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(coordinator.roots())
        .with_no_client_auth();
    Arc::new(config)
}

/// No step of a test takes long; what takes this long hangs.
const LIMIT: Duration = Duration::from_secs(20);

/// A client that sees what each record holds.
struct Client {
    tcp: TcpStream,
    tls: ClientConnection,
}

impl Client {
    async fn connect(addr: SocketAddr, config: Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = Self {
            tcp: TcpStream::connect(addr).await.unwrap(),
            tls: ClientConnection::new(config, name).unwrap(),
        };
        client.flush().await;
        while client.tls.is_handshaking() {
            client.receive().await.unwrap();
            client.flush().await;
        }
        client
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).unwrap();
        self.flush().await;
    }

    async fn flush(&mut self) {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).unwrap();
        }
        self.tcp.write_all(&bytes).await.unwrap();
    }

    /// Takes in one record, whatever its kind.
    async fn receive(&mut self) -> io::Result<()> {
        let mut record = vec![0; 5];
        self.tcp.read_exact(&mut record).await?;
        record.resize(
            5 + usize::from(u16::from_be_bytes([record[3], record[4]])),
            0,
        );
        self.tcp.read_exact(&mut record[5..]).await?;
        assert_eq!(self.tls.read_tls(&mut &record[..]).unwrap(), record.len());
        self.tls.process_new_packets().unwrap();
        Ok(())
    }

    /// What the next record holds that holds anything: tickets are in records without plain text.
    async fn record(&mut self) -> Vec<u8> {
        loop {
            let received = timeout(LIMIT, self.receive()).await;
            received.expect("a record comes").unwrap();
            let mut text = Vec::new();
            match self.tls.reader().read_to_end(&mut text) {
                Ok(_) => panic!("the connection ends"),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            if !text.is_empty() {
                return text;
            }
        }
    }

    /// The records up to the one that holds the end of a head.
    async fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.contains("\r\n\r\n") {
            head += &String::from_utf8(self.record().await).unwrap();
        }
        head
    }

    /// A switch of protocols, and nothing behind it.
    async fn switched(&mut self) {
        let head = self.head().await;
        assert!(
            head.contains(" 101 ") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
    }
}
