//! What the Go buildlet answered, asked of the types below the server.

use std::fs;
use std::path::Path;

use buildlet_proto::archive::{
    CreateError, CreateOptions, Encoding, ExtractError, FileList, Folder, Policy, Summary, extract,
};
use buildlet_proto::types::{FileMode, Form, ListRequest, PathStyle, RelativePath};
use buildlet_proto::workdir::Workdir;

use super::tree::{Node, assert_tree, chmod, go_tree, nodes, relative, write};
use crate::data::vectors;

#[derive(serde::Deserialize)]
struct Cases<C> {
    cases: Vec<C>,
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    request: Request,
    response: serde_json::Value,
    after: Option<serde_json::Value>,
    #[serde(default)]
    gzip_members: Vec<serde_json::Value>,
    #[serde(default)]
    tar_entries: Vec<TarEntry>,
    tar_bytes: Option<usize>,
}

#[derive(serde::Deserialize)]
struct Request {
    method: String,
    target: String,
    body: Option<Body>,
}

/// `{"text": ...}` or `{"base64": ...}`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(from = "RawBody")]
pub(crate) struct Body(Vec<u8>);

#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawBody {
    Text(String),
    Base64(String),
}

impl Body {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<RawBody> for Body {
    fn from(body: RawBody) -> Self {
        Self(match body {
            RawBody::Text(text) => text.into_bytes(),
            RawBody::Base64(text) => base64(&text),
        })
    }
}

pub(crate) fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut have, mut bytes) = (0u32, 0, Vec::new());
    for byte in text.bytes().filter(|&byte| byte != b'=') {
        let value = ALPHABET.iter().position(|&letter| letter == byte).unwrap();
        bits = bits << 6 | value as u32;
        have += 6;
        if have >= 8 {
            have -= 8;
            bytes.push((bits >> have) as u8);
        }
    }
    bytes
}

impl Case {
    fn query(&self) -> Form {
        let (_, query) = self.request.target.split_once('?').unwrap_or_default();
        Form::parse(query.as_bytes()).unwrap()
    }

    fn body(&self) -> &[u8] {
        self.request.body.as_ref().map_or(&[], |body| &body.0)
    }

    fn status(&self) -> u16 {
        let line = self.response["status_line"].as_str().unwrap();
        line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn text(&self) -> &str {
        self.response["body"]["text"]
            .as_str()
            .unwrap_or_default()
            .trim_end_matches('\n')
    }

    fn after(&self) -> Option<Vec<Node>> {
        serde_json::from_value(self.after.clone()?).ok()
    }

    #[track_caller]
    fn assert_answer(&self, workdir: &Path, answer: Result<(), (u16, String)>) {
        let answer = answer.map_err(|(status, text)| {
            (status, text.replace(workdir.to_str().unwrap(), "/workdir"))
        });
        let expected = match self.status() {
            200 => Ok(()),
            status => Err((status, self.text().to_owned())),
        };
        assert_eq!(answer, expected, "{}", self.name);
    }
}

fn umask_is_022() -> bool {
    let temp = super::tree::tempdir().unwrap();
    let path = temp.path().join("f");
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).unwrap().mode() & 0o777 == 0o644
}

#[test]
fn writetgz_does_what_upstream_does() {
    assert!(umask_is_022(), "the vectors were made with umask 022");
    let cases: Cases<Case> = vectors("writetgz");
    let mut replayed = 0;
    for case in cases
        .cases
        .iter()
        .filter(|case| case.request.method == "PUT")
    {
        let temp = super::tree::tempdir().unwrap();
        let workdir = Workdir::open(temp.path()).unwrap();
        let path = workdir.path();
        // What an earlier case, or somebody, had left.
        match &case.name[..] {
            "existing file: content replaced, mode NOT changed"
            | "existing file: second extraction with 0755" => {
                write(path.join("f"), "a longer one");
                chmod(path.join("f"), 0o600);
            }
            "existing symlink in the work directory is followed" => {
                write(path.join("t"), "old");
                std::os::unix::fs::symlink("t", path.join("l")).unwrap();
            }
            "dir is a file"
            | "dir below a file"
            | "entry below a file"
            | "directory entry over a file" => write(path.join("f"), "x"),
            "file entry over a directory" => fs::create_dir(path.join("d")).unwrap(),
            "PUT to an existing go1.4 directory does write" => {
                fs::create_dir(path.join("go1.4")).unwrap();
            }
            _ => {}
        }
        let dir = case.query().get("dir").unwrap_or(b".").to_vec();
        let dir = match RelativePath::parse(&dir, PathStyle::NATIVE) {
            Ok(dir) => dir,
            Err(error) => {
                assert_eq!(case.text(), format!("invalid 'dir' parameter: {error}"));
                continue;
            }
        };
        let result = workdir.extract(&dir, case.body(), Encoding::Gzip, &Policy::upstream());
        let answer = result
            .map(drop)
            .map_err(|error| (error.status(), error.to_string()));
        case.assert_answer(path, answer);
        if let Some(after) = case.after() {
            assert_tree(path, &after, &case.name);
        }
        if case.name.starts_with("mtime in the future") {
            let mtime = nodes(path)[0].mtime_unix.unwrap();
            let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
            assert!(now.abs_diff(mtime.try_into().unwrap()) < 60);
        }
        replayed += 1;
    }
    assert!(replayed > 35, "{replayed}");
}

#[derive(serde::Deserialize)]
struct UntarCase {
    name: String,
    tgz_base64: String,
    error: String,
    tree: Vec<String>,
}

#[test]
fn untar_does_what_upstream_does() {
    let cases: Cases<UntarCase> = vectors("untar");
    for case in cases.cases {
        let parent = super::tree::tempdir().unwrap();
        let dst = parent.path().join("dst");
        fs::create_dir(&dst).unwrap();
        let tgz = base64(&case.tgz_base64);
        let result: Result<Summary, ExtractError> = extract(
            &tgz[..],
            Encoding::Gzip,
            &Folder::open(&dst).unwrap(),
            &Policy::stage0(),
        );
        let error = result.map_or_else(|error| error.to_string(), |_| String::new());
        let error = error.replace(dst.to_str().unwrap(), "DST");
        match &case.name[..] {
            // Upstream lets it out, to be stopped by the system: here the path rule stops it.
            "file name .." => assert!(error.contains("refers to a parent directory"), "{error}"),
            // Upstream misses the rest of a header in five bytes that are none.
            "not gzip" => assert_eq!(error, "requires gzip-compressed body: gzip: invalid header"),
            _ => assert_eq!(error, case.error, "{}", case.name),
        }
        let tree: Vec<_> = nodes(&dst)
            .into_iter()
            .map(|node| match (node.size, node.mtime_unix) {
                (Some(size), Some(mtime)) => {
                    format!("{} {} {size} mtime={mtime}", node.mode, node.path)
                }
                _ => format!("{} {}", node.mode, node.path),
            })
            .collect();
        assert_eq!(tree, case.tree, "{}", case.name);
    }
}

#[test]
fn write_does_what_upstream_does() {
    let cases: Cases<Case> = vectors("write");
    let temp = super::tree::tempdir().unwrap();
    let mut workdir = Workdir::open(temp.path()).unwrap();
    let mut scratch = temp;
    for case in cases
        .cases
        .iter()
        .filter(|case| case.request.method == "PUT")
    {
        let query = case.query();
        let path =
            match RelativePath::parse(query.get("path").unwrap_or_default(), PathStyle::NATIVE) {
                Ok(path) => path,
                Err(error) => {
                    assert_eq!(case.text(), format!("invalid 'path' parameter: {error}"));
                    continue;
                }
            };
        let Ok(mode) = FileMode::from_decimal(&String::from_utf8_lossy(
            query.get("mode").unwrap_or_default(),
        )) else {
            assert_eq!(case.text(), "bad mode", "{}", case.name);
            continue;
        };
        let continues = case.name.contains("overwrites") || case.name == "write under a file";
        if !continues {
            scratch = super::tree::tempdir().unwrap();
            workdir = Workdir::open(scratch.path()).unwrap();
        }
        if case.name.starts_with("write follows a symlink") {
            fs::create_dir(scratch.path().join("tmp")).unwrap();
            std::os::unix::fs::symlink("tmp", scratch.path().join("lnk")).unwrap();
        }
        let result = workdir.write_file(&path, mode, case.body(), 1 << 20);
        let answer = result
            .map(drop)
            .map_err(|error| (error.status(), error.to_string()));
        case.assert_answer(workdir.path(), answer);
        if let Some(after) = case.after() {
            assert_write_tree(scratch.path(), &after, &case.name);
        }
        if case.name.starts_with("write follows a symlink") {
            assert_eq!(fs::read(scratch.path().join("tmp/z")).unwrap(), b"x");
        }
    }
}

/// As [`assert_tree`], with the modes as `ls` has them.
fn assert_write_tree(root: &Path, expected: &[Node], context: &str) {
    use std::os::unix::fs::MetadataExt as _;
    assert_tree(root, expected, context);
    for node in expected {
        let mode = fs::symlink_metadata(root.join(&node.path)).unwrap().mode();
        let special = [(0o4000, 's', 3), (0o2000, 's', 6), (0o1000, 'T', 9)];
        for (bit, letter, at) in special {
            let expected = node.mode.chars().nth(at) == Some(letter);
            assert_eq!(mode & bit != 0, expected, "{context}: {mode:o}");
        }
    }
}

#[test]
fn ls_lists_what_upstream_lists() {
    let cases: Cases<Case> = vectors("ls");
    for case in &cases.cases {
        let temp = super::tree::tempdir().unwrap();
        let workdir = Workdir::open(temp.path()).unwrap();
        workdir.reset_folders().unwrap();
        let go = go_tree(workdir.path());
        let _socket;
        if case.name == "ls shows a socket" {
            fs::remove_file(go.join("pipe")).unwrap();
            _socket = std::os::unix::net::UnixListener::bind(go.join("sock")).unwrap();
        }
        let request = ListRequest::from_form(&case.query());
        let dir = request.directory().as_encoded_bytes();
        let dir = if dir.is_empty() { b"." } else { dir };
        let dir = match RelativePath::parse(dir, PathStyle::NATIVE) {
            Ok(dir) => dir,
            Err(error) => {
                assert_eq!(case.text(), format!("invalid 'dir' parameter: {error}"));
                continue;
            }
        };
        let mut lines = Vec::new();
        let listed = workdir.list(&dir, &request).and_then(|mut listing| {
            listing.try_for_each(|entry| {
                entry?.write_line(&mut lines);
                Ok(())
            })
        });
        case.assert_answer(
            workdir.path(),
            listed.map_err(|error| (500, error.to_string())),
        );
        if case.status() == 200 {
            let lines = String::from_utf8(lines).unwrap();
            assert_eq!(lines.trim_end_matches('\n'), case.text(), "{}", case.name);
        }
    }
}

#[test]
fn removeall_removes_what_upstream_removes() {
    let temp = super::tree::tempdir().unwrap();
    let path = temp.path().join("workdir");
    fs::create_dir(&path).unwrap();
    let workdir = Workdir::open(&path).unwrap();
    write(path.join("a/b/c"), "");
    write(path.join("c"), "");
    write(path.join("keep"), "x");
    workdir.remove_all(&[relative("a"), relative("c")]).unwrap();
    assert_eq!(nodes(&path).len(), 1);
    workdir.remove_all(&[relative("zzz/yyy")]).unwrap();
    workdir.remove_all(&[relative("keep")]).unwrap();
    assert_eq!(nodes(&path).len(), 0);

    let outside = super::tree::Outside::new();
    fs::create_dir(path.join("d")).unwrap();
    std::os::unix::fs::symlink(outside.path(), path.join("d/link")).unwrap();
    workdir.remove_all(&[relative("d")]).unwrap();
    assert!(!path.join("d").exists());
    outside.assert_untouched();

    write(path.join("x/y"), "");
    workdir.remove_all(&[relative(".")]).unwrap();
    assert!(!path.exists());
    assert_eq!(
        workdir
            .list(&relative("."), &ListRequest::new(""))
            .unwrap()
            .count(),
        0
    );
    assert!(path.exists());
    workdir.ensure_folders().unwrap();
    let names: Vec<_> = nodes(&path).into_iter().map(|node| node.path).collect();
    assert_eq!(names, ["gocache", "goplscache", "tmp"]);
}

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
struct TarEntry {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    mode: String,
    size: u64,
    mtime: serde_json::Value,
    link: String,
    uid: u64,
    uname: String,
}

#[test]
fn tgz_archives_what_upstream_archives() {
    let cases: Cases<Case> = vectors("tgz");
    for case in &cases.cases {
        let temp = super::tree::tempdir().unwrap();
        let workdir = Workdir::open(temp.path()).unwrap();
        workdir.reset_folders().unwrap();
        let go = go_tree(workdir.path());
        let _socket;
        match &case.name[..] {
            "tgz of 3 MiB: one gzip member for each 1 MiB of tar" => {
                let big = workdir.path().join("big/f");
                write(&big, vec![0; 3 << 20]);
                super::tree::set_mtime(&big, 1_000_000_000);
            }
            "tgz meets a socket: connection aborted" => {
                _socket = std::os::unix::net::UnixListener::bind(go.join("sock")).unwrap();
            }
            _ => {}
        }
        let query = case.query();
        let dir = query.get("dir").unwrap_or_default();
        let dir = match RelativePath::parse(dir, PathStyle::NATIVE) {
            Ok(dir) => dir,
            Err(error) => {
                assert_eq!(case.text(), format!("invalid 'dir' parameter: {error}"));
                continue;
            }
        };
        let mut tgz = Vec::new();
        let source = workdir.archive(&dir, CreateOptions::default());
        if case.name == "tgz missing directory" {
            let error: CreateError = source.unwrap_err();
            assert_eq!(error.status(), 404, "{error}");
            continue;
        }
        let summary = source.unwrap().write(&mut tgz, Encoding::Gzip).unwrap();
        if case.name.starts_with("tgz meets a socket") {
            // Upstream aborts, which helps nobody.
            assert_eq!(summary.skipped_specials, 1);
            continue;
        }
        assert_eq!(
            &tgz[..10],
            [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff],
            "{}",
            case.name
        );
        let mut reader = pargzip::Reader::new(&tgz[..]);
        let mut tar = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut tar).unwrap();
        assert_eq!(
            reader.members(),
            case.gzip_members.len() as u64,
            "{}",
            case.name
        );
        let expected = &case.tar_entries;
        let found: Vec<TarEntry> = tar::Archive::new(&tar[..])
            .entries()
            .unwrap()
            .map(|entry| tar_entry(&entry.unwrap()))
            .collect();
        let root = found.iter().map(|entry| entry.uid).max() == Some(0);
        assert_eq!(summary.entries, found.len() as u64);
        assert_eq!(found.len(), expected.len(), "{}", case.name);
        for (mut found, mut expected) in found.into_iter().zip(expected.iter().cloned()) {
            if expected.mtime.is_string() {
                expected.mtime = found.mtime.clone();
            }
            if expected.name.is_empty() {
                // golang/go 64195
                expected.name = dir
                    .as_path()
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
            }
            if !root {
                (found.uid, found.uname) = (0, "root".into());
            }
            assert_eq!(found, expected, "{}", case.name);
        }
        assert_eq!(Some(tar.len()), case.tar_bytes, "{}", case.name);
    }
}

fn tar_entry<R: std::io::Read>(entry: &tar::Entry<'_, R>) -> TarEntry {
    let header = entry.header();
    TarEntry {
        name: String::from_utf8(entry.path_bytes().into_owned()).unwrap(),
        kind: char::from(header.entry_type().as_byte()).to_string(),
        mode: format!("0o{:o}", header.mode().unwrap()),
        size: entry.size(),
        mtime: header.mtime().unwrap().into(),
        link: String::from_utf8(entry.link_name_bytes().unwrap_or_default().into_owned()).unwrap(),
        uid: header.uid().unwrap(),
        uname: header.username().unwrap().unwrap_or_default().to_owned(),
    }
}

#[derive(serde::Deserialize)]
struct Tarutil {
    empty_list_tar_length: usize,
    entries: Vec<TarutilEntry>,
    tar_base64: String,
}

#[derive(serde::Deserialize)]
struct TarutilEntry {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    mode: String,
    mtime: i64,
    link: Option<String>,
    content: Option<String>,
}

#[test]
fn tarutil_writes_the_bytes_that_upstream_writes() {
    let vector: Tarutil = vectors("tarutil");
    let mut files = FileList::new();
    let tar = |files: &FileList| {
        let mut tar = Vec::new();
        files.write(&mut tar, Encoding::Tar).unwrap();
        tar
    };
    assert_eq!(tar(&files).len(), vector.empty_list_tar_length);
    for entry in vector.entries {
        let mode = u32::from_str_radix(&entry.mode, 8).unwrap();
        match &entry.kind[..] {
            "5" => files.directory(entry.name, mode, entry.mtime),
            "2" => files.symlink(entry.name, entry.link.unwrap(), mode, entry.mtime),
            _ => {
                let content = entry.content.unwrap().into_bytes();
                files.file(entry.name, mode, entry.mtime, content.len() as u64, content);
            }
        }
    }
    assert_eq!(tar(&files), base64(&vector.tar_base64));
    let mut tgz = Vec::new();
    files.write(&mut tgz, Encoding::Gzip).unwrap();
    let mut again = Vec::new();
    std::io::Read::read_to_end(&mut pargzip::Reader::new(&tgz[..]), &mut again).unwrap();
    assert_eq!(again, tar(&files));
}

#[test]
fn content_of_another_size_than_announced_is_an_error() {
    for (size, text) in [
        (2, "read f: more bytes than were announced"),
        (4, "read f: 1 bytes fewer than were announced"),
    ] {
        let mut files = FileList::new();
        files.file("f", 0o644, 0, size, b"abc");
        let mut tar = Vec::new();
        let error = files.write(&mut tar, Encoding::Tar).unwrap_err();
        assert_eq!(error.to_string(), text);
        let unpacked = super::tree::tempdir().unwrap();
        let folder = Folder::open(unpacked.path()).unwrap();
        extract(&tar[..], Encoding::Tar, &folder, &Policy::strict()).unwrap_err();
    }
}
