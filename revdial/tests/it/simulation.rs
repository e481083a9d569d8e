//! Both ends without I/O, in virtual time: pick-ups that are late, lost, refused or out of order, dials that give up, control
//! connections that break or fall silent. After every step, what must hold is checked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use revdial::proto::{
    DialFailure, DialId, DialerCore, DialerEvent, DialerId, ListenerCore, PickupFailure, PickupPath,
};
use revdial::{DialerConfig, ListenerConfig};

const KEEP_ALIVE: &[u8] = b"{\"command\":\"keep-alive\"}\n";
/// How long a listener tries to pick up; its shell sees to that.
const PICKUP_LIMIT: Duration = Duration::from_secs(20);
const MAX_STOCK: usize = 3;
const MAX_PICKUPS: usize = 4;

/// One run, as proptest makes it up.
#[derive(Clone, Debug)]
struct Schedule {
    dials: Vec<Dial>,
    network: Network,
    warm: usize,
    /// When the control connection goes silent, without an end.
    dies_at: Option<Duration>,
    seed: u64,
}

#[derive(Clone, Debug)]
struct Dial {
    at: Duration,
    limit: Duration,
    /// The caller gives up after so long.
    patience: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Network {
    /// The longest time a byte of the control connection takes.
    delay: Duration,
    /// The longest time a pick-up takes; the shortest is none, so they overtake each other.
    pickup: Duration,
    /// Of a hundred pick-ups, how many are refused, and how many never come to anything.
    refused: u32,
    lost: u32,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Dial(usize),
    GiveUp(usize),
    ToListener(Vec<u8>),
    ToDialer(Vec<u8>),
    /// The listener's pick-up reaches the coordinator.
    PickedUp(u64),
    PickupEnds {
        failed: bool,
    },
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Connected(u64),
    PickupFailed,
    TimedOut,
    TooMany,
    GivenUp,
}

struct World {
    schedule: Schedule,
    begin: Instant,
    now: Instant,
    dialer: DialerCore<u64>,
    listener: ListenerCore,
    steps: BinaryHeap<Reverse<(Instant, u64, Step)>>,
    count: u64,
    random: u64,
    /// When the last bytes of each direction arrive: streams do not overtake themselves.
    arrivals: [Instant; 2],

    ids: BTreeMap<DialId, usize>,
    waiting: BTreeMap<usize, DialId>,
    outcomes: BTreeMap<usize, (Instant, Outcome)>,
    pickups: u64,
    active: usize,
    failures_said: usize,
    discarded: Vec<u64>,
    last_line_at: Instant,
    heard_at: Instant,
    silent_at: Option<Instant>,
}

impl World {
    fn new(schedule: Schedule) -> Self {
        let now = Instant::now();
        let config = DialerConfig::default()
            .max_stock(MAX_STOCK)
            .max_pending(8)
            .warm(schedule.warm);
        let id = DialerId::from_bytes([9; 16]);
        let mut world = Self {
            begin: now,
            now,
            dialer: DialerCore::new(&PickupPath::default(), &id, config, now),
            listener: ListenerCore::new(&ListenerConfig::default().max_pickups(MAX_PICKUPS), now),
            steps: BinaryHeap::new(),
            count: 0,
            random: schedule.seed,
            arrivals: [now; 2],
            ids: BTreeMap::new(),
            waiting: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            pickups: 0,
            active: 0,
            failures_said: 0,
            discarded: Vec::new(),
            last_line_at: now,
            heard_at: now,
            silent_at: None,
            schedule,
        };
        for (number, dial) in world.schedule.dials.clone().into_iter().enumerate() {
            world.plan(dial.at, Step::Dial(number));
        }
        world.settle();
        world
    }

    fn random(&mut self, below: u64) -> u64 {
        // A linear congruential generator (Knuth's MMIX): any schedule is as good as another.
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below.max(1)
    }

    fn random_time(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_millis()).unwrap();
        Duration::from_millis(self.random(most + 1))
    }

    fn plan(&mut self, after: Duration, step: Step) {
        self.plan_at(self.now + after, step);
    }

    fn plan_at(&mut self, at: Instant, step: Step) {
        self.count += 1;
        self.steps.push(Reverse((at, self.count, step)));
    }

    fn is_dead(&self) -> bool {
        self.schedule
            .dies_at
            .is_some_and(|at| self.now >= self.begin + at)
    }

    /// Sends bytes over the control connection, in pieces.
    fn send(&mut self, bytes: &[u8], direction: usize) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_dead() {
            let len = 1 + usize::try_from(self.random(rest.len() as u64)).unwrap();
            let (piece, behind) = rest.split_at(len);
            rest = behind;
            let at = self.now + self.random_time(self.schedule.network.delay);
            let at = at.max(self.arrivals[direction]);
            self.arrivals[direction] = at;
            let piece = piece.to_vec();
            self.plan_at(
                at,
                if direction == 0 {
                    Step::ToListener(piece)
                } else {
                    Step::ToDialer(piece)
                },
            );
        }
    }

    /// Everything that the two want done now.
    fn settle(&mut self) {
        let mut lines = VecDeque::new();
        while let Some(line) = self.dialer.poll_transmit() {
            lines.push_back(line);
        }
        while let Some(line) = lines.pop_front() {
            self.last_line_at = self.now;
            if line != KEEP_ALIVE {
                assert_eq!(
                    lines.front().map(|line| &line[..]),
                    Some(KEEP_ALIVE),
                    "a request without its keep-alive"
                );
            }
            self.send(&line, 0);
        }
        while let Some(event) = self.dialer.poll_event() {
            match event {
                DialerEvent::Connected { dial, conn } => self.ended(dial, Outcome::Connected(conn)),
                DialerEvent::Failed { dial, failure } => {
                    let outcome = match failure {
                        DialFailure::PickupFailed { .. } => Outcome::PickupFailed,
                        _ => Outcome::TimedOut,
                    };
                    self.ended(dial, outcome);
                }
                DialerEvent::Discarded { conn } => self.discarded.push(conn),
                other => panic!("{other:?}"),
            }
        }
        while let Some(_path) = self.listener.poll_pickup() {
            self.active += 1;
            assert!(self.active <= MAX_PICKUPS);
            self.begin_pickup();
        }
        while let Some(line) = self.listener.poll_transmit() {
            self.failures_said += 1;
            self.send(&line, 1);
        }
        assert!(self.dialer.stocked() <= MAX_STOCK.max(self.schedule.warm));
        assert_eq!(self.dialer.pending(), self.waiting.len());
    }

    fn begin_pickup(&mut self) {
        let Network {
            pickup,
            refused,
            lost,
            ..
        } = self.schedule.network;
        let luck = u32::try_from(self.random(100)).unwrap();
        let takes = self.random_time(pickup);
        if luck < refused {
            self.plan(takes, Step::PickupEnds { failed: true });
        } else if luck < refused + lost || self.is_dead() {
            self.plan(PICKUP_LIMIT, Step::PickupEnds { failed: true });
        } else {
            self.pickups += 1;
            self.plan(takes, Step::PickedUp(self.pickups));
            let answer = self.random_time(pickup);
            self.plan(takes + answer, Step::PickupEnds { failed: false });
        }
    }

    fn ended(&mut self, dial: DialId, outcome: Outcome) {
        let number = self.ids[&dial];
        assert!(
            self.waiting.remove(&number).is_some(),
            "dial {number} ended twice"
        );
        assert!(self.outcomes.insert(number, (self.now, outcome)).is_none());
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Dial(number) => {
                let dial = self.schedule.dials[number].clone();
                if let Some(conn) = self.dialer.take_stocked(self.now) {
                    self.outcomes
                        .insert(number, (self.now, Outcome::Connected(conn)));
                    return;
                }
                match self.dialer.dial(self.now, self.now + dial.limit) {
                    Ok(id) => {
                        self.ids.insert(id, number);
                        self.waiting.insert(number, id);
                        if let Some(patience) = dial.patience {
                            self.plan(patience, Step::GiveUp(number));
                        }
                    }
                    Err(_) => {
                        assert_eq!(self.waiting.len(), 8);
                        self.outcomes.insert(number, (self.now, Outcome::TooMany));
                    }
                }
            }
            Step::GiveUp(number) => {
                if let Some(id) = self.waiting.remove(&number) {
                    self.dialer.cancel(id);
                    self.outcomes.insert(number, (self.now, Outcome::GivenUp));
                }
            }
            // What was under way when the connection died is lost.
            Step::ToListener(_) | Step::ToDialer(_) if self.is_dead() => {}
            Step::ToListener(bytes) => {
                self.heard_at = self.now;
                self.listener.receive(&bytes, self.now).unwrap();
            }
            Step::ToDialer(bytes) => self.dialer.receive(&bytes, self.now).unwrap(),
            Step::PickedUp(conn) => self.dialer.picked_up(conn, self.now),
            Step::PickupEnds { failed } => {
                self.active -= 1;
                let error = "refused".to_owned();
                let failure = PickupFailure {
                    conn_path: None,
                    error,
                };
                self.listener
                    .pickup_ended(if failed { Err(failure) } else { Ok(()) });
            }
        }
    }

    /// Runs until `time` has passed.
    fn run(&mut self, time: Duration) {
        let end = self.begin + time;
        while self.now < end {
            let next_step = self.steps.peek().map(|Reverse((at, ..))| *at);
            let listener_due = self
                .listener
                .poll_timeout()
                .filter(|_| self.silent_at.is_none());
            let due = [
                next_step,
                Some(self.dialer.poll_timeout()),
                listener_due,
                Some(end),
            ];
            let next = due.into_iter().flatten().min().unwrap();
            assert!(next >= self.now, "time goes on");
            self.now = next;
            if next_step.is_some_and(|at| at <= next)
                && let Some(Reverse((_, _, step))) = self.steps.pop()
            {
                self.step(step);
            }
            if self.dialer.poll_timeout() <= self.now {
                self.dialer.handle_timeout(self.now);
                assert!(
                    self.dialer.poll_timeout() > self.now,
                    "a timeout that was handled is over"
                );
            }
            if self.silent_at.is_none() && self.listener.handle_timeout(self.now).is_err() {
                self.silent_at = Some(self.now);
            }
            self.settle();
            assert!(
                self.now - self.last_line_at <= Duration::from_secs(30),
                "a keep-alive is missing"
            );
        }
    }
}

fn millis(most: u64) -> impl Strategy<Value = Duration> {
    (0..most).prop_map(Duration::from_millis)
}

fn dial() -> impl Strategy<Value = Dial> {
    (
        millis(60_000),
        1_u64..40_000,
        proptest::option::weighted(0.3, millis(20_000)),
    )
        .prop_map(|(at, limit, patience)| Dial {
            at,
            limit: Duration::from_millis(limit),
            patience,
        })
}

fn network() -> impl Strategy<Value = Network> {
    (millis(3000), millis(8000), 0_u32..40, 0_u32..40).prop_map(|(delay, pickup, refused, lost)| {
        Network {
            delay,
            pickup,
            refused,
            lost,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// However the network behaves: every dial ends once and in time, and no connection is lost or given out twice.
    #[test]
    fn every_dial_ends_and_every_connection_has_one_owner(
        dials in proptest::collection::vec(dial(), 0..30),
        network in network(),
        warm in 0_usize..4,
        dies_at in proptest::option::weighted(0.3, millis(60_000)),
        seed in any::<u64>(),
    ) {
        let mut world = World::new(Schedule { dials: dials.clone(), network, warm, dies_at, seed });
        world.run(Duration::from_secs(300));

        prop_assert_eq!(world.outcomes.len(), dials.len());
        let mut given: Vec<u64> = world.discarded.clone();
        let mut failed = 0;
        for (number, (at, outcome)) in &world.outcomes {
            let dial = &dials[*number];
            let took = *at - (world.begin + dial.at);
            prop_assert!(took <= dial.limit, "dial {} took {:?}", number, took);
            match outcome {
                Outcome::Connected(conn) => given.push(*conn),
                Outcome::TimedOut => prop_assert_eq!(took, dial.limit),
                Outcome::PickupFailed => failed += 1,
                Outcome::TooMany | Outcome::GivenUp => {}
            }
        }
        prop_assert!(failed <= world.failures_said);
        while let Some(conn) = world.dialer.take_stocked(world.now) {
            given.push(conn);
        }
        // Those that are on their way still were asked for by the warm stock.
        let mut arrived: Vec<u64> = (1..=world.pickups).collect();
        for Reverse((_, _, step)) in &world.steps {
            if let Step::PickedUp(conn) = step {
                arrived.retain(|arrived| arrived != conn);
            }
        }
        given.sort_unstable();
        prop_assert_eq!(given, arrived);
        // A coordinator that died without a word is noticed in time, and one that lives is never given up.
        match dies_at {
            Some(_) => prop_assert_eq!(world.silent_at, Some(world.heard_at + Duration::from_secs(100))),
            None => prop_assert_eq!(world.silent_at, None),
        }
    }

    /// On a network that loses and refuses nothing, no dial fails that has the time.
    #[test]
    fn on_a_good_network_every_patient_dial_succeeds(
        times in proptest::collection::vec(millis(60_000), 0..8),
        delay in millis(2000),
        pickup in millis(2000),
        warm in 0_usize..3,
        seed in any::<u64>(),
    ) {
        let limit = Duration::from_secs(60);
        let dials = times.iter().map(|&at| Dial { at, limit, patience: None }).collect();
        let network = Network { delay, pickup, refused: 0, lost: 0 };
        let mut world = World::new(Schedule { dials, network, warm, dies_at: None, seed });
        world.run(Duration::from_secs(120));
        for (number, (_, outcome)) in &world.outcomes {
            prop_assert!(matches!(outcome, Outcome::Connected(_)), "dial {}: {:?}", number, outcome);
        }
        prop_assert_eq!(world.outcomes.len(), times.len());
    }

    /// Whatever the bytes: the events do not depend on how they were cut.
    #[test]
    fn both_ends_understand_the_same_however_the_bytes_are_cut(
        lines in proptest::collection::vec(prop_oneof![
            Just("{\"command\":\"keep-alive\"}\n".to_owned()),
            "\\{\"command\":\"conn-ready\",\"connPath\":\"/?[a-z%]{0,5}\"\\}\n",
            "\\{\"command\":\"pickup-failed\",\"err\":\"[a-z]{0,5}\"\\}\n",
            "[{}\"a-z\n]{0,9}",
        ], 0..12),
        cuts in proptest::collection::vec(1_usize..60, 0..60),
    ) {
        let stream = lines.concat().into_bytes();
        let whole = (dialer_of(&stream, &[]), listener_of(&stream, &[]));
        prop_assert_eq!((dialer_of(&stream, &cuts), listener_of(&stream, &cuts)), whole);
    }
}

fn pieces<'a>(stream: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = stream;
    let mut cuts = cuts.iter().copied().chain(std::iter::repeat(usize::MAX));
    std::iter::from_fn(move || {
        let len = cuts.next()?.min(rest.len());
        let (piece, behind) = rest.split_at(len);
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

/// What a dialer with three dials makes of a stream.
fn dialer_of(stream: &[u8], cuts: &[usize]) -> (Vec<DialerEvent<()>>, bool) {
    let now = Instant::now();
    let id = DialerId::from_bytes([9; 16]);
    let mut core = DialerCore::new(&PickupPath::default(), &id, DialerConfig::default(), now);
    for _ in 0..3 {
        core.dial(now, now + Duration::from_secs(1)).unwrap();
    }
    let failed = pieces(stream, cuts).any(|piece| core.receive(piece, now).is_err());
    (std::iter::from_fn(|| core.poll_event()).collect(), failed)
}

/// What a listener makes of a stream: pick-ups, lines, and whether it failed.
fn listener_of(stream: &[u8], cuts: &[usize]) -> (Vec<String>, Vec<bytes::Bytes>, bool) {
    let now = Instant::now();
    let mut core = ListenerCore::new(&ListenerConfig::default(), now);
    let failed = pieces(stream, cuts).any(|piece| core.receive(piece, now).is_err());
    let pickups = std::iter::from_fn(|| core.poll_pickup())
        .map(|path| path.to_string())
        .collect();
    (
        pickups,
        std::iter::from_fn(|| core.poll_transmit()).collect(),
        failed,
    )
}
