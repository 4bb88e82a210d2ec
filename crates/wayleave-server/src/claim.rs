//! The claim of a server on its name: two that run under one at the same time would both write the chain of that name in
//! the audit log, and the rows of one of them would be lost.
//!
//! A claim is a setting with the identity of who holds it. The holder writes it anew every [`BEAT`], which counts its
//! revision; another server takes a name that was given back, or whose revision has not moved for [`PATIENCE`]. No clock is
//! compared.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use wayleave_core::ports::{Entropy, EntropyFailure, SetSetting, Setting, Settings, StoreError};
use wayleave_core::record::Revision;
use wayleave_core::seal::KeyId;

/// Between two signs of life of who holds a name.
pub const BEAT: Duration = Duration::from_secs(1);
/// How long a name must have rested before it is taken from a holder that did not give it back.
pub const PATIENCE: Duration = Duration::from_secs(6);
/// How often a name that another one holds is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(250);

/// What is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    /// Which process holds the name: 32 random hexadecimal digits.
    process: String,
    /// Whether it has not given it back.
    held: bool,
    /// The numbers of the master keys that it knows.
    #[serde(default)]
    keys: Vec<u32>,
}

/// Why a name could not be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// A server that runs has it.
    #[error(
        "another server on this store runs under the name {0:?}, and the audit log has one chain for each; give this one \
         a name of its own with `nodes.name`"
    )]
    Taken(Box<str>),
    /// The store cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gives no randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFailure),
}

/// A name that this process holds. [`Claim::keep`] must run while it is used.
pub struct Claim {
    settings: Arc<dyn Settings>,
    name: Box<str>,
    process: String,
    keys: Vec<u32>,
    revision: Revision,
    lost: Arc<AtomicBool>,
}

/// Whether a claim was lost.
#[derive(Clone, Debug, Default)]
pub struct Lost(Arc<AtomicBool>);

impl Lost {
    /// Whether another server has taken the name, because this one showed no sign of life for long.
    #[must_use]
    pub fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Claim {
    /// Claims `name` for a server that knows `keys`. Where its last holder did not give it back, this takes [`PATIENCE`].
    ///
    /// # Errors
    /// [`ClaimError`].
    pub async fn take(
        settings: Arc<dyn Settings>,
        name: &str,
        keys: impl Iterator<Item = KeyId>,
        entropy: &dyn Entropy,
    ) -> Result<Self, ClaimError> {
        let mut random = [0; 16];
        entropy.fill(&mut random)?;
        let process = format!("{:032x}", u128::from_be_bytes(random));
        let mut claim = Self {
            settings,
            name: name.into(),
            process,
            keys: keys.map(|KeyId(key)| key).collect(),
            revision: Revision::default(),
            lost: Arc::default(),
        };
        loop {
            let before = claim.read().await?;
            if before.as_ref().is_some_and(is_held) && !claim.rests(before.as_ref()).await? {
                return Err(ClaimError::Taken(name.into()));
            }
            // Of several who claim it at once one is first, and the others look again.
            if claim.write(true, before.map(|setting| setting.revision)).await? {
                return Ok(claim);
            }
        }
    }

    /// Tells when the claim is lost.
    #[must_use]
    pub fn lost(&self) -> Lost {
        Lost(Arc::clone(&self.lost))
    }

    /// Shows signs of life until `stop`, and gives the name back then.
    pub async fn keep(mut self, stop: CancellationToken) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let held = tokio::select! {
                () = stop.cancelled() => false,
                _ = beat.tick() => true,
            };
            match self.renew(held).await {
                Ok(true) => {}
                Ok(false) => {
                    self.lost.store(true, Ordering::Relaxed);
                    tracing::error!(
                        name = &*self.name,
                        "another server has taken the name of this one, and rows of the audit log are being lost; start \
                         this one again with a `nodes.name` of its own"
                    );
                    return;
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the claim on this server's name could not be renewed");
                }
            }
            if !held {
                return;
            }
        }
    }

    /// Whether the name is still ours.
    async fn renew(&mut self, held: bool) -> Result<bool, StoreError> {
        if self.write(held, Some(self.revision)).await? {
            return Ok(true);
        }
        // Ours, where the answer to the last write was lost.
        let Some(setting) = self.read().await?.filter(|setting| self.is_ours(setting)) else { return Ok(false) };
        self.write(held, Some(setting.revision)).await
    }

    /// Whether nobody shows a sign of life for [`PATIENCE`] on a name that was held as in `before`.
    async fn rests(&self, before: Option<&Setting>) -> Result<bool, StoreError> {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let rested = async {
            loop {
                look.tick().await;
                let now = self.read().await?;
                if !now.as_ref().is_some_and(is_held) {
                    return Ok(true);
                }
                if now.as_ref() != before {
                    return Ok(false);
                }
            }
        };
        tokio::time::timeout(PATIENCE, rested).await.unwrap_or(Ok(true))
    }

    async fn read(&self) -> Result<Option<Setting>, StoreError> {
        self.settings.get(&key(&self.name)).await
    }

    /// Whether nobody else was first.
    async fn write(&mut self, held: bool, expected: Option<Revision>) -> Result<bool, StoreError> {
        let stored = Stored { process: self.process.clone(), held, keys: self.keys.clone() };
        let value = serde_json::to_vec(&stored).map_err(StoreError::corrupt)?;
        match self.settings.set(&key(&self.name), &value, expected).await? {
            SetSetting::Done(revision) => {
                self.revision = revision;
                Ok(true)
            }
            SetSetting::Conflict => Ok(false),
        }
    }

    fn is_ours(&self, setting: &Setting) -> bool {
        serde_json::from_slice::<Stored>(&setting.value).is_ok_and(|stored| stored.process == self.process)
    }
}

/// Which of the servers that bear `names` live and do not know the master key `key`. Takes some [`BEAT`]s.
///
/// # Errors
/// [`StoreError`] when the store cannot answer.
pub async fn ignorant_of(
    settings: &dyn Settings,
    names: Vec<Box<str>>,
    KeyId(key): KeyId,
) -> Result<Vec<Box<str>>, StoreError> {
    let mut suspects = Vec::new();
    for name in names {
        if let Some(setting) = settings.get(&self::key(&name)).await?.filter(is_held)
            && !serde_json::from_slice::<Stored>(&setting.value).is_ok_and(|stored| stored.keys.contains(&key))
        {
            suspects.push((name, setting.revision));
        }
    }
    if !suspects.is_empty() {
        let mut beats = tokio::time::interval(3 * BEAT);
        beats.tick().await;
        beats.tick().await;
    }
    let mut ignorant = Vec::new();
    for (name, revision) in suspects {
        if settings.get(&self::key(&name)).await?.is_some_and(|setting| setting.revision != revision) {
            ignorant.push(name);
        }
    }
    Ok(ignorant)
}

/// Where the claim on a name is kept.
fn key(name: &str) -> String {
    format!("node:{name}")
}

/// One that cannot be read is held: a later version may have written it.
fn is_held(setting: &Setting) -> bool {
    serde_json::from_slice::<Stored>(&setting.value).map_or(true, |stored| stored.held)
}

#[cfg(test)]
mod tests;
