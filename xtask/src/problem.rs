//! What stops a job.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why a job did not do its work.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The job does not take these arguments.
    Usage,
    /// A file or folder could not be read or written.
    File { path: PathBuf, source: std::io::Error },
    /// A program could not be started or talked to.
    Program { name: &'static str, source: std::io::Error },
    /// A program ran and failed. What it said stands above.
    Failed { name: &'static str, status: ExitStatus },
    /// A program's output was not what its documentation says.
    Output { name: &'static str },
    /// A file of the project does not have the form that a job reads.
    Malformed { path: PathBuf, line: usize, what: &'static str },
    /// The tour did not get an answer in time, or its shell ended.
    NoAnswer { line: usize, what: &'static str },
    /// A check found this many things, printed above.
    Found { what: &'static str, count: usize },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage => f.write_str("wrong arguments"),
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Program { name, source } => write!(f, "cannot run `{name}`: {source}"),
            Self::Failed { name, status } => write!(f, "`{name}` failed ({status})"),
            Self::Output { name } => write!(f, "`{name}` printed something unexpected"),
            Self::Malformed { path, line, what } => write!(f, "{}:{line}: {what}", path.display()),
            Self::NoAnswer { line, what } => write!(f, "README.md:{line}: {what}"),
            Self::Found { what, count } => write!(f, "{what}: {count}"),
        }
    }
}
