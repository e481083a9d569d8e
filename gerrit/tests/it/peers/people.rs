//! Accounts and groups.

use gerrit::types::*;
use gerrit::{AccountId, AccountOption, ErrorKind, GroupId, Query};

use super::site::{Site, known};

#[tokio::test]
async fn an_account_can_be_read_and_found() {
    let Some(site) = Site::open("account").await else {
        return;
    };
    let me = site.rita.account(&AccountId::me());
    let got = known(me.get().await.unwrap());
    assert_eq!(
        (got.username.as_str(), got.email.as_str()),
        ("rita.account", "rita.account@example.org")
    );
    assert!(known(me.detail().await.unwrap()).registered_on.is_some());
    assert!(known(me.emails().await.unwrap())[0].preferred);
    assert!(known(me.ssh_keys().await.unwrap()).is_empty());
    assert!(
        known(me.external_ids().await.unwrap())
            .iter()
            .any(|one| one.identity.ends_with("rita.account"))
    );
    assert!(!known(me.groups().await.unwrap()).is_empty());
    assert!(me.is_active().await.unwrap());

    let query = Query::field("email", "rita.account@example.org").unwrap();
    let found = site
        .admin
        .accounts(query)
        .options([AccountOption::Details, AccountOption::AllEmails]);
    let found = known(found.all().await.unwrap());
    assert_eq!(found.len(), 1);
    assert!(got.is_same(&found[0]));
    for id in [
        "rita.account",
        "rita.account@example.org",
        "Rita account <rita.account@example.org>",
    ] {
        let one = site
            .admin
            .account(&AccountId::new(id).unwrap())
            .get()
            .await
            .unwrap();
        assert!(got.is_same(&one), "{id}");
    }
    let nobody = site
        .admin
        .account(&AccountId::new("nobody at all").unwrap());
    assert_eq!(nobody.get().await.unwrap_err().kind(), ErrorKind::NotFound);
    let again = site.admin.account(&AccountId::new("rita.account").unwrap());
    let again = again.create(&AccountInput::default()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_group_has_members() {
    let Some(site) = Site::open("group").await else {
        return;
    };
    let group = site.admin.group(&GroupId::new("a group/of ours").unwrap());
    let input = GroupInput::default()
        .description("for a test")
        .visible_to_all(true);
    let made = known(group.create(&input).await.unwrap());
    assert_eq!(made.name, "a group/of ours");
    let group = site.admin.group(&GroupId::new(made.id.as_str()).unwrap());
    assert_eq!(known(group.get().await.unwrap()).description, "for a test");
    let rita = known(group.add_member(&site.rita_id).await.unwrap());
    assert_eq!(rita.username, "rita.group");
    assert_eq!(known(group.members().await.unwrap()).len(), 2);
    assert_eq!(known(group.all_members().await.unwrap()).len(), 2);
    assert!(known(group.subgroups().await.unwrap()).is_empty());
    assert_eq!(known(group.detail().await.unwrap()).members.len(), 2);
    group.remove_member(&site.rita_id).await.unwrap();
    let log = known(group.audit_log().await.unwrap());
    assert_eq!(log.len(), 3);
    let groups = known(site.admin.groups().await.unwrap());
    assert!(groups.contains_key("Administrators") && groups.contains_key("a group/of ours"));
    let rita = site.rita.group(&GroupId::new("Administrators").unwrap());
    let refused = rita.add_member(&site.rita_id).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound, "{refused}");
}

#[tokio::test]
async fn the_server_says_what_it_is() {
    let Some(site) = Site::open("server").await else {
        return;
    };
    assert_eq!(site.admin.server().version().await.unwrap(), "(dev)");
    assert!(site.admin.server().info().await.unwrap()["auth"].is_object());
}
