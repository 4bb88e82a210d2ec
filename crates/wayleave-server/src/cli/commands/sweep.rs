//! `wayleave sweep`: removes what ended, now.

use std::process::ExitCode;

use serde_json::json;

use super::super::deployment::{Absent, Deployment};
use super::super::failure::Failure;
use super::super::output::Output;
use crate::audit::Entry;
use crate::config::Config;

/// What was removed.
#[derive(Copy, Clone, Default)]
struct Removed {
    sessions: u64,
    tickets: u64,
    counters: u64,
}

/// Runs it.
pub(in crate::cli) async fn run(config: &Config, output: Output) -> Result<ExitCode, Failure> {
    let deployment = Deployment::open(config, Absent::Refuse).await?;
    let outcome = sweep(&deployment, output).await;
    let Removed { sessions, tickets, counters } = deployment.close(outcome).await?;
    output.result(
        || {
            format!(
                "removed: ended sessions {sessions}, expired links and challenges {tickets}, old counters of failed \
                 sign-ins {counters}"
            )
        },
        || json!({ "sessions": sessions, "tickets": tickets, "counters": counters }),
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn sweep(deployment: &Deployment, output: Output) -> Result<Removed, Failure> {
    let app = &deployment.app;
    let (keep, batch) = (app.options.keep_ended, app.options.sweep_batch);
    let progress = output.progress();
    let mut removed = Removed::default();
    loop {
        let step = app.manager.sweep_step(keep, batch).await?;
        removed.sessions += u64::from(step.records);
        removed.tickets += u64::from(step.tickets);
        progress.show(&format!("{} sessions removed", removed.sessions));
        if !step.more {
            break;
        }
    }
    let rule = app.policy.current().policy.lockout();
    loop {
        let counters = app.directory.counters.sweep(rule, app.now(), batch).await?;
        removed.counters += u64::from(counters);
        progress.show(&format!("{} counters removed", removed.counters));
        if counters < batch {
            break;
        }
    }
    let Removed { sessions, tickets, counters } = removed;
    // Not a change that a running server has to hear of: nothing that was removed was honoured any more.
    app.record(Entry {
        detail: Some(json!({ "sessions": sessions, "tickets": tickets, "counters": counters })),
        ..Deployment::entry("sweep.done", None)
    });
    Ok(removed)
}
