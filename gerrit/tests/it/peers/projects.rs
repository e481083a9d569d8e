//! Branches, tags and what else a project has.

use futures_util::TryStreamExt as _;
use gerrit::types::*;
use gerrit::{BranchName, ErrorKind, FilePath, ProjectName, TagName};

use super::site::{Site, known};

#[tokio::test]
async fn a_project_has_branches_and_tags() {
    let Some(site) = Site::open("project").await else {
        return;
    };
    let project = site.admin.project(&site.project);
    let got = known(project.get().await.unwrap());
    assert_eq!(
        (got.name.as_str(), got.description.as_str()),
        (site.project.as_str(), "made by a test")
    );
    let again = project.create(&ProjectInput::default()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    let all = known(site.admin.projects().await.unwrap());
    assert!(all.iter().any(|one| one.name == site.project.as_str()));
    assert_eq!(project.description().await.unwrap(), "made by a test");
    assert_eq!(project.parent().await.unwrap(), "All-Projects");
    assert_eq!(project.head().await.unwrap(), "refs/heads/master");
    known(project.access().await.unwrap());
    known(project.statistics().await.unwrap());
    assert!(known(project.children().await.unwrap()).is_empty());

    let branch = site.branch("dev/x+y").await;
    let twice = BranchInput::default().revision("master");
    let twice = project.create_branch(&branch, &twice).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Conflict);
    let there = known(project.branch(&branch).await.unwrap());
    assert_eq!(
        (there.git_ref.as_str(), there.revision.len()),
        ("refs/heads/dev/x+y", 40)
    );
    let names: Vec<_> = known(project.branches().await.unwrap())
        .into_iter()
        .map(|one| one.git_ref)
        .collect();
    assert_eq!(
        names,
        [
            "HEAD",
            "refs/meta/config",
            "refs/heads/dev/x+y",
            "refs/heads/master"
        ]
    );
    known(project.reflog(&branch).await.unwrap_or_default());
    project.delete_branch(&branch).await.unwrap();
    assert_eq!(
        project.branch(&branch).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );

    let (light, heavy) = (TagName::new("v1").unwrap(), TagName::new("heavy").unwrap());
    let tag = TagInput::default().revision("master");
    assert_eq!(
        known(project.create_tag(&light, &tag).await.unwrap()).git_ref,
        "refs/tags/v1"
    );
    let tag = TagInput::default().revision("master").message("Heavy");

    let made = known(project.create_tag(&heavy, &tag).await.unwrap());
    assert_eq!((made.message.as_str(), made.object.len()), ("Heavy", 40));
    assert_eq!(
        known(project.tag(&heavy).await.unwrap()).revision,
        made.revision
    );
    assert_eq!(known(project.tags().await.unwrap()).len(), 2);
    project.delete_tag(&light).await.unwrap();
    assert_eq!(
        project.tag(&light).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn a_projects_commits_and_files_can_be_read() {
    let Some(site) = Site::open("files").await else {
        return;
    };
    std::fs::write(site.tree.path().join("a b+c.txt"), "text\n").unwrap();
    site.git(&["add", "--all"]);
    site.git(&["commit", "--quiet", "--message", "Straight in"]);
    site.git(&["push", "--quiet", "origin", "HEAD:refs/heads/master"]);
    let hash = site.git(&["rev-parse", "HEAD"]);
    let hash = hash.trim();
    let project = site.admin.project(&site.project);
    let commit = known(project.commit(hash).await.unwrap());
    assert_eq!(
        (commit.subject.as_str(), commit.parents.len()),
        ("Straight in", 1)
    );
    let held = project
        .commits_in_refs([hash], ["refs/heads/master"])
        .await
        .unwrap();
    assert_eq!(held[hash], ["refs/heads/master"]);
    let (file, master) = (
        FilePath::new("a b+c.txt").unwrap(),
        BranchName::new("master").unwrap(),
    );
    let content: Vec<_> = project
        .file_at_branch(&master, &file)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(content.concat(), b"text\n");
    let content: Vec<_> = project
        .file_at_commit(hash, &file)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(content.concat(), b"text\n");
    let missing = FilePath::new("missing").unwrap();
    let missing = project
        .file_at_branch(&master, &missing)
        .await
        .err()
        .unwrap();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let nothing = ProjectName::new("peers/never made").unwrap();
    assert_eq!(
        site.admin.project(&nothing).get().await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}
