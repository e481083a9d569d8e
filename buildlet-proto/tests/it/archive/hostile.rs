//! Archives that mean harm. Whatever they do, nothing outside of the folder changes: each test ends with that, in
//! [`Place::extract`].

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};

use buildlet_proto::archive::{
    Duplicates, ExtractError, ExtractErrorKind, HardLinks, HeaderFault, Limit, Policy, Specials,
};

use super::raw::{MODE, Place, Raw, SIZE, field, policies, record};
use super::tree::{fifo, write};

#[track_caller]
fn assert_refused(tar: &[u8], policy: &Policy, status: u16, context: &str) -> ExtractError {
    let place = Place::new();
    let error = place.extract(tar, policy).expect_err(context);
    assert_eq!(error.status(), status, "{context}: {error}");
    error
}

#[test]
fn names_that_lead_up_are_refused() {
    for name in [
        "../x",
        "..",
        "a/../../x",
        "./../x",
        "x/..//../y",
        "a/b/../../../outside/secret",
    ] {
        let tar = Raw::new().file(name, "evil").end();
        for (context, policy) in policies() {
            let error = assert_refused(&tar, &policy, 400, &format!("{context}, {name}"));
            assert_eq!(error.entry(), Some(name.as_bytes()));
        }
    }
}

#[test]
fn absolute_names_are_refused() {
    let place = Place::new();
    let secret = place.outside.secret();
    for name in ["/x", "//x", "/../x", secret.to_str().unwrap()] {
        let tar = Raw::new().file(name, "evil").end();
        for (context, policy) in policies() {
            assert_eq!(
                place.extract(&tar, &policy).unwrap_err().status(),
                400,
                "{context}, {name}"
            );
        }
    }
    assert!(place.names().is_empty());
}

#[test]
fn long_names_and_pax_names_follow_the_same_rule() {
    let gnu = Raw::new()
        .entry(b'L', "././@LongLink", "", b"../../evil\0")
        .file("good", "x")
        .end();
    let pax = Raw::new()
        .pax(&record("path", b"../../evil"))
        .file("good", "x")
        .end();
    for tar in [gnu, pax] {
        for (context, policy) in policies() {
            assert_refused(&tar, &policy, 400, context);
        }
    }
}

#[test]
fn a_link_that_leads_out_is_not_made() {
    let place = Place::new();
    let absolute = place.outside.path().to_str().unwrap().to_owned();
    for target in [
        "..",
        "../outside",
        "a/../../outside",
        &absolute,
        "/",
        "",
        "d/..",
    ] {
        let tar = Raw::new()
            .symlink("link", target)
            .file("link/secret", "evil")
            .end();
        assert_refused(&tar, &Policy::strict(), 400, target);
        assert_refused(&tar, &Policy::stage0(), 400, target);
    }
}

#[test]
fn where_links_are_skipped_what_is_behind_them_becomes_a_directory() {
    let place = Place::new();
    let tar = Raw::new()
        .symlink("link", "../outside")
        .file("link/secret", "mine")
        .end();
    let summary = place.extract(&tar, &Policy::upstream()).unwrap();
    assert_eq!(summary.skipped_symlinks, 1);
    assert_eq!(place.content("link/secret"), "mine");
}

#[test]
fn links_of_the_archive_are_not_followed() {
    let tar = Raw::new()
        .dir("d")
        .symlink("link", "d")
        .file("link/x", "evil")
        .end();
    let error = assert_refused(&tar, &Policy::strict(), 500, "");
    assert!(error.to_string().contains("is a symbolic link"), "{error}");
}

#[test]
fn chains_of_links_do_not_lead_out() {
    // `a/b/up` is the base, so `a/b/up/..` is above it.
    let tar = Raw::new()
        .symlink("a/b/up", "../..")
        .symlink("out", "a/b/up/..")
        .end();
    assert_refused(&tar, &Policy::strict(), 400, "through another link");
    let tar = Raw::new()
        .symlink("a/b/up", "../..")
        .symlink("a/b/up/c", "../../x")
        .end();
    assert_refused(&tar, &Policy::strict(), 500, "from behind another link");
    let tar = Raw::new()
        .symlink("a/b/up", "../..")
        .hard_link("up", "a/b/up")
        .end();
    assert_refused(&tar, &Policy::strict(), 400, "by another name of a link");
    let copy = Policy::strict().hard_links(HardLinks::Copy);
    assert_refused(&tar, &copy, 400, "by a copy of a link");
}

#[test]
fn a_link_that_was_there_before_is_not_followed_outside() {
    for (context, policy) in policies() {
        let place = Place::new();
        symlink(place.outside.path(), place.base().join("abs")).unwrap();
        symlink("../outside", place.base().join("rel")).unwrap();
        for name in ["abs/secret", "rel/secret", "abs/new", "rel/dir/new"] {
            let tar = Raw::new().file(name, "evil").end();
            let error = place.extract(&tar, &policy).unwrap_err();
            assert_eq!(error.status(), 500, "{context}: {error}");
        }
        let tar = Raw::new().dir("abs").end();
        place.extract(&tar, &policy).unwrap_err();
    }
}

#[test]
fn a_file_that_was_a_link_outside_before_stays_inside() {
    for (target, name) in [("../outside/secret", "rel"), ("../outside/new", "dangling")] {
        let place = Place::new();
        symlink(target, place.base().join(name)).unwrap();
        let tar = Raw::new().file(name, "mine").end();
        place.extract(&tar, &Policy::upstream()).unwrap_err();
        place.extract(&tar, &Policy::strict()).unwrap();
        assert_eq!(place.content(name), "mine");
        assert!(
            !fs::symlink_metadata(place.base().join(name))
                .unwrap()
                .is_symlink()
        );
    }
}

#[test]
fn another_name_of_a_file_outside_is_not_written_through() {
    for (context, policy) in policies() {
        let place = Place::new();
        fs::hard_link(place.outside.secret(), place.base().join("f")).unwrap();
        place
            .extract(&Raw::new().file("f", "mine").end(), &policy)
            .unwrap();
        assert_eq!(place.content("f"), "mine", "{context}");
        assert_eq!(fs::metadata(place.base().join("f")).unwrap().nlink(), 1);
    }
    let place = Place::new();
    fs::hard_link(place.outside.secret(), place.base().join("f")).unwrap();
    symlink("f", place.base().join("l")).unwrap();
    place
        .extract(&Raw::new().file("l", "evil").end(), &Policy::upstream())
        .unwrap_err();
}

#[test]
fn hard_links_lead_to_regular_files_inside() {
    let place = Place::new();
    let secret = place.outside.secret();
    for target in [
        "../outside/secret",
        secret.to_str().unwrap(),
        "",
        "d",
        ".",
        "a/../../outside/secret",
    ] {
        let tar = Raw::new()
            .dir("d")
            .hard_link("h", target)
            .file("h", "evil")
            .end();
        for links in [HardLinks::Link, HardLinks::Copy] {
            assert_refused(&tar, &Policy::strict().hard_links(links), 400, target);
        }
    }
    symlink("../outside", place.base().join("out")).unwrap();
    for target in ["out/secret", "missing"] {
        let tar = Raw::new().hard_link("h", target).end();
        let error = place.extract(&tar, &Policy::strict()).unwrap_err();
        assert_eq!(error.status(), 500, "{error}");
    }
}

#[test]
fn a_hard_link_to_itself_is_refused() {
    let tar = Raw::new().file("f", "x").hard_link("f", "f").end();
    for duplicates in [Duplicates::Refuse, Duplicates::LastWins] {
        assert_refused(&tar, &Policy::strict().duplicates(duplicates), 400, "");
    }
}

#[test]
fn writing_to_a_name_does_not_change_its_other_names() {
    let policy = Policy::strict().duplicates(Duplicates::LastWins);
    let place = Place::new();
    let tar = Raw::new()
        .file("a", "old")
        .hard_link("b", "a")
        .file("b", "new")
        .end();
    place.extract(&tar, &policy).unwrap();
    assert_eq!(
        (place.content("a"), place.content("b")),
        ("old".into(), "new".into())
    );
}

#[test]
fn a_directory_is_not_replaced_by_a_link() {
    let tar = Raw::new()
        .dir("d")
        .symlink("d", "e")
        .file("d/x", "evil")
        .end();
    assert_refused(&tar, &Policy::strict(), 500, "");
    let policy = Policy::strict().duplicates(Duplicates::LastWins);
    assert_refused(&tar, &policy, 500, "");
}

#[test]
fn special_files_are_never_made() {
    for kind in [b'3', b'4', b'6'] {
        let tar = Raw::new()
            .file("before", "x")
            .entry(kind, "special", "", b"")
            .file("after", "x")
            .end();
        for (context, policy) in policies() {
            let place = Place::new();
            let error = place.extract(&tar, &policy).unwrap_err();
            assert!(
                matches!(error.kind(), ExtractErrorKind::Type { .. }),
                "{context}: {error}"
            );
            assert_eq!(place.names(), ["before"], "{context}");
        }
        let place = Place::new();
        let summary = place
            .extract(&tar, &Policy::strict().specials(Specials::Skip))
            .unwrap();
        assert_eq!(summary.skipped_specials, 1);
        assert_eq!(place.names(), ["after", "before"]);
    }
}

#[test]
fn what_nobody_knows_is_refused() {
    for kind in [b'V', b'D', b'M', b'A', b'8', 0xff] {
        let tar = Raw::new().entry(kind, "x", "", b"").end();
        for (context, policy) in policies() {
            assert_refused(&tar, &policy, 400, context);
        }
    }
}

#[test]
fn a_pipe_that_was_there_before_does_not_hold_the_extraction() {
    for policy in [Policy::upstream(), Policy::stage0()] {
        let place = Place::new();
        fifo(place.base().join("p"));
        symlink("p", place.base().join("l")).unwrap();
        for name in ["p", "l"] {
            place
                .extract(&Raw::new().file(name, "x").end(), &policy)
                .unwrap_err();
        }
        assert!(
            fs::metadata(place.base().join("p"))
                .unwrap()
                .file_type()
                .is_fifo()
        );
    }
    let place = Place::new();
    fifo(place.base().join("p"));
    place
        .extract(&Raw::new().file("p", "x").end(), &Policy::strict())
        .unwrap();
    assert_eq!(place.content("p"), "x");
}

#[test]
fn set_id_and_sticky_bits_are_dropped() {
    for (context, policy) in policies() {
        let place = Place::new();
        let tar = Raw::new()
            .entry_with(b'0', "f", "", b"x", field(MODE, b"0007755"))
            .entry_with(b'5', "d", "", b"", field(MODE, b"0007755"))
            .end();
        place.extract(&tar, &policy).unwrap();
        for name in ["f", "d"] {
            let mode = fs::metadata(place.base().join(name)).unwrap().mode();
            assert_eq!(mode & 0o7777, 0o755, "{context}");
        }
    }
}

#[test]
fn sparse_files_are_refused() {
    let old = Raw::new().entry(b'S', "x", "", b"").end();
    let new = Raw::new()
        .pax(&record("GNU.sparse.major", b"1"))
        .file("GNUSparseFile.0/x", "x")
        .end();
    for tar in [old, new] {
        for (context, policy) in policies() {
            let error = assert_refused(&tar, &policy, 400, context);
            assert!(matches!(
                error.kind(),
                ExtractErrorKind::Header(HeaderFault::Sparse)
            ));
        }
    }
}

#[test]
fn the_size_of_a_pax_record_is_the_one_that_counts() {
    // To who believes the header, the content is another entry.
    let hidden = Raw::new().file("hidden", "").0;
    let tar = Raw::new()
        .pax(&record("size", b"512"))
        .entry_with(b'0', "f", "", &hidden, field(SIZE, b"00000000000\0"))
        .end();
    for (context, policy) in policies() {
        let place = Place::new();
        place.extract(&tar, &policy).unwrap();
        assert_eq!(place.names(), ["f"], "{context}");
        assert_eq!(fs::read(place.base().join("f")).unwrap(), hidden);
    }
}

#[test]
fn sizes_of_what_has_no_content_mean_nothing() {
    let size = field(SIZE, b"00000001000\0");
    let tar = Raw::new()
        .entry_with(b'5', "d", "", b"", size)
        .file("f", "x")
        .end();
    for (context, policy) in policies() {
        let place = Place::new();
        place.extract(&tar, &policy).unwrap();
        assert_eq!(place.names(), ["d", "f"], "{context}");
    }
}

#[test]
fn sizes_below_zero_and_beyond_all_are_refused() {
    let sizes: [&[u8; 12]; 4] = [
        &[0xff; 12],
        b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
        b"-0000000001\0",
        b"9999999999\0\0",
    ];
    for size in sizes {
        for kind in [b'0', b'L', b'x', b'g'] {
            let tar = Raw::new()
                .entry_with(kind, "f", "", b"", field(SIZE, size))
                .end();
            for (context, policy) in policies() {
                assert_refused(&tar, &policy, 400, context);
            }
        }
    }
    for value in ["-1", "+1", "0x10", "18446744073709551616", "1e3"] {
        let tar = Raw::new()
            .pax(&record("size", value.as_bytes()))
            .file("f", "x")
            .end();
        for (context, policy) in policies() {
            assert_refused(&tar, &policy, 400, context);
        }
    }
    // A number that can be, but only just.
    let tar = Raw::new()
        .pax(&record("size", b"18446744073709551615"))
        .file("f", "x")
        .end();
    assert_refused(&tar, &Policy::upstream(), 400, "");
}

#[test]
fn huge_sizes_are_refused_before_anything_is_written() {
    let huge = field(SIZE, b"\x80\0\0\0\x7f\0\0\0\0\0\0\0");
    let tar = Raw::new().entry_with(b'0', "f", "", b"x", huge).0;
    for (context, policy) in policies() {
        let place = Place::new();
        let error = place.extract(&tar, &policy).unwrap_err();
        assert_eq!(error.status(), 413, "{context}: {error}");
        assert!(place.names().is_empty());
    }
    // Within the limits, but not there.
    let large = field(SIZE, b"77777777777\0");
    let tar = Raw::new().entry_with(b'0', "f", "", b"x", large).0;
    for (context, policy) in policies() {
        assert_refused(&tar, &policy, 500, context);
    }
}

#[test]
fn names_end_at_a_zero_byte_or_have_none() {
    let tar = Raw::new().file("good\0/../../evil", "x").end();
    for (context, policy) in policies() {
        let place = Place::new();
        place.extract(&tar, &policy).unwrap();
        assert_eq!(place.names(), ["good"], "{context}");
    }
    for key in ["path", "linkpath"] {
        let tar = Raw::new()
            .pax(&record(key, b"good\0evil"))
            .symlink("f", "x")
            .end();
        for (context, policy) in policies() {
            assert_refused(&tar, &policy, 400, context);
        }
    }
}

#[test]
fn records_hide_nothing_behind_a_line_feed() {
    // Who cuts at line feeds sees the name `evil`.
    let comment = record("comment", b"a\n13 path=evil");
    let tar = Raw::new().pax(&comment).file("good", "x").end();
    let place = Place::new();
    place.extract(&tar, &Policy::strict()).unwrap();
    assert_eq!(place.names(), ["good"]);
}

#[test]
fn two_records_about_one_entry_are_refused() {
    let name = |name: &[u8]| record("path", name);
    let pax = Raw::new()
        .pax(&name(b"a"))
        .pax(&name(b"b"))
        .file("f", "x")
        .end();
    let gnu = Raw::new()
        .entry(b'L', "", "", b"a\0")
        .entry(b'L', "", "", b"b\0")
        .file("f", "x")
        .end();
    for tar in [pax, gnu] {
        for (context, policy) in policies() {
            assert_refused(&tar, &policy, 400, context);
        }
    }
}

#[test]
fn records_without_an_entry_and_without_end_are_refused() {
    let alone = Raw::new().pax(&record("path", b"a")).end();
    // Gigabytes of a name: not read into memory.
    let endless = Raw::new()
        .entry_with(b'L', "", "", b"", field(SIZE, b"77777777777\0"))
        .end();
    for tar in [alone, endless] {
        for (context, policy) in policies() {
            assert_refused(&tar, &policy, 400, context);
        }
    }
}

#[test]
fn a_name_that_comes_twice_is_refused_or_the_last_one_wins() {
    let tar = Raw::new()
        .file("a", "1")
        .file("b", "x")
        .file("a", "2")
        .end();
    assert_refused(&tar, &Policy::strict(), 400, "");
    let place = Place::new();
    place.extract(&tar, &Policy::upstream()).unwrap();
    assert_eq!(place.content("a"), "2");
    let tar = Raw::new().symlink("a", "b").file("./a", "evil").end();
    assert_refused(&tar, &Policy::strict(), 400, "as a link and as a file");
}

#[test]
fn of_many_of_a_name_the_last_one_wins() {
    // More than a batch, with other names and other spellings between, so that threads would meet.
    let mut raw = Raw::new();
    for at in 0..2000 {
        let name = ["d/a", "d/./a", "d/x/../a"][at % 3];
        raw = raw
            .file(name, &at.to_string())
            .file(&format!("d/other{at}"), "x");
    }
    let place = Place::new();
    place
        .extract(&raw.end(), &Policy::upstream().threads(4))
        .unwrap();
    assert_eq!(place.content("d/a"), "1999");
}

#[test]
fn of_names_that_links_make_one_the_last_one_wins() {
    let place = Place::new();
    fs::create_dir(place.base().join("d")).unwrap();
    symlink("d", place.base().join("l")).unwrap();
    write(place.base().join("t"), "");
    symlink("t", place.base().join("m")).unwrap();
    let mut raw = Raw::new();
    for at in 0..600 {
        let (dir, file) = [("d", "t"), ("l", "m")][at % 2];
        raw = raw
            .file(&format!("{dir}/a"), &at.to_string())
            .file(file, &at.to_string());
    }
    place
        .extract(&raw.end(), &Policy::upstream().threads(4))
        .unwrap();
    assert_eq!(
        (place.content("d/a"), place.content("t")),
        ("599".into(), "599".into())
    );
}

#[test]
fn a_file_is_no_directory_and_a_directory_no_file() {
    for threads in [1, 4] {
        for (context, policy) in policies() {
            let policy = policy.threads(threads);
            for name in ["a/", "a/b/"] {
                let tar = Raw::new().file("a", "x").dir(name).end();
                let error = Place::new().extract(&tar, &policy).unwrap_err();
                let text = error.to_string();
                let known = text.starts_with("mkdir ") && text.ends_with("/a: not a directory");
                assert!(known || error.status() == 400, "{context}: {error}");
            }
            let tar = Raw::new().file("a", "x").file("a/b", "x").end();
            let error = assert_refused(&tar, &policy, 500, context);
            assert!(
                error.to_string().ends_with("/a: not a directory"),
                "{error}"
            );
            let tar = Raw::new().dir("a").file("a", "x").end();
            let error = assert_refused(&tar, &policy, 500, context);
            assert!(error.to_string().ends_with("/a: is a directory"), "{error}");
        }
    }
}

#[test]
fn names_that_differ_in_case_can_be_refused() {
    let tar = Raw::new().file("README", "1").file("readme", "2").end();
    let place = Place::new();
    place.extract(&tar, &Policy::strict()).unwrap();
    assert_eq!(place.names(), ["README", "readme"]);
    let policy = Policy::strict().duplicates(Duplicates::RefuseIgnoringCase);
    assert_refused(&tar, &policy, 400, "");
    let tar = Raw::new().file("a/É", "1").file("A/é", "2").end();
    assert_refused(&tar, &policy, 400, "in a directory, beyond ASCII");
}

#[test]
fn slashes_at_the_end_change_no_kind_but_the_oldest() {
    let tar = Raw::new()
        .file("f/", "x")
        .entry(0, "d/", "", b"")
        .entry(0, "g", "", b"y")
        .end();
    for (context, policy) in policies() {
        let place = Place::new();
        place.extract(&tar, &policy).unwrap();
        assert_eq!(place.names(), ["d", "f", "g"], "{context}");
        assert!(place.base().join("d").is_dir() && place.base().join("f").is_file());
    }
    let place = Place::new();
    symlink("../outside", place.base().join("l")).unwrap();
    let tar = Raw::new().file("l/", "mine").end();
    place.extract(&tar, &Policy::strict()).unwrap();
    assert_eq!(place.content("l"), "mine");
}

#[test]
fn the_folder_itself_is_no_file() {
    for name in [".", "./", "a/.."] {
        for kind in [b'0', b'1', b'2'] {
            let tar = Raw::new().entry(kind, name, "x", b"").end();
            for (context, policy) in policies() {
                let place = Place::new();
                if let Ok(summary) = place.extract(&tar, &policy) {
                    assert_eq!(summary.skipped_symlinks, 1, "{context}");
                }
                assert!(place.names().is_empty());
            }
        }
    }
    let mode = fs::metadata(Place::new().base()).unwrap().mode();
    let place = Place::new();
    let tar = Raw::new()
        .entry_with(b'5', "./", "", b"", field(MODE, b"0000000"))
        .end();
    place.extract(&tar, &Policy::strict()).unwrap();
    assert_eq!(fs::metadata(place.base()).unwrap().mode(), mode);
}

#[test]
fn an_empty_name_is_refused() {
    let tar = Raw::new().file("", "x").end();
    for (context, policy) in policies() {
        assert_refused(&tar, &policy, 400, context);
    }
}

#[test]
fn a_name_cannot_add_a_line_to_an_answer() {
    let tar = Raw::new().file("/a\nHTTP/1.1 200 OK", "x").end();
    let error = assert_refused(&tar, &Policy::upstream(), 400, "");
    assert!(!error.to_string().contains('\n'));
    let tar = Raw::new().entry(b'6', "a\nb", "", b"").end();
    let error = assert_refused(&tar, &Policy::upstream(), 400, "");
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[test]
fn a_lone_zero_block_is_no_end() {
    let mut tar = Raw::new().file("a", "x").0;
    tar.extend_from_slice(&[0; 512]);
    tar.extend_from_slice(&Raw::new().file("b", "x").end());
    for (context, policy) in policies() {
        assert_refused(&tar, &policy, 400, context);
    }
}

#[test]
fn an_archive_without_end_is_refused_by_strict_rules() {
    let tar = Raw::new().file("a", "x").0;
    let error = assert_refused(&tar, &Policy::strict(), 400, "");
    assert!(matches!(error.kind(), ExtractErrorKind::Read(_)));
    Place::new().extract(&tar, &Policy::upstream()).unwrap();
    Place::new()
        .extract(&tar, &Policy::strict().end_required(false))
        .unwrap();
}

#[test]
fn deep_and_long_paths_are_limited_but_not_by_the_system() {
    let deep = "d/".repeat(300) + "f";
    let tar = Raw::new()
        .pax(&record("path", deep.as_bytes()))
        .file("f", "x")
        .end();
    for (context, policy) in policies() {
        let error = assert_refused(&tar, &policy, 413, context);
        assert!(matches!(
            error.kind(),
            ExtractErrorKind::Limit {
                what: Limit::Depth,
                ..
            }
        ));
    }
    // Longer than the system takes in one piece.
    let long = format!("{}/", "n".repeat(200)).repeat(100) + "f";
    assert!(long.len() > 4096);
    let tar = Raw::new()
        .pax(&record("path", long.as_bytes()))
        .file("f", "x")
        .end();
    for (context, policy) in policies() {
        let place = Place::new();
        let summary = place.extract(&tar, &policy).unwrap();
        assert_eq!(summary.bytes, 1, "{context}");
        let workdir = buildlet_proto::workdir::Workdir::open(place.base()).unwrap();
        workdir.remove_all(&[super::tree::relative(".")]).unwrap();
        assert!(!place.base().exists());
    }
}
