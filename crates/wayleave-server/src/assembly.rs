//! Puts the parts together: the only place where concrete stores, authenticators and the manager meet.

mod backend;
mod edge;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use hkdf::Hkdf;
use sha2::Sha256;
use tokio_util::sync::CancellationToken;
use wayleave::cluster::{BusKey, Cluster, ClusterParts, Coherence, Timing};
use wayleave::jwt::Audience;
use wayleave::{Options, Parts, Rules, SessionManager, SystemUptime};
use wayleave_core::authentication::{Authority, Level, Method, Prover};
use wayleave_core::permission::Permissions;
use wayleave_core::ports::{Allowance, BlobStore, Bus, Clock, Entropy, StoreError};
use wayleave_core::seal::KeyRing;
use wayleave_core::subject::Namespace;
use wayleave_opaque::InvalidKeyStretching;
use wayleave_password::{BucketKey, Cost, Hasher, HasherOptions, Parameters, PasswordAuthenticator, Requirements};
use wayleave_web::cookies::InvalidCookieSpec;
use wayleave_web::csrf::CsrfKey;
use zeroize::Zeroizing;

use crate::app::{App, Provers, RouteOptions};
use crate::audit::{ChainKey, Heads, Writer, WriterOptions};
use crate::claim::Claim;
use crate::config::Config;
use crate::fingerprint::Fingerprints;
use crate::http::limits::RequestLimits;
use crate::metrics::Metrics;
use crate::opaque::{self, IdentifierKey, Opaque};
use crate::secrets::{MasterKeys, Purpose};
use crate::settings::{Policy, PolicySettings};
use crate::signing::SigningKeys;
use crate::trail;
use crate::vault::blobs::{self, BlobOptions, Blobs, Transfers};

pub use backend::{Backend, directory, vault_file};
pub use edge::{http_stack, metrics_stack, rate_limits, serve_options};

/// The world outside.
#[derive(Clone)]
pub struct Ambient {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub entropy: Arc<dyn Entropy>,
}

/// The deployment cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be opened.
    #[error(transparent)]
    Sqlite(#[from] wayleave_sqlite::OpenError),
    /// The PostgreSQL database cannot be opened.
    #[error(transparent)]
    Postgres(#[from] wayleave_postgres::OpenError),
    /// The Redis servers cannot be used.
    #[error(transparent)]
    Redis(#[from] wayleave_redis::OpenError),
    /// Another master key sealed what is there.
    #[error(
        "what the store holds was sealed under another master key; every server on one store needs the same one: copy the \
         file that `keys.master` names from a server that runs"
    )]
    ForeignKey(#[source] StoreError),
    /// Redis has sessions only.
    #[error("`store.directory` must say where accounts are, since Redis has sessions only")]
    NoDirectory,
    /// A store does not answer.
    #[error("the store does not answer")]
    Store(#[from] StoreError),
    /// The settings of passwords do not fit.
    #[error("the password settings do not fit: {0}")]
    Password(Box<str>),
    /// The settings of OPAQUE do not fit.
    #[error("the settings of OPAQUE do not fit: {0}")]
    Opaque(#[from] InvalidKeyStretching),
    /// The settings of a cookie do not fit.
    #[error("the cookie settings do not fit: {0}")]
    Cookie(#[from] InvalidCookieSpec),
    /// An origin cannot be used.
    #[error("an origin of the configuration is not one that a browser sends")]
    Origin,
    /// A rate limit cannot be kept.
    #[error("a rate limit of the configuration cannot be kept")]
    RateLimit,
    /// Two master keys bear one id.
    #[error("two master keys bear the same id")]
    Keys,
    /// There is no entropy.
    #[error("the operating system gives no entropy")]
    Entropy,
}

impl StartError {
    /// Why something sealed that every deployment has from its first start could not be had.
    fn of_sealed(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt(_) => Self::ForeignKey(error),
            StoreError::Unavailable(_) | StoreError::Full => Self::Store(error),
        }
    }
}

/// What [`assemble`] takes.
pub struct Blueprint<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The master keys.
    pub keys: &'a MasterKeys,
    /// Where everything is kept.
    pub backend: Backend,
    /// The world outside.
    pub ambient: Ambient,
    /// Where the server listens, for the origins and links that follow from it.
    pub bound: SocketAddr,
    /// What a password costs; see [`password_parameters`].
    pub parameters: Parameters,
    /// The name of this process's audit chain.
    pub node: &'a str,
    /// The claim on that name, where others could bear it.
    pub claim: Option<Claim>,
    /// To be called when the first administrator was made.
    pub setup_done: Arc<dyn Fn() + Send + Sync>,
}

/// A deployment, put together.
pub struct Assembly {
    /// The application.
    pub app: Arc<App>,
    /// Its background work for events and audit rows. [`Assembly::stop`] ends it in order.
    tasks: Tasks,
    backend: Backend,
}

struct Tasks {
    trail: tokio::task::JoinHandle<()>,
    trail_stop: CancellationToken,
    audit: tokio::task::JoinHandle<()>,
    audit_stop: CancellationToken,
    claim: Option<tokio::task::JoinHandle<()>>,
    claim_stop: CancellationToken,
}

impl Assembly {
    /// Writes what waits, in the order in which one thing makes work for the next, and closes the store.
    pub async fn stop(self) {
        let Self { app, tasks, backend } = self;
        drop(app);
        tasks.trail_stop.cancel();
        finish("events", tasks.trail).await;
        tasks.audit_stop.cancel();
        finish("the audit log", tasks.audit).await;
        // Only now: whoever has the name next goes on where this chain ends.
        tasks.claim_stop.cancel();
        if let Some(claim) = tasks.claim {
            finish("the claim on this server's name", claim).await;
        }
        backend.close().await;
    }
}

async fn finish(what: &str, task: tokio::task::JoinHandle<()>) {
    if task.await.is_err() {
        tracing::error!("the task that writes {what} ended with a panic");
    }
}

/// Puts a deployment together and starts what writes its audit log.
///
/// # Errors
/// [`StartError`].
pub async fn assemble(blueprint: Blueprint<'_>) -> Result<Assembly, StartError> {
    let Blueprint { config, keys, backend, ambient, bound, parameters, node, claim, setup_done } = blueprint;
    let Ambient { clock, entropy } = ambient;
    let ring = Arc::new(keys.key_ring().map_err(|_| StartError::Keys)?);
    let mut random = [0; 16];
    entropy.fill(&mut random).map_err(|_| StartError::Entropy)?;
    let authority = Authority::new(random);
    let password_prover = authority.prover(Method::Password, Level::ONE, Namespace::User);
    let opaque_prover = authority.prover(Method::Opaque, Level::ONE, Namespace::User);
    let provers = Provers {
        link: authority.prover(Method::Link, Level::ONE, Namespace::User),
        service: authority.prover(Method::ServiceKey, Level::ONE, Namespace::External),
    };
    let policy = PolicySettings::load(Arc::clone(&backend.directory.settings), starting_policy(config)).await?;
    let public_url = config.public_origin(bound).map_or_else(|| format!("http://{bound}"), |origin| origin.to_string());
    let issuer = config.jwt.issuer.as_ref().map_or_else(|| public_url.clone(), ToString::to_string);
    let audience = config.jwt.audience.as_ref().map_or_else(|| issuer.clone(), ToString::to_string);
    let cluster = cluster(config, keys, backend.bus.as_ref(), &entropy)?;
    let manager = Arc::new(SessionManager::new(Parts {
        store: Arc::clone(&backend.store),
        subjects: Arc::clone(&backend.subjects),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        authority,
        routing: keys.routing(),
        cluster: cluster.clone(),
        rules: Rules {
            kinds: config.kinds.clone(),
            session_timeout: policy.current().session_timeout(),
            refresh_window: config.sessions.refresh_window,
        },
        audience: Audience { issuer: issuer.into(), audience: audience.into() },
        options: Options::default(),
    }));
    let signing = SigningKeys::new(
        Arc::clone(&backend.directory.settings),
        Arc::clone(&ring),
        Arc::clone(&clock),
        Arc::clone(&entropy),
        config.jwt.jwks_max_age,
    );
    let (signing_keys, revision) = signing.load().await.map_err(StartError::of_sealed)?;
    signing.put_in_force(&manager, signing_keys, revision);
    let hasher = hasher(config, parameters, &entropy);
    let requirements = Requirements::new(u16::try_from(config.password.min_length).unwrap_or(u16::MAX), ["wayleave"])
        .map_err(|error| StartError::Password(error.to_string().into()))?;
    let passwords = PasswordAuthenticator::new(
        wayleave_password::Ports {
            accounts: Arc::clone(&backend.directory.accounts),
            credentials: Arc::clone(&backend.directory.credentials),
            devices: Arc::clone(&backend.directory.devices),
            counters: Arc::clone(&backend.directory.counters),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
        },
        hasher,
        password_prover,
        BucketKey::new(*keys.derive(Purpose::Counters)),
        wayleave_password::Options { rule: policy.current().policy.lockout(), requirements },
    )
    .map_err(|error| StartError::Password(error.to_string().into()))?;
    let opaque = opaque(config, keys, &backend, &ring, opaque_prover, &*entropy).await?;
    let audit_key = keys.derive(Purpose::Audit);
    let (recorder, writer) = Writer::start(
        Arc::clone(&backend.directory.audit),
        Arc::clone(&clock),
        ChainKey::new(*audit_key),
        heads(config, keys),
        WriterOptions { node, head_interval: config.audit.head_interval },
    )
    .await?;
    let metrics = Metrics::new();
    let blobs = backend.blobs.as_ref().map(|store| blobs(config, store, &clock, &entropy, &metrics));
    let audit_stop = CancellationToken::new();
    let trail_stop = CancellationToken::new();
    let claim_stop = CancellationToken::new();
    let name_lost = claim.as_ref().map(Claim::lost).unwrap_or_default();
    let reference_key = keys.derive(Purpose::SessionReference);
    let follow = trail::follow(
        manager.subscribe(EVENT_QUEUE),
        recorder.clone(),
        metrics.clone(),
        reference_key.clone(),
        trail_stop.clone(),
    );
    let tasks = Tasks {
        trail: tokio::spawn(follow),
        trail_stop,
        audit: tokio::spawn(writer.run(audit_stop.clone())),
        audit_stop,
        claim: claim.map(|claim| tokio::spawn(claim.keep(claim_stop.clone()))),
        claim_stop,
    };
    let app = Arc::new(App {
        manager,
        cluster,
        store: Arc::clone(&backend.store),
        directory: backend.directory.clone(),
        passwords,
        opaque,
        blobs,
        failed_attempts: edge::failed_attempts(config)?,
        provers,
        policy,
        signing,
        audit: recorder,
        name_lost,
        metrics,
        csrf: CsrfKey::new(*keys.derive(Purpose::Csrf)).with_others(keys.derive_all(Purpose::Csrf).map(|key| *key)),
        cookies: edge::cookies(config, bound)?,
        fingerprints: Fingerprints::new(&keys.derive(Purpose::Fingerprint), &config.sessions.fingerprint),
        options: route_options(config, public_url, setup_done)?,
        reference_key,
        clock,
        entropy,
    });
    Ok(Assembly { app, tasks, backend })
}

/// The vault's blobs.
fn blobs(
    config: &Config,
    store: &Arc<dyn BlobStore>,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
    metrics: &Metrics,
) -> Blobs {
    let vault = &config.vault;
    let allowance = Allowance {
        bytes: vault.quota.bytes(),
        blobs: vault.blob_limit,
        uploads: vault.upload_limit,
        overlap: vault.max_blob.bytes(),
    };
    Blobs::new(blobs::Parts {
        store: Arc::clone(store),
        options: BlobOptions {
            most_bytes: vault.max_blob.bytes(),
            allowance,
            transfer_timeout: vault.transfer_timeout,
            stall_timeout: RequestLimits::default().body_timeout,
        },
        transfers: Transfers::new(usize::try_from(vault.transfer_limit).unwrap_or(usize::MAX)),
        clock: Arc::clone(clock),
        entropy: Arc::clone(entropy),
        metrics: metrics.clone(),
    })
}

/// OPAQUE, where the configuration has it on.
async fn opaque(
    config: &Config,
    keys: &MasterKeys,
    backend: &Backend,
    ring: &Arc<KeyRing>,
    prover: Prover,
    entropy: &dyn Entropy,
) -> Result<Option<Opaque>, StartError> {
    if !config.opaque.enabled {
        return Ok(None);
    }
    let key_stretching = config.opaque.key_stretching()?;
    let setup = opaque::load(&*backend.directory.settings, ring, entropy).await.map_err(StartError::of_sealed)?;
    let identifiers = IdentifierKey::new(keys.derive(Purpose::CredentialIdentifier));
    let parts = opaque::Parts { setup, prover, identifiers, key_stretching, ring: Arc::clone(ring) };
    Opaque::new(parts, entropy).map(Some).map_err(|_| StartError::Entropy)
}

/// This process as one of those on the bus, if there is one.
fn cluster(
    config: &Config,
    keys: &MasterKeys,
    bus: Option<&Arc<dyn Bus>>,
    entropy: &Arc<dyn Entropy>,
) -> Result<Option<Arc<Cluster>>, StartError> {
    let Some(bus) = bus else { return Ok(None) };
    let crate::config::Nodes { name: _, coherence, lease, beat } = &config.nodes;
    let parts = ClusterParts {
        bus: Arc::clone(bus),
        key: BusKey::new(*keys.derive(Purpose::Bus)),
        uptime: Arc::new(SystemUptime),
        entropy: Arc::clone(entropy),
        timing: Timing { beat: *beat, lease: *lease, ..Timing::default() },
        coherence: match coherence {
            crate::config::Coherence::Prompt => Coherence::Prompt,
            crate::config::Coherence::Strict => Coherence::Strict,
        },
    };
    let cluster = Cluster::new(parts).map_err(|_| StartError::Entropy)?;
    Ok(Some(Arc::new(cluster)))
}

/// Events that wait for the audit log at most.
const EVENT_QUEUE: usize = 65_536;

/// The signed heads of the audit log.
#[must_use]
pub fn heads(config: &Config, keys: &MasterKeys) -> Heads {
    Heads::new(config.resolve(&config.audit.head_file), &subkey(&keys.derive(Purpose::Audit), b"audit heads v1"))
}

fn subkey(key: &[u8; 32], label: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut derived = Zeroizing::new([0; 32]);
    // 32 bytes are within what HKDF-SHA256 gives.
    if Hkdf::<Sha256>::new(None, key).expand(label, derived.as_mut()).is_err() {
        tracing::error!("a key could not be derived");
    }
    derived
}

/// The policy until administrators change it.
fn starting_policy(config: &Config) -> Policy {
    let minutes = |length: std::time::Duration| u32::try_from(length.as_secs().div_ceil(60)).unwrap_or(u32::MAX);
    Policy {
        session_timeout_minutes: config.sessions.timeout.minutes(),
        lockout_attempts: config.lockout.attempts,
        lockout_window_minutes: minutes(config.lockout.window),
        lockout_minutes: minutes(config.lockout.lock),
        registration: config.accounts.registration,
    }
}

/// What a password costs by the configuration.
///
/// # Errors
/// [`StartError::Password`].
pub fn password_parameters(config: &Config) -> Result<Parameters, StartError> {
    let cost = Cost {
        memory_kib: u32::try_from(config.password.argon2_memory.bytes() / 1024).unwrap_or(u32::MAX),
        passes: config.password.argon2_passes,
        lanes: config.password.argon2_lanes,
    };
    Parameters::new(cost).map_err(|error| StartError::Password(error.to_string().into()))
}

fn hasher(config: &Config, parameters: Parameters, entropy: &Arc<dyn Entropy>) -> Arc<Hasher> {
    let options = HasherOptions {
        concurrency: NonZeroU32::new(config.password.concurrency).unwrap_or(NonZeroU32::MIN),
        queue: config.password.queue,
        ..HasherOptions::new(parameters)
    };
    Arc::new(Hasher::new(options, Arc::clone(entropy)))
}

fn route_options(
    config: &Config,
    public_url: String,
    setup_done: Arc<dyn Fn() + Send + Sync>,
) -> Result<RouteOptions, StartError> {
    let kind = |name: &str| name.parse().map_err(|_| StartError::Keys);
    let clear_site_data: Vec<String> =
        config.cookies.clear_site_data.iter().map(|part| format!("\"{part}\"")).collect();
    Ok(RouteOptions {
        cookie_kind: kind("web")?,
        bearer_kind: kind("standard")?,
        step_up_max_age: config.accounts.step_up,
        vault_lifetime: config.vault.lifetime,
        keep_ended: config.sessions.retention,
        sweep_batch: config.sessions.sweep_batch,
        public_url: public_url.into(),
        clear_site_data: clear_site_data.join(", ").into(),
        default_permissions: Permissions::new(DEFAULT_PERMISSIONS).unwrap_or_else(|_| Permissions::none()),
        reset_link: config.accounts.reset_link,
        invitation: config.accounts.invitation,
        setup_done,
        metrics_token: config.metrics.token.clone(),
    })
}

/// What a new account may do unless somebody says otherwise: what the `standard` kind lets through.
const DEFAULT_PERMISSIONS: [&str; 4] = ["read:profile", "write:messages", "join:groups", "book:sessions"];
