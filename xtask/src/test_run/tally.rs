//! Adds up the summaries of Cargo's own test runner, which prints one per binary.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read};

/// How many tests passed and failed.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// Reads a runner's output to its end, showing each line as it comes.
    pub(crate) fn follow(&mut self, output: impl Read, mut show: impl FnMut(&str)) -> std::io::Result<()> {
        for line in BufReader::new(output).lines() {
            let line = line?;
            self.read(&line);
            show(&line);
        }
        Ok(())
    }

    fn read(&mut self, line: &str) {
        let Some(summary) = line.strip_prefix("test result: ") else { return };
        for part in summary.split(['.', ';']) {
            match part.trim().split_once(' ') {
                Some((count, "passed")) => self.passed += count.parse().unwrap_or(0),
                Some((count, "failed")) => self.failed += count.parse().unwrap_or(0),
                Some(_) | None => {}
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_added_up() {
        let output = "running 3 tests\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s\n\
            test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s\n";
        let mut tally = Tally::default();
        let mut shown = 0;
        tally.follow(output.as_bytes(), |_| shown += 1).unwrap();
        assert_eq!(shown, 3);
        assert_eq!(tally.to_string(), "13 passed, 2 failed");
    }
}
