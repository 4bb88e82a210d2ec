//! The suite for buses on one in process memory: it passes when that is right, and is failed when it is wrong.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tokio::sync::mpsc;
use wayleave_conformance::bus::{self, Nodes};
use wayleave_conformance::{Bench, Races, bus_suite};
use wayleave_core::ports::{Bus, Listener, MAX_BUS_MESSAGE, StoreError};

/// What is wrong with a bus.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// Nothing.
    None,
    /// A node does not hear itself.
    NoEcho,
    /// Two messages at a time change places, for every second listener.
    Reorders,
    /// The tenth message is lost.
    Loses,
    /// A lost connection is made anew without a word.
    HidesLoss,
    /// The loss is told once.
    ForgetsLoss,
    /// A message is cut to what fits.
    Cuts,
    /// A message that was waited for in vain is gone.
    LosesGivenUp,
}

type Ears = Vec<(usize, mpsc::UnboundedSender<Option<Box<[u8]>>>)>;

#[derive(Clone)]
struct Node {
    number: usize,
    fault: Fault,
    ears: Arc<Mutex<Ears>>,
}

impl Node {
    fn ears(&self) -> MutexGuard<'_, Ears> {
        self.ears.lock().unwrap()
    }
}

#[async_trait]
impl Bus for Node {
    async fn publish(&self, message: &[u8]) -> Result<(), StoreError> {
        let most = if self.fault == Fault::Cuts { usize::MAX } else { MAX_BUS_MESSAGE };
        if message.len() > most {
            return Err(StoreError::Full);
        }
        let message: Box<[u8]> = message[..message.len().min(MAX_BUS_MESSAGE)].into();
        self.ears().retain(|(node, ear)| {
            let deaf = self.fault == Fault::NoEcho && *node == self.number;
            deaf || ear.send(Some(message.clone())).is_ok()
        });
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn listen(&self) -> Result<Box<dyn Listener>, StoreError> {
        let (ear, messages) = mpsc::unbounded_channel();
        let mut ears = self.ears();
        ears.push((self.number, ear));
        let odd = ears.len().is_multiple_of(2);
        Ok(Box::new(Ear { messages, fault: self.fault, odd, held: None, count: 0, lost: false }))
    }
}

struct Ear {
    messages: mpsc::UnboundedReceiver<Option<Box<[u8]>>>,
    fault: Fault,
    odd: bool,
    held: Option<Box<[u8]>>,
    count: u32,
    lost: bool,
}

#[async_trait]
impl Listener for Ear {
    async fn next(&mut self) -> Result<Box<[u8]>, StoreError> {
        if self.lost && self.fault != Fault::ForgetsLoss {
            return Err(StoreError::Unavailable(None));
        }
        if let Some(message) = self.held.take() {
            return Ok(message);
        }
        loop {
            let message = self.messages.recv().await.unwrap();
            self.count += 1;
            match (message, self.fault) {
                (None, Fault::HidesLoss) => {}
                (None, _) => {
                    self.lost = true;
                    return Err(StoreError::Unavailable(None));
                }
                (Some(_), Fault::Loses) if self.count == 10 => {}
                (Some(first), Fault::Reorders) if self.odd && !self.messages.is_empty() => {
                    let second = self.messages.recv().await.unwrap();
                    self.held = Some(first);
                    return second.ok_or(StoreError::Unavailable(None));
                }
                (Some(message), Fault::LosesGivenUp) => {
                    tokio::task::yield_now().await;
                    return Ok(message);
                }
                (Some(message), _) => return Ok(message),
            }
        }
    }
}

fn bench(fault: Fault) -> Bench<Nodes> {
    Bench::new(move || async move { nodes(fault) }, Races::QUICK)
}

fn nodes(fault: Fault) -> Nodes {
    let ears: Arc<Mutex<Ears>> = Arc::default();
    let node = |number| Node { number, fault, ears: Arc::clone(&ears) };
    let (one, two) = (node(0), node(1));
    let cut = one.clone();
    Nodes {
        nodes: [Arc::new(one), Arc::new(two)],
        cut: Arc::new(move || {
            // Whoever hides the loss goes on listening.
            let hides = cut.fault == Fault::HidesLoss || cut.fault == Fault::ForgetsLoss;
            cut.ears().retain(|(_, ear)| ear.send(None).is_ok() && hides);
            Box::pin(async {})
        }),
    }
}

async fn fresh() -> Nodes {
    nodes(Fault::None)
}

mod conformance {
    use super::{bus_suite, fresh};

    bus_suite!(fresh);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wrong_buses_are_found_out() {
    let trials = [
        (Fault::NoEcho, "listening", "everybody_hears_it"),
        (Fault::Loses, "order", "is_the_same_for_all"),
        (Fault::Reorders, "order", "is_the_same_for_all"),
        (Fault::HidesLoss, "loss", "is_told_and_stays_told"),
        (Fault::ForgetsLoss, "loss", "is_told_and_stays_told"),
        (Fault::Cuts, "listening", "refuses_what_is_too_long"),
        (Fault::LosesGivenUp, "listening", "a_wait_that_is_given_up_loses_nothing"),
    ];
    // Beside each other: some are found out by waiting in vain.
    let trials = trials.map(|(fault, group, name)| {
        let case = bus::cases().iter().find(|case| case.group == group && case.name == name).unwrap();
        let run = |fault| tokio::spawn((case.run)(bench(fault)));
        (fault, case, run(Fault::None), run(fault))
    });
    for (fault, case, right, wrong) in trials {
        assert!(right.await.is_ok(), "{case:?} fails by itself");
        assert!(wrong.await.is_err(), "{fault:?} is not found out by {case:?}");
    }
}
