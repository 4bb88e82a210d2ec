//! Puts the parts together: the only place where concrete stores, authenticators and the manager meet.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use hkdf::Hkdf;
use sha2::Sha256;
use tokio_util::sync::CancellationToken;
use wayleave::jwt::Audience;
use wayleave::{Options, Parts, Rules, SessionManager};
use wayleave_core::authentication::{Authority, Level, Method};
use wayleave_core::memory::{DirectoryLimits, MemoryDirectory, MemoryOptions, MemoryStore};
use wayleave_core::permission::Permissions;
use wayleave_core::ports::{Clock, Entropy, SessionStore, StoreError, Subjects};
use wayleave_core::seal::KeyRing;
use wayleave_core::subject::Namespace;
use wayleave_password::{BucketKey, Cost, Hasher, HasherOptions, Parameters, PasswordAuthenticator, Requirements};
use wayleave_sqlite::SqliteStore;
use zeroize::Zeroizing;

use crate::app::{App, Directory, Provers, RouteOptions};
use crate::audit::{ChainKey, Heads, Writer, WriterOptions};
use crate::config::{self, Config, StoreUrl};
use crate::cookies::Cookies;
use crate::http::client_address::{ForwardingHeader, TrustedProxies};
use crate::http::cors::CorsOptions;
use crate::http::headers::{SecurityHeaders, StrictTransport};
use crate::http::limits::RequestLimits;
use crate::http::rate_limit::{MonotonicClock, RateLimit, RateLimitPolicy};
use crate::http::serve::ServeOptions;
use crate::http::stack::HttpStack;
use crate::metrics::Metrics;
use crate::router::Limits;
use crate::secrets::{MasterKeys, Purpose};
use crate::settings::{Policy, PolicySettings};
use crate::signing::SigningKeys;
use crate::trail;
use wayleave_web::cookies::{CookieOptions, CookieSpec, InvalidCookieSpec, SameSite, Transport, Visibility};
use wayleave_web::csrf::CsrfKey;
use wayleave_web::fetch_metadata::OriginPolicy;
use wayleave_web::origin::{Origin, Origins};

/// The world outside.
#[derive(Clone)]
pub struct Ambient {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub entropy: Arc<dyn Entropy>,
}

/// Where everything is kept.
#[derive(Clone)]
pub struct Backend {
    /// Sessions.
    pub store: Arc<dyn SessionStore>,
    /// People and settings.
    pub directory: Directory,
    /// How subjects stand.
    pub subjects: Arc<dyn Subjects>,
    sqlite: Option<Arc<SqliteStore>>,
}

/// The deployment cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be opened.
    #[error(transparent)]
    Sqlite(#[from] wayleave_sqlite::OpenError),
    /// A store does not answer.
    #[error("the store does not answer")]
    Store(#[from] StoreError),
    /// The settings of passwords do not fit.
    #[error("the password settings do not fit: {0}")]
    Password(Box<str>),
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

impl Backend {
    /// A backend of other parts than the configuration can name.
    #[must_use]
    pub fn of(store: Arc<dyn SessionStore>, directory: Directory, subjects: Arc<dyn Subjects>) -> Self {
        Self { store, directory, subjects, sqlite: None }
    }

    /// Opens the store that the configuration names.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open(config: &Config, ring: Arc<KeyRing>, ambient: &Ambient) -> Result<Self, StartError> {
        match &config.store.url {
            StoreUrl::Memory => {
                let options = MemoryOptions {
                    most_records: usize::try_from(config.store.memory_sessions).unwrap_or(usize::MAX),
                    ..MemoryOptions::default()
                };
                let store: Arc<dyn SessionStore> = Arc::new(MemoryStore::new(options));
                let memory = Arc::new(MemoryDirectory::new(DirectoryLimits::default(), Arc::clone(&ambient.clock)));
                Ok(Self { store, directory: directory(&memory), subjects: memory, sqlite: None })
            }
            StoreUrl::Sqlite(path) => {
                let mut options =
                    wayleave_sqlite::Options::new(ring, Arc::clone(&ambient.entropy), Arc::clone(&ambient.clock));
                options.readers = config.store.readers;
                options.busy_timeout = config.store.busy_timeout;
                let sqlite = Arc::new(SqliteStore::open(config.resolve(path), options).await?);
                Ok(Self {
                    store: Arc::clone(&sqlite) as Arc<dyn SessionStore>,
                    directory: directory(&sqlite),
                    subjects: Arc::clone(&sqlite) as Arc<dyn Subjects>,
                    sqlite: Some(sqlite),
                })
            }
        }
    }

    /// Writes what waits and closes the store.
    pub async fn close(&self) {
        if let Some(sqlite) = &self.sqlite {
            sqlite.close().await;
        }
    }
}

/// One type that implements every port of the directory, as the directory.
pub fn directory<D>(all: &Arc<D>) -> Directory
where
    D: wayleave_core::ports::Accounts
        + wayleave_core::ports::Credentials
        + wayleave_core::ports::KnownDevices
        + wayleave_core::ports::Settings
        + wayleave_core::ports::Counters
        + wayleave_core::ports::Invitations
        + wayleave_core::ports::ServiceKeys
        + wayleave_core::ports::AuditLog
        + 'static,
{
    Directory {
        accounts: Arc::clone(all) as _,
        credentials: Arc::clone(all) as _,
        devices: Arc::clone(all) as _,
        settings: Arc::clone(all) as _,
        counters: Arc::clone(all) as _,
        invitations: Arc::clone(all) as _,
        service_keys: Arc::clone(all) as _,
        audit: Arc::clone(all) as _,
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
    let Blueprint { config, keys, backend, ambient, bound, parameters, node, setup_done } = blueprint;
    let Ambient { clock, entropy } = ambient;
    let ring = Arc::new(keys.key_ring().map_err(|_| StartError::Keys)?);
    let mut random = [0; 16];
    entropy.fill(&mut random).map_err(|_| StartError::Entropy)?;
    let authority = Authority::new(random);
    let password_prover = authority.prover(Method::Password, Level::ONE, Namespace::User);
    let provers = Provers {
        link: authority.prover(Method::Link, Level::ONE, Namespace::User),
        service: authority.prover(Method::ServiceKey, Level::ONE, Namespace::External),
    };
    let policy = PolicySettings::load(Arc::clone(&backend.directory.settings), starting_policy(config)).await?;
    let public_url = config.public_origin(bound).map_or_else(|| format!("http://{bound}"), |origin| origin.to_string());
    let issuer = config.jwt.issuer.as_ref().map_or_else(|| public_url.clone(), ToString::to_string);
    let audience = config.jwt.audience.as_ref().map_or_else(|| issuer.clone(), ToString::to_string);
    let manager = Arc::new(SessionManager::new(Parts {
        store: Arc::clone(&backend.store),
        subjects: Arc::clone(&backend.subjects),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        authority,
        routing: keys.routing(),
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
    manager.set_signing_keys(signing.load().await?.0);
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
    let audit_stop = CancellationToken::new();
    let trail_stop = CancellationToken::new();
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
    };
    let app = Arc::new(App {
        manager,
        store: Arc::clone(&backend.store),
        directory: backend.directory.clone(),
        passwords,
        provers,
        policy,
        signing,
        audit: recorder,
        metrics,
        csrf: CsrfKey::new(*keys.derive(Purpose::Csrf)),
        cookies: cookies(config, bound)?,
        options: route_options(config, public_url, setup_done)?,
        reference_key,
        clock,
        entropy,
    });
    Ok(Assembly { app, tasks, backend })
}

/// The rate limits of the routes.
///
/// # Errors
/// [`StartError::RateLimit`].
pub fn rate_limits(config: &Config) -> Result<Limits, StartError> {
    let clock = MonotonicClock::system();
    let limit = |name: &'static str, rate: Option<config::Rate>| -> Result<Option<Arc<RateLimit>>, StartError> {
        let Some(rate) = rate else { return Ok(None) };
        let quota = NonZeroU32::new(rate.count).ok_or(StartError::RateLimit)?;
        let policy = RateLimitPolicy { name, quota, window: rate.period, most_keys: 100_000 };
        RateLimit::new(policy, clock.clone()).map(|limit| Some(Arc::new(limit))).map_err(|_| StartError::RateLimit)
    };
    let rates = &config.rate_limits;
    Ok(Limits {
        login: limit("login", rates.login)?,
        register: limit("register", rates.register)?,
        refresh: limit("refresh", rates.refresh)?,
        session: limit("session", rates.session)?,
        admin: limit("admin", rates.admin)?,
        service: limit("service", rates.service_key)?,
        unknown_credentials: limit("unknown-token", rates.unknown_token)?,
    })
}

/// The general layers.
///
/// # Errors
/// [`StartError::Origin`].
pub fn http_stack(config: &Config, bound: SocketAddr, entropy: Arc<dyn Entropy>) -> Result<HttpStack, StartError> {
    let encrypted = config.public_origin(bound).is_some_and(|origin| origin.is_https());
    Ok(HttpStack {
        entropy,
        proxies: TrustedProxies {
            networks: match config.server.forwarded_header {
                config::ForwardedHeader::None => Vec::new(),
                config::ForwardedHeader::XForwardedFor | config::ForwardedHeader::Forwarded => {
                    config.server.trusted_proxies.clone()
                }
            },
            header: match config.server.forwarded_header {
                config::ForwardedHeader::None | config::ForwardedHeader::XForwardedFor => {
                    ForwardingHeader::XForwardedFor
                }
                config::ForwardedHeader::Forwarded => ForwardingHeader::Forwarded,
            },
        },
        headers: SecurityHeaders {
            strict_transport: if encrypted { StrictTransport::On } else { StrictTransport::Off },
        },
        cors: CorsOptions { origins: cookies(config, bound)?.origins.partners, ..CorsOptions::default() },
        limits: RequestLimits {
            most_body_bytes: bytes(config.server.body_limit),
            most_header_bytes: bytes(config.server.header_limit),
            answer_timeout: config.server.request_timeout,
            ..RequestLimits::default()
        },
    })
}

/// The limits of connections.
#[must_use]
pub fn serve_options(config: &Config) -> ServeOptions {
    ServeOptions {
        most_connections: usize::try_from(config.server.connection_limit).unwrap_or(usize::MAX),
        head_timeout: config.server.header_timeout,
        drain_timeout: config.server.shutdown_deadline,
        most_head_bytes: bytes(config.server.header_limit).saturating_mul(2).max(64 * 1024),
        ..ServeOptions::default()
    }
}

fn bytes(size: config::Size) -> usize {
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
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

fn cookies(config: &Config, bound: SocketAddr) -> Result<Cookies, StartError> {
    let transport = if config.cookies.secure { Transport::Secure } else { Transport::AlsoPlaintext };
    let same_site = match config.cookies.same_site {
        config::SameSite::Lax => SameSite::Lax,
        config::SameSite::Strict => SameSite::Strict,
    };
    let domain = config.cookies.domain.as_ref().map(|domain| domain.as_str().to_owned());
    let spec = |name: &str, path: &str, domain: Option<String>, same_site, visibility| {
        CookieSpec::new(CookieOptions {
            name: name.to_owned(),
            path: path.to_owned(),
            domain,
            same_site,
            visibility,
            transport,
        })
    };
    let (pre_session, device) =
        if config.cookies.secure { ("__Host-pre", "__Secure-device") } else { ("wl-pre", "wl-device") };
    let origins = |list: Vec<String>| -> Result<Origins, StartError> {
        let list: Result<Vec<_>, _> = list.iter().map(|origin| Origin::new(origin)).collect();
        Ok(Origins::new(list.map_err(|_| StartError::Origin)?))
    };
    Ok(Cookies {
        session: spec(config.cookies.name.as_str(), "/", domain.clone(), same_site, Visibility::HttpOnly)?,
        pre_session: spec(pre_session, "/", None, SameSite::Lax, Visibility::HttpOnly)?,
        csrf: spec(config.cookies.csrf_name.as_str(), "/", domain, same_site, Visibility::Script)?,
        device: spec(device, "/api/auth/login", None, SameSite::Strict, Visibility::HttpOnly)?,
        origins: OriginPolicy {
            own: origins(config.allowed_origins(bound).iter().map(ToString::to_string).collect())?,
            partners: origins(config.server.cors_origins.iter().map(ToString::to_string).collect())?,
        },
    })
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
