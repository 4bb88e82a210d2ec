//! Rate limits: one GCRA bucket per client network and class, answered with the standard fields (R104).

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use governor::clock::{Clock, QuantaClock, Reference as _};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use parking_lot::Mutex;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::client_address::ClientAddress;
use crate::error::{ApiError, ErrorCode, ceil_seconds};

#[cfg(test)]
mod tests;

/// How much is left: a list of quotas (draft-ietf-httpapi-ratelimit-headers).
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// What the quotas are.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Buckets that all new keys share while a limit holds as many keys as it may.
const SHARED_BUCKETS: u64 = 1024;
/// After how many checks the number of keys is counted again.
const COUNT_EVERY: u32 = 256;

/// One class of requests and how many of them a key may make.
#[derive(Copy, Clone, Debug)]
pub struct RateLimitPolicy {
    /// Its name in the fields and in `violated-policies`: lower-case letters, digits and `-`.
    pub name: &'static str,
    /// How many at once, and in each window.
    pub quota: NonZeroU32,
    /// The time in which a used-up quota is whole again; at least a second.
    pub window: Duration,
    /// How many times the quota all networks of one site may use together, where the address says what that is: a /48
    /// of IPv6, of which whoever rents a server gets 65,536 networks for nothing. `None` for no such limit.
    pub site_multiple: Option<NonZeroU32>,
    /// Most keys that are told apart at a time. Beyond it keys share buckets, and so may wait for each other.
    pub most_keys: usize,
}

/// Whose requests are counted together.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct RateKey(Key);

#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Everyone,
    Network(IpNet),
    NetworkAnd(IpNet, [u8; 16]),
    Shared(u64),
}

impl Key {
    /// The site that the client's network is one of.
    fn site(self) -> Option<Self> {
        match self {
            Self::Network(IpNet::V6(network)) | Self::NetworkAnd(IpNet::V6(network), _) => {
                ClientAddress::new(network.addr().into()).site().map(Self::Network)
            }
            Self::Everyone | Self::Network(IpNet::V4(_)) | Self::NetworkAnd(IpNet::V4(_), _) | Self::Shared(_) => None,
        }
    }
}

impl RateKey {
    /// One bucket for all clients together.
    pub const EVERYONE: Self = Self(Key::Everyone);

    /// The client's network: one IPv4 address or a /64 of IPv6.
    #[must_use]
    pub fn of(client: ClientAddress) -> Self {
        Self(Key::Network(client.subscriber()))
    }

    /// The wider network that the client is in: a /24 of IPv4, a /48 of IPv6.
    #[must_use]
    pub fn of_network(client: ClientAddress) -> Self {
        Self(Key::Network(client.coarse()))
    }

    /// The client's network together with something else that the request names, such as a submitted identifier. It
    /// is kept as a hash, and counts alike whether or not it exists.
    #[must_use]
    pub fn of_client_and(client: ClientAddress, more: &[u8]) -> Self {
        let mut short = [0; 16];
        short.iter_mut().zip(Sha256::digest(more)).for_each(|(to, from)| *to = from);
        Self(Key::NetworkAnd(client.subscriber(), short))
    }
}

/// The time since some start, never stepping back.
#[derive(Clone)]
pub struct MonotonicClock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl MonotonicClock {
    /// The machine's own.
    #[must_use]
    pub fn system() -> Self {
        let clock = QuantaClock::default();
        let start = clock.now();
        Self::new(move || clock.now().duration_since(start).into())
    }

    /// Any other, for tests.
    #[must_use]
    pub fn new(elapsed: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(elapsed))
    }
}

impl Clock for MonotonicClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(u64::try_from((self.0)().as_nanos()).unwrap_or(u64::MAX / 2))
    }
}

type Buckets = RateLimiter<Key, DashMapStateStore<Key>, MonotonicClock, StateInformationMiddleware>;

/// The buckets of one class.
pub struct RateLimit {
    policy: RateLimitPolicy,
    /// How long one unit takes to come back.
    unit: Duration,
    buckets: Buckets,
    sites: Option<Buckets>,
    /// Until when keys have nothing left; at most as many as there are keys.
    spent: Mutex<HashMap<Key, Duration>>,
    clock: MonotonicClock,
    hasher: RandomState,
    checks: AtomicU32,
    is_full: AtomicBool,
}

impl RateLimit {
    /// Empty buckets for `policy`.
    ///
    /// # Errors
    /// [`InvalidRateLimit`] for a name that cannot stand in the field, a window below a second or above a year, or a
    /// quota so large that a unit takes no time.
    pub fn new(policy: RateLimitPolicy, clock: MonotonicClock) -> Result<Self, InvalidRateLimit> {
        let name_fits = (1..=64).contains(&policy.name.len())
            && policy.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let window_fits = (Duration::from_secs(1)..=Duration::from_secs(366 * 86_400)).contains(&policy.window);
        let unit = policy.window / policy.quota.get();
        if !name_fits || !window_fits {
            return Err(InvalidRateLimit);
        }
        let buckets = |quota: NonZeroU32| -> Result<Buckets, InvalidRateLimit> {
            let rate = Quota::with_period(policy.window / quota.get()).ok_or(InvalidRateLimit)?.allow_burst(quota);
            Ok(RateLimiter::new(rate, DashMapStateStore::default(), clock.clone()))
        };
        let sites = policy.site_multiple.map(|multiple| buckets(policy.quota.saturating_mul(multiple))).transpose()?;
        let (buckets, spent) = (buckets(policy.quota)?, Mutex::default());
        let (checks, is_full) = (AtomicU32::new(0), AtomicBool::new(false));
        Ok(Self { policy, unit, buckets, sites, spent, clock, hasher: RandomState::new(), checks, is_full })
    }

    /// Takes one unit from the key's bucket, and one from its site's.
    ///
    /// # Errors
    /// [`Refusal`] when there is none. A refused network takes nothing from its site.
    pub fn check(&self, key: RateKey) -> Result<Allowance, Refusal> {
        let own = self.take(&self.buckets, self.bucket(key.0))?;
        let site = self.sites.as_ref().zip(key.0.site());
        let left = match site {
            Some((sites, site)) => own.min(self.take(sites, self.bucket(site))?),
            None => own,
        };
        Ok(Allowance { policy: self.policy, remaining: left, unit: self.unit })
    }

    /// Whether there is a unit, without taking one. For work that is charged by what comes of it.
    ///
    /// # Errors
    /// [`Refusal`] when there is none.
    pub fn look(&self, key: RateKey) -> Result<(), Refusal> {
        let site = self.sites.as_ref().and(key.0.site());
        let now = (self.clock.0)();
        let spent = self.spent.lock();
        let until = [Some(key.0), site].into_iter().flatten().filter_map(|key| spent.get(&self.bucket(key))).max();
        match until.map(|until| Duration::saturating_sub(*until, now)).filter(|wait| !wait.is_zero()) {
            Some(wait) => Err(Refusal { policy: self.policy, wait }),
            None => Ok(()),
        }
    }

    fn take(&self, buckets: &Buckets, key: Key) -> Result<u32, Refusal> {
        let (taken, wait) = match buckets.check_key(&key) {
            Ok(state) => {
                let left = state.remaining_burst_capacity();
                (Ok(left), (left == 0).then_some(self.unit))
            }
            Err(until) => {
                let wait = until.wait_time_from(self.clock.now());
                (Err(Refusal { policy: self.policy, wait }), Some(wait))
            }
        };
        if let Some(wait) = wait {
            let now = (self.clock.0)();
            let mut spent = self.spent.lock();
            if spent.len() >= self.policy.most_keys {
                spent.retain(|_, until| *until > now);
            }
            if spent.len() < self.policy.most_keys {
                spent.insert(key, now + wait);
            }
        }
        taken
    }

    /// Forgets keys whose quota has been whole for a while, which changes no answer. For a background task, about once a minute.
    pub fn sweep(&self) {
        for buckets in [Some(&self.buckets), self.sites.as_ref()].into_iter().flatten() {
            buckets.retain_recent();
            buckets.shrink_to_fit();
        }
        let now = (self.clock.0)();
        self.spent.lock().retain(|_, until| *until > now);
        self.count();
    }

    /// How many keys it holds; at most the policy's limit and some hundreds.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.buckets.len() + self.sites.as_ref().map_or(0, Buckets::len)
    }

    fn bucket(&self, key: Key) -> Key {
        if self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(COUNT_EVERY) {
            self.count();
        }
        if self.is_full.load(Ordering::Relaxed) && key != Key::Everyone {
            Key::Shared(self.hasher.hash_one(key) % SHARED_BUCKETS)
        } else {
            key
        }
    }

    fn count(&self) {
        if self.keys() >= self.policy.most_keys {
            self.buckets.retain_recent();
            self.sites.iter().for_each(Buckets::retain_recent);
        }
        self.is_full.store(self.keys() >= self.policy.most_keys, Ordering::Relaxed);
    }
}

/// The request may go on.
#[derive(Copy, Clone, Debug)]
pub struct Allowance {
    policy: RateLimitPolicy,
    remaining: u32,
    unit: Duration,
}

impl Allowance {
    /// How many more the key may make at once.
    #[must_use]
    pub const fn remaining(&self) -> u32 {
        self.remaining
    }

    /// Adds `RateLimit` and `RateLimit-Policy` to a response; `t` is the time until at least one more unit is back.
    pub fn write(&self, headers: &mut HeaderMap) {
        write(headers, self.policy, self.remaining, ceil_seconds(self.unit));
    }
}

/// The request may not go on.
#[derive(Copy, Clone, Debug)]
pub struct Refusal {
    policy: RateLimitPolicy,
    wait: Duration,
}

impl Refusal {
    /// How long to wait.
    #[must_use]
    pub const fn wait(&self) -> Duration {
        self.wait
    }
}

impl From<Refusal> for ApiError {
    /// 429 with `Retry-After`, the two fields and the violated policy.
    fn from(refusal: Refusal) -> Self {
        let seconds = ceil_seconds(refusal.wait).max(1);
        let mut fields = HeaderMap::new();
        write(&mut fields, refusal.policy, 0, seconds);
        let error = Self::new(ErrorCode::RateLimited)
            .with_details(json!({ "violated-policies": [refusal.policy.name], "retry_after_seconds": seconds }))
            .with_retry_after(refusal.wait);
        fields.into_iter().fold(error, |error, (name, value)| match name {
            Some(name) => error.with_header(name, value),
            None => error,
        })
    }
}

fn write(headers: &mut HeaderMap, policy: RateLimitPolicy, remaining: u32, seconds: u64) {
    let RateLimitPolicy { name, quota, window, site_multiple: _, most_keys: _ } = policy;
    let state = format!("\"{name}\";r={remaining};t={seconds}");
    let rule = format!("\"{name}\";q={quota};w={}", ceil_seconds(window));
    for (field, text) in [(RATE_LIMIT, state), (RATE_LIMIT_POLICY, rule)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.append(field, value);
        }
    }
}

/// Counts the request against its client's network; for `axum::middleware::from_fn_with_state`, inside
/// the [general layers](super::stack). Requests without a known client share one bucket.
pub async fn rate_limit(State(limit): State<Arc<RateLimit>>, request: Request, next: Next) -> Response {
    let key = request.extensions().get::<ClientAddress>().map_or(RateKey::EVERYONE, |client| RateKey::of(*client));
    match limit.check(key) {
        Ok(allowance) => {
            let mut response = next.run(request).await;
            allowance.write(response.headers_mut());
            response
        }
        Err(refusal) => ApiError::from(refusal).into_response(),
    }
}

/// The policy makes no sense.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate limit has a name of letters, digits and -, a window from a second to a year and a sensible quota")]
pub struct InvalidRateLimit;
