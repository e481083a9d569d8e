use std::time::Duration;

use serde::Serialize;

/// What happened since a pool was made: counters that only grow, for a program to export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Metrics {
    /// Machines that registered, the ones that came back included.
    pub registered: u64,
    /// Registrations that were refused, for whatever reason.
    pub refused: u64,
    /// Of these, because their key was wrong.
    pub refused_key: u64,
    /// Of these, because a machine of that name is there and lives.
    pub refused_duplicate: u64,
    /// Machines that registered, and were sent away because they did not answer, were too old, or could not be cleaned.
    pub rejected: u64,
    /// Machines that left by themselves or were lost, those with a lease included.
    pub disconnected: u64,
    /// Machines that the pool let go because they did not answer while idle.
    pub unhealthy: u64,
    /// Leases given out.
    pub leases: u64,
    /// Leases that ended as [`Verdict::Healthy`](crate::Verdict::Healthy).
    pub ended_healthy: u64,
    /// Leases that ended as [`Verdict::Suspect`](crate::Verdict::Suspect).
    pub ended_suspect: u64,
    /// Leases that ended as [`Verdict::Unknown`](crate::Verdict::Unknown), those of holders that vanished included.
    pub ended_unknown: u64,
    /// Leases that were lost, those that expired included.
    pub lost: u64,
    /// Leases that expired.
    pub expired: u64,
    /// Times a machine was put in quarantine.
    pub quarantined: u64,
    /// Leases to a machine that was in quarantine before, to see whether it works again.
    pub trials: u64,
    /// Requests that waited in the queue and got a machine.
    pub waited: u64,
    /// How long these waited, together.
    pub wait_time: Duration,
    /// Of the leases, those to machines that [came back](crate#machines-that-come-back).
    pub reclaimed: u64,
    /// Requests that gave up, or were turned away.
    pub gave_up: u64,
}
