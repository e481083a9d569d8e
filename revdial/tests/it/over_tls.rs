//! A coordinator as a program would have one: TCP, TLS, a front door.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use revdial::proto::{Claim, Refusal, Worker};
use revdial::serve_tls::{Acceptor, TolerantIo, server_config, tolerant};
use revdial::trust::Trust;
use revdial::{Accepted, Arrival, FrontDoor, FrontDoorConfig, PickupRegistry, Registered, Rewind};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::rustls;
use tokio_rustls::server::TlsStream;

/// The key that `gorevlistener` has.
const KEY: &str = "9322a0f46b098a3218073b0711fbdccd";

pub(crate) type Stream = Rewind<TlsStream<TolerantIo<TcpStream>>>;

pub(crate) struct Coordinator {
    pub(crate) addr: SocketAddr,
    certificate: CertifiedKey<KeyPair>,
    registered: mpsc::Receiver<Registered>,
    others: mpsc::Receiver<Stream>,
    _serving: JoinSet<()>,
}

impl Coordinator {
    pub(crate) async fn start(config: FrontDoorConfig) -> Self {
        let certificate = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let chain = vec![certificate.cert.der().clone()];
        let key = certificate.signing_key.serialize_der().try_into().unwrap();
        let server = server_config(tolerant(ring::default_provider()), chain, key).unwrap();
        let acceptor = Acceptor::new(server.into()).unwrap();
        let door = FrontDoor::new(config, PickupRegistry::new(), authorize).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (register, registered) = mpsc::channel(100);
        let (give, others) = mpsc::channel(100);
        let arrive = move |tcp: TcpStream| {
            let acceptor = acceptor.clone();
            async move {
                tcp.set_nodelay(true)?;
                Ok(Arrival::tls(acceptor.accept(tcp).await?))
            }
        };
        let handle = move |accepted| {
            let (register, give) = (register.clone(), give.clone());
            async move {
                // What is refused is looked at from the other side.
                match accepted {
                    Ok(Accepted::Registered(worker)) => register.send(worker).await.unwrap(),
                    Ok(Accepted::Other(stream)) => give.send(stream).await.unwrap(),
                    _ => {}
                }
            }
        };
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            door.serve(listener, arrive, handle).await;
        });
        Self {
            addr,
            certificate,
            registered,
            others,
            _serving: serving,
        }
    }

    /// The worker that registers next.
    pub(crate) async fn registered(&mut self) -> Registered {
        self.registered.recv().await.expect("the coordinator runs")
    }

    /// The next connection that is for somebody else.
    pub(crate) async fn other(&mut self) -> Stream {
        self.others.recv().await.expect("the coordinator runs")
    }

    /// What clients that look for `localhost` are to believe.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.cert.der().clone()).unwrap();
        roots
    }
}

pub(crate) fn client_config(trust: Trust) -> Arc<ClientConfig> {
    Arc::new(
        trust
            .client_config(Arc::new(ring::default_provider()))
            .unwrap(),
    )
}

fn authorize(claim: &Claim) -> Result<(), Refusal> {
    match claim.worker() {
        Worker::Buildlet { key, .. } if key == KEY => Ok(()),
        _ => Err(Refusal::INVALID_KEY),
    }
}
