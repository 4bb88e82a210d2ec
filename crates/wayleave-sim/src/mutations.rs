//! Whether the simulator finds bugs: source mutations, each built on its own and run until a checker objects.
//!
//! A mutation is a file in `mutations/`: a line that says what is wrong, and then for each place the file and what stands
//! there instead:
//!
//! ```text
//! A fill does not look whether something was invalidated meanwhile.
//! --- crates/wayleave/src/coherent.rs
//! if *count == before.invalidations
//! +++
//! if *count >= before.invalidations
//! ```
//!
//! What is to be replaced must stand in the file exactly once.

use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// The name of its file.
    pub name: String,
    /// What is wrong.
    pub about: String,
    places: Vec<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    file: String,
    before: String,
    after: String,
}

/// What became of a mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A checker objected, or a node panicked; what was printed.
    Caught(String),
    /// Nobody noticed.
    Missed,
}

/// What a mutated build consists of.
const CRATES: [&str; 4] = ["wayleave-core", "wayleave", "wayleave-testkit", "wayleave-sim"];
/// What `timeout` ends with when it had to step in.
const TIMED_OUT: i32 = 124;
const PLACE: &str = "--- ";
const INSTEAD: &str = "+++";

impl Mutation {
    /// Every mutation there is, in alphabetical order.
    ///
    /// # Errors
    /// Where a file cannot be read, or does not read as a mutation.
    pub fn all() -> Result<Vec<Self>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutations");
        let files: Result<Vec<_>> = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut mutations = files?.iter().map(|path| Self::read(path)).collect::<Result<Vec<_>>>()?;
        mutations.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(mutations)
    }

    fn read(path: &Path) -> Result<Self> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path)?;
        Self::parse(&name, &text).ok_or_else(|| Error::other(format!("{name} does not read as a mutation")))
    }

    fn parse(name: &str, text: &str) -> Option<Self> {
        let (about, rest) = text.split_once('\n')?;
        let mut places: Vec<Place> = Vec::new();
        let mut instead = false;
        for line in rest.lines() {
            if let Some(file) = line.strip_prefix(PLACE) {
                places.push(Place { file: file.into(), before: String::new(), after: String::new() });
                instead = false;
            } else if line == INSTEAD {
                instead = true;
            } else {
                let place = places.last_mut()?;
                let side = if instead { &mut place.after } else { &mut place.before };
                if !side.is_empty() {
                    side.push('\n');
                }
                side.push_str(line);
            }
        }
        let whole = !places.is_empty() && places.iter().all(|place| !place.before.is_empty());
        whole.then(|| Self { name: name.into(), about: about.into(), places })
    }

    /// Puts it into the sources.
    fn apply(&self, sources: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
        for Place { file, before, after } in &self.places {
            let wrong = |what: &str| Error::other(format!("mutation {}: {file} {what}", self.name));
            let source = sources.get_mut(Path::new(file)).ok_or_else(|| wrong("does not exist"))?;
            let text = std::str::from_utf8(source).map_err(Error::other)?;
            if text.matches(before.as_str()).count() != 1 {
                return Err(wrong("does not hold what is to be replaced exactly once"));
            }
            *source = text.replacen(before, after, 1).into_bytes();
        }
        Ok(())
    }

    /// Builds with it, and runs so many seeds.
    ///
    /// # Errors
    /// Where it does not apply, does not build, or comes to no end.
    pub fn run(&self, seeds: u64) -> Result<Fate> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut sources = sources(&root)?;
        self.apply(&mut sources)?;
        let place = target()?.join("mutations");
        let copy = place.join("workspace");
        write(&copy, &sources)?;
        let build = place.join("build");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .current_dir(&copy)
            .args(["build", "--quiet", "--offline", "--bin", "wayleave-sim", "--target-dir"])
            .arg(&build);
        let output = cargo.env("RUSTFLAGS", "-Awarnings").stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Error::other(format!("mutation {} does not build:\n{errors}", self.name)));
        }
        // A run that comes to no end must not hold up the others.
        let mut run = Command::new("timeout");
        run.arg("1200").arg(build.join("debug").join("wayleave-sim")).args(["--seeds", &seeds.to_string()]);
        let output = run.stdin(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(Fate::Missed);
        }
        if output.status.code() == Some(TIMED_OUT) {
            return Err(Error::other(format!("mutation {} comes to no end", self.name)));
        }
        Ok(Fate::Caught(String::from_utf8_lossy(&output.stdout).into_owned()))
    }
}

/// The files of a smaller workspace that builds the simulator.
fn sources(root: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut sources = BTreeMap::new();
    let manifest = std::fs::read_to_string(root.join("Cargo.toml"))?;
    let kept = manifest
        .lines()
        .filter(|line| !line.starts_with("default-members"))
        .map(|line| if line.starts_with("members") { "members = [\"crates/*\"]" } else { line });
    sources.insert("Cargo.toml".into(), kept.collect::<Vec<_>>().join("\n").into_bytes());
    sources.insert("Cargo.lock".into(), std::fs::read(root.join("Cargo.lock"))?);
    let mut folders: Vec<PathBuf> = CRATES.iter().map(|name| Path::new("crates").join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else {
                sources.insert(path, std::fs::read(entry.path())?);
            }
        }
    }
    Ok(sources)
}

/// Writes what is not there already, so that only what changed is built again.
fn write(copy: &Path, sources: &BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    for (path, source) in sources {
        // Cargo prunes it, and so it never stays as it was.
        let once = path == Path::new("Cargo.lock");
        let path = copy.join(path);
        let held = std::fs::read(&path).ok();
        if held.as_ref() == Some(source) || once && held.is_some() {
            continue;
        }
        std::fs::create_dir_all(path.parent().unwrap_or(copy))?;
        std::fs::write(path, source)?;
    }
    Ok(())
}

/// The folder that this program was built in.
fn target() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    target.map(Path::to_path_buf).ok_or_else(|| Error::other("there is no target folder around this program"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutation_applies() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let sources = sources(&root).unwrap();
        let mutations = Mutation::all().unwrap();
        assert!(mutations.len() >= 3);
        for mutation in mutations {
            let mut mutated = sources.clone();
            mutation.apply(&mut mutated).unwrap();
            assert_ne!(mutated, sources, "{}", mutation.name);
        }
    }

    #[test]
    fn what_is_not_there_once_is_not_replaced() {
        let text = "Wrong.\n--- a\nx\n+++\ny\n";
        let mutation = Mutation::parse("one", text).unwrap();
        let apply = |source: &str| {
            let mut sources = BTreeMap::from([(PathBuf::from("a"), source.as_bytes().to_vec())]);
            mutation
                .apply(&mut sources)
                .ok()
                .and_then(|()| String::from_utf8(sources.remove(Path::new("a")).unwrap()).ok())
        };
        assert_eq!(apply("w\nx\nz\n").as_deref(), Some("w\ny\nz\n"));
        assert_eq!(apply("x\nx\n"), None);
        assert_eq!(apply("(x)").as_deref(), Some("(y)"));
        assert_eq!(apply("z\n"), None);
        for broken in ["Wrong.\n", "Wrong.\nx\n", "Wrong.\n--- a\n+++\ny\n"] {
            assert_eq!(Mutation::parse("one", broken), None, "{broken}");
        }
    }
}
