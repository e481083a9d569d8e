use std::io::Write as _;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use gerrit::types::{AbandonInput, AccountInfo};
use gerrit::{
    AccountId, Auth, ChangeId, Client, Config, Error, ErrorKind, FilePath, ProjectName, Token,
};
use tokio::time::Instant;

use crate::support::{Answer, Script, answer, json, with};

async fn me(client: &Client) -> Result<AccountInfo, Error> {
    client.account(&AccountId::me()).get().await
}

async fn abandon(client: &Client) -> Result<(), Error> {
    let change = client.change(ChangeId::from(1));
    change.abandon(&AbandonInput::default()).await.map(drop)
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(text).unwrap();
    writer.finish().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_that_reads_is_tried_again_until_it_succeeds() {
    let script = Script::new([
        answer(503, "busy"),
        Answer::Lost,
        Answer::Breaks("{\"_acc".into()),
        json("{\"_account_id\":7}"),
    ]);
    assert_eq!(
        me(&script.client(Auth::anonymous()))
            .await
            .unwrap()
            .account_id,
        7
    );
    assert_eq!(script.asked().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_changes_something_is_repeated_only_if_it_certainly_did_nothing() {
    let script = Script::new([Answer::Unreachable, answer(429, ""), json("{}")]);
    abandon(&script.client(Auth::anonymous())).await.unwrap();
    for fault in [
        answer(503, ""),
        Answer::Lost,
        Answer::Never,
        Answer::Breaks("{".into()),
    ] {
        let script = Script::new([fault]);
        let error = abandon(&script.client(Auth::anonymous()))
            .await
            .unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        assert_eq!(script.asked().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_end() {
    let script = Script::new((0..3).map(|_| answer(502, "")));
    let client = script.client_with(Config::default().attempts(3));
    assert_eq!(me(&client).await.unwrap_err().kind(), ErrorKind::Server);
    assert_eq!(script.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_pause_that_the_server_wants_is_kept_unless_it_is_too_long() {
    let script = Script::new([with(answer(429, ""), "retry-after", "20"), json("{}")]);
    let start = Instant::now();
    me(&script.client(Auth::anonymous())).await.unwrap();
    assert_eq!((Instant::now() - start).as_secs(), 20);

    let script = Script::new([with(answer(429, ""), "retry-after", "3600")]);
    let error = me(&script.client(Auth::anonymous())).await.unwrap_err();
    let status = error.status().unwrap();
    assert_eq!(status.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!(error.kind(), ErrorKind::Quota);
}

#[tokio::test(start_paused = true)]
async fn time_ends_heads_bodies_and_streams_that_do_not() {
    let config = || {
        Config::default()
            .attempts(1)
            .attempt_timeout(Duration::from_secs(9))
    };
    for fault in [Answer::Never, Answer::NeverEnds] {
        let script = Script::new([fault]);
        let start = Instant::now();
        let error = me(&script.client_with(config())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!((Instant::now() - start).as_secs(), 9);
    }
    let script = Script::new([Answer::NeverEnds]);
    let project = script
        .client_with(config())
        .project(&ProjectName::new("p").unwrap());
    let content = project
        .file_at_commit("c", &FilePath::new("f").unwrap())
        .await
        .unwrap();
    let error = content.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[tokio::test]
async fn answers_are_decompressed_and_limited_in_both_forms() {
    let body = b")]}'\n{\"_account_id\":7}";
    let script = Script::new([with(answer(200, gzip(body)), "content-encoding", "gzip")]);
    assert_eq!(
        me(&script.client(Auth::anonymous()))
            .await
            .unwrap()
            .account_id,
        7
    );

    let long = vec![b' '; 1 << 20];
    let small = || Config::default().max_answer(100_000);
    let compressed = with(answer(200, gzip(&long)), "content-encoding", "gzip");
    for long in [answer(200, long), compressed] {
        let error = me(&Script::new([long]).client_with(small()))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::TooLarge { limit: 100_000, .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_compressed_answer_that_ends_early_is_an_error() {
    let mut cut = gzip(b")]}'\n{\"_account_id\":7}");
    cut.truncate(cut.len() - 9);
    let script = Script::new([with(answer(200, cut), "content-encoding", "gzip")]);
    let client = script.client_with(Config::default().attempts(1));
    assert_eq!(me(&client).await.unwrap_err().kind(), ErrorKind::Network);
}

#[tokio::test]
async fn a_compressed_refusal_can_be_read() {
    let body = gzip(b"Multiple changes found for I1");
    let script = Script::new([with(answer(404, body), "content-encoding", "gzip")]);
    let error = me(&script.client(Auth::anonymous())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Ambiguous, "{error}");
}

#[tokio::test]
async fn a_login_page_is_no_answer() {
    let page = with(
        answer(200, "<html>"),
        "content-type",
        "text/html; charset=utf-8",
    );
    let redirect = with(answer(302, ""), "location", "https://h/login/%23x");
    for login in [page, redirect] {
        let error = me(&Script::new([login]).client(Auth::anonymous()))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::LoginPage { .. }), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    }
}

#[tokio::test]
async fn no_error_shows_a_secret_even_if_the_server_repeats_it() {
    let basic = Auth::basic("me", "s3cret-password");
    let bearer = Auth::bearer(Token::bearer("ya29.s3cret"));
    for (auth, secret) in [(basic, "bWU6czNjcmV0LXBhc3N3b3Jk"), (bearer, "ya29.s3cret")] {
        let shown = format!("{auth:?}");
        let script = Script::new([answer(400, format!("bad header {secret}\r\nforged line"))]);
        let client = script.client(auth);
        let error = me(&client).await.unwrap_err();
        let all = format!("{shown} {client:?} {error:?} {error}");
        assert!(!all.contains(secret) && !all.contains("s3cret"), "{all}");
        assert!(error.to_string().contains("[redacted]"));
        assert!(!error.to_string().contains('\n'));
    }
}

#[tokio::test]
async fn credentials_go_below_a_and_cookies_are_read_again_once_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cookies");
    std::fs::write(&path, "").unwrap();
    let script = Script::new([json("{}"), json("{}")]);
    let client = script.client(Auth::cookie_file(&path));
    me(&client).await.unwrap();
    std::fs::write(&path, "h\tFALSE\t/\tTRUE\t0\to\tsecret\n").unwrap();
    me(&client).await.unwrap();
    let asked = script.asked();
    assert_eq!(asked[0].uri, "https://h/a/accounts/self");
    assert!(!asked[0].headers.contains_key("cookie"));
    assert_eq!(asked[1].headers["cookie"], "o=secret");

    std::fs::remove_file(&path).unwrap();
    let error = me(&client).await.unwrap_err();
    assert!(matches!(error, Error::Auth { .. }), "{error:?}");
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test]
async fn fields_and_words_of_tomorrow_are_kept() {
    let script = Script::new([json(
        r#"{"_number":5,"status":"FROZEN","new_field":[1],"labels":{"L":{"all":[{"_account_id":1,"value":-1,"x":2}]}},
            "revisions":{"c":{"_number":"edit","ref":null}},"hashtags":null}"#,
    )]);
    let client = script.client(Auth::anonymous());
    let change = client.change(ChangeId::from(5)).get([]).await.unwrap();
    assert_eq!(change.status.unwrap().as_str(), "FROZEN");
    assert_eq!(change.unknown["new_field"], serde_json::json!([1]));
    let vote = &change.labels["L"].all[0];
    assert_eq!((vote.account.account_id, vote.value), (1, Some(-1)));
    assert_eq!(vote.account.unknown["x"], 2);
    assert_eq!(change.revisions["c"].number, gerrit::types::PatchSet::Edit);
}
