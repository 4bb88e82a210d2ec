//! What cannot be had for less: the hash of a token, and a lookup in a map.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hint::black_box;
use std::time::Instant;

use sha2::{Digest as _, Sha256};
use wayleave_core::token::TOKEN_LENGTH;

use crate::measure::{Picks, Samples, per_operation};
use crate::plan::Plan;

/// One SHA-256 over as many bytes as a token has.
pub(crate) fn hash(plan: Plan) -> Samples {
    let mut text: [u8; TOKEN_LENGTH] = Picks::new(1).bytes();
    let run = |count: usize| {
        let start = Instant::now();
        for step in 0..count {
            text.first_mut().into_iter().for_each(|byte| *byte = step.to_le_bytes().first().copied().unwrap_or(0));
            black_box(Sha256::digest(black_box(&text)));
        }
        Ok::<_, Infallible>(start.elapsed())
    };
    unfailing(per_operation(plan.rounds, plan.round, run))
}

/// One lookup of a 32-byte key in the standard library's map, at random among `size`.
pub(crate) fn lookup(plan: Plan, size: usize) -> Samples {
    let mut picks = Picks::new(2);
    let keys: Vec<[u8; 32]> = (0..size).map(|_| picks.bytes()).collect();
    let map: HashMap<[u8; 32], usize> = keys.iter().copied().zip(0..).collect();
    let run = |count: usize| {
        let wanted: Vec<[u8; 32]> =
            (0..count).map(|_| keys.get(picks.below(size)).copied().unwrap_or_default()).collect();
        let start = Instant::now();
        for key in &wanted {
            black_box(map.get(black_box(key)));
        }
        Ok::<_, Infallible>(start.elapsed())
    };
    unfailing(per_operation(plan.rounds, plan.round, run))
}

fn unfailing(samples: Result<Samples, Infallible>) -> Samples {
    match samples {
        Ok(samples) => samples,
    }
}
