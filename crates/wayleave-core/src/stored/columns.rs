//! Reading columns as the domain's types. Whatever is not one of them makes the row corrupt.

use std::str::FromStr;

use super::Malformed;
use crate::permission::Permissions;
use crate::ports::StoreError;
use crate::time::Timestamp;

/// One row of a database, read by the names of its columns. Stores say how the four types of columns are read; the
/// rest follows from that. Every read fails as [`StoreError::Corrupt`] when the column is not what it should be.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
pub trait Columns<'r>: Copy {
    /// A column of text.
    fn optional_text(self, name: &'static str) -> Result<Option<&'r str>, StoreError>;

    /// A column of bytes.
    fn optional_blob(self, name: &'static str) -> Result<Option<&'r [u8]>, StoreError>;

    /// A column of integers.
    fn optional_integer(self, name: &'static str) -> Result<Option<i64>, StoreError>;

    /// A column that is true or false.
    fn flag(self, name: &'static str) -> Result<bool, StoreError>;

    /// Text that must be there.
    fn text(self, name: &'static str) -> Result<&'r str, StoreError> {
        Ok(self.optional_text(name)?.ok_or(Malformed(name))?)
    }

    /// Bytes that must be there.
    fn blob(self, name: &'static str) -> Result<&'r [u8], StoreError> {
        Ok(self.optional_blob(name)?.ok_or(Malformed(name))?)
    }

    /// Bytes of one length.
    fn bytes<const N: usize>(self, name: &'static str) -> Result<[u8; N], StoreError> {
        Ok(self.blob(name)?.try_into().map_err(|_| Malformed(name))?)
    }

    /// Bytes of one length, if there are any.
    fn optional_bytes<const N: usize>(self, name: &'static str) -> Result<Option<[u8; N]>, StoreError> {
        let bytes = self.optional_blob(name)?.map(TryInto::try_into).transpose();
        Ok(bytes.map_err(|_| Malformed(name))?)
    }

    /// A number in the range of its type.
    fn number<T: TryFrom<i64>>(self, name: &'static str) -> Result<T, StoreError> {
        Ok(self.optional_number(name)?.ok_or(Malformed(name))?)
    }

    /// A number in the range of its type, if there is one.
    fn optional_number<T: TryFrom<i64>>(self, name: &'static str) -> Result<Option<T>, StoreError> {
        let number = self.optional_integer(name)?.map(T::try_from).transpose();
        Ok(number.map_err(|_| Malformed(name))?)
    }

    /// A point in time, in milliseconds.
    fn time(self, name: &'static str) -> Result<Timestamp, StoreError> {
        Ok(self.optional_time(name)?.ok_or(Malformed(name))?)
    }

    /// A point in time, if there is one.
    fn optional_time(self, name: &'static str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.optional_integer(name)?.map(Timestamp::from_millis))
    }

    /// Permissions as [`permissions_text`] writes them.
    fn permissions(self, name: &'static str) -> Result<Permissions, StoreError> {
        let names = self.text(name)?.split(' ').filter(|name| !name.is_empty());
        Permissions::new(names).map_err(StoreError::corrupt)
    }

    /// A value that is kept as the text that it is parsed from.
    fn parsed<T: FromStr>(self, name: &'static str) -> Result<T, StoreError> {
        Ok(self.text(name)?.parse().map_err(|_| Malformed(name))?)
    }

    /// A value that is kept as the text that it is parsed from, if there is one.
    fn optional_parsed<T: FromStr>(self, name: &'static str) -> Result<Option<T>, StoreError> {
        let value = self.optional_text(name)?.map(str::parse).transpose();
        Ok(value.map_err(|_| Malformed(name))?)
    }
}

/// Permissions as one column: the names, with a blank between them.
#[must_use]
pub fn permissions_text(permissions: &Permissions) -> String {
    permissions.iter().collect::<Vec<_>>().join(" ")
}
