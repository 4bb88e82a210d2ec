//! Reading columns as the domain's types. Whatever is not one of them makes the row corrupt.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite};
use wayleave_core::permission::Permissions;
use wayleave_core::ports::StoreError;
use wayleave_core::time::Timestamp;

use crate::error::{Malformed, Refused, failed};

/// One row, read by the names of its columns.
#[derive(Copy, Clone)]
pub(crate) struct Columns<'r>(pub(crate) &'r SqliteRow);

impl<'r> Columns<'r> {
    fn get<T>(self, name: &'static str) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
    {
        self.0.try_get(name).map_err(failed)
    }

    pub(crate) fn text(self, name: &'static str) -> Result<&'r str, StoreError> {
        self.get(name)
    }

    pub(crate) fn optional_text(self, name: &'static str) -> Result<Option<&'r str>, StoreError> {
        self.get(name)
    }

    pub(crate) fn blob(self, name: &'static str) -> Result<&'r [u8], StoreError> {
        self.get(name)
    }

    pub(crate) fn optional_blob(self, name: &'static str) -> Result<Option<&'r [u8]>, StoreError> {
        self.get(name)
    }

    pub(crate) fn bytes<const N: usize>(self, name: &'static str) -> Result<[u8; N], StoreError> {
        Ok(self.blob(name)?.try_into().map_err(|_| Malformed(name))?)
    }

    pub(crate) fn optional_bytes<const N: usize>(self, name: &'static str) -> Result<Option<[u8; N]>, StoreError> {
        let bytes = self.optional_blob(name)?.map(TryInto::try_into).transpose();
        Ok(bytes.map_err(|_| Malformed(name))?)
    }

    pub(crate) fn number<T: TryFrom<i64>>(self, name: &'static str) -> Result<T, StoreError> {
        Ok(T::try_from(self.get::<i64>(name)?).map_err(|_| Malformed(name))?)
    }

    pub(crate) fn optional_number<T: TryFrom<i64>>(self, name: &'static str) -> Result<Option<T>, StoreError> {
        let number = self.get::<Option<i64>>(name)?.map(T::try_from).transpose();
        Ok(number.map_err(|_| Malformed(name))?)
    }

    pub(crate) fn flag(self, name: &'static str) -> Result<bool, StoreError> {
        match self.get::<i64>(name)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed(name).into()),
        }
    }

    pub(crate) fn time(self, name: &'static str) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_millis(self.get(name)?))
    }

    pub(crate) fn optional_time(self, name: &'static str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.get::<Option<i64>>(name)?.map(Timestamp::from_millis))
    }

    pub(crate) fn permissions(self, name: &'static str) -> Result<Permissions, StoreError> {
        let names = self.text(name)?.split(' ').filter(|name| !name.is_empty());
        Permissions::new(names).map_err(StoreError::corrupt)
    }

    /// A value that is kept as the text it is parsed from.
    pub(crate) fn parsed<T: std::str::FromStr>(self, name: &'static str) -> Result<T, StoreError> {
        Ok(self.text(name)?.parse().map_err(|_| Malformed(name))?)
    }

    pub(crate) fn optional_parsed<T: std::str::FromStr>(self, name: &'static str) -> Result<Option<T>, StoreError> {
        let value = self.optional_text(name)?.map(str::parse).transpose();
        Ok(value.map_err(|_| Malformed(name))?)
    }
}

/// Permissions as one column: the names, with a blank between them.
pub(crate) fn permissions_text(permissions: &Permissions) -> String {
    permissions.iter().collect::<Vec<_>>().join(" ")
}

/// A count or an epoch as SQLite's integer.
pub(crate) fn integer(number: u64) -> Result<i64, StoreError> {
    Ok(i64::try_from(number).map_err(|_| Refused::OutOfRange)?)
}
