//! What an operator asks of a running coordinator.

use std::io;

use anyhow::Context as _;
use build_coordinator::api::{
    CreatedToken, Drained, NewToken, Pruned, Reloaded, Revoked, Timestamp, Token, Tokens,
};

use crate::args::{MachineCommand, TokenCommand};
use crate::client::Client;
use crate::remote::row;
use crate::terminal::{duration, printable, table};

pub(crate) async fn drain(client: &Client, command: &MachineCommand) -> anyhow::Result<()> {
    let (name, what) = match command {
        MachineCommand::Drain { name } => (name, "drain"),
        MachineCommand::Undrain { name } => (name, "undrain"),
    };
    let path = format!("/api/v1/machines/{}/{what}", segment(name));
    let done: Drained = client.post(&path, &()).await?;
    let name = printable(&done.name);
    match (done.drained, done.is_here) {
        (true, true) => println!("{name} gets nothing new; what runs on it goes on"),
        (true, false) => println!("{name} is not here; it will get nothing when it comes"),
        (false, true) => println!("{name} gets builds again"),
        (false, false) => println!("{name} is not here; it will get builds when it comes"),
    }
    Ok(())
}

pub(crate) async fn token(client: &Client, command: &TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create {
            name,
            scope,
            expires,
        } => {
            let what = NewToken {
                name: name.clone(),
                scope: *scope,
                expires: expires.map(|time| Timestamp::now().after(time)),
            };
            let created: CreatedToken = client.post("/api/v1/tokens", &what).await?;
            println!("{}", created.secret);
            eprintln!(
                "this is token {} for {}: it is shown this once, so keep it; give it to the commands with --token-file, and to the page at /login",
                created.token.id,
                printable(&created.token.name)
            );
        }
        TokenCommand::List { .. } => {
            let tokens: Tokens = client.get("/api/v1/tokens").await?;
            list(&tokens.tokens)?;
        }
        TokenCommand::Revoke { id } => {
            // Its public part, out of the whole one: the secret stays here.
            let id = match id.strip_prefix("bskt_") {
                Some(rest) => rest.split('_').next().unwrap_or_default(),
                None => id,
            };
            let path = format!("/api/v1/tokens/{}/revoke", segment(id));
            let done: Revoked = client.post(&path, &()).await?;
            println!("token {} is worth nothing any more", printable(&done.id));
        }
    }
    Ok(())
}

fn list(tokens: &[Token]) -> anyhow::Result<()> {
    if tokens.is_empty() {
        println!("there are no tokens");
        return Ok(());
    }
    let now = Timestamp::now();
    let ago = |time: Timestamp| format!("{} ago", duration(now.since(time)));
    let mut rows = vec![row(["ID", "NAME", "SCOPE", "MADE", "LAST USED", "ENDS"])];
    rows.extend(tokens.iter().map(|token| {
        let ends = match (token.revoked, token.expires) {
            (Some(revoked), _) => format!("taken back {}", ago(revoked)),
            (None, Some(expires)) if expires <= now => format!("ended {}", ago(expires)),
            (None, Some(expires)) => format!("in {}", duration(expires.since(now))),
            (None, None) => "never".to_owned(),
        };
        row([
            token.id.as_str(),
            &printable(&token.name),
            token.scope.as_str(),
            &ago(token.created),
            &token.last_used.map_or_else(|| "never".to_owned(), ago),
            &ends,
        ])
    }));
    table(&mut io::stdout().lock(), &rows).context("cannot print")
}

pub(crate) async fn prune(client: &Client, dry_run: bool) -> anyhow::Result<()> {
    let path = format!("/api/v1/prune?dry_run={}", u8::from(dry_run));
    let pruned: Pruned = client.post(&path, &()).await?;
    let verb = if pruned.dry_run {
        "would go"
    } else {
        "are gone"
    };
    let bytes = indicatif::BinaryBytes(pruned.bytes);
    print!(
        "{} builds {verb}, with {bytes} of logs and files",
        pruned.builds
    );
    match pruned.newest {
        Some(newest) => println!("; the last of them was done {newest}"),
        None => println!(),
    }
    Ok(())
}

pub(crate) async fn reload(client: &Client) -> anyhow::Result<()> {
    let done: Reloaded = client.post("/api/v1/reload", &()).await?;
    println!(
        "{}",
        if done.changed {
            "the configuration is used from now on"
        } else {
            "the configuration says what it said before"
        }
    );
    for note in done.notes {
        println!("  {}", printable(&note));
    }
    Ok(())
}

/// A name as one part of a path.
fn segment(name: &str) -> String {
    // As in a query, but for spaces.
    let encoded: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    encoded.replace('+', "%20")
}
