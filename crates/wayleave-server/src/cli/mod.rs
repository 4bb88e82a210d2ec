//! The command line: its definition, and below it what each command does.

pub mod args;
mod serve;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use self::args::{Cli, Command};
use crate::config::{Config, Importance, Loaded};

/// Exit code of a wrong configuration.
const USAGE: u8 = 2;

/// Runs the command line of the process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match &cli.command {
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "wayleave", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        Command::Man => match clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Command::Serve(_) => match load(&cli) {
            Ok(loaded) => in_runtime(serve::run(&loaded)),
            Err(code) => code,
        },
    }
}

/// Reads the configuration, and explains every problem that it has.
fn load(cli: &Cli) -> Result<Loaded, ExitCode> {
    let loaded = Config::load(cli.sources(std::env::vars_os())).map_err(|problems| {
        remark(&problems.human());
        ExitCode::from(USAGE)
    })?;
    if !cli.global.quiet {
        for warning in loaded.warnings.iter().filter(|warning| warning.importance == Importance::Warning) {
            remark(&warning.to_string());
        }
    }
    Ok(loaded)
}

/// Runs a command that waits for things.
fn in_runtime(command: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => failed(&error),
    }
}

/// Says why a command failed, with everything that led to it.
fn failed(error: &dyn std::error::Error) -> ExitCode {
    let mut text = format!("wayleave: {error}");
    for cause in std::iter::successors(error.source(), |error| error.source()) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    remark(&text);
    ExitCode::FAILURE
}

/// Prints a result.
#[expect(clippy::print_stdout, reason = "this is the command line")]
fn say(text: &str) {
    println!("{text}");
}

/// Prints a remark or a failure, apart from results.
#[expect(clippy::print_stderr, reason = "this is the command line")]
fn remark(text: &str) {
    eprintln!("{}", text.trim_end());
}
