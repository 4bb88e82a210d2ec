//! What each command does: a file for each group of them.

pub(super) mod audit;
pub(super) mod config;
pub(super) mod key;
pub(super) mod migrate;
pub(super) mod service_key;
pub(super) mod session;
pub(super) mod store;
pub(super) mod sweep;
pub(super) mod user;

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;
use serde::Serialize;
use serde_json::Value;
use wayleave_core::permission::Permissions;

use super::args::Cli;
use super::failure::{Argument, Failure};

/// `completions`
pub(super) fn completions(shell: Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wayleave", &mut script);
    print(&script)
}

/// `man`
pub(super) fn man() -> Result<ExitCode, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    print(&page)
}

fn print(bytes: &[u8]) -> Result<ExitCode, Failure> {
    std::io::Write::write_all(&mut std::io::stdout().lock(), bytes)?;
    Ok(ExitCode::SUCCESS)
}

/// The form in which the API answers the same thing.
fn json(value: impl Serialize) -> Value {
    // Wire forms have text keys and finite numbers, so there is nothing that JSON cannot say.
    serde_json::to_value(value).unwrap_or_default()
}

/// Permissions from the command line.
fn permissions(names: &[String]) -> Result<Permissions, Argument> {
    Permissions::new(names.iter().map(String::as_str)).map_err(|_| Argument::Permission)
}

/// Permissions for people.
fn listed(permissions: &Permissions) -> String {
    if permissions.is_empty() { "-".to_owned() } else { permissions.iter().collect::<Vec<_>>().join(" ") }
}
