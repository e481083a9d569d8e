use super::database::{Session, sql};
use super::row::{Row, corrupt};
use super::store::check_name;
use super::writer::{Tx, Write};
use super::{Store, StoreError};
use crate::model::{
    Delivery, DeliveryId, DeliveryOutcome, DeliveryState, MAX_MESSAGE, NewDelivery, Timestamp,
    clean,
};

/// Bytes of what is sent.
const MAX_BODY: usize = 1 << 20;

const DELIVERY: &str = "id, target, event, body, created, tries, state, at, last_result";

impl Store {
    /// Deliveries that are due at `now`, the longest first; at most `limit` (cut to 1000).
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn due_deliveries(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let select = sql(format!(
            "SELECT {DELIVERY} FROM deliveries WHERE state = 'waiting' AND at <= $1 ORDER BY at, id LIMIT $2"
        ));
        let mut snapshot = self.readers().snapshot().await?;
        let rows = snapshot
            .session()
            .rows(select.bind(now).bind(limit.min(1000)))
            .await?;
        rows.iter().map(delivery_of).collect()
    }

    /// The newest deliveries, newest first; at most `limit` (cut to 1000).
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn deliveries(&self, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        let select = sql(format!(
            "SELECT {DELIVERY} FROM deliveries ORDER BY id DESC LIMIT $1"
        ));
        let mut snapshot = self.readers().snapshot().await?;
        let rows = snapshot
            .session()
            .rows(select.bind(limit.min(1000)))
            .await?;
        rows.iter().map(delivery_of).collect()
    }

    /// Stores what came of a try. One that has ended already stays as it is.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn record_delivery(
        &self,
        at: Timestamp,
        id: DeliveryId,
        mut outcome: DeliveryOutcome,
    ) -> Result<(), StoreError> {
        match &mut outcome {
            DeliveryOutcome::Delivered => {}
            DeliveryOutcome::TryAgain { error, .. } | DeliveryOutcome::GiveUp { error } => {
                clean(error, MAX_MESSAGE);
            }
        }
        self.write(RecordDelivery { at, id, outcome }).await
    }
}

/// Checks what is about to be stored.
pub(crate) fn check(deliveries: &mut [NewDelivery]) -> Result<(), StoreError> {
    for delivery in deliveries {
        check_name("name of the receiver", &delivery.target)?;
        check_name("name of the event", &delivery.event)?;
        if delivery.body.len() > MAX_BODY {
            return Err(StoreError::TooLarge {
                what: "body of a delivery",
                size: delivery.body.len(),
                limit: MAX_BODY,
            });
        }
        clean(&mut delivery.body, MAX_BODY);
    }
    Ok(())
}

pub(crate) async fn insert_delivery(
    session: &mut Session<'_>,
    at: Timestamp,
    new: &NewDelivery,
) -> Result<(), StoreError> {
    let insert = sql(
        "INSERT INTO deliveries (target, event, body, created, tries, state, at, last_result) \
         VALUES ($1, $2, $3, $4, 0, 'waiting', $4, '')",
    );
    let insert = insert
        .bind(new.target.as_str())
        .bind(new.event.as_str())
        .bind(new.body.as_str())
        .bind(at);
    session.run(insert).await?;
    Ok(())
}

fn delivery_of(row: &Row) -> Result<Delivery, StoreError> {
    let state = row.text(6)?;
    let at = row.time(7)?;
    Ok(Delivery {
        id: DeliveryId(row.u64(0, "number of a delivery")?),
        new: NewDelivery {
            target: row.text(1)?,
            event: row.text(2)?,
            body: row.text(3)?,
        },
        created: row.time(4)?,
        tries: row.u32(5, "number of tries")?,
        state: match state.as_str() {
            "waiting" => DeliveryState::Waiting { due: at },
            "delivered" => DeliveryState::Delivered { at },
            "given_up" => DeliveryState::GivenUp { at },
            _ => return Err(corrupt("state of a delivery", state)),
        },
        last_result: row.text(8)?,
    })
}

struct RecordDelivery {
    at: Timestamp,
    id: DeliveryId,
    outcome: DeliveryOutcome,
}

impl Write for RecordDelivery {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let (state, at, result) = match &self.outcome {
            DeliveryOutcome::Delivered => ("delivered", self.at, "delivered"),
            DeliveryOutcome::TryAgain { due, error } => ("waiting", *due, error.as_str()),
            DeliveryOutcome::GiveUp { error } => ("given_up", self.at, error.as_str()),
        };
        let update = sql(
            "UPDATE deliveries SET tries = tries + 1, state = $2, at = $3, last_result = $4 \
             WHERE id = $1 AND state = 'waiting'",
        );
        let update = update.bind(self.id.0).bind(state).bind(at).bind(result);
        tx.session.run(update).await?;
        Ok(())
    }
}
