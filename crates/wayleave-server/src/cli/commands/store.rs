//! `wayleave store copy`: takes live sessions along to another store.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;
use wayleave_core::ports::{Insert, Listing, SessionStore, StoreError};
use wayleave_core::record::Record;
use wayleave_core::time::Timestamp;

use super::super::args::Store;
use super::super::deployment::ambient;
use super::super::failure::{Argument, Failure};
use super::super::output::Output;
use super::super::serve::alone;
use crate::assembly::Backend;
use crate::config::{Config, StoreUrl};
use crate::secrets::{self, MasterKeys};

/// Records asked for at once.
const PAGE: u32 = 500;
/// Begins a store that a variable of the environment names.
const VARIABLE: &str = "env:";

/// What became of the records.
#[derive(Copy, Clone, Default)]
struct Copied {
    copied: u64,
    there: u64,
    ended: u64,
}

/// Runs it.
pub(in crate::cli) async fn run(command: &Store, config: &Config, output: Output) -> Result<ExitCode, Failure> {
    let Store::Copy { from, to } = command;
    let (from, to) = (url(from)?, url(to)?);
    if from == to || [&from, &to].contains(&&StoreUrl::Memory) {
        return Err(Argument::Stores.into());
    }
    let ambient = ambient();
    let opened = secrets::open(config, &*ambient.entropy)?;
    // A server that runs would end sessions in the one store that go on in the other.
    let _alone = alone(opened.folder.path()).map_err(|_| Failure::ServerRuns)?;
    let (from, to) = (sessions(from, config, &opened.keys).await?, sessions(to, config, &opened.keys).await?);
    let outcome = copy(&from.store, &to.store, ambient.clock.now(), output).await;
    from.close().await;
    to.close().await;
    let Copied { copied, there, ended } = outcome?;
    output.result(
        || format!("copied {copied} sessions; {there} were there already, and {ended} that have ended stayed behind"),
        || json!({ "copied": copied, "there": there, "ended": ended }),
    )?;
    Ok(ExitCode::SUCCESS)
}

/// A store as it is named on the command line, or, where it holds a password, in a variable of the environment.
#[expect(clippy::disallowed_methods, reason = "the caller names the variable")]
fn url(text: &str) -> Result<StoreUrl, Argument> {
    let variable = text.strip_prefix(VARIABLE).map(|name| std::env::var(name).map_err(|_| Argument::Store));
    let text = variable.transpose()?.unwrap_or_else(|| text.to_owned());
    text.parse().map_err(|_| Argument::Store)
}

/// Opens a store for its sessions alone.
async fn sessions(url: StoreUrl, config: &Config, keys: &MasterKeys) -> Result<Backend, Failure> {
    let mut config = config.clone();
    // Whatever else there is stays where it is.
    config.store.directory = (!url.is_directory()).then_some(StoreUrl::Memory);
    config.store.url = url;
    Ok(Backend::open(&config, keys, &ambient()).await?)
}

async fn copy(
    from: &Arc<dyn SessionStore>,
    to: &Arc<dyn SessionStore>,
    now: Timestamp,
    output: Output,
) -> Result<Copied, Failure> {
    let all: u64 = from.census(now).await?.live.iter().map(|(_, count)| count).sum();
    let progress = output.progress();
    let mut done = Copied::default();
    let mut after = None;
    loop {
        let page = from.list(&Listing { subject: None, after, most: PAGE }).await?;
        let mut writes = JoinSet::new();
        for record in page.records {
            if record.has_ended(now) {
                done.ended += 1;
            } else {
                writes.spawn(put(Arc::clone(to), record, now));
            }
        }
        while let Some(written) = writes.join_next().await {
            match written.map_err(|_| Failure::Cut)?? {
                Insert::Done { .. } => done.copied += 1,
                Insert::Exists | Insert::Refused | Insert::Conflict => done.there += 1,
            }
        }
        progress.show(&format!("{} of {all} sessions copied", done.copied + done.there));
        after = page.next;
        if after.is_none() {
            return Ok(done);
        }
    }
}

async fn put(to: Arc<dyn SessionStore>, record: Arc<Record>, now: Timestamp) -> Result<Insert, StoreError> {
    to.insert(&record, None, None, now).await
}
