//! GitHub's webhooks and Gerrit's mails in, events to wait for out.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Parser;
use program::{ListenArgs, Listening, LogArgs, bind, parse_bool, stop_on_signal};
use pubsubhelper::{
    DnsKeys, HttpConfig, HttpServer, Hub, HubConfig, MailConfig, MailReader, SmtpConfig,
    SmtpServer, WebhookSecret,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The longest file of a stored webhook, in bytes: its body and a good deal of headers.
const MAX_STORED: u64 = (pubsubhelper::MAX_BODY + (64 << 10)) as u64;
/// The longest file of a secret, in bytes.
const MAX_SECRET: usize = 4096;

/// Turns GitHub's webhooks and Gerrit's notification mails into a stream of events that programs wait for.
///
/// Events come in by POST /github-webhook (HTTPS, signed) and by SMTP (mails with a DKIM signature). They go out by GET /waitevent?after=TIME, which
/// answers the first event later than TIME or waits 30 s for one, and by GET /recent.
#[derive(Parser)]
#[command(
    name = "pubsubhelper",
    after_help = "\
Examples:
  pubsubhelper --smtp= --listen-https-selfsigned=:8443 --webhook-secret-file=secret     GitHub alone, to try it
  pubsubhelper --rcpt=bot@events.example.org --listen-http=:80 \\
    --listen-https=:443 --tls-cert=chain.pem --tls-key=key.pem --webhook-secret-file=secret
  curl -k 'https://localhost:8443/waitevent?after=2026-01-01T00:00:00Z'                 the oldest event that is kept

In GitHub's settings, give the webhook the same secret and the content type application/json. In Gerrit, let the bot's account watch the projects;
its mails must come to --rcpt. Behind a proxy that ends TLS, use --listen-http and --trusted-proxy."
)]
struct Args {
    #[command(flatten)]
    log: LogArgs,
    /// The only address that mails are taken for, to the byte
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "gopherbot@pubsubhelper.golang.org"
    )]
    rcpt: String,
    /// Take mails here, under the first --host-name; empty: nowhere
    #[arg(long, value_name = "ADDRESS", default_value = ":25")]
    smtp: String,
    /// The webhook's secret; other users of the machine can see it here
    #[arg(long, value_name = "SECRET", conflicts_with = "webhook_secret_file")]
    webhook_secret: Option<String>,
    /// The file with the webhook's secret; one line end at its end does not count
    #[arg(long, value_name = "FILE")]
    webhook_secret_file: Option<PathBuf>,
    /// Publish this stored webhook at the start: its headers, an empty line, its body to the byte. May be given more than once
    #[arg(long, value_name = "FILE")]
    replay: Vec<PathBuf>,
    /// A proxy that ends TLS: its X-Forwarded-Proto is believed. May be given more than once
    #[arg(long, value_name = "IP")]
    trusted_proxy: Vec<IpAddr>,
    /// Answer webhooks with what became of them (202, 401 ...) in place of 200
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = parse_bool)]
    telling: bool,
    /// A domain whose DKIM signatures count, with those below it. May be given more than once
    #[arg(long, value_name = "DOMAIN", default_value = "google.com")]
    dkim_domain: Vec<String>,
    /// The host that Gerrit's mails come from, in SMTP's MAIL FROM
    #[arg(
        long,
        value_name = "HOST",
        default_value = "gerritcodereview.bounces.google.com"
    )]
    mail_from_host: String,
    /// Refuse mails whose X-Gerrit headers are not signed
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = parse_bool)]
    require_signed_headers: bool,
    /// The folder for events and certificates
    #[arg(long, value_name = "FOLDER", default_value = "pubsubhelper-state")]
    state: PathBuf,
    #[command(flatten)]
    listen: ListenArgs,
}

fn main() -> ExitCode {
    program::run(|args: Args| {
        args.log.start();
        tokio::runtime::Runtime::new()
            .context("cannot start the runtime")?
            .block_on(serve(args))?;
        Ok(ExitCode::SUCCESS)
    })
}

async fn serve(args: Args) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.state).with_context(|| args.state.display().to_string())?;
    let hub = Hub::open(HubConfig::default(), args.state.join("events.jsonl"))?;
    let stop = CancellationToken::new();
    let _signals = stop_on_signal(stop.clone())?;
    let mut servers = JoinSet::new();
    replay(&args, &hub)?;

    if !args.smtp.is_empty() {
        let config = MailConfig::default()
            .domains(args.dkim_domain.clone())
            .sender_host(&args.mail_from_host)
            .require_signed_headers(args.require_signed_headers);
        let reader = MailReader::new(config, DnsKeys::from_system()?)?;
        let server = SmtpServer::new(
            SmtpConfig::new(args.listen.host_name(), &args.rcpt),
            reader,
            hub.clone(),
        );
        servers.spawn(server.serve(bind(&args.smtp, "mails").await?, stop.clone()));
    }
    if !args.listen.is_empty() {
        let config = HttpConfig::default()
            .trusted_proxies(args.trusted_proxy.clone())
            .telling(args.telling)
            .health_path(args.listen.health_path().map(str::to_owned));
        let server = HttpServer::new(hub.clone(), webhook_secret(&args)?, config);
        serve_http(&args, &server, &mut servers, &stop).await?;
    }
    if servers.is_empty() {
        bail!(
            "there is nothing to serve: give --smtp, {}",
            ListenArgs::FLAGS
        );
    }
    while let Some(ended) = servers.join_next().await {
        ended.context("a server has failed")?;
    }
    drop(hub); // writes what is not in the file yet
    Ok(())
}

async fn serve_http(
    args: &Args,
    server: &HttpServer,
    servers: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let Listening {
        listeners,
        certificate,
    } = args.listen.listen(&args.state, &["http/1.1"]).await?;
    if let Some(certificate) = certificate {
        servers.spawn(certificate.keep(stop.clone()));
    }
    for (listener, acceptor) in listeners {
        let (server, stop) = (server.clone(), stop.clone());
        servers.spawn(async move {
            let Some(acceptor) = acceptor else {
                return server.serve(listener, stop).await;
            };
            let handshake = move |tcp| {
                let acceptor = acceptor.clone();
                async move { acceptor.accept(tcp).await }
            };
            server.serve_tls(listener, handshake, stop).await;
        });
    }
    Ok(())
}

/// Publishes all stored webhooks, or none.
fn replay(args: &Args, hub: &Hub) -> anyhow::Result<()> {
    let mut signals = Vec::new();
    for file in &args.replay {
        let stored = std::fs::File::open(file)
            .and_then(|stored| {
                let mut bytes = Vec::new();
                stored.take(MAX_STORED).read_to_end(&mut bytes)?;
                Ok(bytes)
            })
            .with_context(|| file.display().to_string())?;
        let signal = webhook_secret(args)?.read_stored(&stored);
        signals.push(signal.with_context(|| file.display().to_string())?);
    }
    for signal in signals {
        let time = hub.publish(signal);
        tracing::info!("a stored webhook is event {time}");
    }
    Ok(())
}

fn webhook_secret(args: &Args) -> anyhow::Result<WebhookSecret> {
    let secret = match (&args.webhook_secret, &args.webhook_secret_file) {
        (Some(secret), _) => secret.clone().into_bytes(),
        (None, Some(file)) => {
            let mut secret = std::fs::read(file).with_context(|| file.display().to_string())?;
            if secret.ends_with(b"\n") {
                secret.pop();
            }
            if secret.len() > MAX_SECRET {
                bail!("{} is too long for a secret", file.display());
            }
            secret
        }
        (None, None) => bail!("webhooks need a secret: give --webhook-secret-file"),
    };
    Ok(WebhookSecret::new(&secret)?)
}
