//! Reading what scripts answer. Anything that no script of ours gives is an error, never a guess.

use redis::Value;
use wayleave_core::ports::StoreError;

use crate::error::Refused;

/// An answer that is still to be read.
pub(crate) struct Reply(pub(crate) Value);

impl Reply {
    /// The elements of a list.
    pub(crate) fn list(self) -> Result<Vec<Self>, StoreError> {
        match self.0 {
            Value::Array(values) => Ok(values.into_iter().map(Self).collect()),
            _ => Err(Refused::Answer.into()),
        }
    }

    /// The elements of a list of so many.
    pub(crate) fn tuple<const N: usize>(self) -> Result<[Self; N], StoreError> {
        self.list()?.try_into().map_err(|_| Refused::Answer.into())
    }

    /// The word that a list begins with, and the rest.
    pub(crate) fn outcome(self) -> Result<(Vec<u8>, Rest), StoreError> {
        let mut list = self.list()?.into_iter();
        let word = list.next().ok_or(Refused::Answer)?.bytes()?;
        Ok((word, Rest(list)))
    }

    pub(crate) fn bytes(self) -> Result<Vec<u8>, StoreError> {
        match self.0 {
            Value::BulkString(bytes) => Ok(bytes),
            Value::SimpleString(text) => Ok(text.into_bytes()),
            _ => Err(Refused::Answer.into()),
        }
    }

    /// A text of decimal digits.
    pub(crate) fn digits(self) -> Result<i64, StoreError> {
        let text = String::from_utf8(self.bytes()?).map_err(|_| Refused::Answer)?;
        text.parse().map_err(|_| Refused::Answer.into())
    }

    pub(crate) fn number<T: TryFrom<i64>>(self) -> Result<T, StoreError> {
        match self.0 {
            Value::Int(number) => T::try_from(number).map_err(|_| Refused::Answer.into()),
            _ => Err(Refused::Answer.into()),
        }
    }

    /// `None` for nothing.
    pub(crate) fn optional(self) -> Option<Self> {
        match self.0 {
            Value::Nil | Value::Boolean(false) => None,
            value => Some(Self(value)),
        }
    }
}

/// What follows the first word.
pub(crate) struct Rest(std::vec::IntoIter<Reply>);

impl Rest {
    pub(crate) fn next(&mut self) -> Result<Reply, StoreError> {
        self.0.next().ok_or_else(|| Refused::Answer.into())
    }
}

/// Says to the log what a script met and left alone.
pub(crate) fn report_broken(broken: Reply) -> Result<(), StoreError> {
    for text in broken.list()? {
        let text = text.bytes()?;
        tracing::warn!(error = %String::from_utf8_lossy(&text), "left a key alone that is not of this store");
    }
    Ok(())
}
