//! `wayleave config`: checking the configuration, and explaining it.

use std::process::ExitCode;

use serde_json::json;

use super::super::args::{Cli, Config as Command};
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::{USAGE, load};
use crate::config::{self, Config};

/// Runs one of them. A wrong configuration is the result of `check`, not its failure.
pub(in crate::cli) fn run(command: &Command, cli: &Cli, output: Output) -> Result<ExitCode, Failure> {
    match command {
        Command::Check => {
            let result = Config::load(cli.sources(std::env::vars_os()));
            output.result(|| config::check_human(&result), || config::check_json(&result))?;
            Ok(if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(USAGE) })
        }
        Command::Show => {
            let loaded = load(cli)?;
            output.result(|| config::show_human(&loaded), || config::show_json(&loaded))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Explain { key } => {
            // Only keys that exist come past the parser.
            let text = config::explain(key).unwrap_or_default();
            output.result(|| text.clone(), || json!({ "key": key, "text": text }))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Reference => {
            output.result(config::reference, || json!({ "text": config::reference() }))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
