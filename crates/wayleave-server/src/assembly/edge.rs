//! What the configuration makes of the HTTP edge: rate limits, general layers, connections, cookies.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use wayleave_core::ports::Entropy;
use wayleave_web::cookies::{CookieOptions, CookieSpec, SameSite, Transport, Visibility};
use wayleave_web::fetch_metadata::OriginPolicy;
use wayleave_web::origin::{Origin, Origins};

use super::StartError;
use crate::config::{self, Config};
use crate::cookies::Cookies;
use crate::error::ErrorCode;
use crate::http::client_address::{ForwardingHeader, TrustedProxies};
use crate::http::cors::CorsOptions;
use crate::http::headers::{SecurityHeaders, StrictTransport};
use crate::http::limits::{RequestLimits, Uploads};
use crate::http::rate_limit::{MonotonicClock, RateLimit, RateLimitPolicy};
use crate::http::serve::ServeOptions;
use crate::http::stack::HttpStack;
use crate::router::Limits;
use crate::strangers::{self, FailedAttempts};
use crate::unknown::{UnknownCredentials, UnknownLimits};

/// The rate limits of the routes.
///
/// # Errors
/// [`StartError::RateLimit`].
pub fn rate_limits(config: &Config) -> Result<Limits, StartError> {
    let clock = MonotonicClock::system();
    let limit = |name: &'static str, rate: Option<config::Rate>| rate_limit(config, &clock, name, rate);
    let rates = &config.rate_limits;
    Ok(Limits {
        login: limit("login", rates.login)?,
        register: limit("register", rates.register)?,
        refresh: limit("refresh", rates.refresh)?,
        session: limit("session", rates.session)?,
        admin: limit("admin", rates.admin)?,
        service: limit("service", rates.service_key)?,
        unknown_credentials: unknown_credentials(config, &clock)?,
    })
}

/// How many ended credentials one client may show for each unknown one.
const ENDED_FOR_UNKNOWN: u32 = 10;

fn unknown_credentials(config: &Config, clock: &MonotonicClock) -> Result<Option<Arc<UnknownCredentials>>, StartError> {
    let rates = &config.rate_limits;
    let limit = |name: &'static str, rate: Option<config::Rate>| rate_limit(config, clock, name, rate);
    let ended = rates.unknown_token.map(|rate| rate.times(ENDED_FOR_UNKNOWN));
    let unknown = limit("unknown-token", rates.unknown_token)?.zip(limit("ended-token", ended)?);
    let past = limit("unknown-token-lookups", rates.unknown_token_lookups)?;
    Ok(unknown.map(|(unknown, ended)| Arc::new(UnknownCredentials::new(UnknownLimits { unknown, ended, past }))))
}

/// The limit of failed sign-ins in the whole deployment, with each network's share of it.
///
/// # Errors
/// [`StartError::RateLimit`].
pub(super) fn failed_attempts(config: &Config) -> Result<Option<Arc<FailedAttempts>>, StartError> {
    let clock = MonotonicClock::system();
    let limit = |name: &'static str, rate: Option<config::Rate>| rate_limit(config, &clock, name, rate);
    let all = config.rate_limits.failed_sign_ins;
    let share = all.map(|rate| rate.part(strangers::SHARE));
    let limits = limit("failed-sign-ins", all)?.zip(limit("failed-sign-ins-share", share)?);
    Ok(limits.map(|(all, share)| Arc::new(FailedAttempts::new(all, share))))
}

fn rate_limit(
    config: &Config,
    clock: &MonotonicClock,
    name: &'static str,
    rate: Option<config::Rate>,
) -> Result<Option<Arc<RateLimit>>, StartError> {
    let Some(rate) = rate else { return Ok(None) };
    let quota = NonZeroU32::new(rate.count).ok_or(StartError::RateLimit)?;
    let site_multiple = NonZeroU32::new(config.rate_limits.ipv6_site_multiple);
    let policy = RateLimitPolicy { name, quota, window: rate.period, site_multiple, most_keys: 100_000 };
    RateLimit::new(policy, clock.clone()).map(|limit| Some(Arc::new(limit))).map_err(|_| StartError::RateLimit)
}

/// The general layers.
///
/// # Errors
/// [`StartError::Origin`].
pub fn http_stack(config: &Config, bound: SocketAddr, entropy: Arc<dyn Entropy>) -> Result<HttpStack, StartError> {
    let encrypted = config.public_origin(bound).is_some_and(|origin| origin.is_https());
    let limits = RequestLimits {
        most_body_bytes: bytes(config.server.body_limit),
        most_header_bytes: bytes(config.server.header_limit),
        answer_timeout: config.server.request_timeout,
        ..RequestLimits::default()
    };
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
        limits,
        uploads: config.vault.blobs.then(|| Uploads {
            below: "/api/vault/blobs/",
            limits: RequestLimits {
                most_body_bytes: bytes(config.vault.max_blob),
                too_large: ErrorCode::BlobTooLarge,
                // The body first, and then what any request may take.
                answer_timeout: config.vault.transfer_timeout.saturating_add(config.server.request_timeout),
                ..limits
            },
        }),
    })
}

/// The general layers of the listener for metrics, whose answers no page of another origin may read.
///
/// # Errors
/// As [`http_stack`].
pub fn metrics_stack(config: &Config, bound: SocketAddr, entropy: Arc<dyn Entropy>) -> Result<HttpStack, StartError> {
    Ok(HttpStack { cors: CorsOptions::default(), ..http_stack(config, bound, entropy)? })
}

/// How many times the connections of a /64 a /48 may hold.
const PEERS_OF_A_SITE: usize = 4;

/// The limits of connections.
#[must_use]
pub fn serve_options(config: &Config) -> ServeOptions {
    let most_of_one_peer = usize::try_from(config.server.peer_connection_limit).unwrap_or(usize::MAX);
    ServeOptions {
        most_connections: usize::try_from(config.server.connection_limit).unwrap_or(usize::MAX),
        most_of_one_peer,
        most_of_one_site: most_of_one_peer.saturating_mul(PEERS_OF_A_SITE),
        exempt: config.server.trusted_proxies.clone(),
        head_timeout: config.server.header_timeout,
        drain_timeout: config.server.shutdown_deadline,
        most_head_bytes: bytes(config.server.header_limit).saturating_mul(2).max(64 * 1024),
        ..ServeOptions::default()
    }
}

fn bytes(size: config::Size) -> usize {
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
}

/// The cookies.
///
/// # Errors
/// [`StartError::Cookie`] and [`StartError::Origin`].
pub(super) fn cookies(config: &Config, bound: SocketAddr) -> Result<Cookies, StartError> {
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
        csrf: spec(config.cookies.csrf_name.as_str(), "/", domain.clone(), same_site, Visibility::Script)?,
        twins: match &domain {
            Some(_) => vec![
                spec(config.cookies.name.as_str(), "/", None, same_site, Visibility::HttpOnly)?,
                spec(config.cookies.csrf_name.as_str(), "/", None, same_site, Visibility::Script)?,
            ],
            None => Vec::new(),
        },
        device: spec(device, "/api/auth", None, SameSite::Strict, Visibility::HttpOnly)?,
        origins: OriginPolicy {
            own: origins(config.allowed_origins(bound).iter().map(ToString::to_string).collect())?,
            partners: origins(config.server.cors_origins.iter().map(ToString::to_string).collect())?,
        },
    })
}
