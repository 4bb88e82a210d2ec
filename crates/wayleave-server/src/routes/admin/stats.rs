//! How much there is of everything, and sweeping by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::entry;
use crate::access::Context;
use crate::app::App;
use crate::audit::Entry;
use crate::error::ApiError;
use crate::wire::{Envelope, ErrorBody};

/// Steps of one sweep by hand; what is left is for the next one, or for the background.
const MOST_STEPS: u32 = 64;

/// How much there is of everything.
#[derive(Serialize, ToSchema)]
pub struct Stats {
    /// Live sessions, by kind.
    live: BTreeMap<String, u64>,
    /// Sessions that ended and are still on record.
    ended: u64,
    /// Accounts.
    accounts: u64,
    /// Sessions that this node keeps in memory.
    warm: usize,
    /// Activity that waits to be written down.
    pending: usize,
    /// Audit entries that this node could not keep.
    audit_dropped: u64,
    /// Password checks at work or waiting.
    password_checks: u64,
    /// Seconds since this node started.
    uptime_seconds: u64,
}

/// How much there is of everything.
#[utoipa::path(get, path = "/api/admin/stats", operation_id = "admin_read_stats", tag = "admin",
    security(("session" = []), ("bearer" = [])),
    responses((status = 200, body = Envelope<Stats>), (status = "default", body = ErrorBody)))]
pub async fn stats(State(app): State<Arc<App>>) -> Result<Envelope<Stats>, ApiError> {
    let census = app.manager.census().await?;
    let accounts = app.directory.accounts.count().await?;
    let (warm, pending) = app.manager.warm();
    Ok(Envelope::new(Stats {
        live: census.live.into_iter().map(|(kind, count)| (kind.to_string(), count)).collect(),
        ended: census.ended,
        accounts,
        warm,
        pending,
        audit_dropped: app.audit.dropped(),
        password_checks: app.passwords.load().admitted,
        uptime_seconds: app.metrics.uptime_seconds(),
    }))
}

/// What a sweep removed.
#[derive(Copy, Clone, Default, Serialize, ToSchema)]
pub struct SweptAnswer {
    /// Sessions that ended long enough ago.
    sessions: u32,
    /// One-time links and challenges that expired.
    tickets: u32,
    /// Counters of failed sign-ins that say nothing any more.
    counters: u32,
    /// Whether there may be more to remove.
    more: bool,
}

/// Removes what ended, as the background does every now and then, in bounded steps.
#[utoipa::path(post, path = "/api/admin/sweep", operation_id = "admin_sweep", tag = "admin",
    security(("session" = []), ("bearer" = [])),
    responses((status = 200, body = Envelope<SweptAnswer>), (status = "default", body = ErrorBody)))]
pub async fn sweep(State(app): State<Arc<App>>, context: Context) -> Result<Envelope<SweptAnswer>, ApiError> {
    let mut swept = SweptAnswer { more: true, ..SweptAnswer::default() };
    for _ in 0..MOST_STEPS {
        let step = app.manager.sweep_step(app.options.keep_ended, app.options.sweep_batch).await?;
        swept.sessions = swept.sessions.saturating_add(step.records);
        swept.tickets = swept.tickets.saturating_add(step.tickets);
        swept.more = step.more;
        if !step.more {
            break;
        }
        tokio::task::yield_now().await;
    }
    let rule = app.policy.current().policy.lockout();
    swept.counters = app.directory.counters.sweep(rule, app.now(), app.options.sweep_batch).await?;
    let SweptAnswer { sessions, tickets, counters, more: _ } = swept;
    app.record(Entry {
        detail: Some(json!({ "sessions": sessions, "tickets": tickets, "counters": counters })),
        ..entry(&context, "sweep.done")
    });
    Ok(Envelope::new(swept))
}
