//! The server behind the sessions: a real one that ends with the measurement, and what was asked of it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

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

/// A store's server, with a place in it for every application.
pub(super) struct Backend {
    server: Server,
    /// Places that were given.
    places: Cell<u32>,
}

enum Server {
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
        let folder = || tempfile::tempdir().map_err(|source| Problem::File { path: std::env::temp_dir(), source });
        let server = match store {
            Store::Memory => Server::Memory,
            Store::Sqlite => Server::Sqlite(folder()?),
            Store::Postgres => Server::Postgres(counting_postgres().map_err(postgres_failed)?),
            Store::Redis => Server::Redis(Redis::private(&[]).map_err(redis_failed)?),
        };
        Ok(Self { server, places: Cell::new(0) })
    }

    /// A place for one more application: what its environment's `STORE` is to be.
    pub(super) fn place(&self) -> Result<String, Problem> {
        let number = self.places.get();
        self.places.set(number + 1);
        match &self.server {
            Server::Memory => Ok("memory".to_owned()),
            Server::Sqlite(folder) => Ok(folder.path().join(format!("{number}.db")).to_string_lossy().into_owned()),
            Server::Postgres(server) => {
                let name = format!("peer_{number}");
                // In the order of bytes: nobody is to pay for comparing ids as Turkish words.
                let create = format!("CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C.UTF-8'");
                server.psql("postgres", &create).map_err(postgres_failed)?;
                Ok(server.url(&name))
            }
            // One of its sixteen databases.
            Server::Redis(server) => Ok(format!("{}/{number}", server.url())),
        }
    }

    /// Everything that applications have asked of the server so far. Memory and files have none.
    pub(super) fn asked(&self) -> Result<Calls, Problem> {
        match &self.server {
            Server::Memory | Server::Sqlite(_) => Ok(Calls::default()),
            Server::Postgres(server) => {
                server.psql("postgres", STATEMENTS).map_err(postgres_failed).map(|text| statements(&text))
            }
            Server::Redis(server) => {
                server.node().cli(&["INFO", "commandstats"]).map_err(redis_failed).map(|text| commands(&text))
            }
        }
    }

    /// Whether there is anything to count.
    pub(super) const fn counts(&self) -> bool {
        matches!(self.server, Server::Postgres(_) | Server::Redis(_))
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
    fn servers_count_what_applications_ask() {
        for store in [Store::Redis, Store::Postgres] {
            let backend = Backend::start(store).unwrap();
            assert_ne!(backend.place().unwrap(), backend.place().unwrap());
            let ask = || match &backend.server {
                Server::Redis(server) => server.node().cli(&["SET", "a", "1"]).unwrap(),
                Server::Postgres(server) => server.psql("peer_0", "SELECT 1").unwrap(),
                Server::Memory | Server::Sqlite(_) => unreachable!("there is a server"),
            };
            let before = backend.asked().unwrap();
            ask();
            ask();
            let expected = if store == Store::Redis { "set 2" } else { "select 2" };
            assert_eq!(backend.asked().unwrap().since(&before, 1).to_string(), expected);
        }
    }

    #[test]
    fn what_happens_now_and_then_is_nothing() {
        let before = Calls::default();
        let operations = statements("3|update\n1|select").since(&before, 10_000);
        assert_eq!((operations.are_none(), operations.to_string().as_str()), (true, "none"));
        assert_eq!(statements("7|select\n7|begin").since(&before, 7).to_string(), "begin 1, select 1");
    }
}
