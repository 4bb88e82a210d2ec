//! The fuzz targets, each for five minutes.

use crate::problem::Problem;
use crate::{cargo, workspace};

use super::{Outcome, Plan, installed};

/// For how long a target runs, in seconds.
const SECONDS: u32 = 300;

pub(super) fn run(_: &Plan) -> Result<Outcome, Problem> {
    if !installed("fuzz") {
        return Ok(Outcome::Skipped("cargo-fuzz is not installed (cargo install cargo-fuzz --locked)"));
    }
    for target in targets()? {
        println!("fuzzing: {target}, {SECONDS} s");
        let mut command = cargo::command();
        command
            .current_dir(workspace::root().join("fuzz"))
            .args(["fuzz", "run", &target, "--sanitizer", "none", "--"])
            .args([format!("-max_total_time={SECONDS}"), "-max_len=4096".to_owned()])
            // Coverage needs what the compiler calls unstable.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_DIR", workspace::root().join("fuzz/target"));
        cargo::run("cargo fuzz", &mut command)?;
    }
    Ok(Outcome::Passed)
}

/// One for each file of the folder, in alphabetical order.
fn targets() -> Result<Vec<String>, Problem> {
    let folder = workspace::root().join("fuzz/fuzz_targets");
    let unreadable = |source| Problem::File { path: folder.clone(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_declared() {
        let manifest = std::fs::read_to_string(workspace::root().join("fuzz/Cargo.toml")).unwrap();
        let targets = targets().unwrap();
        assert!(!targets.is_empty());
        for target in targets {
            assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
        }
    }
}
