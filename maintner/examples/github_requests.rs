//! How many requests it takes to follow a repository on GitHub: of a fake one with as many issues as are asked for (2000).
//!
//! `cargo run --release -p maintner --features test-support --example github_requests [ISSUES]`

use std::error::Error;
use std::time::{Duration, Instant};

use maintner::leader::{Leader, LeaderConfig, Source as _, Wake};
use maintner::sync::fake_github::{FakeGithub, FakeRepo};
use maintner::sync::github::{GithubClient, GithubConfig, GithubSource, Governor};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let count: i32 = match std::env::args().nth(1) {
        Some(count) => count.parse()?,
        None => 2000,
    };
    let github = FakeGithub::new();
    github.quota(u64::MAX);
    let repo = github.repo("golang", "go");
    for number in 1..=count {
        // One in ten is a pull request.
        let open = if number % 10 == 0 {
            FakeRepo::open_pull
        } else {
            FakeRepo::open_issue
        };
        open(&repo, "gopher", &format!("issue {number}"), "see above");
        for comment in 0..number % 8 {
            repo.comment(number, "rsc", &format!("comment {comment}"));
        }
        repo.label(
            number,
            if number % 2 == 0 {
                "NeedsFix"
            } else {
                "Documentation"
            },
        );
        github.advance(60);
    }

    // Over HTTP on this machine, without a pace of its own.
    let server = github.serve().await?;
    let governor = Governor::new(1_000_000, 1_000_000);
    let config = GithubConfig::default()
        .base_url(server.url())
        .governor(governor);
    let client = GithubClient::new(config)?;
    let dir = tempfile::tempdir()?;
    let leader = Leader::open(dir.path(), LeaderConfig::default()).await?;
    let mut source = GithubSource::new(client, "golang/go".parse()?);

    println!("| what | requests | of them free | mutations | took |");
    println!("|---|---:|---:|---:|---:|");
    follow(
        &format!("the first time, {count} issues"),
        &github,
        &leader,
        &mut source,
        Wake::Start,
    )
    .await?;
    follow("nothing new", &github, &leader, &mut source, Wake::Interval).await?;
    follow(
        "nothing new, after a hint",
        &github,
        &leader,
        &mut source,
        Wake::Hint,
    )
    .await?;
    repo.comment(1, "gopher", "and now?");
    github.advance(5);
    follow("a comment", &github, &leader, &mut source, Wake::Hint).await?;
    for number in 1..=count.min(100) {
        repo.comment(number, "gopher", "again");
    }
    github.advance(5);
    follow(
        "comments on 100 issues",
        &github,
        &leader,
        &mut source,
        Wake::Interval,
    )
    .await?;
    let mut source = source.walk_every(Duration::ZERO);
    follow(
        "nothing new, the whole list read",
        &github,
        &leader,
        &mut source,
        Wake::Interval,
    )
    .await?;
    let differences = repo.differences(&leader.view(), "golang", "go");
    if !differences.is_empty() {
        return Err(format!("the corpus differs: {differences:?}").into());
    }
    leader.close().await;
    Ok(())
}

async fn follow(
    what: &str,
    github: &FakeGithub,
    leader: &Leader,
    source: &mut GithubSource,
    wake: Wake,
) -> Result<(), Box<dyn Error>> {
    let _ = github.requests();
    let began = Instant::now();
    let mut mutations = 0;
    loop {
        let round = source.round(leader, wake).await?;
        mutations += round.mutations;
        if !round.has_more {
            break;
        }
    }
    let took = began.elapsed();
    let requests = github.requests();
    let free = requests
        .iter()
        .filter(|request| request.status == 304)
        .count();
    println!(
        "| {what} | {} | {free} | {mutations} | {took:.1?} |",
        requests.len()
    );
    Ok(())
}
