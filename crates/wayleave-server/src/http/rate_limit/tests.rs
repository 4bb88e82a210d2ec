//! Buckets under a clock of the test's own.

use std::sync::atomic::AtomicU64;

use http::header::RETRY_AFTER;

use super::*;

struct Setup {
    limit: RateLimit,
    millis: Arc<AtomicU64>,
}

fn setup(quota: u32, seconds: u64, most_keys: usize) -> Setup {
    let millis = Arc::new(AtomicU64::new(1_000_000));
    let clock = {
        let millis = Arc::clone(&millis);
        MonotonicClock::new(move || Duration::from_millis(millis.load(Ordering::Relaxed)))
    };
    let quota = NonZeroU32::new(quota).unwrap();
    let policy = RateLimitPolicy {
        name: "login",
        quota,
        window: Duration::from_secs(seconds),
        site_multiple: NonZeroU32::new(4),
        most_keys,
    };
    Setup { limit: RateLimit::new(policy, clock).unwrap(), millis }
}

impl RateLimit {
    /// So many, of which none ever comes back.
    pub(crate) fn still(quota: u32) -> Arc<Self> {
        let policy = RateLimitPolicy {
            name: "still",
            quota: NonZeroU32::new(quota).unwrap(),
            window: Duration::from_secs(3600),
            site_multiple: None,
            most_keys: 100,
        };
        Arc::new(Self::new(policy, MonotonicClock::new(|| Duration::ZERO)).unwrap())
    }
}

fn client(text: &str) -> ClientAddress {
    ClientAddress::new(text.parse().unwrap())
}

fn key(text: &str) -> RateKey {
    RateKey::of(client(text))
}

/// R104: five in a minute, then one more every twelve seconds, told in the fields.
#[test]
fn the_quota_is_spent_and_comes_back() {
    let Setup { limit, millis } = setup(5, 60, 1000);
    for left in (0..5).rev() {
        let allowance = limit.check(key("192.0.2.1")).unwrap();
        assert_eq!(allowance.remaining(), left);
        let mut headers = HeaderMap::new();
        allowance.write(&mut headers);
        assert_eq!(headers["ratelimit"], format!("\"login\";r={left};t=12"));
        assert_eq!(headers["ratelimit-policy"], "\"login\";q=5;w=60");
    }
    millis.fetch_add(500, Ordering::Relaxed);
    let refusal = limit.check(key("192.0.2.1")).unwrap_err();
    assert_eq!(refusal.wait(), Duration::from_millis(11_500));
    millis.fetch_add(11_500, Ordering::Relaxed);
    assert!(limit.check(key("192.0.2.1")).is_ok());
    assert!(limit.check(key("192.0.2.1")).is_err());
    millis.fetch_add(60_000, Ordering::Relaxed);
    assert_eq!(limit.check(key("192.0.2.1")).unwrap().remaining(), 4);
}

/// R104: the refusal is a 429 whose Retry-After is not earlier than `t`, with the registered problem type.
#[test]
fn a_refusal_has_the_standard_fields() {
    let Setup { limit, .. } = setup(1, 30, 1000);
    assert!(limit.check(key("192.0.2.1")).is_ok());
    let error = ApiError::from(limit.check(key("192.0.2.1")).unwrap_err());
    assert_eq!(error.status(), http::StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(error.headers()[RETRY_AFTER], "30");
    assert_eq!(error.headers()["ratelimit"], "\"login\";r=0;t=30");
    assert_eq!(error.headers()["ratelimit-policy"], "\"login\";q=1;w=30");
    let problem = error.problem_body(None);
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(problem["violated-policies"], json!(["login"]));
}

/// R100, R028: a /64 of IPv6 is one client, an IPv4 address is one client, others are not touched.
#[test]
fn clients_are_told_apart_by_network() {
    let Setup { limit, .. } = setup(1, 60, 1000);
    assert!(limit.check(key("2001:db8:0:1::1")).is_ok());
    assert!(limit.check(key("2001:db8:0:1:ffff::2")).is_err());
    assert!(limit.check(key("2001:db8:0:2::1")).is_ok());
    assert!(limit.check(key("192.0.2.1")).is_ok());
    assert!(limit.check(key("192.0.2.2")).is_ok());
    assert!(limit.check(RateKey::of_client_and(client("192.0.2.1"), b"ann@example.com")).is_ok());
    assert!(limit.check(RateKey::of_client_and(client("192.0.2.1"), b"bob@example.com")).is_ok());
    assert!(limit.check(RateKey::of_client_and(client("192.0.2.1"), b"ann@example.com")).is_err());
    assert!(limit.check(RateKey::EVERYONE).is_ok());
    assert!(limit.check(RateKey::EVERYONE).is_err());
}

/// A11: a flood of addresses fills a bounded number of buckets and is still limited; whole ones are forgotten.
#[test]
fn the_number_of_keys_is_bounded() {
    let Setup { limit, millis } = setup(1, 60, 500);
    let mut allowed = 0;
    for n in 0..20_000_u32 {
        let address = std::net::Ipv4Addr::from(0x0b00_0000 + n);
        allowed += u32::from(limit.check(RateKey::of(ClientAddress::new(address.into()))).is_ok());
    }
    let bound = 500 + 256 + 1024;
    assert!(limit.keys() <= bound, "{}", limit.keys());
    assert!(allowed as usize <= bound, "{allowed}");
    millis.fetch_add(121_000, Ordering::Relaxed);
    limit.sweep();
    assert_eq!(limit.keys(), 0);
    assert!(limit.check(key("192.0.2.1")).is_ok());
    assert!(limit.check(key("192.0.2.2")).is_ok());
}

/// A sweep never gives anybody a fresh quota.
#[test]
fn a_sweep_changes_no_answer() {
    let Setup { limit, .. } = setup(1, 60, 1000);
    assert!(limit.check(key("192.0.2.1")).is_ok());
    limit.sweep();
    assert!(limit.check(key("192.0.2.1")).is_err());
}

#[test]
fn senseless_policies_are_refused() {
    let clock = MonotonicClock::system();
    let good = RateLimitPolicy {
        name: "login",
        quota: NonZeroU32::MIN,
        window: Duration::from_secs(1),
        site_multiple: None,
        most_keys: 10,
    };
    assert!(RateLimit::new(good, clock.clone()).is_ok());
    for bad in [
        RateLimitPolicy { name: "", ..good },
        RateLimitPolicy { name: "a\"b", ..good },
        RateLimitPolicy { window: Duration::from_millis(999), ..good },
        RateLimitPolicy { window: Duration::MAX, ..good },
        RateLimitPolicy { quota: NonZeroU32::MAX, ..good },
    ] {
        assert!(RateLimit::new(bad, clock.clone()).is_err(), "{bad:?}");
    }
}

/// R100: the networks of one /48 of IPv6 share a larger limit; one that is over its own takes nothing from it, and other
/// sites are not touched.
#[test]
fn sites_have_a_limit_of_their_own() {
    let Setup { limit, millis } = setup(2, 60, 1000);
    let network = |site: u32, number: u32| key(&format!("2001:db8:{site:x}:{number:x}::1"));
    for _ in 0..50 {
        let _ = limit.check(network(1, 0));
    }
    for number in 1..=3 {
        assert_eq!(limit.check(network(1, number)).unwrap().remaining(), 1, "{number}");
        assert!(limit.check(network(1, number)).is_ok(), "{number}");
        assert!(limit.look(network(1, number)).is_err());
    }
    for number in 4..100 {
        let refused = limit.check(network(1, number)).unwrap_err();
        assert!(limit.look(network(1, number)).is_err());
        assert_eq!(refused.wait(), Duration::from_millis(7500));
    }
    assert!(limit.check(network(2, 1)).is_ok());
    millis.fetch_add(7500, Ordering::Relaxed);
    assert!(limit.look(network(1, 100)).is_ok());
    assert!(limit.check(network(1, 100)).is_ok());
    assert!(limit.check(network(1, 101)).is_err());
}

/// A11: looking takes nothing and says what the next check would.
#[test]
fn looking_takes_nothing() {
    let Setup { limit, millis } = setup(2, 60, 1000);
    for _ in 0..2 {
        for _ in 0..10 {
            assert!(limit.look(key("192.0.2.1")).is_ok());
        }
        assert!(limit.check(key("192.0.2.1")).is_ok());
    }
    assert_eq!(limit.look(key("192.0.2.1")).unwrap_err().wait(), Duration::from_secs(30));
    assert!(limit.look(key("192.0.2.2")).is_ok());
    assert!(limit.look(RateKey::EVERYONE).is_ok());
    millis.fetch_add(29_999, Ordering::Relaxed);
    assert!(limit.look(key("192.0.2.1")).is_err() && limit.check(key("192.0.2.1")).is_err());
    millis.fetch_add(1, Ordering::Relaxed);
    assert!(limit.look(key("192.0.2.1")).is_ok() && limit.check(key("192.0.2.1")).is_ok());
    limit.sweep();
    assert!(limit.look(key("192.0.2.1")).is_err());
}
