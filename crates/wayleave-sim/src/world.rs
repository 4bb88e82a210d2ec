//! All that a run consists of.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use wayleave::core::ports::EntropyFailure;
use wayleave_testkit::{Broker, Dice, SeededEntropy};

use crate::clients::Pool;
use crate::clocks::{Drift, DriftingUptime, WallClock};
use crate::directory::Directory;
use crate::history::Recorder;
use crate::node::Place;
use crate::plan::{Clocks, MOST_DRIFT, Plan};
use crate::store::Witness;

/// What all nodes and clients share.
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) dice: Arc<Dice>,
    pub(crate) entropy: Arc<SeededEntropy>,
    pub(crate) broker: Arc<Broker>,
    pub(crate) witness: Arc<Witness>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) recorder: Arc<Recorder>,
}

/// A deployment and its clients.
pub(crate) struct World {
    pub(crate) shared: Shared,
    pub(crate) places: Vec<Place>,
    pub(crate) pool: Mutex<Pool>,
    /// How many operations may still begin.
    pub(crate) steps: Mutex<u64>,
    /// Who changes a subject's standing, one at a time each.
    pub(crate) administrators: BTreeMap<wayleave::core::subject::Subject, tokio::sync::Mutex<()>>,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Result<Self, EntropyFailure> {
        let start = Instant::now();
        let dice = Arc::new(Dice::new(plan.seed.wrapping_mul(0x2545_F491_4F6C_DD1D).wrapping_add(1)));
        let recorder = Arc::new(Recorder::new(start));
        let directory = Arc::new(Directory::new(plan.subjects, Arc::clone(&recorder)));
        let administrators = directory.people().into_iter().map(|subject| (subject, Default::default())).collect();
        let shared = Shared {
            entropy: Arc::new(SeededEntropy::new(dice.any())),
            broker: Arc::default(),
            witness: Arc::new(Witness::new(Arc::clone(&recorder))),
            directory,
            recorder,
            dice,
            plan,
        };
        let places = (0..shared.plan.nodes).map(|number| place(number, start, &shared)).collect();
        let steps = Mutex::new(shared.plan.steps);
        let world = Self { shared, places, pool: Mutex::default(), steps, administrators };
        for place in &world.places {
            place.start(&world.shared)?;
        }
        Ok(world)
    }

    /// Whether one more operation may begin.
    pub(crate) fn step(&self) -> bool {
        let mut steps = self.steps.lock();
        let more = *steps > 0;
        *steps = steps.saturating_sub(1);
        more
    }
}

fn place(number: usize, start: Instant, shared: &Shared) -> Place {
    let drift = || match shared.plan.clocks {
        Clocks::Steady => Drift { per_million: 1_000_000 },
        Clocks::Drifting | Clocks::Jumping => {
            Drift { per_million: 1_000_000 - MOST_DRIFT + shared.dice.below(2 * MOST_DRIFT + 1) }
        }
    };
    Place::new(number, WallClock::new(start, drift()), DriftingUptime { start, drift: drift() })
}
