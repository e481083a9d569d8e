use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{ConnPath, ControlError, LineDecoder, Message};
use crate::ListenerConfig;

/// How many `pickup-failed` lines wait to be sent; what goes beyond is dropped, as the peer's own deadlines serve.
const MAX_UNSENT: usize = 32;

/// The worker's end of a control connection: which pick-ups to make, and whether the coordinator lives.
///
/// After [`receive`](Self::receive) and [`pickup_ended`](Self::pickup_ended), begin the pick-ups that
/// [`poll_pickup`](Self::poll_pickup) gives, write what [`poll_transmit`](Self::poll_transmit) gives, and call
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) has come.
#[derive(Debug)]
pub struct ListenerCore {
    max_pickups: usize,
    max_queued: usize,
    max_silence: Option<Duration>,
    lines: LineDecoder,
    failed: Option<ControlError>,
    /// Pick-ups that were begun and have not ended.
    active: usize,
    queue: VecDeque<ConnPath>,
    unsent: VecDeque<Bytes>,
    heard_at: Instant,
}

/// What a listener tells its coordinator about a pick-up that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PickupFailure {
    /// What was asked for, unless the error tells.
    pub conn_path: Option<String>,
    /// What went wrong.
    pub error: String,
}

/// The coordinator has said nothing for so long that it must be dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerSilent {
    /// For how long.
    pub silence: Duration,
}

impl ListenerCore {
    /// A listener that has just registered.
    #[must_use]
    pub fn new(config: &ListenerConfig, now: Instant) -> Self {
        Self {
            max_pickups: config.max_pickups,
            max_queued: config.max_queued,
            max_silence: config.max_silence,
            lines: LineDecoder::default(),
            failed: None,
            active: 0,
            queue: VecDeque::new(),
            unsent: VecDeque::new(),
            heard_at: now,
        }
    }

    /// Takes what the coordinator sent.
    ///
    /// # Errors
    ///
    /// [`ControlError`], from then on at every call: the control connection is to be closed.
    pub fn receive(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), ControlError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.heard_at = now;
        loop {
            match self.lines.next(&mut bytes) {
                Ok(Some(Message::ConnReady { conn_path })) => self.conn_ready(conn_path),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.failed = Some(error.clone());
                    return Err(error);
                }
            }
        }
    }

    /// A pick-up to begin now. Its end must be [told](Self::pickup_ended).
    pub fn poll_pickup(&mut self) -> Option<ConnPath> {
        if self.active >= self.max_pickups {
            return None;
        }
        let path = self.queue.pop_front()?;
        self.active += 1;
        Some(path)
    }

    /// A pick-up has ended, well or not.
    pub fn pickup_ended(&mut self, result: Result<(), PickupFailure>) {
        self.active = self.active.saturating_sub(1);
        if let Err(failure) = result {
            self.report(failure);
        }
    }

    /// Bytes to write to the control connection: one line.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.unsent.pop_front()
    }

    /// Acts on the time.
    ///
    /// # Errors
    ///
    /// [`PeerSilent`]: the control connection is to be given up.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), PeerSilent> {
        match self.max_silence {
            Some(silence) if now >= self.heard_at + silence => Err(PeerSilent { silence }),
            _ => Ok(()),
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` if silence is no reason to give up.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.max_silence.map(|silence| self.heard_at + silence)
    }

    fn conn_ready(&mut self, conn_path: String) {
        let error = match ConnPath::parse(&conn_path) {
            Ok(path) if self.queue.len() < self.max_queued => {
                self.queue.push_back(path);
                return;
            }
            Ok(_) => "too many pick-ups at once".to_owned(),
            Err(error) => error.to_string(),
        };
        self.report(PickupFailure {
            conn_path: Some(conn_path),
            error,
        });
    }

    fn report(&mut self, PickupFailure { conn_path, error }: PickupFailure) {
        if self.unsent.len() < MAX_UNSENT {
            self.unsent
                .push_back(Message::PickupFailed { conn_path, error }.encode());
        }
    }
}

impl fmt::Display for PeerSilent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the coordinator has been silent for {:?}", self.silence)
    }
}

impl std::error::Error for PeerSilent {}
