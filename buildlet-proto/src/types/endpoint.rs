//! Paths and header names of the buildlet protocol.

/// Any method: `buildlet running on OS-ARCH`, for probes; needs no password.
pub const ROOT: &str = "/";
/// Any method: `ok`; needs no password.
pub const HEALTHZ: &str = "/healthz";
/// Any method: `n` letters `X`; needs no password.
pub const DEBUG_X: &str = "/debug/x";
/// Any method: what the process is doing, as text.
pub const DEBUG_GOROUTINES: &str = "/debug/goroutines";
/// `GET`: [`Status`](super::Status).
pub const STATUS: &str = "/status";
/// `GET`: the absolute path of the work directory.
pub const WORKDIR: &str = "/workdir";
/// `GET`, with a [`ListRequest`](super::ListRequest): lines of [`DirEntry`](super::DirEntry).
pub const LS: &str = "/ls";
/// `GET`, with `dir`: a directory as `.tar.gz`.
pub const TGZ: &str = "/tgz";
/// `PUT`, with a [`WriteRequest`](super::WriteRequest): [`OK`].
pub const WRITE: &str = "/write";
/// `PUT` of a `.tar.gz`, or `POST` with `url`, both with `dir`: [`OK`] or [`SKIP`].
pub const WRITETGZ: &str = "/writetgz";
/// `POST` of an [`ExecRequest`](super::ExecRequest): the output, and [`PROCESS_STATE`] as trailer.
pub const EXEC: &str = "/exec";
/// `POST`, with key, part and offset: as [`EXEC`], of a command that outlived its connection. An [extension](super::ext).
pub const ATTACH: &str = "/attach";
/// `POST`, with `name`s: nothing. An [extension](super::ext).
pub const ABANDON: &str = "/abandon";
/// `POST`, with `path`s: nothing.
pub const REMOVEALL: &str = "/removeall";
/// `POST`: nothing; the machine or the process ends a second later.
pub const HALT: &str = "/halt";
/// `POST`: 101, and from then on an SSH connection.
pub const CONNECT_SSH: &str = "/connect-ssh";
/// `POST`, only at a coordinator that stands in between: 101, and from then on a TCP connection to the buildlet's machine.
pub const TCPPROXY: &str = "/tcpproxy";

/// Body of a successful `/write` or `/writetgz`.
pub const OK: &str = "OK";
/// Body of a `/writetgz` that had nothing to do.
pub const SKIP: &str = "SKIP";

/// Trailer of `/exec`: a [`ProcessState`](super::ProcessState).
pub const PROCESS_STATE: &str = "Process-State";
/// Header of `/connect-ssh`: the user to log in as.
pub const SSH_USER: &str = "X-Go-Ssh-User";
/// Header of `/connect-ssh`: a line as in `authorized_keys`.
pub const SSH_AUTHORIZED_KEY: &str = "X-Go-Authorized-Key";
/// Header of every request to a coordinator that stands in between: the buildlet's name.
pub const PROXY_NAME: &str = "X-Buildlet-Proxy";
/// Header of `/tcpproxy`: a decimal port.
pub const TARGET_PORT: &str = "X-Target-Port";
/// The user name that upstream's clients send with the password; servers ignore it.
pub const DEFAULT_USER: &str = "gomote";
