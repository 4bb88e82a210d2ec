//! What stands in the documentation: on which machine was measured, and the rows of every part in one Markdown table.

use std::fmt;

use crate::arguments::Part;
use crate::report::Row;

const HEADER: [&str; 2] =
    ["| part | what | result | spread | against | ratio | target |", "|---|---|--:|--:|---|--:|---|"];

/// Rows, and where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Results {
    /// The machine, and below it the parts that were measured at another time, with theirs.
    notes: Vec<String>,
    /// Lines of the table.
    lines: Vec<String>,
}

impl Results {
    /// Of one run on `machine`.
    pub(crate) fn new(machine: &str, parts: &[(&str, Vec<Row>)]) -> Self {
        let lines = parts.iter().flat_map(|(part, rows)| rows.iter().map(|row| row.markdown(part)));
        Self { notes: vec![machine.to_owned()], lines: lines.collect() }
    }

    /// What [`Display`](fmt::Display) has written; `None` when somebody else has.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (notes, table) = text.split_once(HEADER.join("\n").as_str())?;
        let lines = |text: &str| text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        Some(Self { notes: lines(notes), lines: lines(table) })
    }

    /// These, and of `older` the rows of what is measured only when it is named.
    pub(crate) fn with_long_of(mut self, older: &Self) -> Self {
        for part in Part::LONG {
            let later = format!("Later, `{}`: ", part.name());
            self.notes.extend(older.notes.iter().filter(|note| note.starts_with(&later)).cloned());
            let begin = format!("| {} |", part.name());
            self.lines.extend(older.lines.iter().filter(|line| line.starts_with(&begin)).cloned());
        }
        self
    }

    /// These, with all rows of the parts in `newer` replaced by the newer ones.
    pub(crate) fn with(self, newer: Self) -> Self {
        let machine = newer.notes.first().cloned().unwrap_or_default();
        let (mut notes, mut lines) = (self.notes, Vec::new());
        for part in Part::all() {
            let of_part = |line: &&String| line.starts_with(&format!("| {} |", part.name()));
            let mut those = newer.lines.iter().filter(of_part).cloned().peekable();
            if those.peek().is_some() {
                let later = format!("Later, `{}`: ", part.name());
                notes.retain(|note| !note.starts_with(&later));
                notes.push(format!("{later}{machine}"));
                lines.extend(those);
            } else {
                lines.extend(self.lines.iter().filter(of_part).cloned());
            }
        }
        Self { notes, lines }
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { notes, lines } = self;
        write!(f, "{}\n\n{}", notes.join("\n\n"), HEADER.join("\n"))?;
        lines.iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(machine: &str, parts: &[(&str, &str)]) -> Results {
        let parts: Vec<_> = parts.iter().map(|(part, what)| (*part, vec![Row::new(*what, "1")])).collect();
        Results::new(machine, &parts)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let results = of("A.", &[("memory", "a"), ("http", "b")]);
        assert_eq!(Results::read(&results.to_string()), Some(results));
        assert_eq!(Results::read("no table"), None);
    }

    #[test]
    fn a_part_that_is_measured_again_replaces_its_rows_alone() {
        let whole = of("A.", &[("validation", "v"), ("http", "old"), ("logins", "l")]);
        let again = whole.clone().with(of("B.", &[("http", "new"), ("stores", "s")]));
        let text = again.to_string();
        let whats: Vec<&str> = text.lines().filter_map(|line| line.split(" | ").nth(1)).skip(1).collect();
        assert_eq!(whats, ["v", "new", "s", "l"]);
        assert!(text.starts_with("A.\n\nLater, `http`: B.\n\nLater, `stores`: B.\n\n|"), "{text}");
        let third = again.with(of("C.", &[("stores", "t")])).to_string();
        assert!(third.starts_with("A.\n\nLater, `http`: B.\n\nLater, `stores`: C.\n\n|"), "{third}");
        assert!(third.contains("| http | new |") && !third.contains("| stores | s |"), "{third}");
    }
}
