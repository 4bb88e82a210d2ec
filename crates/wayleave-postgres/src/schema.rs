//! The connection's set-up and the schema: migrated in one transaction, without keeping nodes that serve from the tables,
//! and refused when a newer version made it such that this one cannot work with it.

use std::error::Error;
use std::future::pending;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::time::timeout;
use wayleave_core::ports::StoreError;

use crate::error::{OpenError, Refused, failed, lost_a_race, waited_in_vain};
use crate::options::{Options, Schema};
use crate::pool::to_primary;

/// How long migrations of other nodes are waited for, and how long a statement of one's own may take: tables may be large.
const MIGRATION_TIMEOUT: &str = "15min";
/// How long a migration waits for a table that is in use. Everybody else who wants that table waits behind it meanwhile,
/// so it is well below the patience of nodes that serve.
const LOCK_TIMEOUT: &str = "1s";
/// How long it lets the others go first before it tries again, and how often it does that.
const STANDS_BACK: Duration = Duration::from_secs(3);
const TRIES: u32 = 200;

/// How every connection is set up.
pub(crate) fn server(url: &str, options: &Options) -> Result<PgConnectOptions, OpenError> {
    let namespace = &*options.namespace;
    let well_formed = namespace.len() <= 48
        && namespace.starts_with(|first: char| first.is_ascii_lowercase())
        && namespace.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if !well_formed {
        return Err(OpenError::Namespace);
    }
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(OpenError::Address(NotPostgres.into()));
    }
    let server: PgConnectOptions = url.parse().map_err(|error: sqlx::Error| OpenError::Address(error.into()))?;
    warn_if_in_the_clear(&server);
    let server = match server.get_application_name() {
        Some(_) => server,
        None => server.application_name("wayleave"),
    };
    let patience = options.statement_timeout.as_millis().to_string();
    Ok(server
        .options([
            ("search_path", namespace),
            ("statement_timeout", &patience),
            // The functions rest on it: each statement sees what was committed before it.
            ("default_transaction_isolation", "read committed"),
            // What is acknowledged survives a crash, whatever the server's default is.
            ("synchronous_commit", "on"),
        ])
        .statement_cache_capacity(256)
        .disable_statement_logging())
}

#[derive(Copy, Clone, Debug, thiserror::Error)]
#[error("it does not begin with postgres://")]
struct NotPostgres;

fn warn_if_in_the_clear(server: &PgConnectOptions) {
    let local = server.get_socket().is_some()
        || server.get_host().starts_with('/')
        || matches!(server.get_host(), "localhost" | "127.0.0.1" | "::1");
    match server.get_ssl_mode() {
        PgSslMode::VerifyFull | PgSslMode::VerifyCa => {}
        mode @ (PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer | PgSslMode::Require) => {
            if !local {
                tracing::warn!(?mode, "the way to the database is open to eavesdroppers: use sslmode=verify-full");
            }
        }
    }
}

/// Sees to the schema as the options want it.
pub(crate) async fn prepare(server: &PgConnectOptions, options: &Options) -> Result<(), OpenError> {
    match options.schema {
        Schema::Migrate => migrate(server, options).await,
        Schema::Expect => {
            let mut connection = connect(server, options).await?;
            let (state, known) = (State::of(&mut connection, &options.namespace).await?, known());
            state.check(known)?;
            if state.found < known {
                return Err(OpenError::OlderSchema { found: state.found, known });
            }
            Ok(connection.close().await.map_err(failed)?)
        }
    }
}

pub(crate) async fn migrate(server: &PgConnectOptions, options: &Options) -> Result<(), OpenError> {
    let mut connection = connect(server, options).await?;
    // Most nodes find that there is nothing to do, and need no lock for it.
    let state = State::of(&mut connection, &options.namespace).await?;
    state.check(known())?;
    if state.found < known() {
        take_turn(&mut connection, options).await?;
        migrate_patiently(&mut connection, options).await?;
    }
    Ok(connection.close().await.map_err(failed)?)
}

/// Waits until no other node migrates. The turn ends with the connection.
async fn take_turn(connection: &mut PgConnection, options: &Options) -> Result<(), StoreError> {
    let lock = lock_class(&options.namespace, "migrations");
    let take = format!(
        "SET statement_timeout = '{MIGRATION_TIMEOUT}'; SET lock_timeout = 0; SELECT pg_advisory_lock({lock}, 0); \
         SET lock_timeout = '{LOCK_TIMEOUT}'"
    );
    sqlx::raw_sql(AssertSqlSafe(take)).execute(connection).await.map(drop).map_err(failed)
}

async fn migrate_patiently(connection: &mut PgConnection, options: &Options) -> Result<(), OpenError> {
    for _ in 1..TRIES {
        match migrate_once(connection, options).await {
            Err(error) if gave_way(&error) => {
                tracing::info!("the migration waits until a table that it changes is not in use");
                timeout(STANDS_BACK, pending::<()>()).await.ok();
            }
            outcome => return outcome,
        }
    }
    migrate_once(connection, options).await
}

async fn migrate_once(connection: &mut PgConnection, options: &Options) -> Result<(), OpenError> {
    let mut transaction = connection.begin().await.map_err(failed)?;
    match migrate_in(&mut transaction, options).await {
        Ok(()) => Ok(transaction.commit().await.map_err(failed)?),
        Err(error) => {
            // At once, since others wait for what it holds. If that fails, the connection is gone, and all of it with it.
            transaction.rollback().await.ok();
            Err(error)
        }
    }
}

async fn migrate_in(transaction: &mut PgConnection, options: &Options) -> Result<(), OpenError> {
    let prepare = format!(
        "DO $$ BEGIN IF to_regnamespace('{0}') IS NULL THEN CREATE SCHEMA {0}; END IF; END $$",
        options.namespace
    );
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *transaction).await.map_err(failed)?;
    State::of(transaction, &options.namespace).await?.check(known())?;
    // Not `run`: the compiler cannot see that the future of a generic `Acquire` is `Send` for every lifetime.
    let run = migrator().run_direct(None, transaction, false).await;
    run.map_err(|error| OpenError::Migration(error.into()))
}

/// Whether a migration stood back for somebody who uses a table.
fn gave_way(error: &OpenError) -> bool {
    std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| error.source())
        .filter_map(|error| error.downcast_ref())
        .any(|error| lost_a_race(error) || waited_in_vain(error))
}

async fn connect(server: &PgConnectOptions, options: &Options) -> Result<PgConnection, StoreError> {
    timeout(options.acquire_timeout, to_primary(server)).await.map_err(|_| Refused::NoConnection)?
}

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!();
    // One's own lock is taken already. What a newer version applied is judged by `State`.
    migrator.set_locking(false).set_ignore_missing(true);
    migrator
}

fn known() -> i64 {
    migrator().iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// What the database says of its schema.
struct State {
    /// The newest migration; 0 for an empty database.
    found: i64,
    /// What a version must know to work with it.
    needed: i64,
}

impl State {
    async fn of(connection: &mut PgConnection, namespace: &str) -> Result<Self, StoreError> {
        let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(format!("{namespace}.compatibility"))
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        if !exists {
            return Ok(Self { found: 0, needed: 0 });
        }
        let (found, needed) = sqlx::query_as(
            "SELECT coalesce((SELECT max(version) FROM _sqlx_migrations), 0), \
             coalesce((SELECT max(needs) FROM compatibility), 0)",
        )
        .fetch_one(connection)
        .await
        .map_err(failed)?;
        Ok(Self { found, needed })
    }

    fn check(&self, known: i64) -> Result<(), OpenError> {
        let Self { found, needed } = *self;
        if needed > known { Err(OpenError::NewerSchema { found, needed, known }) } else { Ok(()) }
    }
}

/// The first half of an advisory lock's key, so that locks for different things, and those of several deployments in
/// one database, do not meet: FNV-1a.
pub(crate) fn lock_class(namespace: &str, what: &str) -> i32 {
    let bytes = namespace.bytes().chain([0]).chain(what.bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.cast_signed()
}
