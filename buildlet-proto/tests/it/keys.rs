use std::ffi::OsString;
use std::fs;

use buildlet_proto::key::{KeyFile, MasterKey, password_from_key_pem, same_secret};
use serde::Deserialize;

use crate::data::rows;

#[derive(Deserialize)]
struct KeyRow {
    master_key: String,
    principal: String,
    key: String,
}

#[test]
fn keys_are_upstreams() {
    for row in rows::<KeyRow>("builderkey") {
        let Ok(master) = MasterKey::new(row.master_key.clone()) else {
            // The vectors have an empty master key too; whoever leaves it out by mistake would let everybody in.
            assert_eq!(row.master_key, "");
            continue;
        };
        assert_eq!(master.key_for(&row.principal).as_str(), row.key);
        assert!(master.verify(&row.principal, &row.key));
        assert!(!master.verify(&row.principal, &row.key.to_uppercase()));
        assert!(!master.verify(&row.principal, ""));
        assert!(!master.verify("another", &row.key));
    }
}

#[test]
fn an_empty_master_key_is_refused() {
    assert_eq!(
        MasterKey::new("").unwrap_err().to_string(),
        "master key is empty"
    );
    assert!(MasterKey::from_file_content(b" \n").is_err());
    let key = MasterKey::from_file_content(b" gophers rule\n").unwrap();
    assert!(key.verify("user-bradfitz", "2232b7f5ef5d435c05ddf6405760f365"));
}

#[test]
fn secrets_are_not_shown() {
    let master = MasterKey::development();
    assert_eq!(format!("{master:?}"), "MasterKey(..)");
    assert_eq!(format!("{:?}", master.key_for("x")), "BuilderKey(..)");
}

#[derive(Deserialize)]
struct PasswordRow {
    key_pem: String,
    password: String,
}

#[test]
fn passwords_are_upstreams() {
    for row in rows::<PasswordRow>("password") {
        assert_eq!(password_from_key_pem(&row.key_pem), row.password);
    }
    assert!(same_secret(b"abc", b"abc"));
    assert!(!same_secret(b"abc", b"abd") && !same_secret(b"abc", b"ab") && !same_secret(b"", b"a"));
}

fn locate(root: bool, vars: &[(&str, &str)]) -> KeyFile {
    KeyFile::locate("host-x", root, |name| {
        let found = vars.iter().find(|(known, _)| *known == name)?;
        Some(OsString::from(found.1))
    })
}

#[cfg(unix)]
#[test]
fn the_key_file_is_looked_for_where_upstream_looks() {
    for (root, vars, path) in [
        (
            true,
            &[("GO_BUILD_KEY_PATH", "/k"), ("HOME", "/h")][..],
            "/k",
        ),
        (true, &[("HOME", "/h")], "/h/.gobuildkey-host-x"),
        (true, &[], "/root/.gobuildkey-host-x"),
        (false, &[("HOME", "")], "/.gobuildkey-host-x"),
    ] {
        assert_eq!(locate(root, vars), KeyFile::new(path));
    }
    for (value, deletes) in [
        ("1", true),
        ("t", true),
        ("True", true),
        ("yes", false),
        ("", false),
    ] {
        let vars = [
            ("GO_BUILD_KEY_PATH", "/k"),
            ("GO_BUILD_KEY_DELETE_AFTER_READ", value),
        ];
        assert_eq!(
            locate(false, &vars),
            KeyFile::new("/k").delete_after_read(deletes),
            "{value}"
        );
    }
}

#[test]
fn a_key_is_trimmed_and_its_file_deleted_if_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    fs::write(&path, " abc\n\n").unwrap();
    assert_eq!(KeyFile::new(&path).read().unwrap().as_str(), "abc");
    assert!(path.exists());
    let once = KeyFile::new(&path).delete_after_read(true);
    assert_eq!(once.read().unwrap().as_str(), "abc");
    assert!(!path.exists());
}

#[test]
fn an_unreadable_key_file_is_deleted_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    for bad in [&b"\xff\xfe"[..], b" \n", &[b'a'; 70_000]] {
        fs::write(&path, bad).unwrap();
        KeyFile::new(&path)
            .delete_after_read(true)
            .read()
            .unwrap_err();
        assert!(!path.exists());
    }
    let missing = KeyFile::new(&path).read().unwrap_err();
    assert_eq!(
        missing.to_string(),
        format!("cannot read key file \"{}\"", path.display())
    );
    assert!(std::error::Error::source(&missing).is_some());
}
