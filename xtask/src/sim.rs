//! `cargo xtask sim`: the simulator, optimised.

use crate::cargo;
use crate::problem::Problem;

/// Becomes the simulator's binary, or the test that looks whether it finds mutations.
pub(crate) fn run(arguments: &[String]) -> Result<(), Problem> {
    let mut command = cargo::command();
    match arguments {
        [first, rest @ ..] if first == "--mutations" => {
            command.args(["run", "--package", "wayleave-sim", "--bin", "wayleave-mutations", "--"]).args(rest);
        }
        _ => {
            command
                .args(["run", "--release", "--package", "wayleave-sim", "--bin", "wayleave-sim", "--"])
                .args(arguments);
        }
    }
    cargo::become_program("wayleave-sim", &mut command)
}
