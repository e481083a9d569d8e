//! Questions that a maintnerd answers, by its gRPC service: nothing is fetched.

use std::io;

use anyhow::{Context as _, bail};
use maintner::Time;
use maintner_api::pb::{
    DashCommit, DashboardRequest, GerritTryWorkItem, GetRefRequest, GoFindTryWorkRequest,
    GoRelease, HasAncestorRequest, ListGoReleasesRequest,
};
use maintner_api::{Client, connect};
use program::tls_client_config;

use crate::args::{Args, AskCommand, DashboardArgs, SourceArgs};
use crate::output::{Output, line, terminal_width};
use crate::usage::conflict;
use crate::value::Value;

/// The Go project's, as for upstream's `maintq`.
const SERVER: &str = "maintner.golang.org:443";
/// The host of a project that is named without one.
const GERRIT: &str = "go.googlesource.com";

type Row<'v> = Vec<Value<'v>>;

/// Asks, and prints the answer.
pub(crate) fn run(args: &Args, command: &AskCommand) -> anyhow::Result<()> {
    if args.source.log.is_some() {
        return Err(conflict("--log", "a question to a maintnerd").into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let mut client = reach(&args.source).await?;
        match command {
            AskCommand::HasAncestor { commit, ancestor } => {
                has_ancestor(args, &mut client, commit, ancestor).await
            }
            AskCommand::GetRef { project, name } => get_ref(args, &mut client, project, name).await,
            AskCommand::TryWork => try_work(args, &mut client).await,
            AskCommand::ListReleases => list_releases(args, &mut client).await,
            AskCommand::GetDashboard(dashboard) => {
                get_dashboard(args, &mut client, dashboard).await
            }
        }
    })
}

async fn reach(source: &SourceArgs) -> anyhow::Result<Client> {
    let tls = tls_client_config(source.ca.as_deref(), false)?;
    Ok(connect(address(source.server.as_deref()), tls).await?)
}

/// A maintnerd has its log and its service at one address, so that one setting names both.
fn address(server: Option<&str>) -> &str {
    let server = server.unwrap_or(SERVER).trim_end_matches('/');
    server
        .strip_suffix("/logs")
        .filter(|address| address.contains("://"))
        .unwrap_or(server)
}

async fn has_ancestor(
    args: &Args,
    client: &mut Client,
    commit: &str,
    ancestor: &str,
) -> anyhow::Result<()> {
    let request = HasAncestorRequest {
        commit: commit.to_owned(),
        ancestor: ancestor.to_owned(),
    };
    let answer = client
        .has_ancestor(request)
        .await
        .map_err(|status| refused(&status))?;
    let answer = answer.into_inner();
    if answer.unknown_commit {
        bail!("the server does not know the commit {commit}");
    }
    let columns = vec!["commit", "ancestor", "has_ancestor"];
    let row = vec![
        Value::text(commit),
        Value::text(ancestor),
        answer.has_ancestor.into(),
    ];
    print(args, columns, [row])
}

async fn get_ref(
    args: &Args,
    client: &mut Client,
    project: &str,
    name: &str,
) -> anyhow::Result<()> {
    let (host, project) = project.split_once('/').unwrap_or((GERRIT, project));
    let request = GetRefRequest {
        r#ref: name.to_owned(),
        gerrit_server: host.to_owned(),
        gerrit_project: project.to_owned(),
    };
    let value = client
        .get_ref(request)
        .await
        .map_err(|status| refused(&status))?;
    let value = value.into_inner().value;
    if value.is_empty() {
        bail!("{host}/{project} has no ref {name}: a name is whole, like refs/heads/master");
    }
    let row = vec![
        Value::text(format!("{host}/{project}")),
        Value::text(name),
        Value::text(value),
    ];
    print(args, vec!["project", "ref", "commit"], [row])
}

async fn try_work(args: &Args, client: &mut Client) -> anyhow::Result<()> {
    let request = GoFindTryWorkRequest::default();
    let answer = client
        .go_find_try_work(request)
        .await
        .map_err(|status| refused(&status))?;
    let columns = vec![
        "project",
        "branch",
        "change_id",
        "patch_set",
        "commit",
        "author",
        "go_versions",
        "go_branches",
        "go_commits",
        "messages",
    ];
    let answer = answer.into_inner();
    print(args, columns, answer.waiting.iter().map(waiting))
}

fn waiting(item: &GerritTryWorkItem) -> Row<'_> {
    let versions = item.go_version.iter();
    let versions = versions.map(|version| format!("go{}.{}", version.major, version.minor));
    let messages = item.try_message.iter();
    let messages = messages.map(|vote| {
        format!(
            "{} (by account {} on patch set {})",
            vote.message, vote.author_id, vote.version
        )
    });
    vec![
        Value::text(&item.project),
        Value::text(&item.branch),
        Value::text(&item.change_id),
        item.version.into(),
        Value::text(&item.commit),
        Value::text(&item.author_email),
        Value::list(versions),
        Value::list(item.go_branch.iter().map(String::as_str)),
        Value::list(item.go_commit.iter().map(String::as_str)),
        Value::list(messages),
    ]
}

async fn list_releases(args: &Args, client: &mut Client) -> anyhow::Result<()> {
    let request = ListGoReleasesRequest {};
    let answer = client
        .list_go_releases(request)
        .await
        .map_err(|status| refused(&status))?;
    let columns = vec!["version", "tag", "tag_commit", "branch", "branch_commit"];
    let answer = answer.into_inner();
    print(args, columns, answer.releases.iter().map(release))
}

fn release(release: &GoRelease) -> Row<'_> {
    let version = format!("{}.{}.{}", release.major, release.minor, release.patch);
    vec![
        Value::text(version),
        Value::text(&release.tag_name),
        Value::text(&release.tag_commit),
        Value::text(&release.branch_name),
        Value::text(&release.branch_commit),
    ]
}

async fn get_dashboard(
    args: &Args,
    client: &mut Client,
    dashboard: &DashboardArgs,
) -> anyhow::Result<()> {
    let request = DashboardRequest {
        page: dashboard.page,
        repo: dashboard.repo.clone(),
        branch: dashboard.branch.clone(),
        max_commits: dashboard.limit,
    };
    let answer = client
        .get_dashboard(request)
        .await
        .map_err(|status| refused(&status))?;
    let answer = answer.into_inner();
    if dashboard.branches {
        let rows = answer.branches.iter().map(|name| vec![Value::text(name)]);
        return print(args, vec!["branch"], rows);
    }
    let mut columns = vec!["commit", "time", "author", "email", "branch", "title"];
    if dashboard.heads {
        columns.insert(0, "project");
        let heads = answer.repo_heads.iter().filter_map(|head| {
            let mut row = commit(head.commit.as_ref()?);
            row.insert(0, Value::text(&head.gerrit_project));
            Some(row)
        });
        return print(args, columns, heads);
    }
    columns.extend(["go_at_time", "go_latest"]);
    let rows = answer.commits.iter().map(|listed| {
        let mut row = commit(listed);
        row.push(Value::text(&listed.go_commit_at_time));
        row.push(Value::text(&listed.go_commit_latest));
        row
    });
    print(args, columns, rows)?;
    if answer.commits_truncated && !args.source.quiet {
        eprintln!(
            "maintq: there are more: --page {}",
            dashboard.page.saturating_add(1)
        );
    }
    Ok(())
}

fn commit(commit: &DashCommit) -> Row<'_> {
    vec![
        Value::text(&commit.commit),
        Time::new(commit.commit_time_sec, 0).into(),
        Value::text(&commit.author_name),
        Value::text(&commit.author_email),
        Value::text(&commit.branch),
        Value::text(&commit.title),
    ]
}

fn print<'v>(
    args: &Args,
    columns: Vec<&'static str>,
    rows: impl IntoIterator<Item = Row<'v>>,
) -> anyhow::Result<()> {
    let out = io::BufWriter::new(io::stdout().lock());
    let mut out = Output::begin(out, args.format, columns, terminal_width())?;
    for row in rows {
        out.row(&row)?;
    }
    Ok(out.flush()?)
}

/// What the server said, as far as a terminal should show it.
fn refused(status: &tonic::Status) -> anyhow::Error {
    let text = match status.message() {
        "" => status.code().description().to_owned(),
        text => line(text),
    };
    anyhow::anyhow!("the server answers: {text}")
}

#[cfg(test)]
mod tests {
    use maintner_api::pb::{MajorMinor, TryVoteMessage};

    use super::*;

    #[test]
    fn one_address_names_a_maintnerd_and_its_log() {
        for (given, address_of) in [
            (None, SERVER),
            (Some("https://m.example.org/logs"), "https://m.example.org"),
            (Some("http://localhost:8080/logs/"), "http://localhost:8080"),
            (Some("m.example.org:444"), "m.example.org:444"),
        ] {
            assert_eq!(address(given), address_of);
        }
    }

    #[test]
    fn waiting_work_is_a_row_with_what_it_is_built_with() {
        let item = GerritTryWorkItem {
            project: "net".to_owned(),
            version: 3,
            go_commit: vec!["aa".to_owned(), "bb".to_owned()],
            go_branch: vec!["master".to_owned(), "release-branch.go1.2".to_owned()],
            go_version: vec![
                MajorMinor { major: 1, minor: 3 },
                MajorMinor { major: 1, minor: 2 },
            ],
            try_message: vec![TryVoteMessage {
                message: "plan9".to_owned(),
                author_id: 7,
                version: 2,
            }],
            ..Default::default()
        };
        let row = waiting(&item);
        assert_eq!(row[0], Value::text("net"));
        assert_eq!(row[3], Value::Int(3));
        assert_eq!(row[6], Value::list(["go1.3", "go1.2"].into_iter()));
        let messages = ["plan9 (by account 7 on patch set 2)"];
        assert_eq!(row[9], Value::list(messages.into_iter()));
    }
}
