//! Upstream's buildlet registers at our front door, and our client drives it.

use std::sync::Arc;
use std::time::Duration;

use buildlet_proto::client::{BrokenReason, BuildletClient as _, Config, HttpClient};
use buildlet_proto::key::MasterKey;
use buildlet_proto::types::ExecRequest;
use revdial::proto::{Claim, Refusal, Worker};
use revdial::serve_tls::{Acceptor, server_config, tolerant};
use revdial::{Accepted, Arrival, FrontDoor, FrontDoorConfig, PickupRegistry, Registered};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::ring;
use tokio_util::task::AbortOnDropHandle;

use super::go_buildlet::{GoBuildlet, drive};

const HOST_TYPE: &str = "test-reverse-dial";
const LIMIT: Duration = Duration::from_secs(30);

/// A coordinator that hands on who registers.
struct Coordinator {
    port: u16,
    registered: mpsc::Receiver<Registered>,
    _task: AbortOnDropHandle<()>,
}

impl Coordinator {
    /// Listens on a port that is not 443, for TLS, or for a proxy's `CONNECT` before it.
    async fn start(behind_proxy: bool) -> Self {
        let check = |claim: &Claim| match claim.worker() {
            Worker::Buildlet { host_type, key, .. }
                if MasterKey::development().verify(host_type, key) =>
            {
                Ok(())
            }
            _ => Err(Refusal::INVALID_KEY),
        };
        let config = FrontDoorConfig::default();
        let door = FrontDoor::new(config, PickupRegistry::new(), check).unwrap();
        let tls = acceptor();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = tcp.local_addr().unwrap().port();
        let (sender, registered) = mpsc::channel(8);
        let arriving = move |mut tcp: TcpStream| {
            let tls = tls.clone();
            async move {
                if behind_proxy {
                    be_proxy(&mut tcp).await;
                }
                Ok(Arrival::tls(tls.accept(tcp).await?))
            }
        };
        let serving = async move {
            let handle = move |accepted| {
                let sender = sender.clone();
                async move {
                    if let Ok(Accepted::Registered(worker)) = accepted {
                        let _ = sender.send(worker).await;
                    }
                }
            };
            match door.serve(tcp, arriving, handle).await {}
        };
        Self {
            port,
            registered,
            _task: AbortOnDropHandle::new(tokio::spawn(serving)),
        }
    }

    async fn next(&mut self) -> HttpClient {
        let worker = timeout(LIMIT, self.registered.recv()).await;
        let worker = worker.expect("no buildlet registers").unwrap();
        let Worker::Buildlet { host_type, .. } = worker.claim.worker() else {
            panic!("{:?}", worker.claim);
        };
        assert_eq!(host_type, HOST_TYPE);
        let host = worker.claim.host_name().to_owned();
        HttpClient::reverse(worker.dialer, &host, Config::default()).unwrap()
    }
}

fn acceptor() -> Acceptor {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = pair.signing_key.serialize_der().try_into().unwrap();
    let provider = tolerant(ring::default_provider());
    let config = server_config(provider, vec![pair.cert.into()], key).unwrap();
    Acceptor::new(Arc::new(config)).unwrap()
}

/// Takes a `CONNECT` for the coordinator's name, and is the coordinator.
async fn be_proxy(tcp: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"CONNECT coordinator.invalid:443 HTTP/1.1\r\n"));
    tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
}

#[tokio::test]
async fn a_go_buildlet_registers_on_any_port_and_is_driven_and_comes_back() {
    let Some(program) = harness::upstream_or_skip("buildlet") else {
        return;
    };
    let mut coordinator = Coordinator::start(false).await;
    // With a port in the name, which Go sends as it is.
    let address = format!("localhost:{}", coordinator.port);
    let args = [
        "-reverse-type",
        HOST_TYPE,
        "-coordinator",
        &address,
        "-hostname",
        "my-host",
    ];
    let mut buildlet = GoBuildlet::start(&program, &args, &[]);
    let client = coordinator.next().await;
    assert_eq!(client.name(), "my-host");
    drive(&client, buildlet.work_dir()).await;

    // A crash is noticed at once, by the end of the control connection.
    let request = ExecRequest::new("sleep").arg("1000").system_level(true);
    let running = client.start(request).await.unwrap();
    buildlet.kill();
    timeout(LIMIT, client.dead()).await.unwrap();
    assert!(running.wait().await.unwrap_err().breaks());
    assert!(client.status().await.is_err());
    assert!(client.broken().is_some());

    buildlet.restart(&program, &args);
    let client = coordinator.next().await;
    drive(&client, buildlet.work_dir()).await;

    // The ordinary end: it halts, exits, and a supervisor would start it again.
    client.close().await;
    assert_eq!(client.broken(), Some(BrokenReason::Closed));
    assert_eq!(buildlet.exited().await, Some(0));
}

#[tokio::test]
async fn a_go_buildlet_registers_at_a_name_with_port_443_through_a_proxy() {
    let Some(program) = harness::upstream_or_skip("buildlet") else {
        return;
    };
    let mut coordinator = Coordinator::start(true).await;
    let proxy = format!("http://127.0.0.1:{}", coordinator.port);
    let args = [
        "-reverse-type",
        HOST_TYPE,
        "-coordinator",
        "coordinator.invalid:443",
    ];
    let env = [
        ("HTTPS_PROXY", &proxy[..]),
        ("https_proxy", &proxy),
        ("NO_PROXY", ""),
    ];
    let buildlet = GoBuildlet::start(&program, &args, &env);
    let client = coordinator.next().await;
    drive(&client, buildlet.work_dir()).await;
}
