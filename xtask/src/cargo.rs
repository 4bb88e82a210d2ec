//! Running Cargo: which profile, which binary, and handing the process over.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::problem::Problem;
use crate::workspace;

/// How to compile.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build, with line numbers.
    Dev,
    /// As `Dev`, without what only a person at a debugger needs.
    Ci,
    /// Optimised.
    Release,
}

impl Profile {
    /// `Ci` where the environment says `CI=true`.
    pub(crate) fn of_environment() -> Self {
        if std::env::var_os("CI").is_some_and(|value| value == "true") { Self::Ci } else { Self::Dev }
    }

    /// The arguments that choose it.
    pub(crate) const fn arguments(self) -> [&'static str; 2] {
        ["--profile", self.name()]
    }

    /// Its name in `Cargo.toml`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Ci => "ci",
            Self::Release => "release",
        }
    }
}

/// Cargo, in the root of the checkout.
pub(crate) fn command() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root());
    command
}

/// Builds the server and says where the binary is.
pub(crate) fn build_server(profile: Profile) -> Result<PathBuf, Problem> {
    const NAME: &str = "cargo build --bin wayleave";
    let built = command()
        .args(["build", "--package", "wayleave-server", "--bin", "wayleave"])
        .args(["--message-format", "json-render-diagnostics"])
        .args(profile.arguments())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Problem::Program { name: NAME, source })?;
    if !built.status.success() {
        return Err(Problem::Failed { name: NAME, status: built.status });
    }
    let text = String::from_utf8_lossy(&built.stdout);
    let executable = text.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let ours = message.pointer("/target/name").and_then(Value::as_str) == Some("wayleave");
        message.get("executable").and_then(Value::as_str).filter(|_| ours).map(PathBuf::from)
    });
    executable.ok_or(Problem::Output { name: NAME })
}

/// Runs a program to its end; what it prints is shown.
pub(crate) fn run(name: &'static str, command: &mut Command) -> Result<(), Problem> {
    let status = command.status().map_err(|source| Problem::Program { name, source })?;
    if status.success() { Ok(()) } else { Err(Problem::Failed { name, status }) }
}

/// Becomes `command`: it has this process's terminal, id and signals. Returns only when that is not possible.
#[cfg(unix)]
pub(crate) fn become_program(name: &'static str, command: &mut Command) -> Result<(), Problem> {
    use std::os::unix::process::CommandExt as _;
    Err(Problem::Program { name, source: command.exec() })
}

/// Runs `command` in this process's terminal, which sends both of them its signals.
#[cfg(not(unix))]
pub(crate) fn become_program(name: &'static str, command: &mut Command) -> Result<(), Problem> {
    run(name, command)
}
