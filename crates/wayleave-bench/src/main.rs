//! `wayleave-bench`: measures, and prints the table. `cargo xtask bench` is the usual way to it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is what it is run for")]

use std::process::ExitCode;

use wayleave_bench::arguments::{Arguments, USAGE};

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if arguments.help {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match wayleave_bench::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}
