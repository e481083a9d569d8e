//! A crypto provider whose transcript hash is over the `ClientHello` as the client sent it.

use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use rustls::{CipherSuiteCommon, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite};
use tokio_rustls::rustls;

use super::hello;

/// `provider` with the same algorithms, for the configuration of an [`Acceptor`](super::Acceptor).
///
/// Only the transcript of handshakes differs from the provider's own, and only for those that an `Acceptor` has changed: a
/// [`ServerConfig`](rustls::ServerConfig) made with it serves an ordinary [`tokio_rustls::TlsAcceptor`] too.
///
/// rustls wants cipher suites that live for ever, so each call leaks about a kilobyte: call it once.
#[must_use]
pub fn tolerant(mut provider: CryptoProvider) -> CryptoProvider {
    for suite in &mut provider.cipher_suites {
        *suite = match *suite {
            SupportedCipherSuite::Tls13(suite) => {
                SupportedCipherSuite::Tls13(leak(Tls13CipherSuite {
                    common: common(&suite.common),
                    ..*suite
                }))
            }
            SupportedCipherSuite::Tls12(suite) => {
                SupportedCipherSuite::Tls12(leak(Tls12CipherSuite {
                    common: common(&suite.common),
                    ..*suite
                }))
            }
        };
    }
    provider
}

/// Whether `provider` came from [`tolerant`].
pub(super) fn is_tolerant(provider: &CryptoProvider) -> bool {
    let (hidden, revealed) = hello::sample();
    provider.cipher_suites.iter().all(|suite| {
        let hash = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
            SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
        };
        let transcript = |message: &[u8]| {
            let mut context = hash.start();
            context.update(message);
            context.finish()
        };
        transcript(&hidden).as_ref() == transcript(&revealed).as_ref()
    })
}

fn common(of: &CipherSuiteCommon) -> CipherSuiteCommon {
    CipherSuiteCommon {
        hash_provider: leak(TranscriptHash(of.hash_provider)),
        ..*of
    }
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// Hashes what `hide` hid as it was before.
struct TranscriptHash(&'static dyn Hash);

impl Hash for TranscriptHash {
    fn start(&self) -> Box<dyn Context> {
        Box::new(Transcript(self.0.start()))
    }

    /// Of no transcript: rustls hashes those piece by piece.
    fn hash(&self, data: &[u8]) -> Output {
        self.0.hash(data)
    }

    fn output_len(&self) -> usize {
        self.0.output_len()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.0.algorithm()
    }
}

struct Transcript(Box<dyn Context>);

impl Context for Transcript {
    fn fork_finish(&self) -> Output {
        self.0.fork_finish()
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Self(self.0.fork()))
    }

    fn finish(self: Box<Self>) -> Output {
        self.0.finish()
    }

    /// rustls adds a `ClientHello` by itself, whole or without its binders; were it ever to cut it otherwise, the hashes would
    /// differ from the client's and the handshake fail.
    fn update(&mut self, data: &[u8]) {
        match hello::reveal(data) {
            Some(revealed) => self.0.update(&revealed),
            None => self.0.update(data),
        }
    }
}
