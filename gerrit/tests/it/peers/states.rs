//! What a change can be besides open.

use gerrit::types::*;
use gerrit::{ErrorKind, RevisionId};

use super::site::{Site, every_option, known};

#[tokio::test]
async fn a_change_goes_through_its_states() {
    let Some(site) = Site::open("states").await else {
        return;
    };
    let change = site.create("states: of a change").await;
    let rita = site.seen_by(&site.rita, &change).await;
    let why = WorkInProgressInput::default().message("not yet");
    change.work_in_progress(&why).await.unwrap();
    assert!(change.get([]).await.unwrap().work_in_progress);
    assert_eq!(
        change.work_in_progress(&why).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    change.ready(&WorkInProgressInput::default()).await.unwrap();
    assert!(!known(change.get(every_option()).await.unwrap()).work_in_progress);

    change.make_private("hush").await.unwrap();
    assert!(known(change.get(every_option()).await.unwrap()).is_private);
    assert_eq!(rita.get([]).await.unwrap_err().kind(), ErrorKind::NotFound);
    change.make_public("no more").await.unwrap();
    assert!(!rita.get([]).await.unwrap().is_private);

    let why = AbandonInput::default().message("no").notify(Notify::Nobody);
    assert_eq!(
        known(change.abandon(&why).await.unwrap()).status,
        Some(ChangeStatus::Abandoned)
    );
    assert_eq!(
        change.abandon(&why).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert_eq!(
        rita.restore(&RestoreInput::default())
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::Forbidden
    );
    let back = known(
        change
            .restore(&RestoreInput::default().message("yes"))
            .await
            .unwrap(),
    );
    assert_eq!(back.status, Some(ChangeStatus::New));

    change.delete().await.unwrap();
    assert_eq!(
        change.get([]).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn a_change_has_hashtags_a_topic_and_somebodys_attention() {
    let Some(site) = Site::open("tags").await else {
        return;
    };
    let change = site.create("tags: of a change").await;
    let set = change
        .set_hashtags(&HashtagsInput::default().adding("b c").adding("#a"))
        .await;
    assert_eq!(set.unwrap(), ["a", "b c"]);
    let input = HashtagsInput::default().adding("d").removing("a");
    assert_eq!(change.set_hashtags(&input).await.unwrap(), ["b c", "d"]);
    assert_eq!(change.hashtags().await.unwrap(), ["b c", "d"]);

    assert_eq!(change.topic().await.unwrap(), "");
    assert_eq!(
        change.set_topic("a topic/of ours").await.unwrap(),
        "a topic/of ours"
    );
    assert_eq!(change.topic().await.unwrap(), "a topic/of ours");
    let detail = known(change.detail(every_option()).await.unwrap());
    assert_eq!(
        (detail.topic.as_str(), detail.hashtags.len()),
        ("a topic/of ours", 2)
    );
    change.delete_topic().await.unwrap();
    assert_eq!(change.topic().await.unwrap(), "");

    let added = ReviewerInput::default()
        .reviewer(site.rita_id.as_str())
        .state(ReviewerState::Cc);
    assert_eq!(
        known(change.add_reviewer(&added).await.unwrap()).ccs.len(),
        1
    );
    let turn = AttentionSetInput::default()
        .user(site.rita_id.as_str())
        .reason("ask her");
    known(change.add_attention(&turn).await.unwrap());
    let whose = known(change.attention_set().await.unwrap());
    assert_eq!((whose.len(), whose[0].reason.as_str()), (1, "ask her"));
    known(change.detail(every_option()).await.unwrap());
    let turn = AttentionSetInput::default().reason("she answered");
    change.remove_attention(&site.rita_id, &turn).await.unwrap();
    assert!(change.attention_set().await.unwrap().is_empty());
    known(change.detail(every_option()).await.unwrap());
    change.remove_reviewer(&site.rita_id).await.unwrap();
    assert!(
        change
            .reviewers()
            .await
            .unwrap()
            .iter()
            .all(|one| one.approvals.is_empty())
    );
}

#[tokio::test]
async fn a_change_is_rebased_picked_and_moved() {
    let Some(site) = Site::open("moves").await else {
        return;
    };
    let first = site.push(1, "a.txt", "a\n").await;
    let second = site.push(2, "b.txt", "b\n").await;
    let related = known(
        second
            .revision(RevisionId::current())
            .related()
            .await
            .unwrap(),
    );
    let subjects: Vec<_> = related
        .changes
        .iter()
        .map(|one| one.commit.subject.as_str())
        .collect();
    assert_eq!(subjects, ["b.txt: changed", "a.txt: changed"]);
    let together = known(second.submitted_together().await.unwrap());
    assert_eq!(together.changes.len(), 2);

    let stable = site.branch("release/1.0").await;
    let pick = CherryPickInput::default()
        .destination("release/1.0")
        .message(format!(
            "a.txt: changed, for the release\n\nChange-Id: {}",
            site.change_id(9)
        ));
    let picked = known(first.revision(1).cherry_pick(&pick).await.unwrap());
    assert_eq!(
        (picked.branch.as_str(), picked.cherry_pick_of_patch_set),
        ("release/1.0", 1)
    );
    assert_eq!(picked.cherry_pick_of_change, site.number(&first).await);

    let alone = RebaseInput::default().base(Some(String::new()));
    let alone = known(second.rebase(&alone).await.unwrap());
    assert_eq!(alone.current_revision_number, 2);
    let again = second
        .rebase(&RebaseInput::default().base(Some(String::new())))
        .await
        .unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict, "{again}");
    let upon = RebaseInput::default().base(Some(site.number(&first).await.to_string()));
    known(
        second
            .revision(RevisionId::current())
            .rebase(&upon)
            .await
            .unwrap(),
    );
    known(second.get(every_option()).await.unwrap());

    let third = site.create("moved: elsewhere").await;
    let to = MoveInput::default()
        .destination_branch(stable.as_str())
        .message("for the release");
    let moved = third.move_to(&to).await.unwrap();
    assert_eq!(known(moved).branch, "release/1.0");
}
