//! `src/mutation/pb.rs` is what `proto/maintner.proto` generates.

use std::path::Path;

/// With `UPDATE_GENERATED=1` it writes the file instead.
#[test]
fn the_generated_code_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = protox::compile([root.join("proto/maintner.proto")], [root.join("proto")]).unwrap();
    let out = tempfile::tempdir().unwrap();
    prost_build::Config::new()
        .out_dir(out.path())
        .compile_fds(files)
        .unwrap();
    let body = std::fs::read_to_string(out.path().join("maintpb.rs")).unwrap();
    let generated = format!("{HEAD}{body}");

    let path = root.join("src/mutation/pb.rs");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == generated,
        "run: UPDATE_GENERATED=1 cargo test -p maintner --test it generated"
    );
}

const HEAD: &str = "\
//! The mutations with memory of their own, for writing: `prost` encodes them.
//!
//! Generated from `proto/maintner.proto`; field names and numbers are those of `golang.org/x/build/maintner/maintpb`. To read,
//! [`MutationRef`](crate::MutationRef) is faster, and takes what Go takes.

";
