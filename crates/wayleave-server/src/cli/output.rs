//! What the command line prints: results on standard output, for people or as one JSON document; remarks and progress
//! on standard error.

mod width;

use std::io::{self, IsTerminal as _, Write};

use serde_json::Value;

use super::args::Global;
use width::width;

use crate::text::is_hidden;

/// How to print.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Output {
    form: Form,
    voice: Voice,
}

/// For whom results are.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Tables and sentences.
    People,
    /// One JSON document.
    Scripts,
}

/// What is said besides results and failures.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Voice {
    /// Nothing.
    Quiet,
    /// Remarks.
    Remarks,
    /// Remarks, and how far a long command is.
    Progress,
}

impl Output {
    /// As the flags say. Progress is for terminals only.
    pub(super) fn new(global: &Global) -> Self {
        let Global { json, quiet, data: _, config: _, store: _, set: _ } = global;
        let voice = match *quiet {
            true => Voice::Quiet,
            false if io::stderr().is_terminal() => Voice::Progress,
            false => Voice::Remarks,
        };
        Self { form: if *json { Form::Scripts } else { Form::People }, voice }
    }

    /// Prints the one result of a command.
    pub(super) fn result(
        &self,
        people: impl FnOnce() -> String,
        scripts: impl FnOnce() -> Value,
    ) -> Result<(), io::Error> {
        let text = match self.form {
            Form::People => people(),
            Form::Scripts => format!("{:#}", scripts()),
        };
        writeln!(io::stdout().lock(), "{}", text.trim_end())
    }

    /// Prints names and values under each other, or the JSON document that says the same.
    pub(super) fn details<const N: usize>(
        &self,
        people: [(&'static str, String); N],
        scripts: impl FnOnce() -> Value,
    ) -> Result<(), io::Error> {
        let longest = people.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
        let lines = || {
            let lines = people.iter().map(|(name, value)| {
                let blanks = " ".repeat(longest - width(name));
                format!("{name}{blanks}  {}", visible(value))
            });
            lines.collect::<Vec<_>>().join("\n")
        };
        self.result(lines, scripts)
    }

    /// A table with these columns, or an array of the same things.
    pub(super) fn listing<const N: usize>(&self, columns: [&'static str; N]) -> Listing<io::Stdout, N> {
        Listing::new(io::stdout(), self.form, columns)
    }

    /// Says something that is no result.
    pub(super) fn remark(&self, text: &str) {
        match self.voice {
            Voice::Quiet => {}
            Voice::Remarks | Voice::Progress => super::remark(text),
        }
    }

    /// Says how far a long command is.
    pub(super) fn progress(&self) -> Progress {
        Progress {
            shown: match self.voice {
                Voice::Quiet | Voice::Remarks => false,
                Voice::Progress => true,
            },
        }
    }
}

/// One line of a listing.
pub(super) struct Line<const N: usize> {
    /// For people: a cell for each column.
    pub(super) cells: [String; N],
    /// For scripts.
    pub(super) json: Value,
}

/// Prints a list of any length, page by page.
pub(super) struct Listing<W, const N: usize> {
    out: W,
    form: Form,
    titles: [&'static str; N],
    widths: [usize; N],
    lines: u64,
}

impl<W: Write, const N: usize> Listing<W, N> {
    fn new(out: W, form: Form, titles: [&'static str; N]) -> Self {
        Self { out, form, titles, widths: titles.map(width), lines: 0 }
    }

    /// Prints more lines. Columns are as wide as their widest cell so far.
    pub(super) fn page(&mut self, lines: impl IntoIterator<Item = Line<N>>) -> Result<(), io::Error> {
        let lines: Vec<_> = lines.into_iter().collect();
        match self.form {
            Form::People => self.table(lines),
            Form::Scripts => self.array(lines),
        }
    }

    /// Prints what ends the list; the number of its lines.
    pub(super) fn end(mut self) -> Result<u64, io::Error> {
        match self.form {
            Form::People => {}
            Form::Scripts if self.lines == 0 => writeln!(self.out, "[]")?,
            Form::Scripts => writeln!(self.out, "\n]")?,
        }
        self.out.flush()?;
        Ok(self.lines)
    }

    fn table(&mut self, lines: Vec<Line<N>>) -> Result<(), io::Error> {
        let rows: Vec<[String; N]> = lines.into_iter().map(|line| line.cells.map(|cell| visible(&cell))).collect();
        for row in &rows {
            for (widest, cell) in self.widths.iter_mut().zip(row) {
                *widest = width(cell).max(*widest);
            }
        }
        if self.lines == 0 && !rows.is_empty() {
            self.row(&self.titles.map(str::to_owned))?;
        }
        for row in &rows {
            self.row(row)?;
            self.lines += 1;
        }
        Ok(())
    }

    fn row(&mut self, cells: &[String; N]) -> Result<(), io::Error> {
        let mut text = String::new();
        for (cell, widest) in cells.iter().zip(self.widths) {
            text.push_str(cell);
            text.push_str(&" ".repeat(widest.saturating_sub(width(cell)) + 2));
        }
        writeln!(self.out, "{}", text.trim_end())
    }

    fn array(&mut self, lines: Vec<Line<N>>) -> Result<(), io::Error> {
        for Line { json, cells: _ } in lines {
            write!(self.out, "{}{json}", if self.lines == 0 { "[\n" } else { ",\n" })?;
            self.lines += 1;
        }
        Ok(())
    }
}

/// Shows on one line of a terminal how far a long command is; the line is gone when this is dropped.
pub(super) struct Progress {
    shown: bool,
}

impl Progress {
    /// Replaces what was shown before.
    pub(super) fn show(&self, text: &str) {
        if self.shown {
            self.write(&format!("\r{text}\x1b[K"));
        }
    }

    fn write(&self, text: &str) {
        let mut terminal = io::stderr().lock();
        // Nobody is told when nobody looks.
        let _ = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            self.write("\r\x1b[K");
        }
    }
}

/// Text with everything escaped that a terminal would act on or that would hide or reorder other text (R164).
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests;
