//! A source tree written to a buildlet and read from it, `/writetgz` and `/tgz`: upstream's program and ours.
//!
//! Both are processes of their own, started anew for each measurement and asked by the same client over loopback: so their memory is that of
//! one request. Ours is this program, which serves as the program `buildlet` does. All is on a file system in memory where there is one, so
//! that no disk is measured; starting, and removing the trees, is not timed.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use buildlet_proto::archive::{CreateOptions, Encoding, Folder, Source};
use buildlet_proto::server::{self, Config, Server};
use buildlet_proto::types::ext::{ACCEPT_HEADER, ArchiveFormat, FORMAT_HEADER};
use buildlet_proto::types::{PathStyle, RelativePath};
use buildlet_proto::workdir::Workdir;

use crate::measure::median;
use crate::table::{Align, markdown};

/// What `archive` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct ArchiveArgs {
    /// Runs of each; the table shows the median
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Files in the tree
    #[arg(long, default_value_t = 38_000, value_parser = clap::value_parser!(u32).range(100..))]
    files: u32,
    /// MB of content in the tree
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    megabytes: u32,
    /// Where the trees go [default: /dev/shm, else the system's folder for temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Serves as a buildlet until it is killed.
pub(crate) fn buildlet(workdir: &Path) -> anyhow::Result<()> {
    let server = Server::new(Workdir::open(workdir)?, Config::default())?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        server
            .serve(server::tcp(listener), Default::default())
            .await?;
        Ok(())
    })
}

/// Measures both in turns, and prints a table.
pub(crate) fn report(args: &ArchiveArgs) -> anyhow::Result<()> {
    let shm = Path::new("/dev/shm");
    let root = match &args.dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None if shm.is_dir() => tempfile::tempdir_in(shm),
        None => tempfile::tempdir(),
    }
    .context("cannot make a directory")?;
    let bench = Bench::new(root.path(), args)?;
    let mut subjects = subjects();
    for round in 1..=args.rounds as usize {
        eprintln!("  round {round} of {}", args.rounds);
        let len = subjects.len();
        for at in 0..len {
            // Beginning with another one each time, so that none always runs behind the same one.
            let subject = &mut subjects[(round + at) % len];
            let run = bench.run(subject.work).with_context(|| subject.name)?;
            subject.runs.push(run);
        }
    }
    println!("{}", table(&subjects, args));
    Ok(())
}

/// A request, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Work {
    peer: Peer,
    request: Request,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Go,
    Ours,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Put(Archive),
    Get(ArchiveFormat),
}

/// The forms in which the tree lies ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Archive {
    Members,
    OneMember,
    Tar,
}

impl Archive {
    fn file(self, root: &Path) -> PathBuf {
        root.join(match self {
            Self::Members => "members.tgz",
            Self::OneMember => "one.tgz",
            Self::Tar => "tree.tar",
        })
    }
}

struct Subject {
    name: &'static str,
    work: Work,
    runs: Vec<Run>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    wall: Duration,
    /// Of all the buildlet's threads, in the kernel too.
    cpu: Option<Duration>,
    /// The buildlet's most memory resident at once, in bytes, if the system tells.
    peak: Option<u64>,
}

fn subjects() -> Vec<Subject> {
    let subject = |name, peer, request| Subject {
        name,
        work: Work { peer, request },
        runs: Vec::new(),
    };
    use {Archive::*, Peer::*, Request::*};
    vec![
        subject("Go, PUT /writetgz, members of 1 MiB", Go, Put(Members)),
        subject("ours, members of 1 MiB", Ours, Put(Members)),
        subject("Go, PUT /writetgz, one member", Go, Put(OneMember)),
        subject("ours, one member", Ours, Put(OneMember)),
        subject("ours, plain tar", Ours, Put(Tar)),
        subject("Go, GET /tgz", Go, Get(ArchiveFormat::TarGz)),
        subject("ours", Ours, Get(ArchiveFormat::TarGz)),
        subject("ours, plain tar", Ours, Get(ArchiveFormat::Tar)),
    ]
}

fn table(subjects: &[Subject], args: &ArchiveArgs) -> String {
    let walls = |subject: &Subject| {
        let walls = subject.runs.iter().map(|run| run.wall.as_secs_f64());
        let (least, most) = walls.clone().fold((f64::MAX, 0.0), |(least, most), wall| {
            (wall.min(least), wall.max(most))
        });
        (median(walls), least, most)
    };
    let go = |request| {
        let peer = Peer::Go;
        let subject = subjects
            .iter()
            .find(|subject| subject.work == Work { peer, request });
        subject.map_or((f64::NAN, f64::NAN, f64::NAN), walls)
    };
    let rows: Vec<_> = subjects
        .iter()
        .map(|subject| {
            // What Go does with the same request; and gzip of members where it knows no other way.
            let (base, least_base, _) = go(match subject.work.request {
                Request::Put(Archive::Tar) => Request::Put(Archive::Members),
                Request::Put(archive) => Request::Put(archive),
                Request::Get(_) => Request::Get(ArchiveFormat::TarGz),
            });
            let (wall, least, most) = walls(subject);
            let cpus = subject.runs.iter().filter_map(|run| run.cpu);
            let cpu = cpus.map(|cpu| cpu.as_secs_f64()).fold(f64::MAX, f64::min);
            let peaks = subject.runs.iter().filter_map(|run| run.peak);
            vec![
                subject.name.to_owned(),
                format!("{wall:.2}"),
                format!("{:.0} %", (most - least) / wall * 100.0),
                format!("{:.0}", f64::from(args.files) / wall),
                format!("{:.2}", base / wall),
                format!("{least:.2}"),
                format!("{:.2}", least_base / least),
                format!("{cpu:.2}"),
                peaks.max().map_or_else(String::new, |peak| {
                    format!("{:.1}", peak as f64 / f64::from(1 << 20))
                }),
            ]
        })
        .collect();
    let columns = [
        ("what", Align::Left),
        ("wall s", Align::Right),
        ("spread", Align::Right),
        ("files a second", Align::Right),
        ("× Go", Align::Right),
        ("fastest s", Align::Right),
        ("× Go", Align::Right),
        ("least CPU s", Align::Right),
        ("peak MiB", Align::Right),
    ];
    markdown(&columns, &rows)
}

/// The tree in a work directory, and its archives.
struct Bench {
    root: PathBuf,
    workdir: PathBuf,
    files: u32,
}

impl Bench {
    fn new(root: &Path, args: &ArchiveArgs) -> anyhow::Result<Self> {
        let workdir = root.join("work");
        let tree = workdir.join("tree");
        fs::create_dir_all(&tree)?;
        eprintln!("  making {} files", args.files);
        make_tree(&tree, args.files, u64::from(args.megabytes) * 1_000_000)?;
        let whole = RelativePath::parse(".", PathStyle::NATIVE)?;
        let folder = Folder::open(&tree)?;
        let write = |archive: Archive, encoding| -> anyhow::Result<()> {
            let source = Source::open(&folder, &whole, CreateOptions::default())?;
            source.write(File::create(archive.file(root))?, encoding)?;
            Ok(())
        };
        write(Archive::Members, Encoding::Gzip)?;
        write(Archive::Tar, Encoding::Tar)?;
        let config = pargzip::Config::default().mode(pargzip::Mode::SingleMember);
        let one = File::create(Archive::OneMember.file(root))?;
        let mut one = pargzip::Writer::new(one, config)?;
        io::copy(&mut File::open(Archive::Tar.file(root))?, &mut one)?;
        one.finish()?;
        let members = fs::metadata(Archive::Members.file(root))?.len();
        let tar = fs::metadata(Archive::Tar.file(root))?.len();
        eprintln!(
            "  tar {} MB, in gzip {} MB",
            tar / 1_000_000,
            members / 1_000_000
        );
        Ok(Self {
            root: root.to_owned(),
            workdir,
            files: args.files,
        })
    }

    fn run(&self, work: Work) -> anyhow::Result<Run> {
        let buildlet = match work.peer {
            Peer::Go => Buildlet::go(&self.workdir)?,
            Peer::Ours => Buildlet::ours(&self.workdir)?,
        };
        match work.request {
            Request::Put(archive) => {
                let run = buildlet.put("/writetgz?dir=unpacked", archive, &self.root)?;
                let unpacked = self.workdir.join("unpacked");
                let files = count_files(&unpacked)?;
                ensure!(
                    files == self.files,
                    "{files} of {} files were unpacked",
                    self.files
                );
                fs::remove_dir_all(unpacked)?;
                Ok(run)
            }
            Request::Get(format) => buildlet.get("/tgz?dir=tree", format),
        }
    }
}

fn count_files(dir: &Path) -> anyhow::Result<u32> {
    let mut count = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() {
            count_files(&entry.path())?
        } else {
            1
        };
    }
    Ok(count)
}

/// Makes a tree as source code has it: a dozen files a directory, most of them small, of text that gzip makes three times smaller.
fn make_tree(root: &Path, files: u32, bytes: u64) -> anyhow::Result<()> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let words: Vec<_> = (0..4000).map(|_| random.word()).collect();
    let lines: Vec<_> = (0..3000).map(|_| random.line(&words)).collect();
    // Sizes between a fifth and five times the mean, small ones more often; scaled to the sum afterwards.
    let shares: Vec<f64> = (0..files).map(|_| 25f64.powf(random.fraction())).collect();
    let scale = bytes as f64 / shares.iter().sum::<f64>();
    let mut content = Vec::new();
    for (at, share) in shares.iter().enumerate() {
        let dir = root.join(format!("p{}/q{}", at / 600, at / 12 % 50));
        if at % 12 == 0 {
            fs::create_dir_all(&dir)?;
        }
        let size = (share * scale) as usize;
        content.clear();
        while content.len() < size {
            // Most lines are seen often, as in code.
            match random.below(10) {
                0..7 => content.extend_from_slice(random.pick(&lines)),
                _ => content.extend(random.line(&words)),
            }
        }
        content.truncate(size);
        fs::write(dir.join(format!("file{at}.go")), &content)?;
    }
    Ok(())
}

/// A small generator (xorshift): the same tree everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn fraction(&mut self) -> f64 {
        self.next() as f64 / u64::MAX as f64
    }

    /// One of `all`, the first ones more often.
    fn pick<'a>(&mut self, all: &'a [Vec<u8>]) -> &'a [u8] {
        &all[self.below(all.len()).min(self.below(all.len()))]
    }

    fn line(&mut self, words: &[Vec<u8>]) -> Vec<u8> {
        let mut line = Vec::new();
        for _ in 0..3 + self.below(6) {
            line.extend_from_slice(self.pick(words));
            line.push(b' ');
        }
        line.push(b'\n');
        line
    }

    fn word(&mut self) -> Vec<u8> {
        let len = 2 + self.below(9);
        (0..len)
            .map(|_| b"etaoinshrdlucmfwyp_."[self.below(20)])
            .collect()
    }
}

/// A buildlet that listens on loopback.
struct Buildlet {
    child: Child,
    address: String,
}

impl Buildlet {
    /// Upstream's.
    fn go(workdir: &Path) -> anyhow::Result<Self> {
        // Nobody else takes the port in the meantime, on a machine where nothing is measured beside.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let program = harness::upstream("buildlet")?;
        let child = program
            .command()
            .arg("-halt=false")
            .arg(format!("-workdir={}", workdir.display()))
            .arg(format!("-listen={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the Go buildlet")?;
        let go = Self { child, address };
        let began = Instant::now();
        while TcpStream::connect(&go.address).is_err() {
            ensure!(
                began.elapsed() < Duration::from_secs(60),
                "the Go buildlet does not listen"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(go)
    }

    fn ours(workdir: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("archive-buildlet")
            .arg(workdir)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start this program again")?;
        let stdout = child.stdout.take().context("it was piped")?;
        let mut ours = Self {
            child,
            address: String::new(),
        };
        BufReader::new(stdout).read_line(&mut ours.address)?;
        ours.address.truncate(ours.address.trim_end().len());
        ensure!(!ours.address.is_empty(), "our buildlet does not listen");
        Ok(ours)
    }

    fn put(&self, target: &str, archive: Archive, root: &Path) -> anyhow::Result<Run> {
        let body = File::open(archive.file(root))?;
        let mut headers = format!("Content-Length: {}\r\n", body.metadata()?.len());
        if archive == Archive::Tar {
            headers += &format!("{FORMAT_HEADER}: {}\r\n", ArchiveFormat::Tar.as_str());
        }
        self.request("PUT", target, &headers, body)
    }

    fn get(&self, target: &str, format: ArchiveFormat) -> anyhow::Result<Run> {
        let headers = match format {
            ArchiveFormat::TarGz => String::new(),
            format => format!("{ACCEPT_HEADER}: {}\r\n", format.as_str()),
        };
        self.request("GET", target, &headers, io::empty())
    }

    /// Sends a request and reads all of the reply.
    fn request(
        &self,
        method: &str,
        target: &str,
        headers: &str,
        mut body: impl Read,
    ) -> anyhow::Result<Run> {
        let before = self.cpu();
        let began = Instant::now();
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: buildlet\r\nConnection: close\r\n{headers}\r\n"
        )?;
        io::copy(&mut body, &mut stream)?;
        let mut reply = BufReader::with_capacity(256 << 10, stream);
        let mut status = String::new();
        reply.read_line(&mut status)?;
        if !status.contains(" 200 ") {
            let mut rest = String::new();
            reply.read_to_string(&mut rest)?;
            bail!("the buildlet answered {status}{rest}");
        }
        io::copy(&mut reply, &mut io::sink())?;
        Ok(Run {
            wall: began.elapsed(),
            cpu: self.cpu().zip(before).map(|(after, before)| after - before),
            peak: self.peak(),
        })
    }

    /// What it has used of the processors so far, in hundredths of a second as Linux counts for everybody.
    fn cpu(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // Behind the name, which may hold anything: user and system time are the 14th and 15th field.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        Some(Duration::from_millis(10 * (ticks()? + ticks()?)))
    }

    /// The most memory that it ever had, where the system tells.
    fn peak(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib << 10)
    }
}

impl Drop for Buildlet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_the_same_each_time() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for dir in [&a, &b] {
            make_tree(dir.path(), 100, 100_000).unwrap();
            assert_eq!(count_files(dir.path()).unwrap(), 100);
        }
        let tar = |dir: &Path| {
            let whole = RelativePath::parse(".", PathStyle::NATIVE).unwrap();
            let options = CreateOptions::default().reproducible(0);
            let mut tar = Vec::new();
            let source = Source::open(&Folder::open(dir).unwrap(), &whole, options).unwrap();
            source.write(&mut tar, Encoding::Tar).unwrap();
            tar
        };
        assert_eq!(tar(a.path()), tar(b.path()));
    }
}
