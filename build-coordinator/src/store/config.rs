use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::OpenStoreError;

/// Which database a [`Store`](super::Store) uses, and how.
#[derive(Clone)]
pub struct StoreConfig {
    pub(crate) place: Place,
    pub(crate) readers: u32,
    pub(crate) lease: Duration,
    pub(crate) wait_for_lease: Duration,
}

#[derive(Clone)]
pub(crate) enum Place {
    Sqlite(PathBuf),
    #[cfg(feature = "postgres")]
    Postgres(String),
}

impl StoreConfig {
    /// A SQLite file, made with its folder if it is not there. Beside it lie `-wal`, `-shm` and `.lock`. Only its owner
    /// can read it.
    #[must_use]
    pub fn sqlite(file: impl Into<PathBuf>) -> Self {
        Self::new(Place::Sqlite(file.into()))
    }

    /// What `url` names: `sqlite:PATH`, or with the feature `postgres` `postgres://USER:PASSWORD@HOST/DATABASE`. A
    /// PostgreSQL server is spoken to without TLS: on the same machine or in a network that is trusted.
    ///
    /// # Errors
    ///
    /// [`OpenStoreError::Url`] for anything else. It does not repeat the URL, which may have a password in it.
    pub fn from_url(url: &str) -> Result<Self, OpenStoreError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return Ok(Self::sqlite(path));
        }
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            #[cfg(feature = "postgres")]
            return Ok(Self::new(Place::Postgres(url.to_owned())));
            #[cfg(not(feature = "postgres"))]
            return Err(OpenStoreError::Url {
                why: "this program was built without the feature `postgres`".into(),
            });
        }
        Err(OpenStoreError::Url {
            why: "it begins neither with `sqlite:` nor with `postgres:`".into(),
        })
    }

    fn new(place: Place) -> Self {
        Self {
            place,
            readers: 4,
            lease: Duration::from_secs(15),
            wait_for_lease: Duration::ZERO,
        }
    }

    /// Connections for readers, which is how many calls read at the same time; 4 by default, at least 1.
    #[must_use]
    pub fn readers(mut self, connections: u32) -> Self {
        self.readers = connections.max(1);
        self
    }

    /// PostgreSQL: how long a coordinator that says nothing keeps its lease; 15 s by default, at least 1 s. It is renewed
    /// three times as often.
    #[must_use]
    pub fn lease(mut self, time: Duration) -> Self {
        self.lease = time.max(Duration::from_secs(1));
        self
    }

    /// PostgreSQL: how long [`Store::open`](super::Store::open) waits for a lease that another coordinator holds; by
    /// default it does not.
    #[must_use]
    pub fn wait_for_lease(mut self, time: Duration) -> Self {
        self.wait_for_lease = time;
        self
    }
}

impl fmt::Debug for StoreConfig {
    /// Without the URL, which may have a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig")
            .field("place", &self.place.what())
            .field("readers", &self.readers)
            .field("lease", &self.lease)
            .field("wait_for_lease", &self.wait_for_lease)
            .finish()
    }
}

impl Place {
    /// For messages.
    pub(crate) fn what(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "the PostgreSQL database".into(),
        }
    }
}
