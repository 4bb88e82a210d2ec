//! One run, from its seed to the judgement.

use std::fmt;
use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wayleave::core::ports::EntropyFailure;

use crate::chaos;
use crate::check::{self, Violation};
use crate::clients;
use crate::history::History;
use crate::node::Place;
use crate::plan::Plan;
use crate::world::World;

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// What happened.
    pub history: History,
    /// What should not have.
    pub violations: Vec<Violation>,
}

impl fmt::Display for Report {
    /// What should not have happened, and all that led to the first of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { history, violations } = self;
        let plan = &history.plan;
        writeln!(f, "seed {} breaks {} promises: {plan:?}", plan.seed, violations.len())?;
        for Violation { checker, what, sessions: _, at } in violations {
            writeln!(f, "  {:>10.4} {checker}: {what}", at.at.as_secs_f64())?;
        }
        if let Some(first) = violations.first() {
            writeln!(f, "what led to the first:\n{}", history.about(&first.sessions, first.at))?;
        }
        write!(f, "again: cargo xtask sim --seed {} --steps {} --history", plan.seed, plan.steps)
    }
}

/// Runs what a plan says, and judges it. The same plan always makes the same history.
///
/// # Errors
/// When no runtime can be built.
pub fn run(plan: &Plan) -> std::io::Result<Report> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let history = runtime.block_on(live(plan)).map_err(std::io::Error::other)?;
    let violations = check::check(&history);
    Ok(Report { history, violations })
}

async fn live(plan: &Plan) -> Result<History, EntropyFailure> {
    let world = Arc::new(World::new(plan.clone())?);
    let stop = CancellationToken::new();
    let troubles: Vec<_> =
        (0..plan.nodes).map(|place| tokio::spawn(chaos::disturb(Arc::clone(&world), place, stop.clone()))).collect();
    let clients: Vec<_> =
        (0..plan.clients).map(|client| tokio::spawn(clients::act(Arc::clone(&world), client))).collect();
    for client in clients {
        // It does not panic, and nobody aborts it.
        let _ = client.await;
    }
    stop.cancel();
    for trouble in troubles {
        let _ = trouble.await;
    }
    world.places.iter().filter_map(Place::node).for_each(|node| node.calm());
    tokio::time::sleep_until(Instant::now() + chaos::recovery()).await;
    clients::look_back(&world, plan.clients + 1).await;
    clients::see_it_work(&world, plan.clients).await;
    let recovered = world.places.iter().map(|place| {
        let status = place.node().and_then(|node| node.manager.cluster());
        status.is_some_and(|status| status.leased && status.audible)
    });
    let recovered = recovered.collect();
    let left = world.shared.witness.all().await;
    let clocks = world.places.iter().map(|place| Arc::clone(&place.clock)).collect();
    Ok(world.shared.recorder.finish(plan.clone(), clocks, left, recovered))
}
