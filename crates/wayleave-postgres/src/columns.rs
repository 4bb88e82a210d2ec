//! PostgreSQL's rows, read as `wayleave_core::stored` wants them.

use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row as _};
use wayleave_core::ports::StoreError;
use wayleave_core::stored;

use crate::error::{Refused, failed};

/// One row, read by the names of its columns.
#[derive(Copy, Clone)]
pub(crate) struct Columns<'r>(pub(crate) &'r PgRow);

impl<'r> Columns<'r> {
    fn get<T>(self, name: &'static str) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
    {
        self.0.try_get(name).map_err(failed)
    }
}

impl<'r> stored::Columns<'r> for Columns<'r> {
    fn optional_text(self, name: &'static str) -> Result<Option<&'r str>, StoreError> {
        self.get(name)
    }

    fn optional_blob(self, name: &'static str) -> Result<Option<&'r [u8]>, StoreError> {
        self.get(name)
    }

    fn optional_integer(self, name: &'static str) -> Result<Option<i64>, StoreError> {
        self.get(name)
    }

    fn flag(self, name: &'static str) -> Result<bool, StoreError> {
        self.get(name)
    }
}

/// A count or an epoch as PostgreSQL's integer.
pub(crate) fn integer(number: u64) -> Result<i64, StoreError> {
    Ok(i64::try_from(number).map_err(|_| Refused::OutOfRange)?)
}

/// Whether it is text as PostgreSQL can hold it; what is not, no row can have.
pub(crate) fn is_text(text: &str) -> bool {
    !text.contains('\0')
}
