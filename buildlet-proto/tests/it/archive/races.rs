//! Another process, a build for one, changes the tree while it is worked on: whatever it does, nothing outside is touched.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use buildlet_proto::archive::{CreateOptions, Encoding, Policy};
use buildlet_proto::types::{FileMode, ListRequest};
use buildlet_proto::workdir::Workdir;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::raw::{Place, Raw};
use super::tree::relative;

/// How long each race is run, and how often the adversary must have acted for it to count.
const TIME: Duration = Duration::from_millis(300);
const ACTS: u64 = 100;

/// Runs `work` again and again, while in `base` the directory `d` becomes a link to the outside and a directory again, as does
/// the file `f`, each at once.
fn race(work: impl Fn(&Workdir, u64)) {
    let place = Place::new();
    let base = place.base();
    symlink(place.outside.path(), base.join("link-d")).unwrap();
    symlink(place.outside.secret(), base.join("link-f")).unwrap();
    let workdir = Workdir::open(base).unwrap();
    let (stop, acts) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for name in ["d", "f"] {
                    let link = base.join(format!("link-{name}"));
                    if exchange(&base.join(name), &link).is_ok() {
                        acts.fetch_add(1, Ordering::Relaxed);
                    } else if name == "d" {
                        // Somebody removed it.
                        let _ = fs::create_dir(base.join("d"));
                        let _ = symlink(place.outside.path(), &link);
                    } else {
                        // Not through the link that it may be.
                        let _ = fs::File::create_new(base.join("f"));
                        let _ = symlink(place.outside.secret(), &link);
                    }
                }
            }
        });
        let began = Instant::now();
        let mut turn = 0;
        while began.elapsed() < TIME
            || (acts.load(Ordering::Relaxed) < ACTS && began.elapsed() < 20 * TIME)
        {
            work(&workdir, turn);
            turn += 1;
        }
        stop.store(true, Ordering::Relaxed);
    });
    let acts = acts.load(Ordering::Relaxed);
    assert!(acts >= ACTS, "only {acts} exchanges happened");
    place.outside.assert_untouched();
}

/// Two names change places at once, so that there is no moment without either.
fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

fn tar() -> Vec<u8> {
    let mut raw = Raw::new().dir("d");
    for at in 0..20 {
        raw = raw
            .file(&format!("d/x{at}"), "evil")
            .file(&format!("d/dir/y{at}"), "evil");
    }
    raw.file("d/secret", "evil").file("f", "evil").end()
}

#[test]
fn unpacking_by_upstream_s_rules_stays_inside() {
    let tar = tar();
    race(|workdir, _| {
        let _ = workdir.extract(&relative("."), &tar[..], Encoding::Tar, &Policy::upstream());
    });
}

#[test]
fn unpacking_by_strict_rules_stays_inside() {
    let tar = tar();
    race(|workdir, _| {
        let _ = workdir.extract(&relative("."), &tar[..], Encoding::Tar, &Policy::strict());
    });
}

#[test]
fn unpacking_into_a_directory_that_changes_stays_inside() {
    let tar = Raw::new()
        .file("dir/inner", "evil")
        .file("secret", "evil")
        .end();
    race(|workdir, _| {
        let _ = workdir.extract(&relative("d"), &tar[..], Encoding::Tar, &Policy::strict());
    });
}

#[test]
fn removing_stays_inside() {
    race(|workdir, turn| {
        let path = ["d/dir", "d/secret", "f", "d", "."][turn as usize % 5];
        let _ = workdir.remove_all(&[relative(path)]);
        let mode = FileMode::from_unix(0o644);
        for name in ["d/dir/inner", "d/a/b/c"] {
            let _ = workdir.write_file(&relative(name), mode, &b"x"[..], 10);
        }
    });
}

#[test]
fn writing_stays_inside() {
    race(|workdir, _| {
        for name in ["d/secret", "d/new/x", "d/dir/inner", "f"] {
            let mode = FileMode::from_unix(0o777);
            let _ = workdir.write_file(&relative(name), mode, &b"evil"[..], 10);
        }
    });
}

#[test]
fn archiving_and_listing_show_nothing_of_the_outside() {
    let secret_sha1 = "c9d5a3ac49abb7e9ad2f2a4d4c4ee2bd06a8b3fa";
    race(|workdir, _| {
        for path in [".", "d", "f", "d/dir", "d/secret"] {
            let mut tar = Vec::new();
            if let Ok(source) = workdir.archive(&relative(path), CreateOptions::default()) {
                let _ = source.write(&mut tar, Encoding::Tar);
            }
            for secret in [&b"do not touch"[..], b"neither this"] {
                assert!(!tar.windows(secret.len()).any(|part| part == secret));
            }
            let request = ListRequest::new("").recursive(true).digest(true);
            for entry in workdir
                .list(&relative(path), &request)
                .into_iter()
                .flatten()
            {
                let Ok(entry) = entry else { break };
                assert!(!entry.name().contains("inner"), "{entry:?}");
                assert_ne!(entry.digest(), Some(secret_sha1));
                assert_ne!(entry.size(), Some(12), "{entry:?}");
            }
        }
    });
}
