//! Secrets of a deployment: the data folder, the master key file in it or elsewhere, and the keys derived from it.
//!
//! There are no default secrets. The master key is drawn at the first start into a file that only the server's user
//! can read; a file that others can read, that somebody else owns or that holds a guessable key is refused with an
//! explanation (R170, A80).

mod file;
mod folder;
mod master;
mod weak;

use std::path::{Path, PathBuf};

use wayleave_core::ports::{Entropy, EntropyFailure};
use wayleave_core::seal::KeyId;

pub use folder::{DataFolder, FolderError};
pub use master::{KeyProblem, MAX_KEYS, MasterKeys, Purpose};
pub use weak::Weakness;

use crate::config::Config;

/// Where the master key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file of this deployment, which rotation may rewrite.
    File(PathBuf),
    /// A systemd credential, which only its keeper can change.
    Credential(PathBuf),
}

impl Origin {
    /// The place that a configuration names.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        match &config.keys.credential {
            Some(path) => Self::Credential(path.clone()),
            None => Self::File(config.resolve(&config.keys.master)),
        }
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Credential(path) => path,
        }
    }
}

/// An opened deployment: its folder and its keys.
pub struct Opened {
    /// The data folder.
    pub folder: DataFolder,
    /// The master keys.
    pub keys: MasterKeys,
    /// Whether the master key was made just now.
    pub generated: bool,
}

/// Opens the data folder, making it when there is none, and reads the master key, making it when the deployment is new.
///
/// # Errors
/// [`SecretsError`] says what is wrong and what to do. A missing key is made only while there is nothing that an older
/// one could have sealed: no database, and nothing of ours in the folder.
pub fn open(config: &Config, entropy: &dyn Entropy) -> Result<Opened, SecretsError> {
    let folder = DataFolder::open(&config.data)?;
    let origin = Origin::of(config);
    let path = origin.path();
    match file::read(&origin) {
        Ok(keys) => return Ok(Opened { folder, keys, generated: false }),
        Err(SecretsError::Missing { .. }) => {}
        Err(other) => return Err(other),
    }
    let database = config.database().filter(|database| database.exists());
    let used = database.or_else(|| folder.occupant(path));
    match (&origin, used) {
        (Origin::Credential(_), _) => Err(SecretsError::Missing { path: path.into() }),
        // What was found may be the key of another first start, which came in between.
        (Origin::File(_), Some(evidence)) => match file::read(&origin) {
            Ok(keys) => Ok(Opened { folder, keys, generated: false }),
            Err(SecretsError::Missing { .. }) => Err(SecretsError::Lost { path: path.into(), evidence }),
            Err(other) => Err(other),
        },
        (Origin::File(_), None) => {
            let generated = file::create(path, &MasterKeys::generate(KeyId(1), entropy)?, entropy)?;
            Ok(Opened { folder, keys: file::read(&origin)?, generated })
        }
    }
}

/// Reads the master key without making anything.
///
/// # Errors
/// [`SecretsError`] says what is wrong and what to do.
pub fn read(config: &Config) -> Result<MasterKeys, SecretsError> {
    file::read(&Origin::of(config))
}

/// Puts a new master key into the file that opens what it sealed, and seals nothing yet; if there is one, it stays. Servers
/// that read the file from now on open what others will seal with it once [`advance`] has put it in front.
///
/// # Errors
/// [`SecretsError`]; the file is then what it was.
pub fn announce(config: &Config, entropy: &dyn Entropy) -> Result<KeyId, SecretsError> {
    let keys = change(config, entropy, |keys| keys.announced(entropy))?;
    Ok(keys.next().unwrap_or(keys.newest()))
}

/// Puts the next master key in front of the others. Whoever reads the file from now on seals with it and opens with all.
///
/// # Errors
/// [`SecretsError`]; the file is then what it was.
pub fn advance(config: &Config, entropy: &dyn Entropy) -> Result<KeyId, SecretsError> {
    change(config, entropy, |keys| Ok(keys.advanced())).map(|keys| keys.newest())
}

/// Both at once, where one server has the deployment to itself. It is to be started again, since it cannot open what is
/// sealed with the new key.
///
/// # Errors
/// [`SecretsError`]; the file is then what it was.
pub fn rotate(config: &Config, entropy: &dyn Entropy) -> Result<KeyId, SecretsError> {
    change(config, entropy, |keys| Ok(keys.announced(entropy)?.advanced())).map(|keys| keys.newest())
}

fn change(
    config: &Config,
    entropy: &dyn Entropy,
    change: impl FnOnce(MasterKeys) -> Result<MasterKeys, EntropyFailure>,
) -> Result<MasterKeys, SecretsError> {
    match Origin::of(config) {
        Origin::Credential(path) => Err(SecretsError::Credential { path }),
        Origin::File(path) => file::change(&path, entropy, change),
    }
}

/// Why the secrets of a deployment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The data folder is not usable.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// There is no key file.
    #[error("there is no master key at {path}; start the server once to make it, or put it there", path = path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is no key file, but data that it sealed.
    #[error(
        "the master key {path} is gone, and {evidence} shows that this deployment has data; put the key back from your \
         backup, or take an empty data folder to begin anew (a new key would open nothing of the old data)",
        path = path.display(), evidence = evidence.display()
    )]
    Lost {
        /// Where it should be.
        path: PathBuf,
        /// What shows that it was there.
        evidence: PathBuf,
    },
    /// The path is a symbolic link.
    #[error("{path} is a symbolic link; put the key itself there, or name its real path in `keys.master`", path = path.display())]
    SymbolicLink {
        /// The link.
        path: PathBuf,
    },
    /// The path is a folder, a device or the like.
    #[error("{path} is not a regular file", path = path.display())]
    NotAFile {
        /// What it is about.
        path: PathBuf,
    },
    /// Others can read or change it.
    #[error(
        "{path} has mode {mode:04o}, so other users can read or change the master key; run `chmod 600 {path}`, and if \
         they may have read it, rotate it with `wayleave key rotate master`",
        path = path.display()
    )]
    Exposed {
        /// The file.
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
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// It is far too large for a key file.
    #[error("{path} is larger than a key file can be", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A line is not a key that can be used.
    #[error("{path}, line {line}: {problem}", path = path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        problem: KeyProblem,
    },
    /// The file has no line with a key.
    #[error("{path} holds no key", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// There are as many keys as there may be.
    #[error("{path} holds {MAX_KEYS} keys already; remove lines between the first and the last whose keys nothing is sealed with any more", path = path.display())]
    TooManyKeys {
        /// The file.
        path: PathBuf,
    },
    /// The key is a credential, which this program cannot change.
    #[error("the master key is the credential {path}; change it where it is kept", path = path.display())]
    Credential {
        /// The credential.
        path: PathBuf,
    },
    /// Another process is changing the file.
    #[error("another process is changing {path}", path = path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The operating system gave no randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFailure),
    /// The operating system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// What it is about.
        path: PathBuf,
        /// Its answer.
        source: std::io::Error,
    },
}

impl SecretsError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

#[cfg(test)]
mod tests;
