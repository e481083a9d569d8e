//! Patch sets made without git.

use gerrit::types::CommitMessageInput;
use gerrit::{ErrorKind, FilePath, RevisionId};

use super::site::{Site, every_option, known};

#[tokio::test]
async fn an_edit_becomes_a_patch_set() {
    let Some(site) = Site::open("edit").await else {
        return;
    };
    let change = site.push(1, "a.txt", "a\n").await;
    let edit = change.edit();
    let path = |text: &str| FilePath::new(text).unwrap();
    assert!(edit.get().await.unwrap().is_none());
    edit.put_file(&path("d/x y+z.txt"), "hello\n")
        .await
        .unwrap();
    let again = edit
        .put_file(&path("d/x y+z.txt"), "hello\n")
        .await
        .unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotModified, "{again}");
    edit.rename_file(&path("a.txt"), &path("b.txt"))
        .await
        .unwrap();
    edit.put_file(&path("c.txt"), "c\n").await.unwrap();
    edit.restore_file(&path("a.txt")).await.unwrap_err();
    edit.delete_file(&path("c.txt")).await.unwrap();
    let gone = edit.delete_file(&path("c.txt")).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotModified, "{gone}");
    let message = format!("Edited: by a test\n\nChange-Id: {}\n", site.change_id(1));
    edit.set_message(&message).await.unwrap();
    let there = known(edit.get().await.unwrap()).unwrap();
    assert_eq!(there.base_patch_set_number, 1);
    let files = known(change.revision(RevisionId::edit()).files().await.unwrap());
    assert!(
        files.contains_key("d/x y+z.txt") && files.contains_key("b.txt"),
        "{files:?}"
    );
    edit.publish().await.unwrap();
    assert!(edit.get().await.unwrap().is_none());
    let published = known(change.get(every_option()).await.unwrap());
    assert_eq!(published.current_revision_number, 2);
    assert_eq!(published.subject, "Edited: by a test");

    edit.put_file(&path("e.txt"), "e\n").await.unwrap();
    edit.delete().await.unwrap();
    assert!(edit.get().await.unwrap().is_none());
    // One that stands upon an older patch set has to be rebased before it can be published.
    edit.put_file(&path("f.txt"), "f\n").await.unwrap();
    let message = format!("Another: again\n\nChange-Id: {}\n", site.change_id(1));
    change
        .set_commit_message(&CommitMessageInput::default().message(message))
        .await
        .unwrap();
    edit.rebase().await.unwrap();
    edit.publish().await.unwrap();
    let files = known(
        change
            .revision(RevisionId::current())
            .files()
            .await
            .unwrap(),
    );
    assert!(files.contains_key("f.txt"));
}
