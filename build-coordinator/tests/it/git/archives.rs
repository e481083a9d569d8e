use std::collections::BTreeMap;
use std::io::Read as _;

use build_coordinator::git::{GitConfig, GitError, SourceArchive};
use build_coordinator::model::Revision;
use tokio::io::AsyncReadExt as _;

use super::support::Workshop;

#[tokio::test]
async fn an_archive_has_every_file_as_it_was_committed() {
    let workshop = Workshop::new();
    workshop.commit(
        ".gitattributes",
        "secret export-ignore\nversion export-subst\n*.txt text eol=lf\nx filter=evil\n",
        "attributes",
    );
    workshop.commit("secret", "kept", "one");
    workshop.commit("version", "$Format:%H$", "two");
    workshop.commit("dir/x", "plain", "three");
    std::os::unix::fs::symlink("dir/x", workshop.source().join("link")).unwrap();
    let head = workshop.commit("-rf", "", "four");
    let cache = workshop.cache().await;
    cache.fetch().await.unwrap();
    let files = files_of(cache.archive(&head).await.unwrap()).await;
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "-rf",
            ".gitattributes",
            "dir/",
            "dir/x",
            "link",
            "secret",
            "version"
        ]
    );
    assert_eq!(files["secret"], "kept");
    assert_eq!(files["version"], "$Format:%H$");
    let none: Revision = "0".repeat(40).parse().unwrap();
    let error = cache.archive(&none).await.unwrap_err();
    assert!(matches!(error, GitError::NoCommit(_)), "{error}");
}

#[tokio::test]
async fn many_that_want_one_archive_get_it_and_it_is_made_once() {
    let workshop = Workshop::new();
    let head = workshop.commit("a", &"x".repeat(100_000), "one");
    let cache = workshop.cache().await;
    cache.fetch().await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (cache, head) = (cache.clone(), head.clone());
        tasks.spawn(async move { cache.archive(&head).await.unwrap().bytes });
    }
    let sizes = tasks.join_all().await;
    assert!(sizes.iter().all(|size| *size == sizes[0]));
    let archives = archives_of(&workshop);
    assert_eq!(archives.len(), 1, "{archives:?}");
}

#[tokio::test]
async fn old_archives_make_room_and_who_reads_one_still_can() {
    let workshop = Workshop::new();
    let first = workshop.commit("a", "1", "one");
    let second = workshop.commit("a", "2", "two");
    let cache = workshop
        .cache_with(GitConfig::default().max_archives(1))
        .await;
    cache.fetch().await.unwrap();
    let old = cache.archive(&first).await.unwrap();
    cache.archive(&second).await.unwrap();
    let archives = archives_of(&workshop);
    assert_eq!(archives, [format!("{second}.tar.gz")]);
    assert_eq!(files_of(old).await["a"], "1");
}

#[tokio::test]
async fn a_source_that_is_too_large_is_not_archived() {
    let workshop = Workshop::new();
    let head = workshop.commit("zeros", &"0".repeat(1 << 20), "a small pack of many bytes");
    let cache = workshop
        .cache_with(GitConfig::default().max_archive(1 << 19))
        .await;
    cache.fetch().await.unwrap();
    let error = cache.archive(&head).await.unwrap_err();
    assert!(matches!(error, GitError::TooLarge { .. }), "{error}");
    assert!(archives_of(&workshop).is_empty());
}

fn archives_of(workshop: &Workshop) -> Vec<String> {
    let caches = std::fs::read_dir(workshop.path().join("cache")).unwrap();
    let dir = caches.map(|entry| entry.unwrap().path()).next().unwrap();
    std::fs::read_dir(dir.join("archives"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

async fn files_of(mut archive: SourceArchive) -> BTreeMap<String, String> {
    let mut bytes = Vec::new();
    archive.file.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes.len() as u64, archive.bytes);
    let mut tar = tar::Archive::new(flate2::read::MultiGzDecoder::new(&bytes[..]));
    let mut files = BTreeMap::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        if name != "pax_global_header" {
            files.insert(name, content);
        }
    }
    files
}
