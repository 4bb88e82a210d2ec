//! `wayleave migrate`: brings the schema of the database up to date.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;
use wayleave_sqlite::SqliteStore;

use super::super::deployment::{Absent, ambient, require};
use super::super::failure::Failure;
use super::super::output::Output;
use crate::assembly::StartError;
use crate::config::Config;
use crate::secrets;

/// Runs it.
pub(in crate::cli) async fn run(config: &Config, output: Output) -> Result<ExitCode, Failure> {
    require(config, Absent::Make)?;
    // A store in memory was refused, and every other one is a file.
    let path = config.database().ok_or(Failure::MemoryStore)?;
    let ambient = ambient();
    let opened = secrets::open(config, &*ambient.entropy)?;
    let ring = Arc::new(opened.keys.key_ring().map_err(|_| StartError::Keys)?);
    let mut options = wayleave_sqlite::Options::new(ring, ambient.entropy, ambient.clock);
    options.busy_timeout = config.store.busy_timeout;
    let progress = output.progress();
    progress.show("migrating; this waits until nobody else writes");
    SqliteStore::migrate(&path, &options).await?;
    drop(progress);
    output.result(
        || format!("{} has the schema of this version", path.display()),
        || json!({ "database": path.to_string_lossy(), "migrated": true }),
    )?;
    Ok(ExitCode::SUCCESS)
}
