use std::time::Duration;

use super::database::sql;
use super::row::Row;
use super::writer::{Tx, Write};
use super::{Store, StoreError};
use crate::model::{AttemptId, Cause, MAX_MESSAGE, MAX_NAME, Span, Timestamp, clean};

/// Spans of an attempt: a page cannot show more.
const MAX_SPANS: usize = 1000;

impl Store {
    /// Adds spans to those of an attempt.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoAttempt`]; [`StoreError::TooLarge`] if the attempt then had more than 1000; or the database's.
    pub async fn record_spans(
        &self,
        attempt: AttemptId,
        mut spans: Vec<Span>,
    ) -> Result<(), StoreError> {
        for span in &mut spans {
            clean(&mut span.name, MAX_NAME);
            clean(&mut span.detail, MAX_MESSAGE);
            if let Some(error) = &mut span.error {
                clean(error, MAX_MESSAGE);
            }
        }
        self.write(RecordSpans { attempt, spans }).await
    }

    /// The spans of an attempt, in the order they were stored.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn spans(&self, attempt: AttemptId) -> Result<Vec<Span>, StoreError> {
        let select = sql(
            "SELECT name, detail, began, ended, error FROM spans WHERE build = $1 AND attempt = $2 ORDER BY position",
        );
        let select = select.bind(attempt.build).bind(attempt.number);
        let mut snapshot = self.readers().snapshot().await?;
        let rows = snapshot.session().rows(select).await?;
        let span_of = |row: &Row| {
            Ok(Span {
                name: row.text(0)?,
                detail: row.text(1)?,
                start: row.time(2)?,
                end: row.time(3)?,
                error: row.opt_text(4)?,
            })
        };
        rows.iter().map(span_of).collect()
    }

    /// How long the last attempts took that a builder succeeded with, newest first, at most `limit` (cut to 1000): for
    /// estimates.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn durations(
        &self,
        builder: &str,
        repository: &str,
        limit: u32,
    ) -> Result<Vec<Duration>, StoreError> {
        let select = sql(
            "SELECT attempts.started, attempts.ended FROM builds JOIN attempts \
             ON attempts.build = builds.id AND attempts.number = builds.attempts \
             WHERE builds.builder = $1 AND builds.repository = $2 AND builds.state = 'done' \
             AND builds.cause = 'succeeded' AND attempts.ended IS NOT NULL ORDER BY builds.id DESC LIMIT $3",
        );
        let select = select.bind(builder).bind(repository).bind(limit.min(1000));
        let mut snapshot = self.readers().snapshot().await?;
        let rows = snapshot.session().rows(select).await?;
        rows.iter()
            .map(|row| Ok(row.time(1)?.since(row.time(0)?)))
            .collect()
    }

    /// How many builds were done since `since`, by result.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn results_since(&self, since: Timestamp) -> Result<Vec<(Cause, u64)>, StoreError> {
        let select = sql(
            "SELECT cause, count(*) FROM builds WHERE state = 'done' AND ended >= $1 GROUP BY cause ORDER BY cause",
        );
        let mut snapshot = self.readers().snapshot().await?;
        let rows = snapshot.session().rows(select.bind(since)).await?;
        rows.iter()
            .map(|row| Ok((row.parse(0, "cause")?, row.u64(1, "count")?)))
            .collect()
    }
}

struct RecordSpans {
    attempt: AttemptId,
    spans: Vec<Span>,
}

impl Write for RecordSpans {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let of_attempt =
            |text: &'static str| sql(text).bind(self.attempt.build).bind(self.attempt.number);
        let exists = of_attempt("SELECT 1 FROM attempts WHERE build = $1 AND number = $2");
        if tx.session.rows(exists).await?.is_empty() {
            return Err(StoreError::NoAttempt(self.attempt));
        }
        let next = of_attempt(
            "SELECT coalesce(max(position) + 1, 0) FROM spans WHERE build = $1 AND attempt = $2",
        );
        let next = match tx.session.row(next).await? {
            Some(row) => row.u32(0, "number of a span")?,
            None => 0,
        };
        let spans = next as usize + self.spans.len();
        if spans > MAX_SPANS {
            return Err(StoreError::TooLarge {
                what: "list of spans",
                size: spans,
                limit: MAX_SPANS,
            });
        }
        for (position, span) in (next..).zip(&self.spans) {
            let insert = of_attempt(
                "INSERT INTO spans (build, attempt, position, name, detail, began, ended, error) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            );
            let insert = insert
                .bind(position)
                .bind(span.name.as_str())
                .bind(span.detail.as_str())
                .bind(span.start)
                .bind(span.end)
                .bind(span.error.as_deref());
            tx.session.run(insert).await?;
        }
        Ok(())
    }
}
