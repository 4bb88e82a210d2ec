//! The command line: its definition, and below it what each command does.

pub mod args;
mod commands;
mod deployment;
mod failure;
mod output;
mod serve;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

use self::args::{Cli, Command};
use self::commands::{audit, config, key, migrate, service_key, session, store, sweep, user};
use self::failure::Failure;
use self::output::Output;
use crate::config::{Config, Importance, Loaded, LogLevel};
use crate::logging;

/// Exit code of a wrong configuration.
const USAGE: u8 = 2;

/// Runs the command line of the process. The exit code is 0 when it was done, 1 when it failed or found something, and
/// 2 when the command or the configuration is wrong.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(&cli.global);
    run(&cli, output).unwrap_or_else(|failure| explain(&failure))
}

fn run(cli: &Cli, output: Output) -> Result<ExitCode, Failure> {
    match &cli.command {
        // These need no configuration.
        Command::Completions { shell } => commands::completions(*shell),
        Command::Man => commands::man(),
        // These are about the configuration, whether it is right or wrong.
        Command::Config(command) => config::run(command, cli, output),
        // These need a right configuration.
        Command::Serve(_) => {
            let loaded = load(cli)?;
            in_runtime(async { Ok(serve::run(&loaded).await) })
        }
        Command::Migrate => {
            let config = load_quietly(cli)?;
            in_runtime(migrate::run(&config, output))
        }
        // These open the deployment.
        Command::User(command) => {
            let config = load_quietly(cli)?;
            in_runtime(user::run(command, &config, output))
        }
        Command::Session(command) => {
            let config = load_quietly(cli)?;
            in_runtime(session::run(command, &config, output))
        }
        Command::Key(command) => {
            let config = load_quietly(cli)?;
            in_runtime(key::run(*command, &config, output))
        }
        Command::ServiceKey(command) => {
            let config = load_quietly(cli)?;
            in_runtime(service_key::run(command, &config, output))
        }
        Command::Store(command) => {
            let config = load_quietly(cli)?;
            in_runtime(store::run(command, &config, output))
        }
        Command::Sweep => {
            let config = load_quietly(cli)?;
            in_runtime(sweep::run(&config, output))
        }
        Command::Audit(command) => {
            let config = load_quietly(cli)?;
            in_runtime(audit::run(command, &config, output))
        }
    }
}

/// Reads the configuration.
fn load(cli: &Cli) -> Result<Loaded, Failure> {
    let loaded = Config::load(cli.sources(std::env::vars_os())).map_err(Failure::Configuration)?;
    if !cli.global.quiet {
        for warning in loaded.warnings.iter().filter(|warning| warning.importance == Importance::Warning) {
            remark(&warning.to_string());
        }
    }
    Ok(loaded)
}

/// Reads the configuration for a command that is over soon: its log says only what goes wrong.
fn load_quietly(cli: &Cli) -> Result<Config, Failure> {
    let mut config = load(cli)?.config;
    config.log.level = match config.log.level {
        _ if cli.global.quiet => LogLevel::Error,
        LogLevel::Info => LogLevel::Warn,
        chosen @ (LogLevel::Error | LogLevel::Warn | LogLevel::Debug | LogLevel::Trace) => chosen,
    };
    logging::start(&config);
    Ok(config)
}

/// Runs a command that waits for things.
fn in_runtime(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(command)
}

/// Says why a command was not carried out; the exit code.
fn explain(failure: &Failure) -> ExitCode {
    match failure {
        Failure::Configuration(problems) => remark(&problems.human()),
        // Whoever reads the result has seen enough of it.
        Failure::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        _ => remark(&chain(failure)),
    }
    ExitCode::from(failure.exit_code())
}

/// Says why the server ended.
fn failed(error: &dyn std::error::Error) -> ExitCode {
    remark(&chain(error));
    ExitCode::FAILURE
}

/// An error with everything that led to it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("wayleave: {error}");
    for cause in std::iter::successors(error.source(), |error| error.source()) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    text
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
