//! The server behind the sessions: a real one that ends with the measurement, and what was asked of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use wayleave_testkit::servers::postgres::Postgres;
use wayleave_testkit::servers::redis::Redis;

use crate::problem::Problem;

/// Where sessions are.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Store {
    Memory,
    Sqlite,
    Postgres,
    Redis,
}

impl Store {
    pub(super) const ALL: [Self; 4] = [Self::Memory, Self::Sqlite, Self::Postgres, Self::Redis];

    /// In the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
        }
    }
}

/// A store's server.
pub(super) enum Backend {
    /// The application's own memory.
    Memory,
    /// Files in a temporary folder.
    Sqlite(TempDir),
    /// As durable as PostgreSQL is by default, and counting statements.
    Postgres(Arc<Postgres>),
    /// Without a file of its own.
    Redis(Redis),
}

impl Backend {
    /// Starts the server.
    pub(super) fn start(store: Store) -> Result<Self, Problem> {
        Ok(match store {
            Store::Memory => Self::Memory,
            Store::Sqlite => Self::Sqlite(
                tempfile::tempdir().map_err(|source| Problem::File { path: std::env::temp_dir(), source })?,
            ),
            Store::Postgres => Self::Postgres(counting_postgres().map_err(postgres_failed)?),
            Store::Redis => Self::Redis(Redis::private(&[]).map_err(redis_failed)?),
        })
    }

    /// A place for one more application: what its environment's `STORE` is to be.
    pub(super) fn place(&self) -> Result<String, Problem> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        match self {
            Self::Memory => Ok("memory".to_owned()),
            Self::Sqlite(folder) => Ok(folder.path().join(format!("{number}.db")).to_string_lossy().into_owned()),
            Self::Postgres(server) => {
                let name = format!("peer_{number}");
                // In the order of bytes: nobody is to pay for comparing ids as Turkish words.
                let create = format!("CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C.UTF-8'");
                server.psql("postgres", &create).map_err(postgres_failed)?;
                Ok(server.url(&name))
            }
            // Nobody takes others' keys for their own: all of them begin differently, or are random.
            Self::Redis(server) => Ok(server.url()),
        }
    }

    /// Everything that applications have asked of the server so far. Memory and files have none.
    pub(super) fn asked(&self) -> Result<Calls, Problem> {
        match self {
            Self::Memory | Self::Sqlite(_) => Ok(Calls::default()),
            Self::Postgres(server) => {
                server.psql("postgres", STATEMENTS).map_err(postgres_failed).map(|text| statements(&text))
            }
            Self::Redis(server) => {
                server.node().cli(&["INFO", "commandstats"]).map_err(redis_failed).map(|text| commands(&text))
            }
        }
    }

    /// Whether there is anything to count.
    pub(super) const fn counts(&self) -> bool {
        matches!(self, Self::Postgres(_) | Self::Redis(_))
    }
}

fn counting_postgres() -> std::io::Result<Arc<Postgres>> {
    let server = Postgres::private()?;
    server.psql("postgres", "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")?;
    server.stop()?;
    server.start()?;
    server.psql("postgres", "CREATE EXTENSION pg_stat_statements")?;
    Ok(server)
}

fn postgres_failed(source: std::io::Error) -> Problem {
    Problem::Program { name: "postgres", source }
}

fn redis_failed(source: std::io::Error) -> Problem {
    Problem::Program { name: "redis-server", source }
}

/// How often statements were run, by their first word.
const STATEMENTS: &str = r#"
    SELECT sum(calls)::bigint, lower((regexp_match(query, '\w+'))[1] COLLATE "C")
    FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid
    WHERE datname <> 'postgres' GROUP BY 2"#;

fn statements(text: &str) -> Calls {
    let of_line =
        |line: &str| line.split_once('|').and_then(|(calls, word)| Some((word.to_owned(), calls.parse().ok()?)));
    Calls(text.lines().filter_map(of_line).collect())
}

/// `cmdstat_get:calls=7,usec=30,...` for each command.
fn commands(text: &str) -> Calls {
    let of_line = |line: &str| {
        let (name, figures) = line.trim().strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let is_ours = matches!(name, "info" | "auth");
        let calls = figures.split(',').next()?.parse().ok()?;
        (!is_ours).then(|| (name.replace('|', " "), calls))
    };
    Calls(text.lines().filter_map(of_line).collect())
}

/// How often what was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Calls(BTreeMap<String, u64>);

impl Calls {
    /// What was asked since `before`, for each of so many requests.
    pub(super) fn since(&self, before: &Self, requests: u64) -> Operations {
        let per_request = |(name, calls): (&String, &u64)| {
            let more = calls.saturating_sub(before.0.get(name).copied().unwrap_or_default());
            (name.clone(), more as f64 / requests.max(1) as f64)
        };
        Operations(self.0.iter().map(per_request).collect())
    }
}

/// Operations of the backend for each request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Operations(BTreeMap<String, f64>);

impl Operations {
    /// Below this it is not the requests that ask: activity is written down now and then, nodes say that they live.
    const NONE: f64 = 0.01;

    /// Whether requests ask nothing.
    pub(super) fn are_none(&self) -> bool {
        self.0.values().all(|count| *count < Self::NONE)
    }
}

impl fmt::Display for Operations {
    /// `get 1, set 0.5`, or `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.0.iter().filter(|(_, count)| **count >= Self::NONE);
        let mut named = named.map(|(name, count)| format!("{name} {}", (count * 100.0).round() / 100.0)).peekable();
        if named.peek().is_none() {
            return f.write_str("none");
        }
        f.write_str(&named.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_counts_is_read_without_ourselves() {
        let text = "# Commandstats\r\ncmdstat_get:calls=30,usec=9,usec_per_call=0.30\r\ncmdstat_info:calls=2,usec=1\r\n\
                    cmdstat_client|setinfo:calls=4,usec=1\r\ncmdstat_set:calls=5,usec=1\r\n";
        let before = commands("cmdstat_get:calls=10,usec=3");
        let operations = commands(text).since(&before, 10);
        assert_eq!(operations.to_string(), "client setinfo 0.4, get 2, set 0.5");
        assert!(!operations.are_none());
    }

    #[test]
    fn what_happens_now_and_then_is_nothing() {
        let before = Calls::default();
        let operations = statements("3|update\n1|select").since(&before, 10_000);
        assert_eq!((operations.are_none(), operations.to_string().as_str()), (true, "none"));
        assert_eq!(statements("7|select\n7|begin").since(&before, 7).to_string(), "begin 1, select 1");
    }
}
