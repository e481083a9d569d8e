//! `src/pb.rs` is what `proto/apipb.proto` generates.

use std::path::Path;

/// With `UPDATE_GENERATED=1` it writes the file instead.
#[test]
fn the_generated_code_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = protox::compile([root.join("proto/apipb.proto")], [root.join("proto")]).unwrap();
    let out = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .out_dir(out.path())
        .client_mod_attribute(".", "#[cfg(feature = \"client\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        .build_transport(false)
        .compile_fds(files)
        .unwrap();
    let body = std::fs::read_to_string(out.path().join("apipb.rs")).unwrap();
    let generated = format!("{HEAD}{body}");

    let path = root.join("src/pb.rs");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == generated,
        "run: UPDATE_GENERATED=1 cargo test -p maintner-api --test it generated"
    );
}

const HEAD: &str = "\
//! The messages, and the service that they are exchanged with.
//!
//! Generated from `proto/apipb.proto`; names and numbers are those of `golang.org/x/build/maintner/maintnerd/apipb`.

";
