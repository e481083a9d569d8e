use std::fmt;

use super::{Refusal, RequestHead};

/// The longest name of a machine or a host type, in bytes; a DNS name cannot be longer than the first.
const MAX_HOST_NAME_BYTES: usize = 253;
const MAX_TEXT_BYTES: usize = 128;

/// Who asks to be registered.
///
/// Its headers are all there and well-formed; whether they are true is for an [`Authorize`](crate::Authorize) to say.
#[derive(Clone, Debug)]
pub struct Claim {
    host_name: String,
    worker: Worker,
    head: RequestHead,
}

/// What a worker says it is, with what is to prove it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Worker {
    /// A buildlet of a coordinator.
    Buildlet {
        /// What kind of machine it is.
        host_type: String,
        /// The key of the host type; empty if it sent none, which is never right.
        key: String,
        /// Its version as it says: any text, for status pages.
        version: String,
    },
    /// A buildlet of a gomote server.
    Gomote {
        /// The gomote's id, which the server gave out.
        id: String,
        /// An identity token: an OIDC token of the issuer that the server trusts.
        token: String,
    },
}

/// Which headers a registration has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flavor {
    /// Those that coordinators want.
    Buildlet,
    /// Those that gomote servers want.
    Gomote,
}

impl Claim {
    /// Checks a request for registration, in upstream's order.
    ///
    /// Stricter than upstream in that a host name, a host type and an id must have letters, digits, `-`, `_` and `.` alone (a host type
    /// and an id also other printable ASCII but `<`, `>`, `&`, `"` and `'`): they end up in URLs and on pages.
    ///
    /// # Errors
    ///
    /// The reply for a request that lacks something.
    pub fn check(head: RequestHead, flavor: Flavor) -> Result<Self, Refusal> {
        let text = |name| {
            head.header(name)
                .map(String::from_utf8_lossy)
                .unwrap_or_default()
                .into_owned()
        };
        let (host_name, worker) = match flavor {
            Flavor::Buildlet => {
                match text("X-Revdial-Version").as_str() {
                    "" => return Err(Refusal::fixed(400, "buildlet binary is too old\n")),
                    "2" => {}
                    _ => return Err(Refusal::fixed(400, "unknown revdial version\n")),
                }
                let host_name = text("X-Go-Builder-Hostname");
                if host_name.is_empty() {
                    return Err(Refusal::fixed(
                        400,
                        "missing X-Go-Builder-Hostname header\n",
                    ));
                }
                let host_type = text("X-Go-Host-Type");
                if host_type.is_empty() {
                    return Err(Refusal::fixed(
                        400,
                        "missing X-Go-Host-Type; old buildlet binary?\n",
                    ));
                }
                if !is_host_name(&host_name) {
                    return Err(Refusal::fixed(
                        400,
                        "invalid X-Go-Builder-Hostname header\n",
                    ));
                }
                if !is_plain(&host_type) {
                    return Err(Refusal::fixed(400, "invalid X-Go-Host-Type header\n"));
                }
                let version = text("X-Go-Builder-Version")
                    .chars()
                    .take(MAX_TEXT_BYTES)
                    .collect();
                let key = text("X-Go-Builder-Key");
                (
                    host_name,
                    Worker::Buildlet {
                        host_type,
                        key,
                        version,
                    },
                )
            }
            Flavor::Gomote => {
                let host_name = text("X-Go-Hostname");
                if host_name.is_empty() {
                    return Err(Refusal::fixed(400, "missing X-Go-Hostname header\n"));
                }
                let id = text("X-Go-Gomote-Id");
                if id.is_empty() {
                    return Err(Refusal::fixed(400, "missing X-Go-Gomote-ID header\n"));
                }
                let token = text("X-Go-Swarming-Auth-Token");
                if token.is_empty() {
                    return Err(Refusal::fixed(
                        400,
                        "missing X-Go-Swarming-Auth-Token header\n",
                    ));
                }
                if !is_host_name(&host_name) {
                    return Err(Refusal::fixed(400, "invalid X-Go-Hostname header\n"));
                }
                if !is_plain(&id) {
                    return Err(Refusal::fixed(400, "invalid X-Go-Gomote-ID header\n"));
                }
                (host_name, Worker::Gomote { id, token })
            }
        };
        Ok(Self {
            host_name,
            worker,
            head,
        })
    }

    /// The machine's name: letters, digits, `-`, `_` and `.`, at most 253 of them. Fit for a URL and a page.
    #[must_use]
    pub fn host_name(&self) -> &str {
        &self.host_name
    }

    /// What it says it is.
    #[must_use]
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// The whole request, for headers of other making.
    #[must_use]
    pub fn head(&self) -> &RequestHead {
        &self.head
    }
}

/// Keys and tokens are left out.
impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Buildlet {
                host_type, version, ..
            } => f
                .debug_struct("Buildlet")
                .field("host_type", host_type)
                .field("version", version)
                .finish_non_exhaustive(),
            Self::Gomote { id, .. } => f
                .debug_struct("Gomote")
                .field("id", id)
                .finish_non_exhaustive(),
        }
    }
}

fn is_host_name(name: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.len() <= MAX_HOST_NAME_BYTES && name.bytes().all(is_safe)
}

fn is_plain(text: &str) -> bool {
    let is_safe =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'&' | b'"' | b'\'');
    text.len() <= MAX_TEXT_BYTES && text.bytes().all(is_safe)
}
