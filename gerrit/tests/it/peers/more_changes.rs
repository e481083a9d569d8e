//! What is rarely done with changes.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use gerrit::types::*;
use gerrit::{ErrorKind, FilePath, Query, RevisionId};

use super::site::{Site, every_option, known};

#[tokio::test]
async fn messages_and_comments_can_be_deleted() {
    let Some(site) = Site::open("delete").await else {
        return;
    };
    let change = site.push(1, "a.txt", "one\ntwo\nthree\n").await;
    let revision = change.revision(1);
    let range = CommentRange::default()
        .start_line(2)
        .end_line(2)
        .end_character(3);
    let fix = FixSuggestionInfo::default()
        .description("say 2")
        .replacements([FixReplacementInfo::default()
            .path("a.txt")
            .range(range.clone())
            .replacement("2")]);
    let comment = CommentInput::default()
        .range(range.clone())
        .message("a secret")
        .fix_suggestions([fix]);
    let review = ReviewInput::default()
        .message("another secret")
        .comment("a.txt", comment);
    known(revision.review(&review).await.unwrap());

    let around = known(change.comments_in_context(1).await.unwrap());
    let comment = &around["a.txt"][0];
    assert_eq!(comment.context_lines.len(), 3);
    let fix = &comment.fix_suggestions[0];
    assert!(known(revision.preview_fix(&fix.fix_id).await.unwrap()).contains_key("a.txt"));
    known(revision.apply_fix(&fix.fix_id).await.unwrap());
    change.edit().delete().await.unwrap();
    let replacement = FixReplacementInfo::default()
        .path("a.txt")
        .range(range)
        .replacement("II");
    known(revision.apply_replacements(&[replacement]).await.unwrap());
    change.edit().delete().await.unwrap();

    let deleted = known(
        revision
            .delete_comment(&comment.id, "it was secret")
            .await
            .unwrap(),
    );
    assert!(deleted.message.contains("it was secret"), "{deleted:?}");
    let messages = known(change.messages().await.unwrap());
    let secret = messages
        .iter()
        .find(|one| one.message.contains("another secret"))
        .unwrap();
    assert_eq!(known(change.message(&secret.id).await.unwrap()), *secret);
    let deleted = known(
        change
            .delete_message(&secret.id, "so was this")
            .await
            .unwrap(),
    );
    assert!(!deleted.message.contains("another secret"), "{deleted:?}");

    let draft = CommentInput::default()
        .path("a.txt")
        .line(1)
        .message("mine");
    let draft = known(revision.create_draft(&draft).await.unwrap());
    assert_eq!(
        known(revision.draft(&draft.id).await.unwrap()).message,
        "mine"
    );
    let here = Query::field("project", site.project.as_str()).unwrap();
    let gone = known(
        site.admin
            .account(&gerrit::AccountId::me())
            .delete_drafts(Some(&here))
            .await
            .unwrap(),
    );
    assert_eq!(gone[0].deleted.len(), 1);
}

#[tokio::test]
async fn a_revision_says_more_than_its_files() {
    let Some(site) = Site::open("more").await else {
        return;
    };
    let change = site.push(1, "dir/a.txt", "one\n").await;
    let revision = change.revision(RevisionId::current());
    let file = FilePath::new("dir/a.txt").unwrap();
    let archive: Vec<_> = revision
        .archive("tgz")
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert!(archive.concat().starts_with(&[0x1f, 0x8b]));
    let zip: Vec<_> = revision
        .download(&file)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert!(zip.concat().starts_with(b"PK"));
    assert_eq!(
        known(revision.find_files("a.t").await.unwrap()),
        ["dir/a.txt"]
    );
    revision.set_reviewed(&file, true).await.unwrap();
    assert_eq!(revision.reviewed_files().await.unwrap(), ["dir/a.txt"]);
    known(
        revision
            .review(&ReviewInput::default().vote("Code-Review", 1))
            .await
            .unwrap(),
    );
    let me = gerrit::AccountId::me();
    assert_eq!(known(revision.reviewers().await.unwrap()).len(), 1);
    assert_eq!(revision.votes(&me).await.unwrap()["Code-Review"], 1);
    revision.delete_vote(&me, "Code-Review").await.unwrap();
    assert_eq!(revision.votes(&me).await.unwrap()["Code-Review"], 0);

    let before = change.get([]).await.unwrap().meta_rev_id;
    change.set_topic("new").await.unwrap();
    let between = known(change.meta_diff(Some(&before), None).await.unwrap());
    assert_eq!(between.added.topic, "new");
    let values = BTreeMap::from([("key".to_owned(), "value".to_owned())]);
    let values = CustomKeyedValuesInput::default().adding(values);
    assert_eq!(
        change.set_custom_keyed_values(&values).await.unwrap()["key"],
        "value"
    );
    let detail = known(change.get(every_option()).await.unwrap());
    assert_eq!(detail.custom_keyed_values["key"], "value");
    let values = CustomKeyedValuesInput::default().removing(["key".to_owned()]);
    assert!(
        change
            .set_custom_keyed_values(&values)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(change.custom_keyed_values().await.unwrap().is_empty());
    let requirement = SubmitRequirementInput::default()
        .name("Topical")
        .submittability_expression("topic:new");
    let checked = known(change.check_submit_requirement(&requirement).await.unwrap());
    assert_eq!(checked.status, Some(SubmitRequirementStatus::Satisfied));
    match change.validation_options().await {
        Ok(options) => drop(known(options)),
        // Only newer servers have them.
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
    }
    change.index().await.unwrap();

    let both = [
        Query::field("topic", "new")
            .unwrap()
            .and(Query::field("project", site.project.as_str()).unwrap()),
        Query::field("topic", "never").unwrap(),
    ];
    let pages = site.admin.changes_of_each(both.clone(), []).await.unwrap();
    let found: Vec<_> = pages.iter().map(|page| page.items.len()).collect();
    assert_eq!(found, [1, 0]);
    let [first, _] = both;
    assert_eq!(
        site.admin.changes_of_each([first], []).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn patch_sets_are_made_of_merges_and_patches() {
    let Some(site) = Site::open("patches").await else {
        return;
    };
    let first = site.push(1, "a.txt", "a\n").await;
    let second = site.push(2, "b.txt", "b\n").await;
    let patch: Vec<_> = second
        .revision(1)
        .patch()
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let patch = String::from_utf8(patch.concat()).unwrap();
    let other = site.create("applied: a patch").await;
    let input = ApplyPatchPatchSetInput::default().patch(ApplyPatchInput::default().patch(patch));
    let applied = known(other.apply_patch(&input).await.unwrap());
    assert_eq!(applied.current_revision_number, 2);

    site.branch("side").await;
    site.git(&["fetch", "--quiet"]);
    site.git(&["checkout", "--quiet", "-b", "side", "origin/side"]);
    std::fs::write(site.tree.path().join("side.txt"), "s\n").unwrap();
    site.git(&["add", "--all"]);
    site.git(&["commit", "--quiet", "--message", "On the side"]);
    site.git(&["push", "--quiet", "origin", "HEAD:refs/heads/side"]);
    let merging = site.create("merged: the side").await;
    let input = MergePatchSetInput::default()
        .merge(MergeInput::default().source("side"))
        .subject("merged: the side");
    let merged = known(merging.merge(&input).await.unwrap());
    assert_eq!(merged.current_revision_number, 2);
    let list = known(
        merging
            .revision(RevisionId::current())
            .merge_list()
            .await
            .unwrap(),
    );
    assert_eq!(list[0].subject, "On the side");

    // The branch goes on, and both can follow it.
    site.git(&["checkout", "--quiet", "-B", "master", "origin/master"]);
    std::fs::write(site.tree.path().join("m.txt"), "m\n").unwrap();
    site.git(&["add", "--all"]);
    site.git(&["commit", "--quiet", "--message", "Straight in"]);
    site.git(&["push", "--quiet", "origin", "HEAD:refs/heads/master"]);
    let chain = known(second.rebase_chain(&RebaseInput::default()).await.unwrap());
    assert_eq!(chain.rebased_changes.len(), 2);
    assert_eq!(first.get([]).await.unwrap().current_revision_number, 2);

    let edit = first.edit();
    edit.put_file(&FilePath::new("e.txt").unwrap(), "e\n")
        .await
        .unwrap();
    let who = ChangeEditIdentityInput::default()
        .name("Rita patches")
        .email("rita.patches@example.org")
        .kind(IdentityType::Author);
    match edit.set_identity(&who).await {
        Ok(()) => assert_eq!(
            edit.get()
                .await
                .unwrap()
                .unwrap()
                .commit
                .unwrap()
                .author
                .unwrap()
                .name,
            "Rita patches"
        ),
        // Only newer servers can.
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
    }
    assert!(
        edit.message()
            .await
            .unwrap()
            .starts_with("a.txt: changed\n")
    );
    let content = edit
        .file_content(&FilePath::new("e.txt").unwrap())
        .await
        .unwrap();
    let content: Vec<_> = content.try_collect().await.unwrap();
    assert_eq!(content.concat(), b"e\n");
}
