//! What is archived and unpacked strictly is what it was.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use buildlet_proto::archive::{
    CreateError, CreateOptions, Encoding, Folder, Policy, Source, Summary, extract,
};
use proptest::prelude::*;

use super::raw::Place;
use super::tree::{Outside, chmod, fifo, nodes, relative, set_mtime, write};

fn archive(
    dir: &Path,
    path: &str,
    encoding: Encoding,
    options: CreateOptions,
) -> (Vec<u8>, Summary) {
    let mut bytes = Vec::new();
    let source = Source::open(&Folder::open(dir).unwrap(), &relative(path), options).unwrap();
    let summary = source.write(&mut bytes, encoding).unwrap();
    (bytes, summary)
}

/// Kind, mode, time, size and content or target of each path, as bytes.
type State = BTreeMap<Vec<u8>, (u32, i64, Vec<u8>)>;

fn state(root: &Path) -> State {
    let mut state = State::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let (mtime, content) = if meta.is_symlink() {
                (0, fs::read_link(&path).unwrap().into_os_string().into_vec())
            } else if meta.is_dir() {
                dirs.push(path.clone());
                (meta.mtime(), Vec::new())
            } else {
                (meta.mtime(), fs::read(&path).unwrap())
            };
            let path = path
                .strip_prefix(root)
                .unwrap()
                .as_os_str()
                .as_bytes()
                .to_vec();
            state.insert(path, (meta.mode(), mtime, content));
        }
    }
    state
}

#[derive(Clone, Debug)]
enum Thing {
    File(Vec<u8>, u32),
    Dir(u32),
    Link,
}

fn things() -> impl Strategy<Value = Vec<(Vec<Vec<u8>>, Thing)>> {
    // Any bytes but those that no name has, and more of what archives treat specially.
    let name = prop_oneof![
        4 => "[a-c]{1,2}".prop_map(String::into_bytes),
        1 => "[aé\\\\ \n]{1,4}".prop_map(String::into_bytes),
        1 => prop::collection::vec(prop_oneof![Just(0xffu8), 1u8..=46, 48u8..], 1..6),
        1 => (90usize..120).prop_map(|len| vec![b'n'; len]),
    ];
    let name = name.prop_filter("a name", |name| name != b"." && name != b"..");
    let thing = prop_oneof![
        4 => (prop::collection::vec(any::<u8>(), 0..2000), 0u32..0o777)
            .prop_map(|(content, mode)| Thing::File(content, mode | 0o400)),
        2 => (0u32..0o777).prop_map(|mode| Thing::Dir(mode | 0o700)),
        1 => Just(Thing::Link),
    ];
    prop::collection::vec((prop::collection::vec(name, 1..5), thing), 0..25)
}

fn make(root: &Path, things: Vec<(Vec<Vec<u8>>, Thing)>) {
    for (path, thing) in things {
        let mut at = root.to_owned();
        for name in &path {
            at.push(PathBuf::from(std::ffi::OsStr::from_bytes(name)));
        }
        // What is in the way of another may fail.
        if fs::create_dir_all(at.parent().unwrap()).is_err() || fs::symlink_metadata(&at).is_ok() {
            continue;
        }
        match thing {
            Thing::File(content, mode) => {
                fs::write(&at, content).unwrap();
                chmod(&at, mode);
                set_mtime(&at, 1_000_000_000 + u64::from(mode));
            }
            Thing::Dir(mode) => {
                fs::create_dir(&at).unwrap();
                chmod(&at, mode);
            }
            Thing::Link => symlink("x/some where", &at).unwrap(),
        }
    }
    // Whole seconds are what archives keep.
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        set_mtime(&dir, 1_000_000_000);
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn trees_survive_a_trip(things in things(), gzip in any::<bool>()) {
        let from = super::tree::tempdir().unwrap();
        make(from.path(), things);
        let encoding = if gzip { Encoding::Gzip } else { Encoding::Tar };
        let (bytes, written) = archive(from.path(), ".", encoding, CreateOptions::default());
        let place = Place::new();
        let read = extract(&bytes[..], encoding, &place.folder(), &Policy::strict()).unwrap();
        prop_assert_eq!(read, written);
        prop_assert_eq!(state(place.base()), state(from.path()));
        place.outside.assert_untouched();
    }

    #[test]
    fn damaged_archives_do_not_panic_nor_reach_out(
        things in things(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        fix_checksums in any::<bool>(),
    ) {
        let from = super::tree::tempdir().unwrap();
        make(from.path(), things);
        let (mut tar, _) = archive(from.path(), ".", Encoding::Tar, CreateOptions::default());
        for (at, byte) in damage {
            let at = at.index(tar.len());
            tar[at] = byte;
            if fix_checksums {
                let header = &mut tar[at / 512 * 512..][..512];
                let mut fixed = tar::Header::new_old();
                fixed.as_mut_bytes().copy_from_slice(header);
                fixed.set_cksum();
                header.copy_from_slice(fixed.as_bytes());
            }
        }
        for policy in [Policy::upstream(), Policy::strict(), Policy::stage0()] {
            let place = Place::new();
            symlink(place.outside.path(), place.base().join("a")).unwrap();
            let _ = place.extract(&tar, &policy);
        }
    }
}

#[test]
fn what_is_large_comes_in_pieces_and_in_order() {
    let from = super::tree::tempdir().unwrap();
    let content = |seed: u32, len: u32| -> Vec<u8> {
        (0..len)
            .map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24) as u8)
            .collect()
    };
    for (at, len) in [0, 1, 262_143, 262_144, 262_145, 1_000_000, 3_000_000]
        .into_iter()
        .enumerate()
    {
        write(from.path().join(format!("f{at}")), content(at as u32, len));
    }
    for encoding in [Encoding::Gzip, Encoding::Tar] {
        let (bytes, _) = archive(from.path(), ".", encoding, CreateOptions::default());
        for threads in [1, 3] {
            let place = Place::new();
            let policy = Policy::upstream().threads(threads);
            extract(&bytes[..], encoding, &place.folder(), &policy).unwrap();
            assert_eq!(nodes(place.base()).len(), 7);
            for (at, len) in [0, 1, 262_143, 262_144, 262_145, 1_000_000, 3_000_000]
                .into_iter()
                .enumerate()
            {
                let found = fs::read(place.base().join(format!("f{at}"))).unwrap();
                assert!(found == content(at as u32, len), "f{at}");
            }
        }
    }
}

#[test]
fn reproducible_archives_depend_on_content_alone() {
    let make = |mode, mtime| {
        let dir = super::tree::tempdir().unwrap();
        write(dir.path().join("b/x"), "1");
        write(dir.path().join("a"), "2");
        chmod(dir.path().join("a"), mode);
        set_mtime(dir.path().join("a"), mtime);
        let options = CreateOptions::default().reproducible(1_000_000_000);
        archive(
            dir.path(),
            ".",
            Encoding::Gzip,
            options.threads(mode as usize % 3 + 1),
        )
        .0
    };
    assert_eq!(make(0o600, 5), make(0o664, 1_500_000_000));
    assert_ne!(make(0o600, 5), make(0o755, 5));
}

#[test]
fn a_file_alone_has_its_own_name() {
    let dir = super::tree::tempdir().unwrap();
    write(dir.path().join("d/f"), "x");
    symlink("f", dir.path().join("d/l")).unwrap();
    for name in ["f", "l"] {
        let (tar, _) = archive(
            dir.path(),
            &format!("d/{name}"),
            Encoding::Tar,
            CreateOptions::default(),
        );
        let place = Place::new();
        place.extract(&tar, &Policy::strict()).unwrap();
        assert_eq!(place.names(), [name]);
    }
}

#[test]
fn entries_come_in_the_byte_order_of_names_with_directories_first() {
    let dir = super::tree::tempdir().unwrap();
    for name in ["b/z", "b/a", "a.b", "a/x", "B", "é"] {
        write(dir.path().join(name), "");
    }
    let (tar, _) = archive(dir.path(), ".", Encoding::Tar, CreateOptions::default());
    let names: Vec<_> = tar::Archive::new(&tar[..])
        .entries()
        .unwrap()
        .map(|entry| String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap())
        .collect();
    assert_eq!(names, ["B", "a/", "a/x", "a.b", "b/", "b/a", "b/z", "é"]);
}

#[test]
fn an_archive_that_fails_before_it_begins_writes_nothing() {
    let outside = Outside::new();
    let base = outside.beside("base");
    fs::create_dir(&base).unwrap();
    symlink("../outside", base.join("out")).unwrap();
    let open = |path: &str| {
        Source::open(
            &Folder::open(&base).unwrap(),
            &relative(path),
            CreateOptions::default(),
        )
    };
    assert_eq!(open("missing").unwrap_err().status(), 404);
    assert_eq!(open("missing/deeper").unwrap_err().status(), 404);
    assert_eq!(open("out/secret").unwrap_err().status(), 500);
    assert_eq!(open("out/dir").unwrap_err().status(), 500);
    // The link itself can be archived.
    open("out").unwrap();
}

#[test]
fn sockets_are_left_out_and_pipes_are_not_opened() {
    let dir = super::tree::tempdir().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("s")).unwrap();
    fifo(dir.path().join("p"));
    let (tar, summary) = archive(dir.path(), ".", Encoding::Tar, CreateOptions::default());
    assert_eq!((summary.entries, summary.skipped_specials), (1, 1));
    assert_eq!(tar[156], b'6');
}

/// Takes some bytes, then does something.
struct Then<F>(Vec<u8>, usize, Option<F>);

impl<F: FnOnce()> std::io::Write for Then<F> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        if self.0.len() >= self.1
            && let Some(act) = self.2.take()
        {
            act();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_shrinks_meanwhile_ends_the_archive_without_an_end() {
    let dir = super::tree::tempdir().unwrap();
    let file = dir.path().join("large");
    write(&file, vec![1; 8 << 20]);
    let source = Source::open(
        &Folder::open(dir.path()).unwrap(),
        &relative("."),
        CreateOptions::default(),
    );
    let shrink = || {
        let open = fs::File::options().write(true).open(&file).unwrap();
        open.set_len(5 << 20).unwrap();
    };
    let mut sink = Then(Vec::new(), 1 << 20, Some(shrink));
    let error = source.unwrap().write(&mut sink, Encoding::Tar).unwrap_err();
    assert!(matches!(error, CreateError::Shrunk { .. }), "{error}");
    assert_eq!(error.status(), 500);
    let place = Place::new();
    place.extract(&sink.0, &Policy::upstream()).unwrap_err();
}

#[test]
fn a_file_that_grows_meanwhile_is_archived_as_it_was() {
    let dir = super::tree::tempdir().unwrap();
    let file = dir.path().join("large");
    write(&file, vec![1; 8 << 20]);
    write(dir.path().join("next"), "x");
    let source = Source::open(
        &Folder::open(dir.path()).unwrap(),
        &relative("."),
        CreateOptions::default(),
    );
    let grow = || {
        let open = fs::File::options().write(true).open(&file).unwrap();
        open.set_len(20 << 20).unwrap();
    };
    let mut sink = Then(Vec::new(), 1 << 20, Some(grow));
    source.unwrap().write(&mut sink, Encoding::Tar).unwrap();
    let place = Place::new();
    place.extract(&sink.0, &Policy::strict()).unwrap();
    assert_eq!(
        fs::metadata(place.base().join("large")).unwrap().len(),
        8 << 20
    );
    assert_eq!(place.content("next"), "x");
}

#[test]
fn modes_and_times_of_directories_are_kept_even_if_they_forbid_writing() {
    let dir = super::tree::tempdir().unwrap();
    write(dir.path().join("ro/inner/f"), "x");
    for (name, mode) in [("ro/inner/f", 0o440), ("ro/inner", 0o500), ("ro", 0o555)] {
        chmod(dir.path().join(name), mode);
        set_mtime(dir.path().join(name), 1_000_000_000);
    }
    let (tar, _) = archive(dir.path(), ".", Encoding::Tar, CreateOptions::default());
    let place = Place::new();
    place.extract(&tar, &Policy::strict()).unwrap();
    assert_eq!(state(place.base()), state(dir.path()));
    for root in [dir.path(), place.base()] {
        buildlet_proto::workdir::Workdir::open(root)
            .unwrap()
            .remove_all(&[relative("ro")])
            .unwrap();
    }
}
