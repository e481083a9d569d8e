//! Machines for tests and load, many to a process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use buildlet_proto::key::BuilderKey;
use buildlet_proto::types::ext::Extension;
use buildlet_proto::types::{Status, endpoint};
use revdial::{Backoff, Connect, Connection, Listener, ListenerConfig, Registration};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// A line or a chunk's size is not longer in what this project's client sends.
const MAX_LINE: u64 = 16 << 10;

/// A reverse buildlet that speaks the whole protocol on the wire and does nothing behind it: files are thrown away, and every
/// command prints the same and succeeds. It costs some kilobytes. Dropped, it is gone as a machine whose power fails.
///
/// ```
/// # async fn start(coordinator: revdial::TcpConnector) {
/// use buildlet_pool::test_support::{SimulatedBuildlet, Simulation};
/// let key = buildlet_proto::key::MasterKey::development().key_for("host-x");
/// let machine = SimulatedBuildlet::start(coordinator, Simulation::new("host-x", "machine-1", key));
/// assert_eq!(machine.commands(), 0);
/// # }
/// ```
pub struct SimulatedBuildlet {
    machine: Arc<Machine>,
    _task: AbortOnDropHandle<()>,
}

/// What a [`SimulatedBuildlet`] is like.
#[derive(Clone, Debug)]
pub struct Simulation {
    host_type: String,
    host_name: String,
    key: BuilderKey,
    status: Status,
    output: Vec<u8>,
    time: Duration,
    comes_back: bool,
    reconnects: bool,
}

/// How a machine behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Behavior {
    /// As it should.
    Well,
    /// It takes requests and never answers.
    Deaf,
    /// It answers everything with status 500.
    Failing,
}

struct Machine {
    simulation: Simulation,
    behavior: watch::Sender<Behavior>,
    /// Its session is to end.
    cut: watch::Sender<u64>,
    commands: AtomicU64,
    cleanings: AtomicU64,
    registrations: AtomicU64,
    running: AtomicUsize,
}

impl Simulation {
    /// A machine of this project's kind, whose commands print `ok` at once and which comes back when it is told to halt.
    #[must_use]
    pub fn new(host_type: &str, host_name: &str, key: BuilderKey) -> Self {
        Self {
            host_type: host_type.to_owned(),
            host_name: host_name.to_owned(),
            key,
            status: Status::ours([Extension::Timeout]),
            output: b"ok\n".to_vec(),
            time: Duration::ZERO,
            comes_back: true,
            reconnects: false,
        }
    }

    /// What it answers when it is asked for its status.
    #[must_use]
    pub fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// What a command prints.
    #[must_use]
    pub fn output(mut self, output: impl Into<Vec<u8>>) -> Self {
        self.output = output.into();
        self
    }

    /// How long a command runs.
    #[must_use]
    pub fn command_time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Whether it registers again when it was told to halt; yes by default.
    #[must_use]
    pub fn comes_back(mut self, yes: bool) -> Self {
        self.comes_back = yes;
        self
    }

    /// Whether it registers again when its connection is lost or its registration refused; no by default.
    #[must_use]
    pub fn reconnects(mut self, yes: bool) -> Self {
        self.reconnects = yes;
        self
    }
}

impl SimulatedBuildlet {
    /// Starts one that registers by `connect`.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(connect: impl Connect, simulation: Simulation) -> Self {
        let machine = Arc::new(Machine {
            simulation,
            behavior: watch::Sender::new(Behavior::Well),
            cut: watch::Sender::new(0),
            commands: AtomicU64::new(0),
            cleanings: AtomicU64::new(0),
            registrations: AtomicU64::new(0),
            running: AtomicUsize::new(0),
        });
        let connect: Arc<dyn Connect> = Arc::new(connect);
        let task = tokio::spawn(live(machine.clone(), connect));
        Self {
            machine,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Behaves so from now on, requests that it has not answered yet included.
    pub fn behave(&self, behavior: Behavior) {
        self.machine.behavior.send_replace(behavior);
    }

    /// Cuts all its connections.
    pub fn cut(&self) {
        self.machine.cut.send_modify(|times| *times += 1);
    }

    /// How many commands it was asked to run.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.machine.commands.load(Ordering::Relaxed)
    }

    /// How many commands run, or would if there were any.
    #[must_use]
    pub fn running(&self) -> usize {
        self.machine.running.load(Ordering::Relaxed)
    }

    /// How often its work directory was emptied.
    #[must_use]
    pub fn cleanings(&self) -> u64 {
        self.machine.cleanings.load(Ordering::Relaxed)
    }

    /// How often it has registered.
    #[must_use]
    pub fn registrations(&self) -> u64 {
        self.machine.registrations.load(Ordering::Relaxed)
    }
}

async fn live(machine: Arc<Machine>, connect: Arc<dyn Connect>) {
    let simulation = &machine.simulation;
    let mut delays = Backoff::with_seed(7)
        .first(Duration::from_millis(20))
        .longest(Duration::from_secs(1));
    loop {
        let halted = CancellationToken::new();
        let ended = session(&machine, connect.clone(), &halted).await;
        let again = if halted.is_cancelled() {
            simulation.comes_back
        } else {
            simulation.reconnects
        };
        if !again {
            return;
        }
        if ended.is_err() {
            sleep(delays.next_delay()).await;
        }
    }
}

/// One registration.
async fn session(
    machine: &Arc<Machine>,
    connect: Arc<dyn Connect>,
    halted: &CancellationToken,
) -> io::Result<()> {
    let simulation = &machine.simulation;
    let registration = Registration::buildlet(
        &simulation.host_type,
        simulation.key.as_str(),
        &simulation.host_name,
        &simulation.status.version().to_string(),
    )
    .map_err(io::Error::other)?;
    let mut cut = machine.cut.subscribe();
    let mut listener = Listener::register(connect, registration, ListenerConfig::default())
        .await
        .map_err(io::Error::other)?;
    machine.registrations.fetch_add(1, Ordering::Relaxed);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            connection = listener.accept() => match connection {
                Some(connection) => {
                    while connections.try_join_next().is_some() {} // those that ended
                    connections.spawn(serve(machine.clone(), connection, halted.clone()));
                }
                None => return Ok(()),
            },
            _ = cut.changed() => return Ok(()),
            () = halted.cancelled() => return Ok(()),
        }
    }
}

/// Answers requests until the connection ends, in whatever way.
async fn serve(machine: Arc<Machine>, connection: Connection, halted: CancellationToken) {
    let mut io = BufReader::with_capacity(2048, connection);
    while let Ok(Some(path)) = read_request(&mut io).await {
        if answer(&machine, &mut io, &path, &halted).await.is_err() {
            return;
        }
    }
}

async fn answer(
    machine: &Machine,
    io: &mut BufReader<Connection>,
    path: &str,
    halted: &CancellationToken,
) -> io::Result<()> {
    let mut behavior = machine.behavior.subscribe();
    // The sender lives as long as the machine.
    let behavior = *behavior
        .wait_for(|behavior| *behavior != Behavior::Deaf)
        .await
        .map_err(io::Error::other)?;
    if behavior == Behavior::Failing {
        return write_reply(io, "500 Internal Server Error", b"simulated failure\n").await;
    }
    match path {
        endpoint::STATUS => {
            let status = machine.simulation.status.to_json();
            write_reply(io, "200 OK", status.as_bytes()).await
        }
        endpoint::EXEC => exec(machine, io).await,
        endpoint::WORKDIR => write_reply(io, "200 OK", b"/simulated").await,
        endpoint::REMOVEALL => {
            machine.cleanings.fetch_add(1, Ordering::Relaxed);
            write_reply(io, "200 OK", endpoint::OK.as_bytes()).await
        }
        endpoint::WRITE | endpoint::WRITETGZ => {
            write_reply(io, "200 OK", endpoint::OK.as_bytes()).await
        }
        endpoint::HALT => {
            write_reply(io, "200 OK", endpoint::OK.as_bytes()).await?;
            halted.cancel();
            Ok(())
        }
        _ => write_reply(io, "404 Not Found", b"not simulated\n").await,
    }
}

/// Has a command print its output and succeed.
async fn exec(machine: &Machine, io: &mut BufReader<Connection>) -> io::Result<()> {
    machine.commands.fetch_add(1, Ordering::Relaxed);
    let _running = Running::new(&machine.running);
    let output = &machine.simulation.output;
    let mut reply =
        b"HTTP/1.1 200 OK\r\nTrailer: Process-State\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    if !output.is_empty() {
        reply.extend_from_slice(format!("{:x}\r\n", output.len()).as_bytes());
        reply.extend_from_slice(output);
        reply.extend_from_slice(b"\r\n");
    }
    let end = b"0\r\nProcess-State: ok\r\n\r\n";
    if machine.simulation.time.is_zero() {
        reply.extend_from_slice(end);
        io.write_all(&reply).await?;
    } else {
        io.write_all(&reply).await?;
        io.flush().await?;
        tokio::select! {
            () = sleep(machine.simulation.time) => {}
            // Nothing is sent while a command runs: this is the end of the connection, and so of the command.
            _ = io.fill_buf() => return Err(io::ErrorKind::ConnectionAborted.into()),
        }
        io.write_all(end).await?;
    }
    io.flush().await
}

/// Counts a command as long as it lives.
struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn write_reply(io: &mut BufReader<Connection>, status: &str, body: &[u8]) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let reply = [head.as_bytes(), body].concat();
    io.write_all(&reply).await?;
    io.flush().await
}

/// Reads a request to its end, and returns its path; `None` at a clean end.
async fn read_request(io: &mut BufReader<Connection>) -> io::Result<Option<String>> {
    let first = read_line(io).await?;
    if first.is_empty() {
        return Ok(None);
    }
    let target = first.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let (mut length, mut chunked) = (0, false);
    loop {
        let line = read_line(io).await?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().map_err(io::Error::other)?;
        }
        chunked |= name.eq_ignore_ascii_case("transfer-encoding");
    }
    if chunked {
        while let size @ 1.. = read_size(io).await? {
            discard(io, size + 2).await?;
        }
        // Trailers, and the empty line.
        while !read_line(io).await?.is_empty() {}
    } else {
        discard(io, length).await?;
    }
    Ok(Some(path))
}

async fn read_size(io: &mut BufReader<Connection>) -> io::Result<u64> {
    let line = read_line(io).await?;
    u64::from_str_radix(&line, 16).map_err(io::Error::other)
}

/// A line without its end; empty at the end of the stream.
async fn read_line(io: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = String::new();
    io.take(MAX_LINE).read_line(&mut line).await?;
    line.truncate(line.trim_end().len());
    Ok(line)
}

async fn discard(io: &mut BufReader<Connection>, bytes: u64) -> io::Result<()> {
    let read = tokio::io::copy_buf(&mut io.take(bytes), &mut tokio::io::sink()).await?;
    if read < bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
