//! `wayleave-sim`: runs seeds, and shows what went wrong in the first run in which something did.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the output is what it is run for")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use wayleave_sim::plan::Plan;
use wayleave_sim::run;

/// What was asked for.
struct Arguments {
    seed: u64,
    seeds: u64,
    steps: u64,
    /// Whether to show the whole history.
    all: bool,
    /// Whether to go on after a violation.
    keep_going: bool,
}

const USAGE: &str = "wayleave-sim [--seed S] [--seeds N] [--steps N] [--history] [--keep-going]";

fn main() -> ExitCode {
    let Some(arguments) = read(std::env::args().skip(1)) else {
        eprintln!("usage: {USAGE}");
        return ExitCode::from(2);
    };
    match simulate(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(mut arguments: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut read = Arguments { seed: 1, seeds: 1, steps: STEPS, all: false, keep_going: false };
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next()?.parse().ok();
        match argument.as_str() {
            "--seed" => read.seed = number()?,
            "--seeds" => read.seeds = number()?,
            "--steps" => read.steps = number()?,
            "--history" => read.all = true,
            "--keep-going" => read.keep_going = true,
            _ => return None,
        }
    }
    Some(read)
}

/// How many operations the clients begin, unless another number is given.
const STEPS: u64 = 200;
/// Between two reports of how far it is.
const REPORT_EVERY: Duration = Duration::from_secs(10);

#[allow(clippy::disallowed_methods, reason = "a report of how fast it goes is about the real clock")]
fn simulate(arguments: &Arguments) -> std::io::Result<u64> {
    let Arguments { seed, seeds, steps, all, keep_going } = *arguments;
    let (begun, mut told, mut bad, mut done) = (Instant::now(), Instant::now(), 0, 0_u64);
    let per_minute = |done: u64| {
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        done.saturating_mul(60_000) / millis
    };
    for seed in seed..seed.saturating_add(seeds) {
        let report = run(&Plan::new(seed, steps))?;
        done += 1;
        if all {
            println!("{:?}\n{}", report.history.plan, report.history.text());
        }
        if !report.violations.is_empty() {
            bad += 1;
            println!("{report}");
            if !keep_going {
                break;
            }
        }
        if told.elapsed() >= REPORT_EVERY {
            told = Instant::now();
            println!("{done} seeds, {} per minute", per_minute(done));
        }
    }
    println!("{done} seeds, {bad} with violations, {} per minute", per_minute(done));
    Ok(bad)
}
