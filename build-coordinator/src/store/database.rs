use std::borrow::Cow;
#[cfg(feature = "postgres")]
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
#[cfg(feature = "postgres")]
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqlSafeStr as _};

use super::config::Place;
use super::row::Row;
use super::{OpenStoreError, StoreConfig, StoreError};

/// How long a reader waits for a connection.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(30);

/// Who may write. The row is renewed while its owner lives; every transaction of the owner holds it. Made by one at a time, as
/// `IF NOT EXISTS` fails for one of two who try at once.
#[cfg(feature = "postgres")]
const PREPARE_LEASE: [&str; 5] = [
    "BEGIN",
    "SELECT pg_advisory_xact_lock(hashtext('build-coordinator lease'))",
    "CREATE TABLE IF NOT EXISTS lease (only_row BIGINT PRIMARY KEY CHECK (only_row = 1), owner TEXT NOT NULL, \
     expires TIMESTAMPTZ NOT NULL)",
    "INSERT INTO lease VALUES (1, '', '-infinity') ON CONFLICT DO NOTHING",
    "COMMIT",
];

/// A statement with its arguments, for both databases: placeholders are `$1`, `$2`, in this order.
pub(crate) struct Sql {
    text: Cow<'static, str>,
    args: Vec<Arg>,
}

pub(crate) enum Arg {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Vec<u8>),
}

/// An open connection, outside or inside a transaction.
pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(PgConnection),
}

/// A connection that can run statements, borrowed from whoever owns it.
pub(crate) enum Session<'c> {
    Sqlite(&'c mut SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(&'c mut PgConnection),
}

/// Connections for readers.
#[derive(Debug)]
pub(crate) enum Readers {
    Sqlite(SqlitePool),
    #[cfg(feature = "postgres")]
    Postgres(PgPool),
}

/// A reader's transaction, in which the database stands still. Dropping it ends it.
pub(crate) enum Snapshot {
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

pub(crate) fn sql(text: impl Into<Cow<'static, str>>) -> Sql {
    Sql {
        text: text.into(),
        args: Vec::new(),
    }
}

impl Sql {
    pub(crate) fn bind(mut self, arg: impl Into<Arg>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// The same arguments with another text, for statements that are put together.
    pub(crate) fn with_text(mut self, text: String) -> Self {
        self.text = Cow::Owned(text);
        self
    }

    fn into_parts<A: sqlx::Arguments>(self) -> Result<(sqlx::SqlStr, A), StoreError>
    where
        Option<i64>: for<'q> sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database>,
        Option<String>: for<'q> sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database>,
        Vec<u8>: for<'q> sqlx::Encode<'q, A::Database> + sqlx::Type<A::Database>,
    {
        let mut args = A::default();
        for arg in self.args {
            match arg {
                Arg::Int(value) => args.add(value),
                Arg::Text(value) => args.add(value),
                Arg::Bytes(value) => args.add(value),
            }
            .map_err(StoreError::Database)?;
        }
        // Only what stands in this program's text is ever SQL; values come as arguments.
        let text = match self.text {
            Cow::Borrowed(text) => text.into_sql_str(),
            Cow::Owned(text) => AssertSqlSafe(text).into_sql_str(),
        };
        Ok((text, args))
    }
}

impl Connection {
    /// Opens the connection that writes.
    pub(crate) async fn open_writer(place: &Place) -> Result<Self, OpenStoreError> {
        match place {
            Place::Sqlite(path) => {
                let options = sqlite_options(path)
                    .journal_mode(SqliteJournalMode::Wal)
                    // What was promised is on the disk, not only in the system's memory.
                    .synchronous(SqliteSynchronous::Full);
                let connection = options.connect().await.map_err(StoreError::from)?;
                Ok(Self::Sqlite(connection))
            }
            #[cfg(feature = "postgres")]
            Place::Postgres(url) => {
                let connection = postgres_options(url)?
                    .connect()
                    .await
                    .map_err(StoreError::from)?;
                Ok(Self::Postgres(connection))
            }
        }
    }

    /// Makes the tables, or brings them up to date. Whoever does so may write.
    pub(crate) async fn migrate(&mut self) -> Result<(), OpenStoreError> {
        let done = match self {
            Self::Sqlite(connection) => {
                let scripts = [
                    include_str!("../../migrations/sqlite/0001_initial.sql"),
                    include_str!("../../migrations/sqlite/0002_resume.sql"),
                    include_str!("../../migrations/sqlite/0003_operators.sql"),
                ];
                migrator(scripts).run_direct(None, connection, false).await
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => {
                let scripts = [
                    include_str!("../../migrations/postgres/0001_initial.sql"),
                    include_str!("../../migrations/postgres/0002_resume.sql"),
                    include_str!("../../migrations/postgres/0003_operators.sql"),
                ];
                migrator(scripts).run_direct(None, connection, false).await
            }
        };
        done.map_err(|error| OpenStoreError::Migrate(Box::new(error)))
    }

    /// Makes the table of the lease, which comes before all others: only its holder may change those. Does nothing for SQLite.
    #[cfg(feature = "postgres")]
    pub(crate) async fn prepare_lease(&mut self) -> Result<(), StoreError> {
        if let Self::Postgres(_) = self {
            for text in PREPARE_LEASE {
                self.session().run(sql(text)).await?;
            }
        }
        Ok(())
    }

    pub(crate) fn session(&mut self) -> Session<'_> {
        match self {
            Self::Sqlite(connection) => Session::Sqlite(connection),
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => Session::Postgres(connection),
        }
    }

    /// The statement that begins a transaction that writes.
    pub(crate) fn begin(&self) -> Sql {
        sql(match self {
            // At once, not with the first write: then it never fails half-way for a lock.
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "BEGIN",
        })
    }

    pub(crate) async fn close(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => connection.close().await?,
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => connection.close().await?,
        }
        Ok(())
    }
}

impl Readers {
    /// Opens the readers' connections, when they are needed.
    pub(crate) fn new(config: &StoreConfig) -> Result<Self, OpenStoreError> {
        match &config.place {
            Place::Sqlite(path) => Ok(Self::Sqlite(
                SqlitePoolOptions::new()
                    .max_connections(config.readers)
                    .acquire_timeout(ACQUIRE_LIMIT)
                    .test_before_acquire(false)
                    .connect_lazy_with(sqlite_options(path).read_only(true)),
            )),
            #[cfg(feature = "postgres")]
            Place::Postgres(url) => Ok(Self::Postgres(
                PgPoolOptions::new()
                    .max_connections(config.readers)
                    .acquire_timeout(ACQUIRE_LIMIT)
                    .connect_lazy_with(postgres_options(url)?),
            )),
        }
    }

    pub(crate) async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(match self {
            Self::Sqlite(pool) => Snapshot::Sqlite(pool.begin().await?),
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => Snapshot::Postgres(
                pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    .await?,
            ),
        })
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Snapshot {
    pub(crate) fn session(&mut self) -> Session<'_> {
        match self {
            Self::Sqlite(transaction) => Session::Sqlite(transaction),
            #[cfg(feature = "postgres")]
            Self::Postgres(transaction) => Session::Postgres(transaction),
        }
    }
}

impl Session<'_> {
    /// Runs a statement; how many rows it changed.
    pub(crate) async fn run(&mut self, statement: Sql) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(connection) => {
                let (text, args) = statement.into_parts::<SqliteArguments>()?;
                let done = sqlx::query_with(text, args)
                    .execute(&mut **connection)
                    .await?;
                Ok(done.rows_affected())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => {
                let (text, args) = statement.into_parts::<PgArguments>()?;
                let done = sqlx::query_with(text, args)
                    .execute(&mut **connection)
                    .await?;
                Ok(done.rows_affected())
            }
        }
    }

    /// All rows that a statement gives. Those that can give many have a `LIMIT`.
    pub(crate) async fn rows(&mut self, statement: Sql) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Sqlite(connection) => {
                let (text, args) = statement.into_parts::<SqliteArguments>()?;
                let rows = sqlx::query_with(text, args)
                    .fetch_all(&mut **connection)
                    .await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => {
                let (text, args) = statement.into_parts::<PgArguments>()?;
                let rows = sqlx::query_with(text, args)
                    .fetch_all(&mut **connection)
                    .await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// The first row, if there is one.
    pub(crate) async fn row(&mut self, statement: Sql) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(statement).await?.into_iter().next())
    }
}

/// The scripts are compiled in here and not by sqlx's macro, which would build both database drivers a second time, for
/// the compiler.
fn migrator(scripts: [&'static str; 3]) -> Migrator {
    let named = (1..).zip(["initial", "resume", "operators"]).zip(scripts);
    Migrator::with_migrations(
        named
            .map(|((version, name), script)| {
                let script = script.into_sql_str();
                Migration::new(version, name.into(), MigrationType::Simple, script, false)
            })
            .collect(),
    )
}

fn sqlite_options(path: &std::path::Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(10))
        .disable_statement_logging()
}

#[cfg(feature = "postgres")]
fn postgres_options(url: &str) -> Result<PgConnectOptions, OpenStoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| OpenStoreError::Url {
        why: "it is no PostgreSQL address".into(),
    })?;
    Ok(options.disable_statement_logging())
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Arg {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for Arg {
    fn from(value: u32) -> Self {
        Self::Int(Some(value.into()))
    }
}

impl From<u64> for Arg {
    /// Databases have signed numbers: sizes and offsets beyond 2^63 do not occur, and are cut.
    fn from(value: u64) -> Self {
        Self::Int(Some(i64::try_from(value).unwrap_or(i64::MAX)))
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Arg {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<&str>> for Arg {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

impl From<Vec<u8>> for Arg {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl From<crate::model::Timestamp> for Arg {
    fn from(time: crate::model::Timestamp) -> Self {
        time.as_micros().into()
    }
}

impl From<Option<crate::model::Timestamp>> for Arg {
    fn from(time: Option<crate::model::Timestamp>) -> Self {
        Self::Int(time.map(crate::model::Timestamp::as_micros))
    }
}

impl From<crate::model::BuildId> for Arg {
    fn from(id: crate::model::BuildId) -> Self {
        id.0.into()
    }
}
