//! Every request of the vectors, against the reply that the Go buildlet gave.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use buildlet_proto::server::{Config, HttpFetch, LocalSshd};
use buildlet_proto::types::FileMode;
use rustix::fs::{CWD, Mode, Timespec, Timestamps, mkfifoat, utimensat};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{Buildlet, Reply, eventually, write};
use crate::data::vectors;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    request: Option<Request>,
    response: Option<Response>,
    after: Option<Value>,
    gzip_members: Option<Vec<Member>>,
    gzip_header_hex: Option<String>,
    tar_entries: Option<Vec<TarEntry>>,
    tar_bytes: Option<usize>,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    target: String,
    http: String,
    content_type: Option<String>,
    #[serde(default)]
    headers: Vec<String>,
    body: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Response {
    /// Why there is none.
    #[expect(dead_code, reason = "for people")]
    None(String),
    Reply {
        status_line: String,
        headers: Vec<(String, String)>,
        #[serde(default)]
        trailers: Vec<(String, String)>,
        body: Option<Content>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Content {
    Text(String),
    Base64(String),
}

#[derive(Deserialize)]
struct Member {
    uncompressed: usize,
}

#[derive(Deserialize, Debug)]
struct TarEntry {
    name: String,
    r#type: String,
    mode: String,
    size: u64,
    /// Seconds, or a text where they cannot be known.
    mtime: Value,
    link: String,
}

impl Content {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Base64(text) => decode_base64(text),
        }
    }
}

fn decode_base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut have) = (0_u32, 0);
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        let value = LETTERS.iter().position(|l| *l == letter).unwrap();
        bits = bits << 6 | u32::try_from(value).unwrap();
        have += 6;
        if have >= 8 {
            have -= 8;
            bytes.push(u8::try_from(bits >> have & 0xff).unwrap());
        }
    }
    bytes
}

impl Request {
    /// The bytes; `body` replaces the body.
    fn bytes(&self, body: Option<Vec<u8>>) -> Vec<u8> {
        let body = body.or_else(|| self.body.as_ref().map(Content::bytes));
        let mut head = format!(
            "{} {} HTTP/{}\r\nHost: \r\n",
            self.method, self.target, self.http
        );
        // As the capture was made: a connection for each.
        if self.http == "1.1" {
            head += "Connection: close\r\n";
        }
        if let Some(content_type) = &self.content_type {
            head += &format!("Content-Type: {content_type}\r\n");
        }
        for header in &self.headers {
            head += &format!("{header}\r\n");
        }
        if body.is_some() || self.method != "GET" && self.method != "HEAD" {
            head += &format!("Content-Length: {}\r\n", body.as_ref().map_or(0, Vec::len));
        }
        head += "\r\n";
        [head.into_bytes(), body.unwrap_or_default()].concat()
    }
}

/// What the Go buildlet's reply would have been in this work directory.
fn expected(response: &Response, workdir: &str) -> Reply {
    let Response::Reply {
        status_line,
        headers,
        trailers,
        body,
    } = response
    else {
        panic!("there was no reply");
    };
    let here = |text: &String| text.replace("/workdir", workdir);
    let body: Vec<u8> = match body {
        Some(Content::Text(text)) => here(text).into_bytes(),
        Some(content) => content.bytes(),
        None => Vec::new(),
    };
    let mut reply = Reply {
        status_line: status_line.clone(),
        headers: headers.clone(),
        trailers: trailers
            .iter()
            .map(|(name, value)| (name.clone(), here(value)))
            .collect(),
        body,
    };
    for (name, value) in &mut reply.headers {
        // A path of another length is in the body.
        if name == "Content-Length" && !reply.body.is_empty() {
            *value = reply.body.len().to_string();
        }
    }
    reply.headers.sort();
    reply
}

async fn ask(buildlet: &Buildlet, request: &Request) -> Reply {
    let mut connection = buildlet.connect().await;
    connection.send(request.bytes(None)).await;
    let mut reply = connection.reply_to(&request.method).await;
    assert_eq!(connection.end().await, b"", "bytes behind the reply");
    // The order of headers means nothing.
    reply.headers.sort();
    reply
}

fn shown(reply: &Reply) -> String {
    format!(
        "{}\n{:?}\n{}\n{:?}",
        reply.status_line,
        reply.headers,
        String::from_utf8_lossy(&reply.body),
        reply.trailers
    )
}

#[track_caller]
fn assert_reply(name: &str, reply: &Reply, expected: &Reply) {
    assert_eq!(shown(reply), shown(expected), "{name}");
}

fn cases(file: &str) -> Vec<Case> {
    let cases = vectors::<File>(file).cases;
    assert!(!cases.is_empty());
    cases
}

/// Sends the requests that `prepare` says true to, and compares the replies, and the trees.
///
/// `prepare` is called before each case, with the reply that is expected, which it may change where we mean to differ.
async fn replay(
    file: &str,
    config: Config,
    mut prepare: impl AsyncFnMut(&Buildlet, &Case, Option<&mut Reply>) -> bool,
) {
    let buildlet = Buildlet::start(config).await;
    let workdir = buildlet.workdir.to_str().unwrap().to_owned();
    for case in cases(file) {
        let mut reply = match &case.response {
            Some(response @ Response::Reply { .. }) => Some(expected(response, &workdir)),
            _ => None,
        };
        if !prepare(&buildlet, &case, reply.as_mut()).await {
            continue;
        }
        let request = case.request.as_ref().unwrap();
        let answer = ask(&buildlet, request).await;
        let reply = reply.unwrap_or_else(|| panic!("{}: a reply of ours", case.name));
        assert_reply(&case.name, &answer, &reply);
        if let Some(Value::Array(entries)) = &case.after {
            let tree = tree(&buildlet.workdir);
            assert_tree(&case.name, &tree, entries);
        }
    }
}

#[derive(Debug, PartialEq)]
struct Node {
    mode: String,
    size: u64,
    mtime: i64,
    content: Vec<u8>,
}

/// What is in a directory, by path, but for what a buildlet makes by itself.
fn tree(folder: &Path) -> BTreeMap<String, Node> {
    let mut nodes = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
            if ["tmp", "gocache", "goplscache"].contains(&name) {
                continue;
            }
            let meta = path.symlink_metadata().unwrap();
            let mode = FileMode::from_unix(meta.mode());
            let mut node = Node {
                mode: ls_mode(mode),
                size: 0,
                mtime: meta.mtime(),
                content: Vec::new(),
            };
            if meta.is_dir() {
                waiting.push(path.clone());
            } else if meta.is_file() {
                node.size = meta.len();
                node.content = fs::read(&path).unwrap();
            }
            nodes.insert(name.to_owned(), node);
        }
    }
    nodes
}

/// The vectors show modes as `ls` does.
fn ls_mode(mode: FileMode) -> String {
    let bits = mode.to_unix_permissions();
    let mut text: Vec<char> = mode.to_string().chars().collect();
    let mut text = text.split_off(text.len() - 9);
    for (bit, at, set, unset) in [
        (0o4000, 2, 's', 'S'),
        (0o2000, 5, 's', 'S'),
        (0o1000, 8, 't', 'T'),
    ] {
        if bits & bit != 0 {
            text[at] = if text[at] == 'x' { set } else { unset };
        }
    }
    let kind = match mode.to_string().chars().next().unwrap() {
        'd' => 'd',
        'L' => 'l',
        'p' => 'p',
        'S' => 's',
        _ => '-',
    };
    std::iter::once(kind).chain(text).collect()
}

#[track_caller]
fn assert_tree(name: &str, tree: &BTreeMap<String, Node>, entries: &[Value]) {
    let paths: Vec<_> = entries
        .iter()
        .map(|e| e["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        tree.keys().map(String::as_str).collect::<Vec<_>>(),
        paths,
        "{name}"
    );
    for entry in entries {
        let path = entry["path"].as_str().unwrap();
        let node = &tree[path];
        assert_eq!(node.mode, entry["mode"].as_str().unwrap(), "{name}: {path}");
        if let Some(mtime) = entry["mtime_unix"].as_i64() {
            assert_eq!(node.mtime, mtime, "{name}: {path}");
        }
        if let Some(content) = entry.get("content") {
            let content: Content = serde_json::from_value(content.clone()).unwrap();
            assert_eq!(node.content, content.bytes(), "{name}: {path}");
        }
    }
}

fn empty(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
}

fn set_time(path: &Path, seconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, rustix::fs::AtFlags::empty()).unwrap();
}

/// The tree that the vectors of `/ls` and `/tgz` were made with.
fn go_tree(workdir: &Path) {
    let go = workdir.join("go");
    for (name, content, mode) in [
        ("VERSION", "devel", 0o644),
        ("name with space", "x", 0o644),
        ("setgid", "x", 0o2755),
        ("setuid", "x", 0o4755),
        ("stickyf", "x", 0o1644),
        ("tést", "x", 0o644),
        ("src/Z", "", 0o644),
        ("src/a/a.go", "package a\n", 0o644),
        ("src/run.bash", "#!/bin/bash\n", 0o755),
        ("src/skipme/x/y", "y", 0o644),
    ] {
        write(go.join(name), content, mode);
        set_time(&go.join(name), 1_000_000_000);
    }
    fs::create_dir(go.join("pkg")).unwrap();
    fs::create_dir(go.join("sticky")).unwrap();
    for (name, mode) in [
        ("sticky", 0o1777),
        ("pkg", 0o755),
        ("src/skipme/x", 0o755),
        ("src/skipme", 0o755),
        ("src/a", 0o755),
        ("src", 0o755),
    ] {
        fs::set_permissions(go.join(name), Permissions::from_mode(mode)).unwrap();
        set_time(&go.join(name), 1_000_000_001);
    }
    symlink("VERSION", go.join("link")).unwrap();
    symlink("src", go.join("dlink")).unwrap();
    mkfifoat(CWD, go.join("pipe"), Mode::from_raw_mode(0o644)).unwrap();
    for name in ["tmp", "gocache", "goplscache"] {
        fs::create_dir_all(workdir.join(name)).unwrap();
    }
}

#[tokio::test]
async fn ls_answers_as_the_go_buildlet() {
    let mut made = false;
    replay("ls", Config::default(), async |buildlet, case, _| {
        if !made {
            go_tree(&buildlet.workdir);
            made = true;
        }
        if case.name == "ls shows a socket" {
            fs::remove_file(buildlet.path("go/pipe")).unwrap();
            std::os::unix::net::UnixListener::bind(buildlet.path("go/sock")).unwrap();
            let mode = Permissions::from_mode(0o755);
            fs::set_permissions(buildlet.path("go/sock"), mode).unwrap();
        }
        true
    })
    .await;
}

#[tokio::test]
async fn write_answers_as_the_go_buildlet() {
    replay("write", Config::default(), async |buildlet, case, _| {
        match case.name.as_str() {
            "write overwrites, truncates and re-applies mode" | "write under a file" => {}
            // A case of its own, where ours refuses: `a_link_leads_nobody_out_of_the_work_directory`.
            "write follows a symlink that is in the work directory" => return false,
            _ => empty(&buildlet.workdir),
        }
        true
    })
    .await;
}

#[tokio::test]
async fn removeall_answers_as_the_go_buildlet() {
    let environment = [("PATH", "/usr/local/bin:/usr/bin:/bin")];
    let config = Config::default().environment(environment);
    replay("removeall", config, async |buildlet, case, _| {
        let file = |name| write(buildlet.path(name), "x", 0o644);
        match case.name.as_str() {
            "removeall two paths" => {
                file("a/b");
                file("c");
                file("keep");
            }
            "removeall parent: nothing at all is removed" => file("keep"),
            "removeall does not follow symlinks" => {
                fs::create_dir(buildlet.path("d")).unwrap();
                symlink("/usr", buildlet.path("d/link")).unwrap();
            }
            "removeall absolute" => assert!(buildlet.path("keep").exists()),
            "removeall . removes the work directory itself" => assert!(Path::new("/usr").exists()),
            "next ls makes it again, empty" => assert!(!buildlet.workdir.exists()),
            "exec makes it and tmp, gocache, goplscache again" => {
                assert!(buildlet.workdir.exists());
            }
            _ => {}
        }
        true
    })
    .await;
}

/// Serves the archive of a case at `/ok.tgz`, and nothing else.
async fn serve_archive(listener: TcpListener, archive: Vec<u8>) {
    loop {
        let (mut io, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(io.read_u8().await.unwrap());
        }
        let reply = if head.starts_with(b"GET /ok.tgz HTTP/1.1\r\n") {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                archive.len()
            );
            [head.as_bytes(), &archive].concat()
        } else {
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()
        };
        io.write_all(&reply).await.unwrap();
    }
}

#[tokio::test]
async fn writetgz_answers_as_the_go_buildlet() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let here = |text: &str| text.replace("15999", &port);
    let archive = cases("writetgz")
        .into_iter()
        .find(|case| case.name.starts_with("PUT to an existing go1.4"))
        .and_then(|case| case.request?.body)
        .unwrap();
    let _files = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(serve_archive(
        listener,
        archive.bytes(),
    )));

    let buildlet = Buildlet::start(Config::default().fetch(HttpFetch::default())).await;
    let workdir = buildlet.workdir.to_str().unwrap().to_owned();
    for case in cases("writetgz") {
        let mut request = case.request.unwrap();
        let mut reply = expected(case.response.as_ref().unwrap(), &workdir);
        request.target = here(&request.target);
        if let Some(Content::Text(text)) = &mut request.body {
            *text = here(text);
        }
        reply.body = here(&String::from_utf8(reply.body).unwrap()).into();
        let file = |name, mode| write(buildlet.path(name), "old", mode);
        let mut prefix = false;
        if case.name != "existing file: second extraction with 0755" {
            empty(&buildlet.workdir);
        }
        match case.name.as_str() {
            "existing file: content replaced, mode NOT changed" => file("f", 0o600),
            "existing symlink in the work directory is followed" => {
                file("t", 0o644);
                symlink("t", buildlet.path("l")).unwrap();
            }
            "dir is a file"
            | "dir below a file"
            | "entry below a file"
            | "directory entry over a file" => file("f", 0o644),
            "file entry over a directory" => fs::create_dir(buildlet.path("d")).unwrap(),
            // Go names the system call that failed.
            "POST url refused" => prefix = true,
            name if name.contains("existing go1.4") => {
                fs::create_dir(buildlet.path("go1.4")).unwrap();
            }
            _ => {}
        }
        let mut answer = ask(&buildlet, &request).await;
        for reply in [&mut reply, &mut answer] {
            if prefix {
                let end = reply.text().find(": connect").unwrap_or(reply.body.len());
                let end = reply.text().find(": dial").unwrap_or(end);
                let end = reply.text().find(": Connection").unwrap_or(end);
                reply.body.truncate(end);
            }
            reply.headers.retain(|(name, _)| name != "Content-Length");
        }
        assert_reply(&case.name, &answer, &reply);
        if let Some(Value::Array(entries)) = &case.after {
            assert_tree(&case.name, &tree(&buildlet.workdir), entries);
        }
        if case.name.starts_with("mtime in the future") {
            let age = buildlet
                .path("f")
                .metadata()
                .unwrap()
                .modified()
                .unwrap()
                .elapsed();
            assert!(age.is_ok_and(|age| age.as_secs() < 60));
        }
    }
}

#[tokio::test]
async fn tgz_answers_as_the_go_buildlet() {
    let buildlet = Buildlet::start(Config::default()).await;
    let workdir = buildlet.workdir.to_str().unwrap().to_owned();
    go_tree(&buildlet.workdir);
    for case in cases("tgz") {
        let request = case.request.unwrap();
        if case.name.starts_with("tgz of 3 MiB") {
            write(buildlet.path("big/f"), vec![0; 3 << 20], 0o644);
            set_time(&buildlet.path("big/f"), 1_000_000_000);
        }
        if case.name.starts_with("tgz meets a socket") {
            std::os::unix::net::UnixListener::bind(buildlet.path("go/sock")).unwrap();
        }
        let answer = ask(&buildlet, &request).await;
        let refused = |status: u16, text: String| {
            assert_eq!(
                (answer.status(), answer.text()),
                (status, text.as_str()),
                "{}",
                case.name
            );
        };
        match (case.name.as_str(), case.response.unwrap()) {
            // Where upstream closes the connection.
            ("tgz missing directory", _) => {
                refused(
                    404,
                    format!("lstat {workdir}/nope: no such file or directory\n"),
                );
            }
            ("tgz meets a socket: connection aborted", _) => {
                assert_eq!(answer.status(), 200);
                let names = entries(&answer.body);
                assert!(names.iter().any(|entry| entry.name == "src/Z"));
                assert!(names.iter().all(|entry| entry.name != "sock"));
            }
            // What the buildlet of 2022 answered, and gomote of that time counts on.
            ("tgz dir empty" | "tgz dir missing parameter", _) => {
                assert_eq!(answer.status(), 200);
                assert!(
                    entries(&answer.body)
                        .iter()
                        .any(|entry| entry.name == "go/VERSION")
                );
            }
            (name, response) => {
                let mut reply = expected(&response, &workdir);
                let Some(expected) = &case.tar_entries else {
                    assert_reply(name, &answer, &reply);
                    continue;
                };
                let mut ours = answer.clone();
                // The compressor is another one, and a reply of up to 64 KiB has a length, not 2.
                for reply in [&mut ours, &mut reply] {
                    reply.headers.retain(|(name, _)| {
                        name != "Content-Length" && name != "Transfer-Encoding"
                    });
                    reply.body.clear();
                }
                assert_reply(name, &ours, &reply);
                assert_archive(name, &answer.body, &case.gzip_members.unwrap(), expected);
                assert_eq!(
                    hex(&answer.body[..10]),
                    case.gzip_header_hex.unwrap(),
                    "{name}"
                );
                let tar = gunzip(&answer.body);
                assert_eq!(tar.len(), case.tar_bytes.unwrap(), "{name}");
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read as _;
    let mut tar = Vec::new();
    pargzip::Reader::new(bytes).read_to_end(&mut tar).unwrap();
    tar
}

fn entries(tgz: &[u8]) -> Vec<TarEntry> {
    let tar = gunzip(tgz);
    let mut archive = tar::Archive::new(&tar[..]);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            TarEntry {
                name: text(&entry.path_bytes()),
                r#type: char::from(header.entry_type().as_byte()).to_string(),
                mode: format!("0o{:o}", header.mode().unwrap()),
                size: entry.size(),
                mtime: header.mtime().unwrap().into(),
                link: entry
                    .link_name_bytes()
                    .map(|l| text(&l))
                    .unwrap_or_default(),
            }
        })
        .collect()
}

fn assert_archive(name: &str, tgz: &[u8], members: &[Member], expected: &[TarEntry]) {
    let sizes: Vec<_> = members.iter().map(|member| member.uncompressed).collect();
    assert_eq!(member_sizes(tgz), sizes, "{name}");
    let entries = entries(tgz);
    assert_eq!(entries.len(), expected.len(), "{name}: {entries:?}");
    for (ours, theirs) in entries.iter().zip(expected) {
        let mut wanted = theirs.name.as_str();
        if wanted.is_empty() {
            // golang/go 64195: here a file has its name.
            wanted = if theirs.link.is_empty() {
                "VERSION"
            } else {
                "dlink"
            };
        }
        assert_eq!(ours.name, wanted, "{name}");
        assert_eq!(
            (&ours.r#type, &ours.mode, ours.size, &ours.link),
            (&theirs.r#type, &theirs.mode, theirs.size, &theirs.link),
            "{name}: {wanted}"
        );
        if theirs.mtime.is_i64() {
            assert_eq!(ours.mtime, theirs.mtime, "{name}: {wanted}");
        }
    }
}

/// How much each gzip member holds.
fn member_sizes(mut gz: &[u8]) -> Vec<usize> {
    use std::io::Read as _;
    let mut sizes = Vec::new();
    while !gz.is_empty() {
        let mut member = Vec::new();
        let mut decoder = flate2::bufread::GzDecoder::new(gz);
        decoder.read_to_end(&mut member).unwrap();
        gz = decoder.into_inner();
        sizes.push(member.len());
    }
    sizes
}

/// The programs in the work directory of the vectors.
fn programs(workdir: &Path) {
    for (name, script) in [
        ("go/bin/hi", "echo hi\necho err >&2\npwd"),
        ("go/silent", "exit 0"),
        ("go/args", "for arg; do echo \"[$arg]\"; done"),
        ("go/exit3", "exit 3"),
        ("go/kill", "kill -KILL $$"),
        ("go/segv", "kill -SEGV $$"),
        ("go/term", "kill -TERM $$"),
        ("ls", "echo mine"),
    ] {
        write(workdir.join(name), format!("#!/bin/sh\n{script}\n"), 0o755);
    }
    write(
        workdir.join("go/slow"),
        "#!/bin/sh\necho one\nread wait <pipe\necho two\nexit 7\n",
        0o755,
    );
    write(workdir.join("noexec"), "#!/bin/sh\n", 0o644);
    write(workdir.join("badinterp"), "#!/no/such/interpreter\n", 0o755);
    write(workdir.join("garbage"), "\0garbage", 0o755);
}

fn upstream_environment() -> [(&'static str, &'static str); 4] {
    [
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("HOME", "/root"),
        ("USER", "root"),
        ("GOTRACEBACK", "none"),
    ]
}

#[tokio::test]
async fn exec_answers_as_the_go_buildlet() {
    let buildlet = Buildlet::start(Config::default().environment(upstream_environment())).await;
    let workdir = buildlet.workdir.to_str().unwrap().to_owned();
    programs(&buildlet.workdir);
    for case in cases("exec") {
        let request = case.request.unwrap();
        let mut reply = expected(case.response.as_ref().unwrap(), &workdir);
        if case.name == "form over 10 MiB: fields are lost" {
            // Here they are not lost silently.
            let body = format!("cmd=ls&env=A%3D{}", "x".repeat(10 << 20));
            let mut connection = buildlet.connect().await;
            connection.send(request.bytes(Some(body.into()))).await;
            let answer = connection.reply().await;
            assert_eq!(answer.status(), 413);
            assert_eq!(answer.text(), "form longer than 10485760 bytes\n");
            continue;
        }
        let mut answer = ask(&buildlet, &request).await;
        if reply.text().contains("GOTRACEBACK=none\n") {
            for reply in [&mut reply, &mut answer] {
                // The system shows the variables in an order of its own. One without `=` cannot be handed on.
                let mut lines: Vec<_> = reply
                    .text()
                    .lines()
                    .filter(|line| *line != "NOEQ")
                    .collect();
                lines.sort_unstable();
                reply.body = lines.join("\n").into();
            }
        }
        if reply.status() != 200 {
            // Upstream announces a trailer in refusals too, which does not come.
            reply
                .headers
                .retain(|(name, _)| name != "Trailer" && name != "Transfer-Encoding");
            for reply in [&mut reply, &mut answer] {
                reply.headers.retain(|(name, _)| name != "Content-Length");
            }
        }
        if reply.status_line.starts_with("HTTP/1.0") {
            // hyper's way to say that no request will follow.
            answer.headers.retain(|(name, _)| name != "Connection");
        }
        assert_reply(&case.name, &answer, &reply);
    }
}

#[tokio::test]
async fn the_other_requests_are_answered_as_by_the_go_buildlet() {
    // Nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let config = Config::default()
        .host("linux", "amd64")
        .ssh(LocalSshd::new(closed.port()));
    let open = Buildlet::start(config.clone()).await;
    let locked = Buildlet::start(config.password("sekret")).await;
    for case in cases("misc") {
        let Some(request) = case.request else {
            continue; // Below.
        };
        let with_password = case.name.starts_with("password set") || case.name.starts_with("auth");
        let buildlet = if with_password { &locked } else { &open };
        let mut answer = ask(buildlet, &request).await;
        let workdir = buildlet.workdir.to_str().unwrap();
        let mut reply = match case.response.unwrap() {
            Response::None(_) => {
                assert_eq!(case.name, "debug/x negative: handler panics");
                assert_eq!((answer.status(), answer.text()), (400, "n is negative\n"));
                continue;
            }
            reply @ Response::Reply { .. } => expected(&reply, workdir),
        };
        match case.name.as_str() {
            "path with double slash" => {
                assert_eq!(answer.status(), 404);
                continue;
            }
            "connect-ssh, nobody listening on the local SSH port" => {
                assert!(answer.text().contains("refused"), "{answer:?}");
                reply.body = answer.body.clone();
                for reply in [&mut reply, &mut answer] {
                    reply.headers.retain(|(name, _)| name != "Content-Length");
                }
            }
            "halt" => {
                // Upstream ends; a server of ours has nothing to do unless it is told what.
                assert_eq!(answer.status(), 501);
                continue;
            }
            _ => {}
        }
        if reply.body.starts_with(b"{\"Version\":29}") {
            let status: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(status["Version"], 29);
            // Keys of our own are behind it, which Go does not look at.
            assert_eq!(
                status["Impl"],
                concat!("buildlet-proto/", env!("CARGO_PKG_VERSION"))
            );
            answer.body = reply.body.clone();
            for reply in [&mut reply, &mut answer] {
                reply.headers.retain(|(name, _)| name != "Content-Length");
            }
        }
        assert_reply(&case.name, &answer, &reply);
    }
}

#[derive(Deserialize)]
struct RawFile {
    cases: Vec<Raw>,
}

#[derive(Deserialize)]
struct Raw {
    name: String,
    request_raw: Option<String>,
    response_raw: Option<String>,
    then_client_sends: Option<String>,
    then_client_reads: Option<String>,
    reads: Option<Vec<(f64, String)>>,
}

fn raw(name: &str) -> Raw {
    let mut cases = vectors::<RawFile>("misc").cases.into_iter();
    cases.find(|case| case.name.starts_with(name)).unwrap()
}

#[tokio::test]
async fn ssh_connections_are_taken_over_with_the_very_bytes_of_the_go_buildlet() {
    let case = raw("connect-ssh, a server on the local SSH port");
    let sshd = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = LocalSshd::new(sshd.local_addr().unwrap().port());
    let buildlet = Buildlet::start(Config::default().ssh(target)).await;

    let serve = async {
        let (mut io, _) = sshd.accept().await.unwrap();
        io.write_all(b"SSH-2.0-fake\r\n").await.unwrap();
        let mut line = [0; 16];
        io.read_exact(&mut line).await.unwrap();
        io.write_all(b"got:").await.unwrap();
        io.write_all(&line).await.unwrap();
    };
    let call = async {
        let mut connection = buildlet.connect().await;
        connection.send(case.request_raw.unwrap()).await;
        let expected = case.response_raw.unwrap();
        assert_eq!(connection.bytes(expected.len()).await, expected.as_bytes());
        connection.send(case.then_client_sends.unwrap()).await;
        // And the end, for the server goes.
        assert_eq!(
            connection.end().await,
            case.then_client_reads.unwrap().as_bytes()
        );
    };
    tokio::join!(serve, call);
}

#[tokio::test]
async fn output_is_streamed_as_by_the_go_buildlet() {
    let case = raw("exec streams");
    let buildlet = Buildlet::start(Config::default()).await;
    programs(&buildlet.workdir);
    mkfifoat(CWD, buildlet.path("go/pipe"), Mode::from_raw_mode(0o644)).unwrap();
    assert!(
        buildlet
            .path("go/pipe")
            .metadata()
            .unwrap()
            .file_type()
            .is_fifo()
    );
    let mut connection = buildlet.connect().await;
    connection.send(case.request_raw.unwrap()).await;
    let [head, one, two, last] = &case.reads.unwrap()[..] else {
        panic!("four reads");
    };
    let (status_line, mut headers) = connection.head().await;
    headers.sort();
    let mut lines = vec![status_line];
    lines.extend(
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}")),
    );
    let mut expected: Vec<_> = head.1.trim_end().split("\r\n").collect();
    expected.retain(|line| !line.starts_with("Date"));
    expected[1..].sort_unstable();
    assert_eq!(lines, expected);
    assert_eq!(connection.bytes(one.1.len()).await, one.1.as_bytes());
    // The command waits, and all that it wrote has come.
    fs::write(buildlet.path("go/pipe"), "go on\n").unwrap();
    assert_eq!(connection.bytes(two.1.len()).await, two.1.as_bytes());
    assert_eq!(connection.bytes(last.1.len()).await, last.1.as_bytes());
    // The same connection goes on.
    connection.send(super::get("/status")).await;
    assert_eq!(connection.reply().await.status(), 200);
}

#[tokio::test]
async fn halt_is_answered_before_it_is_done() {
    let halted = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = halted.clone();
    let began = std::time::Instant::now();
    let config = Config::default().on_halt(move || {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    });
    let buildlet = Buildlet::start(config).await;
    let case = cases("misc")
        .into_iter()
        .find(|case| case.name == "halt")
        .unwrap();
    let answer = ask(&buildlet, &case.request.unwrap()).await;
    assert_reply("halt", &answer, &expected(&case.response.unwrap(), ""));
    let done = || halted.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(done(), 0);
    eventually("halted", || done() == 1).await;
    assert!(began.elapsed().as_millis() >= 1000);
}
