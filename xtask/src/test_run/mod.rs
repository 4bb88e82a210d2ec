//! `cargo xtask test`: the whole test run as one table of steps, each timed.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cargo::{self, Profile};
use crate::problem::Problem;
use crate::{readme, requirements};

mod fuzz;
mod packages;
mod tally;
mod tools;
use tally::Tally;

/// One thing that must hold before a change lands.
struct Step {
    name: &'static str,
    /// Whether only `--deep` runs it.
    deep: bool,
    run: fn(&Plan) -> Result<Outcome, Problem>,
}

/// Every step, in the order in which they run. With filters, only the step `tests` runs.
const STEPS: &[Step] = &[
    Step { name: "tools", deep: false, run: tools },
    Step { name: "format", deep: false, run: format },
    Step { name: "lint", deep: false, run: lint },
    Step { name: "beside", deep: false, run: beside },
    Step { name: "packages", deep: false, run: packages::run },
    Step { name: TESTS, deep: false, run: tests },
    Step { name: "doctests", deep: false, run: doctests },
    Step { name: "readme", deep: false, run: tour },
    Step { name: "requirements", deep: false, run: requirements },
    Step { name: "documentation", deep: true, run: documentation },
    Step { name: "dependencies", deep: true, run: dependencies },
    Step { name: "fuzz", deep: true, run: fuzz::run },
];

const TESTS: &str = "tests";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    depth: Depth,
    profile: Profile,
    filters: Vec<String>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Depth {
    Everyday,
    Deep,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Skipped(&'static str),
}

/// Runs every step of the plan, also after one failed, and sums up.
pub(crate) fn run(arguments: &[String]) -> Result<(), Problem> {
    let plan = plan(arguments, Profile::of_environment())?;
    let watch = Stopwatch::start();
    let mut rows = Vec::new();
    let mut failed = 0;
    for step in STEPS.iter().filter(|step| wanted(step, &plan)) {
        println!("== {}", step.name);
        let step_watch = Stopwatch::start();
        let result = match (step.run)(&plan) {
            Ok(Outcome::Passed) => "passed".to_owned(),
            Ok(Outcome::Skipped(reason)) => format!("skipped: {reason}"),
            Err(problem) => {
                failed += 1;
                eprintln!("error: {problem}");
                format!("FAILED: {problem}")
            }
        };
        rows.push((step.name, step_watch.elapsed(), result));
    }
    println!("== summary");
    for (name, time, result) in rows {
        println!("{name:<14} {:>7.1} s  {result}", time.as_secs_f64());
    }
    println!("{:<14} {:>7.1} s", "all", watch.elapsed().as_secs_f64());
    if failed == 0 { Ok(()) } else { Err(Problem::Found { what: "steps that failed", count: failed }) }
}

fn plan(arguments: &[String], profile: Profile) -> Result<Plan, Problem> {
    let mut plan = Plan { depth: Depth::Everyday, profile, filters: Vec::new() };
    for argument in arguments {
        match argument.as_str() {
            "--deep" => plan.depth = Depth::Deep,
            option if option.starts_with('-') => return Err(Problem::Usage),
            filter => plan.filters.push(filter.to_owned()),
        }
    }
    Ok(plan)
}

fn wanted(step: &Step, plan: &Plan) -> bool {
    let depth = match plan.depth {
        Depth::Everyday => !step.deep,
        Depth::Deep => true,
    };
    depth && (plan.filters.is_empty() || step.name == TESTS)
}

fn tools(_: &Plan) -> Result<Outcome, Problem> {
    tools::provide().map(|()| Outcome::Passed)
}

fn format(_: &Plan) -> Result<Outcome, Problem> {
    pass("cargo fmt", cargo::command().args(["fmt", "--all", "--", "--check"]))
}

fn lint(plan: &Plan) -> Result<Outcome, Problem> {
    let mut command = cargo::command();
    command
        .args(["clippy", "--workspace", "--all-targets"])
        .args(plan.profile.arguments())
        .args(["--", "-D", "warnings"]);
    pass("cargo clippy", &mut command)
}

/// The workspaces beside this one: the fuzz targets compile, and both lock files follow what they depend on here.
fn beside(_: &Plan) -> Result<Outcome, Problem> {
    let fuzz = ["check", "--quiet", "--locked", "--manifest-path", "fuzz/Cargo.toml"];
    pass("cargo check of fuzz", cargo::command().args(fuzz))?;
    let peers =
        ["metadata", "--locked", "--format-version", "1", "--manifest-path", "crates/wayleave-bench/peers/Cargo.toml"];
    pass("cargo metadata of the benchmark's peers", cargo::command().args(peers).stdout(Stdio::null()))
}

fn tests(plan: &Plan) -> Result<Outcome, Problem> {
    if !installed("nextest") {
        println!("note: cargo-nextest is not installed; `cargo test` runs the tests, without time limits per test");
        println!("note: to install it: cargo install cargo-nextest --locked");
        return libtest(plan);
    }
    let profile = match (plan.depth, plan.profile) {
        (Depth::Deep, _) => "deep",
        (Depth::Everyday, Profile::Ci) => "ci",
        (Depth::Everyday, Profile::Dev | Profile::Release) => "default",
    };
    let mut command = cargo::command();
    command.args(["nextest", "run", "--workspace", "--profile", profile, "--cargo-profile", plan.profile.name()]);
    match plan.depth {
        Depth::Everyday => {}
        Depth::Deep => {
            command.args(["--run-ignored", "all"]);
        }
    }
    pass("cargo nextest", command.args(&plan.filters))
}

/// The same tests by Cargo's own runner, whose many summaries are added up to one line.
fn libtest(plan: &Plan) -> Result<Outcome, Problem> {
    const NAME: &str = "cargo test";
    let mut command = cargo::command();
    command.args(["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]);
    command.args(plan.profile.arguments()).arg("--").args(&plan.filters);
    match plan.depth {
        Depth::Everyday => {}
        Depth::Deep => {
            command.arg("--include-ignored");
        }
    }
    let broken = |source| Problem::Program { name: NAME, source };
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(broken)?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        tally.follow(output, |line| println!("{line}")).map_err(broken)?;
    }
    let status = child.wait().map_err(broken)?;
    println!("{tally}");
    if status.success() { Ok(Outcome::Passed) } else { Err(Problem::Failed { name: NAME, status }) }
}

fn doctests(plan: &Plan) -> Result<Outcome, Problem> {
    pass("cargo test --doc", cargo::command().args(["test", "--doc", "--workspace"]).args(plan.profile.arguments()))
}

fn tour(plan: &Plan) -> Result<Outcome, Problem> {
    readme::tour(plan.profile).map(|()| Outcome::Passed)
}

fn requirements(_: &Plan) -> Result<Outcome, Problem> {
    requirements::check().map(|()| Outcome::Passed)
}

fn documentation(_: &Plan) -> Result<Outcome, Problem> {
    let mut command = cargo::command();
    command.args(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings");
    pass("cargo doc", &mut command)
}

fn dependencies(_: &Plan) -> Result<Outcome, Problem> {
    if installed("deny") {
        pass("cargo deny", cargo::command().args(["deny", "check"]))
    } else {
        Ok(Outcome::Skipped("cargo-deny is not installed (cargo install cargo-deny --locked)"))
    }
}

fn pass(name: &'static str, command: &mut Command) -> Result<Outcome, Problem> {
    cargo::run(name, command).map(|()| Outcome::Passed)
}

fn installed(subcommand: &str) -> bool {
    let mut command = cargo::command();
    command.args([subcommand, "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// How long something took, for people to read.
struct Stopwatch(Instant);

impl Stopwatch {
    #[allow(clippy::disallowed_methods, reason = "a report of how long the steps took is about the real clock")]
    fn start() -> Self {
        Self(Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    fn names(arguments: &[&str]) -> Vec<&'static str> {
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let plan = plan(&arguments, Profile::Dev).unwrap();
        STEPS.iter().filter(|step| wanted(step, &plan)).map(|step| step.name).collect()
    }

    #[test]
    fn deep_adds_steps_and_a_filter_leaves_the_tests_alone() {
        let everyday = ["tools", "format", "lint", "beside", "packages", "tests", "doctests", "readme", "requirements"];
        assert_eq!(names(&[]), everyday);
        assert_eq!(names(&["--deep"]).len(), STEPS.len());
        assert_eq!(names(&["login"]), ["tests"]);
        assert_eq!(names(&["--deep", "login"]), ["tests"]);
    }

    #[test]
    fn unknown_options_are_refused() {
        assert!(matches!(plan(&["--fast".to_owned()], Profile::Dev), Err(Problem::Usage)));
    }
}
