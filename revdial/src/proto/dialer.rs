use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{ControlError, DialerId, LineDecoder, Message, PickupPath};
use crate::DialerConfig;

/// How long a pick-up that was asked for is counted on: a listener has 20 s for one, and lines take time, too.
const PICKUP_LIMIT: Duration = Duration::from_secs(30);
/// How many of the pick-ups that were asked for are counted at most.
const MAX_IN_FLIGHT: usize = 1024;
/// How soon the warm stock is filled up again after a pick-up failed, at first and at most.
const REFILL_DELAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The coordinator's end of a control connection: who waits for a connection, who gets which, what to tell the listener.
///
/// `C` is a connection; the core only passes it on. After every call that changes something, do what
/// [`poll_event`](Self::poll_event) and [`poll_transmit`](Self::poll_transmit) say until they are empty, and call
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) has come.
///
/// A dial asks for one pick-up, and any pick-up serves any dial. One that comes when nobody waits is stocked, for
/// [`DialerConfig::stock_age`]. A `pickup-failed` does not say whose it is. If as many pick-ups are on their way still as dials wait, it
/// belongs to a dial that gave up, and is forgotten. Otherwise it ends the oldest dial; but if a connection was picked up not long ago, the
/// failure may be that one's, whose `101` the listener never saw: then that dial asks once more, and the next failure ends it.
pub struct DialerCore<C> {
    config: DialerConfig,
    conn_ready: Bytes,
    lines: LineDecoder,
    failed: Option<ControlError>,

    waiting: VecDeque<Waiting>,
    next_dial: u64,
    stock: VecDeque<Stocked<C>>,
    /// Until when each pick-up that was asked for is counted on.
    in_flight: VecDeque<Instant>,
    /// Until when a failure may be that of a connection which did come.
    doubt_until: Option<Instant>,
    refill: Refill,

    /// Requests for pick-ups that are still to be sent.
    unsent: usize,
    keep_alive_unsent: bool,
    keep_alive_at: Instant,
    events: VecDeque<DialerEvent<C>>,
}

/// Names one dial of a [`DialerCore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialId(u64);

/// What a [`DialerCore`] wants done.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialerEvent<C> {
    /// A dial has its connection.
    Connected {
        /// Which.
        dial: DialId,
        /// Its connection.
        conn: C,
    },
    /// A dial is over without a connection.
    Failed {
        /// Which.
        dial: DialId,
        /// Why.
        failure: DialFailure,
    },
    /// Nobody wants this connection: close it.
    Discarded {
        /// Which.
        conn: C,
    },
}

/// Why a dial failed while its control connection lives on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialFailure {
    /// The listener says why it could not connect.
    PickupFailed {
        /// Its words.
        error: String,
    },
    /// No connection came in time.
    TimedOut,
}

/// As many dials wait as [`DialerConfig::max_pending`] allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyDials;

struct Waiting {
    dial: DialId,
    deadline: Instant,
    /// A failure that may have been another's was passed over.
    asked_again: bool,
}

struct Stocked<C> {
    conn: C,
    expires: Instant,
}

/// When the warm stock may be filled up.
enum Refill {
    Now,
    /// A pick-up failed: not before `at`; and `delay` was waited for.
    After {
        at: Instant,
        delay: Duration,
    },
}

impl<C> DialerCore<C> {
    /// A dialer whose listener has just registered. It begins with a keep-alive, as Go's does.
    #[must_use]
    pub fn new(path: &PickupPath, id: &DialerId, config: DialerConfig, now: Instant) -> Self {
        let conn_ready = Message::ConnReady {
            conn_path: path.for_dialer(id).to_string(),
        };
        let mut core = Self {
            keep_alive_at: now + config.keep_alive,
            config,
            conn_ready: conn_ready.encode(),
            lines: LineDecoder::default(),
            failed: None,
            waiting: VecDeque::new(),
            next_dial: 0,
            stock: VecDeque::new(),
            in_flight: VecDeque::new(),
            doubt_until: None,
            refill: Refill::Now,
            unsent: 0,
            keep_alive_unsent: true,
            events: VecDeque::new(),
        };
        core.refill(now);
        core
    }

    /// Takes the stocked connection that came last, if there is one; a dial then costs no round trip.
    ///
    /// The last one: it is the likeliest to be alive.
    pub fn take_stocked(&mut self, now: Instant) -> Option<C> {
        self.drop_stale(now);
        let stocked = self.stock.pop_back()?;
        self.refill(now);
        Some(stocked.conn)
    }

    /// Asks for a connection, whose coming or failing will be an event, the latter at `deadline` at the latest.
    ///
    /// Does not look at the stock: see [`take_stocked`](Self::take_stocked).
    ///
    /// # Errors
    ///
    /// [`TooManyDials`]; nothing is sent then.
    pub fn dial(&mut self, now: Instant, deadline: Instant) -> Result<DialId, TooManyDials> {
        if self.waiting.len() >= self.config.max_pending {
            return Err(TooManyDials);
        }
        let dial = DialId(self.next_dial);
        self.next_dial += 1;
        self.waiting.push_back(Waiting {
            dial,
            deadline,
            asked_again: false,
        });
        self.ask(now);
        Ok(dial)
    }

    /// Forgets a dial whose caller gave up; a connection that comes for it goes to the next, or into the stock.
    ///
    /// If the listener was not asked yet it will not be.
    pub fn cancel(&mut self, dial: DialId) {
        let waiting = self.waiting.len();
        self.waiting.retain(|waiting| waiting.dial != dial);
        if self.waiting.len() < waiting && self.unsent > 0 {
            self.unsent -= 1;
            self.in_flight.pop_back();
        }
    }

    /// A connection was picked up.
    pub fn picked_up(&mut self, conn: C, now: Instant) {
        self.in_flight.pop_front();
        self.doubt_until = Some(now + PICKUP_LIMIT);
        self.refill = Refill::Now;
        self.give(conn, now);
        self.refill(now);
    }

    /// A connection comes back unused from a dial whose caller gave up at the last moment.
    pub fn give_back(&mut self, conn: C, now: Instant) {
        self.give(conn, now);
    }

    /// Takes what the listener sent.
    ///
    /// # Errors
    ///
    /// [`ControlError`], from then on at every call: the control connection is to be closed.
    pub fn receive(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), ControlError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        loop {
            match self.lines.next(&mut bytes) {
                Ok(Some(Message::PickupFailed { error, .. })) => self.pickup_failed(error, now),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.failed = Some(error.clone());
                    return Err(error);
                }
            }
        }
    }

    /// Acts on what has become due by `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.keep_alive_at <= now {
            self.keep_alive_unsent = true;
            self.keep_alive_at = now + self.config.keep_alive;
        }
        let late: Vec<_> = self
            .waiting
            .iter()
            .filter(|waiting| waiting.deadline <= now)
            .map(|waiting| waiting.dial)
            .collect();
        for dial in late {
            self.cancel(dial);
            let failure = DialFailure::TimedOut;
            self.events.push_back(DialerEvent::Failed { dial, failure });
        }
        while self.in_flight.front().is_some_and(|&until| until <= now) {
            self.in_flight.pop_front();
        }
        self.drop_stale(now);
        self.refill(now);
    }

    /// The session is over: every stocked connection comes back as discarded, and dials that wait are forgotten.
    pub fn close(&mut self) -> Vec<DialId> {
        let Self { stock, events, .. } = self;
        events.extend(
            stock
                .drain(..)
                .map(|Stocked { conn, .. }| DialerEvent::Discarded { conn }),
        );
        self.unsent = 0;
        self.keep_alive_unsent = false;
        self.in_flight.clear();
        self.waiting.drain(..).map(|waiting| waiting.dial).collect()
    }

    /// Bytes to write to the control connection: one line. Every `conn-ready` is followed by a keep-alive, as from Go.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.keep_alive_unsent) {
            return Some(Message::KeepAlive.encode());
        }
        self.unsent = self.unsent.checked_sub(1)?;
        self.keep_alive_unsent = true;
        Some(self.conn_ready.clone())
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something.
    #[must_use]
    pub fn wants_transmit(&self) -> bool {
        self.keep_alive_unsent || self.unsent > 0
    }

    /// What to do next.
    pub fn poll_event(&mut self) -> Option<DialerEvent<C>> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let deadlines = self.waiting.iter().map(|waiting| waiting.deadline);
        let stock = self.stock.front().map(|stocked| stocked.expires);
        let warm = self.config.warm > 0;
        let in_flight = self.in_flight.front().copied().filter(|_| warm);
        let refill = match self.refill {
            Refill::After { at, .. } if warm && self.missing() > 0 => Some(at),
            _ => None,
        };
        deadlines
            .chain(stock)
            .chain(in_flight)
            .chain(refill)
            .fold(self.keep_alive_at, Instant::min)
    }

    /// How many connections are in stock.
    #[must_use]
    pub fn stocked(&self) -> usize {
        self.stock.len()
    }

    /// How many dials wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.waiting.len()
    }

    fn give(&mut self, conn: C, now: Instant) {
        if let Some(Waiting { dial, .. }) = self.waiting.pop_front() {
            self.events.push_back(DialerEvent::Connected { dial, conn });
        } else if self.stock.len() < self.config.max_stock.max(self.config.warm) {
            let expires = now + self.config.stock_age;
            self.stock.push_back(Stocked { conn, expires });
        } else {
            self.events.push_back(DialerEvent::Discarded { conn });
        }
    }

    fn pickup_failed(&mut self, error: String, now: Instant) {
        self.in_flight.pop_front();
        let is_doubtful = self.doubt_until.is_some_and(|until| until > now);
        if self.waiting.len() > self.in_flight.len()
            && let Some(oldest) = self.waiting.front_mut()
        {
            if is_doubtful && !std::mem::replace(&mut oldest.asked_again, true) {
                self.ask(now);
            } else {
                let failure = DialFailure::PickupFailed { error };
                let dial = oldest.dial;
                self.waiting.pop_front();
                self.events.push_back(DialerEvent::Failed { dial, failure });
            }
        }
        let (first, most) = REFILL_DELAY;
        let delay = match self.refill {
            Refill::Now => first,
            // Others that were asked for at the same time fail together: that is one failure.
            Refill::After { at, .. } if at > now => return,
            Refill::After { delay, .. } => most.min(delay * 2),
        };
        self.refill = Refill::After {
            at: now + delay,
            delay,
        };
    }

    fn ask(&mut self, now: Instant) {
        self.unsent += 1;
        if self.in_flight.len() == MAX_IN_FLIGHT {
            self.in_flight.pop_front();
        }
        self.in_flight.push_back(now + PICKUP_LIMIT);
        // The keep-alive that follows counts.
        self.keep_alive_at = now + self.config.keep_alive;
    }

    /// How many connections the warm stock lacks, those not counted that are on their way.
    fn missing(&self) -> usize {
        let wanted = self.config.warm + self.waiting.len();
        wanted.saturating_sub(self.stock.len() + self.in_flight.len())
    }

    fn refill(&mut self, now: Instant) {
        if self.config.warm == 0 || matches!(self.refill, Refill::After { at, .. } if at > now) {
            return;
        }
        for _ in 0..self.missing() {
            self.ask(now);
        }
    }

    fn drop_stale(&mut self, now: Instant) {
        while let Some(Stocked { expires, .. }) = self.stock.front()
            && *expires <= now
        {
            let stale = self
                .stock
                .pop_front()
                .map(|Stocked { conn, .. }| DialerEvent::Discarded { conn });
            self.events.extend(stale);
        }
    }
}

impl<C> fmt::Debug for DialerCore<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DialerCore")
            .field("pending", &self.waiting.len())
            .field("stocked", &self.stock.len())
            .field("in_flight", &self.in_flight.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for DialFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PickupFailed { error } => {
                write!(f, "revdial listener failed to pick up connection: {error}")
            }
            Self::TimedOut => f.write_str("revdial listener did not connect in time"),
        }
    }
}

impl std::error::Error for DialFailure {}

impl fmt::Display for TooManyDials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many dials wait for this listener")
    }
}

impl std::error::Error for TooManyDials {}
