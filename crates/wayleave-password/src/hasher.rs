//! Runs Argon2 on blocking threads: so many at once, so many waiting, and no more (R103).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wayleave_core::ports::{Entropy, EntropyFailure};

use crate::parameters::Parameters;
use crate::password::Password;
use crate::stored::{SALT, StoredHash};

/// How much hashing there may be.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct HasherOptions {
    /// What new hashes cost, and what every check costs at least.
    pub parameters: Parameters,
    /// How many run at once. Together they take at most this many times the parameters' memory; a stored hash with
    /// larger parameters takes the place of several, and alone may take up to 1 GiB.
    pub concurrency: NonZeroU32,
    /// How many more may wait.
    pub queue: u32,
    /// What a caller who found no place is told to wait.
    pub retry_after: Duration,
}

impl HasherOptions {
    /// One hash per core and 32 times as many waiting.
    #[must_use]
    pub fn new(parameters: Parameters) -> Self {
        let cores = std::thread::available_parallelism().ok().and_then(|cores| NonZeroU32::try_from(cores).ok());
        let concurrency = cores.unwrap_or(NonZeroU32::MIN);
        let queue = concurrency.get().saturating_mul(32);
        Self { parameters, concurrency, queue, retry_after: Duration::from_secs(2) }
    }
}

/// Makes and checks hashes.
///
/// A caller first gets a place or hears [`Busy`], then works. A caller that is cancelled gives its place back: at once
/// while it waits, and when the hash is done if one has begun, so that cancelling cannot multiply the work.
pub struct Hasher {
    parameters: Parameters,
    retry_after: Duration,
    entropy: Arc<dyn Entropy>,
    places: Arc<Semaphore>,
    running: Arc<Semaphore>,
    counts: Arc<Counts>,
    concurrency: u32,
    capacity: usize,
}

#[derive(Default)]
struct Counts {
    running: AtomicU64,
    hashes: AtomicU64,
    turned_away: AtomicU64,
}

/// How busy a hasher is, for metrics.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Callers with a place, at work or waiting.
    pub admitted: u64,
    /// Callers at work.
    pub running: u64,
    /// Passwords hashed or compared since the start.
    pub hashes: u64,
    /// Callers that were told [`Busy`] since the start.
    pub turned_away: u64,
}

/// Counts as running until it is dropped, by a panic too.
struct Running(Arc<Counts>);

impl Running {
    fn begin(counts: Arc<Counts>) -> Self {
        counts.running.fetch_add(1, Ordering::Relaxed);
        Self(counts)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place at the hasher.
pub(crate) struct Place(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// A password to check against a stored hash.
pub(crate) struct Check {
    pub(crate) password: Password,
    pub(crate) stored: StoredHash,
    /// Whether a match is a success. If not, it costs what a mismatch costs.
    pub(crate) honoured: bool,
    /// With this salt the password is hashed again after a success, if its hash is outdated.
    pub(crate) fresh_salt: Option<[u8; SALT]>,
}

/// What a check found.
pub(crate) struct Checked {
    pub(crate) matches: bool,
    pub(crate) replacement: Option<StoredHash>,
}

impl Hasher {
    /// A hasher that draws its salts from `entropy`.
    #[must_use]
    pub fn new(options: HasherOptions, entropy: Arc<dyn Entropy>) -> Self {
        let HasherOptions { parameters, concurrency, queue, retry_after } = options;
        let bounded = |permits: u32| usize::try_from(permits).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let concurrency = concurrency.get();
        let capacity = bounded(concurrency.saturating_add(queue));
        Self {
            parameters,
            retry_after,
            entropy,
            places: Arc::new(Semaphore::new(capacity)),
            running: Arc::new(Semaphore::new(bounded(concurrency))),
            counts: Arc::default(),
            concurrency,
            capacity,
        }
    }

    /// What new hashes cost.
    #[must_use]
    pub const fn parameters(&self) -> Parameters {
        self.parameters
    }

    /// How busy it is.
    #[must_use]
    pub fn load(&self) -> Load {
        let admitted = self.capacity.saturating_sub(self.places.available_permits());
        Load {
            admitted: u64::try_from(admitted).unwrap_or(u64::MAX),
            running: self.counts.running.load(Ordering::Relaxed),
            hashes: self.counts.hashes.load(Ordering::Relaxed),
            turned_away: self.counts.turned_away.load(Ordering::Relaxed),
        }
    }

    /// Takes a place, without waiting for one.
    pub(crate) fn admit(&self) -> Result<Place, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map(Place).map_err(|_| {
            self.counts.turned_away.fetch_add(1, Ordering::Relaxed);
            Busy { retry_after: self.retry_after }
        })
    }

    pub(crate) fn salt(&self) -> Result<[u8; SALT], EntropyFailure> {
        let mut salt = [0; SALT];
        self.entropy.fill(&mut salt).map(|()| salt)
    }

    /// Hashes a new password, unless `refuse` does: it runs beforehand, on the same thread, and takes at most
    /// `memory`'s worth.
    pub(crate) async fn hash<E: Send + 'static>(
        &self,
        place: Place,
        memory: Parameters,
        password: Password,
        refuse: impl FnOnce(&Password) -> Result<(), E> + Send + 'static,
    ) -> Result<Result<StoredHash, E>, HashError> {
        let salt = self.salt().map_err(HashError::Entropy)?;
        let (parameters, counts) = (self.parameters, Arc::clone(&self.counts));
        let work = move || match refuse(&password) {
            Err(refusal) => Ok(Err(refusal)),
            Ok(()) => {
                counts.hashes.fetch_add(1, Ordering::Relaxed);
                StoredHash::make(&password, parameters, salt).map(Ok)
            }
        };
        self.run(place, memory, work).await?.map_err(HashError::Hash)
    }

    /// Checks a password. Unless it ends in success, the work is that of the current parameters also for a hash that
    /// was made with lower ones (R098, R099).
    pub(crate) async fn check(&self, place: Place, check: Check) -> Result<Checked, HashError> {
        let (target, counts) = (self.parameters, Arc::clone(&self.counts));
        let memory = if check.stored.parameters().falls_short_of(target) { target } else { check.stored.parameters() };
        let work = move || {
            let Check { password, stored, honoured, fresh_salt } = check;
            counts.hashes.fetch_add(1, Ordering::Relaxed);
            let matches = stored.matches(&password)?;
            let mut replacement = None;
            if matches && honoured {
                let salt = fresh_salt.filter(|_| stored.is_outdated(target));
                replacement = salt.map(|salt| StoredHash::make(&password, target, salt)).transpose()?;
            } else if let Some(rest) = target.beyond(stored.parameters()) {
                StoredHash::decoy(rest, [0; SALT], [0; 32]).matches(&password)?;
            }
            Ok(Checked { matches, replacement })
        };
        self.run(place, memory, work).await?.map_err(HashError::Hash)
    }

    /// Runs `work` on a blocking thread once there is room for `memory`'s worth of it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        place: Place,
        memory: Parameters,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let own = self.parameters.cost().memory_kib.max(1);
        let weight = memory.cost().memory_kib.div_ceil(own).clamp(1, self.concurrency);
        let permit =
            Arc::clone(&self.running).acquire_many_owned(weight).await.map_err(|_| HashError::Hash(HashFailure))?;
        let counts = Arc::clone(&self.counts);
        let thread = tokio::task::spawn_blocking(move || {
            // Moved here, so that both are given back when the work ends and not when the caller stops waiting.
            let _held = (Running::begin(counts), place, permit);
            work()
        });
        thread.await.map_err(|_| HashError::Hash(HashFailure))
    }
}

/// There is too much hashing already.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked right now")]
pub struct Busy {
    /// When to try again.
    pub retry_after: Duration,
}

/// Argon2 or its thread failed: the runtime is shutting down, or there is a defect.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hashing failed")]
pub struct HashFailure;

/// Why there is no result.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum HashError {
    Entropy(EntropyFailure),
    Hash(HashFailure),
}

#[cfg(test)]
mod tests;
