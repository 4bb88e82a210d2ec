//! How a store is opened.

use std::sync::Arc;
use std::time::Duration;

use wayleave_core::ports::Entropy;
use wayleave_core::routing::RoutingKey;
use wayleave_core::seal::KeyRing;

/// Where the servers are. Addresses are URLs: `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS,
/// `redis+unix:///path`.
#[derive(Clone)]
pub enum Servers {
    /// One server.
    Single(Box<str>),
    /// A Redis Cluster, by some of its nodes; the others are learned from those. User, password and TLS are the first
    /// one's, for all of them. There are no databases in a Cluster.
    Cluster(Box<[Box<str>]>),
}

impl Servers {
    /// One server.
    #[must_use]
    pub fn single(url: impl Into<Box<str>>) -> Self {
        Self::Single(url.into())
    }

    /// A Redis Cluster, by some of its nodes.
    #[must_use]
    pub fn cluster<U: Into<Box<str>>>(urls: impl IntoIterator<Item = U>) -> Self {
        Self::Cluster(urls.into_iter().map(Into::into).collect())
    }
}

/// What has become of a write when its port returns. What a server writes to its disk is the server's setting
/// (`appendfsync`).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum Replication {
    /// The master has it. For servers without replicas; with them, a failover may undo the latest writes, and a session
    /// that was ended then can come back.
    #[default]
    Unacknowledged,
    /// The master and at least one of its replicas have it; a write that no replica acknowledged in time is an error,
    /// although it may have been made. Masters have to have `min-replicas-to-write` set.
    ///
    /// Replication stays asynchronous: a failover that promotes a replica which had not acknowledged the write undoes
    /// it. Redis promotes the one that is furthest ahead, as far as it knows.
    OneReplica {
        /// How long to wait for it.
        within: Duration,
    },
}

/// Certificates for `rediss://`, in PEM.
#[derive(Clone, Default)]
pub struct Tls {
    /// The authority to trust; `None` trusts those of the system.
    pub root: Option<Vec<u8>>,
    /// What this side shows: certificate and key.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

/// How to open a [`crate::RedisStore`].
#[derive(Clone)]
pub struct Options {
    /// The servers.
    pub servers: Servers,
    /// Certificates, where the system's do not do.
    pub tls: Tls,
    /// Seals session data and ticket payloads.
    pub sealing: Arc<KeyRing>,
    /// For the salts of sealing.
    pub entropy: Arc<dyn Entropy>,
    /// The deployment's key of slots: it tells where a record is that is to be replaced.
    pub routing: Arc<RoutingKey>,
    /// What every key begins with: 1 to 64 of `a-z A-Z 0-9 - _ . :`.
    pub prefix: Box<str>,
    /// What an acknowledged write survives.
    pub replication: Replication,
    /// How many connections to each master at most, at least 1; as many again for reads where writes wait for a replica.
    /// The bus has its own: at most two for publishing, and one for each listener.
    pub connections: u32,
    /// How many operations may be on their way at once; one more waits for `timeout` and fails as unavailable then.
    pub most_in_flight: u32,
    /// How long an operation waits for its turn, for a connection, and for the answer, before it fails as unavailable.
    pub timeout: Duration,
    /// How long a record stays after its absolute end when nobody sweeps. It counts by the server's clock and is to be
    /// longer than sweeps leave ended records.
    pub kept_after_end: Duration,
}

impl Options {
    /// The defaults: keys begin with `wl`, no acknowledgement by replicas, 4 connections, 1024 operations at once, 5
    /// seconds, 90 days after the end.
    #[must_use]
    pub fn new(servers: Servers, sealing: Arc<KeyRing>, routing: Arc<RoutingKey>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            servers,
            tls: Tls::default(),
            sealing,
            entropy,
            routing,
            prefix: "wl".into(),
            replication: Replication::default(),
            connections: 4,
            most_in_flight: 1024,
            timeout: Duration::from_secs(5),
            kept_after_end: Duration::from_secs(90 * 86_400),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Addresses hold passwords.
        let Self {
            servers: _,
            tls: _,
            sealing: _,
            entropy: _,
            routing: _,
            prefix,
            replication,
            connections,
            most_in_flight,
            timeout,
            kept_after_end,
        } = self;
        f.debug_struct("Options")
            .field("prefix", prefix)
            .field("replication", replication)
            .field("connections", connections)
            .field("most_in_flight", most_in_flight)
            .field("timeout", timeout)
            .field("kept_after_end", kept_after_end)
            .finish_non_exhaustive()
    }
}

/// The prefix is empty, too long, or has a character that keys may not begin with.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a prefix of keys has 1 to 64 letters, digits, hyphens, underscores, full stops and colons")]
pub struct InvalidPrefix;
