use std::time::Duration;
use std::{error, fmt};

use http::HeaderValue;

use super::BrokenReason;
use super::life::DeathHook;
use crate::types::endpoint;

/// How an [`HttpClient`](super::HttpClient) calls its buildlet.
pub struct Config {
    pub(super) name: Option<String>,
    pub(super) host: Option<String>,
    user: String,
    password: String,
    proxy_name: Option<String>,
    pub(super) limits: Limits,
    pub(super) on_death: Option<DeathHook>,
}

#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) connect_timeout: Duration,
    pub(super) head_timeout: Duration,
    pub(super) halt_timeout: Duration,
    pub(super) ssh_timeout: Duration,
    pub(super) heartbeat_interval: Option<Duration>,
    pub(super) heartbeat_failures: u32,
    pub(super) max_idle: usize,
    pub(super) idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(20),
            head_timeout: Duration::from_secs(20),
            halt_timeout: Duration::from_secs(2),
            ssh_timeout: Duration::from_secs(15),
            heartbeat_interval: Some(Duration::from_secs(10)),
            heartbeat_failures: 3,
            max_idle: 4,
            idle_timeout: Duration::from_secs(60),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: None,
            host: None,
            user: endpoint::DEFAULT_USER.to_owned(),
            password: String::new(),
            proxy_name: None,
            limits: Limits::default(),
            on_death: None,
        }
    }
}

impl Config {
    /// What the buildlet is called in logs; its address by default.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The header `Host`: the address by default, and for a reverse buildlet best its registered name.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The password, sent with every request; none by default, or if it is empty.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = password.into();
        self
    }

    /// The password, if none was set before.
    #[cfg(feature = "tls")]
    pub(super) fn default_password(mut self, password: impl FnOnce() -> String) -> Self {
        if self.password.is_empty() {
            self.password = password();
        }
        self
    }

    /// The user name beside the password, `gomote` by default. Buildlets ignore it; coordinators in between do not.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// Calls the buildlet of this name through a coordinator: every request carries it.
    #[must_use]
    pub fn proxied(mut self, name: impl Into<String>) -> Self {
        self.proxy_name = Some(name.into());
        self
    }

    /// Limit for making a connection; 20 seconds by default, as upstream has for a reverse one.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.limits.connect_timeout = limit;
        self
    }

    /// Limit for the reply of `status` and `work_dir`, and for a command to start; 20 seconds by default, as upstream has it.
    #[must_use]
    pub fn head_timeout(mut self, limit: Duration) -> Self {
        self.limits.head_timeout = limit;
        self
    }

    /// Limit for telling the buildlet to halt when the client is closed; 2 seconds by default, as upstream has it.
    #[must_use]
    pub fn halt_timeout(mut self, limit: Duration) -> Self {
        self.limits.halt_timeout = limit;
        self
    }

    /// Limit for `connect_ssh` and `proxy_tcp`, connection included; 15 seconds by default, as upstream has it.
    #[must_use]
    pub fn ssh_timeout(mut self, limit: Duration) -> Self {
        self.limits.ssh_timeout = limit;
        self
    }

    /// Pause between heartbeats; 10 seconds by default, as upstream has it. `None`: no heartbeats, and a call to a buildlet that
    /// vanished may wait for ever.
    #[must_use]
    pub fn heartbeat_interval(mut self, pause: impl Into<Option<Duration>>) -> Self {
        self.limits.heartbeat_interval = pause.into();
        self
    }

    /// After how many failures in a row the buildlet is given up; 3 by default, as upstream has it.
    #[must_use]
    pub fn heartbeat_failures(mut self, count: u32) -> Self {
        self.limits.heartbeat_failures = count;
        self
    }

    /// How many connections are kept between calls; 4 by default, one more than a build usually needs at the same time.
    #[must_use]
    pub fn max_idle(mut self, connections: usize) -> Self {
        self.limits.max_idle = connections;
        self
    }

    /// How long a connection is kept between calls; a minute by default, as upstream has it.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.limits.idle_timeout = limit;
        self
    }

    /// Called once when the client dies: given up after its heartbeats, or closed. Dropping the client is no death. It must
    /// not block.
    #[must_use]
    pub fn on_death(mut self, hook: impl FnOnce(&BrokenReason) + Send + 'static) -> Self {
        self.on_death = Some(Box::new(hook));
        self
    }

    /// The headers of every request.
    pub(super) fn headers(&self, address: &str) -> Result<CommonHeaders, ConfigError> {
        if self.limits.heartbeat_failures == 0 {
            return Err(ConfigError(Problem::NoFailures));
        }
        let header =
            |value: &str, problem| HeaderValue::from_str(value).map_err(|_| ConfigError(problem));
        let authorization = if self.password.is_empty() {
            None
        } else {
            let pair = format!("{}:{}", self.user, self.password);
            let mut value = header(&format!("Basic {}", base64(pair.as_bytes())), Problem::Host)?;
            value.set_sensitive(true);
            Some(value)
        };
        let proxy_name = match &self.proxy_name {
            Some(name) => Some(header(name, Problem::ProxyName)?),
            None => None,
        };
        let host = self.host.as_deref().unwrap_or(address);
        Ok(CommonHeaders {
            host: header(host, Problem::Host)?,
            authorization,
            proxy_name,
        })
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("name", &self.name)
            .field("host", &self.host)
            .field("user", &self.user)
            .field("proxy_name", &self.proxy_name)
            .finish_non_exhaustive()
    }
}

pub(super) struct CommonHeaders {
    pub(super) host: HeaderValue,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) proxy_name: Option<HeaderValue>,
}

/// A configuration cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError(Problem);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    Host,
    ProxyName,
    NoFailures,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Problem::Host => "host cannot be written in a header",
            Problem::ProxyName => "name of the buildlet cannot be written in a header",
            Problem::NoFailures => "heartbeat failures must be at least 1",
        })
    }
}

impl error::Error for ConfigError {}

/// Base64 with padding, as `Authorization: Basic` has it (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |place| group.get(place).copied().map_or(0, u32::from);
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > group.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("gomote:pass\u{ff}?", "Z29tb3RlOnBhc3PDvz8="),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
