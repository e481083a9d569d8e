use std::fmt;

use bytes::Bytes;

use super::{
    Claim, ConnPath, DialerId, Flavor, HeadError, MAX_HEAD_BYTES, PathError, PickupPath, Refusal,
    RequestHead,
};

/// Which paths of a server are revdial's, and what to answer to a request for one of them.
///
/// ```
/// use revdial::proto::{Routed, Routes};
///
/// let routes = Routes::default();
/// assert!(matches!(routes.route(b"GET /reverse HT", true)?, Routed::Unfinished));
/// assert!(matches!(routes.route(b"GET /index.html HTTP/1.1\r\n", true)?, Routed::Other));
/// let Routed::Refused(refusal) = routes.route(b"GET /reverse HTTP/1.1\r\nHost: \r\n\r\n", true)? else { panic!() };
/// assert_eq!(refusal.body(), "buildlet binary is too old\n");
/// # Ok::<(), revdial::proto::HeadError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Routes {
    registrations: Vec<(String, Flavor)>,
    redirects: Vec<(String, ConnPath)>,
    pickup: PickupPath,
    plain: bool,
}

/// What the beginning of a connection asks for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Routed {
    /// More bytes are needed to tell.
    Unfinished,
    /// Something that is not revdial's, and maybe not HTTP.
    Other,
    /// To be registered, if the claim is true.
    Register {
        /// Who wants to be.
        claim: Box<Claim>,
        /// Bytes of the request; those behind it are the first of the control connection.
        len: usize,
    },
    /// To be given to a dialer, if it exists.
    PickUp {
        /// Which.
        dialer: DialerId,
        /// Bytes of the request; those behind it are the first of the stream.
        len: usize,
    },
    /// What is elsewhere: send `reply`, and look at the next request.
    Redirected {
        /// The reply.
        reply: Bytes,
        /// Bytes of the request.
        len: usize,
    },
    /// Something that is not to be had.
    Refused(Refusal),
}

/// Two rules are for one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamePath {
    /// The path.
    pub path: String,
}

enum Route {
    Register(Flavor),
    PickUp,
    Redirect(ConnPath),
}

impl Routes {
    /// Takes registrations at `path` too, with the headers of `flavor`; `/reverse` for buildlets is there by default.
    ///
    /// # Errors
    ///
    /// [`PathError`]. A query is cut off.
    pub fn registration(mut self, path: &str, flavor: Flavor) -> Result<Self, PathError> {
        let path = ConnPath::parse(path)?.path().to_owned();
        self.registrations.retain(|(known, _)| *known != path);
        self.registrations.push((path, flavor));
        Ok(self)
    }

    /// Sends workers that ask for `from` to `to`, on the same connection (307). They follow one redirect.
    ///
    /// # Errors
    ///
    /// [`PathError`].
    pub fn redirect(mut self, from: &str, to: &str) -> Result<Self, PathError> {
        let from = ConnPath::parse(from)?.path().to_owned();
        self.redirects.push((from, ConnPath::parse(to)?));
        Ok(self)
    }

    /// Where pick-ups are taken; `/revdial` by default.
    #[must_use]
    pub fn pickup(mut self, path: PickupPath) -> Self {
        self.pickup = path;
        self
    }

    /// Takes workers without TLS as well; off by default. Keys and ids are then for everybody on the way to read.
    #[must_use]
    pub fn allow_plain(mut self, allow: bool) -> Self {
        self.plain = allow;
        self
    }

    /// Where pick-ups are taken.
    #[must_use]
    pub fn pickup_path(&self) -> &PickupPath {
        &self.pickup
    }

    /// Finds that no path has two meanings.
    ///
    /// # Errors
    ///
    /// [`SamePath`].
    pub fn check(&self) -> Result<(), SamePath> {
        let registrations = self.registrations.iter().map(|(path, _)| path.as_str());
        let redirects = self.redirects.iter().map(|(path, _)| path.as_str());
        let mut paths: Vec<_> = registrations
            .chain(redirects)
            .chain([self.pickup.path()])
            .collect();
        paths.sort_unstable();
        match paths.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(SamePath {
                path: pair[0].to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// Looks at what a connection has sent so far, which came over TLS if `is_tls`. Checks are in upstream's order.
    ///
    /// What is not revdial's is known to be by its first line.
    ///
    /// # Errors
    ///
    /// [`HeadError`]: a path is revdial's, but the head is not one; answer with [`Refusal::MALFORMED`].
    pub fn route(&self, received: &[u8], is_tls: bool) -> Result<Routed, HeadError> {
        let Some(path) = RequestHead::peek_path(received) else {
            // A first line that is so long is none of ours.
            let is_long = received.len() >= MAX_HEAD_BYTES;
            return Ok(if is_long {
                Routed::Other
            } else {
                Routed::Unfinished
            });
        };
        let Some(route) = path.and_then(|path| self.find(path)) else {
            return Ok(Routed::Other);
        };
        let Some((head, len)) = RequestHead::parse(received)? else {
            return Ok(Routed::Unfinished);
        };
        let is_secure = is_tls || self.plain;
        Ok(match route {
            _ if head.lacks_host() => Routed::Refused(Refusal::NO_HOST),
            Route::Register(_) if !is_secure => Routed::Refused(Refusal::PLAIN_REGISTRATION),
            Route::PickUp if !is_secure => Routed::Refused(Refusal::PLAIN_PICKUP),
            Route::PickUp if head.method() != "GET" => Routed::Refused(Refusal::NOT_GET),
            _ if head.has_body() => Routed::Refused(Refusal::BODY),
            Route::Redirect(location) => Routed::Redirected {
                reply: format!(
                    "HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
                )
                .into(),
                len,
            },
            Route::PickUp => match PickupPath::dialer_in(head.target()) {
                Some(dialer) => Routed::PickUp { dialer, len },
                None => Routed::Refused(Refusal::UNKNOWN_DIALER),
            },
            Route::Register(flavor) => match Claim::check(head, flavor) {
                Ok(claim) => Routed::Register {
                    claim: Box::new(claim),
                    len,
                },
                Err(refusal) => Routed::Refused(refusal),
            },
        })
    }

    fn find(&self, path: &str) -> Option<Route> {
        if path == self.pickup.path() {
            return Some(Route::PickUp);
        }
        if let Some((_, flavor)) = self.registrations.iter().find(|(known, _)| known == path) {
            return Some(Route::Register(*flavor));
        }
        let (_, location) = self.redirects.iter().find(|(from, _)| from == path)?;
        Some(Route::Redirect(location.clone()))
    }
}

/// `/reverse` for buildlets and `/revdial` for pick-ups, as upstream has them.
impl Default for Routes {
    fn default() -> Self {
        Self {
            registrations: vec![("/reverse".into(), Flavor::Buildlet)],
            redirects: Vec::new(),
            pickup: PickupPath::default(),
            plain: false,
        }
    }
}

impl fmt::Display for SamePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "path {:?} is for two things", self.path)
    }
}

impl std::error::Error for SamePath {}
