//! The default of every key.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use wayleave_core::lockout::Rule;
use wayleave_core::policy::{Kinds, SessionTimeout};
use wayleave_opaque::{KeyStretching, StretchingCost};

use super::store_url::StoreUrl;
use super::types::{CookieName, NodeName, Rate};
use super::value::Size;
use super::words::{
    ClearSiteData, Coherence, FingerprintInput, ForwardedHeader, LogFormat, LogLevel, Registration, SameSite,
};
use super::{
    Accounts, Audit, Config, Cookies, Jwt, Keys, Lockout, Log, Metrics, Nodes, Opaque, Password, RateLimits, Server,
    Sessions, Store, Vault,
};

/// The defaults.
pub(super) fn defaults(data: PathBuf) -> Config {
    Config {
        data,
        server: Server {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: None,
            origins: Vec::new(),
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::None,
            shutdown_deadline: seconds(30),
            header_timeout: seconds(10),
            request_timeout: seconds(30),
            connection_limit: 4096,
            peer_connection_limit: 256,
            body_limit: Size::kib(64),
            header_limit: Size::kib(32),
        },
        store: Store {
            url: StoreUrl::Sqlite("wayleave.db".into()),
            directory: None,
            connections: 20,
            replicated: false,
            readers: 4,
            busy_timeout: seconds(5),
            memory_sessions: 1_000_000,
        },
        nodes: Nodes {
            name: NodeName::literal("server"),
            coherence: Coherence::Prompt,
            lease: seconds(2),
            beat: Duration::from_millis(500),
        },
        cookies: Cookies {
            name: CookieName::literal("__Host-id"),
            csrf_name: CookieName::literal("csrf-token"),
            same_site: SameSite::Lax,
            domain: None,
            secure: true,
            dangerous_allow_insecure: false,
            clear_site_data: vec![ClearSiteData::Cache],
        },
        sessions: Sessions {
            timeout: SessionTimeout::default(),
            refresh_window: seconds(10),
            sweep_interval: minutes(1),
            sweep_batch: 500,
            retention: days(7),
            last_seen_flush: seconds(5),
            fingerprint: vec![FingerprintInput::Agent, FingerprintInput::Platform, FingerprintInput::Device],
        },
        kinds: Kinds::default(),
        jwt: Jwt { issuer: None, audience: None, leeway: seconds(30), jwks_max_age: minutes(5) },
        password: Password {
            argon2_memory: Size::kib(19_456),
            argon2_passes: 2,
            argon2_lanes: 1,
            concurrency: 4,
            queue: 64,
            min_length: 8,
        },
        opaque: opaque(KeyStretching::DEFAULT.cost()),
        vault: Vault {
            lifetime: minutes(15),
            blobs: true,
            max_blob: Size::kib(16 * 1024),
            quota: Size::kib(256 * 1024),
            blob_limit: 10_000,
            upload_limit: 4,
            transfer_limit: 64,
            transfer_timeout: minutes(10),
        },
        lockout: Lockout { attempts: Rule::DEFAULT.attempts, window: Rule::DEFAULT.window, lock: Rule::DEFAULT.lock },
        accounts: Accounts {
            registration: Registration::Closed,
            step_up: minutes(5),
            reset_link: hours(1),
            invitation: days(7),
        },
        rate_limits: RateLimits {
            login: Some(Rate::per(30, 60)),
            register: Some(Rate::per(10, 600)),
            refresh: Some(Rate::per(60, 60)),
            session: Some(Rate::per(600, 60)),
            admin: Some(Rate::per(300, 60)),
            service_key: Some(Rate::per(6000, 60)),
            unknown_token: Some(Rate::per(60, 60)),
            unknown_token_lookups: Some(Rate::per(3000, 60)),
            failed_sign_ins: Some(Rate::per(120, 60)),
            ipv6_site_multiple: 16,
        },
        audit: Audit { head_file: "audit-heads.jsonl".into(), head_interval: minutes(5) },
        metrics: Metrics { listen: None, hosts: Vec::new(), token: None },
        log: Log { format: LogFormat::Text, level: LogLevel::Info },
        keys: Keys { master: "keys/master.key".into(), credential: None },
    }
}

fn opaque(cost: StretchingCost) -> Opaque {
    let StretchingCost { iterations, memory_kib, parallelism } = cost;
    Opaque { enabled: true, iterations, memory: Size::kib(memory_kib.into()), parallelism }
}

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

pub(super) const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

pub(super) const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}
