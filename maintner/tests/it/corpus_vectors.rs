//! The facts that Go's maintner derives from each log, and where ours are meant to differ.

use std::fs;
use std::path::Path;

use maintner::reclog::{Records, segments};
use maintner::{Config, Corpus, LoadError};
use serde_json::{Value, json};

use crate::compare::assert_same;
use crate::facts::facts;
use crate::support::vectors;

/// What Go makes of the log, with its mistakes corrected: see "Expected results that are upstream defects" in
/// `tests/data/README.md`.
pub(crate) fn expected(dir: &Path) -> Value {
    let text = fs::read_to_string(dir.join("corpus.json")).unwrap();
    let mut facts: Value = serde_json::from_str(&text).unwrap();
    if facts.get("error").is_none() {
        complete(&mut facts);
        correct(dir.file_name().unwrap().to_str().unwrap(), &mut facts);
    }
    facts
}

/// Puts in what is left out when there is nothing, and leaves out in which words the check fails.
pub(crate) fn complete(facts: &mut Value) {
    facts["check"] = json!(!facts["check"].is_null());
    for (section, empty) in [
        ("gerrit", json!({ "projects": [] })),
        ("git", json!({ "commits": [], "git_of_hg": {}, "todo": [] })),
        ("github", json!({ "repos": [], "teams": [], "users": [] })),
    ] {
        if facts.get(section).is_none() {
            facts[section] = empty;
        }
    }
}

fn correct(case: &str, facts: &mut Value) {
    match case {
        "07-github-repo-and-users" => {
            // User 0 is nobody.
            facts["github"]["repos"][1]["issues"][2]["assignees"] = json!([]);
            facts["github"]["users"].as_array_mut().unwrap().remove(0);
        }
        "21-wire" => {
            // No milestone has a negative id.
            facts["github"]["repos"][0]["issues"][5]["milestone"] = Value::Null;
            facts["github"]["repos"][0]["milestones"] = json!([]);
        }
        "14-gerrit-state" => {
            // The line in the comment is no status, and CL 9 is open.
            facts["gerrit"]["projects"][0]["cls"][8]["status"] = json!("new");
            facts["gerrit"]["projects"][0]["open_cls"] =
                json!([1, 2, 5, 6, 7, 8, 9, 10, 11, 13, 14]);
        }
        "15-gerrit-hashtags" => {
            // `Hashtags:` without a blank is a line too.
            let meta = &mut facts["gerrit"]["projects"][0]["cls"][0]["metas"][6];
            meta["hashtags"] = json!("");
            meta["hashtags_len"] = json!(0);
        }
        "16-gerrit-votes" => {
            // The number ends at the comma.
            let metas = facts["gerrit"]["projects"][0]["cls"][0]["metas"]
                .as_array_mut()
                .unwrap();
            let last = metas.len() - 1;
            // A patch set that is not there changes no votes.
            metas[last]["label_votes"] = metas[last - 1]["label_votes"].clone();
            for meta in metas {
                let votes = meta["label_votes"].as_object_mut().unwrap();
                for (label, vote) in [("Tagged", 1), ("New", 2), ("New2", -1)] {
                    if let Some(votes) = votes.get_mut(label) {
                        for (_, value) in votes.as_object_mut().unwrap() {
                            *value = json!(vote);
                        }
                    }
                }
            }
        }
        "18-gerrit-refs" => {
            // Only exact names are those of changes, and there is no patch set 0; what is none is a ref like others.
            let b = "6d9972f1a37bdac47d947b466ddff6dcf457479b";
            let meta = "b4f700c23d839803fe216b2ef827fec64ecc82b2";
            let project = &mut facts["gerrit"]["projects"][1];
            let change_refs = project["change_refs"].as_object_mut().unwrap();
            for name in ["1/12", "3/0", "5/0"] {
                change_refs.remove(name).unwrap();
            }
            for (name, hash) in [
                ("refs/changes/01/1/12tail", b),
                ("refs/changes/03/3/metadata", meta),
                ("refs/changes/05/5/0", b),
            ] {
                project["refs"][name] = json!(hash);
            }
            let cls = project["cls"].as_array_mut().unwrap();
            cls.truncate(2);
            let a = "7105f84cc9f5d10d67ad2baaaef54c2d70476d56";
            cls[0]["commit"] = json!(a);
            cls[0]["version"] = json!(1);
            cls[0]["subject"] = json!("a ");
            cls[0]["commit_at_version"]
                .as_object_mut()
                .unwrap()
                .remove("12")
                .unwrap();
        }
        "24-gerrit-patch-set-order" => {
            // The highest patch set is the current one.
            let project = &mut facts["gerrit"]["projects"][0];
            let refs = project["change_refs"].clone();
            let cl = &mut project["cls"][0];
            cl["version"] = json!(11);
            cl["subject"] = json!("v11 ");
            cl["commit"] = refs["400/11"].clone();
            for version in ["10", "11"] {
                cl["commit_at_version"][version] = refs[format!("400/{version}")].clone();
            }
        }
        _ => {}
    }
}

#[test]
fn every_log_of_the_vectors_has_the_facts_that_go_derives() {
    let mut loaded = 0;
    for dir in vectors("disk") {
        let case = dir.file_name().unwrap().to_str().unwrap();
        let expected = expected(&dir);
        match Corpus::open(&dir) {
            Ok(corpus) => {
                assert_same(case, &facts(&corpus.view()), &expected);
                loaded += 1;
            }
            Err(error) => assert!(expected.get("error").is_some(), "{case}: {error}"),
        }
    }
    assert!(loaded >= 25, "{loaded}");
}

#[test]
fn what_stands_before_an_error_is_applied() {
    for dir in vectors("disk") {
        if !dir.to_str().unwrap().contains("-bad-") {
            continue;
        }
        if !dir.to_str().unwrap().contains("disk/5") {
            continue; // commits and the like that are bad in themselves
        }
        let mut corpus = Corpus::at(&dir, Config::default());
        let error = corpus.update().unwrap_err();
        let view = corpus.view();
        assert_eq!(view.stats().records, 1, "{error}");
        let issue = view
            .github()
            .repo("golang", "go")
            .unwrap()
            .issue(3)
            .unwrap();
        assert_eq!(issue.title(), "ok");
        if let LoadError::Mutation { offset, .. } = error {
            assert_eq!(offset, 37);
        }
        // Once more is the same.
        assert!(corpus.update().is_err());
        assert_eq!(corpus.view().stats().records, 1);
    }
}

#[test]
fn mutations_one_by_one_make_the_same_corpus_and_so_do_mutations_twice() {
    for dir in vectors("disk") {
        let case = dir.file_name().unwrap().to_str().unwrap();
        let Ok(at_once) = Corpus::open(&dir) else {
            continue;
        };
        let expected = without_counter(facts(&at_once.view()));
        let logs: Vec<_> = segments(&dir)
            .unwrap()
            .into_iter()
            .map(|segment| fs::read(segment.path).unwrap())
            .collect();
        let payloads = || {
            logs.iter()
                .flat_map(|log| Records::new(log, 0))
                .map(|record| record.unwrap().payload)
        };

        let mut stepwise = Corpus::new();
        for payload in payloads() {
            stepwise.apply([payload]).unwrap();
        }
        assert_same(case, &without_counter(facts(&stepwise.view())), &expected);

        stepwise.apply(payloads()).unwrap();
        assert_same(case, &without_counter(facts(&stepwise.view())), &expected);
    }
}

/// The counter of label changes grows with each pass.
pub(crate) fn without_counter(mut facts: Value) -> Value {
    for project in facts["gerrit"]["projects"].as_array_mut().unwrap() {
        project["num_label_changes"] = json!(0);
    }
    facts
}
