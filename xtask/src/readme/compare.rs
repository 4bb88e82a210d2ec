//! Compares what a command printed with what the README says, and shows the difference.

use super::masks::mask;

/// Stands for any lines, alone on a line; for any text, inside one.
const ANYTHING: &str = "...";

/// `None` when `actual` is what `expected` says; the difference otherwise, one marked line each.
pub(crate) fn difference(expected: &[String], actual: &[String]) -> Option<Vec<String>> {
    let expected: Vec<String> = expected.iter().map(|line| mask(line)).collect();
    let mut actual: Vec<String> = actual.iter().map(|line| mask(line)).collect();
    trim_end(&mut actual);
    if lines_match(&expected, &actual) { None } else { Some(diff(&expected, &actual)) }
}

/// Removes blank lines at the end.
pub(crate) fn trim_end(lines: &mut Vec<String>) {
    while lines.last().is_some_and(|line| line.trim().is_empty()) {
        lines.pop();
    }
}

fn lines_match(expected: &[String], actual: &[String]) -> bool {
    match expected.split_first() {
        None => actual.is_empty(),
        Some((any, rest)) if any.trim() == ANYTHING => {
            (0..=actual.len()).any(|skipped| lines_match(rest, actual.get(skipped..).unwrap_or_default()))
        }
        Some((line, rest)) => actual
            .split_first()
            .is_some_and(|(printed, others)| line_matches(line, printed) && lines_match(rest, others)),
    }
}

fn line_matches(expected: &str, actual: &str) -> bool {
    let (expected, actual) = (expected.trim_end(), actual.trim_end());
    if expected == actual {
        return true;
    }
    let Some((start, rest)) = expected.split_once(ANYTHING) else { return false };
    let Some(mut remaining) = actual.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split(ANYTHING).collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match remaining.find(part) {
            Some(at) => remaining = remaining.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    remaining.ends_with(end)
}

/// Longest common subsequence: kept lines after a blank, missing ones after `-`, unexpected ones after `+`.
fn diff(expected: &[String], actual: &[String]) -> Vec<String> {
    let width = actual.len() + 1;
    let mut lengths = vec![0_usize; (expected.len() + 1) * width];
    let at = |lengths: &[usize], row: usize, column: usize| lengths.get(row * width + column).copied().unwrap_or(0);
    for (row, wanted) in expected.iter().enumerate().rev() {
        for (column, printed) in actual.iter().enumerate().rev() {
            let best = if line_matches(wanted, printed) {
                at(&lengths, row + 1, column + 1) + 1
            } else {
                at(&lengths, row + 1, column).max(at(&lengths, row, column + 1))
            };
            if let Some(cell) = lengths.get_mut(row * width + column) {
                *cell = best;
            }
        }
    }
    let mut lines = Vec::new();
    let (mut row, mut column) = (0, 0);
    loop {
        match (expected.get(row), actual.get(column)) {
            (Some(wanted), Some(printed)) if line_matches(wanted, printed) => {
                lines.push(format!(" {printed}"));
                row += 1;
                column += 1;
            }
            (Some(wanted), printed)
                if printed.is_none() || at(&lengths, row + 1, column) >= at(&lengths, row, column + 1) =>
            {
                lines.push(format!("-{wanted}"));
                row += 1;
            }
            (_, Some(printed)) => {
                lines.push(format!("+{printed}"));
                column += 1;
            }
            (_, None) => return lines,
        }
    }
}
