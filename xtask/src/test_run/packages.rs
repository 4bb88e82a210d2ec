//! The TypeScript parts: installed by the lock file, checked by their compiler, tested by Node.js.

use std::process::Command;

use crate::problem::Problem;
use crate::{cargo, workspace};

use super::{Outcome, Plan};

pub(super) fn run(_: &Plan) -> Result<Outcome, Problem> {
    cargo::run("npm ci", &mut npm(&["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))?;
    // The package first: the examples are built on what it was compiled to.
    cargo::run("npm test", &mut npm(&["test", "--workspaces", "--if-present"]))?;
    Ok(Outcome::Passed)
}

fn npm(arguments: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(workspace::root()).arg("--loglevel=error").args(arguments);
    command
}
