//! The `sftp` subsystem: version 3 of the protocol, as OpenSSH speaks it, confined to the work directory.
//!
//! Sources: draft-ietf-secsh-filexfer-02, and the file `PROTOCOL` of OpenSSH for what it adds and swaps.

mod files;
mod wire;

use std::io;
use std::path::Path;
use std::thread;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use crate::ssh::input;
use crate::ssh::session::{Exit, Output};
use files::Files;
use wire::Framer;

/// Requests and replies on their way to and from the thread, each of at most 256 KiB. Clients keep 64 requests under way; the
/// others wait in the channel's input.
const QUEUE: usize = 4;

/// Serves one client until it ends its input or breaks the protocol.
pub(crate) async fn run(
    workdir: &Path,
    input: input::Receiver,
    output: &Output,
) -> io::Result<Exit> {
    let workdir = workdir.to_owned();
    let files = tokio::task::spawn_blocking(move || Files::open(&workdir))
        .await
        .map_err(io::Error::other)??;
    let (requests, for_thread) = mpsc::channel(QUEUE);
    let (from_thread, replies) = mpsc::channel(QUEUE);
    // File operations block. The thread ends with the first of its channels, so with this future, after at most one of them.
    thread::Builder::new()
        .name("sftp".to_owned())
        .spawn(move || serve(files, for_thread, &from_thread))?;
    let (sound, ()) = tokio::join!(feed(input, requests), answer(replies, output));
    Ok(Exit::Status(u32::from(!sound)))
}

fn serve(
    mut files: Files,
    mut requests: mpsc::Receiver<BytesMut>,
    replies: &mpsc::Sender<Vec<u8>>,
) {
    while let Some(request) = requests.blocking_recv() {
        let Some(reply) = files.answer(&request) else {
            return;
        };
        if replies.blocking_send(reply).is_err() {
            return;
        }
    }
}

/// Cuts the input into packets. `false` if it is no such input.
async fn feed(mut input: input::Receiver, requests: mpsc::Sender<BytesMut>) -> bool {
    let mut framer = Framer::default();
    while let Some(piece) = input.next().await {
        framer.push(&piece);
        loop {
            match framer.next() {
                Ok(Some(packet)) => {
                    if requests.send(packet).await.is_err() {
                        return false;
                    }
                }
                Ok(None) => break,
                Err(wire::Malformed) => return false,
            }
        }
    }
    framer.is_empty()
}

async fn answer(mut replies: mpsc::Receiver<Vec<u8>>, output: &Output) {
    while let Some(reply) = replies.recv().await {
        if output.send(None, Bytes::from(reply)).await.is_err() {
            return;
        }
    }
}
