//! What a store of sessions remembers of itself, whatever kind it is: marks that stay, as tickets that nobody takes.

use sha2::{Digest as _, Sha256};
use wayleave_core::ports::{Deposit, SessionStore, StoreError};
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::time::Timestamp;

/// Most marks of a store.
const MOST: u32 = 64;
/// The last day of the year 9999.
const FOREVER: Timestamp = Timestamp::from_millis(253_402_214_400_000);

/// Something that happened to a store.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Sessions in it were served, or ended: it knows of ends that no other store knows of.
    Served,
    /// A copy of another store's sessions was begun in it.
    Copied,
}

impl Mark {
    /// Puts the mark on a store.
    ///
    /// # Errors
    /// [`StoreError`]; nobody knows whether it is there then.
    pub async fn put(self, store: &dyn SessionStore, now: Timestamp) -> Result<(), StoreError> {
        match store.deposit(&self.until(FOREVER), MOST, now).await? {
            Deposit::Done | Deposit::Exists => Ok(()),
            Deposit::Full => Err(StoreError::Full),
        }
    }

    /// Whether it is there.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    pub async fn is_on(self, store: &dyn SessionStore, now: Timestamp) -> Result<bool, StoreError> {
        // Tickets cannot be looked at. But one that is there refuses another of its key, and one that expired long ago
        // counts as absent.
        match store.deposit(&self.until(Timestamp::from_millis(0)), MOST, now).await? {
            Deposit::Exists => Ok(true),
            Deposit::Done => Ok(false),
            Deposit::Full => Err(StoreError::Full),
        }
    }

    fn until(self, expires_at: Timestamp) -> Ticket {
        let name: &[u8] = match self {
            Self::Served => b"served",
            Self::Copied => b"copied",
        };
        Ticket { purpose: Purpose::Mark, key: Sha256::digest(name).into(), payload: Box::default(), expires_at }
    }
}

#[cfg(test)]
mod tests {
    use wayleave_core::memory::{MemoryOptions, MemoryStore};

    use super::*;

    #[tokio::test]
    async fn marks_stay_and_are_told_apart() {
        let store = MemoryStore::new(MemoryOptions::default());
        let now = Timestamp::from_seconds(1_700_000_000);
        for _ in 0..2 {
            assert!(!Mark::Served.is_on(&store, now).await.unwrap());
        }
        for _ in 0..2 {
            Mark::Served.put(&store, now).await.unwrap();
            assert!(Mark::Served.is_on(&store, now).await.unwrap());
            assert!(!Mark::Copied.is_on(&store, now).await.unwrap());
        }
        let later = Timestamp::from_seconds(9_999_999_999);
        store.sweep(later, 100).await.unwrap();
        assert!(Mark::Served.is_on(&store, later).await.unwrap());
    }
}
