use buildlet_proto::types::ext::ResumeKey;
use serde::{Deserialize, Serialize};

use super::builds::{
    BUILD, BUILD_COLUMNS, build_of, event_of, find_build, load_build, load_detail, select_builds,
};
use super::database::{Session, sql};
use super::row::Row;
use super::{Store, StoreError};
use crate::model::{
    AttemptId, Build, BuildDetail, BuildId, BuildKey, Cause, Event, EventSeq, Revision,
};

/// Rows that one call gives at most.
const MAX_ROWS: u32 = 1000;

/// Which builds [`Store::builds`] gives. What is not set does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildFilter {
    repository: Option<String>,
    branch: Option<String>,
    builder: Option<String>,
    revision: Option<String>,
    cause: Option<Cause>,
    done: Option<bool>,
    text: Option<String>,
    before: Option<BuildId>,
}

/// Builds, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BuildPage {
    /// The builds.
    pub builds: Vec<BuildRow>,
    /// Where the next page begins, for [`BuildFilter::before`]; `None` at the end.
    pub next: Option<BuildId>,
}

/// A build as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BuildRow {
    /// The build.
    #[serde(flatten)]
    pub build: Build,
    /// First line of the commit's message, if the commit is known.
    pub subject: Option<String>,
    /// Who wrote the commit, if it is known.
    pub author: Option<String>,
}

impl BuildFilter {
    /// Of this repository.
    #[must_use]
    pub fn repository(mut self, name: impl Into<String>) -> Self {
        self.repository = Some(name.into());
        self
    }

    /// Found on this branch.
    #[must_use]
    pub fn branch(mut self, name: impl Into<String>) -> Self {
        self.branch = Some(name.into());
        self
    }

    /// On this builder.
    #[must_use]
    pub fn builder(mut self, name: impl Into<String>) -> Self {
        self.builder = Some(name.into());
        self
    }

    /// Of this revision.
    #[must_use]
    pub fn revision(mut self, revision: &Revision) -> Self {
        self.revision = Some(revision.as_str().to_owned());
        self
    }

    /// Done, with this result.
    #[must_use]
    pub fn cause(mut self, cause: Cause) -> Self {
        self.cause = Some(cause);
        self
    }

    /// Done (`true`), or waiting or running (`false`).
    #[must_use]
    pub fn done(mut self, done: bool) -> Self {
        self.done = Some(done);
        self
    }

    /// With this text somewhere in the names of repository, branch or builder, in the author's name or the commit's
    /// subject, or at the beginning of the revision. Letters a to z match in either case.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Older than this one: for the next page.
    #[must_use]
    pub fn before(mut self, build: BuildId) -> Self {
        self.before = Some(build);
        self
    }
}

impl Store {
    /// One build.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn build(&self, id: BuildId) -> Result<Option<Build>, StoreError> {
        load_build(&mut self.readers().snapshot().await?.session(), id).await
    }

    /// The build with this key.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn find(&self, key: &BuildKey) -> Result<Option<Build>, StoreError> {
        find_build(&mut self.readers().snapshot().await?.session(), key).await
    }

    /// One build with its attempts, their steps and artifacts.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn detail(&self, id: BuildId) -> Result<Option<BuildDetail>, StoreError> {
        load_detail(&mut self.readers().snapshot().await?.session(), id).await
    }

    /// With what an attempt comes back to its commands, if it was [kept](Self::keep_resume_key).
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn resume_key(&self, attempt: AttemptId) -> Result<Option<ResumeKey>, StoreError> {
        let select = sql("SELECT resume FROM attempts WHERE build = $1 AND number = $2")
            .bind(attempt.build)
            .bind(attempt.number);
        let mut snapshot = self.readers().snapshot().await?;
        let row = snapshot.session().row(select).await?;
        // Not with `corrupt`, which would show it.
        let unreadable = |_| StoreError::Database("the key of an attempt is none".into());
        let text = row.map(|row| row.opt_text(0)).transpose()?.flatten();
        text.map(|text| text.parse().map_err(unreadable))
            .transpose()
    }

    /// All builds that wait or run, oldest first: what a coordinator that starts has to go on with.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn unfinished(&self) -> Result<Vec<Build>, StoreError> {
        let mut snapshot = self.readers().snapshot().await?;
        let rows = snapshot
            .session()
            .rows(select_builds("WHERE state <> 'done' ORDER BY id"))
            .await?;
        rows.iter().map(build_of).collect()
    }

    /// Builds by number, newest first, at most `limit` (cut to 1000).
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn builds(&self, filter: &BuildFilter, limit: u32) -> Result<BuildPage, StoreError> {
        let limit = limit.clamp(1, MAX_ROWS);
        let mut select = sql(String::new());
        let mut conditions = Vec::new();
        let mut placeholders = 0;
        // Texts come as arguments; only the conditions' own text is SQL.
        let mut condition = |text: &str| {
            placeholders += 1;
            conditions.push(text.replace('?', &format!("${placeholders}")));
        };
        for (text, value) in [
            ("builds.repository = ?", &filter.repository),
            ("builds.branch = ?", &filter.branch),
            ("builds.builder = ?", &filter.builder),
            ("builds.revision = ?", &filter.revision),
        ] {
            if let Some(value) = value {
                condition(text);
                select = select.bind(value.as_str());
            }
        }
        if let Some(cause) = filter.cause {
            condition("builds.state = 'done' AND builds.cause = ?");
            select = select.bind(cause.as_str());
        }
        if let Some(before) = filter.before {
            condition("builds.id < ?");
            select = select.bind(before);
        }
        if let Some(text) = filter.text.as_deref().filter(|text| !text.is_empty()) {
            condition(
                "(lower(builds.repository) LIKE ? ESCAPE '!' OR lower(builds.branch) LIKE ? ESCAPE '!' \
                 OR lower(builds.builder) LIKE ? ESCAPE '!' OR lower(commits.subject) LIKE ? ESCAPE '!' \
                 OR lower(commits.author_name) LIKE ? ESCAPE '!' OR builds.revision LIKE substr(?, 2) ESCAPE '!')",
            );
            select = select.bind(pattern(text));
        }
        match filter.done {
            Some(true) => conditions.push("builds.state = 'done'".into()),
            Some(false) => conditions.push("builds.state <> 'done'".into()),
            None => {}
        }
        if conditions.is_empty() {
            conditions.push("1 = 1".into());
        }
        let conditions = conditions.join(" AND ");
        let select = select
            .with_text(format!(
                "{} WHERE {conditions} ORDER BY builds.id DESC LIMIT ${}",
                select_rows(),
                placeholders + 1
            ))
            .bind(limit);
        let mut snapshot = self.readers().snapshot().await?;
        let rows = snapshot.session().rows(select).await?;
        let builds = rows
            .iter()
            .map(build_row_of)
            .collect::<Result<Vec<BuildRow>, _>>()?;
        let next = match builds.last() {
            Some(last) if builds.len() == limit as usize => Some(last.build.id),
            _ => None,
        };
        Ok(BuildPage { builds, next })
    }

    /// The builds that were done last, the last first, at most `limit` (cut to 1000).
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn recent(&self, limit: u32) -> Result<Vec<BuildRow>, StoreError> {
        let select = sql(format!(
            "{} WHERE builds.state = 'done' ORDER BY builds.ended DESC, builds.id DESC LIMIT $1",
            select_rows()
        ));
        let mut snapshot = self.readers().snapshot().await?;
        let rows = snapshot
            .session()
            .rows(select.bind(limit.clamp(1, MAX_ROWS)))
            .await?;
        rows.iter().map(build_row_of).collect()
    }

    /// All that happened to a build, in order, at most 10,000 events.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn events(&self, build: BuildId) -> Result<Vec<Event>, StoreError> {
        let select = sql(
            "SELECT seq, build, at, body FROM events WHERE build = $1 ORDER BY seq LIMIT 10000",
        );
        let mut snapshot = self.readers().snapshot().await?;
        let rows = snapshot.session().rows(select.bind(build)).await?;
        rows.iter().map(event_of).collect()
    }

    /// What happened to all builds after `after`, in order, at most `limit` events (cut to 1000).
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn events_after(
        &self,
        after: EventSeq,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let select =
            sql("SELECT seq, build, at, body FROM events WHERE seq > $1 ORDER BY seq LIMIT $2");
        let select = select.bind(after.0).bind(limit.clamp(1, MAX_ROWS));
        let mut snapshot = self.readers().snapshot().await?;
        let rows = snapshot.session().rows(select).await?;
        rows.iter().map(event_of).collect()
    }
}

/// `SELECT` of what [`build_row_of`] reads.
fn select_rows() -> String {
    format!(
        "SELECT {BUILD}, commits.subject, commits.author_name FROM builds LEFT JOIN commits \
         ON commits.repository = builds.repository AND commits.revision = builds.revision"
    )
}

fn build_row_of(row: &Row) -> Result<BuildRow, StoreError> {
    Ok(BuildRow {
        build: build_of(row)?,
        subject: row.opt_text(BUILD_COLUMNS)?,
        author: row.opt_text(BUILD_COLUMNS + 1)?,
    })
}

pub(crate) async fn newest_event(session: &mut Session<'_>) -> Result<EventSeq, StoreError> {
    let newest = session
        .row(sql("SELECT coalesce(max(seq), 0) FROM events"))
        .await?;
    match newest {
        Some(row) => Ok(EventSeq(row.u64(0, "number of an event")?)),
        None => Ok(EventSeq::default()),
    }
}

/// A pattern for `LIKE ... ESCAPE '!'` that finds `text` anywhere.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.chars().take(200) {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        if character != '\0' {
            pattern.push(character.to_ascii_lowercase());
        }
    }
    pattern.push('%');
    pattern
}
