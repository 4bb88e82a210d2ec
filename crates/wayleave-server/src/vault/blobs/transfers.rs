//! How many blobs go in and out at a time, since each holds a piece in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use wayleave_core::subject::Subject;

use crate::error::{ApiError, ErrorCode};

/// What part of all transfers one account may have.
const SHARE: usize = 4;

/// The transfers of this server.
pub struct Transfers(Arc<State>);

struct State {
    most: usize,
    most_of_one: usize,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    all: usize,
    of: HashMap<Subject, usize>,
}

/// A transfer that is under way until this is dropped.
pub struct Turn {
    state: Arc<State>,
    owner: Subject,
}

impl Transfers {
    /// At most `most` at a time, and a quarter of them of one account.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let most_of_one = most.div_ceil(SHARE);
        Self(Arc::new(State { most, most_of_one, running: Mutex::default() }))
    }

    /// Begins one.
    ///
    /// # Errors
    /// 503 `overloaded` when there are as many as there may be, of all or of this account.
    pub fn begin(&self, owner: &Subject) -> Result<Turn, ApiError> {
        let mut running = self.0.running.lock();
        let of_one = running.of.get(owner).copied().unwrap_or(0);
        if running.all >= self.0.most || of_one >= self.0.most_of_one {
            return Err(ApiError::new(ErrorCode::Overloaded).with_retry_after(Duration::from_secs(1)));
        }
        running.all += 1;
        running.of.insert(owner.clone(), of_one + 1);
        Ok(Turn { state: Arc::clone(&self.0), owner: owner.clone() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut running = self.state.running.lock();
        running.all -= 1;
        let left = running.of.get(&self.owner).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            running.of.remove(&self.owner);
        } else {
            running.of.insert(self.owner.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(number: u32) -> Subject {
        format!("user:{number}").parse().unwrap()
    }

    #[test]
    fn one_account_leaves_room_for_others() {
        let transfers = Transfers::new(8);
        let begin = |number| transfers.begin(&subject(number));
        let refused = |number| begin(number).is_err_and(|error| error.code() == ErrorCode::Overloaded);
        let mut turns = Vec::new();
        for number in [1, 1, 2, 2, 3, 3, 4] {
            turns.extend(begin(number));
        }
        assert_eq!(turns.len(), 7);
        assert!(refused(1));
        turns.extend(begin(4));
        assert!(refused(5));
        turns.remove(0);
        assert!(!refused(1));
        turns.clear();
        let running = transfers.0.running.lock();
        assert_eq!((running.all, running.of.len()), (0, 0));
    }
}
