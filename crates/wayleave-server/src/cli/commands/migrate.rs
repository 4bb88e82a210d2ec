//! `wayleave migrate`: brings the schema of the database up to date.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;
use wayleave_postgres::PostgresStore;
use wayleave_sqlite::{SqliteStore, SqliteVault};

use super::super::deployment::{Absent, ambient, require};
use super::super::failure::Failure;
use super::super::output::Output;
use crate::assembly::{StartError, vault_file};
use crate::config::{Config, StoreUrl};
use crate::secrets;

/// Runs it. Redis has no schema, so it is the database of accounts that is meant where sessions are there.
pub(in crate::cli) async fn run(config: &Config, output: Output) -> Result<ExitCode, Failure> {
    require(config, Absent::Make)?;
    let ambient = ambient();
    let opened = secrets::open(config, &*ambient.entropy)?;
    let ring = Arc::new(opened.keys.key_ring().map_err(|_| StartError::Keys)?);
    let progress = output.progress();
    let database = match config.directory() {
        StoreUrl::Sqlite(path) => {
            let path = config.resolve(path);
            let mut options = wayleave_sqlite::Options::new(ring, ambient.entropy, ambient.clock);
            options.busy_timeout = config.store.busy_timeout;
            progress.show("migrating; this waits until nobody else writes");
            SqliteStore::migrate(&path, &options).await?;
            if config.vault.blobs {
                SqliteVault::migrate(vault_file(&path), &options).await?;
            }
            path.display().to_string()
        }
        StoreUrl::Postgres(url) => {
            let options = wayleave_postgres::Options::new(ring, ambient.entropy, ambient.clock);
            progress.show("migrating; servers that run go on");
            PostgresStore::migrate(url.reveal(), &options).await?;
            url.to_string()
        }
        StoreUrl::Memory | StoreUrl::Redis(_) | StoreUrl::RedisCluster(_) => return Err(Failure::MemoryStore),
    };
    drop(progress);
    output.result(
        || format!("{database} has the schema of this version"),
        || json!({ "database": database, "migrated": true }),
    )?;
    Ok(ExitCode::SUCCESS)
}
