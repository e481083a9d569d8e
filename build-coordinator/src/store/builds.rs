use super::StoreError;
use super::database::{Session, Sql, sql};
use super::row::{Row, corrupt};
use crate::model::{
    Artifact, Attempt, AttemptEnd, AttemptId, Build, BuildDetail, BuildId, BuildKey, BuildState,
    CancelRequest, Change, Event, EventSeq, NewBuild, Purpose, Step, StepOutcome, StoredLog,
    Timestamp,
};

/// The columns of a build, in the order that [`build_of`] reads them.
pub(crate) const BUILD: &str = "builds.id, builds.repository, builds.revision, builds.builder, builds.base, builds.branch, \
    builds.host_type, builds.purpose, builds.reason, builds.state, builds.not_before, builds.cause, builds.attempts, \
    builds.created, builds.queued, builds.started, builds.ended, builds.cancel_cause, builds.cancel_by, builds.cancel_at, \
    builds.message";

/// How many columns that are.
pub(crate) const BUILD_COLUMNS: usize = 21;

const ATTEMPT: &str = "build, number, machine, owner, started, ended, cause, message, log_blob, log_bytes, log_dropped, \
    awaited";

/// `SELECT` of builds, followed by `rest`.
pub(crate) fn select_builds(rest: &str) -> Sql {
    sql(format!("SELECT {BUILD} FROM builds {rest}"))
}

pub(crate) fn build_of(row: &Row) -> Result<Build, StoreError> {
    let id = row.build(0)?;
    let base = row.text(4)?;
    let purpose = row.text(7)?;
    let attempts = row.u32(12, "number of attempts")?;
    let state = state_of(row, 9, 10, 11, 12)?;
    let cancel = match row.opt_parse(17, "cause")? {
        Some(cause) => Some(CancelRequest {
            cause,
            by: row.text(18)?,
            at: row.time(19)?,
        }),
        None => None,
    };
    Ok(Build {
        id,
        key: BuildKey {
            repository: row.text(1)?,
            revision: row.parse(2, "revision")?,
            builder: row.text(3)?,
            base: match base.as_str() {
                "" => None,
                text => Some(text.parse().map_err(|_| corrupt("revision", text))?),
            },
        },
        branch: row.opt_text(5)?,
        host_type: row.text(6)?,
        purpose: Purpose::ALL
            .into_iter()
            .find(|known| known.as_str() == purpose)
            .ok_or_else(|| corrupt("purpose", purpose))?,
        reason: row.text(8)?,
        state,
        attempts,
        created: row.time(13)?,
        queued: row.time(14)?,
        started: row.opt_time(15)?,
        ended: row.opt_time(16)?,
        cancel,
        message: row.text(20)?,
    })
}

/// A build's state, from its columns `state`, `not_before`, `cause` and `attempts`.
pub(crate) fn state_of(
    row: &Row,
    state: usize,
    not_before: usize,
    cause: usize,
    attempts: usize,
) -> Result<BuildState, StoreError> {
    let state = row.text(state)?;
    match state.as_str() {
        "queued" => Ok(BuildState::Queued {
            not_before: row.opt_time(not_before)?,
        }),
        "running" => Ok(BuildState::Running {
            attempt: row.u32(attempts, "number of attempts")?,
        }),
        "done" => Ok(BuildState::Done {
            cause: row.parse(cause, "cause")?,
        }),
        _ => Err(corrupt("state", state)),
    }
}

pub(crate) async fn load_build(
    session: &mut Session<'_>,
    id: BuildId,
) -> Result<Option<Build>, StoreError> {
    let row = session.row(select_builds("WHERE id = $1").bind(id)).await?;
    row.as_ref().map(build_of).transpose()
}

pub(crate) async fn find_build(
    session: &mut Session<'_>,
    key: &BuildKey,
) -> Result<Option<Build>, StoreError> {
    let find =
        select_builds("WHERE repository = $1 AND revision = $2 AND builder = $3 AND base = $4");
    let find = find
        .bind(key.repository.as_str())
        .bind(key.revision.as_str())
        .bind(key.builder.as_str())
        .bind(base_text(key));
    session.row(find).await?.as_ref().map(build_of).transpose()
}

/// A build with all its attempts.
pub(crate) async fn load_detail(
    session: &mut Session<'_>,
    id: BuildId,
) -> Result<Option<BuildDetail>, StoreError> {
    let Some(build) = load_build(session, id).await? else {
        return Ok(None);
    };
    if build.attempts == 0 {
        return Ok(Some(BuildDetail {
            build,
            attempts: Vec::new(),
        }));
    }
    let select = sql(format!(
        "SELECT {ATTEMPT} FROM attempts WHERE build = $1 ORDER BY number"
    ));
    let rows = session.rows(select.bind(id)).await?;
    let mut attempts = rows
        .iter()
        .map(attempt_of)
        .collect::<Result<Vec<Attempt>, _>>()?;
    let select = sql(
        "SELECT attempt, position, name, started, log_start, outcome, ended, log_end, message FROM steps \
         WHERE build = $1 ORDER BY attempt, position",
    );
    for row in &session.rows(select.bind(id)).await? {
        owner_of(&mut attempts, row)?.steps.push(step_of(row)?);
    }
    let select = sql(
        "SELECT attempt, name, blob, bytes FROM artifacts WHERE build = $1 ORDER BY attempt, position",
    );
    for row in &session.rows(select.bind(id)).await? {
        owner_of(&mut attempts, row)?.artifacts.push(Artifact {
            name: row.text(1)?,
            blob: row.text(2)?,
            bytes: row.u64(3, "size")?,
        });
    }
    Ok(Some(BuildDetail { build, attempts }))
}

fn owner_of<'a>(attempts: &'a mut [Attempt], row: &Row) -> Result<&'a mut Attempt, StoreError> {
    let number = row.u32(0, "number of an attempt")?;
    attempts
        .iter_mut()
        .find(|attempt| attempt.id.number == number)
        .ok_or_else(|| corrupt("number of an attempt", number))
}

fn attempt_of(row: &Row) -> Result<Attempt, StoreError> {
    let end = match row.opt_time(5)? {
        Some(at) => Some(AttemptEnd {
            at,
            cause: row.parse(6, "cause")?,
            message: row.text(7)?,
        }),
        None => None,
    };
    let log = match row.opt_text(8)? {
        Some(blob) => Some(StoredLog {
            blob,
            bytes: row.u64(9, "size")?,
            dropped: row.u64(10, "size")?,
        }),
        None => None,
    };
    Ok(Attempt {
        id: AttemptId {
            build: row.build(0)?,
            number: row.u32(1, "number of an attempt")?,
        },
        machine: row.text(2)?,
        owner: row.text(3)?,
        started: row.time(4)?,
        end,
        awaited: row.opt_time(11)?,
        steps: Vec::new(),
        log,
        artifacts: Vec::new(),
    })
}

fn step_of(row: &Row) -> Result<Step, StoreError> {
    let outcome = row
        .opt_text(5)?
        .map(|text| {
            StepOutcome::ALL
                .into_iter()
                .find(|outcome| outcome.as_str() == text)
                .ok_or_else(|| corrupt("outcome of a step", text))
        })
        .transpose()?;
    Ok(Step {
        index: row.u32(1, "number of a step")?,
        name: row.text(2)?,
        started: row.time(3)?,
        log_start: row.u64(4, "offset")?,
        outcome,
        ended: row.opt_time(6)?,
        log_end: match row.opt_int(7)? {
            Some(_) => Some(row.u64(7, "offset")?),
            None => None,
        },
        message: row.text(8)?,
    })
}

/// Inserts a build; `None` if there is one with its key.
pub(crate) async fn insert_build(
    session: &mut Session<'_>,
    at: Timestamp,
    new: &NewBuild,
) -> Result<Option<Build>, StoreError> {
    let insert = sql(
        "INSERT INTO builds (repository, revision, builder, base, branch, host_type, purpose, reason, state, \
         attempts, created, queued, message) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'queued', 0, $9, $9, '') \
         ON CONFLICT DO NOTHING RETURNING id",
    );
    let insert = insert
        .bind(new.key.repository.as_str())
        .bind(new.key.revision.as_str())
        .bind(new.key.builder.as_str())
        .bind(base_text(&new.key))
        .bind(new.branch.as_deref())
        .bind(new.host_type.as_str())
        .bind(new.purpose.as_str())
        .bind(new.reason.as_str())
        .bind(at);
    let Some(row) = session.row(insert).await? else {
        return Ok(None);
    };
    Ok(Some(BuildDetail::new(row.build(0)?, at, new.clone()).build))
}

/// Writes what `change` did to `detail`, in which it, and perhaps changes after it, have happened already.
pub(crate) async fn save_change(
    session: &mut Session<'_>,
    detail: &BuildDetail,
    change: &Change,
) -> Result<(), StoreError> {
    if touches_build(change) {
        save_build(session, &detail.build).await?;
    }
    let Some(number) = change.attempt() else {
        return Ok(());
    };
    let attempt = detail
        .attempts
        .iter()
        .find(|attempt| attempt.id.number == number)
        .expect("the change has happened to it");
    match change {
        Change::AttemptStarted { .. } => {
            let insert = sql(
                "INSERT INTO attempts (build, number, machine, owner, started, message, log_bytes, log_dropped) \
                 VALUES ($1, $2, $3, $4, $5, '', 0, 0)",
            );
            let insert = insert
                .bind(attempt.id.build)
                .bind(number)
                .bind(attempt.machine.as_str())
                .bind(attempt.owner.as_str())
                .bind(attempt.started);
            session.run(insert).await?;
        }
        Change::StepStarted { index, .. } => {
            insert_step(session, attempt.id, &attempt.steps[*index as usize]).await?;
        }
        Change::StepEnded { index, .. } => {
            save_step(session, attempt.id, &attempt.steps[*index as usize]).await?;
        }
        Change::ArtifactStored {
            name, blob, bytes, ..
        } => {
            let position = attempt
                .artifacts
                .iter()
                .position(|artifact| artifact.name == *name)
                .expect("the change has happened to it");
            let insert = sql(
                "INSERT INTO artifacts (build, attempt, position, name, blob, bytes) VALUES ($1, $2, $3, $4, $5, $6)",
            );
            let insert = insert
                .bind(attempt.id.build)
                .bind(number)
                .bind(position as u64)
                .bind(name.as_str())
                .bind(blob.as_str())
                .bind(*bytes);
            session.run(insert).await?;
        }
        Change::AttemptEnded { .. } => {
            // Its end may have interrupted a step.
            if let Some(step) = attempt.steps.last().filter(|step| {
                step.outcome == Some(StepOutcome::Interrupted) && step.log_end.is_none()
            }) {
                save_step(session, attempt.id, step).await?;
            }
            save_attempt(session, attempt).await?;
        }
        _ => save_attempt(session, attempt).await?,
    }
    Ok(())
}

/// Whether a change is seen in the build's own row.
fn touches_build(change: &Change) -> bool {
    matches!(
        change,
        Change::AttemptStarted { .. }
            | Change::AttemptEnded { .. }
            | Change::CancelRequested { .. }
            | Change::Closed { .. }
            | Change::Retried { .. }
    )
}

async fn save_build(session: &mut Session<'_>, build: &Build) -> Result<(), StoreError> {
    let (state, not_before) = match build.state {
        BuildState::Queued { not_before } => ("queued", not_before),
        BuildState::Running { .. } => ("running", None),
        BuildState::Done { .. } => ("done", None),
    };
    let cancel = build.cancel.as_ref();
    let update = sql(
        "UPDATE builds SET state = $2, not_before = $3, cause = $4, attempts = $5, queued = $6, started = $7, \
         ended = $8, cancel_cause = $9, cancel_by = $10, cancel_at = $11, message = $12 WHERE id = $1",
    );
    let update = update
        .bind(build.id)
        .bind(state)
        .bind(not_before)
        .bind(build.cause().map(crate::model::Cause::as_str))
        .bind(build.attempts)
        .bind(build.queued)
        .bind(build.started)
        .bind(build.ended)
        .bind(cancel.map(|cancel| cancel.cause.as_str()))
        .bind(cancel.map(|cancel| cancel.by.as_str()))
        .bind(cancel.map(|cancel| cancel.at))
        .bind(build.message.as_str());
    session.run(update).await?;
    Ok(())
}

async fn save_attempt(session: &mut Session<'_>, attempt: &Attempt) -> Result<(), StoreError> {
    let end = attempt.end.as_ref();
    let log = attempt.log.as_ref();
    let update = sql(
        "UPDATE attempts SET owner = $3, ended = $4, cause = $5, message = $6, log_blob = $7, log_bytes = $8, \
         log_dropped = $9, awaited = $10 WHERE build = $1 AND number = $2",
    );
    let update = update
        .bind(attempt.id.build)
        .bind(attempt.id.number)
        .bind(attempt.owner.as_str())
        .bind(end.map(|end| end.at))
        .bind(end.map(|end| end.cause.as_str()))
        .bind(end.map_or("", |end| end.message.as_str()))
        .bind(log.map(|log| log.blob.as_str()))
        .bind(log.map_or(0, |log| log.bytes))
        .bind(log.map_or(0, |log| log.dropped))
        .bind(attempt.awaited);
    session.run(update).await?;
    Ok(())
}

async fn insert_step(
    session: &mut Session<'_>,
    attempt: AttemptId,
    step: &Step,
) -> Result<(), StoreError> {
    let insert = sql(
        "INSERT INTO steps (build, attempt, position, name, started, log_start, message) \
         VALUES ($1, $2, $3, $4, $5, $6, '')",
    );
    let insert = insert
        .bind(attempt.build)
        .bind(attempt.number)
        .bind(step.index)
        .bind(step.name.as_str())
        .bind(step.started)
        .bind(step.log_start);
    session.run(insert).await?;
    Ok(())
}

async fn save_step(
    session: &mut Session<'_>,
    attempt: AttemptId,
    step: &Step,
) -> Result<(), StoreError> {
    let update = sql(
        "UPDATE steps SET outcome = $4, ended = $5, log_end = $6, message = $7 \
         WHERE build = $1 AND attempt = $2 AND position = $3",
    );
    let update = update
        .bind(attempt.build)
        .bind(attempt.number)
        .bind(step.index)
        .bind(step.outcome.map(StepOutcome::as_str))
        .bind(step.ended)
        .bind(
            step.log_end
                .map(|offset| i64::try_from(offset).unwrap_or(i64::MAX)),
        )
        .bind(step.message.as_str());
    session.run(update).await?;
    Ok(())
}

pub(crate) async fn insert_event(
    session: &mut Session<'_>,
    build: BuildId,
    at: Timestamp,
    change: &Change,
) -> Result<EventSeq, StoreError> {
    let body = serde_json::to_string(change).map_err(|error| StoreError::Database(error.into()))?;
    let insert =
        sql("INSERT INTO events (build, at, kind, body) VALUES ($1, $2, $3, $4) RETURNING seq");
    let insert = insert.bind(build).bind(at).bind(change.kind()).bind(body);
    match session.row(insert).await? {
        Some(row) => Ok(EventSeq(row.u64(0, "number of an event")?)),
        None => Err(corrupt("answer to an insert", "nothing")),
    }
}

/// An event of the columns `seq, build, at, body`.
pub(crate) fn event_of(row: &Row) -> Result<Event, StoreError> {
    let body = row.text(3)?;
    Ok(Event {
        seq: EventSeq(row.u64(0, "number of an event")?),
        build: row.build(1)?,
        at: row.time(2)?,
        change: serde_json::from_str(&body).map_err(|_| corrupt("event", body))?,
    })
}

fn base_text(key: &BuildKey) -> &str {
    key.base.as_ref().map_or("", |base| base.as_str())
}
