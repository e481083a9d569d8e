//! Whatever happens on GitHub and on the way there, the corpus has in the end what there is.

use std::time::Duration;

use maintner::leader::{Source as _, Wake};
use maintner::sync::fake_github::{FakeGithub, FakeRepo, Fault, Reviewer};
use maintner::{MutationRef, sync::github::GithubSource};
use proptest::prelude::*;
use serde_json::json;
use tokio::runtime::Builder;

use crate::sync_github_support::{leader, log, rounds, source};

/// Something that happens; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Op {
    Open(bool),
    Edit(u8, u8),
    Comment(u8),
    EditComment(u8, u8),
    DeleteComment(u8, u8),
    Review(u8),
    Delete(u8),
    Transfer(u8),
    Discussion,
    Rename,
    RenameLabel(u8),
    Advance(u8),
    Skew(i8),
    Round(Vec<Option<Fault>>),
    Restart,
}

fn fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        6 => Just(None),
        1 => prop_oneof![Just(500), Just(502), Just(404)].prop_map(|status| Some(Fault::Status(status))),
        1 => proptest::option::of(0..90_u64).prop_map(|wait| Some(Fault::TooMany(wait))),
        1 => proptest::option::of(0..90_u64).prop_map(|wait| Some(Fault::Secondary(wait))),
        1 => (0..7200_u64).prop_map(|wait| Some(Fault::NoQuota(wait))),
        1 => prop_oneof![
            Just(Fault::Broken),
            Just(Fault::Truncated),
            Just(Fault::Html),
            Just(Fault::WrongType),
            Just(Fault::Stall),
            Just(Fault::Unreachable),
            Just(Fault::NoDate),
        ].prop_map(Some),
        1 => (-5000..5000_i64).prop_map(|seconds| Some(Fault::Skew(seconds))),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => any::<bool>().prop_map(Op::Open),
        6 => (any::<u8>(), any::<u8>()).prop_map(|(issue, what)| Op::Edit(issue, what)),
        4 => any::<u8>().prop_map(Op::Comment),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(issue, comment)| Op::EditComment(issue, comment)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(issue, comment)| Op::DeleteComment(issue, comment)),
        2 => any::<u8>().prop_map(Op::Review),
        1 => any::<u8>().prop_map(Op::Delete),
        1 => any::<u8>().prop_map(Op::Transfer),
        1 => Just(Op::Discussion),
        1 => Just(Op::Rename),
        1 => any::<u8>().prop_map(Op::RenameLabel),
        4 => (0..10_u8).prop_map(Op::Advance),
        1 => any::<i8>().prop_map(Op::Skew),
        5 => proptest::collection::vec(fault(), 0..20).prop_map(Op::Round),
        1 => Just(Op::Restart),
    ]
}

/// What the test remembers of the repository, to choose from.
struct Scene {
    github: FakeGithub,
    repo: FakeRepo,
    elsewhere: FakeRepo,
    /// Issues that exist, with whether they are pull requests, and their comments.
    issues: Vec<(i32, bool, Vec<i64>)>,
    count: u32,
    is_ahead: bool,
}

impl Scene {
    fn new() -> Self {
        let github = FakeGithub::new();
        github.quota(u64::MAX);
        github.follow_time();
        let (repo, elsewhere) = (github.repo("golang", "go"), github.repo("golang", "tools"));
        Self {
            github,
            repo,
            elsewhere,
            issues: Vec::new(),
            count: 0,
            is_ahead: false,
        }
    }

    fn pick(&mut self, number: u8) -> Option<&mut (i32, bool, Vec<i64>)> {
        let count = self.issues.len();
        self.issues.get_mut(usize::from(number) % count.max(1))
    }

    fn apply(&mut self, op: &Op) {
        self.count += 1;
        let text = format!("text {}", self.count);
        let repo = self.repo.clone();
        match *op {
            Op::Open(is_pull) => {
                let open = if is_pull {
                    FakeRepo::open_pull
                } else {
                    FakeRepo::open_issue
                };
                let number = open(&repo, "gopher", &text, "");
                self.issues.push((number, is_pull, Vec::new()));
            }
            Op::Edit(issue, what) => {
                if let Some((number, is_pull, _)) = self.pick(issue) {
                    edit(&repo, *number, *is_pull, what, &text);
                }
            }
            Op::Comment(issue) => {
                if let Some((number, _, comments)) = self.pick(issue) {
                    comments.push(repo.comment(*number, "rsc", &text));
                }
            }
            Op::EditComment(issue, comment) => {
                if let Some((number, _, comments)) = self.pick(issue)
                    && let Some(id) = comments.get(usize::from(comment) % comments.len().max(1))
                {
                    repo.edit_comment(*number, *id, &text);
                }
            }
            Op::DeleteComment(issue, comment) => {
                if let Some((number, _, comments)) = self.pick(issue)
                    && !comments.is_empty()
                {
                    let id = comments.remove(usize::from(comment) % comments.len());
                    repo.delete_comment(*number, id);
                }
            }
            Op::Review(issue) => {
                if let Some((number, true, _)) = self.pick(issue) {
                    let id = repo.review(*number, "rsc", "APPROVED", &text);
                    if text.len() % 2 == 0 {
                        repo.dismiss_review(*number, id, "gopher", "stale");
                    }
                }
            }
            Op::Delete(issue) | Op::Transfer(issue) => {
                if let Some(number) = self.pick(issue).map(|issue| issue.0) {
                    match op {
                        Op::Delete(_) => repo.delete(number),
                        _ => _ = repo.transfer(number, &self.elsewhere),
                    }
                    self.issues.retain(|issue| issue.0 != number);
                }
            }
            Op::Discussion => _ = repo.open_discussion(),
            Op::Rename => repo.rename("google", &format!("go-{}", self.count)),
            Op::RenameLabel(label) => repo.rename_label(&format!("label {}", label % 3), &text),
            Op::Advance(seconds) => self.github.advance(seconds.into()),
            Op::Skew(minutes) => {
                self.is_ahead = minutes > 0;
                self.github.skew(i64::from(minutes) * 60);
            }
            Op::Round(_) | Op::Restart => {}
        }
    }
}

fn edit(repo: &FakeRepo, number: i32, is_pull: bool, what: u8, text: &str) {
    let (some, flag) = (format!("label {}", what % 3), what.is_multiple_of(2));
    match what / 16 {
        0 => repo.retitle(number, "gopher", text),
        1 => repo.rewrite(number, if flag { text } else { "" }),
        2 => repo.close(number, "rsc"),
        3 => repo.reopen(number, "rsc"),
        4 => repo.lock(number, "rsc", flag),
        5 | 6 => repo.label(number, &some),
        7 => repo.unlabel(number, &some),
        8 => repo.milestone(number, flag.then_some(&*some)),
        9 | 10 => repo.assign(number, "talker", flag),
        11 => repo.assign(number, "rsc", flag),
        12 if is_pull => repo.request_review(number, "gopher", Reviewer::Team(31, "compiler")),
        13 => repo.close_milestone("label 1", flag),
        _ => _ = repo.event(number, Some("rsc"), "odd", json!({"text": text})),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_corpus_has_in_the_end_what_there_is(ops in proptest::collection::vec(op(), 1..60)) {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut scene = Scene::new();
            let (_dir, leader) = leader().await;
            let mut following = source(&scene.github, "golang/go").requests_per_round(7);
            for op in &ops {
                scene.apply(op);
                match op {
                    Op::Round(faults) => {
                        // What happens in the second in which an issue was read shows by the server's clock, if it is right.
                        let ahead = |fault: &Option<Fault>| matches!(fault, Some(Fault::Skew(1..)));
                        if scene.is_ahead || faults.iter().any(ahead) {
                            scene.github.advance(1);
                        }
                        scene.github.script(faults.iter().copied());
                        // Whether it fails is no matter, as long as the next one goes on.
                        let _ = following.round(&leader, Wake::Interval).await;
                        scene.github.heal();
                    }
                    Op::Restart => following = source(&scene.github, "golang/go"),
                    _ => {}
                }
            }
            settle(&scene, following, &leader).await;
            let differences = scene.repo.differences(&leader.view(), "golang", "go");
            assert!(differences.is_empty(), "{differences:#?}");
        });
    }
}

proptest! {
    // Each has some dozens of restarts.
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn it_may_be_restarted_after_each_mutation(ops in proptest::collection::vec(op(), 20..40)) {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut scene = Scene::new();
            // Some of it is known before the rest happens.
            let (first, rest) = ops.split_at(ops.len() / 2);
            first.iter().for_each(|op| scene.apply(op));
            scene.github.advance(60);
            let (_dir, undisturbed) = leader().await;
            settle(&scene, source(&scene.github, "golang/go"), &undisturbed).await;
            let before = log(&undisturbed).len();
            rest.iter().for_each(|op| scene.apply(op));
            settle(&scene, source(&scene.github, "golang/go"), &undisturbed).await;
            let log = log(&undisturbed);
            for cut in before..log.len() {
                let (_dir, again) = leader().await;
                let known = log[..cut].iter().map(|payload| MutationRef::decode(payload).unwrap().to_owned());
                again.append(known.collect()).await.unwrap();
                settle(&scene, source(&scene.github, "golang/go"), &again).await;
                let differences = scene.repo.differences(&again.view(), "golang", "go");
                assert!(differences.is_empty(), "cut at {cut}: {differences:#?}");
            }
        });
    }
}

/// Rounds of a healthy server until everything that is to be seen was seen. Labels are renamed without a trace, so that something
/// else must happen, and deletions are seen by reading the whole list.
async fn settle(scene: &Scene, following: GithubSource, leader: &maintner::leader::Leader) {
    let mut following = following.requests_per_round(500).walk_every(Duration::ZERO);
    scene.github.skew(0);
    scene.github.advance(5);
    if let Some((number, ..)) = scene.issues.last() {
        scene.repo.event(*number, Some("rsc"), "touched", json!({}));
    }
    scene.github.advance(60);
    // What was ordered to be waited for is over.
    tokio::time::sleep(Duration::from_secs(8000)).await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        rounds(&mut following, leader, Wake::Start).await.unwrap();
    }
}
