//! What a project, an account, a group and the server are set to.

use std::collections::BTreeMap;
use std::time::Duration;

use gerrit::types::*;
use gerrit::{AccountId, BranchName, ErrorKind, GroupId, ProjectName, RefFilter, TagName};
use http::Method;
use serde_json::json;

use super::site::{Site, client, known};

#[tokio::test]
async fn a_project_has_settings() {
    let Some(site) = Site::open("settings").await else {
        return;
    };
    let project = site.admin.project(&site.project);
    let config = known(project.config().await.unwrap());
    assert_eq!(config.submit_type, "MERGE_IF_NECESSARY");
    let input = ConfigInput::default()
        .description("made anew".to_owned())
        .submit_type("REBASE_IF_NECESSARY")
        .use_content_merge("TRUE");
    let config = known(project.set_config(&input).await.unwrap());
    assert_eq!(
        (config.description.as_str(), config.submit_type.as_str()),
        ("made anew", "REBASE_IF_NECESSARY")
    );
    assert_eq!(config.use_content_merge.unwrap().configured_value, "TRUE");
    project
        .set_description("said otherwise", "for a test")
        .await
        .unwrap();
    assert_eq!(project.description().await.unwrap(), "said otherwise");
    let parent = ProjectName::new("peers/settings parent").unwrap();
    let input = ProjectInput::default().permissions_only(true);
    known(site.admin.project(&parent).create(&input).await.unwrap());
    assert_eq!(project.set_parent(&parent).await.unwrap(), parent.as_str());
    assert_eq!(project.parent().await.unwrap(), parent.as_str());
    let dev = site.branch("dev").await;
    assert_eq!(project.set_head(&dev).await.unwrap(), "refs/heads/dev");
    assert_eq!(project.head().await.unwrap(), "refs/heads/dev");
    assert!(!project.gc().await.unwrap().is_empty());
    assert!(known(project.dashboards().await.unwrap()).is_empty());
    assert_eq!(
        project.dashboard("main:none").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );

    let values = [("-1", "no"), (" 0", "none"), ("+1", "yes")];
    let values: BTreeMap<_, _> = values
        .into_iter()
        .map(|(value, text)| (value.to_owned(), text.to_owned()))
        .collect();
    let input = LabelDefinitionInput::default()
        .values(values)
        .copy_condition("is:MIN");
    let label = known(project.set_label("Verified", &input).await.unwrap());
    assert_eq!((label.name.as_str(), label.values.len()), ("Verified", 3));
    assert_eq!(
        known(project.label("Verified").await.unwrap()).copy_condition,
        "is:MIN"
    );
    assert_eq!(known(project.labels().await.unwrap()).len(), 1);
    assert_eq!(known(project.all_labels().await.unwrap()).len(), 2);
    project.delete_label("Verified").await.unwrap();
    assert!(project.labels().await.unwrap().is_empty());

    let input = SubmitRequirementInput::default()
        .name("Two-Eyes")
        .submittability_expression("label:Code-Review=MAX,user=non_uploader");
    known(project.set_submit_requirement(&input).await.unwrap());
    assert_eq!(
        known(project.submit_requirement("Two-Eyes").await.unwrap()).name,
        "Two-Eyes"
    );
    assert_eq!(known(project.submit_requirements().await.unwrap()).len(), 1);
    project.delete_submit_requirement("Two-Eyes").await.unwrap();

    let groups = site.admin.groups().await.unwrap();
    let right = json!({ "permissions": { "label-Code-Review": { "label": "Code-Review", "rules": { groups["Administrators"].id.as_str(): { "action": "ALLOW", "min": -2, "max": 2 } } } } });
    let input = ProjectAccessInput::default()
        .adding([("refs/heads/dev".to_owned(), right)])
        .message("for a test");
    let access = known(project.set_access(&input).await.unwrap());
    assert!(access.local.contains_key("refs/heads/dev"), "{access:?}");
    let all = known(
        site.admin
            .server()
            .access([site.project.clone()])
            .await
            .unwrap(),
    );
    assert_eq!(all.len(), 1);
}

#[tokio::test]
async fn refs_are_listed_and_deleted_by_the_dozen() {
    let Some(site) = Site::open("dozen").await else {
        return;
    };
    let project = site.admin.project(&site.project);
    let mut branches = Vec::new();
    for at in 0..4 {
        branches.push(site.branch(&format!("dev/{at}")).await);
        let tag = TagName::new(format!("v{at}")).unwrap();
        known(
            project
                .create_tag(&tag, &TagInput::default().revision("master"))
                .await
                .unwrap(),
        );
    }
    let some = RefFilter::default().containing("dev/").limit(2).start(1);
    let some: Vec<_> = known(project.branches_of(&some).await.unwrap())
        .into_iter()
        .map(|one| one.git_ref)
        .collect();
    assert_eq!(some, ["refs/heads/dev/1", "refs/heads/dev/2"]);
    let some = known(
        project
            .tags_of(&RefFilter::default().matching("v[12]"))
            .await
            .unwrap(),
    );
    assert_eq!(some.len(), 2);
    assert!(known(project.mergeable(&branches[0], "master").await.unwrap()).mergeable);
    let hash = project
        .branch(&BranchName::new("master").unwrap())
        .await
        .unwrap()
        .revision;
    assert!(
        known(project.commit_included_in(&hash).await.unwrap())
            .tags
            .contains(&"v0".to_owned())
    );
    known(project.commit_files(&hash).await.unwrap());
    project.delete_branches(branches.clone()).await.unwrap();
    assert_eq!(
        project.branch(&branches[3]).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    project
        .delete_tags((0..4).map(|at| TagName::new(format!("v{at}")).unwrap()))
        .await
        .unwrap();
    assert!(project.tags().await.unwrap().is_empty());

    let found = site
        .admin
        .list_projects()
        .prefix("peers/dozen")
        .descriptions()
        .parents()
        .all()
        .await
        .unwrap();
    assert_eq!(
        (
            found.len(),
            found[0].parent.as_str(),
            found[0].description.as_str()
        ),
        (1, "All-Projects", "made by a test")
    );
    let found = site
        .admin
        .list_projects()
        .containing("DOZEN")
        .state(&ProjectState::Active)
        .page_size(1)
        .all()
        .await
        .unwrap();
    assert_eq!(found[0].name, site.project.as_str());
    let cut = site
        .admin
        .list_projects()
        .page_size(1)
        .cap(1)
        .all()
        .await
        .unwrap_err();
    assert!(
        matches!(cut, gerrit::Error::MoreThanCap { cap: 1 }),
        "{cut}"
    );
}

#[tokio::test]
async fn an_account_has_settings() {
    let Some(site) = Site::open("self").await else {
        return;
    };
    let me = site.rita.account(&AccountId::me());
    let her = site.admin.account(&site.rita_id);
    me.set_name("Rita Anew").await.unwrap();
    me.set_display_name("R.").await.unwrap();
    me.set_status("away").await.unwrap();
    let detail = known(me.detail().await.unwrap());
    assert_eq!(
        (
            detail.name.as_str(),
            detail.display_name.as_str(),
            detail.status.as_str()
        ),
        ("Rita Anew", "R.", "away")
    );
    me.set_status("").await.unwrap();

    let input = EmailInput::default().no_confirmation(true);
    known(
        her.add_email("second@self.example.org", &input)
            .await
            .unwrap(),
    );
    me.prefer_email("second@self.example.org").await.unwrap();
    assert_eq!(me.get().await.unwrap().email, "second@self.example.org");
    her.prefer_email("rita.self@example.org").await.unwrap();
    her.delete_email("second@self.example.org").await.unwrap();
    let key =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID1bu/MqkKv+I3cUa7wyxKOFYieWaruRfIhbK6xb0Zyd test";
    let key = known(me.add_ssh_key(key).await.unwrap());
    assert_eq!(key.comment, "test");
    me.delete_ssh_key(key.seq).await.unwrap();
    assert!(me.capabilities().await.unwrap().contains_key("queryLimit"));
    let size = BTreeMap::from([("changes_per_page".to_owned(), json!(10))]);
    assert_eq!(
        me.set_preferences(&size).await.unwrap()["changes_per_page"],
        10
    );
    assert_eq!(me.preferences().await.unwrap()["changes_per_page"], 10);
    let watch = [ProjectWatchInfo::default()
        .project(site.project.as_str())
        .notify_all_comments(true)];
    assert_eq!(me.watch_projects(&watch).await.unwrap().len(), 1);
    assert!(me.watched_projects().await.unwrap()[0].notify_all_comments);
    me.unwatch_projects(&watch).await.unwrap();
    assert!(me.watched_projects().await.unwrap().is_empty());
    let change = site.create("starred: by her").await;
    let id = site.id(site.number(&change).await);
    me.star(&id, true).await.unwrap();
    assert_eq!(known(me.starred_changes().await.unwrap()).len(), 1);
    me.star(&id, false).await.unwrap();
    assert!(me.starred_changes().await.unwrap().is_empty());

    let password = me.generate_http_password().await.unwrap();
    let anew = client(site.server, "rita.self", &password);
    assert_eq!(
        anew.account(&AccountId::me()).get().await.unwrap().name,
        "Rita Anew"
    );
    her.set_http_password("another one").await.unwrap();
    assert_eq!(
        anew.account(&AccountId::me())
            .get()
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::Unauthenticated
    );
    her.delete_http_password().await.unwrap();
    her.set_active(false).await.unwrap();
    assert!(!her.is_active().await.unwrap());
    her.set_active(true).await.unwrap();
}

#[tokio::test]
async fn groups_hold_groups() {
    let Some(site) = Site::open("groups").await else {
        return;
    };
    let made = async |name: &str| {
        let group = site.admin.group(&GroupId::new(name).unwrap());
        let made = known(group.create(&GroupInput::default()).await.unwrap());
        let id = GroupId::new(made.id).unwrap();
        (site.admin.group(&id), id)
    };
    let ((outer, outer_id), (_, inner_id)) = (made("outer").await, made("inner").await);
    known(outer.add_subgroup(&inner_id).await.unwrap());
    assert_eq!(known(outer.subgroups().await.unwrap())[0].name, "inner");
    outer.remove_subgroup(&inner_id).await.unwrap();
    assert!(outer.subgroups().await.unwrap().is_empty());
    known(
        outer
            .add_members([site.rita_id.clone(), AccountId::me()])
            .await
            .unwrap(),
    );
    assert_eq!(outer.members().await.unwrap().len(), 2);
    outer.remove_members([site.rita_id.clone()]).await.unwrap();
    assert_eq!(outer.members().await.unwrap().len(), 1);
    assert_eq!(outer.rename("outer still").await.unwrap(), "outer still");
    outer.set_description("holds others").await.unwrap();
    known(outer.set_visible_to_all(true).await.unwrap());
    let got = known(outer.get().await.unwrap());
    assert_eq!(
        (got.name.as_str(), got.description.as_str()),
        ("outer still", "holds others")
    );
    assert!(got.options.visible_to_all);
    assert_eq!(
        known(outer.set_owner(&inner_id).await.unwrap()).name,
        "inner"
    );
    assert_eq!(known(outer.owner().await.unwrap()).name, "inner");
    drop(outer_id);
}

#[tokio::test]
async fn the_server_tells_of_itself_and_of_what_a_call_did() {
    let Some(site) = Site::open("trace").await else {
        return;
    };
    let server = site.admin.server();
    assert!(known(server.caches().await.unwrap()).contains_key("projects"));
    server.flush_cache("projects").await.unwrap();
    assert!(server.summary().await.unwrap().is_object());
    known(server.tasks().await.unwrap());
    assert!(known(server.capabilities().await.unwrap()).contains_key("administrateServer"));
    known(server.plugins().await.unwrap());
    assert_eq!(
        site.rita.server().caches().await.unwrap_err().kind(),
        ErrorKind::Forbidden
    );

    let traced = site
        .admin
        .with_trace("a-test")
        .unwrap()
        .with_deadline(Duration::from_secs(600));
    assert_eq!(traced.server().version().await.unwrap(), "(dev)");
    let hasty = site.admin.with_deadline(Duration::from_millis(1));
    let late = hasty
        .changes(gerrit::Query::is("open").unwrap())
        .all()
        .await;
    assert!(late.is_err(), "{late:?}");

    let path = format!(
        "/projects/{}/branches/told",
        gerrit::escape_segment(site.project.as_str())
    );
    let call = site
        .admin
        .call(Method::PUT, path)
        .json(&json!({ "revision": "master" }));
    let (branch, refs) = call.fetch_with_refs::<BranchInfo>().await.unwrap();
    assert_eq!(
        (refs.len(), refs[0].project.as_str()),
        (1, site.project.as_str())
    );
    assert_eq!(
        (refs[0].git_ref.as_str(), refs[0].old.as_deref()),
        ("refs/heads/told", None)
    );
    assert_eq!(refs[0].new.as_deref(), Some(branch.revision.as_str()));
}
