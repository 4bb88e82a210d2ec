//! Pages that compare us with another library: every row of a table whose last column is `test` names tests, as
//! `crate::function`, and those exist.

use super::Violation;
use crate::workspace::SourceFile;

/// How far above a function its test attribute may stand, in lines.
const REACH: usize = 4;

/// Whether the file is such a page.
pub(crate) fn is_comparison(path: &str) -> bool {
    path.starts_with("docs/compat/") && path.ends_with(".md")
}

/// Checks every page against the sources.
pub(crate) fn check(files: &[SourceFile]) -> Vec<Violation> {
    files.iter().filter(|file| is_comparison(&file.path)).flat_map(|page| check_page(page, files)).collect()
}

fn check_page(page: &SourceFile, files: &[SourceFile]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut proven = false;
    for (index, line) in page.text.lines().enumerate() {
        let Some(cells) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else {
            proven = false;
            continue;
        };
        let last = cells.rsplit('|').next().unwrap_or_default().trim();
        if last == "test" {
            proven = true;
            continue;
        }
        if !proven || last.chars().all(|letter| letter == '-') && !last.is_empty() {
            continue;
        }
        let missing = last.split(", ").find(|name| !exists(name, files));
        violations.extend(missing.map(|name| Violation {
            place: format!("{}:{}", page.path, index + 1),
            what: format!("there is no test {name:?} (`crate::function`)"),
        }));
    }
    violations
}

fn exists(name: &str, files: &[SourceFile]) -> bool {
    let Some((krate, function)) =
        name.strip_prefix('`').and_then(|name| name.strip_suffix('`')).and_then(|name| name.split_once("::"))
    else {
        return false;
    };
    let folder = match krate.strip_prefix("example-") {
        Some(example) => format!("examples/{example}/"),
        None => format!("crates/{krate}/"),
    };
    let head = format!("fn {function}(");
    // The cases of a suite are tests of whoever runs it.
    let case = format!("fn {function}(bench: Bench<");
    let mut sources = files.iter().filter(|file| file.path.starts_with(&folder) && file.extension() == "rs");
    sources.any(|file| {
        let lines: Vec<_> = file.text.lines().collect();
        lines.iter().enumerate().any(|(at, line)| {
            let above = lines.get(at.saturating_sub(REACH)..at).unwrap_or_default();
            let attribute = above.iter().rev().take_while(|line| !line.trim().is_empty());
            line.contains(&case) || line.contains(&head) && attribute.clone().any(|line| is_test(line))
        })
    })
}

/// `#[test]`, `#[tokio::test]`, `#[tokio::test(...)]`, but not `#[cfg(test)]`.
fn is_test(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("#[") && (line.contains("test]") || line.contains("test("))
}
