//! `wayleave session`: who is signed in, and ending that.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;
use wayleave::SessionManager;
use wayleave::events::Cause;
use wayleave_core::id::SessionId;
use wayleave_core::ports::{Lookup, StoreError};
use wayleave_core::record::Record;
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;

use super::super::args::{Revoke, Session};
use super::super::deployment::{Absent, Deployment};
use super::super::failure::{Argument, Failure, Obstacle};
use super::super::output::{Line, Output};
use super::{json, listed};
use crate::config::Config;
use crate::wire::{SessionInfo, rfc3339};

/// Sessions read at once.
const STEP: u32 = 500;
/// Revocations under way at once: the store commits them together.
const AT_ONCE: usize = 64;
/// How often all sessions are gone through, for those that move while that happens: a sign-in again, in a new session,
/// may stand where was looked already.
const PASSES: u32 = 5;

/// Runs one of them.
pub(in crate::cli) async fn run(command: &Session, config: &Config, output: Output) -> Result<ExitCode, Failure> {
    match command {
        Session::List { subject } => {
            let subject = subject.as_deref().map(parse_subject).transpose()?;
            let deployment = Deployment::open(config, Absent::Refuse).await?;
            let outcome = list(&deployment, subject.as_ref(), output).await;
            deployment.close(outcome).await?;
        }
        Session::Show { id } => {
            let id = parse_id(id)?;
            let deployment = Deployment::open(config, Absent::Refuse).await?;
            let now = deployment.app.now();
            let outcome = find(&deployment, &id).await;
            let record = deployment.close(outcome).await?;
            show(&record, now, output)?;
        }
        Session::Revoke(Revoke { id: Some(id), subject: _, all: _ }) => {
            let id = parse_id(id)?;
            let deployment = Deployment::open(config, Absent::Refuse).await?;
            let outcome = end_one(&deployment, &id).await;
            deployment.close(outcome).await?;
            ended(1, output)?;
        }
        Session::Revoke(Revoke { id: None, subject: Some(subject), all: _ }) => {
            let subject = parse_subject(subject)?;
            let deployment = Deployment::open(config, Absent::Refuse).await?;
            let outcome = end_all_of(&deployment, &subject).await;
            ended(deployment.close(outcome).await?, output)?;
        }
        Session::Revoke(Revoke { id: None, subject: None, all: _ }) => {
            let deployment = Deployment::open(config, Absent::Refuse).await?;
            let outcome = end_where(&deployment, output, |_| true).await;
            ended(deployment.close(outcome).await?, output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn parse_subject(text: &str) -> Result<Subject, Argument> {
    text.parse().map_err(|_| Argument::Subject)
}

fn parse_id(text: &str) -> Result<SessionId, Argument> {
    text.parse().map_err(|_| Argument::SessionId)
}

fn ended(count: u64, output: Output) -> Result<(), Failure> {
    output.result(
        || if count == 1 { "1 session ended".to_owned() } else { format!("{count} sessions ended") },
        || json!({ "ended": count }),
    )?;
    Ok(())
}

async fn list(deployment: &Deployment, subject: Option<&Subject>, output: Output) -> Result<(), Failure> {
    let app = &deployment.app;
    let now = app.now();
    let mut listing = output.listing(["ID", "SUBJECT", "DEVICE", "NETWORK", "OPENED", "LAST SEEN", "ENDS"]);
    let mut after = None;
    loop {
        let page = app.manager.list(subject, after.as_deref(), STEP).await?;
        let live = page.records.iter().filter(|record| now < record.ends_at());
        listing.page(live.map(|record| Line {
            cells: [
                record.id.to_string(),
                whose(record),
                optional(record.client.label.as_deref()),
                optional(record.client.network.as_deref()),
                rfc3339(record.created_at),
                rfc3339(record.last_seen_at),
                rfc3339(record.ends_at()),
            ],
            json: json(SessionInfo::of(record, None, now)),
        }))?;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if listing.end()? == 0 {
        output.remark("There are no live sessions.");
    }
    Ok(())
}

fn whose(record: &Record) -> String {
    record.subject.as_ref().map_or_else(|| "guest".to_owned(), ToString::to_string)
}

fn optional(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

async fn find(deployment: &Deployment, id: &SessionId) -> Result<Arc<Record>, Failure> {
    let app = &deployment.app;
    let found = app.store.find(Lookup::Id(app.manager.slot(id), *id)).await?;
    found.ok_or_else(|| Obstacle::NoSession.into())
}

fn show(record: &Record, now: Timestamp, output: Output) -> Result<(), Failure> {
    let methods = record.authentication.iter().flat_map(|proof| proof.methods.iter());
    let methods: Vec<_> = methods.map(|method| method.as_str()).collect();
    let signed_in = record.authentication.map(|proof| format!("{} by {}", rfc3339(proof.at), methods.join(", ")));
    let people = [
        ("Session", record.id.to_string()),
        ("State", if now < record.ends_at() { "live".to_owned() } else { "ended".to_owned() }),
        ("Kind", record.kind.to_string()),
        ("Subject", whose(record)),
        ("Granted", listed(&record.permissions)),
        ("Signed in", optional(signed_in.as_deref())),
        ("Remembered", if record.remembered { "yes".to_owned() } else { "no".to_owned() }),
        ("Device", optional(record.client.label.as_deref())),
        ("Network", optional(record.client.network.as_deref())),
        ("Opened", rfc3339(record.created_at)),
        ("Last seen", rfc3339(record.last_seen_at)),
        ("Token ends", rfc3339(record.token_expires_at)),
        ("Idle end", optional(record.idle_expires_at.map(rfc3339).as_deref())),
        ("Ends at last", rfc3339(record.absolute_expires_at)),
    ];
    output.details(people, || json(SessionInfo::of(record, None, now)))?;
    Ok(())
}

async fn end_one(deployment: &Deployment, id: &SessionId) -> Result<(), Failure> {
    deployment.will_end_sessions().await?;
    let gone = deployment.app.manager.end_one(id, Cause::Administrator, &Deployment::origin()).await?;
    gone.ok_or(Obstacle::NoSession)?;
    Ok(())
}

async fn end_all_of(deployment: &Deployment, subject: &Subject) -> Result<u64, Failure> {
    deployment.will_end_sessions().await?;
    let ended = deployment.app.manager.end_all(subject, None, Cause::Administrator, &Deployment::origin()).await?;
    Ok(count(ended.0.len()))
}

/// Ends every live session of everybody whose record `wanted` says yes to; how many.
pub(super) async fn end_where(
    deployment: &Deployment,
    output: Output,
    wanted: impl Fn(&Record) -> bool + Send,
) -> Result<u64, Failure> {
    deployment.will_end_sessions().await?;
    let app = &deployment.app;
    let progress = output.progress();
    let mut ended = 0;
    for _ in 0..PASSES {
        let before = ended;
        let mut after = None;
        loop {
            let now = app.now();
            let page = app.manager.list(None, after.as_deref(), STEP).await?;
            let live = page.records.iter().filter(|record| now < record.ends_at() && wanted(record));
            let targets = Target::of(live.map(AsRef::as_ref));
            if !targets.is_empty() {
                ended += end(&app.manager, targets).await?;
                progress.show(&format!("{ended} sessions ended"));
                // The audit log keeps up, so that none of its rows is dropped.
                app.audit.flush().await;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if ended == before {
            break;
        }
    }
    Ok(ended)
}

/// What to end in one step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Subject(Subject),
    Guest(SessionId),
}

impl Target {
    /// Each subject once, however many sessions it has.
    fn of<'a>(records: impl Iterator<Item = &'a Record>) -> BTreeSet<Self> {
        records.map(|record| record.subject.clone().map_or(Self::Guest(record.id), Self::Subject)).collect()
    }
}

async fn end(manager: &Arc<SessionManager>, targets: BTreeSet<Target>) -> Result<u64, Failure> {
    let mut targets = targets.into_iter();
    let mut running = JoinSet::new();
    let mut ended = 0;
    loop {
        while running.len() < AT_ONCE
            && let Some(target) = targets.next()
        {
            running.spawn(end_target(Arc::clone(manager), target));
        }
        match running.join_next().await {
            None => return Ok(ended),
            Some(done) => ended += done.map_err(|_| Failure::Cut)??,
        }
    }
}

async fn end_target(manager: Arc<SessionManager>, target: Target) -> Result<u64, StoreError> {
    let origin = Deployment::origin();
    match target {
        Target::Subject(subject) => {
            Ok(count(manager.end_all(&subject, None, Cause::Administrator, &origin).await?.0.len()))
        }
        Target::Guest(id) => Ok(u64::from(manager.end_one(&id, Cause::Administrator, &origin).await?.is_some())),
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
