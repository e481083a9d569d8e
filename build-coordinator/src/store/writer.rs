use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::StoreError;
use super::config::Place;
use super::database::{Connection, Session, Sql, sql};
use crate::model::{BuildDetail, BuildId, EventSeq};

/// Orders that may wait: far more than there are machines that could give one at the same moment on one coordinator.
pub(crate) const QUEUE: usize = 1024;

/// Orders of one transaction: enough that the flush of the disk is a small part of each, few enough that the first does not
/// wait long for the last.
const BATCH: usize = 128;

/// How long a lost connection may take to come back, while orders wait.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// Something to write. It may be carried out more than once, if a transaction has to be repeated; only the last one counts.
pub(crate) trait Write: Send + Sync + 'static {
    type Answer: Send;

    /// Does it. An error that [`StoreError::is_before_writing`] comes before the first statement that writes.
    fn write(
        &self,
        tx: &mut Tx<'_>,
    ) -> impl Future<Output = Result<Self::Answer, StoreError>> + Send;
}

/// An open transaction.
pub(crate) struct Tx<'c> {
    pub(crate) session: Session<'c>,
    pub(crate) known: &'c mut Known,
    /// The newest event that it wrote.
    pub(crate) newest: Option<EventSeq>,
}

/// What comes of a [`Write`].
type AnswerOf<W> = Result<<W as Write>::Answer, StoreError>;

/// Builds as they stand in the tables, this transaction included: nobody else writes, so what was written last need not be
/// read again. At most 1024.
#[derive(Default)]
pub(crate) struct Known(HashMap<BuildId, BuildDetail>);

/// A [`Write`] in the queue.
pub(crate) trait Order: Send {
    /// Carries it out; false if the transaction has to be rolled back.
    fn run<'a>(&'a mut self, tx: &'a mut Tx<'_>)
    -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

    /// Tells the caller what came of it, after the commit.
    fn answer(self: Box<Self>);

    /// Tells the caller that nothing came of it.
    fn fail(self: Box<Self>, error: StoreError);
}

pub(crate) struct Ordered<W: Write> {
    write: W,
    result: Option<AnswerOf<W>>,
    reply: oneshot::Sender<AnswerOf<W>>,
}

/// The task that writes.
pub(crate) struct Writer {
    pub(crate) connection: Option<Connection>,
    pub(crate) known: Known,
    pub(crate) place: Place,
    pub(crate) orders: mpsc::Receiver<Box<dyn Order>>,
    pub(crate) newest: watch::Sender<EventSeq>,
    pub(crate) closing: CancellationToken,
    pub(crate) lease: Lease,
    /// Held as long as anything may be written.
    pub(crate) lock: Option<std::fs::File>,
}

/// The right to write to a PostgreSQL database; a SQLite file is locked instead, and this does nothing.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    #[cfg_attr(
        not(feature = "postgres"),
        expect(dead_code, reason = "only there is a lease")
    )]
    pub(crate) owner: String,
    pub(crate) time: Duration,
}

pub(crate) fn order<W: Write>(write: W) -> (Box<dyn Order>, oneshot::Receiver<AnswerOf<W>>) {
    let (reply, answer) = oneshot::channel();
    let ordered = Ordered {
        write,
        result: None,
        reply,
    };
    (Box::new(ordered), answer)
}

impl<W: Write> Order for Ordered<W> {
    fn run<'a>(
        &'a mut self,
        tx: &'a mut Tx<'_>,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async move {
            let result = self.write.write(tx).await;
            let ok = match &result {
                Ok(_) => true,
                Err(error) => error.is_before_writing(),
            };
            self.result = Some(result);
            ok
        })
    }

    fn answer(self: Box<Self>) {
        // A caller that went away does not want to know.
        if let Some(result) = self.result {
            let _ = self.reply.send(result);
        }
    }

    fn fail(self: Box<Self>, error: StoreError) {
        // What it said itself tells more than what became of the transaction.
        let error = match self.result {
            Some(Err(own)) => own,
            _ => error,
        };
        let _ = self.reply.send(Err(error));
    }
}

impl Known {
    pub(crate) fn get(&self, build: BuildId) -> Option<&BuildDetail> {
        self.0.get(&build)
    }

    pub(crate) fn forget(&mut self, build: BuildId) {
        self.0.remove(&build);
    }

    /// Remembers a build as it was written.
    pub(crate) fn put(&mut self, detail: BuildDetail) {
        // Enough for all that run on a thousand machines. Those that do will be read again, the others are seldom needed.
        if self.0.len() >= 1024 && !self.0.contains_key(&detail.build.id) {
            self.0.clear();
        }
        self.0.insert(detail.build.id, detail);
    }
}

impl Writer {
    /// Runs until the store is closed or dropped.
    pub(crate) async fn run(mut self) {
        let period = self.lease.time / 3;
        // It was taken a moment ago.
        let mut renewal = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
        renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let closing = self.closing.clone();
        loop {
            let first = tokio::select! {
                biased;
                () = closing.cancelled() => break,
                first = self.orders.recv() => first,
                _ = renewal.tick(), if self.lease.is_needed(&self.place) => {
                    self.commit(&mut Vec::new()).await.unwrap_or_else(|error| {
                        tracing::warn!(%error, "the lease could not be renewed");
                    });
                    continue;
                }
            };
            let Some(first) = first else { break };
            self.write(first).await;
        }
        self.orders.close();
        while let Some(first) = self.orders.recv().await {
            self.write(first).await;
        }
        if let Some(mut connection) = self.connection.take() {
            let released = self.lease.release(&mut connection).await;
            let closed = connection.close().await;
            if let Err(error) = released.and(closed) {
                tracing::warn!(%error, "the database was not closed well");
            }
        }
        drop(self.lock);
    }

    /// Writes `first` and what else is waiting.
    async fn write(&mut self, first: Box<dyn Order>) {
        let mut batch = vec![first];
        while batch.len() < BATCH {
            match self.orders.try_recv() {
                Ok(next) => batch.push(next),
                Err(_) => break,
            }
        }
        match self.commit(&mut batch).await {
            Ok(()) => batch.into_iter().for_each(Order::answer),
            Err(error) if batch.len() == 1 || matches!(error, StoreError::LeaseLost) => {
                fail_all(batch, error);
            }
            // One of them may be to blame: each gets a transaction of its own.
            Err(_) => {
                for order in batch {
                    let mut alone = vec![order];
                    match self.commit(&mut alone).await {
                        Ok(()) => alone.into_iter().for_each(Order::answer),
                        Err(error) => fail_all(alone, error),
                    }
                }
            }
        }
    }

    /// Carries `batch` out in one transaction. After an error nothing of it was written, unless the commit itself failed.
    async fn commit(&mut self, batch: &mut [Box<dyn Order>]) -> Result<(), StoreError> {
        let mut connection = self.begin().await?;
        match transact(&mut connection, &mut self.known, &self.lease, batch).await {
            Ok(newest) => {
                self.connection = Some(connection);
                if let Some(newest) = newest {
                    self.newest.send_replace(newest);
                }
                Ok(())
            }
            Err(error) => {
                self.known.0.clear();
                // If that fails too, it may be broken, or still inside the transaction: the next one gets a new one.
                if connection.session().run(sql("ROLLBACK")).await.is_ok() {
                    self.connection = Some(connection);
                }
                Err(error)
            }
        }
    }

    /// A connection with an open transaction. One that was lost since it was last used is replaced.
    async fn begin(&mut self) -> Result<Connection, StoreError> {
        if let Some(mut connection) = self.connection.take() {
            let begin = connection.begin();
            match connection.session().run(begin).await {
                Ok(_) => return Ok(connection),
                Err(error) => tracing::warn!(%error, "the database's connection is lost"),
            }
        }
        let opened = timeout(CONNECT_LIMIT, Connection::open_writer(&self.place)).await;
        let mut connection = match opened {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(StoreError::Database(Box::new(error))),
            Err(elapsed) => return Err(StoreError::Database(Box::new(elapsed))),
        };
        let begin = connection.begin();
        connection.session().run(begin).await?;
        Ok(connection)
    }
}

async fn transact(
    connection: &mut Connection,
    known: &mut Known,
    lease: &Lease,
    batch: &mut [Box<dyn Order>],
) -> Result<Option<EventSeq>, StoreError> {
    let lease = lease.renewal(connection);
    let mut session = connection.session();
    if let Some(renew) = lease
        && session.run(renew).await? == 0
    {
        return Err(StoreError::LeaseLost);
    }
    let mut tx = Tx {
        session,
        known,
        newest: None,
    };
    for order in batch {
        if !order.run(&mut tx).await {
            return Err(StoreError::Database("a statement failed".into()));
        }
    }
    tx.session.run(sql("COMMIT")).await?;
    Ok(tx.newest)
}

fn fail_all(batch: Vec<Box<dyn Order>>, error: StoreError) {
    let lost = matches!(error, StoreError::LeaseLost);
    let mut error = Some(error);
    for order in batch {
        order.fail(match error.take() {
            Some(error) => error,
            None if lost => StoreError::LeaseLost,
            None => StoreError::Database("the transaction failed".into()),
        });
    }
}

impl Lease {
    fn is_needed(&self, place: &Place) -> bool {
        match place {
            Place::Sqlite(_) => false,
            #[cfg(feature = "postgres")]
            Place::Postgres(_) => true,
        }
    }

    /// The statement that renews it, and changes no row if it was lost.
    fn renewal(&self, connection: &Connection) -> Option<Sql> {
        match connection {
            Connection::Sqlite(_) => None,
            #[cfg(feature = "postgres")]
            Connection::Postgres(_) => Some(
                sql(
                    "UPDATE lease SET expires = clock_timestamp() + $1 * interval '1 millisecond' \
                     WHERE owner = $2",
                )
                .bind(self.millis())
                .bind(self.owner.as_str()),
            ),
        }
    }

    /// Takes it if nobody has it; false if somebody has.
    #[cfg(feature = "postgres")]
    pub(crate) async fn take(&self, connection: &mut Connection) -> Result<bool, StoreError> {
        let Connection::Postgres(_) = connection else {
            return Ok(true);
        };
        let take = sql(
            "UPDATE lease SET owner = $2, expires = clock_timestamp() + $1 * interval '1 millisecond' \
             WHERE expires < clock_timestamp() OR owner = $2",
        );
        let take = take.bind(self.millis()).bind(self.owner.as_str());
        Ok(connection.session().run(take).await? == 1)
    }

    /// Gives it back.
    pub(crate) async fn release(&self, connection: &mut Connection) -> Result<(), StoreError> {
        match connection {
            Connection::Sqlite(_) => Ok(()),
            #[cfg(feature = "postgres")]
            Connection::Postgres(_) => {
                let release = sql("UPDATE lease SET expires = '-infinity' WHERE owner = $1")
                    .bind(self.owner.as_str());
                connection.session().run(release).await.map(drop)
            }
        }
    }

    #[cfg(feature = "postgres")]
    fn millis(&self) -> i64 {
        i64::try_from(self.time.as_millis()).unwrap_or(i64::MAX)
    }
}
