use maintner::pb;

use crate::log::make::random::Random;

const USERS: usize = 60_000;

/// Makes up issues, with comments and events.
#[derive(Default)]
pub(super) struct Github {
    issues: i32,
    /// Comments and events have ids over all of GitHub.
    last_id: i64,
}

impl Github {
    /// The whole life of an issue.
    pub(super) fn issue(&mut self, random: &mut Random, now: i64) -> Vec<pb::Mutation> {
        self.issues += 1;
        let number = self.issues;
        let mut now = now;
        let mut mutations = vec![pb::GithubIssueMutation {
            user: Some(user(random)),
            created: Some(at(now)),
            updated: Some(at(now)),
            title: random.title(),
            body_change: Some(pb::StringChange {
                val: random.text(735.0, 1.0, 60_000),
            }),
            no_milestone: true,
            closed: Some(pb::BoolChange { val: false }),
            pull_request: random.happens(0.15),
            ..Default::default()
        }];
        for _ in 0..random.exponential(5.5, 200) {
            now += random.between(60, 400_000);
            let comment = pb::GithubIssueCommentMutation {
                id: self.id(random),
                user: Some(user(random)),
                body: random.text(270.0, 1.1, 60_000),
                created: Some(at(now)),
                updated: Some(at(now)),
            };
            mutations.push(pb::GithubIssueMutation {
                updated: Some(at(now)),
                comment: vec![comment],
                comment_status: Some(synced(now)),
                ..Default::default()
            });
        }
        for _ in 0..random.exponential(6.5, 200) {
            now += random.between(60, 400_000);
            let kind =
                *random.one_of(&["labeled", "mentioned", "subscribed", "closed", "milestoned"]);
            let label = (kind == "labeled").then(|| {
                let labels = [
                    "NeedsInvestigation",
                    "NeedsFix",
                    "help wanted",
                    "Documentation",
                    "FrozenDueToAge",
                ];
                let index = random.skewed(labels.len());
                pb::GithubLabel {
                    id: 1 + index as i64,
                    name: labels[index].to_owned(),
                }
            });
            let event = pb::GithubIssueEvent {
                id: self.id(random),
                event_type: kind.to_owned(),
                actor_id: user(random).id,
                created: Some(at(now)),
                label: label.clone(),
                ..Default::default()
            };
            mutations.push(pb::GithubIssueMutation {
                updated: Some(at(now)),
                event: vec![event],
                event_status: Some(synced(now)),
                add_label: label.into_iter().collect(),
                closed: (kind == "closed").then_some(pb::BoolChange { val: true }),
                closed_at: (kind == "closed").then(|| at(now)),
                ..Default::default()
            });
        }
        mutations
            .into_iter()
            .map(|issue| pb::Mutation {
                github_issue: Some(pb::GithubIssueMutation {
                    owner: "golang".to_owned(),
                    repo: "go".to_owned(),
                    number,
                    ..issue
                }),
                ..Default::default()
            })
            .collect()
    }

    fn id(&mut self, random: &mut Random) -> i64 {
        self.last_id += random.between(1, 50);
        self.last_id
    }
}

/// Few people do most.
fn user(random: &mut Random) -> pb::GithubUser {
    let index = random.skewed(USERS);
    pb::GithubUser {
        id: index as i64 + 1,
        login: format!("user{index}"),
    }
}

fn at(seconds: i64) -> pb::Timestamp {
    pb::Timestamp { seconds, nanos: 0 }
}

fn synced(now: i64) -> pb::GithubIssueSyncStatus {
    pb::GithubIssueSyncStatus {
        server_date: Some(at(now + 60)),
    }
}
