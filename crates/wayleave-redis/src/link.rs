//! The way to the servers: which server holds what, and one round trip to it.
//!
//! The client crate brings the protocol, and one connection at a time. What is ours is *at most once*: a write that may
//! have arrived is never sent again, because a second `rotate` would take the first one for a theft. Only what
//! certainly was not carried out is repeated: an answer `MOVED` or `NOSCRIPT`, or a connection that was never there.
//! Reads may be repeated.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use wayleave_core::ports::StoreError;

use crate::error::{OpenError, Refused, answered, is_elsewhere};
use crate::keys::Place;
use crate::options::{Options, Servers};
use crate::scripts::Script;

mod address;
mod cluster;
mod node;
mod probe;

pub(crate) use address::Address;
use cluster::Cluster;
pub(crate) use node::{Errand, Node};

/// One run of a script.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) script: &'static Script,
    pub(crate) keys: Vec<String>,
    pub(crate) arguments: Vec<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Nothing was sent.
    NotSent(StoreError),
    /// It may have been carried out.
    Lost(StoreError),
}

impl From<Broken> for StoreError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::NotSent(error) | Broken::Lost(error) => error,
        }
    }
}

/// A master, with those of the places asked for that it holds.
pub(crate) struct Share {
    pub(crate) node: Arc<Node>,
    pub(crate) places: Vec<Place>,
}

/// The way to one server or to a Cluster.
pub(crate) struct Link {
    servers: Reached,
    turns: Semaphore,
    timeout: Duration,
}

enum Reached {
    Single(Arc<Node>),
    Cluster(Box<Cluster>),
}

impl Link {
    /// Connects, and looks whether the servers are fit.
    pub(crate) async fn open(options: &Options) -> Result<Self, OpenError> {
        let servers = match &options.servers {
            Servers::Single(url) => {
                let node = Node::new(&Address::parse(url, &options.tls)?, options, probe::Role::Single);
                node.connect_once().await?;
                Reached::Single(node)
            }
            Servers::Cluster(urls) => Reached::Cluster(Box::new(Cluster::open(urls, options).await?)),
        };
        let turns = usize::try_from(options.most_in_flight.max(1)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Ok(Self { servers, turns: Semaphore::new(turns), timeout: options.timeout })
    }

    /// Whether keys of different places may be in one call.
    pub(crate) const fn is_one_server(&self) -> bool {
        matches!(self.servers, Reached::Single(_))
    }

    /// Runs one script where `place` is.
    pub(crate) async fn call(&self, place: Place, call: Call) -> Result<Value, StoreError> {
        let mut answers = self.call_many(vec![(place, call)]).await?;
        answers.pop().ok_or_else(|| Refused::Answer.into())
    }

    /// Runs scripts, each where its place is: one round trip to each server, all at once. Answers in the order given.
    pub(crate) async fn call_many(&self, calls: Vec<(Place, Call)>) -> Result<Vec<Value>, StoreError> {
        let _turn = self.turn().await?;
        match &self.servers {
            Reached::Single(node) => {
                let calls: Vec<_> = calls.into_iter().map(|(_, call)| call).collect();
                run(node, &calls).await?.into_iter().map(answer).collect()
            }
            Reached::Cluster(cluster) => cluster.run(calls).await,
        }
    }

    /// Every master, with those of `places` that it holds.
    pub(crate) async fn shares(&self, places: impl Iterator<Item = Place>) -> Result<Vec<Share>, StoreError> {
        match &self.servers {
            Reached::Single(node) => Ok(vec![Share { node: Arc::clone(node), places: places.collect() }]),
            Reached::Cluster(cluster) => {
                let by_node = cluster.by_node(places.map(|place| (place, place)).collect()).await?;
                Ok(by_node.into_iter().map(|(node, places)| Share { node, places }).collect())
            }
        }
    }

    /// Runs a script that names no keys on one master.
    pub(crate) async fn call_at(&self, node: &Arc<Node>, call: Call) -> Result<Value, StoreError> {
        let _turn = self.turn().await?;
        let outcome = run(node, &[call]).await.map_err(StoreError::from);
        let outcome =
            outcome.and_then(|values| values.into_iter().next().map_or_else(|| Err(Refused::Answer.into()), answer));
        if outcome.is_err()
            && let Reached::Cluster(cluster) = &self.servers
        {
            // A key that has moved to another master is an error of the script, too.
            cluster.doubt();
        }
        outcome
    }

    /// The master that holds `place`.
    pub(crate) async fn node_of(&self, place: Place) -> Result<Arc<Node>, StoreError> {
        let share = self.shares(std::iter::once(place)).await?.pop();
        share.map(|share| share.node).ok_or_else(|| Refused::Uncovered.into())
    }

    /// That what is known of the Cluster may be wrong.
    pub(crate) fn doubt(&self) {
        if let Reached::Cluster(cluster) = &self.servers {
            cluster.doubt();
        }
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        match in_time(self.timeout, self.turns.acquire()).await {
            Some(Ok(turn)) => Ok(turn),
            Some(Err(_)) | None => Err(Refused::Overloaded.into()),
        }
    }
}

/// Runs scripts at one node, a second time where that may be.
async fn run(node: &Node, calls: &[Call]) -> Result<Vec<Value>, Broken> {
    match node.run(calls).await {
        Err(broken) if may_be_repeated(calls, &broken) => node.run(calls).await,
        outcome => outcome,
    }
}

/// Whether calls may be sent once more.
fn may_be_repeated<'a>(calls: impl IntoIterator<Item = &'a Call>, broken: &Broken) -> bool {
    match broken {
        Broken::NotSent(_) => true,
        Broken::Lost(_) => !calls.into_iter().any(|call| call.script.writes()),
    }
}

/// What a server answered, unless it is an error.
fn answer(value: Value) -> Result<Value, StoreError> {
    match value {
        Value::ServerError(error) => Err(answered(&error)),
        value => Ok(value),
    }
}

async fn in_time<F: Future>(timeout: Duration, work: F) -> Option<F::Output> {
    tokio::time::timeout(timeout, work).await.ok()
}

/// Whether one of the answers says that the server is not the master.
fn any_elsewhere(values: &[Value]) -> bool {
    values.iter().any(|value| matches!(value, Value::ServerError(error) if is_elsewhere(error)))
}
