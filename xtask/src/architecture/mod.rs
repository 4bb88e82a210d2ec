//! `cargo xtask architecture`: what may depend on what, what every file must be like, and whether comparisons are proven.

use std::fmt;

use crate::problem::Problem;
use crate::workspace;

mod compat;
mod edges;
mod tidy;

/// Something that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// A file with its line, or a crate.
    pub(crate) place: String,
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, what } = self;
        write!(f, "{place}: {what}")
    }
}

/// Prints every violation and fails when there is one. The same checks run as tests.
pub(crate) fn run(arguments: &[String]) -> Result<(), Problem> {
    if !arguments.is_empty() {
        return Err(Problem::Usage);
    }
    let violations = violations()?;
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => Ok(()),
        count => Err(Problem::Found { what: "violations of the architecture", count }),
    }
}

fn violations() -> Result<Vec<Violation>, Problem> {
    let mut violations = edges::check()?;
    let files = workspace::sources(workspace::root())?;
    violations.extend(tidy::check(&files));
    violations.extend(compat::check(&files));
    Ok(violations)
}

#[cfg(test)]
mod tests;
