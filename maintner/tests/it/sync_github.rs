//! Following repositories of a fake GitHub.

use std::time::Duration;

use maintner::leader::{
    Leader, LeaderConfig, Schedule, Source as _, SourceErrorKind, Supervisor, Wake,
};
use maintner::sync::fake_github::{FakeGithub, FakeRepo, Fault, Reviewer};
use maintner::sync::github::{
    AuthError, GithubAuth, GithubClient, GithubConfig, GithubSource, Governor,
};
use maintner::{Corpus, MutationRef};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::sync_github_support::{config, in_full, leader, log, open, rounds, source};

/// One of everything.
fn furnish(github: &FakeGithub) -> FakeRepo {
    let repo = github.repo("golang", "go");
    let one = repo.open_issue("gopher", "it is slow", "see above");
    repo.comment(one, "rsc", "how slow?");
    repo.label(one, "Performance");
    repo.label(one, "help wanted");
    repo.milestone(one, Some("Go1.22"));
    github.advance(7);
    let two = repo.open_pull("talker", "make it fast", "");
    repo.request_review(two, "gopher", Reviewer::User("rsc"));
    repo.request_review(two, "gopher", Reviewer::Team(31, "compiler"));
    repo.review(two, "rsc", "APPROVED", "LGTM");
    repo.assign(two, "gopher", true);
    repo.event(
        two,
        Some("rsc"),
        "future",
        json!({"performed_via": {"b": 1, "a": [2]}, "nothing": null}),
    );
    repo.event(two, None, "closed", json!({
        "commit_id": "e4d70f7e8892f024e4ed3e8b99ee6c5a9f16e126",
        "commit_url": "https://api.github.com/repos/golang/go/commits/e4d70f7e8892f024e4ed3e8b99ee6c5a9f16e126",
    }));
    let three = repo.open_discussion();
    assert_eq!(three, 3);
    let four = repo.open_issue("rsc", "old", "done");
    repo.close(four, "rsc");
    repo.lock(four, "rsc", true);
    repo.retitle(four, "rsc", "old and done");
    github.advance(60);
    repo
}

#[tokio::test]
async fn everything_there_is_gets_into_the_corpus() {
    let github = FakeGithub::new();
    let repo = furnish(&github);
    let (_dir, leader) = leader().await;
    let mut source = source(&github, "golang/go");
    assert_eq!(source.name(), "github:golang/go");
    rounds(&mut source, &leader, Wake::Start).await.unwrap();
    let view = leader.view();
    assert_eq!(repo.differences(&view, "golang", "go"), [""; 0]);
    let known = view.github().repo("golang", "go").unwrap();
    assert!(known.issue(3).unwrap().not_exist());
    let pull = known.issue(2).unwrap();
    let future = pull
        .events()
        .find(|event| event.event_type() == "future")
        .unwrap();
    assert_eq!(future.other_json(), br#"{"performed_via":{"a":[2],"b":1}}"#);
    let team = pull
        .events()
        .find_map(|event| event.team_reviewer())
        .unwrap();
    assert_eq!((team.id, team.slug), (31, "compiler"));
    let closed = pull
        .events()
        .find(|event| event.event_type() == "closed")
        .unwrap();
    assert!(
        closed
            .commit_url()
            .unwrap()
            .ends_with("/golang/go/commits/e4d70f7e8892f024e4ed3e8b99ee6c5a9f16e126")
    );
    assert_eq!(source.report().tolerated().unknown, 1);
    assert_eq!(source.report().tolerated().elements, 0);
}

#[tokio::test]
async fn a_round_without_news_costs_one_request_that_does_not_count() {
    let github = FakeGithub::new();
    furnish(&github);
    let (_dir, leader) = leader().await;
    let client = GithubClient::new(config(github.clone())).unwrap();
    let mut source = GithubSource::new(client.clone(), "golang/go".parse().unwrap());
    rounds(&mut source, &leader, Wake::Start).await.unwrap();
    let before = client.governor().limits();
    let _ = github.requests();
    let round = source.round(&leader, Wake::Interval).await.unwrap();
    assert_eq!(
        (round.requests, round.mutations, round.has_more),
        (1, 0, false)
    );
    let requests = github.requests();
    assert_eq!((requests[0].status, requests[0].conditional), (304, true));
    let after = client.governor().limits();
    assert_eq!(after.remaining, before.remaining);
    assert_eq!(
        (after.requests, after.not_modified),
        (before.requests + 1, 1)
    );
    // After a hint no cache is believed.
    source.round(&leader, Wake::Hint).await.unwrap();
    let requests = github.requests();
    assert_eq!(
        (requests.len(), requests[0].status, requests[0].conditional),
        (1, 200, false)
    );
}

#[tokio::test]
async fn news_of_one_issue_cost_few_requests() {
    let github = FakeGithub::new();
    let repo = furnish(&github);
    let (_dir, leader) = leader().await;
    let mut source = source(&github, "golang/go");
    rounds(&mut source, &leader, Wake::Start).await.unwrap();
    let _ = github.requests();
    repo.comment(1, "gopher", "very");
    github.advance(5);
    source.round(&leader, Wake::Interval).await.unwrap();
    assert_eq!(repo.differences(&leader.view(), "golang", "go"), [""; 0]);
    let paths: Vec<_> = github
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(
        paths,
        [
            "/repos/golang/go/issues?direction=desc&per_page=100&sort=updated&state=all",
            "/repos/golang/go/milestones?page=1&state=all",
            "/repos/golang/go/labels?page=1",
            "/repos/golang/go/issues/1/comments?direction=asc&per_page=100&since=2023-12-31T23:59:59Z&sort=updated",
            "/repos/golang/go/issues/1/events?per_page=100&page=1",
        ]
    );
}

#[tokio::test]
async fn what_changes_is_followed() {
    let github = FakeGithub::new();
    let repo = furnish(&github);
    let (_dir, leader) = leader().await;
    let mut source = source(&github, "golang/go");
    rounds(&mut source, &leader, Wake::Start).await.unwrap();
    let comment = repo.comment(1, "gopher", "verry");
    let orphan = repo.comment(1, "gone", "bye");
    repo.orphan_comment(1, orphan);
    repo.unlabel(1, "help wanted");
    repo.rename_label("Performance", "performance");
    repo.milestone(1, None);
    repo.rewrite(4, "");
    repo.reopen(4, "rsc");
    repo.lock(4, "rsc", false);
    let review = repo.review(2, "talker", "CHANGES_REQUESTED", "no");
    github.advance(5);
    source.round(&leader, Wake::Interval).await.unwrap();
    assert_eq!(repo.differences(&leader.view(), "golang", "go"), [""; 0]);
    repo.edit_comment(1, comment, "very");
    repo.dismiss_review(2, review, "rsc", "stale");
    repo.assign(2, "rsc", true);
    repo.assign(2, "gopher", false);
    repo.milestone(4, Some("Go1.23"));
    repo.close_milestone("Go1.22", true);
    github.advance(5);
    source.round(&leader, Wake::Interval).await.unwrap();
    let view = leader.view();
    assert_eq!(repo.differences(&view, "golang", "go"), [""; 0]);
    let known = view.github().repo("golang", "go").unwrap();
    let states: Vec<_> = known
        .issue(2)
        .unwrap()
        .reviews()
        .map(|review| review.state())
        .collect();
    assert_eq!(states, ["APPROVED", "DISMISSED"]);
    assert!(
        known
            .milestones()
            .any(|milestone| milestone.title == "Go1.22" && milestone.closed)
    );
    let bye = known
        .issue(1)
        .unwrap()
        .comments()
        .find(|comment| comment.id() == orphan);
    assert_eq!(bye.unwrap().user(), None);
}

#[tokio::test]
async fn it_goes_on_wherever_it_was_interrupted() {
    let github = FakeGithub::new();
    github.quota(u64::MAX);
    let repo = furnish(&github);
    for number in 5..130 {
        repo.open_issue("gopher", &format!("issue {number}"), "");
        if number % 30 == 0 {
            github.advance(1);
            repo.comment(number, "rsc", "why?");
            repo.label(number, "NeedsFix");
        }
    }
    github.advance(60);
    let (_first, undisturbed) = leader().await;
    rounds(&mut source(&github, "golang/go"), &undisturbed, Wake::Start)
        .await
        .unwrap();
    // News on more than one page, of issues that are known.
    for number in 8..129 {
        repo.comment(number, "rsc", "and this?");
    }
    github.advance(60);
    let before = log(&undisturbed).len();
    rounds(&mut source(&github, "golang/go"), &undisturbed, Wake::Start)
        .await
        .unwrap();
    assert_eq!(
        repo.differences(&undisturbed.view(), "golang", "go"),
        [""; 0]
    );

    let log = log(&undisturbed);
    assert!(log.len() > before + 240);
    // Before the end of the first reading, and at many places of the second.
    let cuts = (0..before)
        .step_by(191)
        .chain((before..log.len()).step_by(67));
    for cut in cuts {
        let (_dir, leader) = leader().await;
        let known = log[..cut]
            .iter()
            .map(|payload| MutationRef::decode(payload).unwrap().to_owned());
        leader.append(known.collect()).await.unwrap();
        rounds(&mut source(&github, "golang/go"), &leader, Wake::Start)
            .await
            .unwrap();
        assert_eq!(
            repo.differences(&leader.view(), "golang", "go"),
            [""; 0],
            "cut at {cut} of {}",
            log.len()
        );
    }
}

#[tokio::test]
async fn many_missing_numbers_do_not_page_for_ever() {
    let github = FakeGithub::new();
    let repo = github.repo("golang", "go");
    for _ in 0..150 {
        repo.open_discussion();
    }
    for number in 0..250 {
        repo.open_issue("gopher", &format!("issue {number}"), "");
    }
    github.advance(60);
    let (_dir, leader) = leader().await;
    let mut source = source(&github, "golang/go").requests_per_round(100);
    let first = source.round(&leader, Wake::Start).await.unwrap();
    // Three pages of issues, their labels and milestones, and a hundred of the missing numbers.
    assert_eq!((first.requests, first.has_more), (105, true));
    let rest = rounds(&mut source, &leader, Wake::Start).await.unwrap();
    // Fifty more, two for each issue, and in each round the list.
    assert_eq!(rest.requests, 50 + 500 + 6);
    assert_eq!(repo.differences(&leader.view(), "golang", "go"), [""; 0]);
    let _ = github.requests();
    source.round(&leader, Wake::Interval).await.unwrap();
    assert_eq!(github.requests().len(), 1);
}

#[tokio::test]
async fn while_much_is_still_asked_for_only_the_news_of_the_list_are_read() {
    let github = FakeGithub::new();
    let repo = github.repo("golang", "go");
    for number in 0..450 {
        repo.open_issue("gopher", &format!("issue {number}"), "");
    }
    github.advance(60);
    let (_dir, leader) = leader().await;
    let lists = || {
        let requests = github.requests().into_iter();
        requests
            .filter(|request| request.path.contains("/issues?"))
            .count()
    };
    let mut following = source(&github, "golang/go").requests_per_round(5);
    following.round(&leader, Wake::Start).await.unwrap();
    assert_eq!(lists(), 5);
    repo.comment(1, "gopher", "now?");
    github.advance(60);
    following.round(&leader, Wake::Interval).await.unwrap();
    assert_eq!(lists(), 2, "until a page has nothing new");
    // Who does not know that the list was taken in full reads it again.
    let mut restarted = source(&github, "golang/go").requests_per_round(5);
    restarted.round(&leader, Wake::Start).await.unwrap();
    assert_eq!(lists(), 5);
}

#[tokio::test]
async fn deleted_and_transferred_issues_are_noticed_when_the_whole_list_is_read() {
    let github = FakeGithub::new();
    let repo = furnish(&github);
    let tools = github.repo("golang", "tools");
    for _ in 0..120 {
        repo.open_issue("gopher", "one of many", "");
    }
    github.advance(60);
    let (_dir, leader) = leader().await;
    let mut source = source(&github, "golang/go").walk_every(Duration::from_secs(3600));
    rounds(&mut source, &leader, Wake::Start).await.unwrap();
    repo.delete(1);
    repo.delete(100);
    let there = repo.transfer(50, &tools);
    assert_eq!(there, 1);
    rounds(&mut source, &leader, Wake::Interval).await.unwrap();
    assert_eq!(repo.differences(&leader.view(), "golang", "go").len(), 3);
    let mut source = source.walk_every(Duration::ZERO);
    rounds(&mut source, &leader, Wake::Interval).await.unwrap();
    assert_eq!(repo.differences(&leader.view(), "golang", "go"), [""; 0]);
}

#[tokio::test]
async fn what_is_gone_when_its_comments_are_asked_for_is_a_tombstone() {
    let github = FakeGithub::new();
    let (repo, tools) = (furnish(&github), github.repo("golang", "tools"));
    let (_dir, leader) = leader().await;
    let mut source = source(&github, "golang/go").requests_per_round(1);
    // The number that is missing, then a round for each part of an issue.
    source.round(&leader, Wake::Start).await.unwrap();
    repo.delete(1);
    let there = repo.transfer(4, &tools);
    tools.comment(there, "rsc", "of another repository");
    rounds(&mut source, &leader, Wake::Start).await.unwrap();
    assert_eq!(repo.differences(&leader.view(), "golang", "go"), [""; 0]);
}

#[tokio::test]
async fn comments_that_are_refused_do_not_make_an_issue_gone() {
    let github = FakeGithub::new();
    let repo = furnish(&github);
    github.fail_on("/issues/1/comments", Fault::Status(404));
    let (_dir, leader) = leader().await;
    let mut source = source(&github, "golang/go").walk_every(Duration::ZERO);
    rounds(&mut source, &leader, Wake::Start).await.unwrap();
    assert!(
        !leader
            .view()
            .github()
            .repo("golang", "go")
            .unwrap()
            .issue(1)
            .unwrap()
            .not_exist()
    );
    // The others have theirs; and this one when the next whole list was read.
    assert_eq!(repo.differences(&leader.view(), "golang", "go").len(), 2);
    github.heal();
    rounds(&mut source, &leader, Wake::Interval).await.unwrap();
    assert_eq!(repo.differences(&leader.view(), "golang", "go"), [""; 0]);
}

#[tokio::test]
async fn a_renamed_repository_goes_on_under_the_name_it_had() {
    let github = FakeGithub::new();
    let repo = furnish(&github);
    let (_dir, leader) = leader().await;
    let mut source = source(&github, "golang/go");
    rounds(&mut source, &leader, Wake::Start).await.unwrap();
    repo.rename("google", "golang");
    repo.comment(1, "gopher", "where are we?");
    repo.open_discussion();
    repo.open_issue("gopher", "a new one", "");
    github.advance(5);
    rounds(&mut source, &leader, Wake::Interval).await.unwrap();
    assert_eq!(repo.differences(&leader.view(), "golang", "go"), [""; 0]);
    assert_eq!(
        source.report().renamed().unwrap().to_string(),
        "google/golang"
    );
    let _ = github.requests();
    rounds(&mut source, &leader, Wake::Interval).await.unwrap();
    source.round(&leader, Wake::Interval).await.unwrap();
    // By the new name, without a detour.
    let last = github.requests();
    assert!(
        last.last()
            .unwrap()
            .path
            .starts_with("/repos/google/golang/issues?"),
        "{last:?}"
    );
    assert_eq!(last.last().unwrap().status, 304);
}

#[tokio::test]
async fn what_somebody_must_look_after_is_said() {
    let github = FakeGithub::new();
    let repo = furnish(&github);
    let (_dir, leader) = leader().await;
    let mut source = source(&github, "golang/go");
    repo.disable_issues(true);
    let error = source.round(&leader, Wake::Start).await.unwrap_err();
    assert_eq!(error.kind(), SourceErrorKind::Permanent);
    assert!(
        in_full(&error).contains("golang/go has its issues disabled"),
        "{}",
        in_full(&error)
    );
    repo.disable_issues(false);
    repo.hide(true);
    let error = source.round(&leader, Wake::Start).await.unwrap_err();
    assert_eq!(error.kind(), SourceErrorKind::Permanent);
    assert!(
        in_full(&error).contains("golang/go cannot be seen (404"),
        "{}",
        in_full(&error)
    );
    assert_eq!(github.requests().len(), 2, "neither is tried again at once");
    github.require_token("right");
    let error = source.round(&leader, Wake::Start).await.unwrap_err();
    assert_eq!(error.kind(), SourceErrorKind::Permanent);
    assert!(
        in_full(&error).contains("check the credentials"),
        "{}",
        in_full(&error)
    );
    assert_eq!(leader.stats().appended, 0);
}

#[tokio::test]
async fn a_clock_that_goes_ahead_hides_nothing() {
    let github = FakeGithub::new();
    let repo = furnish(&github);
    let (_dir, leader) = leader().await;
    let mut source = source(&github, "golang/go");
    github.skew(7200);
    rounds(&mut source, &leader, Wake::Start).await.unwrap();
    github.skew(0);
    for text in ["first", "second", "third"] {
        github.advance(1800);
        repo.comment(1, "gopher", text);
        // Between these two nobody looks.
        github.advance(1);
        repo.comment(1, "rsc", text);
        github.advance(30);
        rounds(&mut source, &leader, Wake::Interval).await.unwrap();
        assert_eq!(
            repo.differences(&leader.view(), "golang", "go"),
            [""; 0],
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_behind_or_absent_costs_a_second_look_and_no_more() {
    for (skew, fault) in [(-86_400, None), (0, Some(Fault::NoDate))] {
        let github = FakeGithub::new();
        let repo = furnish(&github);
        github.skew(skew);
        if let Some(fault) = fault {
            github.fail_on("/repos/", fault);
        }
        let (_dir, leader) = leader().await;
        let mut source = source(&github, "golang/go");
        rounds(&mut source, &leader, Wake::Start).await.unwrap();
        assert_eq!(repo.differences(&leader.view(), "golang", "go"), [""; 0]);
        tokio::time::sleep(Duration::from_secs(3)).await;
        rounds(&mut source, &leader, Wake::Interval).await.unwrap();
        let _ = github.requests();
        tokio::time::sleep(Duration::from_secs(3)).await;
        rounds(&mut source, &leader, Wake::Interval).await.unwrap();
        assert_eq!(github.requests().len(), 1, "{fault:?}");
        repo.comment(1, "gopher", "late");
        rounds(&mut source, &leader, Wake::Interval).await.unwrap();
        assert_eq!(repo.differences(&leader.view(), "golang", "go"), [""; 0]);
    }
}

#[tokio::test]
async fn parts_of_many_pages_are_read_to_the_end_and_go_on_where_they_ended() {
    let github = FakeGithub::new();
    let repo = furnish(&github);
    let comments: Vec<_> = (0..250)
        .map(|n| repo.comment(1, "gopher", &format!("comment {n}")))
        .collect();
    let events: Vec<_> = (0..250)
        .map(|_| repo.event(1, Some("rsc"), "mentioned", json!({})))
        .collect();
    for n in 0..120 {
        repo.review(2, "rsc", "COMMENTED", &format!("review {n}"));
    }
    github.advance(60);
    let (_dir, leader) = leader().await;
    let mut source = source(&github, "golang/go");
    rounds(&mut source, &leader, Wake::Start).await.unwrap();
    assert_eq!(repo.differences(&leader.view(), "golang", "go"), [""; 0]);
    // Behind the end of what was known, which is shorter now; and in the middle.
    for id in &events[..110] {
        repo.remove_event(1, *id);
    }
    repo.event(1, Some("rsc"), "subscribed", json!({}));
    repo.edit_comment(1, comments[3], "edited");
    github.advance(60);
    let _ = github.requests();
    rounds(&mut source, &leader, Wake::Interval).await.unwrap();
    assert_eq!(repo.differences(&leader.view(), "golang", "go"), [""; 0]);
    let paths: Vec<_> = github
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    let events: Vec<_> = paths
        .iter()
        .filter(|path| path.contains("/issues/1/events"))
        .collect();
    assert_eq!(events.len(), 2, "{events:?}"); // the third page is not there any more, the second is
    // So many at once that it is easier to begin anew.
    for comment in comments.iter().cycle().take(1200) {
        repo.edit_comment(1, *comment, "edited again");
    }
    for n in 0..1300 {
        repo.comment(1, "gopher", &format!("more {n}"));
    }
    github.advance(60);
    rounds(&mut source, &leader, Wake::Interval).await.unwrap();
    assert_eq!(repo.differences(&leader.view(), "golang", "go"), [""; 0]);
}

#[tokio::test]
async fn labels_and_milestones_of_many_pages_are_all_known() {
    let github = FakeGithub::new();
    let repo = furnish(&github);
    for n in 0..70 {
        repo.label(1, &format!("label {n}"));
        repo.milestone(1, Some(&format!("milestone {n}")));
    }
    github.advance(60);
    let (_dir, leader) = leader().await;
    let mut source = source(&github, "golang/go");
    rounds(&mut source, &leader, Wake::Start).await.unwrap();
    let count = |leader: &Leader| {
        let view = leader.view();
        let known = view.github().repo("golang", "go").unwrap();
        (known.labels().count(), known.milestones().count())
    };
    assert_eq!(count(&leader), (72, 71));
    // On the last page only, while the first says that nothing is new.
    repo.rename_label("label 69", "last");
    repo.close_milestone("milestone 69", true);
    repo.comment(1, "gopher", "look");
    github.advance(5);
    rounds(&mut source, &leader, Wake::Interval).await.unwrap();
    assert_eq!(repo.differences(&leader.view(), "golang", "go"), [""; 0]);
    let view = leader.view();
    let known = view.github().repo("golang", "go").unwrap();
    assert!(known.milestones().any(|milestone| milestone.closed));
}

#[tokio::test]
async fn a_supervised_source_follows_a_server_over_http_and_a_hint_wakes_it() {
    let github = FakeGithub::new();
    let repo = furnish(&github);
    let server = github.serve().await.unwrap();
    let (dir, leader) = leader().await;
    github.require_token("secret-token");
    let file = dir.path().join("token");
    std::fs::write(&file, "gopherbot:secret-token\n").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;

        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = GithubAuth::token_file(&file).unwrap_err();
        assert!(
            matches!(error, AuthError::Readable { mode: 0o640, .. }),
            "{error:?}"
        );
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let auth = GithubAuth::token_file(&file).unwrap();
    let config = GithubConfig::default()
        .base_url(server.url())
        .auth(auth)
        .governor(Governor::new(1000, 1000));
    let client = GithubClient::new(config).unwrap();
    assert!(!format!("{client:?}").contains("secret"), "{client:?}");
    let mut sources = Supervisor::new(leader.clone());
    sources.add(
        GithubSource::new(client, "golang/go".parse().unwrap()),
        Schedule::every(Duration::from_secs(3600)),
    );
    let (hints, health) = (sources.hints(), sources.health());
    let stop = CancellationToken::new();
    let running = tokio::spawn(sources.run(stop.clone()));
    let settled = async |leader: &Leader| {
        while !repo.differences(&leader.view(), "golang", "go").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let limit = Duration::from_secs(120);
    tokio::time::timeout(limit, settled(&leader)).await.unwrap();
    repo.comment(1, "gopher", "news");
    github.advance(5);
    assert!(hints.wake("github:golang/go"));
    tokio::time::timeout(limit, settled(&leader)).await.unwrap();
    assert_eq!(health.sources()[0].failures, 0);
    stop.cancel();
    running.await.unwrap();
    leader.close().await;
    let again = Corpus::open(leader.dir()).unwrap();
    assert_eq!(repo.differences(&again.view(), "golang", "go"), [""; 0]);
    drop(open(&dir).await);
}

#[tokio::test]
async fn one_governor_knows_the_limits_of_all_sources_of_a_token() {
    let github = FakeGithub::new();
    let (go, tools) = (furnish(&github), github.repo("golang", "tools"));
    tools.open_issue("gopher", "small", "");
    github.advance(5);
    let (_dir, leader) = leader().await;
    let client = GithubClient::new(config(github.clone())).unwrap();
    for name in ["golang/go", "golang/tools"] {
        let mut source = GithubSource::new(client.clone(), name.parse().unwrap());
        rounds(&mut source, &leader, Wake::Start).await.unwrap();
    }
    assert_eq!(go.differences(&leader.view(), "golang", "go"), [""; 0]);
    assert_eq!(
        tools.differences(&leader.view(), "golang", "tools"),
        [""; 0]
    );
    let limits = client.governor().limits();
    let requests = github.requests().len() as u64;
    assert_eq!(
        (limits.limit, limits.remaining),
        (Some(5000), Some(5000 - requests))
    );
    assert_eq!(
        (limits.requests, limits.limited, limits.held),
        (requests, 0, Duration::ZERO)
    );
    assert!(limits.resets.is_some());
}

#[tokio::test]
async fn a_log_led_twice_has_nothing_twice() {
    let github = FakeGithub::new();
    furnish(&github);
    let (dir, leader) = leader().await;
    rounds(&mut source(&github, "golang/go"), &leader, Wake::Start)
        .await
        .unwrap();
    let count = leader.stats().appended;
    assert!(count > 10);
    leader.close().await;
    let leader = Leader::open(dir.path(), LeaderConfig::default())
        .await
        .unwrap();
    let round = rounds(&mut source(&github, "golang/go"), &leader, Wake::Start)
        .await
        .unwrap();
    assert_eq!((round.mutations, round.requests), (0, 1));
}
