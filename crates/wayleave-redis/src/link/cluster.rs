//! A Redis Cluster: which master holds which hash slot, as far as is known, and what its redirections say.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use redis::{ServerErrorKind, Value};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wayleave_core::ports::StoreError;

use super::probe::Role;
use super::{Address, Broken, Call, Errand, Node, answer, in_time, may_be_repeated};
use crate::error::{OpenError, Refused};
use crate::keys::Place;
use crate::options::Options;

/// A Cluster.
pub(super) struct Cluster {
    options: Options,
    seeds: Box<[Arc<Node>]>,
    map: RwLock<Arc<Map>>,
    stale: AtomicBool,
    asked_at: Mutex<Option<Instant>>,
}

/// Who holds what.
#[derive(Clone, Default)]
struct Map {
    ranges: Vec<Range>,
    nodes: HashMap<String, Arc<Node>>,
}

#[derive(Clone)]
struct Range {
    first: u16,
    last: u16,
    node: Arc<Node>,
}

/// A call that is not answered yet.
struct Open {
    at: usize,
    place: Place,
    call: Call,
}

type Outcome = Result<Vec<Value>, Broken>;

/// How often a call follows redirections.
const REDIRECTIONS: usize = 4;
/// How often the nodes are asked at most.
const ASKED_EVERY: Duration = Duration::from_millis(100);

impl Cluster {
    /// Asks the nodes at `urls` for the others, and looks whether the masters are fit.
    pub(super) async fn open(urls: &[Box<str>], options: &Options) -> Result<Self, OpenError> {
        let seeds = urls.iter().map(|url| {
            let address = Address::parse(url, &options.tls)?;
            Ok::<_, OpenError>(Node::new(&address, options, Role::ClusterNode))
        });
        let cluster = Self {
            options: options.clone(),
            seeds: seeds.collect::<Result<_, _>>()?,
            map: RwLock::default(),
            stale: AtomicBool::new(true),
            asked_at: Mutex::new(None),
        };
        let Some(seed) = cluster.seeds.first() else {
            return Err(OpenError::NoAddress);
        };
        if cluster.refresh().await.is_err() {
            // Says why, where it is the server's set-up.
            seed.connect_once().await?;
            return Err(OpenError::Store(Refused::Uncovered.into()));
        }
        let masters: Vec<_> = cluster.map.read().nodes.values().cloned().collect();
        for master in masters {
            master.connect_once().await?;
        }
        Ok(cluster)
    }

    /// Runs scripts, each where its place is: one round trip to each master, all at once. Answers in the order given.
    pub(super) async fn run(&self, calls: Vec<(Place, Call)>) -> Result<Vec<Value>, StoreError> {
        let mut answers: Vec<_> = calls.iter().map(|_| None).collect();
        let mut open: Vec<_> =
            calls.into_iter().enumerate().map(|(at, (place, call))| Open { at, place, call }).collect();
        let mut repeated = false;
        for _ in 0..=REDIRECTIONS {
            for (group, outcome) in self.round(std::mem::take(&mut open)).await? {
                let values = match outcome {
                    Ok(values) => values,
                    Err(broken) => {
                        self.doubt();
                        if repeated || !may_be_repeated(group.iter().map(|one| &one.call), &broken) {
                            return Err(broken.into());
                        }
                        repeated = true;
                        open.extend(group);
                        continue;
                    }
                };
                for (one, value) in group.into_iter().zip(values) {
                    match self.redirected(one.place, value)? {
                        Some(value) => {
                            if let Some(slot) = answers.get_mut(one.at) {
                                *slot = Some(answer(value)?);
                            }
                        }
                        None => open.push(one),
                    }
                }
            }
            if open.is_empty() {
                return answers.into_iter().map(|answer| answer.ok_or_else(|| Refused::Answer.into())).collect();
            }
        }
        Err(Refused::RedirectedTooOften.into())
    }

    /// Asks every master that holds something of `calls`.
    async fn round(&self, calls: Vec<Open>) -> Result<Vec<(Vec<Open>, Outcome)>, StoreError> {
        let mut round = JoinSet::new();
        for (node, group) in self.by_node(calls.into_iter().map(|one| (one.place, one)).collect()).await? {
            let calls: Vec<_> = group.iter().map(|one| one.call.clone()).collect();
            round.spawn(async move { (group, node.run(&calls).await) });
        }
        let mut outcomes = Vec::new();
        while let Some(outcome) = round.join_next().await {
            outcomes.push(outcome.map_err(StoreError::unavailable)?);
        }
        Ok(outcomes)
    }

    /// That what is known may be wrong; it is asked for before the next call.
    pub(super) fn doubt(&self) {
        self.stale.store(true, Ordering::Release);
    }

    /// Sorts things by the masters that hold their places.
    pub(super) async fn by_node<T>(&self, things: Vec<(Place, T)>) -> Result<Vec<(Arc<Node>, Vec<T>)>, StoreError> {
        if self.stale.load(Ordering::Acquire) {
            self.refresh().await?;
        }
        let map = Arc::clone(&self.map.read());
        let mut by_node: Vec<(Arc<Node>, Vec<T>)> = Vec::new();
        for (place, thing) in things {
            let Some(node) = map.node_of(place.hash_slot()) else {
                self.doubt();
                return Err(Refused::Uncovered.into());
            };
            match by_node.iter_mut().find(|(held, _)| Arc::ptr_eq(held, node)) {
                Some((_, group)) => group.push(thing),
                None => by_node.push((Arc::clone(node), vec![thing])),
            }
        }
        Ok(by_node)
    }

    /// The answer, unless it is a redirection: `MOVED` is remembered, and the call is to be made anew.
    ///
    /// `ASK` is not followed. The hash slot is being moved key by key then, and a script on either side would see some of
    /// a subject's keys and take the others for absent: a revocation would miss sessions that turn up again. The key that
    /// scripts name is never there, so a slot answers `ASK` from the first key moved to the last, and serves nobody.
    fn redirected(&self, place: Place, answer: Value) -> Result<Option<Value>, StoreError> {
        let Value::ServerError(error) = &answer else {
            return Ok(Some(answer));
        };
        let to = || {
            let (_, to) = error.details()?.split_once(' ')?;
            self.seeds.first()?.address().redirected(to)
        };
        match error.kind() {
            Some(ServerErrorKind::Moved) => {
                self.doubt();
                let to = to().ok_or(Refused::Answer)?;
                let node = self.node_at(&to);
                let mut map = self.map.write();
                Arc::make_mut(&mut map).moved(place.hash_slot(), node);
                Ok(None)
            }
            Some(ServerErrorKind::Ask | ServerErrorKind::TryAgain) => Err(Refused::BeingMoved.into()),
            Some(ServerErrorKind::ClusterDown | ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => {
                self.doubt();
                Ok(Some(answer))
            }
            Some(_) | None => Ok(Some(answer)),
        }
    }

    fn node_at(&self, address: &Address) -> Arc<Node> {
        let held = self.map.read().nodes.get(&address.name()).cloned();
        held.unwrap_or_else(|| Node::new(address, &self.options, Role::ClusterNode))
    }

    /// Asks one node after the other for the map, until one knows it. Many that want to know ask once.
    async fn refresh(&self) -> Result<(), StoreError> {
        let mut asked_at = in_time(self.options.timeout, self.asked_at.lock()).await.ok_or(Refused::NoConnection)?;
        if !self.stale.load(Ordering::Acquire) {
            return Ok(());
        }
        if asked_at.is_some_and(|at| at.elapsed() < ASKED_EVERY) {
            // What there is may do, and if it does not, the call says so.
            return Ok(());
        }
        *asked_at = Some(Instant::now());
        let known: Vec<_> = self.map.read().nodes.values().chain(self.seeds.iter()).cloned().collect();
        let mut last = Refused::Uncovered.into();
        for node in known {
            match self.ask(&node).await {
                Ok(map) => {
                    *self.map.write() = Arc::new(map);
                    self.stale.store(false, Ordering::Release);
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask(&self, node: &Arc<Node>) -> Result<Map, StoreError> {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let answer = node.pipeline(&[command], Errand::Read).await?.pop();
        let ranges = answer.and_then(|answer| read_ranges(&answer)).filter(|ranges| !ranges.is_empty());
        let mut map = Map::default();
        for (first, last, host, port) in ranges.ok_or(Refused::Answer)? {
            let address = node.address().sibling(&host, port);
            let held = map.nodes.get(&address.name()).cloned();
            let node = held.unwrap_or_else(|| self.node_at(&address));
            map.nodes.insert(address.name(), Arc::clone(&node));
            map.ranges.push(Range { first, last, node });
        }
        map.ranges.sort_by_key(|range| range.first);
        Ok(map)
    }
}

impl Map {
    fn node_of(&self, slot: u16) -> Option<&Arc<Node>> {
        let after = self.ranges.partition_point(|range| range.first <= slot);
        let range = self.ranges.get(after.checked_sub(1)?)?;
        (slot <= range.last).then_some(&range.node)
    }

    /// Takes one slot out of its range and gives it to `node`.
    fn moved(&mut self, slot: u16, node: Arc<Node>) {
        let mut ranges = Vec::with_capacity(self.ranges.len() + 2);
        for Range { first, last, node } in self.ranges.drain(..) {
            if (first..=last).contains(&slot) {
                if first < slot {
                    ranges.push(Range { first, last: slot - 1, node: Arc::clone(&node) });
                }
                if slot < last {
                    ranges.push(Range { first: slot + 1, last, node });
                }
            } else {
                ranges.push(Range { first, last, node });
            }
        }
        self.nodes.insert(node.address().name(), Arc::clone(&node));
        ranges.push(Range { first: slot, last: slot, node });
        ranges.sort_by_key(|range| range.first);
        self.ranges = ranges;
    }
}

/// Reads `CLUSTER SLOTS`: first and last slot, host and port of the master.
fn read_ranges(answer: &Value) -> Option<Vec<(u16, u16, String, u16)>> {
    let Value::Array(ranges) = answer else {
        return None;
    };
    let number = |value: &Value| match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    };
    ranges
        .iter()
        .map(|range| {
            let Value::Array(range) = range else {
                return None;
            };
            let [first, last, Value::Array(master), ..] = range.as_slice() else {
                return None;
            };
            let [host, port, ..] = master.as_slice() else {
                return None;
            };
            let host = match host {
                Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
                Value::SimpleString(host) => host.clone(),
                Value::Nil => String::new(),
                _ => return None,
            };
            // A node that does not know its own name says so.
            let host = if host == "?" { String::new() } else { host };
            Some((number(first)?, number(last)?, host, number(port)?))
        })
        .collect()
}
