//! The page, in Chromium. `SCREENSHOTS=FOLDER` keeps pictures.

use std::time::{Duration, Instant};

use harness::{Browser, GitRemote};
use maintner::sync::fake_github::{FakeGithub, Fault};
use tempfile::tempdir;

use crate::support::{LIMIT, Running, write_private};

/// Whether some element's text has that in it.
fn has(text: &str) -> String {
    format!("document.body.textContent.includes({text:?})")
}

/// Loads the page until it says that.
async fn until(browser: &mut Browser, page: &str, text: &str) {
    let deadline = Instant::now() + LIMIT;
    loop {
        browser.go(page).await;
        if browser.eval(&has(text)).await == true {
            return;
        }
        assert!(Instant::now() < deadline, "never: {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_sources_and_what_github_allows() {
    let Some(mut browser) = Browser::start().await else {
        return;
    };
    let mut remote = GitRemote::new();
    remote.changes(1..=3);
    let github = FakeGithub::new();
    github.quota(5000);
    github.follow_time();
    let repo = github.repo("o", "r");
    for number in 0..5 {
        let title = format!("Problem {number}");
        let number = repo.open_issue("alice", &title, "It breaks.");
        repo.comment(number, "bob", "Here too.");
    }
    github.repo("o", "limited").open_issue("alice", "Later", "");
    let server = github.serve().await.unwrap();
    let secrets = tempdir().unwrap();
    let token = secrets.path().join("token");
    write_private(&token, "bot:t0ken\n");
    let sources = format!(
        "[gerrit]\n[[gerrit.project]]\nname = 'review.example.org/tools/with-a-rather-long-name'\nurl = '{}'\n[github]\ninterval_seconds = 1\nrepos = ['o/r', 'o/limited', 'o/gone']\ntoken_file = '{}'\nbase_url = '{}'\n",
        remote.url(),
        token.display(),
        server.url(),
    );
    let running = Running::start(&sources, &[]);
    let base = format!("http://{}/", running.http);
    browser.size(1280, 900).await;
    for text in ["Requests left", "of 5000", "needs somebody", "waiting"] {
        until(&mut browser, &base, text).await;
    }
    // It holds up all of them, so it comes when the others have had their answers.
    github.fail_on("/repos/o/limited/", Fault::Secondary(Some(600)));
    until(&mut browser, &base, "told to wait").await;
    until(&mut browser, &base, "Told to wait").await;
    for (width, dark, name) in [
        (1280, false, "maintnerd"),
        (1280, true, "maintnerd-dark"),
        (400, false, "maintnerd-phone"),
    ] {
        browser.size(width, 900).await;
        browser.dark(dark).await;
        browser.go(&base).await;
        browser.picture(name).await;
        let fits = "document.documentElement.scrollWidth <= window.innerWidth";
        assert_eq!(browser.eval(fits).await, true, "at a width of {width}");
        assert_eq!(
            browser
                .eval("document.querySelectorAll('rect').length > 0")
                .await,
            true
        );
    }
    browser.check(&base);
}
