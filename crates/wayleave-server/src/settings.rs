//! Settings that administrators change while the server runs: the session timeout, lockout, and who may register.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wayleave_core::lockout::Rule;
use wayleave_core::policy::SessionTimeout;
use wayleave_core::ports::{SetSetting, Settings, StoreError};
use wayleave_core::record::Revision;
use wayleave_core::time::Timestamp;

use crate::config::Registration;

/// The name of the document in the store.
const NAME: &str = "policy";

/// What administrators decide. Every number has bounds that no administrator can pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Idle limit of sessions that are not remembered, in minutes.
    #[schema(minimum = 5, maximum = 1440)]
    pub session_timeout_minutes: u16,
    /// Failed sign-ins before an identifier is locked.
    #[schema(minimum = 3, maximum = 100)]
    pub lockout_attempts: u32,
    /// The time in which they count, in minutes.
    #[schema(minimum = 1, maximum = 1440)]
    pub lockout_window_minutes: u32,
    /// How long the lock holds, in minutes.
    #[schema(minimum = 1, maximum = 1440)]
    pub lockout_minutes: u32,
    /// Who may make an account.
    pub registration: Registration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            session_timeout_minutes: SessionTimeout::default().minutes(),
            lockout_attempts: Rule::DEFAULT.attempts,
            lockout_window_minutes: 15,
            lockout_minutes: 30,
            registration: Registration::Closed,
        }
    }
}

impl Policy {
    /// The fields that are out of bounds, with their rule.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let Self {
            session_timeout_minutes,
            lockout_attempts,
            lockout_window_minutes,
            lockout_minutes,
            registration: _,
        } = self;
        let mut problems = Vec::new();
        if SessionTimeout::from_minutes(*session_timeout_minutes).is_err() {
            problems.push(("session_timeout_minutes", "5 to 1440"));
        }
        if !(3..=100).contains(lockout_attempts) {
            problems.push(("lockout_attempts", "3 to 100"));
        }
        if !(1..=1440).contains(lockout_window_minutes) {
            problems.push(("lockout_window_minutes", "1 to 1440"));
        }
        if !(1..=1440).contains(lockout_minutes) {
            problems.push(("lockout_minutes", "1 to 1440"));
        }
        problems
    }

    /// The session timeout by itself.
    fn session_timeout(&self) -> SessionTimeout {
        SessionTimeout::from_minutes(self.session_timeout_minutes).unwrap_or_default()
    }

    /// The lockout rule.
    #[must_use]
    pub fn lockout(&self) -> Rule {
        let minutes = |minutes: u32| Duration::from_secs(u64::from(minutes) * 60);
        Rule {
            attempts: self.lockout_attempts,
            window: minutes(self.lockout_window_minutes),
            lock: minutes(self.lockout_minutes),
        }
    }
}

/// What is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    policy: Policy,
    /// See [`SessionTimeout::dead_before`]; milliseconds since the epoch.
    dead_before: i64,
}

/// The policy in force, and the revision it is stored under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The policy.
    pub policy: Policy,
    /// See [`SessionTimeout::dead_before`].
    dead_before: Timestamp,
    /// `None` while nobody changed the configured default.
    pub revision: Option<Revision>,
}

impl InForce {
    /// The session timeout, which remembers what earlier ones ended.
    #[must_use]
    pub fn session_timeout(&self) -> SessionTimeout {
        self.policy.session_timeout().with_dead_before(self.dead_before)
    }
}

/// Reads and changes the policy.
pub struct PolicySettings {
    store: Arc<dyn Settings>,
    default: Policy,
    current: RwLock<Arc<InForce>>,
}

/// A change that was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Somebody else was first.
    #[error("the settings were changed meanwhile")]
    Conflict,
    /// The store cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PolicySettings {
    /// Starts from the configured default and reads what administrators stored.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer, or holds a document that this version cannot read.
    pub async fn load(store: Arc<dyn Settings>, default: Policy) -> Result<Self, StoreError> {
        let settings = Self {
            store,
            current: RwLock::new(Arc::new(InForce {
                policy: default.clone(),
                dead_before: Timestamp::MIN,
                revision: None,
            })),
            default,
        };
        settings.reload().await?;
        Ok(settings)
    }

    /// The policy in force.
    #[must_use]
    pub fn current(&self) -> Arc<InForce> {
        Arc::clone(&self.current.read())
    }

    /// Reads the stored policy again; whether it changed.
    ///
    /// # Errors
    /// As [`Self::load`]; the policy in force stays.
    pub async fn reload(&self) -> Result<bool, StoreError> {
        let stored = match self.store.get(NAME).await? {
            Some(setting) => {
                let stored: Stored = serde_json::from_slice(&setting.value).map_err(StoreError::corrupt)?;
                InForce {
                    policy: stored.policy,
                    dead_before: Timestamp::from_millis(stored.dead_before),
                    revision: Some(setting.revision),
                }
            }
            None => InForce { policy: self.default.clone(), dead_before: Timestamp::MIN, revision: None },
        };
        if !stored.policy.problems().is_empty() {
            return Err(StoreError::Corrupt(None));
        }
        let mut current = self.current.write();
        let changed = **current != stored && current.revision <= stored.revision;
        if changed {
            *current = Arc::new(stored);
        }
        Ok(changed)
    }

    /// Stores `policy`, which must be within bounds, if the one in force is still `expected`. What the session timeout
    /// before had ended by `now` stays ended.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn change(
        &self,
        policy: Policy,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<Arc<InForce>, ChangeError> {
        let before = self.current();
        if before.revision != expected {
            return Err(ChangeError::Conflict);
        }
        let dead_before = before.session_timeout().changed_to(policy.session_timeout(), now).dead_before();
        let stored = Stored { policy, dead_before: dead_before.as_millis() };
        let value = serde_json::to_vec(&stored).map_err(|error| ChangeError::Store(StoreError::corrupt(error)))?;
        let policy = stored.policy;
        match self.store.set(NAME, &value, expected).await? {
            SetSetting::Done(revision) => {
                let now = Arc::new(InForce { policy, dead_before, revision: Some(revision) });
                let mut current = self.current.write();
                // A later change may have come back first.
                if current.revision < now.revision {
                    *current = Arc::clone(&now);
                }
                Ok(now)
            }
            SetSetting::Conflict => Err(ChangeError::Conflict),
        }
    }
}
