use std::time::Duration;

use buildlet_proto::types::Status;
use buildlet_proto::types::ext::{
    ArchiveFormat, Enforced, Extension, Isolation, LimitHit, Mechanism, Usage,
};

#[test]
fn a_buildlet_of_ours_is_told_from_upstreams() {
    let ours = Status::ours([Extension::Tar, Extension::Isolation]);
    let back = Status::from_json(ours.to_json().as_bytes()).unwrap();
    assert_eq!(back, ours);
    assert!(back.supports(Extension::Tar) && !back.supports(Extension::Network));
    assert!(
        back.implementation()
            .is_some_and(|name| name.starts_with("buildlet-proto/"))
    );
    assert!(!Status::new(29).supports(Extension::Tar));
}

#[test]
fn what_a_later_version_lists_is_passed_over() {
    let json = br#"{"Version":31,"Impl":"x","Extensions":["warp","tar",7]}"#;
    let status = Status::from_json(json).unwrap();
    assert!(status.supports(Extension::Tar));
    let enforced = Enforced::parse("sandbox by process-group warp cgroup").unwrap();
    assert_eq!(
        enforced.mechanisms(),
        [Mechanism::ProcessGroup, Mechanism::Cgroup]
    );
    let usage = Usage::parse("warp=9 wall=12ms energy=3J user=x");
    assert_eq!(
        usage,
        Usage {
            wall: Some(Duration::from_millis(12)),
            ..Usage::default()
        }
    );
    assert_eq!(Enforced::parse("warp"), None);
    assert_eq!(LimitHit::parse("warp"), None);
}

#[test]
fn every_name_is_read_as_it_is_written() {
    for extension in Extension::ALL {
        assert_eq!(Extension::from_name(extension.as_str()), Some(extension));
    }
    for limit in [LimitHit::Timeout, LimitHit::Memory, LimitHit::Output] {
        assert_eq!(LimitHit::parse(limit.as_str()), Some(limit));
    }
    let all = Enforced::new(Isolation::Sandbox, Mechanism::ALL);
    assert_eq!(
        all.to_string(),
        "sandbox by process-group rlimits cgroup landlock network-off subreaper session no-new-privs \
         scope capabilities hidden-files"
    );
    assert_eq!(Enforced::parse(&all.to_string()), Some(all));
    let none = Enforced::default();
    assert_eq!(none.to_string(), "none");
    assert_eq!(Enforced::parse("none"), Some(none));
}

#[test]
fn archives_are_compressed_unless_both_sides_say_otherwise() {
    for (accept, format) in [
        (None, ArchiveFormat::TarGz),
        (Some(&b""[..]), ArchiveFormat::TarGz),
        (Some(b"zstd"), ArchiveFormat::TarGz),
        (Some(b"zstd, tar"), ArchiveFormat::Tar),
        (Some(b"tar.gz,tar"), ArchiveFormat::TarGz),
    ] {
        assert_eq!(ArchiveFormat::negotiate(accept), format);
    }
    assert_eq!(ArchiveFormat::of_body(None), Some(ArchiveFormat::TarGz));
    assert_eq!(
        ArchiveFormat::of_body(Some(b"tar")),
        Some(ArchiveFormat::Tar)
    );
    assert_eq!(ArchiveFormat::of_body(Some(b"zip")), None);
}
