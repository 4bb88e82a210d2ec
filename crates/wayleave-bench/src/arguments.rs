//! The command line.

use std::path::PathBuf;

use crate::memory::Case;

/// What `--help` prints.
pub const USAGE: &str = "\
Measures what Wayleave costs and prints one table of ratios.

Usage: wayleave-bench [--quick] [--only PART]... [--server PATH | --no-build] [--write]

  --quick        a smoke test of the benchmark itself: seconds, and figures that mean nothing
  --only PART    validation, memory, http, embedded, stores, logins, refreshes or sweep; can be repeated. `sweep`
                 takes long and is measured only when it is named
  --server PATH  the server to measure, instead of building it
  --no-build     the server beside this binary, as it is; what needs it is skipped when there is none
  --write        also put the rows into docs/benchmarks.md, in the place of those of the same parts; not with --quick";

/// A part of the table.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Validation in process.
    Validation,
    /// Bytes per live session.
    Memory,
    /// Validation over HTTP.
    Http,
    /// Sessions inside an application's own process, beside those of others.
    Embedded,
    /// The same over every store: all that can be done with a session, beside the peers on the same store.
    Stores,
    /// Signing in with a password.
    Logins,
    /// Refreshing.
    Refreshes,
    /// Validation while ended sessions are swept.
    Sweep,
}

impl Part {
    /// What is measured unless something else is asked for, in the order of the table.
    pub const USUAL: [Self; 7] =
        [Self::Validation, Self::Memory, Self::Http, Self::Embedded, Self::Stores, Self::Logins, Self::Refreshes];
    /// What takes long.
    pub const LONG: [Self; 1] = [Self::Sweep];

    /// Every part.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::USUAL.into_iter().chain(Self::LONG)
    }

    /// Its name on the command line and in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Memory => "memory",
            Self::Http => "http",
            Self::Embedded => "embedded",
            Self::Stores => "stores",
            Self::Logins => "logins",
            Self::Refreshes => "refreshes",
            Self::Sweep => "sweep",
        }
    }
}

/// Which server to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerBinary {
    /// Built first, in the profile of this binary.
    Build,
    /// The one beside this binary.
    Beside,
    /// This one.
    At(PathBuf),
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Only how to call it.
    pub help: bool,
    /// Seconds instead of minutes.
    pub quick: bool,
    /// Into the documentation as well.
    pub write: bool,
    /// The parts to measure.
    pub parts: Vec<Part>,
    /// The server to measure.
    pub server: ServerBinary,
    /// Set in the processes that this one starts to measure memory in.
    pub probe: Option<(Case, usize)>,
    /// Set in the process that this one starts to compare the server with.
    pub bare: bool,
}

impl Arguments {
    /// Reads the arguments after the program's name; `None` when they make no sense.
    #[must_use]
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut read = Self {
            help: false,
            quick: false,
            write: false,
            parts: Vec::new(),
            server: ServerBinary::Build,
            probe: None,
            bare: false,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--help" | "-h" => read.help = true,
                "--quick" => read.quick = true,
                "--write" => read.write = true,
                "--only" => {
                    let name = arguments.next()?;
                    read.parts.push(Part::all().find(|part| part.name() == name)?);
                }
                "--server" => read.server = ServerBinary::At(arguments.next()?.into()),
                "--no-build" => read.server = ServerBinary::Beside,
                "--bare" => read.bare = true,
                "--probe" => read.probe = Some((Case::of_name(&arguments.next()?)?, arguments.next()?.parse().ok()?)),
                _ => return None,
            }
        }
        if read.write && read.quick {
            return None;
        }
        if read.parts.is_empty() {
            read.parts = Part::USUAL.to_vec();
        }
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Arguments> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn only_honest_rows_are_written() {
        assert!(parse("--write").is_some_and(|read| read.write && read.parts == Part::USUAL));
        assert!(parse("--write --only memory").is_some_and(|read| read.write && read.parts == [Part::Memory]));
        assert_eq!(parse("--write --quick"), None);
        assert_eq!(parse("--write --quick --only memory"), None);
    }

    #[test]
    fn parts_go_by_their_names() {
        for part in Part::all() {
            assert_eq!(parse(&format!("--only {}", part.name())).map(|read| read.parts), Some(vec![part]));
        }
        for wrong in ["--only", "--only speed", "--server", "--probe cookie", "--probe cookie x", "table"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
