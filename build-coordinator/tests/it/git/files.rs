use build_coordinator::git::GitError;

use super::support::Workshop;

#[tokio::test]
async fn files_of_a_revision_are_read_without_a_work_tree() {
    let workshop = Workshop::new();
    let first = workshop.commit("go.mod", "module a\n", "one");
    workshop.commit("go.mod", "module b\n", "two");
    let second = workshop.commit("with space/ünïcode", "0123456789", "three");
    let cache = workshop.cache().await;
    cache.fetch().await.unwrap();
    let text = |file: &Option<Vec<u8>>| String::from_utf8(file.clone().unwrap()).unwrap();
    let paths = [
        "Cargo.toml",
        "go.mod",
        "with space",
        "with space/ünïcode",
        "go.mod\nHEAD",
        "go.mod missing",
        "go.mod",
        "",
    ];
    let files = cache.files(&second, &paths, 4).await.unwrap();
    let there: Vec<bool> = files.iter().map(Option::is_some).collect();
    assert_eq!(there, [false, true, false, true, false, false, true, false]);
    assert_eq!(
        (text(&files[1]), text(&files[3])),
        ("modu".into(), "0123".into())
    );
    let before = cache.files(&first, &["go.mod"], 100).await.unwrap();
    assert_eq!(text(&before[0]), "module a\n");

    let unknown = "0123456789012345678901234567890123456789".parse().unwrap();
    let error = cache.files(&unknown, &["go.mod"], 100).await.unwrap_err();
    assert!(matches!(error, GitError::NoCommit(_)), "{error}");
}
