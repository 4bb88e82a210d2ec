//! What every file must be like: a first line that says what it is for, a readable length, nothing unfinished.

use super::Violation;
use crate::workspace::SourceFile;

/// Longest source file, in lines. One that is longer has become two things, or stands below with its reason.
const MOST_LINES: usize = 600;

/// Files that may be longer.
const LONG: &[&str] = &[];

/// Endings of files that people write code in.
const CODE: &[&str] = &["rs", "ts", "tsx", "sh", "py"];

/// Marks of unfinished work. Spelled in two halves so that this file passes its own check.
const UNFINISHED: &[&str] =
    &[concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("TO", "DO:")];

/// Paths and words of the place where a change was written: they mean nothing to a reader.
const FOREIGN: &[&str] =
    &[concat!("/wo", "rk/"), concat!(".lib", "rary"), concat!("closing ", "note"), concat!("/tmp/", "targets")];

/// Where dependencies may come from, by lock file.
const REGISTRIES: &[(&str, &str, &str)] = &[
    ("Cargo.lock", "source = \"", "source = \"registry+https://github.com/rust-lang/crates.io-index\""),
    ("package-lock.json", "\"resolved\": \"http", "\"resolved\": \"https://registry.npmjs.org/"),
];

/// Checks every file.
pub(crate) fn check(files: &[SourceFile]) -> Vec<Violation> {
    files.iter().flat_map(check_file).collect()
}

fn check_file(file: &SourceFile) -> Vec<Violation> {
    let at = |line: usize, what: String| Violation { place: format!("{}:{line}", file.path), what };
    let mut violations = Vec::new();
    if file.extension() == "rs" && !file.text.starts_with("//! ") {
        violations.push(at(1, "the first line does not say what the file is for (`//! ...`)".into()));
    }
    if matches!(file.extension(), "ts" | "tsx") && !file.text.starts_with("//") && !file.text.starts_with("/*") {
        violations.push(at(1, "the first line does not say what the file is for (a comment)".into()));
    }
    let code = CODE.contains(&file.extension());
    let lines = file.text.lines().count();
    if code && lines > MOST_LINES && !LONG.contains(&file.path.as_str()) {
        violations.push(at(lines, format!("more than {MOST_LINES} lines")));
    }
    for (index, line) in file.text.lines().enumerate() {
        let number = index + 1;
        let found = |words: &[&'static str]| words.iter().find(|word| line.contains(**word)).copied();
        if let Some(word) = found(UNFINISHED).filter(|_| code) {
            violations.push(at(number, format!("`{word}` marks unfinished work")));
        }
        if let Some(word) = found(FOREIGN) {
            violations.push(at(number, format!("`{word}` names a place that readers do not have")));
        }
        let elsewhere = |(name, marks, ours): &&(&str, &str, &str)| {
            file.path.rsplit('/').next() == Some(name) && line.contains(marks) && !line.contains(ours)
        };
        if REGISTRIES.iter().any(|registry| elsewhere(&registry)) {
            violations.push(at(number, "a dependency comes from somewhere else than the public registry".into()));
        }
    }
    violations
}
