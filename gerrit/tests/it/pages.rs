use futures_util::StreamExt as _;
use gerrit::{Auth, Error, Query};

use crate::support::{Script, answer, json};

fn numbers(changes: &[gerrit::types::ChangeInfo]) -> Vec<u64> {
    changes.iter().map(|change| change.number).collect()
}

#[tokio::test]
async fn a_search_reads_every_page_and_gives_each_change_once() {
    let script = Script::new([
        json(r#"[{"_number":9},{"_number":8,"_more_changes":true}]"#),
        json(r#"[{"_number":8},{"_number":7,"_more_changes":true}]"#),
        json("[]"),
    ]);
    let search = script
        .client(Auth::anonymous())
        .changes(Query::raw("x"))
        .page_size(2);
    assert_eq!(numbers(&search.all().await.unwrap()), [9, 8, 7]);
    let asked: Vec<_> = script.asked().into_iter().map(|asked| asked.uri).collect();
    assert_eq!(
        asked,
        [
            "https://h/changes/?n=2&q=x",
            "https://h/changes/?S=2&n=2&q=x",
            "https://h/changes/?S=4&n=2&q=x",
        ]
    );
}

#[tokio::test]
async fn more_than_the_cap_is_said() {
    let page = r#"[{"_number":3},{"_number":2},{"_number":1}]"#;
    let client = Script::new([json(page), json(page)]).client(Auth::anonymous());
    let search = client.changes(Query::raw("x"));
    assert_eq!(search.clone().cap(3).all().await.unwrap().len(), 3);
    let items: Vec<_> = search.cap(2).stream().collect().await;
    assert_eq!(items.len(), 3);
    assert!(matches!(items[2], Err(Error::MoreThanCap { cap: 2 })));
}

#[tokio::test]
async fn a_page_that_fails_ends_the_stream() {
    let script = Script::new([
        json(r#"[{"_account_id":1,"_more_accounts":true}]"#),
        answer(400, "no"),
    ]);
    let client = script.client(Auth::anonymous());
    let items: Vec<_> = client.accounts(Query::raw("x")).stream().collect().await;
    assert!(matches!(items[..], [Ok(_), Err(Error::Status(_))]));
}

#[tokio::test]
async fn a_server_that_does_not_move_on_is_left() {
    let page = || json(r#"[{"_number":3,"_more_changes":true}]"#);
    let script = Script::new((0..200).map(|_| page()));
    let search = script.client(Auth::anonymous()).changes(Query::raw("x"));
    let error = search.all().await.unwrap_err();
    assert!(matches!(error, Error::MoreThanCap { .. }), "{error}");
    assert!(script.asked().len() <= 101);
}
