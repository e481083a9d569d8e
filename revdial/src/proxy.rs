use std::env;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::connect::{Address, dial};
use crate::proto::{HeadError, ReplyHead};

/// How long the proxy may take to connect onwards.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// An HTTP proxy that passes TCP connections through (`CONNECT`).
///
/// The proxy itself is spoken to without TLS and without a password, as upstream does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    address: Address,
}

/// Why there is no way through the proxy.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// The setting is no proxy's address.
    Setting {
        /// What it says.
        setting: String,
    },
    /// The connection to the proxy failed.
    Io(io::Error),
    /// The proxy's reply is not HTTP.
    Reply(HeadError),
    /// The proxy does not connect onwards.
    Refused {
        /// Its code and reason.
        status: String,
    },
    /// The proxy sent bytes before the coordinator could have.
    EarlyBytes,
}

impl Proxy {
    /// The proxy at `url`: `http://HOST:PORT`, `HOST:PORT` or `HOST`, whose port is 80.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Setting`], also for other schemes than `http` and for user names.
    pub fn new(url: &str) -> Result<Self, ProxyError> {
        let wrong = || ProxyError::Setting {
            setting: without_password(url),
        };
        let rest = match url.split_once("://") {
            Some(("http", rest)) => rest,
            Some(_) => return Err(wrong()),
            None => url,
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let address =
            Address::parse(authority).or_else(|| Address::parse(&format!("{authority}:80")));
        Ok(Self {
            address: address.ok_or_else(wrong)?,
        })
    }

    /// The proxy that the environment names for TLS to `address` (`HOST:PORT`), if any: `HTTPS_PROXY` or `https_proxy`, with the
    /// exceptions in `NO_PROXY` or `no_proxy`.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Setting`].
    pub fn from_env(address: &str) -> Result<Option<Self>, ProxyError> {
        let var = |upper: &str, lower: &str| {
            let values = [env::var(upper), env::var(lower)];
            values
                .into_iter()
                .flatten()
                .find(|value| !value.is_empty())
                .unwrap_or_default()
        };
        Self::from_settings(
            &var("HTTPS_PROXY", "https_proxy"),
            &var("NO_PROXY", "no_proxy"),
            address,
        )
    }

    /// [`from_env`](Self::from_env) with the values of the two variables; empty ones are as if not set.
    ///
    /// The exceptions are separated by commas: `*`, a name with its subdomains, `.NAME` for subdomains alone, an IP address, a network such as
    /// `10.0.0.0/8`; a name or an address may have a port. Loopback addresses and `localhost` never go through a proxy.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Setting`].
    pub fn from_settings(
        https_proxy: &str,
        no_proxy: &str,
        address: &str,
    ) -> Result<Option<Self>, ProxyError> {
        let Some(target) = Address::parse(address) else {
            return Err(ProxyError::Setting {
                setting: address.to_owned(),
            });
        };
        if https_proxy.is_empty() || goes_directly(&target, no_proxy) {
            return Ok(None);
        }
        Self::new(https_proxy).map(Some)
    }

    pub(crate) async fn connect(&self, target: &Address) -> Result<TcpStream, ProxyError> {
        let mut tcp = dial(&self.address).await.map_err(ProxyError::Io)?;
        let late = |_| ProxyError::Io(io::ErrorKind::TimedOut.into());
        timeout(CONNECT_LIMIT, self.ask(&mut tcp, target))
            .await
            .map_err(late)??;
        Ok(tcp)
    }

    async fn ask(&self, tcp: &mut TcpStream, target: &Address) -> Result<(), ProxyError> {
        let request = format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.address.host
        );
        tcp.write_all(request.as_bytes())
            .await
            .map_err(ProxyError::Io)?;
        let mut received = BytesMut::new();
        let (head, len) = loop {
            if tcp.read_buf(&mut received).await.map_err(ProxyError::Io)? == 0 {
                return Err(ProxyError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            if let Some(head) = ReplyHead::parse(&received).map_err(ProxyError::Reply)? {
                break head;
            }
        };
        if head.code() != 200 {
            let status = head.status().to_owned();
            return Err(ProxyError::Refused { status });
        }
        if received.len() > len {
            return Err(ProxyError::EarlyBytes);
        }
        Ok(())
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting { setting } => write!(f, "{setting:?} is no address of an HTTP proxy"),
            Self::Io(_) => f.write_str("connection to the proxy failed"),
            Self::Reply(_) => f.write_str("the proxy does not speak HTTP"),
            Self::Refused { status } => write!(f, "the proxy answered {status}"),
            Self::EarlyBytes => f.write_str("the proxy sent bytes of its own"),
        }
    }
}

impl std::error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(source) => Some(source),
            Self::Reply(source) => Some(source),
            _ => None,
        }
    }
}

/// A setting as an error may show it.
fn without_password(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, host)) => format!("..@{host}"),
        None => url.to_owned(),
    }
}

fn goes_directly(target: &Address, no_proxy: &str) -> bool {
    let host = target.host.to_ascii_lowercase();
    let ip: Option<IpAddr> = host.parse().ok();
    host == "localhost"
        || ip.is_some_and(|ip| ip.is_loopback())
        || no_proxy
            .split(',')
            .map(str::trim)
            .any(|entry| is_exception(entry, &host, ip, target.port))
}

fn is_exception(entry: &str, host: &str, ip: Option<IpAddr>, port: u16) -> bool {
    if entry.is_empty() {
        return false;
    }
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        let (Ok(network), Ok(bits), Some(ip)) = (network.parse(), bits.parse(), ip) else {
            return false;
        };
        return is_within(ip, network, bits);
    }
    let (name, wanted_port) = match Address::parse(entry) {
        Some(Address { host, port }) => (host, Some(port)),
        None => (entry.to_owned(), None),
    };
    if wanted_port.is_some_and(|wanted| wanted != port) {
        return false;
    }
    let name = name.to_ascii_lowercase();
    if let Ok(exception) = name.parse::<IpAddr>() {
        return ip == Some(exception);
    }
    let name = name.strip_prefix('*').unwrap_or(&name);
    if name.starts_with('.') {
        return host.ends_with(name);
    }
    host == name
        || host
            .strip_suffix(name)
            .is_some_and(|sub| sub.ends_with('.'))
}

fn is_within(ip: IpAddr, network: IpAddr, bits: u32) -> bool {
    let (ip, network, width) = match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            (u128::from(ip.to_bits()), u128::from(network.to_bits()), 32)
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => (ip.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    bits <= width && (ip ^ network).checked_shr(width - bits).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_host_and_a_port_which_is_80_if_none_is_given() {
        for (url, address) in [
            ("http://proxy.example:3128", "proxy.example:3128"),
            ("http://proxy.example/", "proxy.example:80"),
            ("proxy.example", "proxy.example:80"),
            ("10.0.0.1:8080", "10.0.0.1:8080"),
            ("http://[::1]:3128", "[::1]:3128"),
        ] {
            assert_eq!(
                Proxy::new(url).unwrap().address.to_string(),
                address,
                "{url}"
            );
        }
        for url in [
            "",
            "https://proxy.example",
            "socks5://proxy.example",
            "http://user:secret@proxy.example:1",
        ] {
            let error = Proxy::new(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn exceptions_are_names_subdomains_addresses_networks_and_ports() {
        let direct = |no_proxy: &str, address: &str| {
            Proxy::from_settings("proxy.example", no_proxy, address)
                .unwrap()
                .is_none()
        };
        for (no_proxy, address, expected) in [
            ("", "farmer.example:443", false),
            ("", "localhost:443", true),
            ("", "127.0.0.2:443", true),
            ("", "[::1]:443", true),
            ("*", "farmer.example:443", true),
            ("a.example, farmer.example", "farmer.example:443", true),
            ("example", "farmer.example:443", true),
            ("mer.example", "farmer.example:443", false),
            (".farmer.example", "farmer.example:443", false),
            ("*.example", "farmer.example:443", true),
            ("FARMER.example:443", "farmer.example:443", true),
            ("farmer.example:444", "farmer.example:443", false),
            ("10.1.2.3", "10.1.2.3:443", true),
            ("10.0.0.0/8", "10.1.2.3:443", true),
            ("10.2.0.0/16", "10.1.2.3:443", false),
            ("0.0.0.0/0", "10.1.2.3:443", true),
            ("fd00::/8", "[fd12::1]:443", true),
            ("fd00::/8", "10.1.2.3:443", false),
        ] {
            assert_eq!(
                direct(no_proxy, address),
                expected,
                "{no_proxy:?} for {address}"
            );
        }
        assert!(
            Proxy::from_settings("", "", "farmer.example:443")
                .unwrap()
                .is_none()
        );
    }
}
