//! Signed heads: now and then the end of the chain is signed and written outside the store, so that cutting rows off
//! its end is noticed too.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, Verifier as _};
use serde::{Deserialize, Serialize};
use wayleave_core::ports::ChainLink;
use wayleave_core::time::Timestamp;

/// Most heads in the file.
const KEPT: usize = 1000;
/// Of these, so many are the newest of all; the others are the newest of their chain.
const NEWEST: usize = 500;

/// The end of a node's chain at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Whose chain.
    pub node: String,
    /// The last row.
    pub sequence: u64,
    /// Its MAC, base64url.
    pub mac: String,
    /// Milliseconds since the epoch.
    pub at: i64,
    /// Ed25519 over the other fields, base64url.
    pub signature: String,
}

impl Head {
    fn message(&self) -> String {
        format!("wayleave audit head v1\n{}\n{}\n{}\n{}", self.node, self.sequence, self.mac, self.at)
    }

    /// The MAC as bytes.
    #[must_use]
    pub fn mac_bytes(&self) -> Option<[u8; 32]> {
        URL_SAFE_NO_PAD.decode(&self.mac).ok()?.try_into().ok()
    }
}

/// The file of signed heads and the key that signs them.
pub struct Heads {
    path: PathBuf,
    key: ed25519_dalek::SigningKey,
}

/// The file of heads cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HeadsError {
    /// It cannot be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is no signed head of this deployment.
    #[error("line {line} of {} is not a signed head of this deployment", path.display())]
    Forged {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
}

impl Heads {
    /// Uses the file at `path` with the signing key of this seed.
    #[must_use]
    pub fn new(path: PathBuf, seed: &[u8; 32]) -> Self {
        Self { path, key: ed25519_dalek::SigningKey::from_bytes(seed) }
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Signs and appends a head, and makes it durable. Several processes may append to one file.
    ///
    /// # Errors
    /// [`HeadsError`] when the file cannot be written.
    pub fn export(&self, node: &str, link: ChainLink, at: Timestamp) -> Result<(), HeadsError> {
        let mut head = Head {
            node: node.to_owned(),
            sequence: link.sequence,
            mac: URL_SAFE_NO_PAD.encode(link.mac),
            at: at.as_millis(),
            signature: String::new(),
        };
        head.signature = URL_SAFE_NO_PAD.encode(self.key.sign(head.message().as_bytes()).to_bytes());
        let write = || {
            let line = serde_json::to_string(&head)?;
            let mut file = self.lock()?;
            remove_cut_line(&mut file)?;
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_data()
        };
        write().map_err(|error| self.io(error))
    }

    /// All heads in the file; none when there is no file. A last line that a crash cut short is left out.
    ///
    /// # Errors
    /// [`HeadsError`] when the file cannot be read, or a line is not signed by this deployment.
    pub fn read(&self) -> Result<Vec<Head>, HeadsError> {
        let Inspected { heads, forged } = self.inspect()?;
        match forged.first() {
            Some(line) => Err(HeadsError::Forged { path: self.path.clone(), line: *line }),
            None => Ok(heads),
        }
    }

    /// As [`Self::read`], but says of every line what it is, for a verification that goes on behind a forged one.
    ///
    /// # Errors
    /// [`HeadsError::Io`] when the file cannot be read.
    pub fn inspect(&self) -> Result<Inspected, HeadsError> {
        let text = match fs::read(&self.path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Inspected::default()),
            Err(error) => return Err(self.io(error)),
        };
        let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
        let mut inspected = Inspected::default();
        for (index, line) in whole.lines().enumerate() {
            match self.check(line) {
                Some(head) => inspected.heads.push(head),
                None => inspected.forged.push(index + 1),
            }
        }
        Ok(inspected)
    }

    /// Drops old heads, atomically, once there are more than 1000. The newest of every chain stays longest, since it
    /// alone tells when the end of that chain is cut off. A file with forged lines is evidence and is left alone.
    ///
    /// # Errors
    /// As [`Self::read`] and [`Self::export`].
    pub fn trim(&self) -> Result<(), HeadsError> {
        // Cheap when there is nothing to do: nothing is verified and no lock is taken.
        let lines = fs::read(&self.path).map_err(|error| self.io(error))?.iter().filter(|byte| **byte == b'\n').count();
        if lines <= KEPT {
            return Ok(());
        }
        let lock = self.lock().map_err(|error| self.io(error))?;
        let kept = newest(self.read()?);
        let temporary = self.path.with_extension("new");
        let write = || {
            let mut text = String::new();
            for head in &kept {
                text.push_str(&serde_json::to_string(head)?);
                text.push('\n');
            }
            let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_data()?;
            fs::rename(&temporary, &self.path)
        };
        let written = write().map_err(|error| self.io(error));
        drop(lock);
        written
    }

    /// The file, open and locked against other processes.
    fn lock(&self) -> io::Result<File> {
        loop {
            let file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&self.path)?;
            file.lock()?;
            // While this waited for the lock, `trim` may have put another file in its place.
            let (ours, there) = (file.metadata()?, fs::metadata(&self.path));
            if there.is_ok_and(|there| there.ino() == ours.ino() && there.dev() == ours.dev()) {
                return Ok(file);
            }
        }
    }

    fn check(&self, line: &str) -> Option<Head> {
        let head: Head = serde_json::from_str(line).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(&head.signature).ok()?;
        let signature = ed25519_dalek::Signature::from_slice(&signature).ok()?;
        self.key.verifying_key().verify(head.message().as_bytes(), &signature).ok()?;
        Some(head)
    }

    fn io(&self, source: io::Error) -> HeadsError {
        HeadsError::Io { path: self.path.clone(), source }
    }
}

/// What stands in the file of heads.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Inspected {
    /// The genuine heads, oldest first.
    pub heads: Vec<Head>,
    /// The lines, from 1, that are not signed by this deployment.
    pub forged: Vec<usize>,
}

/// The heads to keep, in their order.
fn newest(heads: Vec<Head>) -> Vec<Head> {
    let mut nodes = HashSet::new();
    let recent = heads.len().saturating_sub(NEWEST);
    let mut kept: Vec<_> = heads
        .into_iter()
        .enumerate()
        .rev()
        .filter(|(index, head)| nodes.insert(head.node.clone()) || *index >= recent)
        .map(|(_, head)| head)
        .take(KEPT)
        .collect();
    kept.reverse();
    kept
}

/// Removes what follows the last line break: a line that a crash cut short, which would spoil the next one too.
fn remove_cut_line(file: &mut File) -> io::Result<()> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    if whole < bytes.len() {
        file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))?;
    }
    Ok(())
}
