//! `wayleave-mutations`: builds every mutation, and says which of them the simulator finds.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the output is what it is run for")]

use std::process::ExitCode;

use wayleave_sim::mutations::{Fate, Mutation};

const USAGE: &str = "wayleave-mutations [--seeds N] [name ...]";
/// How many seeds may pass before a mutation is found, unless another number is given.
const SEEDS: u64 = 1500;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut seeds, mut names) = (SEEDS, Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seeds" => match arguments.next().and_then(|number| number.parse().ok()) {
                Some(number) => seeds = number,
                None => return usage(),
            },
            option if option.starts_with('-') => return usage(),
            name => names.push(name.to_owned()),
        }
    }
    match run(seeds, &names) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: {USAGE}");
    ExitCode::from(2)
}

fn run(seeds: u64, names: &[String]) -> std::io::Result<usize> {
    let mut missed = 0;
    for mutation in Mutation::all()?.iter().filter(|mutation| names.is_empty() || names.contains(&mutation.name)) {
        match mutation.run(seeds)? {
            Fate::Caught(output) => {
                let by = output.lines().find(|line| line.starts_with("  ")).unwrap_or("  a panic").trim();
                let after = output.lines().rev().find(|line| line.contains(" seeds, ")).unwrap_or_default();
                println!("caught  {}: {by} ({after})", mutation.name);
            }
            Fate::Missed => {
                missed += 1;
                println!("MISSED  {}: {}", mutation.name, mutation.about);
            }
        }
    }
    Ok(missed)
}
