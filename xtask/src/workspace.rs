//! The checkout: where it is, and which source files it holds.

use std::path::{Path, PathBuf};

use crate::problem::Problem;

/// What holds no sources of ours.
const SKIPPED: &[&str] = &[".git", "target", "node_modules", "dist", "build", "wayleave-data"];

/// The folder that holds the root `Cargo.toml`.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// A text file of the project.
pub(crate) struct SourceFile {
    /// Relative to the root, with `/` between folders.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    /// The part of the name after the last dot.
    pub(crate) fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, extension)| extension)
    }
}

/// Every text file below `root` in alphabetical order; files that are not UTF-8 are left out.
pub(crate) fn sources(root: &Path) -> Result<Vec<SourceFile>, Problem> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let broken = |source| Problem::File { path: folder.clone(), source };
        for entry in std::fs::read_dir(&folder).map_err(broken)? {
            let entry = entry.map_err(broken)?;
            let kind = entry.file_type().map_err(broken)?;
            // In a second worktree `.git` is a file.
            if SKIPPED.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file()
                && let Some(text) = read_text(&entry.path())?
            {
                found.push(SourceFile { path: relative(root, &entry.path()), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// The text of a file that must be there.
pub(crate) fn read(path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|source| Problem::File { path: path.to_path_buf(), source })
}

fn read_text(path: &Path) -> Result<Option<String>, Problem> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8(bytes).ok()),
        // An editor or a build may remove a file between the listing and the reading.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Problem::File { path: path.to_path_buf(), source }),
    }
}

fn relative(root: &Path, path: &Path) -> String {
    let parts: PathBuf = path.strip_prefix(root).unwrap_or(path).into();
    parts.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}
