//! What Go's network source did, over HTTP.

use std::fs;
use std::path::Path;
use std::time::Duration;

use maintner::Corpus;
use serde_json::Value;
use tempfile::tempdir;

use crate::fake_server::{FakeServer, Reply};
use crate::support::vectors;

/// Where Go means to fetch frozen segments from.
const BUCKET: &str = "https://storage.googleapis.com";

fn read(dir: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(dir.join(name)).unwrap()).unwrap()
}

/// Number and title of all issues.
pub(crate) fn issues(corpus: &Corpus) -> Vec<String> {
    let view = corpus.view();
    let repo = view.github().repo("golang", "go");
    let issues = repo.iter().flat_map(maintner::Repo::issues);
    issues
        .map(|issue| format!("{}:{}", issue.number(), issue.title()))
        .collect()
}

fn files(cache: &Path) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(cache)
        .unwrap()
        .map(|file| {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            format!("{name} {}", file.metadata().unwrap().len())
        })
        .filter(|file| file.contains(".mutlog "))
        .collect();
    files.sort();
    files
}

fn strings(value: &Value) -> Vec<String> {
    let list = value.as_array().into_iter().flatten();
    list.map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// Has the server do what a step says.
fn set(server: &FakeServer, dir: &Path, step: &Value) {
    let mut script = server.script.lock().unwrap();
    script.index = step["index"].as_array().unwrap().clone();
    for entry in &mut script.index {
        let url = entry["url"].as_str().unwrap().replace(BUCKET, "");
        entry["url"] = url.into();
    }
    for (url, file) in step["blobs"].as_object().into_iter().flatten() {
        let blob = fs::read(dir.join(file.as_str().unwrap())).unwrap();
        script.blobs.insert(url.replace(BUCKET, ""), blob);
    }
    script.replies.clear();
    let segment_replies = step["segment_replies"].as_object().into_iter().flatten();
    let index = ("/logs", &step["index_replies"]);
    for (path, replies) in segment_replies
        .map(|(url, replies)| (url.as_str(), replies))
        .chain([index])
    {
        let replies = strings(replies)
            .into_iter()
            .flat_map(|reply| match reply.as_str() {
                "reset" => vec![Reply::Reset],
                // As often as it is tried.
                "offline" => vec![Reply::Reset; 3],
                "badjson" => vec![Reply::Body(b"[{".to_vec())],
                "corrupt" => vec![Reply::Corrupt],
                "short" => vec![Reply::Short],
                "full" => vec![Reply::Full],
                status => vec![Reply::Status(status.parse().unwrap())],
            });
        let replies = replies.collect();
        script.replies.insert(path.replace(BUCKET, ""), replies);
    }
    for pattern in strings(&step["delete_from_cache"]) {
        assert_eq!(pattern, "0001.*", "no other pattern is known here");
    }
}

#[test]
fn each_vector_ends_as_with_go() {
    for dir in vectors("net") {
        let name = dir.file_name().unwrap().to_str().unwrap();
        let (scenario, transcript) = (read(&dir, "scenario.json"), read(&dir, "transcript.json"));
        let server = FakeServer::new();
        let cache = tempdir().unwrap();
        let config = || server.config(cache.path()).offline(true);
        let follow = || {
            Corpus::follow(
                maintner::net::Follower::open(config()).unwrap(),
                maintner::Config::default(),
            )
        };
        let mut corpus = follow();
        let steps = scenario["steps"].as_array().unwrap();
        for (n, step) in steps.iter().enumerate() {
            let expected = transcript.get(n).cloned().unwrap_or_default();
            let context = format!("{name}, step {n}");
            set(&server, &dir, step);
            for pattern in strings(&step["delete_from_cache"]) {
                let prefix = pattern.trim_end_matches('*');
                for file in fs::read_dir(cache.path()).unwrap() {
                    let path = file.unwrap().path();
                    if path
                        .file_name()
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .starts_with(prefix)
                    {
                        fs::remove_file(path).unwrap();
                    }
                }
            }
            if step["op"] != "update" {
                corpus = follow();
            }
            let waits = strings(&step["index_replies"]).contains(&"304".to_owned());
            let result = if waits {
                corpus.update_within(Duration::from_secs(60)).map(drop)
            } else {
                corpus.update()
            };

            let go_failed = expected.get("error").is_some();
            // No news, no data, and what came broken once are no errors here.
            let corrected = matches!(
                (name, n),
                ("i-corrupt", 0 | 1) | ("k-unchanged", 1) | ("l-empty", _)
            );
            if corrected {
                result
                    .as_ref()
                    .unwrap_or_else(|error| panic!("{context}: {error:?}"));
            } else {
                assert_eq!(result.is_err(), go_failed, "{context}: {result:?}");
            }
            // Go panics when it is asked again after a split.
            let is_split = expected["is_err_split"] == true || (name, n) == ("c-split-shorter", 2);
            let we_say_split = result.as_ref().is_err_and(maintner::LoadError::is_split);
            assert_eq!(we_say_split, is_split, "{context}");
            if !corrected {
                assert_eq!(issues(&corpus), strings(&expected["issues"]), "{context}");
            }
            for file in files(cache.path()) {
                let name = file.split(' ').next().unwrap();
                let bytes = fs::read(cache.path().join(name)).unwrap();
                let sum = name.split('.').nth(1).unwrap();
                assert!(
                    sum == "growing" || sum == crate::fake_server::sum(&bytes),
                    "{context}: {file}"
                );
            }
            let same_files = [
                "b-long-poll",
                "d-split-same-size",
                "e-split-longer",
                "j-full-reply",
            ];
            if same_files.contains(&name) && !go_failed {
                assert_eq!(
                    files(cache.path()),
                    strings(&expected["cache"]),
                    "{context}"
                );
            }
        }
    }
}

#[test]
fn only_what_is_missing_is_fetched() {
    let dir = vectors("net")
        .into_iter()
        .find(|dir| dir.ends_with("a-grow-and-roll"))
        .unwrap();
    let scenario = read(&dir, "scenario.json");
    let server = FakeServer::new();
    let cache = tempdir().unwrap();
    let mut corpus = server.corpus(cache.path());
    let fetched = |step: usize, corpus: &mut Corpus| {
        set(&server, &dir, &scenario["steps"][step]);
        corpus.update().unwrap();
        let segments = server
            .requests()
            .into_iter()
            .filter(|request| request != "/logs");
        segments
            .map(|request| request.split('/').next_back().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(fetched(0, &mut corpus).len(), 2);
    assert_eq!(fetched(1, &mut corpus), ["1 36-72"]);
    let third = fetched(2, &mut corpus);
    assert!(
        third[0].ends_with(".mutlog 73-109") && third[1] == "2",
        "{third:?}"
    );
    assert_eq!(fetched(3, &mut corpus), ["3"]);
    // Another process.
    assert!(fetched(4, &mut server.corpus(cache.path())).is_empty());
}
