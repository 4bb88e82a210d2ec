//! Numbers about the process, in a registry of its own for every server, written as OpenMetrics text.
//!
//! Labels hold our own words and the patterns of our own routes, never anything that a client sends, so a client can
//! neither make series nor put a secret into one (A80).

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;
use wayleave::cluster::ClusterStatus;
use wayleave_password::Load;

#[cfg(test)]
mod tests;

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of request durations, in seconds: from a validation in memory to a password hash that had to wait.
const DURATIONS: [f64; 12] = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Counts what happens. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Metrics(Arc<Series>);

struct Series {
    registry: Registry,
    started: Instant,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    session_events: Family<EventLabels, Counter>,
    logins: Family<LoginLabels, Counter>,
    vaults: Family<VaultLabels, Counter>,
    blob_bytes: Family<BlobLabels, Counter>,
    read: ReadSeries,
}

/// What is read from elsewhere when somebody asks.
#[derive(Default)]
struct ReadSeries {
    uptime: Gauge,
    warm_sessions: Gauge,
    pending_touches: Gauge,
    audit_dropped: Counter,
    password_admitted: Gauge,
    password_running: Gauge,
    password_hashes: Counter,
    password_turned_away: Counter,
    bus_leased: Gauge,
    bus_audible: Gauge,
    bus_peers: Gauge,
    bus_published: Counter,
    bus_heard: Counter,
    bus_gaps: Counter,
    bus_lost: Counter,
    bus_foreign: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    event: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoginLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VaultLabels {
    event: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BlobLabels {
    direction: &'static str,
}

/// How things stand at the moment of [`Metrics::render`].
#[derive(Copy, Clone, Debug)]
pub struct Readings {
    /// Sessions that are warm in memory.
    pub warm_sessions: usize,
    /// Activity that waits to be written down.
    pub pending_touches: usize,
    /// Audit entries that did not fit the queue so far.
    pub audit_dropped: u64,
    /// How busy password hashing is.
    pub password: Load,
    /// How this server stands among others on its store, if there may be some.
    pub cluster: Option<ClusterStatus>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero, from now on.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("wayleave");
        let requests = Family::default();
        registry.register("http_requests", "Requests answered, by route and class of status", requests.clone());
        let histogram: fn() -> Histogram = || Histogram::new(DURATIONS);
        let durations = Family::new_with_constructor(histogram);
        registry.register_with_unit(
            "http_request_duration",
            "From the first look at a request to the beginning of its answer",
            Unit::Seconds,
            durations.clone(),
        );
        let session_events = Family::default();
        registry.register("session_events", "What happened to sessions, and why", session_events.clone());
        let logins = Family::default();
        registry.register("logins", "Sign-ins by password: success, refused, locked, turned_away", logins.clone());
        let vaults = Family::default();
        registry.register("vaults", "Vaults of sessions: opened, locked, refused", vaults.clone());
        let blob_bytes = Family::default();
        registry.register_with_unit("blobs", "What went in and out of vaults", Unit::Bytes, blob_bytes.clone());
        let read = ReadSeries::default();
        read.register(&mut registry);
        let started = Instant::now();
        Self(Arc::new(Series {
            registry,
            started,
            requests,
            durations,
            session_events,
            logins,
            vaults,
            blob_bytes,
            read,
        }))
    }

    /// Counts something that happened to a session; `reason` is empty where there is none.
    pub fn session_event(&self, event: &'static str, reason: &'static str) {
        self.0.session_events.get_or_create(&EventLabels { event, reason }).inc();
    }

    /// Counts a sign-in by password: `success`, `refused`, `locked` or `turned_away`.
    pub fn login(&self, outcome: &'static str) {
        self.0.logins.get_or_create(&LoginLabels { outcome }).inc();
    }

    /// Counts what happened to the vault of a session: `opened`, `locked` or `refused`.
    pub fn vault(&self, event: &'static str) {
        self.0.vaults.get_or_create(&VaultLabels { event }).inc();
    }

    /// Counts bytes of blobs that went `in` or `out`.
    pub fn blob_bytes(&self, direction: &'static str, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.0.blob_bytes.get_or_create(&BlobLabels { direction }).inc_by(bytes);
    }

    /// Whole seconds since the process began to count.
    #[must_use]
    pub fn uptime_seconds(&self) -> u64 {
        self.0.started.elapsed().as_secs()
    }

    /// Everything as text, with what is read now.
    #[must_use]
    pub fn render(&self, readings: Readings) -> String {
        self.0.read.set(readings, self.uptime_seconds());
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.0.registry) {
            tracing::error!(%error, "the metrics cannot be written");
        }
        text
    }

    /// The series of a route of this pattern.
    pub(crate) fn route(&self, pattern: String) -> RouteSeries {
        RouteSeries(METHODS.map(|method| MethodSeries {
            metrics: self.clone(),
            labels: RouteLabels { method, route: pattern.clone() },
            durations: OnceLock::new(),
            requests: Default::default(),
        }))
    }
}

impl ReadSeries {
    fn register(&self, registry: &mut Registry) {
        let Self {
            uptime,
            warm_sessions,
            pending_touches,
            audit_dropped,
            password_admitted,
            password_running,
            password_hashes,
            password_turned_away,
            bus_leased,
            bus_audible,
            bus_peers,
            bus_published,
            bus_heard,
            bus_gaps,
            bus_lost,
            bus_foreign,
        } = self;
        registry.register_with_unit("uptime", "Since the process began to count", Unit::Seconds, uptime.clone());
        for (name, help, gauge) in [
            ("sessions_warm", "Sessions kept in memory", warm_sessions),
            ("touches_pending", "Activity that waits to be written down", pending_touches),
            ("password_admitted", "Password checks at work or waiting", password_admitted),
            ("password_running", "Password checks at work", password_running),
            ("bus_leased", "Whether memory answers; 0 while the other servers cannot be heard", bus_leased),
            (
                "bus_audible",
                "Whether the other servers can be told of changes; nothing is changed while it is 0",
                bus_audible,
            ),
            ("bus_peers", "Other servers on the same store", bus_peers),
        ] {
            registry.register(name, help, gauge.clone());
        }
        for (name, help, counter) in [
            ("audit_dropped", "Audit entries that did not fit the queue", audit_dropped),
            ("password_hashes", "Passwords hashed or compared", password_hashes),
            ("password_turned_away", "Password checks refused because too many wait", password_turned_away),
            ("bus_published", "Messages to the other servers", bus_published),
            ("bus_heard", "Messages of the other servers", bus_heard),
            ("bus_gaps", "Messages of others that were missed, and everything in memory dropped for it", bus_gaps),
            ("bus_lost", "Lost connections to the bus", bus_lost),
            ("bus_foreign", "Messages on the bus that are not of this deployment and version", bus_foreign),
        ] {
            registry.register(name, help, counter.clone());
        }
    }

    fn set(&self, readings: Readings, uptime_seconds: u64) {
        let Readings { warm_sessions, pending_touches, audit_dropped, password, cluster } = readings;
        let node = cluster.unwrap_or_default();
        let Load { admitted, running, hashes, turned_away } = password;
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        for (gauge, value) in [
            (&self.uptime, uptime_seconds),
            (&self.warm_sessions, count(warm_sessions)),
            (&self.pending_touches, count(pending_touches)),
            (&self.password_admitted, admitted),
            (&self.password_running, running),
            (&self.bus_leased, u64::from(node.leased)),
            (&self.bus_audible, u64::from(node.audible)),
            (&self.bus_peers, count(node.peers)),
        ] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        for (counter, value) in [
            (&self.audit_dropped, audit_dropped),
            (&self.password_hashes, hashes),
            (&self.password_turned_away, turned_away),
            (&self.bus_published, node.counts.published),
            (&self.bus_heard, node.counts.heard),
            (&self.bus_gaps, node.counts.gaps),
            (&self.bus_lost, node.counts.lost),
            (&self.bus_foreign, node.counts.foreign),
        ] {
            // Two who ask at once may come in any order, and a counter never falls.
            counter.inner().fetch_max(value, Ordering::Relaxed);
        }
    }
}

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];

/// The series of one route. A series is looked for when it first counts, and then at hand.
pub(crate) struct RouteSeries([MethodSeries; METHODS.len()]);

/// The series of one route and method.
pub(crate) struct MethodSeries {
    metrics: Metrics,
    labels: RouteLabels,
    durations: OnceLock<Histogram>,
    /// By class of status: 1xx to 5xx, and any other.
    requests: [OnceLock<Counter>; 6],
}

impl RouteSeries {
    /// Those of requests with `method`.
    pub(crate) fn method(&self, method: &Method) -> &MethodSeries {
        let Self([known @ .., other]) = self;
        known.iter().find(|series| series.labels.method == method.as_str()).unwrap_or(other)
    }
}

impl MethodSeries {
    /// Counts a request and how long it took.
    pub(crate) fn count(&self, status: StatusCode, started: Instant) {
        let RouteLabels { method, route } = &self.labels;
        let series = &self.metrics.0;
        let durations = self.durations.get_or_init(|| series.durations.get_or_create_owned(&self.labels));
        durations.observe(started.elapsed().as_secs_f64());
        let [classes @ .., other] = &self.requests;
        let place = usize::from(status.as_u16() / 100).checked_sub(1);
        let requests = place.and_then(|place| classes.get(place)).unwrap_or(other);
        let counter = requests.get_or_init(|| {
            let labels = RequestLabels { method, route: route.clone(), status: class(status) };
            series.requests.get_or_create_owned(&labels)
        });
        counter.inc();
    }
}

const fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "other",
    }
}
