//! Which calls of a port fail and how, and how often each was made: what the failing wrappers share.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use wayleave_core::ports::StoreError;

/// Which calls fail.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// Every one.
    Always,
    /// Only this one, counted from 1 since the fault was set.
    Call(u64),
    /// This one, counted from 1 since the fault was set, and all after it.
    From(u64),
}

/// What a failing call does.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It never reaches the backend.
    Unreached,
    /// The backend carries it out, and the answer is lost on the way back.
    AnswerLost,
}

/// One fault.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which calls.
    pub when: When,
    /// What becomes of them.
    pub effect: Effect,
}

impl Fault {
    /// The backend cannot be reached at all.
    pub const DOWN: Self = Self { when: When::Always, effect: Effect::Unreached };
    /// Every call is carried out and none is answered.
    pub const AFTER_COMMIT: Self = Self { when: When::Always, effect: Effect::AnswerLost };

    /// Only the `call`th call from now on, counted from 1, fails, and does not reach the backend.
    #[must_use]
    pub const fn nth(call: u64) -> Self {
        Self { when: When::Call(call), effect: Effect::Unreached }
    }
}

/// Faults and call counts, by verb.
#[derive(Debug)]
pub struct Faults<V>(Mutex<BTreeMap<V, State>>);

#[derive(Debug, Default)]
struct State {
    calls: u64,
    fault: Option<(Fault, u64)>,
    held: Option<Arc<Gate>>,
}

/// A gate that one call waits at.
#[derive(Debug)]
pub struct Gate {
    arrived: Semaphore,
    open: Semaphore,
}

impl Gate {
    /// Waits until the call is at the gate.
    pub async fn arrived(&self) {
        drop(self.arrived.acquire().await);
    }

    /// Lets the call go on.
    pub fn open(&self) {
        self.open.add_permits(1);
    }
}

impl<V> Default for Faults<V> {
    fn default() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }
}

impl<V: Copy + Ord + Debug> Faults<V> {
    /// From now on `verb` fails as `fault` says.
    pub fn fail(&self, verb: V, fault: Fault) {
        self.0.lock().entry(verb).or_default().fault = Some((fault, 0));
    }

    /// `verb` works again.
    pub fn heal(&self, verb: V) {
        self.0.lock().entry(verb).or_default().fault = None;
    }

    /// The next call of `verb` waits at the gate before it reaches the backend.
    pub fn hold(&self, verb: V) -> Arc<Gate> {
        let gate = Arc::new(Gate { arrived: Semaphore::new(0), open: Semaphore::new(0) });
        self.0.lock().entry(verb).or_default().held = Some(Arc::clone(&gate));
        gate
    }

    /// How often each verb was called since the last [`Self::reset`], failed calls included, never-called ones left
    /// out.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<V, u64> {
        self.0.lock().iter().filter(|(_, state)| state.calls > 0).map(|(verb, state)| (*verb, state.calls)).collect()
    }

    /// How often `verb` was called since the last [`Self::reset`], failed calls included.
    #[must_use]
    pub fn calls_of(&self, verb: V) -> u64 {
        self.0.lock().get(&verb).map_or(0, |state| state.calls)
    }

    /// Counts from zero again; faults stay as they are.
    pub fn reset(&self) {
        self.0.lock().values_mut().for_each(|state| state.calls = 0);
    }

    /// Runs `call` as `verb`, or lets it fail. A call that does not reach the backend is never polled.
    pub(crate) async fn around<T>(
        &self,
        verb: V,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let held = self.0.lock().get_mut(&verb).and_then(|state| state.held.take());
        if let Some(gate) = held {
            gate.arrived.add_permits(1);
            drop(gate.open.acquire().await);
        }
        match self.next(verb) {
            None => call.await,
            Some(Effect::Unreached) => Err(failure(verb)),
            Some(Effect::AnswerLost) => {
                call.await?;
                Err(failure(verb))
            }
        }
    }

    fn next(&self, verb: V) -> Option<Effect> {
        let mut states = self.0.lock();
        let State { calls, fault, held: _ } = states.entry(verb).or_default();
        *calls += 1;
        let (fault, seen) = fault.as_mut()?;
        *seen += 1;
        let fails = match fault.when {
            When::Always => true,
            When::Call(call) => *seen == call,
            When::From(call) => *seen >= call,
        };
        fails.then_some(fault.effect)
    }
}

fn failure(verb: impl Debug) -> StoreError {
    StoreError::unavailable(format!("injected fault in {verb:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_call_waits_at_a_gate() {
        let faults = Arc::new(Faults::default());
        let gate = faults.hold(1);
        let waiting = {
            let faults = Arc::clone(&faults);
            tokio::spawn(async move { faults.around(1, async { Ok(()) }).await.is_ok() })
        };
        gate.arrived().await;
        assert!(faults.around(1, async { Ok(()) }).await.is_ok(), "others pass");
        assert!(!waiting.is_finished());
        gate.open();
        assert!(waiting.await.unwrap());
    }

    async fn outcomes(faults: &Faults<u8>, times: u64) -> (String, u64) {
        let mut reached = 0;
        let mut outcomes = String::new();
        for _ in 0..times {
            let call = async {
                reached += 1;
                Ok(())
            };
            outcomes.push(if faults.around(1, call).await.is_ok() { '+' } else { '-' });
        }
        (outcomes, reached)
    }

    #[tokio::test]
    async fn faults_hit_the_chosen_calls() {
        let cases = [
            (Fault::DOWN, "----", 0),
            (Fault::AFTER_COMMIT, "----", 4),
            (Fault::nth(2), "+-++", 3),
            (Fault { when: When::From(3), effect: Effect::Unreached }, "++--", 2),
            (Fault { when: When::Call(1), effect: Effect::AnswerLost }, "-+++", 4),
        ];
        for (fault, expected, reached) in cases {
            let faults = Faults::default();
            assert_eq!(outcomes(&faults, 1).await, ("+".into(), 1));
            faults.fail(1, fault);
            assert_eq!(outcomes(&faults, 4).await, (expected.into(), reached), "{fault:?}");
            faults.heal(1);
            assert_eq!(outcomes(&faults, 1).await, ("+".into(), 1));
            assert_eq!(faults.calls_of(1), 6);
            faults.reset();
            assert!(faults.calls().is_empty());
        }
    }
}
