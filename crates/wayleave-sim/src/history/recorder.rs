//! Writes a history down while it happens.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use wayleave::core::decide::Standing;
use wayleave::core::id::SessionId;
use wayleave::core::record::Record;
use wayleave::core::subject::Subject;
use wayleave::core::token::{RefreshToken, SessionToken, TokenHash};
use wayleave_testkit::StoreVerb;

use super::{
    Access, Act, Change, Changed, Disturbance, History, Moment, Names, Operation, Outcome, Process, Stood, Trouble,
};
use crate::clocks::WallClock;
use crate::plan::Plan;

/// Takes down what happens.
#[derive(Debug)]
pub(crate) struct Recorder {
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    order: u64,
    operations: Vec<Begun<Operation>>,
    changes: Vec<Change>,
    standings: Vec<Stood>,
    disturbances: Vec<Begun<Disturbance>>,
    names: Names,
}

#[derive(Debug)]
struct Begun<T> {
    what: T,
    over: bool,
}

impl Recorder {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, state: Mutex::default() }
    }

    fn moment(&self, state: &mut State) -> Moment {
        state.order += 1;
        Moment { order: state.order, at: self.start.elapsed() }
    }

    /// An operation begins; its number, for its end.
    pub(crate) fn begin(&self, client: usize, process: Process, act: Act) -> usize {
        let mut state = self.state.lock();
        let began = self.moment(&mut state);
        let what = Operation { client, process, act, began, ended: began, outcome: Outcome::Lost };
        state.operations.push(Begun { what, over: false });
        state.operations.len() - 1
    }

    pub(crate) fn end(&self, operation: usize, outcome: Outcome) {
        let mut state = self.state.lock();
        let ended = self.moment(&mut state);
        if let Some(begun) = state.operations.get_mut(operation) {
            begun.what.outcome = outcome;
            begun.what.ended = ended;
            // A lost one may still be going on.
            begun.over = begun.what.outcome != Outcome::Lost;
        }
    }

    pub(crate) fn changed(&self, process: Process, verb: StoreVerb, what: Changed) {
        let mut state = self.state.lock();
        let record = match &what {
            Changed::Created(record, _) | Changed::Gone(record) | Changed::FoundExpired(record) => record,
            Changed::Rotated { before: _, after } => after,
        };
        Names::number(&mut state.names.sessions, record.id);
        if let Some(refresh) = &record.refresh {
            Names::number(&mut state.names.refreshes, refresh.current);
        }
        let moment = self.moment(&mut state);
        state.changes.push(Change { moment, process, verb, what });
    }

    pub(crate) fn stood(&self, process: Process, subject: &Subject, standing: &Standing) {
        let mut state = self.state.lock();
        let moment = self.moment(&mut state);
        state.standings.push(Stood { moment, process, subject: subject.clone(), standing: standing.clone() });
    }

    /// A disturbance begins; its number, for its end.
    pub(crate) fn disturb(&self, place: usize, what: Trouble) -> usize {
        let mut state = self.state.lock();
        let began = self.moment(&mut state);
        state.disturbances.push(Begun { what: Disturbance { place, what, began, ended: began }, over: false });
        state.disturbances.len() - 1
    }

    pub(crate) fn calm(&self, disturbance: usize) {
        let mut state = self.state.lock();
        let ended = self.moment(&mut state);
        if let Some(begun) = state.disturbances.get_mut(disturbance) {
            begun.what.ended = ended;
            begun.over = true;
        }
    }

    /// What the history calls an access token.
    pub(crate) fn access(&self, text: &str, session: SessionId) -> Access {
        let number = Names::number(&mut self.state.lock().names.accesses, text.to_owned());
        Access { number, hash: SessionToken::parse(text).ok().map(|token| token.hash()), session }
    }

    /// What the history calls a refresh token.
    pub(crate) fn refresh(&self, text: &str) -> Option<TokenHash> {
        RefreshToken::parse(text).ok().map(|token| token.hash())
    }

    /// All of it.
    pub(crate) fn finish(
        &self,
        plan: Plan,
        clocks: Vec<Arc<WallClock>>,
        left: Vec<Arc<Record>>,
        recovered: Vec<bool>,
    ) -> History {
        let mut state = self.state.lock();
        let end = self.moment(&mut state);
        let state = std::mem::take(&mut *state);
        let over = |begun: Begun<Operation>| match begun {
            Begun { what, over: true } => what,
            Begun { what, over: false } => Operation { ended: end, ..what },
        };
        let calmed = |begun: Begun<Disturbance>| match begun {
            Begun { what, over: true } => what,
            Begun { what, over: false } => Disturbance { ended: end, ..what },
        };
        History {
            plan,
            operations: state.operations.into_iter().map(over).collect(),
            changes: state.changes,
            standings: state.standings,
            disturbances: state.disturbances.into_iter().map(calmed).collect(),
            left,
            recovered,
            clocks,
            names: state.names,
        }
    }
}
