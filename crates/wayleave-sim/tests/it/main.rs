//! Runs of the simulator: many seeds, the same seed twice, and what a good number of them goes through.
#![allow(clippy::unwrap_used, reason = "what fails in a test panics")]

use std::collections::BTreeSet;
use std::ops::Range;

use wayleave_sim::history::{Act, Outcome, Trouble};
use wayleave_sim::plan::Plan;
use wayleave_sim::{Report, mutations, run};

/// How many operations the clients begin in one run.
const STEPS: u64 = 200;

fn simulate(seed: u64) -> Report {
    run(&Plan::new(seed, STEPS)).unwrap()
}

fn all_keep_their_promises(seeds: Range<u64>) {
    for seed in seeds {
        let report = simulate(seed);
        assert!(report.violations.is_empty(), "{report}");
    }
}

/// R015, R024, R065.
#[test]
fn seeds_1() {
    all_keep_their_promises(1..126);
}

/// R015, R024, R065.
#[test]
fn seeds_2() {
    all_keep_their_promises(126..251);
}

/// R015, R024, R065.
#[test]
fn seeds_3() {
    all_keep_their_promises(251..376);
}

/// R015, R024, R065.
#[test]
fn seeds_4() {
    all_keep_their_promises(376..501);
}

#[test]
#[ignore = "long: run by `cargo xtask test --deep`"]
fn seeds_deep_1() {
    all_keep_their_promises(100_000..102_500);
}

#[test]
#[ignore = "long: run by `cargo xtask test --deep`"]
fn seeds_deep_2() {
    all_keep_their_promises(102_500..105_000);
}

#[test]
#[ignore = "long: run by `cargo xtask test --deep`"]
fn seeds_deep_3() {
    all_keep_their_promises(105_000..107_500);
}

#[test]
#[ignore = "long: run by `cargo xtask test --deep`"]
fn seeds_deep_4() {
    all_keep_their_promises(107_500..110_000);
}

#[test]
#[ignore = "long: run by `cargo xtask test --deep`"]
fn every_mutation_is_caught() {
    const SEEDS: u64 = 1500;
    for mutation in mutations::Mutation::all().unwrap() {
        assert_ne!(mutation.run(SEEDS).unwrap(), mutations::Fate::Missed, "{}: {}", mutation.name, mutation.about);
    }
}

/// Two runs of the same seed are the same in everything that happens.
#[test]
fn a_seed_determines_the_whole_history() {
    for seed in 1..16 {
        let (one, other) = (simulate(seed).history.text(), simulate(seed).history.text());
        let first = one.lines().zip(other.lines()).find(|(one, other)| one != other);
        assert_eq!((first, one.len()), (None, other.len()), "seed {seed}");
    }
}

fn kind<T: std::fmt::Debug>(value: &T) -> String {
    let text = format!("{value:?}");
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}

/// Checkers that never see a thing find nothing wrong with it.
#[test]
fn everything_happens() {
    let (mut acts, mut outcomes, mut troubles) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut repeated, mut evicted, mut warm) = (0, 0, 0);
    for seed in 1..61 {
        let history = simulate(seed).history;
        for operation in &history.operations {
            acts.insert(kind(&operation.act));
            outcomes.insert(kind(&operation.outcome));
            match &operation.outcome {
                Outcome::Refreshed { repeated: true, .. } => repeated += 1,
                Outcome::Opened { evicted: gone, .. } => evicted += gone.len(),
                Outcome::Valid if operation.began.at == operation.ended.at => warm += 1,
                _ => {}
            }
            if let Act::Validate { .. } = operation.act {
                assert!(operation.began.order < operation.ended.order);
            }
        }
        troubles.extend(history.disturbances.iter().map(|disturbance| kind::<Trouble>(&disturbance.what)));
    }
    assert_eq!(acts.len(), 14, "{acts:?}");
    assert_eq!(outcomes.len(), 14, "{outcomes:?}");
    assert_eq!(troubles.len(), 12, "{troubles:?}");
    assert!(repeated > 10 && evicted > 10 && warm > 500, "{repeated} {evicted} {warm}");
}
