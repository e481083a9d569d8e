//! What the tests of GitHub share.

use std::time::Duration;

use maintner::leader::{Leader, LeaderConfig, Round, Source as _, SourceError, Wake};
use maintner::reclog::Sync;
use maintner::sync::fake_github::FakeGithub;
use maintner::sync::github::{GithubClient, GithubConfig, GithubSource, Governor};
use rest_transport::Transport;
use tempfile::TempDir;

use crate::support::records;

/// A leader with an empty log.
pub(crate) async fn leader() -> (TempDir, Leader) {
    let dir = tempfile::tempdir().unwrap();
    let leader = open(&dir).await;
    (dir, leader)
}

pub(crate) async fn open(dir: &TempDir) -> Leader {
    let config = LeaderConfig::default().sync(Sync::Never);
    Leader::open(dir.path(), config).await.unwrap()
}

/// Without limits of one's own and with pauses that cost nothing.
pub(crate) fn config(transport: impl Transport + 'static) -> GithubConfig {
    GithubConfig::default()
        .transport(transport)
        .governor(Governor::new(1_000_000, 1_000_000))
        .pauses(Duration::ZERO, Duration::ZERO)
}

pub(crate) fn source(github: &FakeGithub, name: &str) -> GithubSource {
    let client = GithubClient::new(config(github.clone())).unwrap();
    GithubSource::new(client, name.parse().unwrap())
}

/// Rounds until nothing is left to be done at once.
pub(crate) async fn rounds(
    source: &mut GithubSource,
    leader: &Leader,
    wake: Wake,
) -> Result<Round, SourceError> {
    let mut sum = Round::default();
    loop {
        let round = source.round(leader, wake).await?;
        sum.mutations += round.mutations;
        sum.requests += round.requests;
        sum.skipped += round.skipped;
        if !round.has_more {
            return Ok(sum);
        }
    }
}

/// The payloads of all records of the log.
pub(crate) fn log(leader: &Leader) -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(leader.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|end| end == "mutlog"))
        .collect();
    files.sort();
    let mut payloads = Vec::new();
    for file in files {
        let bytes = std::fs::read(file).unwrap();
        payloads.extend(records(&bytes).iter().map(|record| record.payload.to_vec()));
    }
    payloads
}

/// An error with its causes.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
