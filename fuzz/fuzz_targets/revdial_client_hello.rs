//! Any bytes of a client that wants TLS: accepting neither panics nor waits for more than comes, and without a server name that
//! has a port, rustls alone makes the same of them.

#![no_main]

use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use libfuzzer_sys::fuzz_target;
use revdial::serve_tls::{Acceptor, server_config, tolerant};
use tokio::io::{AsyncRead, ReadBuf, join, sink};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;

static BOTH: LazyLock<(Acceptor, TlsAcceptor)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let provider = tolerant(ring::default_provider());
    let config = Arc::new(server_config(provider, vec![made.cert.der().clone()], key).unwrap());
    (Acceptor::new(config.clone()).unwrap(), config.into())
});

fuzz_target!(|input: (u8, &[u8])| {
    let (size, left) = input;
    let size = usize::from(size).max(1);
    let pieces = || Pieces { left, size };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (ours, rustls) = &*BOTH;
        let ours = ours.accept(join(pieces(), sink())).await.map(drop);
        let rustls = rustls.accept(join(pieces(), sink())).await.map(drop);
        let [ours, rustls] = [ours, rustls].map(|result| {
            result
                .expect_err("it ends within the handshake")
                .to_string()
        });
        assert!(
            ours == rustls || rustls.contains("ServerNameMustContainOneHostName"),
            "{ours}, not {rustls}"
        );
    });
});

/// Gives so many bytes at a time.
struct Pieces<'a> {
    left: &'a [u8],
    size: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = self.size.min(self.left.len()).min(buf.remaining());
        let (piece, left) = self.left.split_at(len);
        buf.put_slice(piece);
        self.left = left;
        Poll::Ready(Ok(()))
    }
}
