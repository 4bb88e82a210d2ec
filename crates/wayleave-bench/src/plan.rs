//! How much is measured: minutes for a table that means something, seconds for a test of the benchmark itself.

use std::time::Duration;

use crate::sweep::Amounts;

/// Amounts and times.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Plan {
    /// Live sessions of the memory store, for validation.
    pub(crate) memory_sizes: &'static [usize],
    /// Live sessions of the SQLite store, for validation.
    pub(crate) sqlite_sizes: &'static [usize],
    /// Rounds of a figure.
    pub(crate) rounds: usize,
    /// One round.
    pub(crate) round: Duration,
    /// Live sessions, for bytes per session.
    pub(crate) live: usize,
    /// Stores of the servers that are measured over HTTP.
    pub(crate) http_stores: &'static [&'static str],
    /// Paired rounds over HTTP.
    pub(crate) http_rounds: usize,
    /// One half of a pair, in seconds.
    pub(crate) http_seconds: u32,
    /// Rounds of each application over a store, all taking turns.
    pub(crate) store_rounds: usize,
    /// Paired rounds of the server over a store.
    pub(crate) store_server_rounds: usize,
    /// One load of a round over a store, at most.
    pub(crate) store_load: Duration,
    /// How long people sign in.
    pub(crate) logins: Duration,
    /// How long sessions are refreshed.
    pub(crate) refreshes: Duration,
    /// Sessions that are refreshed in turn.
    pub(crate) refreshed: usize,
    /// What is swept.
    pub(crate) sweep: Amounts,
}

impl Plan {
    pub(crate) const FULL: Self = Self {
        memory_sizes: &[1_000, 100_000, 1_000_000],
        sqlite_sizes: &[1_000, 100_000],
        rounds: 15,
        round: Duration::from_millis(100),
        live: 1_000_000,
        http_stores: &["sqlite:wayleave.db", "memory:"],
        http_rounds: 11,
        http_seconds: 2,
        store_rounds: 3,
        store_server_rounds: 5,
        store_load: Duration::from_secs(2),
        logins: Duration::from_secs(15),
        refreshes: Duration::from_secs(5),
        refreshed: 2_000,
        sweep: Amounts {
            postgres_live: 9_000_000,
            postgres_ended: 1_000_000,
            redis_ended: 1_000_000,
            validated: 500,
            idle: Duration::from_secs(30),
        },
    };

    pub(crate) const QUICK: Self = Self {
        memory_sizes: &[500],
        sqlite_sizes: &[50],
        rounds: 3,
        round: Duration::from_millis(2),
        live: 2_000,
        http_stores: &["sqlite:wayleave.db"],
        http_rounds: 1,
        http_seconds: 1,
        store_rounds: 1,
        store_server_rounds: 1,
        store_load: Duration::from_millis(300),
        logins: Duration::from_secs(1),
        refreshes: Duration::from_millis(200),
        refreshed: 20,
        sweep: Amounts {
            postgres_live: 9_000,
            postgres_ended: 1_000,
            redis_ended: 3_000,
            validated: 16,
            idle: Duration::from_secs(1),
        },
    };
}
