//! For people who work on the project: its own jobs, as `cargo xtask <job>`. Nothing depends on this crate.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a job's output is what it is run for")]

use std::process::ExitCode;

use crate::problem::Problem;

mod architecture;
mod bench;
mod cargo;
mod openapi;
mod problem;
mod readme;
mod requirements;
mod serve;
mod sim;
mod test_run;
mod workspace;

/// A job: its name, what it does, and the function that takes the remaining arguments.
struct Job {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<(), Problem>,
}

const JOBS: &[Job] = &[
    Job {
        name: "serve",
        usage: "serve [--release] [arguments of `wayleave serve`]",
        about: "build the server and run it",
        run: serve::run,
    },
    Job {
        name: "test",
        usage: "test [--deep] [filter ...]",
        about: "everything that must hold before a change lands; with filters, the matching tests alone",
        run: test_run::run,
    },
    Job {
        name: "readme",
        usage: "readme",
        about: "run the commands of README.md and compare what they print",
        run: readme::run,
    },
    Job {
        name: "openapi",
        usage: "openapi",
        about: "write the server's OpenAPI document to spec/openapi.json, and the TypeScript types made from it",
        run: openapi::run,
    },
    Job {
        name: "requirements",
        usage: "requirements [--check]",
        about: "which security requirements and attacks have a test that names them",
        run: requirements::run,
    },
    Job {
        name: "architecture",
        usage: "architecture",
        about: "which crate may depend on which, the rules for source files, and the tests that comparisons name",
        run: architecture::run,
    },
    Job {
        name: "sim",
        usage: "sim [--seed S] [--seeds N] [--steps N] [--history] [--keep-going] | sim --mutations [--seeds N]",
        about: "nodes, clients and faults in virtual time; or whether that finds the mutations",
        run: sim::run,
    },
    Job { name: "bench", usage: "bench [arguments of the benchmark]", about: "measure, optimised", run: bench::run },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = match arguments.split_first() {
        Some((name, rest)) => (name.as_str(), rest),
        None => ("help", [].as_slice()),
    };
    if matches!(name, "help" | "--help" | "-h") {
        println!("{}", help());
        return ExitCode::SUCCESS;
    }
    let Some(job) = JOBS.iter().find(|job| job.name == name) else {
        eprintln!("error: there is no job `{name}`\n\n{}", help());
        return ExitCode::from(2);
    };
    match (job.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem::Usage) => {
            eprintln!("error: cargo xtask {} does not take these arguments\n\n{}", job.name, help());
            ExitCode::from(2)
        }
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let rows = JOBS.iter().map(|job| format!("  cargo xtask {}\n      {}", job.usage, job.about));
    rows.collect::<Vec<_>>().join("\n")
}
