use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use buildlet_proto::types::ext::ResumeKey;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::builds::{find_build, insert_build, insert_event, load_detail, save_change};
use super::config::Place;
use super::database::{Connection, Readers, sql};
use super::writer::{Known, Lease, Order, QUEUE, Tx, Write, Writer, order};
use super::{OpenStoreError, StoreConfig, StoreError};
use super::{deliveries, reads};
use crate::model::{
    AttemptId, Build, BuildDetail, BuildId, Change, Event, EventSeq, MAX_NAME, NewBuild,
    NewDelivery, Timestamp,
};

/// A database of builds. A handle: clones are the same store.
///
/// What is promised about writing, reading and cancelling stands at the [module](super).
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    orders: mpsc::Sender<Box<dyn Order>>,
    readers: Readers,
    newest: watch::Receiver<EventSeq>,
    instance: String,
    closing: CancellationToken,
    writer: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// What became of a build that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The build with that key.
    pub build: Build,
    /// Whether it was made now; otherwise it was there already, and was not touched.
    pub is_new: bool,
}

/// A change that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The build after it.
    pub build: Build,
    /// The number of its event.
    pub seq: EventSeq,
}

/// Follows the history of all builds; see [`Store::follow`].
#[derive(Debug)]
pub struct EventFeed {
    store: Store,
    newest: watch::Receiver<EventSeq>,
    after: EventSeq,
}

impl Store {
    /// Opens the database, makes its tables or brings them up to date, and starts the task that writes.
    ///
    /// Needs a tokio runtime with time. Not cancel safe on PostgreSQL: a dropped call may keep the lease until it
    /// expires.
    ///
    /// # Errors
    ///
    /// [`OpenStoreError::InUse`] if another coordinator has it; else what went wrong.
    pub async fn open(config: StoreConfig) -> Result<Self, OpenStoreError> {
        let lock = match &config.place {
            Place::Sqlite(path) => {
                let path = path.clone();
                let locked = tokio::task::spawn_blocking(move || super::lock::lock(&path)).await;
                Some(locked.map_err(|error| StoreError::Database(Box::new(error)))??)
            }
            #[cfg(feature = "postgres")]
            Place::Postgres(_) => None,
        };
        let instance = new_instance()?;
        let lease = Lease {
            owner: instance.clone(),
            time: config.lease,
        };
        let mut connection = Connection::open_writer(&config.place).await?;
        #[cfg(feature = "postgres")]
        {
            connection.prepare_lease().await?;
            take_lease(&lease, &mut connection, &config).await?;
        }
        if let Err(error) = connection.migrate().await {
            // A lease that cannot be given back ends by itself.
            let _ = lease.release(&mut connection).await;
            return Err(error);
        }
        // It may have taken longer than the lease lasts.
        #[cfg(feature = "postgres")]
        take_lease(&lease, &mut connection, &config).await?;
        let readers = Readers::new(&config)?;
        let newest = reads::newest_event(&mut readers.snapshot().await?.session()).await?;
        let (newest, newest_seen) = watch::channel(newest);
        let (orders, queue) = mpsc::channel(QUEUE);
        let closing = CancellationToken::new();
        let writer = Writer {
            connection: Some(connection),
            known: Known::default(),
            place: config.place,
            orders: queue,
            newest,
            closing: closing.clone(),
            lease,
            lock,
        };
        let writer = AbortOnDropHandle::new(tokio::spawn(writer.run()));
        Ok(Self {
            inner: Arc::new(Inner {
                orders,
                readers,
                newest: newest_seen,
                instance,
                closing,
                writer: Mutex::new(Some(writer)),
            }),
        })
    }

    /// Name of this run of a coordinator: another one each time a store is opened. It is the owner of the attempts that
    /// it starts.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.inner.instance
    }

    /// Carries out what was ordered and closes the database; afterwards every call fails with [`StoreError::Closed`]. A
    /// store that is dropped instead leaves a database that is consistent too.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the writing task panicked.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.inner.closing.cancel();
        let writer = self
            .inner
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let ended = match writer {
            Some(writer) => writer.await,
            None => Ok(()),
        };
        self.inner.readers.close().await;
        ended.map_err(|error| StoreError::Database(Box::new(error)))
    }

    /// Adds a build, unless there is one with its key.
    ///
    /// # Errors
    ///
    /// [`StoreError::Name`] if a part of its key cannot be stored; or the database's.
    pub async fn enqueue(&self, at: Timestamp, new: NewBuild) -> Result<Enqueued, StoreError> {
        let mut all = self.enqueue_all(at, vec![new]).await?;
        Ok(all.remove(0))
    }

    /// Adds builds, all or none, except those whose key there is already. The answers have the order of `new`.
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Self::enqueue).
    pub async fn enqueue_all(
        &self,
        at: Timestamp,
        mut new: Vec<NewBuild>,
    ) -> Result<Vec<Enqueued>, StoreError> {
        for new in &mut new {
            check_name("name of the repository", &new.key.repository)?;
            check_name("name of the builder", &new.key.builder)?;
            check_name("host type", &new.host_type)?;
            new.clean();
        }
        self.write(Enqueue { at, new }).await
    }

    /// Stores a change of a build, with its event.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoBuild`], [`StoreError::Transition`] if the build's state does not allow it, or the database's.
    pub async fn record(
        &self,
        build: BuildId,
        at: Timestamp,
        change: Change,
    ) -> Result<Recorded, StoreError> {
        let mut all = self.record_all(at, vec![(build, change)]).await?;
        Ok(all.remove(0))
    }

    /// Has a change of a build stored before everything that is asked for later, and does not wait for that. If it cannot be, later
    /// changes do not follow on what is stored, and fail.
    ///
    /// # Errors
    ///
    /// [`StoreError::Closed`].
    pub async fn record_soon(
        &self,
        build: BuildId,
        at: Timestamp,
        mut change: Change,
    ) -> Result<(), StoreError> {
        change.clean();
        let (order, _) = order(Record {
            at,
            changes: vec![(build, change)],
            deliveries: Vec::new(),
        });
        let sent = self.inner.orders.send(order).await;
        sent.map_err(|_| StoreError::Closed)
    }

    /// Stores changes of builds, all or none, in their order.
    ///
    /// # Errors
    ///
    /// As [`record`](Self::record); then none was stored.
    pub async fn record_all(
        &self,
        at: Timestamp,
        changes: Vec<(BuildId, Change)>,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.record_and_tell(at, changes, Vec::new()).await
    }

    /// Stores changes of builds, and what others are to be told of them: all or nothing. The deliveries are due at once.
    ///
    /// # Errors
    ///
    /// As [`record`](Self::record), and for deliveries [`StoreError::Name`] and [`StoreError::TooLarge`]; then nothing
    /// was stored.
    pub async fn record_and_tell(
        &self,
        at: Timestamp,
        mut changes: Vec<(BuildId, Change)>,
        mut deliveries: Vec<NewDelivery>,
    ) -> Result<Vec<Recorded>, StoreError> {
        for (_, change) in &mut changes {
            change.clean();
        }
        deliveries::check(&mut deliveries)?;
        self.write(Record {
            at,
            changes,
            deliveries,
        })
        .await
    }

    /// Keeps with what an attempt comes back to its commands. It is told to nobody but [`resume_key`](Self::resume_key).
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn keep_resume_key(
        &self,
        attempt: AttemptId,
        key: ResumeKey,
    ) -> Result<(), StoreError> {
        self.write(KeepKey { attempt, key }).await
    }

    /// Follows the events after `after` as they are stored; [`EventSeq::default`] for all.
    #[must_use]
    pub fn follow(&self, after: EventSeq) -> EventFeed {
        EventFeed {
            store: self.clone(),
            newest: self.inner.newest.clone(),
            after,
        }
    }

    /// The newest event's number.
    #[must_use]
    pub fn newest_event(&self) -> EventSeq {
        *self.inner.newest.borrow()
    }

    /// The newest event's number, as it changes.
    #[cfg(feature = "web")]
    pub(crate) fn changes(&self) -> watch::Receiver<EventSeq> {
        self.inner.newest.clone()
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.inner.readers
    }

    pub(crate) async fn write<W: Write>(&self, write: W) -> Result<W::Answer, StoreError> {
        let (order, answer) = order(write);
        let sent = self.inner.orders.send(order).await;
        sent.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

impl EventFeed {
    /// The next events, at most 256, in order; waits until there is one. `None` once the store is closed.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// The database's; the next call tries again.
    pub async fn next(&mut self) -> Result<Option<Vec<Event>>, StoreError> {
        let after = self.after;
        if self
            .newest
            .wait_for(|newest| *newest > after)
            .await
            .is_err()
        {
            return Ok(None);
        }
        let events = self.store.events_after(after, 256).await?;
        if let Some(last) = events.last() {
            self.after = last.seq;
        }
        Ok(Some(events))
    }
}

struct Enqueue {
    at: Timestamp,
    new: Vec<NewBuild>,
}

impl Write for Enqueue {
    type Answer = Vec<Enqueued>;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<Vec<Enqueued>, StoreError> {
        let mut all = Vec::with_capacity(self.new.len());
        for new in &self.new {
            let inserted = insert_build(&mut tx.session, self.at, new).await?;
            all.push(match inserted {
                Some(build) => {
                    let created = Change::Created(new.clone());
                    let seq = insert_event(&mut tx.session, build.id, self.at, &created).await?;
                    tx.newest = Some(seq);
                    Enqueued {
                        build,
                        is_new: true,
                    }
                }
                None => Enqueued {
                    build: find_build(&mut tx.session, &new.key)
                        .await?
                        .ok_or_else(|| {
                            StoreError::Database("a build is there and is not".into())
                        })?,
                    is_new: false,
                },
            });
        }
        Ok(all)
    }
}

struct KeepKey {
    attempt: AttemptId,
    key: ResumeKey,
}

impl Write for KeepKey {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let update = sql("UPDATE attempts SET resume = $3 WHERE build = $1 AND number = $2")
            .bind(self.attempt.build)
            .bind(self.attempt.number)
            .bind(self.key.to_text());
        tx.session.run(update).await.map(drop)
    }
}

struct Record {
    at: Timestamp,
    changes: Vec<(BuildId, Change)>,
    deliveries: Vec<NewDelivery>,
}

impl Write for Record {
    type Answer = Vec<Recorded>;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<Vec<Recorded>, StoreError> {
        // All happen in memory first: one that cannot happen leaves nothing behind.
        let mut details: Vec<BuildDetail> = Vec::new();
        let mut builds = Vec::with_capacity(self.changes.len());
        for (id, change) in &self.changes {
            let known = details.iter().position(|detail| detail.build.id == *id);
            let place = match known {
                Some(place) => place,
                None => {
                    details.push(match tx.known.get(*id) {
                        Some(detail) => detail.clone(),
                        None => load_detail(&mut tx.session, *id)
                            .await?
                            .ok_or(StoreError::NoBuild(*id))?,
                    });
                    details.len() - 1
                }
            };
            details[place].apply(self.at, change)?;
            builds.push((place, details[place].build.clone()));
        }
        let mut recorded = Vec::with_capacity(builds.len());
        for ((id, change), (place, build)) in self.changes.iter().zip(builds) {
            save_change(&mut tx.session, &details[place], change).await?;
            let seq = insert_event(&mut tx.session, *id, self.at, change).await?;
            tx.newest = Some(seq);
            recorded.push(Recorded { build, seq });
        }
        for detail in details {
            tx.known.put(detail);
        }
        for delivery in &self.deliveries {
            deliveries::insert_delivery(&mut tx.session, self.at, delivery).await?;
        }
        Ok(recorded)
    }
}

#[cfg(feature = "postgres")]
async fn take_lease(
    lease: &Lease,
    connection: &mut Connection,
    config: &StoreConfig,
) -> Result<(), OpenStoreError> {
    // Often enough that a waiting coordinator takes over soon, seldom enough that nobody notices it waiting.
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(250);
    let deadline = tokio::time::Instant::now() + config.wait_for_lease;
    loop {
        if lease.take(connection).await? {
            return Ok(());
        }
        if tokio::time::Instant::now() + PAUSE > deadline {
            return Err(OpenStoreError::InUse {
                what: config.place.what(),
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn new_instance() -> Result<String, StoreError> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| StoreError::Database(Box::new(error)))?;
    Ok(format!("c{:016x}", u64::from_ne_bytes(random)))
}

pub(crate) fn check_name(what: &'static str, name: &str) -> Result<(), StoreError> {
    if name.is_empty() || name.len() > MAX_NAME || name.contains('\0') {
        return Err(StoreError::Name { what });
    }
    Ok(())
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("instance", &self.instance)
            .field("newest", &*self.newest.borrow())
            .finish_non_exhaustive()
    }
}
