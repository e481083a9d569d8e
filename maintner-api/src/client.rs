use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use tonic::transport::{Channel, Endpoint};

use crate::pb::maintner_service_client::MaintnerServiceClient;

/// How long connecting may take, as for upstream's clients.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an answer may take; a dashboard of all branches is the longest.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// A client of a maintnerd. Clones share a connection.
pub type Client = MaintnerServiceClient<Channel>;

/// A server cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach {address}: it should be a maintnerd's, like maintner.example.org:443")]
pub struct ConnectError {
    address: String,
    source: tonic::transport::Error,
}

/// Connects to a maintnerd at `HOST:PORT` or `https://HOST:PORT`, over TLS as configured; or in the clear at `http://HOST:PORT`.
///
/// Connecting may take 5 s, an answer 60 s and 64 MiB.
///
/// # Cancel safety
///
/// It may be dropped at any time.
///
/// # Errors
///
/// When the address is none, or nothing answers there.
pub async fn connect(address: &str, tls: Arc<ClientConfig>) -> Result<Client, ConnectError> {
    let failed = |source| ConnectError {
        address: address.to_owned(),
        source,
    };
    let uri = match address.contains("://") {
        true => address.to_owned(),
        false => format!("https://{address}"),
    };
    let endpoint = Endpoint::from_shared(uri).map_err(failed)?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_LIMIT)
        .timeout(ANSWER_LIMIT);
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(Arc::unwrap_or_clone(tls))
        .https_or_http()
        .enable_http2()
        .wrap_connector(tcp);
    let channel = endpoint.connect_with_connector(connector).await;
    let client = Client::new(channel.map_err(failed)?);
    Ok(client.max_decoding_message_size(MAX_ANSWER))
}
