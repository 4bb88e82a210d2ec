//! Tests of the configuration, over whole files and environments.

mod checks;
mod output;
mod table;

use std::path::PathBuf;

use super::{Assignment, Loaded, Problems, Sources};

/// A file, variables and flags to load.
#[derive(Default)]
struct Given<'a> {
    file: &'a str,
    environment: &'a [(&'a str, &'a str)],
    flags: &'a [(&'a str, &'a str)],
}

/// Loads them from a folder of their own. Paths in the outcome are shortened to the file's name.
fn load(given: &Given<'_>) -> Result<Loaded, Problems> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wayleave.toml");
    write_private(&path, given.file.as_bytes());
    super::Config::load(Sources {
        data: Some("/nowhere/data".into()),
        file: None,
        folder: Some(folder.path().to_owned()),
        environment: given.environment.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        flags: given.flags.iter().map(|(key, value)| assignment(key, value)).collect(),
    })
}

fn load_file(file: &str) -> Result<Loaded, Problems> {
    load(&Given { file, ..Given::default() })
}

fn assignment(key: &str, value: &str) -> Assignment {
    Assignment { key: key.into(), value: value.into() }
}

fn write_private(path: &PathBuf, content: &[u8]) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(content).unwrap();
}

/// The text with the folder of the file taken out.
fn masked(text: &str) -> String {
    text.split('\n')
        .map(|line| match (line.find("/tmp"), line.find("wayleave.toml")) {
            (Some(start), Some(end)) if start < end => format!("{}{}", &line[..start], &line[end..]),
            _ => line.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Message and place of every problem.
fn problems(given: &Given<'_>) -> Vec<String> {
    let problems = load(given).expect_err("there are problems");
    let lines = problems.iter().map(|problem| {
        let hint = problem.suggestion.as_deref().map(|name| format!(" -> {name}")).unwrap_or_default();
        masked(&format!("{}: {}{hint}", problem.location, problem.message))
    });
    lines.collect()
}
