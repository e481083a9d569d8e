//! How the server says no, and how that is told apart.

use gerrit::types::*;
use gerrit::{AccountId, ChangeId, ErrorKind, ProjectName};
use http::Method;
use serde_json::json;

use super::site::{Site, client};

#[tokio::test]
async fn refusals_are_told_apart() {
    let Some(site) = Site::open("refusals").await else {
        return;
    };
    let missing = site
        .admin
        .change(site.id(999_999))
        .get([])
        .await
        .unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let wrong = client(site.server, "admin", "wrong");
    let wrong = wrong.account(&AccountId::me()).get().await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Unauthenticated, "{wrong}");
    let anonymous = site
        .anonymous()
        .account(&AccountId::me())
        .get()
        .await
        .unwrap_err();
    assert_eq!(anonymous.kind(), ErrorKind::Forbidden, "{anonymous}");
    let project = ProjectName::new("peers/not hers").unwrap();
    let refused = site
        .rita
        .project(&project)
        .create(&ProjectInput::default())
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden, "{refused}");
    let there = format!(
        "/projects/{}",
        gerrit::escape_segment(site.project.as_str())
    );
    let there = site
        .admin
        .call(Method::PUT, there)
        .only_create()
        .json(&json!({}));
    let there = there.fetch::<ProjectInfo>().await.unwrap_err();
    assert_eq!(there.kind(), ErrorKind::PreconditionFailed, "{there}");
    let change = site.create("refused: often").await;
    let review = ReviewInput::default().vote("Unheard-Of", 1);
    // Not refused, but left out, as it is told.
    let unheard = change.revision(1).review(&review).await.unwrap();
    assert!(unheard.labels.is_empty(), "{unheard:?}");
    let branch = ChangeInput::default()
        .project(site.project.as_str())
        .branch("never")
        .subject("No");
    let branch = site.admin.create_change(&branch).await.unwrap_err();
    assert_eq!(branch.kind(), ErrorKind::BadRequest, "{branch}");
    let nowhere = ChangeInput::default()
        .project("peers/never made")
        .branch("master")
        .subject("No");
    let nowhere = site.admin.create_change(&nowhere).await.unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::Unprocessable, "{nowhere}");
    let method = site
        .admin
        .call(Method::DELETE, "/config/server/version")
        .finish()
        .await
        .unwrap_err();
    assert!(
        matches!(
            method.kind(),
            ErrorKind::NotFound | ErrorKind::MethodNotAllowed
        ),
        "{method}"
    );
}

#[tokio::test]
async fn an_id_that_names_two_changes_is_ambiguous() {
    let Some(site) = Site::open("ambiguous").await else {
        return;
    };
    let first = site.push(1, "a.txt", "a\n").await;
    site.branch("other").await;
    site.git(&["reset", "--quiet", "--hard", "origin/master"]);
    let message = format!("Again\n\nChange-Id: {}", site.change_id(1));
    let commit = ["commit", "--quiet", "--allow-empty", "--message"];
    site.git(&[&commit[..], &[&message]].concat());
    site.git(&["push", "--quiet", "origin", "HEAD:refs/for/other"]);
    let id = ChangeId::from_escaped(site.change_id(1)).unwrap();
    let error = site.admin.change(id).get([]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Ambiguous, "{error}");
    let triplet = gerrit::BranchName::new("other").unwrap();
    let triplet = ChangeId::triplet(&site.project, &triplet, &site.change_id(1)).unwrap();
    let other = site.admin.change(triplet).get([]).await.unwrap();
    assert_ne!(other.number, site.number(&first).await);
}
