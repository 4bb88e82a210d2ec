//! Somebody comes back at the last moment, and signs in once more before anybody has written down that they did.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::{Intention, perform};
use crate::history::Outcome;
use crate::node::{FLUSH, Node, Place};
use crate::plan::{KINDS, Kind};
use crate::world::World;

/// Opens a session of a kind with an idle limit and few places, uses it just before that limit, and opens another one of
/// the same kind just after, all at one node.
pub(super) async fn come_late(world: &World, client: usize) {
    let dice = &world.shared.dice;
    let nodes: Vec<Arc<Node>> = world.places.iter().filter_map(Place::node).collect();
    let kinds: Vec<&'static Kind> = KINDS.iter().filter(|kind| kind.concurrency.most <= 2).collect();
    let people = world.shared.directory.people();
    let (Some(node), Some(kind), Some(subject)) = (dice.one(&nodes), dice.one(&kinds), dice.one(&people)) else {
        return;
    };
    let Some(idle) = kind.idle else { return };
    let begun = Instant::now();
    let open = Intention::Open(subject.clone(), kind);
    let Outcome::Opened { access, .. } = perform(world, client, node, &open).await else { return };
    let held = world.pool.lock().sessions.iter().find(|held| held.id == access.session).cloned();
    let Some((access, token)) = held.and_then(|held| held.access.back().cloned()) else { return };
    let look = Intention::Validate(access, token, true);
    sleep_until(begun + idle - dice.up_to(idle / 20)).await;
    perform(world, client, node, &look).await;
    sleep_until(begun + idle + dice.up_to(FLUSH / 2)).await;
    perform(world, client, node, &open).await;
    perform(world, client, node, &look).await;
}
