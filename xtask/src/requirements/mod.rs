//! `cargo xtask requirements`: which requirements and attacks of `spec/requirements.toml` have a test that names them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use crate::problem::Problem;
use crate::workspace;

mod catalogue;
mod scan;

use catalogue::{Catalogue, Entry, Section};
use scan::Mention;

const FILE: &str = "spec/requirements.toml";

/// Prints the table; with `--check`, fails when a guarded section has a gap or a test names an id that does not exist.
pub(crate) fn run(arguments: &[String]) -> Result<(), Problem> {
    let checking = match arguments {
        [] => false,
        [only] if only == "--check" => true,
        _ => return Err(Problem::Usage),
    };
    let coverage = Coverage::of_checkout()?;
    show(&(coverage.table() + &coverage.summary()))?;
    if checking { coverage.verdict() } else { Ok(()) }
}

/// Prints the counts alone and fails as `--check` does.
pub(crate) fn check() -> Result<(), Problem> {
    let coverage = Coverage::of_checkout()?;
    show(&coverage.summary())?;
    coverage.verdict()
}

/// Prints a long text; whoever reads it may stop in the middle.
fn show(text: &str) -> Result<(), Problem> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Problem::Program { name: "standard output", source: error })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The catalogue, and who names what.
struct Coverage {
    catalogue: Catalogue,
    mentions: BTreeMap<String, Vec<Mention>>,
}

/// How an entry stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum State<'a> {
    /// Tests name it.
    Covered(&'a [Mention]),
    /// None does, and the catalogue says why.
    Open(&'a str),
    /// None does.
    Missing,
}

impl Coverage {
    fn of_checkout() -> Result<Self, Problem> {
        let path = workspace::root().join(FILE);
        let catalogue = Catalogue::parse(&workspace::read(&path)?).map_err(|wrong| {
            eprintln!("{FILE}: {wrong}");
            Problem::Malformed { path, line: 1, what: "the catalogue cannot be read" }
        })?;
        Ok(Self::new(catalogue, scan::scan(&workspace::sources(workspace::root())?)))
    }

    fn new(catalogue: Catalogue, found: Vec<Mention>) -> Self {
        let mut mentions: BTreeMap<String, Vec<Mention>> = BTreeMap::new();
        for mention in found {
            mentions.entry(mention.id.clone()).or_default().push(mention);
        }
        Self { catalogue, mentions }
    }

    fn state<'a>(&'a self, entry: &'a Entry) -> State<'a> {
        match (self.mentions.get(&entry.id), &entry.open) {
            (Some(mentions), _) => State::Covered(mentions),
            (None, Some(reason)) => State::Open(reason),
            (None, None) => State::Missing,
        }
    }

    /// Ids that tests name and the catalogue does not have.
    fn unknown(&self) -> Vec<&Mention> {
        let known = |id: &str| self.catalogue.entries().any(|entry| entry.id == id);
        self.mentions.iter().filter(|(id, _)| !known(id)).flat_map(|(_, mentions)| mentions).collect()
    }

    /// Ids that nothing names although their section is guarded.
    fn gaps(&self) -> Vec<&Entry> {
        let guarded = |section: &&Section| self.catalogue.guarded.contains(&section.key);
        let entries = self.catalogue.sections.iter().filter(guarded).flat_map(|section| &section.entries);
        entries.filter(|entry| self.state(entry) == State::Missing).collect()
    }

    fn table(&self) -> String {
        let mut table = String::new();
        for section in &self.catalogue.sections {
            let covered = section.entries.iter().filter(|entry| matches!(self.state(entry), State::Covered(_))).count();
            let _ = writeln!(table, "{}  {}  ({covered} of {})", section.key, section.title, section.entries.len());
            for entry in &section.entries {
                let Entry { id, title, kinds, open: _ } = entry;
                let state = self.state(entry);
                let word = match state {
                    State::Covered(_) => "covered",
                    State::Open(_) => "open",
                    State::Missing => "MISSING",
                };
                let _ = writeln!(table, "  {id}  {:<7} {word:<8} {title}", kinds.join("+"));
                match state {
                    State::Covered(mentions) => {
                        for Mention { id: _, test, line } in mentions {
                            let _ = writeln!(table, "{:25}{test} (line {line})", "");
                        }
                    }
                    State::Open(reason) => {
                        let _ = writeln!(table, "{:25}{reason}", "");
                    }
                    State::Missing => {}
                }
            }
            table.push('\n');
        }
        table
    }

    fn summary(&self) -> String {
        let count = |wanted: fn(&State<'_>) -> bool| {
            self.catalogue.entries().filter(|entry| wanted(&self.state(entry))).count()
        };
        let mut summary = format!(
            "{} covered, {} open with a reason, {} missing\n",
            count(|state| matches!(state, State::Covered(_))),
            count(|state| matches!(state, State::Open(_))),
            count(|state| *state == State::Missing),
        );
        for entry in self.catalogue.entries().filter(|entry| entry.open.is_some()) {
            if let State::Covered(_) = self.state(entry) {
                let _ = writeln!(summary, "note: {} is marked open in {FILE}, but tests name it", entry.id);
            }
        }
        for Mention { id, test, line } in self.unknown() {
            let _ = writeln!(summary, "unknown id {id}: {test} (line {line})");
        }
        for entry in self.gaps() {
            let _ = writeln!(summary, "missing in a guarded section: {} {}", entry.id, entry.title);
        }
        summary
    }

    fn verdict(&self) -> Result<(), Problem> {
        match self.unknown().len() + self.gaps().len() {
            0 => Ok(()),
            count => Err(Problem::Found { what: "unknown ids and gaps in guarded sections", count }),
        }
    }
}

#[cfg(test)]
mod tests;
