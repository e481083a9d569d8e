use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::{HostType, Machine, Metrics};

/// What a pool has, at one moment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PoolStatus {
    /// Where its machines come from: see [`description`](crate::BuildletPool::description).
    pub description: String,
    /// By type: those that have machines, that are waited for, or of which machines are expected.
    pub host_types: BTreeMap<HostType, HostTypeStatus>,
    /// Machines that were here and are not any more, the last seen first; the newest 1,000 of them.
    pub absent: Vec<AbsentMachine>,
    /// What happened so far.
    pub metrics: Metrics,
    /// Nothing is given out any more.
    pub closed: bool,
}

/// The machines of a type.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct HostTypeStatus {
    /// How many machines there should be, if somebody said so; else 0.
    pub expected: usize,
    /// How many requests wait.
    pub waiting: usize,
    /// The machines that are here, by name, and the one that came first before others of its name.
    pub machines: Vec<MachineStatus>,
}

/// A machine that is here.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct MachineStatus {
    /// Which.
    #[serde(flatten, serialize_with = "machine")]
    pub machine: Arc<Machine>,
    /// What it is doing.
    pub state: MachineState,
    /// How long it has been doing that.
    #[serde(rename = "state_seconds", serialize_with = "seconds")]
    pub state_for: Duration,
    /// How long it has been here.
    #[serde(rename = "connected_seconds", serialize_with = "seconds")]
    pub connected_for: Duration,
    /// How long ago it answered.
    #[serde(rename = "seen_seconds", serialize_with = "seconds")]
    pub seen_before: Duration,
    /// Leases since it came.
    pub leases: u64,
    /// Who has it, in their own words; empty if nobody.
    pub holder: String,
    /// Taken out of service by an operator.
    pub drained: bool,
    /// Failures in a row that no build is guilty of, over all its stays.
    pub failures: u32,
    /// The last of these failures; empty if there is none.
    pub last_failure: String,
}

/// What a machine is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MachineState {
    /// It came just now, and is asked who it is and cleaned.
    Checking,
    /// It came back with commands that it had kept, and waits for who [claims](crate::BuildletPool::reclaim) them; then they are killed.
    Held,
    /// It can be leased.
    Idle,
    /// Somebody has it.
    Busy,
    /// It was given back and is cleaned.
    Cleaning,
    /// It is well, and given to nobody for some time, because its builds kept failing for no fault of theirs.
    Quarantined,
    /// It is told to go.
    Leaving,
}

/// A machine that was here.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AbsentMachine {
    /// What it is.
    pub host_type: HostType,
    /// Its name.
    #[serde(serialize_with = "text")]
    pub host_name: Arc<str>,
    /// How long ago it was here.
    #[serde(rename = "seen_seconds", serialize_with = "seconds")]
    pub seen_before: Duration,
    /// Why it went.
    pub reason: String,
}

impl PoolStatus {
    /// The JSON document that upstream's coordinator serves at `/status/reverse.json`, which monitoring and the tools of Mac fleets read.
    ///
    /// `Busy` counts all that is connected and not idle, so that `Idle` and `Busy` make up `Connected`. Of machines with one
    /// name it shows the one that came last. Indented by tabs, as there.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "numbers and texts can be written to memory"
    )]
    pub fn reverse_json(&self) -> String {
        let host_types = self
            .host_types
            .iter()
            .map(|(name, status)| (name, ReverseHostType::new(name, status)))
            .collect();
        let document = ReverseStatus { host_types };
        let mut json = Vec::new();
        let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut json, tabs);
        document
            .serialize(&mut serializer)
            .expect("numbers and texts can be written to memory");
        String::from_utf8(json).expect("JSON is UTF-8")
    }

    /// Every machine that is here.
    pub fn machines(&self) -> impl Iterator<Item = &MachineStatus> {
        self.host_types.values().flat_map(|status| &status.machines)
    }
}

impl HostTypeStatus {
    /// How many machines are in this state.
    #[must_use]
    pub fn count(&self, state: MachineState) -> usize {
        let in_state = self.machines.iter().filter(|one| one.state == state);
        in_state.count()
    }

    /// How many machines can be leased.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.machines.iter().filter(|one| one.is_idle()).count()
    }
}

impl MachineStatus {
    /// Whether it can be leased.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.state == MachineState::Idle && !self.drained
    }
}

/// `ReverseBuilderStatus` of upstream's package `types`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ReverseStatus<'a> {
    host_types: BTreeMap<&'a HostType, ReverseHostType<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ReverseHostType<'a> {
    host_type: &'a HostType,
    connected: usize,
    expect: usize,
    idle: usize,
    busy: usize,
    waiters: usize,
    /// Upstream's map is nil as long as there is no machine.
    machines: Option<BTreeMap<&'a str, ReverseMachine<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ReverseMachine<'a> {
    name: &'a str,
    host_type: &'a HostType,
    connected_sec: f64,
    #[serde(skip_serializing_if = "is_zero")]
    idle_sec: f64,
    #[serde(skip_serializing_if = "is_zero")]
    busy_sec: f64,
    version: &'a str,
    busy: bool,
}

impl<'a> ReverseHostType<'a> {
    fn new(host_type: &'a HostType, status: &'a HostTypeStatus) -> Self {
        let connected = status.machines.len();
        let idle = status.idle();
        let machines = status.machines.iter().map(|status| {
            let machine = &*status.machine;
            let busy = !status.is_idle();
            let lasts = status.state_for.as_secs_f64();
            let one = ReverseMachine {
                name: &machine.host_name,
                host_type,
                connected_sec: status.connected_for.as_secs_f64(),
                idle_sec: if busy { 0.0 } else { lasts },
                busy_sec: if busy { lasts } else { 0.0 },
                version: &machine.version,
                busy,
            };
            (&*machine.host_name, one)
        });
        Self {
            host_type,
            connected,
            expect: status.expected,
            idle,
            busy: connected - idle,
            waiters: status.waiting,
            machines: (connected > 0).then(|| machines.collect()),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(seconds: &f64) -> bool {
    *seconds == 0.0
}

fn text<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

fn machine<S: Serializer>(machine: &Machine, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Fields<'a> {
        id: crate::MachineId,
        host_type: &'a HostType,
        host_name: &'a str,
        version: &'a str,
        peer: Option<String>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        keeps_commands: bool,
    }
    let Machine {
        id,
        host_type,
        host_name,
        version,
        peer,
        keeps_commands,
    } = machine;
    let fields = Fields {
        id: *id,
        host_type,
        host_name,
        version,
        peer: peer.map(|peer| peer.to_string()),
        keeps_commands: *keeps_commands,
    };
    fields.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use crate::MachineId;

    use super::*;

    fn machine(id: u64, name: &str, state: MachineState) -> MachineStatus {
        let mut machine = Machine::new(MachineId::new(id), "host-x".into(), name);
        machine.version = "29".into();
        MachineStatus {
            machine: Arc::new(machine),
            state,
            state_for: Duration::from_millis(1500),
            connected_for: Duration::from_secs(60),
            seen_before: Duration::ZERO,
            leases: 0,
            holder: String::new(),
            drained: false,
            failures: 0,
            last_failure: String::new(),
        }
    }

    #[test]
    fn the_reverse_status_is_what_upstream_serves() {
        let mut status = PoolStatus::default();
        let x = HostTypeStatus {
            expected: 3,
            waiting: 1,
            machines: vec![
                machine(1, "a", MachineState::Idle),
                machine(2, "b", MachineState::Busy),
            ],
        };
        status.host_types.insert("host-x".into(), x);
        let y = HostTypeStatus {
            expected: 2,
            ..HostTypeStatus::default()
        };
        status.host_types.insert("host-y".into(), y);
        let want = r#"{
	"HostTypes": {
		"host-x": {
			"HostType": "host-x",
			"Connected": 2,
			"Expect": 3,
			"Idle": 1,
			"Busy": 1,
			"Waiters": 1,
			"Machines": {
				"a": {
					"Name": "a",
					"HostType": "host-x",
					"ConnectedSec": 60.0,
					"IdleSec": 1.5,
					"Version": "29",
					"Busy": false
				},
				"b": {
					"Name": "b",
					"HostType": "host-x",
					"ConnectedSec": 60.0,
					"BusySec": 1.5,
					"Version": "29",
					"Busy": true
				}
			}
		},
		"host-y": {
			"HostType": "host-y",
			"Connected": 0,
			"Expect": 2,
			"Idle": 0,
			"Busy": 0,
			"Waiters": 0,
			"Machines": null
		}
	}
}"#;
        assert_eq!(status.reverse_json(), want);
    }

    #[test]
    fn what_is_drained_is_not_idle() {
        let mut one = machine(1, "a", MachineState::Idle);
        one.drained = true;
        let status = HostTypeStatus {
            machines: vec![one],
            ..HostTypeStatus::default()
        };
        assert_eq!(status.idle(), 0);
        assert_eq!(status.count(MachineState::Idle), 1);
    }
}
