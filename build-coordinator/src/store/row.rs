use std::str::FromStr;

use sqlx::Row as _;

use super::StoreError;
use crate::model::{BuildId, Timestamp};

/// A row of either database, read by column number.
pub(crate) enum Row {
    Sqlite(sqlx::sqlite::SqliteRow),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::postgres::PgRow),
}

macro_rules! get {
    ($self:ident, $column:ident) => {
        match $self {
            Self::Sqlite(row) => row.try_get($column)?,
            #[cfg(feature = "postgres")]
            Self::Postgres(row) => row.try_get($column)?,
        }
    };
}

impl Row {
    pub(crate) fn int(&self, column: usize) -> Result<i64, StoreError> {
        Ok(get!(self, column))
    }

    pub(crate) fn opt_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        Ok(get!(self, column))
    }

    pub(crate) fn text(&self, column: usize) -> Result<String, StoreError> {
        Ok(get!(self, column))
    }

    pub(crate) fn opt_text(&self, column: usize) -> Result<Option<String>, StoreError> {
        Ok(get!(self, column))
    }

    pub(crate) fn bytes(&self, column: usize) -> Result<Vec<u8>, StoreError> {
        Ok(get!(self, column))
    }

    pub(crate) fn u64(&self, column: usize, what: &'static str) -> Result<u64, StoreError> {
        let value = self.int(column)?;
        u64::try_from(value).map_err(|_| corrupt(what, value))
    }

    pub(crate) fn u32(&self, column: usize, what: &'static str) -> Result<u32, StoreError> {
        let value = self.int(column)?;
        u32::try_from(value).map_err(|_| corrupt(what, value))
    }

    pub(crate) fn build(&self, column: usize) -> Result<BuildId, StoreError> {
        Ok(BuildId(self.u64(column, "number of a build")?))
    }

    pub(crate) fn time(&self, column: usize) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_micros(self.int(column)?))
    }

    pub(crate) fn opt_time(&self, column: usize) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.opt_int(column)?.map(Timestamp::from_micros))
    }

    /// A text that has a meaning.
    pub(crate) fn parse<T: FromStr>(
        &self,
        column: usize,
        what: &'static str,
    ) -> Result<T, StoreError> {
        let text = self.text(column)?;
        text.parse().map_err(|_| corrupt(what, text))
    }

    pub(crate) fn opt_parse<T: FromStr>(
        &self,
        column: usize,
        what: &'static str,
    ) -> Result<Option<T>, StoreError> {
        self.opt_text(column)?
            .map(|text| text.parse().map_err(|_| corrupt(what, text)))
            .transpose()
    }
}

/// What stands in the database is not what this program writes there.
pub(crate) fn corrupt(what: &'static str, value: impl std::fmt::Display) -> StoreError {
    let mut value = value.to_string();
    crate::model::clean(&mut value, 200);
    StoreError::Corrupt { what, value }
}
