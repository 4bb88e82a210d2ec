//! Signed heads: now and then the end of the chain is signed and written outside the store, so that cutting rows off
//! its end is noticed too.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, Verifier as _};
use serde::{Deserialize, Serialize};
use wayleave_core::ports::ChainLink;
use wayleave_core::time::Timestamp;

/// Heads kept in the file; older ones say nothing that newer ones do not.
const KEPT: usize = 1000;

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
        source: std::io::Error,
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

    /// Signs and appends a head, and makes it durable.
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
        let line = serde_json::to_string(&head).map_err(|error| self.io(std::io::Error::other(error)))?;
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)
            .map_err(|error| self.io(error))?;
        file.write_all(format!("{line}\n").as_bytes()).map_err(|error| self.io(error))?;
        file.sync_data().map_err(|error| self.io(error))
    }

    /// All heads in the file; none when there is no file. A last line that a crash cut short is left out.
    ///
    /// # Errors
    /// [`HeadsError`] when the file cannot be read, or a line is not signed by this deployment.
    pub fn read(&self) -> Result<Vec<Head>, HeadsError> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.io(error)),
        };
        let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
        let mut heads = Vec::new();
        for (index, line) in whole.lines().enumerate() {
            heads.push(
                self.check(line).ok_or_else(|| HeadsError::Forged { path: self.path.clone(), line: index + 1 })?,
            );
        }
        Ok(heads)
    }

    /// Drops all but the newest heads, atomically.
    ///
    /// # Errors
    /// As [`Self::read`] and [`Self::export`].
    pub fn trim(&self) -> Result<(), HeadsError> {
        let heads = self.read()?;
        let Some(newest) = heads.len().checked_sub(KEPT).and_then(|old| heads.get(old..)).filter(|n| n.len() < heads.len())
        else {
            return Ok(());
        };
        let mut text = String::new();
        for head in newest {
            text.push_str(&serde_json::to_string(head).map_err(|error| self.io(std::io::Error::other(error)))?);
            text.push('\n');
        }
        let temporary = self.path.with_extension("new");
        let write = |path: &Path| {
            let mut file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_data()?;
            std::fs::rename(path, &self.path)
        };
        write(&temporary).map_err(|error| self.io(error))
    }

    fn check(&self, line: &str) -> Option<Head> {
        let head: Head = serde_json::from_str(line).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(&head.signature).ok()?;
        let signature = ed25519_dalek::Signature::from_slice(&signature).ok()?;
        self.key.verifying_key().verify(head.message().as_bytes(), &signature).ok()?;
        Some(head)
    }

    fn io(&self, source: std::io::Error) -> HeadsError {
        HeadsError::Io { path: self.path.clone(), source }
    }
}
