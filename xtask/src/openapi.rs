//! `cargo xtask openapi`: writes the OpenAPI document of the server to `spec/openapi.json`, and the TypeScript types that
//! are made from it.

use std::process::{Command, Stdio};

use crate::cargo;
use crate::problem::Problem;
use crate::workspace;

/// Runs the example that prints the document, and keeps what it prints.
pub(crate) fn run(arguments: &[String]) -> Result<(), Problem> {
    const NAME: &str = "cargo run --example openapi";
    if !arguments.is_empty() {
        return Err(Problem::Usage);
    }
    let printed = cargo::command()
        .args(["run", "--quiet", "--package", "wayleave-server", "--example", "openapi"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Problem::Program { name: NAME, source })?;
    if !printed.status.success() {
        return Err(Problem::Failed { name: NAME, status: printed.status });
    }
    if !printed.stdout.starts_with(b"{") {
        return Err(Problem::Output { name: NAME });
    }
    let path = workspace::root().join("spec/openapi.json");
    std::fs::write(&path, &printed.stdout).map_err(|source| Problem::File { path, source })?;
    let script = workspace::root().join("packages/wayleave/scripts/generate.js");
    cargo::run("node", Command::new("node").arg(script))
}
