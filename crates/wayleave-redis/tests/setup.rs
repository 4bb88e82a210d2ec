//! Which servers are taken, and which are refused with what reason.

use std::process::Command;

use tempfile::TempDir;
use wayleave_conformance::fixtures::{BASE, by_id, record};
use wayleave_core::ports::{Bus as _, SessionStore, StoreError};
use wayleave_redis::{OpenError, Options, RedisStore, Replication, Servers, Tls, Unfit};
use wayleave_testkit::servers::redis::{Redis, RedisCluster};

use crate::{cluster_options, options};

async fn refusal(options: Options) -> Unfit {
    match RedisStore::open(options).await {
        Err(OpenError::Unfit(unfit)) => unfit,
        other => panic!("{other:?}"),
    }
}

/// A server that drops keys when it is full may drop a spent refresh token, or the mark of a taken ticket.
#[tokio::test]
async fn a_server_that_evicts_is_refused() {
    for policy in ["allkeys-lru", "volatile-lru", "volatile-ttl"] {
        let server = Redis::private(&["--maxmemory-policy", policy]).unwrap();
        let unfit = refusal(options(Servers::single(server.url()))).await;
        assert_eq!(unfit, Unfit::Evicts { policy: policy.into() });
        assert!(unfit.to_string().contains("noeviction"));
    }
}

/// Also when it comes to evict later: the next connection is the last.
#[tokio::test]
async fn a_server_that_comes_to_evict_is_given_up() {
    let server = Redis::private(&[]).unwrap();
    let store = RedisStore::open(options(Servers::single(server.url()))).await.unwrap();
    server.node().cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).unwrap();
    server.node().cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
    let mut refused = 0;
    for _ in 0..20 {
        match store.ping().await {
            Err(StoreError::Unavailable(_)) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 20);
}

#[tokio::test]
async fn a_replica_is_refused() {
    let master = Redis::private(&[]).unwrap();
    let replica = Redis::replica_of(master.node()).unwrap();
    assert_eq!(refusal(options(Servers::single(replica.url()))).await, Unfit::Replica);
}

/// Where a replica is to acknowledge writes, no master may take them without any.
#[tokio::test]
async fn a_master_that_writes_alone_is_refused() {
    let server = Redis::private(&[]).unwrap();
    let replication = Replication::OneReplica { within: std::time::Duration::from_millis(200) };
    let with = || Options { replication, ..options(Servers::single(server.url())) };
    assert_eq!(refusal(with()).await, Unfit::WritesAlone);
    server.node().cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]).unwrap();
    // Now it is the writes that are refused, as long as there is no replica.
    let store = RedisStore::open(with()).await.unwrap();
    let refused = store.insert(&record(1).build(), None, None, BASE).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.publish(b"x").await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.find(by_id(&record(1).build())).await, Ok(None)));
}

/// A write that no replica acknowledged is an error, although the master has it.
#[tokio::test]
async fn a_write_that_is_not_acknowledged_is_an_error() {
    let master = Redis::private(&["--min-replicas-to-write", "1"]).unwrap();
    let replica = Redis::replica_of(master.node()).unwrap();
    let replication = Replication::OneReplica { within: std::time::Duration::from_secs(1) };
    let store = RedisStore::open(Options { replication, ..options(Servers::single(master.url())) }).await.unwrap();
    let (first, second) = (record(1).build(), record(2).build());
    let _ = store.insert(&first, None, None, BASE).await.unwrap();
    replica.node().freeze().unwrap();
    let refused = store.insert(&second, None, None, BASE).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let scope = wayleave_core::ports::Scope::One(first.slot, first.id);
    // Nor does asking again make it so: what is done already is not acknowledged by that.
    for _ in 0..2 {
        let refused = store.revoke(&scope).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
    replica.node().thaw().unwrap();
    assert_eq!(store.revoke(&scope).await.unwrap(), []);
    assert!(store.find(by_id(&second)).await.unwrap().is_some());
}

#[tokio::test]
async fn one_server_and_a_cluster_are_told_apart() {
    let cluster = RedisCluster::shared().unwrap();
    let single = Redis::shared().unwrap();
    assert_eq!(refusal(options(Servers::single(cluster.nodes()[0].url()))).await, Unfit::ClusterNode);
    assert_eq!(refusal(options(Servers::cluster([single.url()]))).await, Unfit::NoClusterNode);
}

/// One reachable node is enough to find the others, a replica as well as a master.
#[tokio::test]
async fn one_node_of_a_cluster_leads_to_all() {
    let cluster = RedisCluster::shared().unwrap();
    let unreachable = "redis://127.0.0.1:1".to_owned();
    for node in [&cluster.nodes()[2], &cluster.nodes()[5]] {
        let urls = [unreachable.clone(), node.url()];
        // User and password are the first one's.
        let urls = urls
            .map(|url| url.replace("redis://127", &node.url().replace(&format!("127.0.0.1:{}", node.port()), "127")));
        let store = RedisStore::open(Options { servers: Servers::cluster(urls), ..cluster_options(&cluster) }).await;
        store.unwrap().ping().await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    for url in ["", "http://localhost", "redis://", "localhost:6379", "rediss://localhost:1/#insecure"] {
        let opened = RedisStore::open(options(Servers::single(url))).await;
        assert!(matches!(opened, Err(OpenError::Address(_) | OpenError::Store(_))), "{url}: {opened:?}");
    }
    assert!(matches!(RedisStore::open(options(Servers::cluster::<&str>([]))).await, Err(OpenError::NoAddress)));
    let server = Redis::shared().unwrap();
    let braced = Options { prefix: "a{b}".into(), ..options(Servers::single(server.url())) };
    assert!(matches!(RedisStore::open(braced).await, Err(OpenError::Prefix(_))));
    let stranger = options(Servers::single(format!("redis://127.0.0.1:{}", server.node().port())));
    let opened = RedisStore::open(stranger).await;
    assert!(matches!(opened, Err(OpenError::Store(StoreError::Unavailable(_)))), "{opened:?}");
}

/// Nothing of what is shown of options has the password, or a key.
#[test]
fn options_show_no_secret() {
    let shown = format!("{:?}", options(Servers::single("redis://:canary@127.0.0.1")));
    assert!(!shown.contains("canary"), "{shown}");
}

/// The rights that docs/stores.md names are enough, and the user cannot read anybody else's keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_needs_few_rights() {
    let server = Redis::private(&[]).unwrap();
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/stores.md")).unwrap();
    let rights = page.lines().find_map(|line| line.trim().strip_prefix("ACL SETUSER wayleave on >password ")).unwrap();
    let words: Vec<_> =
        ["ACL", "SETUSER", "wayleave", "on", ">password"].into_iter().chain(rights.split(' ')).collect();
    server.node().cli(&words).unwrap();
    let url = format!("redis://wayleave:password@127.0.0.1:{}", server.node().port());
    let with = |prefix: &str| Options { prefix: prefix.into(), ..options(Servers::single(url.clone())) };
    let store = RedisStore::open(with("wl")).await.unwrap();
    crate::round_trips::every_operation(&store, |_, _| ()).await;
    let mut listener = store.listen().await.unwrap();
    store.publish(b"heard").await.unwrap();
    assert_eq!(*listener.next().await.unwrap(), *b"heard");
    let other = RedisStore::open(with("other")).await.unwrap();
    assert!(matches!(other.ping().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(other.find(by_id(&record(1).build())).await, Err(StoreError::Unavailable(_))));
}

/// A certificate for 127.0.0.1 that is its own authority, and its key.
fn certificate(folder: &TempDir) -> (String, String) {
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("certificate.pem"), path("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=wayleave-test", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", &key, "-out", &certificate])
        .output()
        .expect("openssl, of Debian's package openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}

/// TLS: with the server's own authority it works, also for the bus; without, nobody is trusted.
#[tokio::test]
async fn tls_trusts_the_given_authority_alone() {
    let folder = TempDir::new().unwrap();
    let (certificate, key) = certificate(&folder);
    let port = wayleave_testkit::servers::free_port().unwrap();
    let settings = ["--tls-port", &port.to_string(), "--tls-cert-file", &certificate, "--tls-key-file", &key];
    let ours = ["--tls-ca-cert-file", &certificate];
    let server = Redis::private(&[&settings[..], &ours].concat()).unwrap();
    let url = server.node().url_by(port).replace("redis://", "rediss://");
    let with = |tls| Options { tls, ..options(Servers::single(url.clone())) };
    let root = Some(std::fs::read(&certificate).unwrap());
    let client = root.clone().map(|shown| (shown, std::fs::read(&key).unwrap()));
    for tls in [Tls::default(), Tls { root: None, client: client.clone() }, Tls { root: root.clone(), client: None }] {
        let opened = RedisStore::open(with(tls)).await;
        assert!(matches!(opened, Err(OpenError::Store(StoreError::Unavailable(_)))), "{opened:?}");
    }
    let store = RedisStore::open(with(Tls { root, client })).await.unwrap();
    let mut listener = store.listen().await.unwrap();
    store.publish(b"sealed on its way").await.unwrap();
    assert_eq!(*listener.next().await.unwrap(), *b"sealed on its way");
}
