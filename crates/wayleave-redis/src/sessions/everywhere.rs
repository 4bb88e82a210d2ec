//! What concerns all records: run at one master after the other, in scripts that name no keys and look at those cells
//! that the master holds.

use wayleave_core::ports::StoreError;
use wayleave_core::ticket::Purpose;

use crate::keys::Place;
use crate::link::{Call, Share};
use crate::reply::Reply;
use crate::scripts::Script;
use crate::store::RedisStore;

/// A script with what follows prefix and cells in its arguments.
pub(super) struct Limited {
    script: &'static Script,
    arguments: Vec<Vec<u8>>,
}

impl Limited {
    pub(super) fn new(script: &'static Script, arguments: Vec<Vec<u8>>) -> Self {
        Self { script, arguments }
    }
}

impl RedisStore {
    /// The masters, with the cells that each holds.
    pub(super) async fn cells(&self) -> Result<Vec<Share>, StoreError> {
        self.link.shares(Place::all_cells()).await
    }

    /// The masters, with the cells and the purposes of tickets that each holds.
    pub(super) async fn cells_and_tickets(&self) -> Result<Vec<Share>, StoreError> {
        self.link.shares(Place::all_cells().chain(Purpose::ALL.map(Place::Tickets))).await
    }

    /// Runs a script in the cells of one master.
    pub(super) async fn in_cells(&self, share: &Share, limited: Limited) -> Result<Reply, StoreError> {
        let Limited { script, arguments: more } = limited;
        let cells = share.places.iter().filter_map(|place| match place {
            Place::Cell(cell) => Some(*cell),
            Place::Tickets(_) | Place::Bus => None,
        });
        let mut arguments = vec![self.keys.prefix().into(), cells.collect()];
        arguments.extend(more);
        self.link.call_at(&share.node, Call { script, keys: Vec::new(), arguments }).await.map(Reply)
    }
}
