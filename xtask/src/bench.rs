//! `cargo xtask bench`: the benchmarks, optimised.

use crate::cargo;
use crate::problem::Problem;

/// Becomes the benchmark crate's binary.
pub(crate) fn run(arguments: &[String]) -> Result<(), Problem> {
    let mut command = cargo::command();
    command.args(["run", "--release", "--package", "wayleave-bench", "--"]).args(arguments);
    cargo::become_program("wayleave-bench", &mut command)
}
