//! The documentation: what stands between two marks of `docs/benchmarks.md` is replaced, and plots lie beside it.

use std::path::PathBuf;

use crate::problem::Problem;
use crate::results::Results;

const BEGIN: &str = "<!-- results: written by `cargo xtask bench --write` -->";
const END: &str = "<!-- end of results -->";

/// Puts `results` into `docs/benchmarks.md`: in the place of all rows, or of those of the same parts.
pub(crate) fn write(results: Results, is_whole: bool) -> Result<PathBuf, Problem> {
    let path = path("benchmarks.md");
    let broken = |source| Problem::File { path: path.clone(), source };
    let text = std::fs::read_to_string(&path).map_err(broken)?;
    let text = replaced(&text, results, is_whole).ok_or(Problem::Defect("docs/benchmarks.md has lost its marks"))?;
    std::fs::write(&path, text).map_err(broken)?;
    Ok(path)
}

/// Puts a plot beside it.
pub(crate) fn write_plot(name: &str, svg: &str) -> Result<PathBuf, Problem> {
    let path = path(name);
    std::fs::write(&path, svg).map_err(|source| Problem::File { path: path.clone(), source })?;
    Ok(path)
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).join(name)
}

fn replaced(text: &str, results: Results, is_whole: bool) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (old, after) = rest.split_once(END)?;
    let results = match Results::read(old) {
        Some(old) if is_whole => results.with_long_of(&old),
        None if is_whole => results,
        old => old?.with(results),
    };
    Some(format!("{before}{BEGIN}\n\n{results}\n\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Row;

    fn results(machine: &str, part: &str) -> Results {
        Results::new(machine, &[(part, vec![Row::new("what", "1")])])
    }

    #[test]
    fn only_what_stands_between_the_marks_changes() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        assert_eq!(replaced(&text, results("A.", "http"), false), None);
        let once = replaced(&text, results("A.", "http"), true).unwrap();
        assert!(once.starts_with(&format!("before\n{BEGIN}\n\nA.\n\n|")), "{once}");
        assert!(once.ends_with(&format!("| http | what | 1 |  |  |  |  |\n\n{END}\nafter\n")), "{once}");
        assert_eq!(replaced(&once, results("A.", "http"), true), Some(once.clone()));
        let long = replaced(&once, results("B.", "sweep"), false).unwrap();
        let again = replaced(&long, results("C.", "http"), true).unwrap();
        assert!(again.contains("C.\n\nLater, `sweep`: B.") && again.contains("| sweep | what |"), "{again}");
        let both = replaced(&once, results("B.", "memory"), false).unwrap();
        assert!(both.contains("| memory | what |") && both.contains("| http | what |"), "{both}");
        assert_eq!(replaced("no marks", results("A.", "http"), true), None);
    }

    #[test]
    fn the_documentation_can_be_read() {
        let text = include_str!("../../../docs/benchmarks.md");
        let (_, rest) = text.split_once(BEGIN).unwrap();
        let old = Results::read(rest.split_once(END).unwrap().0).unwrap();
        assert!(text.contains(&old.to_string()), "a row is of no part");
        assert!(replaced(text, results("A.", "http"), false).is_some());
    }
}
