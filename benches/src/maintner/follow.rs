//! Following a log: how long it takes from a mutation's last byte to a query that sees it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use maintner::net::{Follower, NetConfig};
use maintner::reclog::{Writer, WriterConfig, segments};
use maintner::serve::{LogServer, ServeConfig};
use maintner::{Config, Corpus, Reader, Subscription, pb};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::maintner::queries::open_cls;
use crate::maintner::results::Results;
use crate::revdial::runtime;

const OWNER: &str = "golang";
const REPO: &str = "followed";
/// How long a mutation may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Appends mutations one by one to a copy of a log that is served over loopback, followed, and queried without a pause by one thread.
///
/// Between server and follower stands somebody who notes when bytes come.
pub(super) fn measure(
    log: &Path,
    dir: &Path,
    mutations: u32,
    results: &mut Results,
) -> anyhow::Result<()> {
    eprintln!("  following {mutations} mutations");
    fs::create_dir_all(dir)?;
    let work = tempfile::tempdir_in(dir).context("cannot make a folder for a log")?;
    let (copy, cache) = (work.path().join("log"), work.path().join("cache"));
    fs::create_dir(&copy)?;
    for segment in segments(log)? {
        // Only the file of today will grow.
        fs::hard_link(&segment.path, copy.join(&segment.name))?;
    }
    let mut writer = Writer::open(&copy, WriterConfig::default())?;
    // So that there is a file of today.
    writer.append([mutation(0)])?;
    let server = LogServer::open(&copy, ServeConfig::default())?;
    let runtime = runtime(2)?;
    let stamp = Arc::new(Stamp::new());
    let (listener, tap) = runtime.block_on(async {
        let listen = || TcpListener::bind("127.0.0.1:0");
        Ok::<_, std::io::Error>((listen().await?, listen().await?))
    })?;
    let address = tap.local_addr()?;
    runtime.spawn(relay(tap, listener.local_addr()?, Arc::clone(&stamp)));
    runtime.spawn(server.clone().serve(listener, CancellationToken::new()));

    let follower = Follower::open(NetConfig::new(format!("http://{address}/logs"), cache))?;
    let mut corpus = Corpus::follow(follower, Config::default());
    corpus.update()?;
    let stop = AtomicBool::new(false);
    let (reader, subscription) = (corpus.reader(), corpus.subscribe());
    let (seen, sightings) = channel();
    let mut received = Vec::new();
    let mut appended = Vec::new();
    let (stamp, stopped) = (&*stamp, || stop.load(Ordering::Relaxed));
    let asked = thread::scope(|threads| -> anyhow::Result<u64> {
        // Whoever waits for an update is told when the corpus is no more.
        let following = threads.spawn(move || -> anyhow::Result<()> {
            while !stopped() {
                corpus.update_within(LIMIT)?;
            }
            Ok(())
        });
        let watching = threads.spawn(move || watch(subscription, stamp, mutations, &seen));
        let asking = threads.spawn(move || ask(&reader, stopped));
        let done = (|| {
            for number in 1..=mutations {
                let start = stamp.now();
                writer.append([mutation(number)])?;
                runtime.block_on(server.refresh())?;
                let seen: Seen = sightings
                    .recv_timeout(LIMIT)
                    .with_context(|| format!("mutation {number} is not seen"))?;
                ensure!(seen.last_byte >= start, "it was seen before it came");
                received.push((seen.at - seen.last_byte) as f64 / 1e6);
                appended.push((seen.at - start) as f64 / 1e6);
                // So that not all are at the same place of whatever beats.
                thread::sleep(Duration::from_millis(1 + u64::from(number) * 7 % 10));
            }
            Ok(())
        })();
        stop.store(true, Ordering::Relaxed);
        let asked = asking.join().map_err(|_| panicked())?;
        // Which ends the wait for one.
        writer.append([mutation(mutations + 1)])?;
        runtime.block_on(server.refresh())?;
        following.join().map_err(|_| panicked())??;
        watching.join().map_err(|_| panicked())?;
        done.map(|()| asked)
    })?;
    ensure!(asked > 0, "nobody asked meanwhile");
    for (what, mut times) in [("received", received), ("appended", appended)] {
        times.sort_by(f64::total_cmp);
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        results.add(&format!("follow/{what}/median_ms"), at(0.5))?;
        results.add(&format!("follow/{what}/p99_ms"), at(0.99))?;
        results.add(&format!("follow/{what}/most_ms"), at(1.0))?;
    }
    Ok(())
}

fn panicked() -> anyhow::Error {
    anyhow::anyhow!("a thread panicked")
}

fn mutation(number: u32) -> Vec<u8> {
    let issue = pb::GithubIssueMutation {
        owner: OWNER.to_owned(),
        repo: REPO.to_owned(),
        number: number as i32 + 1,
        title: format!("the mutation of number {number}"),
        ..Default::default()
    };
    let mutation = pb::Mutation {
        github_issue: Some(issue),
        ..Default::default()
    };
    mutation.encode_to_vec()
}

/// Times in nanoseconds since it was made.
struct Stamp {
    zero: Instant,
    last_byte: AtomicU64,
}

impl Stamp {
    fn new() -> Self {
        Self {
            zero: Instant::now(),
            last_byte: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        self.zero.elapsed().as_nanos() as u64
    }
}

/// Passes on what two sides say to each other, and notes when the follower is sent something: just before.
async fn relay(tap: TcpListener, server: SocketAddr, stamp: Arc<Stamp>) {
    while let Ok((follower, _)) = tap.accept().await {
        let stamp = Arc::clone(&stamp);
        tokio::spawn(async move {
            let server = TcpStream::connect(server).await?;
            follower.set_nodelay(true)?;
            server.set_nodelay(true)?;
            let (mut requests, mut to_follower) = follower.into_split();
            let (mut answers, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut requests, &mut to_server).await });
            let mut buffer = vec![0; 64 << 10];
            loop {
                let read = answers.read(&mut buffer).await?;
                if read == 0 {
                    return std::io::Result::Ok(());
                }
                stamp.last_byte.store(stamp.now(), Ordering::SeqCst);
                to_follower.write_all(&buffer[..read]).await?;
            }
        });
    }
}

/// When a mutation was seen in a query, and when its last byte had come.
struct Seen {
    at: u64,
    last_byte: u64,
}

/// Waits for each mutation, until it is in a view.
fn watch(
    mut subscription: Subscription,
    stamp: &Stamp,
    mutations: u32,
    seen: &Sender<Seen>,
) -> Option<()> {
    for number in 1..=mutations as i32 {
        loop {
            let view = subscription.view();
            let repo = view.github().repo(OWNER, REPO);
            if repo.is_some_and(|repo| repo.issue(number + 1).is_some()) {
                break;
            }
            drop(view);
            subscription.next(LIMIT).ok()?;
        }
        let at = stamp.now();
        let last_byte = stamp.last_byte.load(Ordering::SeqCst);
        seen.send(Seen { at, last_byte }).ok()?;
    }
    Some(())
}

/// Lists open changes until it is stopped, and tells how often it did.
fn ask(reader: &Reader, stopped: impl Fn() -> bool) -> u64 {
    let mut asked = 0;
    while !stopped() {
        if open_cls(&reader.view()).count() > 0 {
            asked += 1;
        }
    }
    asked
}
