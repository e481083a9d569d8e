//! A source tree unpacked and archived, beside the Go buildlet's `/writetgz` and `/tgz`.
//!
//! The Go buildlet is upstream's program; it is asked over HTTP on loopback, which takes some hundredths of a second of its times. Ours is a
//! process of this program that reads the archive from a file, or archives to nowhere: so its memory is its own. All
//! is on a file system in memory where there is one, so that no disk is measured; the trees are removed between runs, which
//! is not timed.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use buildlet_proto::archive::{CreateOptions, Encoding, Folder, Policy, Source, extract};
use buildlet_proto::types::{PathStyle, RelativePath};
use clap::ValueEnum;
use wait4::Wait4 as _;

use crate::measure::median;
use crate::table::{Align, markdown};

/// How a stream comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wrapping {
    /// gzip, in members of 1 MiB
    Gzip,
    /// Nothing
    Tar,
}

impl From<Wrapping> for Encoding {
    fn from(wrapping: Wrapping) -> Self {
        match wrapping {
            Wrapping::Gzip => Self::Gzip,
            Wrapping::Tar => Self::Tar,
        }
    }
}

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

/// Unpacks standard input as the server does.
pub(crate) fn unpack(wrapping: Wrapping, dir: &Path, strict: bool) -> anyhow::Result<()> {
    let policy = if strict {
        Policy::strict()
    } else {
        Policy::upstream()
    };
    extract(io::stdin(), wrapping.into(), &Folder::open(dir)?, &policy)?;
    Ok(())
}

/// Archives a directory to standard output as the server does.
pub(crate) fn pack(wrapping: Wrapping, dir: &Path, level: u32) -> anyhow::Result<()> {
    let whole = RelativePath::parse(".", PathStyle::NATIVE)?;
    let options = CreateOptions::default().level(level);
    // Not `io::stdout()`, which looks for line feeds in all that is written.
    let out = File::options().write(true).open("/dev/stdout")?;
    Source::open(&Folder::open(dir)?, &whole, options)?.write(out, wrapping.into())?;
    Ok(())
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    GoUnpack,
    Unpack(Archive, Rules),
    GoPack,
    Pack(Wrapping, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    Upstream,
    Strict,
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
    /// Of all its threads, in the kernel too.
    cpu: Option<Duration>,
    /// Most memory resident at once, in bytes, if the system tells.
    peak: Option<u64>,
}

fn subjects() -> Vec<Subject> {
    let subject = |name, work| Subject {
        name,
        work,
        runs: Vec::new(),
    };
    let unpack = |archive, rules| Work::Unpack(archive, rules);
    vec![
        subject("Go buildlet, PUT /writetgz", Work::GoUnpack),
        subject(
            "unpack, members of 1 MiB",
            unpack(Archive::Members, Rules::Upstream),
        ),
        subject(
            "unpack, one member",
            unpack(Archive::OneMember, Rules::Upstream),
        ),
        subject("unpack, plain tar", unpack(Archive::Tar, Rules::Upstream)),
        subject(
            "unpack strictly, members of 1 MiB",
            unpack(Archive::Members, Rules::Strict),
        ),
        subject("Go buildlet, GET /tgz", Work::GoPack),
        subject("archive, gzip level 6", Work::Pack(Wrapping::Gzip, 6)),
        subject("archive, gzip level 5", Work::Pack(Wrapping::Gzip, 5)),
        subject("archive, plain tar", Work::Pack(Wrapping::Tar, 6)),
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
    let go = |work| {
        let subject = subjects.iter().find(|subject| subject.work == work);
        subject.map_or((f64::NAN, f64::NAN, f64::NAN), walls)
    };
    let (go_unpack, go_pack) = (go(Work::GoUnpack), go(Work::GoPack));
    let rows: Vec<_> = subjects
        .iter()
        .map(|subject| {
            let (base, least_base, _) = match subject.work {
                Work::GoUnpack | Work::Unpack(..) => go_unpack,
                Work::GoPack | Work::Pack(..) => go_pack,
            };
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

/// The tree, its archives, a Go buildlet, and a place to unpack to.
struct Bench {
    root: PathBuf,
    tree: PathBuf,
    unpacked: PathBuf,
    go: GoBuildlet,
    files: u32,
}

impl Bench {
    fn new(root: &Path, args: &ArchiveArgs) -> anyhow::Result<Self> {
        let workdir = root.join("go");
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
        let members = fs::read(Archive::Members.file(root))?;
        let tar = fs::metadata(Archive::Tar.file(root))?.len();
        eprintln!(
            "  tar {} MB, in gzip {} MB",
            tar / 1_000_000,
            members.len() / 1_000_000
        );
        Ok(Self {
            root: root.to_owned(),
            unpacked: root.join("unpacked"),
            go: GoBuildlet::start(&workdir)?,
            tree,
            files: args.files,
        })
    }

    fn run(&self, work: Work) -> anyhow::Result<Run> {
        match work {
            Work::GoUnpack => {
                let archive = Archive::Members.file(&self.root);
                let run = self
                    .go
                    .measure(|go| go.put("/writetgz?dir=unpacked", &archive))?;
                self.check_and_remove(&self.root.join("go/unpacked"))?;
                Ok(run)
            }
            Work::GoPack => self.go.measure(|go| go.get("/tgz?dir=tree")),
            Work::Unpack(archive, rules) => {
                fs::create_dir(&self.unpacked)?;
                let wrapping = match archive {
                    Archive::Tar => "tar",
                    Archive::Members | Archive::OneMember => "gzip",
                };
                let mut command = ours("unpack");
                command.arg(wrapping).arg(&self.unpacked);
                if rules == Rules::Strict {
                    command.arg("--strict");
                }
                command.stdin(File::open(archive.file(&self.root))?);
                let run = run(command)?;
                self.check_and_remove(&self.unpacked)?;
                Ok(run)
            }
            Work::Pack(wrapping, level) => {
                let wrapping = match wrapping {
                    Wrapping::Gzip => "gzip",
                    Wrapping::Tar => "tar",
                };
                let mut command = ours("pack");
                command.arg(wrapping).arg(&self.tree);
                command.args(["--level", &level.to_string()]);
                command.stdout(Stdio::null());
                run(command)
            }
        }
    }

    fn check_and_remove(&self, unpacked: &Path) -> anyhow::Result<()> {
        let files = count_files(unpacked)?;
        ensure!(
            files == self.files,
            "{files} of {} files were unpacked",
            self.files
        );
        Ok(fs::remove_dir_all(unpacked)?)
    }
}

fn ours(subcommand: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap_or_default());
    command.arg(subcommand);
    command
}

fn run(mut command: Command) -> anyhow::Result<Run> {
    let began = Instant::now();
    let used = command
        .spawn()
        .and_then(|mut child| child.wait4())
        .with_context(|| format!("cannot run {command:?}"))?;
    let wall = began.elapsed();
    ensure!(used.status.success(), "{command:?} failed, {}", used.status);
    Ok(Run {
        wall,
        cpu: Some(used.rusage.utime + used.rusage.stime),
        peak: Some(used.rusage.maxrss),
    })
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

/// Upstream's buildlet, listening on loopback.
struct GoBuildlet {
    child: Child,
    address: String,
}

impl GoBuildlet {
    fn start(workdir: &Path) -> anyhow::Result<Self> {
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

    fn measure(
        &self,
        request: impl FnOnce(&Self) -> anyhow::Result<Duration>,
    ) -> anyhow::Result<Run> {
        let before = self.cpu();
        let wall = request(self)?;
        let cpu = self.cpu().zip(before).map(|(after, before)| after - before);
        Ok(Run {
            wall,
            cpu,
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

    fn put(&self, target: &str, body: &Path) -> anyhow::Result<Duration> {
        let body = File::open(body)?;
        let len = body.metadata()?.len();
        self.request("PUT", target, body, len)
    }

    fn get(&self, target: &str) -> anyhow::Result<Duration> {
        self.request("GET", target, io::empty(), 0)
    }

    /// Sends a request and reads all of the reply.
    fn request(
        &self,
        method: &str,
        target: &str,
        mut body: impl Read,
        len: u64,
    ) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: buildlet\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n"
        )?;
        io::copy(&mut body, &mut stream)?;
        let mut reply = BufReader::with_capacity(256 << 10, stream);
        let mut status = String::new();
        reply.read_line(&mut status)?;
        if !status.contains(" 200 ") {
            let mut rest = String::new();
            reply.read_to_string(&mut rest)?;
            bail!("the Go buildlet answered {status}{rest}");
        }
        io::copy(&mut reply, &mut io::sink())?;
        Ok(began.elapsed())
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

impl Drop for GoBuildlet {
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
