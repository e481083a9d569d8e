//! What the other end of a measured connection does, and what is measured of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::link::Link;

/// Bytes written at once.
const WRITE_SIZE: usize = 64 << 10;
/// Bytes that go there and back.
const PING_SIZE: usize = 64;

/// Does what the first byte asks for, until the connection ends.
pub(super) async fn serve<C: AsyncRead + AsyncWrite + Unpin>(conn: &mut C) {
    // Most connections are only dialed; and whoever measures sees the end of a connection itself.
    let _ = match conn.read_u8().await {
        Ok(b't') => take(conn).await,
        Ok(b'r') => send_back(conn).await,
        _ => Ok(()),
    };
}

async fn take<C: AsyncRead + AsyncWrite + Unpin>(conn: &mut C) -> std::io::Result<()> {
    let mut left = u64::from(conn.read_u32().await?) << 20;
    let mut buf = vec![0; WRITE_SIZE];
    while left > 0 {
        let len = conn.read(&mut buf).await?;
        if len == 0 {
            return Ok(());
        }
        left -= len as u64;
    }
    conn.write_all(&[1]).await?;
    conn.flush().await
}

async fn send_back<C: AsyncRead + AsyncWrite + Unpin>(conn: &mut C) -> std::io::Result<()> {
    let mut buf = [0; PING_SIZE];
    loop {
        conn.read_exact(&mut buf).await?;
        conn.write_all(&buf).await?;
        conn.flush().await?;
    }
}

/// What one thing took, in nanoseconds: a MiB, a round trip, a dial.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Time.
    pub wall: f64,
    /// Time of all CPUs together, in the kernel too, of both ends: what else the machine does hardly shows in it.
    pub cpu: f64,
}

/// Begins to measure.
struct Meter {
    wall: Instant,
    cpu: Duration,
}

impl Meter {
    fn start() -> Self {
        Self {
            wall: Instant::now(),
            cpu: cpu_time(),
        }
    }

    fn each_of(self, count: u64) -> Cost {
        let each = |time: Duration| time.as_nanos() as f64 / count as f64;
        Cost {
            wall: each(self.wall.elapsed()),
            cpu: each(cpu_time() - self.cpu),
        }
    }
}

/// What this process has used.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("it only grows, from nothing")
}

/// What a MiB costs on one connection, of so many from the side that dials.
///
/// # Errors
///
/// When the connection fails.
pub async fn throughput(link: &impl Link, mib: u32) -> anyhow::Result<Cost> {
    let mut conn = link.dial().await?;
    conn.write_u8(b't').await?;
    conn.write_u32(mib).await?;
    conn.flush().await?;
    let buf = vec![0; WRITE_SIZE];
    let meter = Meter::start();
    for _ in 0..(u64::from(mib) << 20) / WRITE_SIZE as u64 {
        conn.write_all(&buf).await?;
    }
    conn.flush().await?;
    ensure!(
        conn.read_u8().await? == 1,
        "the worker answers something else"
    );
    Ok(meter.each_of(mib.into()))
}

/// What it costs to send 64 bytes there and back on one connection: the median of what fits into `budget`, and the mean on CPUs.
///
/// # Errors
///
/// When the connection fails.
pub async fn round_trip(link: &impl Link, budget: Duration) -> anyhow::Result<Cost> {
    let mut conn = link.dial().await?;
    conn.write_u8(b'r').await?;
    let mut buf = [0; PING_SIZE];
    let mut times = Vec::new();
    let meter = Meter::start();
    loop {
        let began = Instant::now();
        if began.duration_since(meter.wall) >= budget && !times.is_empty() {
            break;
        }
        conn.write_all(&buf).await?;
        conn.flush().await?;
        conn.read_exact(&mut buf).await?;
        times.push(began.elapsed().as_nanos() as f64);
    }
    let mean = meter.each_of(times.len() as u64);
    Ok(Cost {
        wall: super::median(&mut times),
        ..mean
    })
}

/// What a dial costs when so many are made at a time, for as long as `budget` says.
///
/// # Errors
///
/// When one fails.
pub async fn dials<L: Link>(
    link: &Arc<L>,
    at_once: usize,
    budget: Duration,
) -> anyhow::Result<Cost> {
    let count = Arc::new(AtomicU64::new(0));
    let meter = Meter::start();
    let end = meter.wall + budget;
    let mut tasks = JoinSet::new();
    for _ in 0..at_once {
        let (link, count) = (Arc::clone(link), Arc::clone(&count));
        tasks.spawn(async move {
            loop {
                drop(link.dial().await?);
                count.fetch_add(1, Ordering::Relaxed);
                if Instant::now() >= end {
                    return anyhow::Ok(());
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(meter.each_of(count.load(Ordering::Relaxed)))
}
