//! What is asked of a running coordinator.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use build_coordinator::api::{
    Accepted, Attempt, Build, BuildFilter, Builds, Enqueue, Enqueued, Machines, Queue, State,
    Timestamp,
};
use tokio::time::{sleep, timeout};

use crate::administer;
use crate::args::{BuildsArgs, LogCommand, MachinesArgs, Request, TokenCommand};
use crate::client::Client;
use crate::shown::{LogPrinter, commit};
use crate::terminal::{duration, printable, table};

/// How long a followed log may be silent before it is asked for again, in case the coordinator is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// How long to wait before a coordinator that went away is asked again, and how often.
const AGAIN: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 30;

/// Does one request and says what came of it.
pub(crate) async fn run(client: &Client, request: &Request) -> anyhow::Result<ExitCode> {
    match request {
        Request::Queue { json: true } => print_json(client, "/api/v1/queue").await?,
        Request::Queue { json: false } => queue(client).await?,
        Request::Builds(args) => builds(client, args).await?,
        Request::Machines(MachinesArgs {
            command: Some(command),
            ..
        }) => administer::drain(client, command).await?,
        Request::Machines(MachinesArgs { json: true, .. }) => {
            print_json(client, "/api/v1/machines").await?;
        }
        Request::Machines(_) => machines(client).await?,
        Request::Token {
            command: TokenCommand::List { json: true },
        } => print_json(client, "/api/v1/tokens").await?,
        Request::Token { command } => administer::token(client, command).await?,
        Request::Prune { dry_run } => administer::prune(client, *dry_run).await?,
        Request::Reload => administer::reload(client).await?,
        Request::Log(args) => return log(client, args).await,
        Request::Cancel { id } => {
            let done: Accepted = client
                .post(&format!("/api/v1/builds/{id}/cancel"), &())
                .await?;
            println!("build {} is being cancelled", done.build);
        }
        Request::Retry { id } => {
            let done: Accepted = client
                .post(&format!("/api/v1/builds/{id}/retry"), &())
                .await?;
            println!("build {} runs once more", done.build);
        }
        Request::Enqueue {
            repository,
            revision,
            builder,
        } => {
            let what = Enqueue {
                repository: repository.clone(),
                revision: revision.clone(),
                builder: builder.clone(),
            };
            let added: Enqueued = client.post("/api/v1/builds", &what).await?;
            for id in added.builds {
                println!("build {id}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn print_json(client: &Client, path: &str) -> anyhow::Result<()> {
    println!("{}", client.get_text(path).await?.trim_end());
    Ok(())
}

async fn queue(client: &Client) -> anyhow::Result<()> {
    let queue: Queue = client.get("/api/v1/queue").await?;
    if queue.items.is_empty() {
        println!("nothing waits");
        return Ok(());
    }
    let now = Timestamp::now();
    let mut rows = vec![row([
        "BUILD",
        "WHAT",
        "BUILDER",
        "MACHINE",
        "WAITS",
        "STARTS IN",
        "BECAUSE",
    ])];
    for item in &queue.items {
        let starts = item
            .estimated_start
            .map_or_else(|| "?".to_owned(), |start| duration(start.since(now)));
        rows.push(row([
            &item.build.to_string(),
            &commit(&item.repository, &item.revision),
            &printable(&item.builder),
            &printable(&item.host_type),
            &duration(now.since(item.since)),
            &starts,
            &printable(&item.reason),
        ]));
    }
    table(&mut io::stdout().lock(), &rows)?;
    if queue.total > queue.items.len() {
        println!("and {} more", queue.total - queue.items.len());
    }
    Ok(())
}

async fn builds(client: &Client, args: &BuildsArgs) -> anyhow::Result<()> {
    let filter = BuildFilter {
        repository: args.repository.clone(),
        builder: args.builder.clone(),
        branch: args.branch.clone(),
        revision: args.revision.clone(),
        state: args.state,
        before: args.before,
        limit: Some(args.limit),
    };
    let query = query(&filter)?;
    let path = format!("/api/v1/builds{query}");
    if args.json {
        return print_json(client, &path).await;
    }
    let builds: Builds = client.get(&path).await?;
    if builds.builds.is_empty() {
        println!("no builds");
        return Ok(());
    }
    let mut rows = vec![row([
        "BUILD", "STATE", "WHAT", "BRANCH", "BUILDER", "TOOK", "SUBJECT",
    ])];
    rows.extend(builds.builds.iter().map(|build| {
        row([
            &build.id.to_string(),
            build.state.name(),
            &commit(&build.repository, &build.revision),
            &printable(build.branch.as_deref().unwrap_or_default()),
            &printable(&build.builder),
            &took(build),
            &printable(build.subject.as_deref().unwrap_or_default()),
        ])
    }));
    table(&mut io::stdout().lock(), &rows)?;
    Ok(())
}

async fn machines(client: &Client) -> anyhow::Result<()> {
    let machines: Machines = client.get("/api/v1/machines").await?;
    let mut rows = vec![row(["TYPE", "HERE", "EXPECTED", "IDLE", "BUSY", "WAITING"])];
    rows.extend(machines.pools.iter().map(|pool| {
        row([
            &printable(&pool.host_type),
            &pool.connected.to_string(),
            &pool.expected.to_string(),
            &pool.idle.to_string(),
            &pool.busy.to_string(),
            &pool.waiting.to_string(),
        ])
    }));
    table(&mut io::stdout().lock(), &rows)?;
    if machines.machines.is_empty() {
        return Ok(());
    }
    let now = Timestamp::now();
    let mut rows = vec![row([
        "MACHINE", "TYPE", "STATE", "FOR", "BUILD", "VERSION", "BECAUSE",
    ])];
    rows.extend(machines.machines.iter().map(|machine| {
        let since = machine
            .since
            .map(|since| duration(now.since(since)))
            .unwrap_or_default();
        let build = machine
            .build
            .map(|build| build.to_string())
            .unwrap_or_default();
        row([
            &printable(&machine.name),
            &printable(&machine.host_type),
            machine.state.name(),
            &since,
            &build,
            &printable(machine.version.as_deref().unwrap_or_default()),
            &printable(machine.reason.as_deref().unwrap_or_default()),
        ])
    }));
    println!();
    table(&mut io::stdout().lock(), &rows)?;
    Ok(())
}

/// Prints a log, live if asked. The exit code says how the build ended, if it did.
async fn log(client: &Client, args: &LogCommand) -> anyhow::Result<ExitCode> {
    let mut out = LogPrinter::default();
    let mut number = args.attempt;
    loop {
        let build = match number {
            // There is none yet.
            None if args.follow => wait_for_attempt(client, args.id, 1).await?,
            _ => get_build(client, args.id).await?,
        };
        let which = number.or_else(|| build.attempts.last().map(|attempt| attempt.number));
        let which = which.with_context(|| format!("build {} has no attempt yet", args.id))?;
        let build = print_attempt(client, args, which, &mut out).await?;
        let again =
            build.attempts.iter().any(|attempt| attempt.number > which) || !build.state.has_ended();
        if !args.follow || args.attempt.is_some() || !again {
            return Ok(exit_code(build.state));
        }
        eprintln!(
            "attempt {which} ended: {}; it is tried again",
            ending(&build, which)
        );
        wait_for_attempt(client, args.id, which + 1).await?;
        number = Some(which + 1);
    }
}

/// Prints an attempt's log to its end, also when the connection is lost meanwhile. Returns the build as it was afterwards.
async fn print_attempt(
    client: &Client,
    args: &LogCommand,
    number: u32,
    out: &mut LogPrinter,
) -> anyhow::Result<Build> {
    let mut offset = 0;
    let mut failures = 0;
    loop {
        let follow = u8::from(args.follow);
        let path = format!(
            "/api/v1/builds/{}/attempts/{number}/log?follow={follow}&offset={offset}",
            args.id
        );
        match print_stream(client, &path, &mut offset, out).await {
            Ok(()) => failures = 0,
            Err(error) if error.is::<io::Error>() || failures == ATTEMPTS || !args.follow => {
                return Err(error);
            }
            Err(_) => {
                failures += 1;
                sleep(AGAIN).await;
                continue;
            }
        }
        let build = get_build(client, args.id).await?;
        let runs = build
            .attempts
            .iter()
            .any(|attempt| attempt.number == number && !attempt.state.has_ended());
        if !args.follow || !runs {
            return Ok(build);
        }
        sleep(AGAIN).await;
    }
}

async fn print_stream(
    client: &Client,
    path: &str,
    offset: &mut u64,
    out: &mut LogPrinter,
) -> anyhow::Result<()> {
    let mut stream = client.open(path).await?;
    loop {
        let Ok(next) = timeout(SILENCE, stream.next()).await else {
            return Ok(());
        };
        let Some(bytes) = next? else { return Ok(()) };
        *offset += bytes.len() as u64;
        out.print(&bytes)?;
    }
}

/// Asks until the attempt is there, or the build is over.
async fn wait_for_attempt(client: &Client, id: u64, number: u32) -> anyhow::Result<Build> {
    loop {
        let build = get_build(client, id).await?;
        if build.state.has_ended()
            || build
                .attempts
                .iter()
                .any(|attempt| attempt.number >= number)
        {
            return Ok(build);
        }
        sleep(AGAIN).await;
    }
}

async fn get_build(client: &Client, id: u64) -> anyhow::Result<Build> {
    client.get(&format!("/api/v1/builds/{id}")).await
}

/// 0 for what succeeded, 1 for what did not, and for what is still to end 0 as well.
fn exit_code(state: State) -> ExitCode {
    match state {
        State::Succeeded | State::Waiting | State::Running => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// How an attempt ended, and why.
fn ending(build: &Build, number: u32) -> String {
    let attempt = build
        .attempts
        .iter()
        .find(|attempt| attempt.number == number);
    attempt.map_or_else(String::new, describe)
}

fn describe(attempt: &Attempt) -> String {
    match &attempt.reason {
        Some(reason) => format!("{} ({})", attempt.state.name(), printable(reason)),
        None => attempt.state.name().to_owned(),
    }
}

fn took(build: &Build) -> String {
    let Some(started) = build.started else {
        return String::new();
    };
    duration(build.ended.unwrap_or_else(Timestamp::now).since(started))
}

fn query(filter: &BuildFilter) -> anyhow::Result<String> {
    let serde_json::Value::Object(fields) = serde_json::to_value(filter)? else {
        return Ok(String::new());
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in &fields {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        query.append_pair(name, &value);
    }
    let query = query.finish();
    Ok(if query.is_empty() {
        query
    } else {
        format!("?{query}")
    })
}

pub(crate) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}
