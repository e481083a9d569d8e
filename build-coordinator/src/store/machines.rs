use serde::{Deserialize, Serialize};

use super::database::sql;
use super::row::{Row, corrupt};
use super::store::check_name;
use super::writer::{Tx, Write};
use super::{Store, StoreError};
use crate::model::{
    AttemptId, BuildKey, Cause, MAX_MESSAGE, MAX_NAME, Machine, MachineChange, MachineEvent,
    Timestamp, clean,
};

/// An attempt as a machine's page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MachineAttempt {
    /// Which.
    pub attempt: AttemptId,
    /// What was built.
    #[serde(flatten)]
    pub key: BuildKey,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Why it ended.
    pub cause: Option<Cause>,
}

/// A machine that gets nothing new, whether it is here or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DrainedMachine {
    /// Its name.
    pub name: String,
    /// Since when.
    pub since: Timestamp,
    /// Who said so, for people.
    pub by: String,
}

/// Names that can be drained at a time: more than there are machines.
const MAX_DRAINED: usize = 10_000;

impl Store {
    /// Stores that something happened to a machine.
    ///
    /// # Errors
    ///
    /// [`StoreError::Name`], or the database's.
    pub async fn record_machine(
        &self,
        at: Timestamp,
        name: &str,
        host_type: &str,
        mut change: MachineChange,
    ) -> Result<(), StoreError> {
        check_name("name of the machine", name)?;
        check_name("host type", host_type)?;
        match &mut change {
            MachineChange::Connected { description: text }
            | MachineChange::Lost { reason: text }
            | MachineChange::Quarantined { reason: text, .. }
            | MachineChange::Released { reason: text }
            | MachineChange::Drained { by: text } => clean(text, MAX_MESSAGE),
        }
        self.write(RecordMachine {
            at,
            name: name.to_owned(),
            host_type: host_type.to_owned(),
            change,
        })
        .await
    }

    /// Every machine that ever came, by host type and name; at most 10,000.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn machines(&self) -> Result<Vec<Machine>, StoreError> {
        let select = sql(
            "SELECT name, host_type, first_seen, last_change, change FROM machines \
             ORDER BY host_type, name LIMIT 10000",
        );
        let mut snapshot = self.readers().snapshot().await?;
        let rows = snapshot.session().rows(select).await?;
        let machine_of = |row: &Row| {
            Ok(Machine {
                name: row.text(0)?,
                host_type: row.text(1)?,
                first_seen: row.time(2)?,
                last_change: row.time(3)?,
                change: change_of(row.text(4)?)?,
            })
        };
        rows.iter().map(machine_of).collect()
    }

    /// What happened to a machine, newest first, at most `limit` events (cut to 1000).
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn machine_events(
        &self,
        name: &str,
        host_type: &str,
        limit: u32,
    ) -> Result<Vec<MachineEvent>, StoreError> {
        let select = sql(
            "SELECT at, change FROM machine_events WHERE name = $1 AND host_type = $2 ORDER BY seq DESC LIMIT $3",
        );
        let select = select.bind(name).bind(host_type).bind(limit.min(1000));
        let mut snapshot = self.readers().snapshot().await?;
        let rows = snapshot.session().rows(select).await?;
        let event_of = |row: &Row| {
            Ok(MachineEvent {
                at: row.time(0)?,
                change: change_of(row.text(1)?)?,
            })
        };
        rows.iter().map(event_of).collect()
    }

    /// Stores that machines of this name get nothing new, or that they do again; whether that changes anything.
    ///
    /// # Errors
    ///
    /// [`StoreError::Name`]; [`StoreError::TooLarge`] when 10,000 names are drained already; or the database's.
    pub async fn set_drained(
        &self,
        at: Timestamp,
        name: &str,
        drained: bool,
        by: &str,
    ) -> Result<bool, StoreError> {
        check_name("name of the machine", name)?;
        let mut by = by.to_owned();
        clean(&mut by, MAX_NAME);
        self.write(SetDrained {
            at,
            name: name.to_owned(),
            drained,
            by,
        })
        .await
    }

    /// The names of machines that get nothing new, and who said so when; by name.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn drained_machines(&self) -> Result<Vec<DrainedMachine>, StoreError> {
        let select = sql("SELECT name, since, by_whom FROM drained_machines ORDER BY name");
        let mut snapshot = self.readers().snapshot().await?;
        let rows = snapshot.session().rows(select).await?;
        let drained_of = |row: &Row| {
            Ok(DrainedMachine {
                name: row.text(0)?,
                since: row.time(1)?,
                by: row.text(2)?,
            })
        };
        rows.iter().map(drained_of).collect()
    }

    /// The attempts that a machine was given, newest first, at most `limit` (cut to 1000).
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn machine_attempts(
        &self,
        name: &str,
        limit: u32,
    ) -> Result<Vec<MachineAttempt>, StoreError> {
        let select = sql(
            "SELECT attempts.build, attempts.number, builds.repository, builds.revision, builds.builder, builds.base, \
             attempts.started, attempts.ended, attempts.cause \
             FROM attempts JOIN builds ON builds.id = attempts.build \
             WHERE attempts.machine = $1 ORDER BY attempts.started DESC LIMIT $2",
        );
        let select = select.bind(name).bind(limit.min(1000));
        let mut snapshot = self.readers().snapshot().await?;
        let rows = snapshot.session().rows(select).await?;
        let attempt_of = |row: &Row| {
            let base = row.text(5)?;
            Ok(MachineAttempt {
                attempt: row.build(0)?.attempt(row.u32(1, "number of an attempt")?),
                key: BuildKey {
                    repository: row.text(2)?,
                    revision: row.parse(3, "revision")?,
                    builder: row.text(4)?,
                    base: match base.as_str() {
                        "" => None,
                        text => Some(text.parse().map_err(|_| corrupt("revision", text))?),
                    },
                },
                started: row.time(6)?,
                ended: row.opt_time(7)?,
                cause: row.opt_parse(8, "cause")?,
            })
        };
        rows.iter().map(attempt_of).collect()
    }
}

fn change_of(json: String) -> Result<MachineChange, StoreError> {
    serde_json::from_str(&json).map_err(|_| corrupt("change of a machine", json))
}

struct RecordMachine {
    at: Timestamp,
    name: String,
    host_type: String,
    change: MachineChange,
}

impl Write for RecordMachine {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let change = serde_json::to_string(&self.change)
            .map_err(|error| StoreError::Database(error.into()))?;
        for text in [
            "INSERT INTO machine_events (name, host_type, at, change) VALUES ($1, $2, $3, $4)",
            "INSERT INTO machines (name, host_type, first_seen, last_change, change) VALUES ($1, $2, $3, $3, $4) \
             ON CONFLICT (name, host_type) DO UPDATE SET last_change = excluded.last_change, change = excluded.change",
        ] {
            let insert = sql(text)
                .bind(self.name.as_str())
                .bind(self.host_type.as_str())
                .bind(self.at)
                .bind(change.as_str());
            tx.session.run(insert).await?;
        }
        Ok(())
    }
}

struct SetDrained {
    at: Timestamp,
    name: String,
    drained: bool,
    by: String,
}

impl Write for SetDrained {
    type Answer = bool;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let session = &mut tx.session;
        if !self.drained {
            let delete = sql("DELETE FROM drained_machines WHERE name = $1 RETURNING name");
            return Ok(session
                .row(delete.bind(self.name.as_str()))
                .await?
                .is_some());
        }
        let count = session
            .row(sql("SELECT count(*) FROM drained_machines"))
            .await?;
        let count = count.map_or(Ok(0), |row| row.u64(0, "number of drained machines"))?;
        let size = usize::try_from(count).unwrap_or(usize::MAX);
        if size >= MAX_DRAINED {
            return Err(StoreError::TooLarge {
                what: "list of drained machines",
                size,
                limit: MAX_DRAINED,
            });
        }
        let insert = sql(
            "INSERT INTO drained_machines (name, since, by_whom) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO NOTHING RETURNING name",
        );
        let insert = insert
            .bind(self.name.as_str())
            .bind(self.at)
            .bind(self.by.as_str());
        Ok(session.row(insert).await?.is_some())
    }
}
