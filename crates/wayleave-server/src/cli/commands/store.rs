//! `wayleave store copy`: takes live sessions along to another store.
//!
//! What was ended in one of the two must not go on in the other. So both rest while sessions are copied; the target is one
//! that has never served, since it would know of ends that the source does not; and a copy begins with nothing there, since
//! what an earlier one left may have ended in the source meanwhile.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use wayleave_core::ports::{Census, Insert, Listener, Listing, Scope, SessionStore, StoreError};
use wayleave_core::record::Record;
use wayleave_core::time::Timestamp;

use super::super::args::Store;
use super::super::deployment::ambient;
use super::super::failure::{Argument, Failure, Obstacle};
use super::super::output::Output;
use super::super::serve::alone;
use crate::assembly::Backend;
use crate::config::{Config, StoreUrl};
use crate::marks::Mark;
use crate::secrets::{self, MasterKeys};

/// Records asked for at once.
const PAGE: u32 = 500;
/// Begins a store that a variable of the environment names.
const VARIABLE: &str = "env:";

/// What became of the records.
#[derive(Copy, Clone, Default)]
struct Copied {
    copied: u64,
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
    let _alone = alone(opened.folder.path()).map_err(|_| Failure::ServerRuns)?;
    let (from, to) = (sessions(from, config, &opened.keys).await?, sessions(to, config, &opened.keys).await?);
    let outcome = copy(&from, &to, config.nodes.lease, ambient.clock.now(), output).await;
    from.close().await;
    to.close().await;
    let Copied { copied, ended } = outcome?;
    output.result(
        || format!("copied {copied} sessions; {ended} that have ended stayed behind"),
        || json!({ "copied": copied, "ended": ended }),
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
    from: &Backend,
    to: &Backend,
    lease: Duration,
    now: Timestamp,
    output: Output,
) -> Result<Copied, Failure> {
    let progress = output.progress();
    progress.show("listening for servers that still run");
    let mut rest = Rest::listen([from, to]).await?;
    // Who lives says so more often than once in a lease.
    rest.for_as_long_as(lease).await?;
    let (from, to) = (&from.store, &to.store);
    prepare(to, now, &mut rest, |cleared| progress.show(&format!("{cleared} sessions of an earlier copy removed")))
        .await?;
    let all: u64 = from.census(now).await?.live.iter().map(|(_, count)| count).sum();
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
                // Nothing was there, so somebody else writes to it.
                Insert::Exists | Insert::Refused | Insert::Conflict => return Err(Obstacle::StoreServes.into()),
            }
        }
        progress.show(&format!("{} of {all} sessions copied", done.copied));
        rest.for_as_long_as(Duration::ZERO).await?;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    progress.show("listening for servers that were started meanwhile");
    rest.for_as_long_as(lease).await?;
    if Mark::Served.is_on(&**to, now).await? {
        return Err(Obstacle::StoreServes.into());
    }
    Ok(done)
}

/// Makes sure that the target never served, marks it, and removes what an earlier copy left there.
async fn prepare(
    to: &Arc<dyn SessionStore>,
    now: Timestamp,
    rest: &mut Rest,
    progress: impl Fn(u64),
) -> Result<(), Failure> {
    if Mark::Served.is_on(&**to, now).await? {
        return Err(Obstacle::TargetServed.into());
    }
    if !Mark::Copied.is_on(&**to, now).await? {
        let Census { live, ended } = to.census(now).await?;
        if ended > 0 || !live.is_empty() {
            return Err(Obstacle::TargetServed.into());
        }
        return Ok(Mark::Copied.put(&**to, now).await?);
    }
    let mut cleared = 0;
    let mut after = None;
    loop {
        let page = to.list(&Listing { subject: None, after, most: PAGE }).await?;
        let mut writes = JoinSet::new();
        for record in page.records {
            let to = Arc::clone(to);
            writes.spawn(async move { to.revoke(&Scope::One(record.slot, record.id)).await });
        }
        while let Some(written) = writes.join_next().await {
            written.map_err(|_| Failure::Cut)??;
            cleared += 1;
        }
        progress(cleared);
        rest.for_as_long_as(Duration::ZERO).await?;
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn put(to: Arc<dyn SessionStore>, record: Arc<Record>, now: Timestamp) -> Result<Insert, StoreError> {
    to.insert(&record, None, None, now).await
}

/// Hears whether a server lives on a store.
struct Rest(Vec<Box<dyn Listener>>);

impl Rest {
    async fn listen(stores: [&Backend; 2]) -> Result<Self, StoreError> {
        let mut listeners = Vec::new();
        for bus in stores.into_iter().filter_map(|store| store.bus.as_ref()) {
            listeners.push(bus.listen().await?);
        }
        Ok(Self(listeners))
    }

    /// Refuses when anything was said since the last time, or is within `time`.
    async fn for_as_long_as(&mut self, time: Duration) -> Result<(), Failure> {
        for listener in &mut self.0 {
            match tokio::time::timeout(time, listener.next()).await {
                Err(_) => {}
                Ok(Ok(_)) => return Err(Obstacle::StoreServes.into()),
                Ok(Err(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
