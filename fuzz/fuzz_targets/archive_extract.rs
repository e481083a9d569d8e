//! Any bytes, as an archive, under each policy: whatever happens, nothing outside of the folder changes, and links that were
//! made lead nowhere else.
//!
//! The first byte chooses: the policy (two bits), gzip or not, and whether the checksums of headers are put right, without which
//! hardly any change gets past them.

#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use buildlet_proto::archive::{Duplicates, Encoding, Folder, HardLinks, Policy, Specials, extract};
use buildlet_proto::types::{PathStyle, RelativePath};
use buildlet_proto::workdir::Workdir;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, archive)) = data.split_first() else {
        return;
    };
    let place = place();
    let base = place.join("base");
    let planted = plant(&base);
    let before = state(&place.join("outside"));

    let mut archive = archive.to_vec();
    if choice & 8 != 0 {
        fix_checksums(&mut archive);
    }
    let encoding = match choice & 4 {
        0 => Encoding::Tar,
        _ => Encoding::Gzip,
    };
    let policy = match choice & 3 {
        0 => Policy::upstream(),
        1 => Policy::strict(),
        2 => Policy::stage0(),
        _ => Policy::strict()
            .hard_links(HardLinks::Copy)
            .duplicates(Duplicates::LastWins)
            .specials(Specials::Skip)
            .end_required(false),
    };
    let policy = policy
        .max_bytes(1 << 20)
        .max_entries(1000)
        .threads(1 + usize::from(choice >> 7));
    let _ = extract(
        &archive[..],
        encoding,
        &Folder::open(&base).unwrap(),
        &policy,
    );

    for link in planted {
        // With them gone, a link that leads out is one that the archive made.
        let _ = fs::remove_file(link);
    }
    check_links(&base, &base);
    let workdir = Workdir::open(&base).unwrap();
    let whole = RelativePath::parse(".", PathStyle::NATIVE).unwrap();
    workdir.remove_all(&[whole]).unwrap();
    assert!(!base.exists());
    assert_eq!(state(&place.join("outside")), before);
    let names = fs::read_dir(&place).unwrap().count();
    assert_eq!(names, 1, "something was made beside the folder");
});

/// A folder of this process, with something outside of the one to unpack to.
fn place() -> PathBuf {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    let place = PLACE.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let place = parent.join(format!("archive_extract-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(place.join("outside/dir")).unwrap();
        fs::write(place.join("outside/secret"), "do not touch").unwrap();
        place
    });
    place.clone()
}

/// Makes the folder, with ways out of it: the links among them.
fn plant(base: &Path) -> [PathBuf; 3] {
    fs::create_dir(base).unwrap();
    fs::create_dir(base.join("d")).unwrap();
    fs::write(base.join("f"), "old").unwrap();
    fs::hard_link(base.join("../outside/secret"), base.join("h")).unwrap();
    symlink("d", base.join("l")).unwrap();
    let links = [
        ("o", "../outside"),
        ("s", "../outside/secret"),
        ("n", "../new"),
    ];
    links.map(|(name, target)| {
        let path = base.join(name);
        symlink(target, &path).unwrap();
        path
    })
}

/// Content, mode and time of all that is below `root`.
fn state(root: &Path) -> BTreeMap<PathBuf, (u32, i64, Option<Vec<u8>>)> {
    let mut state = BTreeMap::new();
    let mut paths = vec![root.to_owned()];
    while let Some(path) = paths.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            paths.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        state.insert(
            path.clone(),
            (meta.mode(), meta.mtime(), fs::read(&path).ok()),
        );
    }
    state
}

/// Nothing special was made, and links lead to something inside, if to anything.
fn check_links(base: &Path, dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        assert!(meta.is_file() || meta.is_dir() || meta.is_symlink());
        assert_eq!(meta.mode() & 0o7000, 0, "{}", path.display());
        if meta.is_dir() {
            check_links(base, &path);
        } else if let Ok(real) = path.canonicalize() {
            assert!(
                real.starts_with(base),
                "{} leads to {}",
                path.display(),
                real.display()
            );
        }
    }
}

fn fix_checksums(archive: &mut [u8]) {
    for block in archive.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}
