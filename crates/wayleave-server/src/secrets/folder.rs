//! The data folder: made with mode 0700, and refused when others could put files into it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A folder that is ours.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    exposed: bool,
}

/// Names that stand in a folder before the first start without telling of an earlier one.
const HARMLESS: [&str; 3] = ["wayleave.toml", "lost+found", ".gitignore"];

impl DataFolder {
    /// Opens the folder at `path` or makes it, parents included, with mode 0700.
    ///
    /// # Errors
    /// [`FolderError`] when it is no folder, belongs to somebody else, or others can write to it.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let io = |source| FolderError::Io { path: path.into(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                FolderError::NotAFolder { path: path.into() }
            }
            _ => io(source),
        })?;
        let metadata = fs::metadata(path).map_err(io)?;
        let us = rustix::process::geteuid().as_raw();
        if metadata.uid() != us {
            return Err(FolderError::ForeignOwner { path: path.into(), owner: metadata.uid(), us });
        }
        let mut mode = metadata.mode() & 0o777;
        // A folder that was only just made for us by `mkdir` has nothing in it that somebody else could rely on.
        if mode & 0o077 != 0 && fs::read_dir(path).map_err(io)?.next().is_none() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io)?;
            mode = 0o700;
        }
        if mode & 0o022 != 0 {
            return Err(FolderError::Exposed { path: path.into(), mode });
        }
        Ok(Self { path: path.into(), exposed: mode & 0o077 != 0 })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether other users can list it. Files in it are private all the same where this program makes them.
    #[must_use]
    pub const fn is_exposed(&self) -> bool {
        self.exposed
    }

    /// Something in the folder that an earlier start left there; the place of the master key and its empty folder do
    /// not count. A folder that cannot be listed counts as used.
    pub(super) fn occupant(&self, master: &Path) -> Option<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.path) else {
            return Some(self.path.clone());
        };
        entries.into_iter().find_map(|entry| {
            let Ok(entry) = entry else {
                return Some(self.path.clone());
            };
            let harmless = HARMLESS.iter().any(|name| entry.file_name() == *name);
            let path = entry.path();
            // The folder of the key, and nothing in it but half-written keys of a start that was cut off.
            let key_folder = master.parent() == Some(path.as_path())
                && fs::read_dir(&path).is_ok_and(|mut inside| {
                    inside.all(|file| file.is_ok_and(|file| super::file::is_temporary(&file.path())))
                });
            let half_written = super::file::is_temporary(&path);
            (!harmless && !key_folder && !half_written).then_some(path)
        })
    }
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Something else stands there.
    #[error("{path} is not a folder", path = path.display())]
    NotAFolder {
        /// Where.
        path: PathBuf,
    },
    /// Others can write to it.
    #[error(
        "{path} has mode {mode:04o}, so other users can replace what is in the data folder; run `chmod 700 {path}`",
        path = path.display()
    )]
    Exposed {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Somebody else owns it.
    #[error(
        "{path} belongs to the user id {owner}, and this process runs as {us}; run `chown {us} {path}`, or start the \
         server as its owner",
        path = path.display()
    )]
    ForeignOwner {
        /// The folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// The operating system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}
