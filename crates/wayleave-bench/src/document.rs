//! The table in the documentation: what stands between two marks is replaced.

use std::path::PathBuf;

use crate::problem::Problem;

const BEGIN: &str = "<!-- results: written by `cargo xtask bench --write` -->";
const END: &str = "<!-- end of results -->";

/// Puts `results` into `docs/benchmarks.md`.
pub(crate) fn write(results: &str) -> Result<PathBuf, Problem> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/benchmarks.md"));
    let broken = |source| Problem::File { path: path.clone(), source };
    let text = std::fs::read_to_string(&path).map_err(broken)?;
    let text = replaced(&text, results).ok_or(Problem::Defect("docs/benchmarks.md has lost its marks"))?;
    std::fs::write(&path, text).map_err(broken)?;
    Ok(path)
}

fn replaced(text: &str, results: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", results.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_changes() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let once = replaced(&text, "new\n").unwrap();
        assert_eq!(once, format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"));
        assert_eq!(replaced(&once, "new\n"), Some(once.clone()));
        assert_eq!(replaced("no marks", "new"), None);
    }

    #[test]
    fn the_documentation_has_the_marks() {
        let text = include_str!("../../../docs/benchmarks.md");
        assert!(replaced(text, "").is_some());
    }
}
