//! PostgreSQL with millions of rows, made by the database itself from one real one.

use std::sync::Arc;

use wayleave_testkit::servers::postgres::{Database, Postgres};

use super::{Amounts, Store};
use crate::problem::Problem;
use crate::report::count;

/// A server of its own, as PostgreSQL is when nobody sets anything.
pub(super) struct Filled {
    database: Database,
    _server: Arc<Postgres>,
    amounts: Amounts,
}

impl Filled {
    pub(super) fn start(amounts: Amounts) -> Result<Self, Problem> {
        let start = || {
            let server = Postgres::private()?;
            Ok((server.database()?, server))
        };
        let (database, server) = start().map_err(broken)?;
        Ok(Self { database, _server: server, amounts })
    }

    fn run(&self, statements: &str) -> Result<String, Problem> {
        self.database.psql(statements).map_err(broken)
    }

    /// The columns of a session that are not computed, and what a made-up one has there: number `n`, which ended `ended`
    /// milliseconds ago where it has ended.
    fn columns(&self) -> Result<(String, String), Problem> {
        let columns = self.run(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'wayleave' \
             AND table_name = 'sessions' AND is_generated = 'NEVER' ORDER BY ordinal_position",
        )?;
        let names: Vec<&str> = columns.lines().collect();
        let made = |name: &&str| match *name {
            "id" => "substr(sha256(convert_to('id' || n, 'UTF8')), 1, 18)".to_owned(),
            "family" => "substr(sha256(convert_to('family' || n, 'UTF8')), 1, 16)".to_owned(),
            "token" | "refresh" => format!("sha256(convert_to('{name}' || n, 'UTF8'))"),
            "slot" => "n::BIGINT * 7919 % 65536".to_owned(),
            "subject" => "'user:user_' || n / 5".to_owned(),
            name @ ("created_at" | "absolute_expires_at" | "last_seen_at" | "token_expires_at") => {
                format!("model.{name} - shift")
            }
            name => format!("model.{name}"),
        };
        Ok((names.join(", "), names.iter().map(made).collect::<Vec<_>>().join(", ")))
    }
}

impl Store for Filled {
    fn name(&self) -> String {
        format!("PostgreSQL, {} sessions", count(self.amounts.postgres_live + self.amounts.postgres_ended))
    }

    fn url(&self) -> String {
        self.database.url()
    }

    fn settings(&self) -> Vec<String> {
        Vec::new()
    }

    fn fill(&self) -> Result<(), Problem> {
        let (columns, made) = self.columns()?;
        let all = self.amounts.postgres_live + self.amounts.postgres_ended;
        let every = all / self.amounts.postgres_ended.max(1);
        // Ended or opened at any time of some hours, so that what a step removes lies all over the table.
        let source = format!(
            "model, generate_series(1, {all}) AS n, LATERAL (SELECT (random() * 14400000)::BIGINT \
             + CASE WHEN n % {every} = 0 THEN 30 * 86400000::BIGINT ELSE 0 END AS shift) AS moved"
        );
        let indexes = self.run(
            "SELECT indexname || ';' || indexdef FROM pg_indexes WHERE schemaname = 'wayleave' \
             AND tablename = 'sessions' AND indexname <> 'sessions_pkey'",
        )?;
        let (removed, made_anew): (Vec<_>, Vec<_>) = indexes
            .lines()
            .filter_map(|line| line.split_once(';'))
            .map(|(name, definition)| (format!("DROP INDEX {name}"), definition))
            .unzip();
        for setting in ["fsync = off", "max_wal_size = '8GB'"] {
            self.run(&format!("ALTER SYSTEM SET {setting}"))?;
        }
        self.run("SELECT pg_reload_conf()")?;
        self.run(&format!(
            "SET search_path = wayleave; SET maintenance_work_mem = '512MB'; SET jit = off; \
             CREATE TEMP TABLE model AS SELECT * FROM sessions LIMIT 1; TRUNCATE sessions; \
             {}; ALTER TABLE sessions DROP CONSTRAINT sessions_pkey; \
             INSERT INTO sessions ({columns}) SELECT {made} FROM {source}; \
             ALTER TABLE sessions ADD PRIMARY KEY (id); {}; \
             INSERT INTO spent_refresh_tokens (hash, family, at, until) SELECT sha256(family), family, created_at, \
                absolute_expires_at FROM sessions WHERE ends_at < {ENDED}; \
             CREATE SCHEMA unrelated; CREATE TABLE unrelated.sessions (LIKE sessions INCLUDING ALL); \
             INSERT INTO unrelated.sessions ({columns}) SELECT {columns} FROM sessions WHERE ends_at < {ENDED}; \
             CREATE TABLE unrelated.spent (LIKE spent_refresh_tokens INCLUDING ALL); \
             INSERT INTO unrelated.spent SELECT * FROM spent_refresh_tokens",
            removed.join("; "),
            made_anew.join("; "),
        ))?;
        self.run("VACUUM ANALYZE")?;
        for setting in ["fsync", "max_wal_size"] {
            self.run(&format!("ALTER SYSTEM RESET {setting}"))?;
        }
        self.run("SELECT pg_reload_conf()")?;
        self.run("CHECKPOINT").map(drop)
    }

    fn ended(&self) -> usize {
        self.amounts.postgres_ended
    }

    fn is_swept(&self) -> Result<bool, Problem> {
        let left = format!("SELECT EXISTS (SELECT FROM wayleave.sessions WHERE ends_at < {ENDED})");
        Ok(self.run(&left)? == "f")
    }

    fn unrelated(&self) -> Result<(), Problem> {
        self.run(
            "DO $$ DECLARE gone BIGINT; spent BIGINT; BEGIN LOOP \
                DELETE FROM unrelated.sessions WHERE id = ANY (ARRAY( \
                    SELECT id FROM unrelated.sessions ORDER BY ends_at LIMIT 1000 FOR UPDATE SKIP LOCKED)); \
                GET DIAGNOSTICS gone = ROW_COUNT; \
                DELETE FROM unrelated.spent WHERE hash = ANY (ARRAY( \
                    SELECT hash FROM unrelated.spent ORDER BY until LIMIT 1000 FOR UPDATE SKIP LOCKED)); \
                GET DIAGNOSTICS spent = ROW_COUNT; \
                COMMIT; EXIT WHEN gone = 0 AND spent = 0; \
             END LOOP; END $$",
        )
        .map(drop)
    }
}

/// Before that ended what is to be swept: three weeks ago.
const ENDED: &str = "(extract(epoch FROM now()) * 1000)::BIGINT - 21 * 86400000::BIGINT";

fn broken(source: std::io::Error) -> Problem {
    Problem::Program { name: "postgres", source }
}
