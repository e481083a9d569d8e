//! A real Gerrit server is followed.

use gerrit::types::{ChangeInput, HashtagsInput, ProjectInput, ReviewInput};
use gerrit::{Auth, Client, Config, ProjectName};
use maintner::{Cl, View};
use tempfile::tempdir;

use crate::support::{Running, wait_for};

const PROJECT: &str = "followed";

fn with_cl<T>(view: &View, number: i32, ask: impl FnOnce(Cl<'_>) -> T) -> Option<T> {
    let project = view.gerrit().project("gerrit.example.org", PROJECT)?;
    project.cl(number).map(ask)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_reviewed_on_a_real_server_comes_to_a_follower() {
    let started = tokio::task::spawn_blocking(harness::gerrit_or_skip).await;
    let Some(server) = started.unwrap() else {
        return;
    };
    let auth = Auth::basic(server.user(), server.password());
    let client = Client::new(server.url(), Config::default().auth(auth)).unwrap();
    let project = ProjectName::new(PROJECT).unwrap();
    let input = ProjectInput::default().create_empty_commit(true);
    client.project(&project).create(&input).await.unwrap();
    let input = ChangeInput::default()
        .project(PROJECT)
        .branch("master")
        .subject("all: be followed");
    let made = client.create_change(&input).await.unwrap();
    let number = i32::try_from(made.number).unwrap();

    let sources = format!(
        "[gerrit]\ninterval_seconds = 1\n[[gerrit.project]]\nname = 'gerrit.example.org/{PROJECT}'\nurl = '{}/{PROJECT}'\n",
        server.url()
    );
    let running = Running::start(&sources, &[]);
    let cache = tempdir().unwrap();
    let path = cache.path().to_owned();
    let (mut corpus, running) = tokio::task::spawn_blocking(move || {
        let mut corpus = running.follow(&path);
        wait_for(&mut corpus, |view| with_cl(view, number, |_| ()).is_some());
        (corpus, running)
    })
    .await
    .unwrap();
    let view = corpus.view();
    let subject = with_cl(&view, number, |cl| {
        (cl.subject().into_owned(), cl.branch().to_owned())
    });
    assert_eq!(
        subject,
        Some(("all: be followed".to_owned(), "master".to_owned()))
    );

    let change = client.change(u64::try_from(number).unwrap());
    let review = ReviewInput::default()
        .message("Well done.")
        .vote("Code-Review", 2);
    change.revision(1).review(&review).await.unwrap();
    let input = HashtagsInput::default().adding("reviewed");
    change.set_hashtags(&input).await.unwrap();
    let (status, log) = tokio::task::spawn_blocking(move || {
        wait_for(&mut corpus, |view| {
            with_cl(view, number, |cl| {
                let meta = cl.meta().unwrap();
                let votes = meta.label_votes();
                let has_vote = votes
                    .get("Code-Review")
                    .is_some_and(|votes| votes.values().any(|vote| *vote == 2));
                has_vote && meta.hashtags().contains("reviewed")
            }) == Some(true)
        });
        let view = corpus.view();
        let texts = with_cl(&view, number, |cl| {
            cl.messages()
                .map(|message| String::from_utf8_lossy(message.text()).into_owned())
                .collect::<Vec<_>>()
        });
        assert!(
            texts
                .unwrap()
                .iter()
                .any(|text| text.contains("Well done."))
        );
        view.check().unwrap();
        running.terminate()
    })
    .await
    .unwrap();
    assert!(status.success(), "{log}");
}
