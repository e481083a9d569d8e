use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::database::{Session, sql};
use super::row::{Row, corrupt};
use super::store::check_name;
use super::writer::{Tx, Write};
use super::{Store, StoreError};
use crate::model::{Branch, BranchUpdate, BuildId, BuildState, Commit, Revision, Timestamp};

/// Commits of one update of a branch. More history than that comes in several.
const MAX_COMMITS: usize = 10_000;

/// Commits of one page.
const MAX_PAGE: u32 = 500;

/// The columns that [`commit_of`] reads, from `from` on.
const COMMIT: &str = "commits.revision, commits.parents, commits.author_name, commits.author_email, commits.committed, \
    commits.subject, commits.body";

/// Commits of a branch and what is known of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Grid {
    /// The commits, newest first.
    pub rows: Vec<GridRow>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<i64>,
}

/// A commit and its builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GridRow {
    /// Its place on the branch; newer ones have greater positions. There may be gaps, and it may be negative.
    pub position: i64,
    /// The commit.
    pub commit: Commit,
    /// Its builds, by builder.
    pub cells: Vec<GridCell>,
}

/// A build as the dashboard shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GridCell {
    /// Which.
    pub build: BuildId,
    /// Its builder.
    pub builder: String,
    /// Its base revision.
    pub base: Option<Revision>,
    /// Where it stands.
    #[serde(flatten)]
    pub state: BuildState,
    /// When its first attempt began.
    pub started: Option<Timestamp>,
    /// When it was done.
    pub ended: Option<Timestamp>,
}

impl Store {
    /// Stores what has become of a branch.
    ///
    /// # Errors
    ///
    /// [`StoreError::Name`]; [`StoreError::TooLarge`] for more than 10,000 commits; or the database's.
    pub async fn update_branch(
        &self,
        at: Timestamp,
        mut update: BranchUpdate,
    ) -> Result<(), StoreError> {
        check_name("name of the repository", &update.repository)?;
        check_name("name of the branch", &update.branch)?;
        let commits = update.newer.len() + update.older.len() + update.removed.len();
        if commits > MAX_COMMITS {
            return Err(StoreError::TooLarge {
                what: "update of a branch",
                size: commits,
                limit: MAX_COMMITS,
            });
        }
        for commit in update.newer.iter_mut().chain(&mut update.older) {
            commit.clean();
        }
        self.write(UpdateBranch { at, update }).await
    }

    /// Forgets a branch that was deleted. Its commits' builds stay.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn remove_branch(&self, repository: &str, branch: &str) -> Result<(), StoreError> {
        self.write(RemoveBranch {
            repository: repository.to_owned(),
            branch: branch.to_owned(),
        })
        .await
    }

    /// The branches of a repository, by name; at most 10,000.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn branches(&self, repository: &str) -> Result<Vec<Branch>, StoreError> {
        let select = sql(
            "SELECT repository, name, head, updated, history FROM branches WHERE repository = $1 ORDER BY name LIMIT 10000",
        );
        let mut snapshot = self.readers().snapshot().await?;
        let rows = snapshot.session().rows(select.bind(repository)).await?;
        rows.iter().map(branch_of).collect()
    }

    /// One commit.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn commit(
        &self,
        repository: &str,
        revision: &Revision,
    ) -> Result<Option<Commit>, StoreError> {
        let select = sql(format!(
            "SELECT {COMMIT} FROM commits WHERE repository = $1 AND revision = $2"
        ));
        let mut snapshot = self.readers().snapshot().await?;
        let row = snapshot
            .session()
            .row(select.bind(repository).bind(revision.as_str()))
            .await?;
        row.map(|row| commit_of(&row, 0)).transpose()
    }

    /// The dashboard: commits of a branch, newest first, with their builds; at most `limit` commits (cut to 500). `before`
    /// is the [`next`](Grid::next) of the page before.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn grid(
        &self,
        repository: &str,
        branch: &str,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Grid, StoreError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let select = sql(format!(
            "SELECT branch_commits.position, {COMMIT} FROM branch_commits JOIN commits \
             ON commits.repository = branch_commits.repository AND commits.revision = branch_commits.revision \
             WHERE branch_commits.repository = $1 AND branch_commits.branch = $2 AND branch_commits.position < $3 \
             ORDER BY branch_commits.position DESC LIMIT $4"
        ));
        let select = select
            .bind(repository)
            .bind(branch)
            .bind(before.unwrap_or(i64::MAX))
            .bind(limit);
        let mut snapshot = self.readers().snapshot().await?;
        let mut session = snapshot.session();
        let mut rows = Vec::new();
        for row in session.rows(select).await? {
            rows.push(GridRow {
                position: row.int(0)?,
                commit: commit_of(&row, 1)?,
                cells: Vec::new(),
            });
        }
        fill_cells(&mut session, repository, branch, &mut rows).await?;
        let next = match rows.last() {
            Some(last) if rows.len() == limit as usize => Some(last.position),
            _ => None,
        };
        Ok(Grid { rows, next })
    }

    /// Where in the [`grid`](Self::grid) of a branch the part behind its newest `commits` begins, as its `before`; `None` if the branch has
    /// not so many. It takes time in proportion to `commits`; pages that follow each other are better found by [`Grid::next`].
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn grid_behind(
        &self,
        repository: &str,
        branch: &str,
        commits: u32,
    ) -> Result<Option<i64>, StoreError> {
        let Some(skipped) = commits.checked_sub(1) else {
            return Ok(Some(i64::MAX));
        };
        let select = sql(
            "SELECT position FROM branch_commits WHERE repository = $1 AND branch = $2 \
             ORDER BY position DESC LIMIT 1 OFFSET $3",
        );
        let select = select.bind(repository).bind(branch).bind(skipped);
        let row = self
            .readers()
            .snapshot()
            .await?
            .session()
            .row(select)
            .await?;
        row.map(|row| row.int(0)).transpose()
    }
}

async fn fill_cells(
    session: &mut Session<'_>,
    repository: &str,
    branch: &str,
    rows: &mut [GridRow],
) -> Result<(), StoreError> {
    let (Some(newest), Some(oldest)) = (rows.first(), rows.last()) else {
        return Ok(());
    };
    let select = sql(
        "SELECT builds.revision, builds.id, builds.builder, builds.base, builds.state, builds.not_before, builds.cause, \
         builds.attempts, builds.started, builds.ended \
         FROM branch_commits JOIN builds ON builds.repository = branch_commits.repository \
         AND builds.revision = branch_commits.revision \
         WHERE branch_commits.repository = $1 AND branch_commits.branch = $2 \
         AND branch_commits.position BETWEEN $3 AND $4 ORDER BY builds.builder, builds.id",
    );
    let select = select
        .bind(repository)
        .bind(branch)
        .bind(oldest.position)
        .bind(newest.position);
    let mut by_revision: HashMap<Revision, usize> = HashMap::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        by_revision.insert(row.commit.revision.clone(), place);
    }
    for row in session.rows(select).await? {
        let revision: Revision = row.parse(0, "revision")?;
        if let Some(place) = by_revision.get(&revision) {
            rows[*place].cells.push(cell_of(&row)?);
        }
    }
    Ok(())
}

fn cell_of(row: &Row) -> Result<GridCell, StoreError> {
    let base = row.text(3)?;
    Ok(GridCell {
        build: row.build(1)?,
        builder: row.text(2)?,
        base: match base.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| corrupt("revision", text))?),
        },
        state: super::builds::state_of(row, 4, 5, 6, 7)?,
        started: row.opt_time(8)?,
        ended: row.opt_time(9)?,
    })
}

fn branch_of(row: &Row) -> Result<Branch, StoreError> {
    Ok(Branch {
        repository: row.text(0)?,
        name: row.text(1)?,
        head: row.parse(2, "revision")?,
        updated: row.time(3)?,
        history: row.u32(4, "length of a history")?,
    })
}

fn commit_of(row: &Row, from: usize) -> Result<Commit, StoreError> {
    let parents = row.text(from + 1)?;
    Ok(Commit {
        revision: row.parse(from, "revision")?,
        parents: parents
            .split_ascii_whitespace()
            .map(|parent| parent.parse().map_err(|_| corrupt("revision", parent)))
            .collect::<Result<_, _>>()?,
        author_name: row.text(from + 2)?,
        author_email: row.text(from + 3)?,
        committed: row.time(from + 4)?,
        subject: row.text(from + 5)?,
        body: row.text(from + 6)?,
    })
}

struct UpdateBranch {
    at: Timestamp,
    update: BranchUpdate,
}

impl Write for UpdateBranch {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let BranchUpdate {
            repository,
            branch,
            head,
            removed,
            newer,
            older,
            history,
        } = &self.update;
        let place = |text: &'static str| sql(text).bind(repository.as_str()).bind(branch.as_str());
        let session = &mut tx.session;
        for revision in removed {
            let delete = place(
                "DELETE FROM branch_commits WHERE repository = $1 AND branch = $2 AND revision = $3",
            );
            session.run(delete.bind(revision.as_str())).await?;
        }
        let ends = place(
            "SELECT max(position), min(position) FROM branch_commits WHERE repository = $1 AND branch = $2",
        );
        let ends = session.row(ends).await?;
        let (mut newest, mut oldest) = match &ends {
            Some(row) => (row.opt_int(0)?.unwrap_or(-1), row.opt_int(1)?.unwrap_or(0)),
            None => (-1, 0),
        };
        let mut places = Vec::with_capacity(newer.len() + older.len());
        for commit in newer {
            newest += 1;
            places.push((commit, newest, "DO UPDATE SET position = excluded.position"));
        }
        for commit in older {
            oldest -= 1;
            places.push((commit, oldest, "DO NOTHING"));
        }
        for (commit, position, if_known) in places {
            insert_commit(session, repository, commit).await?;
            let insert = sql(format!(
                "INSERT INTO branch_commits (repository, branch, position, revision) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (repository, branch, revision) {if_known}",
            ));
            let insert = insert.bind(repository.as_str()).bind(branch.as_str());
            session
                .run(insert.bind(position).bind(commit.revision.as_str()))
                .await?;
        }
        let upsert = place(
            "INSERT INTO branches (repository, name, head, updated, history) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (repository, name) DO UPDATE SET head = excluded.head, updated = excluded.updated, \
             history = CASE WHEN excluded.history > branches.history THEN excluded.history ELSE branches.history END",
        );
        let upsert = upsert.bind(head.as_str()).bind(self.at).bind(*history);
        session.run(upsert).await?;
        Ok(())
    }
}

async fn insert_commit(
    session: &mut Session<'_>,
    repository: &str,
    commit: &Commit,
) -> Result<(), StoreError> {
    let parents: Vec<&str> = commit.parents.iter().map(Revision::as_str).collect();
    let insert = sql(
        "INSERT INTO commits (repository, revision, parents, author_name, author_email, committed, subject, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
    );
    let insert = insert
        .bind(repository)
        .bind(commit.revision.as_str())
        .bind(parents.join(" "))
        .bind(commit.author_name.as_str())
        .bind(commit.author_email.as_str())
        .bind(commit.committed)
        .bind(commit.subject.as_str())
        .bind(commit.body.as_str());
    session.run(insert).await?;
    Ok(())
}

struct RemoveBranch {
    repository: String,
    branch: String,
}

impl Write for RemoveBranch {
    type Answer = ();

    async fn write(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        for text in [
            "DELETE FROM branch_commits WHERE repository = $1 AND branch = $2",
            "DELETE FROM branches WHERE repository = $1 AND name = $2",
        ] {
            let delete = sql(text)
                .bind(self.repository.as_str())
                .bind(self.branch.as_str());
            tx.session.run(delete).await?;
        }
        Ok(())
    }
}
