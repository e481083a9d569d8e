use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use rustls::crypto::CryptoProvider;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

use super::{Courier, Message};

/// Sends messages over HTTP, and over TLS to those whom the system's authorities vouch for. It honours `HTTPS_PROXY`,
/// `HTTP_PROXY` and `NO_PROXY`.
pub struct HttpCourier(Agent);

impl HttpCourier {
    /// With this cryptography.
    #[must_use]
    pub fn new(crypto: Arc<CryptoProvider>) -> Self {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(crypto)
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("build-coordinator/", env!("CARGO_PKG_VERSION")))
            .build();
        Self(config.into())
    }
}

#[async_trait]
impl Courier for HttpCourier {
    async fn post(&self, message: Message) -> Result<u16, String> {
        let agent = self.0.clone();
        // It ends by its time limit, also if nobody waits any more.
        let sent = tokio::task::spawn_blocking(move || post(&agent, &message)).await;
        sent.unwrap_or_else(|_| Err("sending it failed".to_owned()))
    }
}

fn post(agent: &Agent, message: &Message) -> Result<u16, String> {
    let mut request = agent.post(&message.url);
    for (name, value) in &message.headers {
        request = request.header(*name, value);
    }
    let request = request
        .config()
        .timeout_global(Some(message.timeout))
        .build();
    match request.send(message.body.as_str()) {
        Ok(answer) => Ok(answer.status().as_u16()),
        // The error's own text may have the address in it.
        Err(ureq::Error::Timeout(_)) => {
            Err(format!("there was no answer within {:?}", message.timeout))
        }
        Err(ureq::Error::HostNotFound) => Err("its host is not found".to_owned()),
        Err(ureq::Error::Io(error)) => Err(format!("the connection failed: {}", error.kind())),
        Err(ureq::Error::BadUri(_)) => Err("its address is none".to_owned()),
        Err(ureq::Error::Rustls(_) | ureq::Error::Tls(_)) => Err("TLS failed".to_owned()),
        Err(_) => Err("it cannot be sent".to_owned()),
    }
}

impl fmt::Debug for HttpCourier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCourier").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;

    fn message(url: String) -> Message {
        Message {
            url,
            headers: vec![("X-Build-Event", "build_done".into())],
            body: "{}".into(),
            timeout: Duration::from_secs(10),
        }
    }

    fn courier() -> HttpCourier {
        HttpCourier::new(Arc::new(rustls::crypto::ring::default_provider()))
    }

    #[tokio::test]
    async fn a_message_is_posted_and_a_redirection_is_an_answer_like_others() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                lines.read_line(&mut head).unwrap();
            }
            let mut body = [0; 2];
            lines.read_exact(&mut body).unwrap();
            let answer =
                b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
            lines.get_mut().write_all(answer).unwrap();
            (head.to_lowercase(), body)
        });
        assert_eq!(courier().post(message(url)).await, Ok(302));
        let (head, body) = receiver.join().unwrap();
        assert!(
            head.starts_with("post /hook http/1.1\r\n")
                && head.contains("\r\nx-build-event: build_done\r\n"),
            "{head}"
        );
        assert_eq!(&body, b"{}");
    }

    #[tokio::test]
    async fn an_error_does_not_tell_the_address() {
        // Nobody listens on a port that was just given back.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = courier()
            .post(message(format!("http://{address}/secret")))
            .await
            .unwrap_err();
        assert!(
            error.starts_with("the connection failed") && !error.contains("secret"),
            "{error}"
        );
    }
}
