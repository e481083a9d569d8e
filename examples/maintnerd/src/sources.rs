//! The sources that the configuration names, and what wakes them.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use maintner::leader::{Hints, Schedule, Supervisor};
use maintner::sync::GerritSource;
use maintner::sync::github::{GithubAuth, GithubClient, GithubConfig, GithubSource, Governor};
use pubsubhelper::Client;
use rest_transport::HyperTransport;

use crate::args::Args;
use crate::config::{Config, home};

/// After an event could not be had.
const PAUSE: Duration = Duration::from_secs(5);
/// Where a token is if the configuration does not say, as for upstream.
const TOKEN_FILE: &str = ".github-issue-token";

/// Adds all sources. Those of GitHub share a governor.
pub(crate) fn add(
    supervisor: &mut Supervisor,
    args: &Args,
    config: &Config,
    data_dir: &Path,
) -> anyhow::Result<Option<Governor>> {
    let schedule = Schedule::every(Duration::from_secs(config.gerrit.interval_seconds));
    for (name, url) in config.projects() {
        let folder = data_dir
            .join("git")
            .join(name.replace('%', "%25").replace('/', "%2F"));
        let mut source = GerritSource::named(&url, name, folder)?;
        if let Some(cookies) = &config.gerrit.cookie_file {
            source = source.cookie_file(cookies);
        }
        supervisor.add(source, schedule);
    }
    if config.github.repos.is_empty() {
        return Ok(None);
    }
    let governor = Governor::new(args.github_rate, args.github_rate);
    let mut github = GithubConfig::default()
        .auth(auth(config)?)
        .governor(governor.clone());
    if let Some(url) = &config.github.base_url {
        github = github.base_url(url);
    }
    let client = GithubClient::new(github)?;
    let schedule = Schedule::every(Duration::from_secs(config.github.interval_seconds));
    for repo in &config.github.repos {
        let source = GithubSource::new(client.clone(), repo.parse()?);
        supervisor.add(source, schedule.expect_changes(true));
    }
    Ok(Some(governor))
}

fn auth(config: &Config) -> anyhow::Result<GithubAuth> {
    if let Some(app) = &config.github.app {
        let auth = GithubAuth::app_file(&app.id, app.installation, &app.key_file);
        return auth.context("[github.app]");
    }
    let file = match &config.github.token_file {
        Some(file) => file.clone(),
        None => home()
            .context("there is no home folder: give token_file in [github]")?
            .join(TOKEN_FILE),
    };
    GithubAuth::token_file(&file).with_context(|| {
        format!(
            "GitHub takes a token: put USER:TOKEN into {}, or name another file in [github]",
            file.display()
        )
    })
}

/// Whom to ask for try work.
pub(crate) fn review_client(config: &Config) -> anyhow::Result<Option<gerrit::Client>> {
    let url = config.api.review_url.as_ref();
    let client = url.map(|url| gerrit::Client::new(url, gerrit::Config::default()));
    client.transpose().context("review_url in [api]")
}

pub(crate) fn events(pubsub: &str) -> anyhow::Result<Client> {
    Ok(Client::new(pubsub, HyperTransport::new()?)?)
}

/// Wakes the sources that events are about, for ever.
pub(crate) async fn wake(mut events: Client, hints: Hints) {
    loop {
        match events.next().await {
            Ok(event) => {
                let Some(topic) = event.topic() else { continue };
                let is_ours = hints.wake(&topic);
                tracing::debug!(topic, is_ours, "something happened");
            }
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::warn!("no events, sources are asked at intervals: {error:#}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
