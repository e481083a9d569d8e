//! Serving a log to many who have nothing of it yet.

use std::io::{self, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use maintner::serve::{LogServer, ServeConfig};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use ureq::Agent;
use ureq::http::header::ACCEPT_ENCODING;

use crate::load::process::{Process, cpu, forget_peak, peak, resident};
use crate::maintner::results::Results;

const LISTENS: &str = "listens on ";
/// How long the server may take to read its log.
const START: Duration = Duration::from_secs(120);
/// What the bare connections write at once.
const PIECE: usize = 256 << 10;

/// The process that is measured: serves a log until it is killed.
pub(crate) fn serve(log: &Path) -> anyhow::Result<()> {
    let server = LogServer::open(log, ServeConfig::default())?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        eprintln!("{LISTENS}{}", listener.local_addr()?);
        server.serve(listener, CancellationToken::new()).await;
        Ok(())
    })
}

/// So many followers at once fetch all segments and throw them away; then as many bare connections carry as many bytes.
pub(super) fn measure(
    log: &Path,
    followers: usize,
    rounds: u32,
    results: &mut Results,
) -> anyhow::Result<()> {
    for round in 0..rounds {
        for encoding in ["identity", "gzip"] {
            eprintln!(
                "  serving {followers} followers, {encoding}, round {} of {rounds}",
                round + 1
            );
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("maintner-serve").arg(log);
            let server = Process::start(command)?;
            let said = server.until(LISTENS, START)?;
            let address = said.trim_start_matches(LISTENS).trim();
            let pid = server.pid();
            // What is only needed once is there then.
            fetch(address, encoding)?;
            let (before, used) = (resident(pid)?, cpu(pid)?);
            forget_peak(pid)?;
            let start = Instant::now();
            let bytes = all_at_once(followers, || fetch(address, encoding))?;
            let wall = start.elapsed().as_secs_f64();
            for (what, value) in [
                ("mb_s", bytes as f64 / 1e6 / wall),
                ("before_kib", (before >> 10) as f64),
                ("peak_kib", (peak(pid)? >> 10) as f64),
                ("cpu_s", (cpu(pid)? - used).as_secs_f64()),
                ("wall_s", wall),
            ] {
                results.add(&format!("serve/{encoding}/{what}"), value)?;
            }
            server.end()?;
            if encoding == "identity" {
                let start = Instant::now();
                bare(followers, bytes / followers as u64)?;
                let wall = start.elapsed().as_secs_f64();
                results.add("serve/bare/mb_s", bytes as f64 / 1e6 / wall)?;
            }
        }
    }
    Ok(())
}

fn all_at_once(count: usize, work: impl Fn() -> anyhow::Result<u64> + Sync) -> anyhow::Result<u64> {
    thread::scope(|threads| {
        let running: Vec<_> = (0..count).map(|_| threads.spawn(&work)).collect();
        let mut sum = 0;
        for thread in running {
            let done = thread.join();
            sum += done.map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(sum)
    })
}

/// What a follower does that starts: it asks for the list, then for each segment. The bytes of the log that it got.
fn fetch(address: &str, encoding: &str) -> anyhow::Result<u64> {
    let agent = Agent::new_with_defaults();
    let get = |path: &str| {
        agent
            .get(format!("http://{address}{path}"))
            .header(ACCEPT_ENCODING, encoding)
            .call()
            .with_context(|| format!("cannot fetch {path}"))
    };
    let list: Value = serde_json::from_reader(get("/logs")?.body_mut().as_reader())?;
    let mut sum = 0;
    for segment in list.as_array().context("the list is none")? {
        let path = segment["url"]
            .as_str()
            .context("a segment without an address")?;
        let size = segment["size"]
            .as_u64()
            .context("a segment without a size")?;
        let read = io::copy(&mut get(path)?.body_mut().as_reader(), &mut io::sink())?;
        ensure!(read == size, "{path}: {read} bytes of {size}");
        sum += read;
    }
    Ok(sum)
}

/// As many connections at once, each with a thread that writes so many bytes from memory and one that reads them.
fn bare(count: usize, bytes: u64) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let read = thread::scope(|threads| {
        threads.spawn(|| {
            for stream in listener.incoming().take(count).map_while(Result::ok) {
                threads.spawn(move || write(stream, bytes));
            }
        });
        all_at_once(count, || {
            let stream = TcpStream::connect(address)?;
            let mut buffer = vec![0; PIECE];
            let mut read = 0;
            loop {
                match (&stream).read(&mut buffer)? {
                    0 => return Ok(read),
                    len => read += len as u64,
                }
            }
        })
    })?;
    ensure!(read == bytes * count as u64, "bare connections lost bytes");
    Ok(())
}

fn write(mut stream: TcpStream, bytes: u64) -> io::Result<()> {
    let buffer = vec![0; PIECE];
    let mut left = bytes;
    while left > 0 {
        let len = left.min(PIECE as u64);
        stream.write_all(&buffer[..len as usize])?;
        left -= len;
    }
    Ok(())
}
