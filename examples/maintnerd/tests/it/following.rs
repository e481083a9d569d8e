//! From something that happens to a corpus in another process.

use std::time::Instant;

use harness::GitRemote;
use maintner::View;
use maintner::sync::fake_github::FakeGithub;
use tempfile::tempdir;

use crate::events::Events;
use crate::support::{Running, wait_for, write_private};

fn messages(view: &View, number: i32) -> usize {
    let project = view.gerrit().project("review.example.org", "x");
    let cl = project.and_then(|project| project.cl(number));
    cl.map_or(0, |cl| cl.metas().len())
}

fn comments(view: &View, number: i32) -> usize {
    let repo = view.github().repo("o", "r");
    let issue = repo.and_then(|repo| repo.issue(number));
    issue.map_or(0, |issue| issue.comments().count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comments_of_gerrit_and_github_come_to_a_follower_when_events_tell_of_them() {
    let events = Events::start().await;
    let mut remote = GitRemote::new();
    remote.changes(1..=3);
    let github = FakeGithub::new();
    let repo = github.repo("o", "r");
    let number = repo.open_issue("alice", "It breaks", "Always.");
    github.require_token("t0ken");
    let server = github.serve().await.unwrap();
    let secrets = tempdir().unwrap();
    let token = secrets.path().join("token");
    write_private(&token, "bot:t0ken\n");
    let sources = format!(
        "pubsub = '{}'\n[gerrit]\ninterval_seconds = 100000\n[[gerrit.project]]\nname = 'review.example.org/x'\nurl = '{}'\n[github]\ninterval_seconds = 100000\nrepos = ['o/r']\ntoken_file = '{}'\nbase_url = '{}'\n",
        events.url,
        remote.url(),
        token.display(),
        server.url(),
    );
    let running = Running::start(&sources, &[]);
    let followed = tokio::task::spawn_blocking(move || {
        let cache = tempdir().unwrap();
        let mut corpus = running.follow(cache.path());
        wait_for(&mut corpus, |view| messages(view, 3) == 1);
        wait_for(&mut corpus, |view| {
            view.github()
                .repo("o", "r")
                .is_some_and(|repo| repo.issue(number).is_some())
        });
        for round in 1..=3 {
            let began = Instant::now();
            remote.comment(2, "Looks good to me.");
            events.gerrit("https://review.example.org/c/x/+/1", "x");
            wait_for(&mut corpus, |view| messages(view, 2) == 1 + round);
            println!(
                "Gerrit: {:?} from the push to the follower",
                began.elapsed()
            );
            let began = Instant::now();
            github.advance(60);
            repo.comment(number, "bob", "Here too.");
            events.github();
            wait_for(&mut corpus, |view| comments(view, number) == round);
            println!(
                "GitHub: {:?} from the comment to the follower",
                began.elapsed()
            );
        }
        let (status, page) = running.get("/");
        assert_eq!(status, 200);
        assert!(
            page.contains("gerrit:review.example.org/x") && page.contains("github:o/r"),
            "{page}"
        );
        assert!(!page.contains("t0ken"));
        let (_, metrics) = running.get("/metrics");
        assert!(
            metrics.contains("maintnerd_source_rounds_total{source=\"github:o/r\"}"),
            "{metrics}"
        );
        let (status, log) = running.terminate();
        assert!(status.success(), "{log}");
        assert!(!log.contains("t0ken"), "{log}");
    });
    followed.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_goes_on_and_its_followers_with_it() {
    let mut remote = GitRemote::new();
    remote.changes(1..=50);
    let sources = format!(
        "[gerrit]\ninterval_seconds = 1\n[[gerrit.project]]\nname = 'review.example.org/x'\nurl = '{}'\n",
        remote.url()
    );
    let following = tokio::task::spawn_blocking(move || {
        let mut running = Running::start(&sources, &[]);
        let cache = tempdir().unwrap();
        let mut last = 50;
        for round in 0..4 {
            let mut corpus = running.follow(cache.path());
            // Killed while it writes, or has written.
            if round % 2 == 0 {
                wait_for(&mut corpus, |view| view.commits().count() > 1);
            } else {
                wait_for(&mut corpus, |view| messages(view, last) == 1);
            }
            let next = u32::try_from(last).unwrap() + 1;
            remote.changes(next..next + 20);
            last += 20;
            running.kill_and_restart();
        }
        let mut corpus = running.follow(cache.path());
        wait_for(&mut corpus, |view| messages(view, last) == 1);
        let view = corpus.view();
        view.check().unwrap();
        let project = view.gerrit().project("review.example.org", "x").unwrap();
        assert_eq!(project.open_cls().count(), usize::try_from(last).unwrap());
    });
    following.await.unwrap();
}
