//! `cargo xtask serve`: the server, freshly built, in this terminal.

use std::process::Command;

use crate::cargo::{self, Profile};
use crate::problem::Problem;

/// Builds and becomes `wayleave serve`. `--release` is ours, everything else goes to the server.
pub(crate) fn run(arguments: &[String]) -> Result<(), Problem> {
    let (profile, rest) = split(arguments);
    let binary = cargo::build_server(profile)?;
    cargo::become_program("wayleave serve", Command::new(binary).arg("serve").args(rest))
}

fn split(arguments: &[String]) -> (Profile, Vec<&String>) {
    let release = arguments.iter().any(|argument| argument == "--release");
    let profile = if release { Profile::Release } else { Profile::Dev };
    (profile, arguments.iter().filter(|argument| !matches!(argument.as_str(), "--release" | "--")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_release_is_ours() {
        let arguments = ["--config", "a.toml", "--release"].map(String::from);
        let (profile, rest) = split(&arguments);
        assert_eq!(profile, Profile::Release);
        assert_eq!(rest, ["--config", "a.toml"]);
        assert_eq!(split(&[]).0, Profile::Dev);
    }
}
