//! Serves the log in a folder to those who follow it, until it is interrupted.
//!
//! ```sh
//! cargo run -p maintner --release --features serve --example serve_folder LOG-FOLDER [ADDRESS]
//! ```

use std::error::Error;

use maintner::serve::{LogServer, ServeConfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args
        .next()
        .ok_or("usage: serve_folder LOG-FOLDER [ADDRESS]")?;
    let address = args.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let log = LogServer::open(folder, ServeConfig::default())?;
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/logs", listener.local_addr()?);
    let stop = CancellationToken::new();
    let serving = tokio::spawn(log.serve(listener, stop.clone()));
    tokio::signal::ctrl_c().await?;
    stop.cancel();
    Ok(serving.await?)
}
