//! What a run is like, as its seed determines it: how many nodes, which faults, which clocks.

use std::collections::BTreeMap;
use std::time::Duration;

use wayleave::Rules;
use wayleave::cluster::{Coherence, Timing};
use wayleave::core::id::IdPrefix;
use wayleave::core::permission::Ceiling;
use wayleave::core::policy::{AtLimit, Concurrency, FingerprintMode, IdleLimit, KindName, Kinds, Policy, TokenFormat};
use wayleave_testkit::Dice;

/// How nodes time what they say, in every run.
pub const TIMING: Timing =
    Timing { beat: Duration::from_millis(500), lease: Duration::from_secs(2), write: Duration::from_secs(6) };

/// How long a node waits for one answer of the store. A change asks it three times at most, which fits into
/// [`Timing::write`].
pub const PATIENCE: Duration = Duration::from_millis(1900);

/// The most by which a node's clocks may be fast or slow, in parts of a million.
pub const MOST_DRIFT: u64 = 10_000;

/// What can go wrong in a run.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Faults {
    /// Nothing; things only take their time.
    None,
    /// Links fail, nodes crash and stand still: all that a bus and a store may do.
    Within,
    /// Also messages that are lost without a sign, doubled and overtaken: more than a bus may do.
    Beyond,
}

/// What the nodes' clocks are like.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Clocks {
    /// All show the same time.
    Steady,
    /// They go a little wrong.
    Drifting,
    /// They also jump, by up to an hour in both directions.
    Jumping,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What determines it.
    pub seed: u64,
    /// How many operations the clients begin in all.
    pub steps: u64,
    /// How many nodes.
    pub nodes: usize,
    /// How many clients act at once.
    pub clients: usize,
    /// How many subjects have sessions.
    pub subjects: u64,
    /// When a change returns.
    pub coherence: Coherence,
    /// What goes wrong.
    pub faults: Faults,
    /// Between two disturbances at one place, at most.
    pub calm: Duration,
    /// In how many of 100 cases the answer of the store gets lost, while nothing else is wrong.
    pub answers_lost: u64,
    /// What the clocks are like.
    pub clocks: Clocks,
    /// The longest that a message takes each way, while nothing is wrong.
    pub bus_delay: Duration,
    /// The longest that a question to the store takes each way, while nothing is wrong.
    pub store_delay: Duration,
    /// The refresh window.
    pub window: Duration,
    /// The longest that a client rests between two operations.
    pub rest: Duration,
}

impl Plan {
    /// What `seed` determines.
    #[must_use]
    pub fn new(seed: u64, steps: u64) -> Self {
        let dice = Dice::new(seed);
        let millis = Duration::from_millis;
        let pick = |choices: &[u64]| dice.one(choices).copied().unwrap_or_default();
        let faults = match dice.below(10) {
            0..2 => Faults::None,
            2..7 => Faults::Within,
            _ => Faults::Beyond,
        };
        Self {
            seed,
            steps,
            nodes: if dice.chance(10) { 1 } else { 2 + usize::try_from(dice.below(3)).unwrap_or(0) },
            clients: 3 + usize::try_from(dice.below(4)).unwrap_or(0),
            subjects: pick(&[1, 2, 3, 8, 20]),
            coherence: if dice.chance(50) { Coherence::Prompt } else { Coherence::Strict },
            faults,
            calm: Duration::from_secs(pick(&[4, 12, 60])),
            answers_lost: if faults == Faults::None { 0 } else { pick(&[0, 0, 3, 10]) },
            clocks: match dice.below(10) {
                0..4 => Clocks::Steady,
                4..8 => Clocks::Drifting,
                _ => Clocks::Jumping,
            },
            bus_delay: millis(pick(&[0, 2, 20, 100])),
            store_delay: millis(pick(&[0, 2, 20, 300])),
            window: Duration::from_secs(pick(&[0, 5, 10])),
            rest: millis(pick(&[50, 400, 1200, 3000])),
        }
    }

    /// The rules of every node.
    pub(crate) fn rules(&self) -> Rules {
        let kinds = KINDS.iter().filter_map(|kind| Some((kind.name.parse::<KindName>().ok()?, kind.policy())));
        // The table is tested.
        let kinds = Kinds::new(kinds.collect::<BTreeMap<_, _>>(), 1).unwrap_or_default();
        Rules { kinds, refresh_window: self.window, ..Rules::default() }
    }
}

/// A kind of session, with limits that a run reaches.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// The life of a token.
    pub token: Duration,
    /// The absolute limit.
    pub absolute: Duration,
    /// The idle limit.
    pub idle: Option<Duration>,
    /// How many there may be of a subject, and what happens to one more.
    pub concurrency: Concurrency,
    /// Whether its sessions have refresh tokens.
    pub refreshable: bool,
    /// The life of a JWT, where it has them.
    pub jwt: Option<Duration>,
}

const HOUR: Duration = Duration::from_secs(3600);

const PLAIN: Kind = Kind {
    name: "plain",
    token: HOUR,
    absolute: Duration::from_secs(2 * 3600),
    idle: None,
    concurrency: Concurrency { most: 12, at_limit: AtLimit::EvictOldest },
    refreshable: true,
    jwt: None,
};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn most(most: u32, at_limit: AtLimit) -> Concurrency {
    Concurrency { most, at_limit }
}

/// Every kind.
pub const KINDS: [Kind; 7] = [
    PLAIN,
    Kind { name: "few", concurrency: most(2, AtLimit::EvictOldest), ..PLAIN },
    Kind { name: "unused", idle: Some(seconds(20)), concurrency: most(2, AtLimit::EvictLeastRecentlySeen), ..PLAIN },
    Kind { name: "refuse", idle: Some(seconds(12)), concurrency: most(2, AtLimit::Refuse), ..PLAIN },
    Kind { name: "short", token: seconds(8), absolute: seconds(40), idle: Some(seconds(10)), ..PLAIN },
    Kind {
        name: "cookie",
        absolute: seconds(60),
        token: seconds(60),
        idle: Some(seconds(15)),
        refreshable: false,
        ..PLAIN
    },
    Kind { name: "jwt", jwt: Some(seconds(25)), ..PLAIN },
];

impl Kind {
    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    fn policy(&self) -> Policy {
        Policy {
            id_prefix: IdPrefix::FALLBACK,
            token_lifetime: self.token,
            absolute_limit: self.absolute,
            idle_limit: self.idle.map_or(IdleLimit::None, IdleLimit::Fixed),
            remembered: None,
            concurrency: self.concurrency,
            ceiling: Ceiling::Any,
            fingerprint: FingerprintMode::Off,
            token_format: self.jwt.map_or(TokenFormat::Opaque, |lifetime| TokenFormat::Jwt { lifetime }),
            level: wayleave::core::authentication::Level::ONE,
            requires_licence: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_in_the_rules() {
        let rules = Plan::new(1, 1).rules();
        for kind in &KINDS {
            assert!(rules.kinds.policy(&kind.name.parse().unwrap()).is_some(), "{}", kind.name);
        }
    }

    #[test]
    fn seeds_give_every_kind_of_run() {
        let plans: Vec<_> = (0..200).map(|seed| Plan::new(seed, 1)).collect();
        assert_eq!(plans, (0..200).map(|seed| Plan::new(seed, 1)).collect::<Vec<_>>());
        for faults in [Faults::None, Faults::Within, Faults::Beyond] {
            for clocks in [Clocks::Steady, Clocks::Drifting, Clocks::Jumping] {
                for coherence in [Coherence::Prompt, Coherence::Strict] {
                    let such = |plan: &&Plan| (plan.faults, plan.clocks, plan.coherence) == (faults, clocks, coherence);
                    assert!(plans.iter().any(|plan| such(&plan)), "{faults:?} {clocks:?} {coherence:?}");
                }
            }
        }
    }
}
