//! The configuration: `wayleave.toml`, then the environment, then flags, all read through one table of keys.
//!
//! [`Config::load`] either gives a whole, checked configuration or every problem that there is, each with its place.
//! The table in `table.rs` is the only list of keys: reading, `config check`, `config show`, the reference in
//! `docs/configuration.md` and shell completion all walk it.

mod check;
mod defaults;
mod docs;
mod domain;
mod file;
mod keys;
mod kinds;
mod problem;
mod report;
mod sources;
mod store_url;
mod table;
mod types;
mod value;
mod words;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use wayleave_core::lockout::Rule;
use wayleave_core::policy::{Kinds, SessionTimeout};
use wayleave_opaque::{InvalidKeyStretching, KeyStretching, StretchingCost};

pub use docs::{explain, reference};
pub use keys::{KeyInfo, all_keys, environment_name, key_names};
pub use problem::{Excerpt, Importance, Location, Problem, ProblemKind, Problems, Warning};
pub use report::{check_human, check_json, show_human, show_json};
pub use sources::{Assignment, Loaded, Sources};
pub use store_url::{ServerUrl, StoreUrl};
pub use types::{CookieDomain, CookieName, HashedToken, HostName, InvalidValue, NodeName, Origin, Rate};
pub use value::{Name, Size, parse_duration, write_duration};
pub use words::{
    ClearSiteData, Coherence, FingerprintInput, ForwardedHeader, LogFormat, LogLevel, Registration, SameSite, TokenForm,
};

/// Everything that an operator can decide, with safe defaults. What each field means, its limits and its default stand
/// in the table of keys and in `docs/configuration.md`; the paths of keys are the paths of these fields.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder. Relative paths of the configuration lie in it.
    pub data: PathBuf,
    /// The listener and what it accepts.
    pub server: Server,
    /// Where sessions and accounts are kept.
    pub store: Store,
    /// This server among others on the same store.
    pub nodes: Nodes,
    /// The cookies of browsers.
    pub cookies: Cookies,
    /// The life of sessions, beside what their kind says.
    pub sessions: Sessions,
    /// The kinds of session: the defaults, changed and extended by `[kinds.NAME]`.
    pub kinds: Kinds,
    /// Access tokens that other services check by themselves.
    pub jwt: Jwt,
    /// How passwords are hashed.
    pub password: Password,
    /// Signing in without showing the server a password.
    pub opaque: Opaque,
    /// The vault of those who sign in so.
    pub vault: Vault,
    /// Failed sign-ins.
    pub lockout: Lockout,
    /// Accounts and links to them.
    pub accounts: Accounts,
    /// How often one client may ask.
    pub rate_limits: RateLimits,
    /// The audit log.
    pub audit: Audit,
    /// The `/metrics` page.
    pub metrics: Metrics,
    /// The log.
    pub log: Log,
    /// The master key.
    pub keys: Keys,
}

/// `[server]`
#[derive(Clone, Debug)]
pub struct Server {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The origin that browsers see.
    pub public_url: Option<Origin>,
    /// Further origins whose pages may change state with a cookie.
    pub origins: Vec<Origin>,
    /// Origins that may read answers from other sites, with credentials.
    pub cors_origins: Vec<Origin>,
    /// Peers whose [`Self::forwarded_header`] is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Which header names the client behind trusted proxies.
    pub forwarded_header: ForwardedHeader,
    /// How long requests may take to finish after the signal to stop.
    pub shutdown_deadline: Duration,
    /// From the first byte of a request to the last of its head.
    pub header_timeout: Duration,
    /// From the head of a request to its answer.
    pub request_timeout: Duration,
    /// Most connections at once.
    pub connection_limit: u32,
    /// Most connections at once of one peer.
    pub peer_connection_limit: u32,
    /// Largest body.
    pub body_limit: Size,
    /// Largest head.
    pub header_limit: Size,
}

/// `[store]`
#[derive(Clone, Debug)]
pub struct Store {
    /// Which store.
    pub url: StoreUrl,
    /// Where everything but sessions is, if elsewhere.
    pub directory: Option<StoreUrl>,
    /// Connections to a database server.
    pub connections: u32,
    /// Whether a replica must have a write of Redis before it counts.
    pub replicated: bool,
    /// Connections that read at once.
    pub readers: u32,
    /// How long an operation waits for the writer before it counts as failed.
    pub busy_timeout: Duration,
    /// Most sessions in a memory store.
    pub memory_sessions: u32,
}

/// `[nodes]`
#[derive(Clone, Debug)]
pub struct Nodes {
    /// The name of this one.
    pub name: NodeName,
    /// When a change returns.
    pub coherence: Coherence,
    /// How long a node may answer from memory after it last heard itself on the bus.
    pub lease: Duration,
    /// Between two signs of life.
    pub beat: Duration,
}

/// `[cookies]`
#[derive(Clone, Debug)]
pub struct Cookies {
    /// The session cookie.
    pub name: CookieName,
    /// The readable cookie of the double submit.
    pub csrf_name: CookieName,
    /// `SameSite` of the session cookie.
    pub same_site: SameSite,
    /// `Domain` of the session cookie; `None` keeps it to this host.
    pub domain: Option<CookieDomain>,
    /// Whether cookies are `Secure`.
    pub secure: bool,
    /// The consent to [`Self::secure`]` = false`.
    pub dangerous_allow_insecure: bool,
    /// What `Clear-Site-Data` names at sign-out.
    pub clear_site_data: Vec<ClearSiteData>,
}

/// `[sessions]`
#[derive(Clone, Debug)]
pub struct Sessions {
    /// The administrators' session timeout until they set one.
    pub timeout: SessionTimeout,
    /// How long a lost refresh answer can be fetched again; zero allows it never.
    pub refresh_window: Duration,
    /// From one sweep to the next.
    pub sweep_interval: Duration,
    /// Most records that one step of a sweep removes.
    pub sweep_batch: u32,
    /// How long ended records are kept, so that late tokens are told what became of them.
    pub retention: Duration,
    /// How long last-seen times are gathered before they are written.
    pub last_seen_flush: Duration,
    /// What clients are known by again.
    pub fingerprint: Vec<FingerprintInput>,
}

/// `[jwt]`
#[derive(Clone, Debug)]
pub struct Jwt {
    /// `iss`; the public URL when none is given.
    pub issuer: Option<Name>,
    /// `aud`; the issuer when none is given.
    pub audience: Option<Name>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// How long others may keep the key set, and so how long a new key is published before it signs.
    pub jwks_max_age: Duration,
}

/// `[password]`
#[derive(Clone, Debug)]
pub struct Password {
    /// Argon2id memory, in whole KiB.
    pub argon2_memory: Size,
    /// Argon2id passes.
    pub argon2_passes: u32,
    /// Argon2id lanes.
    pub argon2_lanes: u32,
    /// Hashes computed at once.
    pub concurrency: u32,
    /// Requests that wait for one; further ones are answered 503.
    pub queue: u32,
    /// Fewest characters of a new password.
    pub min_length: u32,
}

/// `[opaque]`
#[derive(Clone, Debug)]
pub struct Opaque {
    /// Whether there is such a way to sign in.
    pub enabled: bool,
    /// Argon2id passes, in the client.
    pub iterations: u32,
    /// Argon2id memory, in the client; whole KiB.
    pub memory: Size,
    /// Argon2id lanes, in the client.
    pub parallelism: u32,
}

impl Opaque {
    /// What the client's key-stretching function costs for those who register from now on.
    ///
    /// # Errors
    /// [`InvalidKeyStretching`] outside the bounds of the table of keys.
    pub fn key_stretching(&self) -> Result<KeyStretching, InvalidKeyStretching> {
        let Self { enabled: _, iterations, memory, parallelism } = *self;
        let memory_kib = u32::try_from(memory.bytes() / 1024).unwrap_or(u32::MAX);
        KeyStretching::new(StretchingCost { iterations, memory_kib, parallelism })
    }
}

/// `[vault]`
#[derive(Clone, Debug)]
pub struct Vault {
    /// How long an open vault may go unused.
    pub lifetime: Duration,
    /// Whether there are blobs.
    pub blobs: bool,
    /// The largest blob.
    pub max_blob: Size,
    /// What all blobs of one account may take.
    pub quota: Size,
    /// How many blobs one account may have.
    pub blob_limit: u32,
    /// How many uploads of one account may run at once.
    pub upload_limit: u32,
    /// How many transfers of blobs may run at once.
    pub transfer_limit: u32,
    /// How long one transfer may take.
    pub transfer_timeout: Duration,
}

/// `[lockout]`: where a deployment starts; administrators change it within the same bounds.
#[derive(Clone, Debug)]
pub struct Lockout {
    /// Failed attempts ...
    pub attempts: u32,
    /// ... in this time ...
    pub window: Duration,
    /// ... lock the identifier for this long.
    pub lock: Duration,
}

impl Lockout {
    /// What [`Self::attempts`] may be, for operators and administrators alike.
    pub const ATTEMPTS: RangeInclusive<u32> = 3..=100;
    /// What [`Self::window`] may be.
    pub const WINDOW: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(86_400);
    /// What [`Self::lock`] may be.
    pub const LOCK: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(86_400);

    /// The same as the core's rule.
    #[must_use]
    pub const fn rule(&self) -> Rule {
        Rule { attempts: self.attempts, window: self.window, lock: self.lock }
    }
}

/// `[accounts]`
#[derive(Clone, Debug)]
pub struct Accounts {
    /// Who may make an account, until administrators decide otherwise.
    pub registration: Registration,
    /// How recent a sign-in must be for sensitive actions.
    pub step_up: Duration,
    /// Life of a reset link.
    pub reset_link: Duration,
    /// Life of an invitation.
    pub invitation: Duration,
}

/// `[rate_limits]`: per client address, or per service key where one is presented. `None` counts nothing.
#[derive(Clone, Debug)]
pub struct RateLimits {
    /// Signing in and stepping up.
    pub login: Option<Rate>,
    /// Registration, setup and reset links.
    pub register: Option<Rate>,
    /// Refreshing.
    pub refresh: Option<Rate>,
    /// Every other route of a signed-in client.
    pub session: Option<Rate>,
    /// Administration.
    pub admin: Option<Rate>,
    /// Requests with a service key, per key.
    pub service_key: Option<Rate>,
    /// Requests with a token that nobody issued.
    pub unknown_token: Option<Rate>,
    /// Lookups of the whole deployment for clients past `unknown_token`.
    pub unknown_token_lookups: Option<Rate>,
    /// Failed sign-ins of the whole deployment.
    pub failed_sign_ins: Option<Rate>,
    /// How many times each of these a /48 of IPv6 may have.
    pub ipv6_site_multiple: u32,
}

/// `[audit]`
#[derive(Clone, Debug)]
pub struct Audit {
    /// The file that signed heads of the chain are appended to.
    pub head_file: PathBuf,
    /// From one head to the next.
    pub head_interval: Duration,
}

/// `[metrics]`
#[derive(Clone, Debug)]
pub struct Metrics {
    /// A listener for the page alone.
    pub listen: Option<SocketAddr>,
    /// Names that it is asked under.
    pub hosts: Vec<HostName>,
    /// The bearer token of the page on the common listener.
    pub token: Option<HashedToken>,
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// The least important lines that are written.
    pub level: LogLevel,
}

/// `[keys]`
#[derive(Clone, Debug)]
pub struct Keys {
    /// The file of the master key.
    pub master: PathBuf,
    /// The systemd credential that replaces it: `wayleave-master-key` in `$CREDENTIALS_DIRECTORY`, when that file
    /// exists and no other place was configured.
    pub credential: Option<PathBuf>,
}

impl Config {
    /// Reads the file, the environment and the flags, and checks what they come to.
    ///
    /// # Errors
    /// Every problem found, not just the first.
    pub fn load(sources: Sources) -> Result<Loaded, Problems> {
        sources::load(sources)
    }

    /// The defaults for a data folder.
    #[must_use]
    pub fn with_defaults(data: PathBuf) -> Self {
        defaults::defaults(data)
    }

    /// The place of a configured path: relative ones lie in the data folder.
    #[must_use]
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.data.join(path)
    }

    /// The database file of accounts and settings, if there is one.
    #[must_use]
    pub fn database(&self) -> Option<PathBuf> {
        self.directory().file().map(|path| self.resolve(path))
    }

    /// Where accounts, settings and the audit log are.
    #[must_use]
    pub fn directory(&self) -> &StoreUrl {
        self.store.directory.as_ref().unwrap_or(&self.store.url)
    }

    /// The origins whose pages may change state with a cookie, once the listener is bound to `bound`: the configured
    /// ones, or on loopback without any, `http://127.0.0.1:PORT` and `http://localhost:PORT` (R048). Empty when there
    /// are none; then every browser request that changes state is refused.
    #[must_use]
    pub fn allowed_origins(&self, bound: SocketAddr) -> Vec<Origin> {
        let configured: Vec<Origin> = self.server.public_url.iter().chain(&self.server.origins).cloned().collect();
        if !configured.is_empty() || !bound.ip().is_loopback() {
            return configured;
        }
        let port = bound.port();
        let address = format!("http://{}", SocketAddr::new(bound.ip(), port));
        [address, format!("http://localhost:{port}")].iter().filter_map(|text| text.parse().ok()).collect()
    }

    /// The origin for links and the default issuer, once the listener is bound to `bound`.
    #[must_use]
    pub fn public_origin(&self, bound: SocketAddr) -> Option<Origin> {
        self.server.public_url.clone().or_else(|| self.allowed_origins(bound).into_iter().next())
    }
}

#[cfg(test)]
mod tests;
