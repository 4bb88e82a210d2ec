//! The application: every part that handlers need, put together once.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use wayleave::cluster::Cluster;
use wayleave::{Rules, SessionManager};
use wayleave_core::authentication::Prover;
use wayleave_core::id::SessionId;
use wayleave_core::permission::Permissions;
use wayleave_core::policy::KindName;
use wayleave_core::ports::{
    Accounts, AuditLog, Clock, Counters, Credentials, Entropy, Invitations, KnownDevices, ServiceKeys, SessionStore,
    Settings, StoreError,
};
use wayleave_core::time::Timestamp;
use wayleave_password::PasswordAuthenticator;
use wayleave_web::csrf::CsrfKey;
use zeroize::Zeroizing;

use crate::audit::{Entry, Recorder};
use crate::claim::Lost;
use crate::cookies::Cookies;
use crate::fingerprint::Fingerprints;
use crate::metrics::Metrics;
use crate::opaque::Opaque;
use crate::settings::PolicySettings;
use crate::signing::SigningKeys;
use crate::strangers::FailedAttempts;
use crate::vault::blobs::Blobs;

/// The directory's ports, each on its own.
#[derive(Clone)]
pub struct Directory {
    /// People.
    pub accounts: Arc<dyn Accounts>,
    /// What they prove themselves with.
    pub credentials: Arc<dyn Credentials>,
    /// Browsers that know them.
    pub devices: Arc<dyn KnownDevices>,
    /// Settings and small sealed documents.
    pub settings: Arc<dyn Settings>,
    /// Failed attempts.
    pub counters: Arc<dyn Counters>,
    /// Invitations.
    pub invitations: Arc<dyn Invitations>,
    /// Trusted backends.
    pub service_keys: Arc<dyn ServiceKeys>,
    /// The audit log.
    pub audit: Arc<dyn AuditLog>,
}

/// What configuration decides about routes.
#[derive(Clone)]
pub struct RouteOptions {
    /// The kind that a password sign-in with a cookie opens.
    pub cookie_kind: KindName,
    /// The kind that a password sign-in with bearer tokens opens, unless it asks for another.
    pub bearer_kind: KindName,
    /// How old a sign-in may be for sensitive actions.
    pub step_up_max_age: Duration,
    /// How long an open vault may go unused.
    pub vault_lifetime: Duration,
    /// How long ended sessions stay on record.
    pub keep_ended: Duration,
    /// Records removed in one step of a sweep.
    pub sweep_batch: u32,
    /// Where people reach the server: scheme, host and port, without a path.
    pub public_url: Box<str>,
    /// What `Clear-Site-Data` says at sign-out; empty for nothing.
    pub clear_site_data: Box<str>,
    /// What a new account may do unless somebody says otherwise.
    pub default_permissions: Permissions,
    /// How long an administrator's link for a new password is good.
    pub reset_link: Duration,
    /// How long an invitation is good unless it says otherwise.
    pub invitation: Duration,
    /// To be called when the first administrator was made.
    pub setup_done: Arc<dyn Fn() + Send + Sync>,
    /// The hash of the token that opens `/metrics` from elsewhere than this machine.
    pub metrics_token: Option<crate::config::HashedToken>,
}

/// The provers of the ways to sign in that the server itself carries out.
pub struct Provers {
    /// One-time links made by administrators.
    pub link: Prover,
    /// Trusted backends.
    pub service: Prover,
}

/// Everything that handlers need.
pub struct App {
    /// Sessions.
    pub manager: Arc<SessionManager>,
    /// This process among others on the same store.
    pub cluster: Option<Arc<Cluster>>,
    /// The store itself, for single-use tickets.
    pub store: Arc<dyn SessionStore>,
    /// People and settings.
    pub directory: Directory,
    /// Passwords.
    pub passwords: PasswordAuthenticator,
    /// OPAQUE, where it is turned on.
    pub opaque: Option<Opaque>,
    /// The vault's blobs, where there are some.
    pub blobs: Option<Blobs>,
    /// How many attempts may fail in the whole deployment before strangers wait (A52).
    pub failed_attempts: Option<Arc<FailedAttempts>>,
    /// Other ways to sign in.
    pub provers: Provers,
    /// What administrators decide.
    pub policy: PolicySettings,
    /// Signing keys.
    pub signing: SigningKeys,
    /// The audit log.
    pub audit: Recorder,
    /// Whether another server bears this one's name.
    pub name_lost: Lost,
    /// Numbers about the process.
    pub metrics: Metrics,
    /// CSRF tokens.
    pub csrf: CsrfKey,
    /// Cookies.
    pub cookies: Cookies,
    /// What is stable about clients, where anything is looked at.
    pub fingerprints: Option<Fingerprints>,
    /// Everything else that configuration decides.
    pub options: RouteOptions,
    /// The key of session references in logs.
    pub reference_key: Zeroizing<[u8; 32]>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub entropy: Arc<dyn Entropy>,
}

impl App {
    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Takes over what another process, or another handler, changed in the store: settings, keys, standings.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    pub async fn reload(&self) -> Result<(), StoreError> {
        // First, whatever becomes of the rest: nothing that was ended elsewhere may go on validating from memory.
        self.manager.forget_everything();
        self.reload_settings().await
    }

    /// Takes over settings and signing keys that another process changed.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    pub async fn reload_settings(&self) -> Result<(), StoreError> {
        if self.policy.reload().await? {
            self.apply_policy();
        }
        let (keys, revision) = self.signing.load().await?;
        self.signing.put_in_force(&self.manager, keys, revision);
        Ok(())
    }

    /// Puts the policy that administrators decided on into force.
    pub fn apply_policy(&self) {
        let in_force = self.policy.current();
        let policy = &in_force.policy;
        self.passwords.set_rule(policy.lockout());
        let rules = Rules { session_timeout: in_force.session_timeout(), ..(*self.manager.rules()).clone() };
        self.manager.set_rules(rules);
    }

    /// Puts an entry into the audit log.
    pub fn record(&self, entry: Entry) {
        self.audit.record(self.now(), entry);
    }

    /// What logs call a session: a keyed hash, 16 hex digits (R164).
    #[must_use]
    pub fn reference(&self, id: &SessionId) -> Box<str> {
        reference(&self.reference_key, id)
    }
}

/// See [`App::reference`].
#[must_use]
pub fn reference(key: &[u8; 32], id: &SessionId) -> Box<str> {
    use std::fmt::Write as _;
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        // HMAC takes keys of any length.
        return Box::default();
    };
    mac.update(b"session reference");
    mac.update(&id.bytes());
    let mut text = String::with_capacity(16);
    for byte in mac.finalize().into_bytes().iter().take(8) {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.into()
}
