//! The file and its schema: made private, refused when a newer version wrote it, migrated in one transaction.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Sqlite, SqliteConnection, SqlitePool};
use wayleave_core::ports::StoreError;

use crate::error::{OpenError, Refused, failed, is_busy};
use crate::options::{Durability, Options, Schema};

/// The schema of the store's file.
pub(crate) static STORE: Migrator = sqlx::migrate!();
/// The schema of the vault's file.
pub(crate) static VAULT: Migrator = sqlx::migrate!("./migrations-vault");

/// Bytes of a page: SQLite's default, stated because the limit of size is counted in pages.
const PAGE: u64 = 4096;
/// How long to wait for somebody else's opening of a new file, at a time.
const RETRY: Duration = Duration::from_millis(10);
/// What the write-ahead log is cut down to after a burst.
const KEPT_LOG_BYTES: &str = "67108864";

/// Opens the writing connection, with the schema as the options want it.
pub(crate) async fn prepare(
    path: &Path,
    options: &Options,
    schema: &'static Migrator,
) -> Result<SqliteConnection, OpenError> {
    create_file(path)?;
    let mut writing = connect(path, options).await?;
    match options.schema {
        Schema::Migrate => bring_up_to_date(&mut writing, schema).await?,
        Schema::Expect => {
            let found = applied(&mut writing).await?;
            let known = newest(schema);
            if found > known {
                return Err(OpenError::NewerSchema { found, known });
            }
            if found < known {
                return Err(OpenError::OlderSchema { found, known });
            }
        }
    }
    Ok(writing)
}

pub(crate) async fn migrate(path: &Path, options: &Options, schema: &'static Migrator) -> Result<(), OpenError> {
    create_file(path)?;
    let mut writing = connect(path, options).await?;
    bring_up_to_date(&mut writing, schema).await?;
    Ok(writing.close().await.map_err(failed)?)
}

/// The connections that read.
pub(crate) fn readers(path: &Path, options: &Options) -> SqlitePool {
    PoolOptions::<Sqlite>::new()
        .max_connections(options.readers.max(1))
        .acquire_timeout(options.busy_timeout)
        // A file does not hang up; a broken connection shows in its next answer.
        .test_before_acquire(false)
        .connect_lazy_with(connection(path, options).pragma("query_only", "ON"))
}

/// Turning a new file into one with a write-ahead log takes a lock that SQLite does not wait for, and another process
/// may be at the same: this waits instead.
async fn connect(path: &Path, options: &Options) -> Result<SqliteConnection, StoreError> {
    let mut again = tokio::time::interval(RETRY);
    let attempts = async {
        loop {
            again.tick().await;
            match writing(path, options).connect().await {
                Err(error) if is_busy(&error) => {}
                outcome => return outcome.map_err(failed),
            }
        }
    };
    // Twice, since one attempt may wait that long for locks that SQLite does wait for.
    match tokio::time::timeout(options.busy_timeout.saturating_mul(2), attempts).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Refused::NoTransaction.into()),
    }
}

/// How the connection that writes is set up.
fn writing(path: &Path, options: &Options) -> SqliteConnectOptions {
    // What was deleted is overwritten wherever that costs no further writing. Pages that become free as a whole, by the
    // overflow of large values or the end of many rows, keep what was on them until they are used again.
    connection(path, options).pragma("secure_delete", "FAST")
}

/// How every connection to the file is set up.
fn connection(path: &Path, options: &Options) -> SqliteConnectOptions {
    let synchronous = match options.durability {
        Durability::Full => SqliteSynchronous::Full,
        Durability::Normal => SqliteSynchronous::Normal,
    };
    let set_up = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(options.busy_timeout)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .foreign_keys(true)
        .statement_cache_capacity(256)
        .pragma("journal_size_limit", KEPT_LOG_BYTES)
        // Nothing of the database ends up in temporary files.
        .pragma("temp_store", "MEMORY")
        // A file that somebody tampered with runs no code of theirs.
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging();
    match options.most_bytes {
        Some(bytes) => set_up.pragma("max_page_count", (bytes / PAGE).clamp(1, u64::from(u32::MAX - 1)).to_string()),
        None => set_up,
    }
}

async fn bring_up_to_date(connection: &mut SqliteConnection, schema: &'static Migrator) -> Result<(), OpenError> {
    // Under the write lock from the start, so that of two processes one migrates and the other finds it done.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    let (found, known) = (applied(&mut transaction).await?, newest(schema));
    if found > known {
        return Err(OpenError::NewerSchema { found, known });
    }
    // Not `run`: the compiler cannot see that the future of a generic `Acquire` is `Send` for every lifetime.
    schema.run_direct(None, &mut *transaction, false).await.map_err(|error| OpenError::Migration(error.into()))?;
    Ok(transaction.commit().await.map_err(failed)?)
}

/// The version that this one brings a file to.
fn newest(schema: &Migrator) -> i64 {
    schema.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// The version of the file's schema; 0 for an empty file.
async fn applied(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    const EXISTS: &str =
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations')";
    let migrated: bool = sqlx::query_scalar(EXISTS).fetch_one(&mut *connection).await.map_err(failed)?;
    if !migrated {
        return Ok(0);
    }
    let version: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(connection).await.map_err(failed)?;
    Ok(version.unwrap_or(0))
}

/// Makes the file before SQLite would, so that it is private from its first byte; SQLite gives its log the same mode.
fn create_file(path: &Path) -> Result<(), OpenError> {
    let unreachable = |source| OpenError::File { path: path.into(), source };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
        && !folder.exists()
    {
        create_folder(folder)?;
    }
    let mut file = fs::OpenOptions::new();
    file.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    match file.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => warn_if_others_read(path).map_err(unreachable),
        Err(error) => Err(unreachable(error)),
    }
}

/// Makes a folder, with those above it, that nobody else can look into.
fn create_folder(path: &Path) -> Result<(), OpenError> {
    private_folder().recursive(true).create(path).map_err(|source| OpenError::File { path: path.into(), source })
}

/// Makes a folder that nobody else can look into, and that was not there before.
pub(crate) fn create_new_folder(path: &Path) -> Result<(), OpenError> {
    private_folder().create(path).map_err(|source| OpenError::File { path: path.into(), source })
}

fn private_folder() -> fs::DirBuilder {
    let mut folder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder
}

#[cfg(unix)]
fn warn_if_others_read(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format_args!("{mode:03o}"), "other users can reach the database");
    }
    Ok(())
}

#[cfg(not(unix))]
fn warn_if_others_read(path: &Path) -> io::Result<()> {
    fs::metadata(path).map(|_| ())
}

#[cfg(test)]
mod tests;
