use super::database::sql;
use super::writer::{Tx, Write};
use super::{Store, StoreError};
use crate::model::{BuildId, Timestamp};

/// Which builds that are done may go: those beyond any one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "whoever sets limits must see when one is added"
)]
pub struct KeepLimits {
    /// Those that ended before.
    pub ended_before: Timestamp,
    /// All but so many, the newest; `None` is no limit.
    pub builds: Option<u64>,
    /// All but the newest whose logs and files have so many bytes together, before compression; `None` is no limit.
    pub bytes: Option<u64>,
}

/// A build that may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prunable {
    /// Which.
    pub build: BuildId,
    /// When it was done.
    pub ended: Timestamp,
    /// Bytes of its logs and files, before compression.
    pub bytes: u64,
}

impl Store {
    /// Builds that are beyond `limits`, those that ended first at the beginning, at most `limit`. The newest build of each branch of a repository on each
    /// builder is never among them, nor is one that waits or runs. Looks at all builds: some seconds for a million.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn prunable(
        &self,
        limits: &KeepLimits,
        limit: u32,
    ) -> Result<Vec<Prunable>, StoreError> {
        let select = sql("WITH sizes AS (SELECT id, ended, \
               COALESCE((SELECT SUM(log_bytes) FROM attempts WHERE attempts.build = builds.id), 0) \
               + COALESCE((SELECT SUM(bytes) FROM artifacts WHERE artifacts.build = builds.id), 0) AS bytes \
               FROM builds WHERE state = 'done'), \
             ranked AS (SELECT id, ended, bytes, ROW_NUMBER() OVER (ORDER BY ended DESC, id DESC) AS place, \
               SUM(bytes) OVER (ORDER BY ended DESC, id DESC ROWS UNBOUNDED PRECEDING) AS total FROM sizes) \
             SELECT id, ended, CAST(bytes AS BIGINT) FROM ranked \
             WHERE (ended < $1 OR place > $2 OR total > $3) \
             AND id NOT IN (SELECT MAX(id) FROM builds GROUP BY repository, branch, builder) \
             ORDER BY ended, id LIMIT $4");
        let number = |limit: Option<u64>| {
            limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
        };
        let select = select
            .bind(limits.ended_before)
            .bind(number(limits.builds))
            .bind(number(limits.bytes))
            .bind(limit);
        let mut snapshot = self.readers().snapshot().await?;
        let rows = snapshot.session().rows(select).await?;
        rows.iter()
            .map(|row| {
                Ok(Prunable {
                    build: row.build(0)?,
                    ended: row.time(1)?,
                    bytes: u64::try_from(row.int(2)?).unwrap_or(0),
                })
            })
            .collect()
    }

    /// Forgets these builds with their attempts and events, as if they had never been; those that are not done stay. Their commits stay too. How many that were.
    ///
    /// Blobs are not touched: remove them first, so that none is left without a name.
    ///
    /// # Errors
    ///
    /// The database's; then all stay.
    pub async fn forget_builds(&self, builds: Vec<BuildId>) -> Result<u64, StoreError> {
        self.write(ForgetBuilds { builds }).await
    }
}

struct ForgetBuilds {
    builds: Vec<BuildId>,
}

impl Write for ForgetBuilds {
    type Answer = u64;

    async fn write(&self, tx: &mut Tx<'_>) -> Result<u64, StoreError> {
        let mut forgotten = 0;
        for build in &self.builds {
            let is_done =
                sql("SELECT id FROM builds WHERE id = $1 AND state = 'done'").bind(*build);
            if tx.session.row(is_done).await?.is_none() {
                continue;
            }
            tx.known.forget(*build);
            // Those that refer to others first.
            for delete in [
                "DELETE FROM events WHERE build = $1",
                "DELETE FROM spans WHERE build = $1",
                "DELETE FROM artifacts WHERE build = $1",
                "DELETE FROM steps WHERE build = $1",
                "DELETE FROM attempts WHERE build = $1",
                "DELETE FROM builds WHERE id = $1",
            ] {
                tx.session.run(sql(delete).bind(*build)).await?;
            }
            forgotten += 1;
        }
        Ok(forgotten)
    }
}
