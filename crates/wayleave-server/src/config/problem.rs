//! Problems of a configuration: what is wrong, where exactly, and what was probably meant.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::text::is_hidden;

/// What sort of problem it is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// The file cannot be read.
    File,
    /// The file is not TOML.
    Syntax,
    /// There is no such key, section, variable or flag.
    Unknown,
    /// The value is of the wrong type or outside its limits.
    Value,
    /// Values that do not go together.
    Conflict,
}

impl ProblemKind {
    /// The word in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Syntax => "syntax",
            Self::Unknown => "unknown",
            Self::Value => "value",
            Self::Conflict => "conflict",
        }
    }
}

/// A line of the file and the part of it that is meant, both as shown: control characters escaped, secrets hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The line.
    pub text: String,
    /// Characters before the part.
    pub start: usize,
    /// Characters of the part, at least 1.
    pub length: usize,
}

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In the file.
    File {
        /// Which.
        path: Arc<Path>,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// The line itself.
        excerpt: Option<Excerpt>,
    },
    /// In a variable of this name.
    Environment(String),
    /// On the command line, by this flag.
    Flag(String),
    /// Nowhere: it is a default, or something missing.
    Nowhere,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column, excerpt: _ } => {
                write!(f, "{}:{line}:{column}", escape(&path.to_string_lossy()))
            }
            Self::Environment(name) => write!(f, "environment variable {}", escape(name)),
            Self::Flag(name) => write!(f, "flag {}", escape(name)),
            Self::Nowhere => f.write_str("defaults"),
        }
    }
}

impl Location {
    fn json(&self) -> Json {
        match self {
            Self::File { path, line, column, excerpt: _ } => {
                json!({ "source": "file", "file": path.to_string_lossy(), "line": line, "column": column })
            }
            Self::Environment(name) => json!({ "source": "environment", "variable": name }),
            Self::Flag(name) => json!({ "source": "flag", "flag": name }),
            Self::Nowhere => json!({ "source": "default" }),
        }
    }
}

/// One thing that keeps the configuration from being used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What sort.
    pub kind: ProblemKind,
    /// The key that it is about, as a path, where there is one.
    pub key: Option<String>,
    /// What is wrong, for people. Holds no secret.
    pub message: String,
    /// Where.
    pub location: Location,
    /// What to do about it.
    pub hint: Option<String>,
    /// The name that was probably meant.
    pub suggestion: Option<String>,
}

impl Problem {
    pub(super) const fn new(kind: ProblemKind, location: Location, message: String) -> Self {
        Self { kind, key: None, message, location, hint: None, suggestion: None }
    }

    fn order(&self) -> (u8, usize, usize, &str) {
        match &self.location {
            Location::Nowhere => (0, 0, 0, ""),
            Location::File { path: _, line, column, excerpt: _ } => (1, *line, *column, ""),
            Location::Environment(name) => (2, 0, 0, name),
            Location::Flag(name) => (3, 0, 0, name),
        }
    }
}

/// How much a warning weighs.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Importance {
    /// To be shown whenever the server starts.
    Warning,
    /// To be shown by `config check` only: it could be safer.
    Advice,
}

/// Something that works but is probably not meant, or could be safer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// How much it weighs.
    pub importance: Importance,
    /// The key that it is about, as a path.
    pub key: String,
    /// What about it.
    pub message: String,
    /// Where the value comes from.
    pub location: Location,
}

/// Every problem of a configuration, in the order of the file, then of the variables, then of the flags. Not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.order().cmp(&b.order()));
        Self(problems)
    }

    /// The problems.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }

    /// For people: each with its line and a mark below it.
    #[must_use]
    pub fn human(&self) -> String {
        let mut text = String::new();
        for problem in &self.0 {
            let hint = match (&problem.suggestion, &problem.hint) {
                (Some(suggestion), _) => Some(format!("did you mean `{}`?", escape(suggestion))),
                (None, hint) => hint.clone(),
            };
            render(&mut text, "error", &problem.message, &problem.location, hint.as_deref());
        }
        let plural = if self.0.len() == 1 { "problem" } else { "problems" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {plural} in the configuration", self.0.len());
        text
    }

    /// For scripts: an array of objects.
    #[must_use]
    pub fn json(&self) -> Json {
        let objects = self.0.iter().map(|problem| {
            let Problem { kind, key, message, location, hint, suggestion } = problem;
            json!({
                "kind": kind.as_str(), "key": key, "message": message, "location": location.json(),
                "hint": hint, "suggestion": suggestion,
            })
        });
        Json::Array(objects.collect())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.human())
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.human(&mut text);
        f.write_str(text.trim_end())
    }
}

impl Warning {
    pub(super) fn human(&self, text: &mut String) {
        let label = match self.importance {
            Importance::Warning => "warning",
            Importance::Advice => "advice",
        };
        render(text, label, &self.message, &self.location, None);
    }

    pub(super) fn json(&self) -> Json {
        let Self { importance, key, message, location } = self;
        let importance = match importance {
            Importance::Warning => "warning",
            Importance::Advice => "advice",
        };
        json!({ "importance": importance, "key": key, "message": message, "location": location.json() })
    }
}

fn render(text: &mut String, label: &str, message: &str, location: &Location, hint: Option<&str>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{label}: {message}");
    let gutter = match location {
        Location::File { line, .. } => line.to_string().len(),
        Location::Environment(_) | Location::Flag(_) | Location::Nowhere => 1,
    };
    match location {
        Location::Nowhere => {}
        Location::File { .. } | Location::Environment(_) | Location::Flag(_) => {
            let _ = writeln!(text, "{:gutter$}--> {location}", "");
        }
    }
    if let Location::File { line, excerpt: Some(Excerpt { text: source, start, length }), .. } = location {
        let _ = writeln!(text, "{:gutter$} |", "");
        let _ = writeln!(text, "{line} | {source}");
        let _ = writeln!(text, "{:gutter$} | {:start$}{}", "", "", "^".repeat(*length));
    }
    if let Some(hint) = hint {
        let _ = writeln!(text, "{:gutter$} = {hint}", "");
    }
    text.push('\n');
}

/// Makes control characters visible, so that neither file nor environment can write to a terminal (R165).
pub(super) fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, character| {
        if is_hidden(character) {
            out.extend(character.escape_unicode())
        } else {
            out.push(character)
        }
        out
    })
}

/// A text that spans point into.
pub(super) struct Source<'a> {
    pub(super) path: Arc<Path>,
    pub(super) text: &'a str,
}

impl<'a> Source<'a> {
    pub(super) fn new(path: PathBuf, text: &'a str) -> Self {
        Self { path: path.into(), text }
    }

    /// The number of the line that `offset` lies in, from 0.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.before(offset).matches('\n').count()
    }

    /// The place of `span`. With `hide`, whatever follows the first `=` of its line is not shown.
    pub(super) fn locate(&self, span: Range<usize>, hide: bool) -> Location {
        let before = self.before(span.start);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let rest = self.text.get(line_start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let prefix = before.get(line_start..).unwrap_or_default();
        let end = span.end.saturating_sub(line_start).clamp(prefix.len(), line.len().max(prefix.len()));
        let part = line.get(prefix.len()..end).unwrap_or_default();
        let shown = match line.find('=') {
            Some(equals) if hide => format!("{} ...", line.get(..=equals).unwrap_or_default()),
            Some(_) | None => line.to_owned(),
        };
        let length = escape(part).chars().count().max(1);
        let excerpt = (line.len() <= 400).then(|| {
            let text = escape(&shown.replace('\t', " "));
            let start = escape(&prefix.replace('\t', " ")).chars().count();
            // The mark never reaches beyond what is shown.
            let width = text.chars().count();
            let start = start.min(width);
            Excerpt { start, length: length.min(width.saturating_sub(start)).max(1), text }
        });
        Location::File {
            path: Arc::clone(&self.path),
            line: before.matches('\n').count() + 1,
            column: prefix.chars().count() + 1,
            excerpt,
        }
    }

    fn before(&self, offset: usize) -> &'a str {
        let end = (0..=offset.min(self.text.len())).rev().find(|end| self.text.is_char_boundary(*end)).unwrap_or(0);
        self.text.get(..end).unwrap_or_default()
    }
}

/// The candidate that `name` was probably meant to be: the nearest one, if it is near enough for its length.
pub(super) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    if name.len() > 100 {
        return None;
    }
    let allowed = match name.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        6..=11 => 2,
        _ => 3,
    };
    let normal = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let wanted = normal(name);
    let scored = candidates.map(|candidate| (distance(&wanted, &normal(candidate)), candidate));
    let (_, candidate) = scored.filter(|(steps, _)| *steps <= allowed).min_by_key(|(steps, _)| *steps)?;
    Some(candidate.to_owned())
}

/// How many insertions, removals, replacements and swaps of neighbours lead from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX - 1);
            let mut best = (at(&last, j) + usize::from(a != b)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && from.get(i - 1) == Some(b) && to.get(j - 1) == Some(a);
            if swapped {
                best = best.min(at(&before_last, j - 1) + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}
