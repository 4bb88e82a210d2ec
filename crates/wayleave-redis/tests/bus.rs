//! The bus: the published suite, and losses that only Redis knows.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use wayleave_conformance::bus::Nodes;
use wayleave_core::ports::{Bus, Listener, MAX_BUS_MESSAGE, StoreError};
use wayleave_redis::{Options, RedisStore, Servers};
use wayleave_testkit::servers::redis::{Redis, RedisCluster};

use crate::{cluster_options, options, raw};

/// Two stores of one deployment, whose listeners are cut off by their name.
async fn nodes(options: Options, urls: Vec<String>) -> Nodes {
    let name = options.prefix.clone();
    let one: Arc<dyn Bus> = Arc::new(RedisStore::open(options.clone()).await.unwrap());
    let two: Arc<dyn Bus> = Arc::new(RedisStore::open(options).await.unwrap());
    let cut = move || -> wayleave_conformance::Running<()> {
        let (urls, name) = (urls.clone(), format!(" name={name} "));
        Box::pin(async move {
            for url in urls {
                let mut connection = raw(&url).await;
                let mut list = redis::cmd("CLIENT");
                let list: String =
                    list.arg("LIST").arg("TYPE").arg("pubsub").query_async(&mut connection).await.unwrap();
                for client in list.lines().filter(|client| client.contains(&name)) {
                    let id = client.split(' ').find_map(|word| word.strip_prefix("id=")).unwrap();
                    let mut kill = redis::cmd("CLIENT");
                    let () = kill.arg("KILL").arg("ID").arg(id).query_async(&mut connection).await.unwrap();
                }
            }
        })
    };
    Nodes { nodes: [one, two], cut: Arc::new(cut) }
}

mod on_one_server {
    use super::*;

    async fn fresh() -> (Nodes, Redis) {
        let server = Redis::shared().unwrap();
        (nodes(options(Servers::single(server.url())), vec![server.url()]).await, server)
    }

    wayleave_conformance::bus_suite!(fresh);
}

mod in_a_cluster {
    use super::*;

    async fn fresh() -> (Nodes, RedisCluster) {
        let cluster = RedisCluster::shared().unwrap();
        (nodes(cluster_options(&cluster), cluster.urls()).await, cluster)
    }

    wayleave_conformance::bus_suite!(fresh);
}

async fn assert_lost(listener: &mut Box<dyn Listener>, within: Duration) {
    let told = timeout(within, listener.next()).await.expect("the loss was not told in time");
    assert!(matches!(told, Err(StoreError::Unavailable(_))), "{told:?}");
}

/// A server that hangs, or a network that swallows everything, closes no connection.
#[tokio::test]
async fn a_server_that_hangs_is_noticed() {
    let server = Redis::private(&[]).unwrap();
    let options = Options { timeout: Duration::from_millis(500), ..options(Servers::single(server.url())) };
    let store = RedisStore::open(options).await.unwrap();
    let mut listener = store.listen().await.unwrap();
    server.node().freeze().unwrap();
    assert_lost(&mut listener, Duration::from_secs(10)).await;
    server.node().thaw().unwrap();
    assert_lost(&mut listener, Duration::from_secs(10)).await;
}

/// A listener that does not keep up is told so, and costs no more memory than that: not for many messages, and not for
/// large ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_does_not_keep_up_is_told() {
    for (messages, message, most) in
        [(2_200, &b"much"[..], 17_000), (400, &[7; MAX_BUS_MESSAGE], (16 << 20) / MAX_BUS_MESSAGE)]
    {
        let server = Redis::private(&[]).unwrap();
        let store = Arc::new(RedisStore::open(options(Servers::single(server.url()))).await.unwrap());
        let mut listener = store.listen().await.unwrap();
        let publishers: Vec<_> = (0..8)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    for _ in 0..messages {
                        store.publish(message).await.unwrap();
                    }
                })
            })
            .collect();
        for publisher in publishers {
            publisher.await.unwrap();
        }
        // The last of them may still be on its way to the listener.
        let mut heard = 0;
        let told = loop {
            match timeout(Duration::from_secs(10), listener.next()).await.expect("neither message nor loss") {
                Ok(_) => heard += 1,
                Err(told) => break told,
            }
            assert!(heard <= most, "more than may wait");
        };
        assert!(matches!(told, StoreError::Unavailable(_)), "{told:?}");
        assert_lost(&mut listener, Duration::from_secs(1)).await;
    }
}

/// What is larger than any message of a node is not handed on, and may stand for one: it is a loss.
#[tokio::test]
async fn a_message_that_is_too_large_is_a_loss() {
    let server = Redis::private(&[]).unwrap();
    let options = options(Servers::single(server.url()));
    let store = RedisStore::open(options.clone()).await.unwrap();
    let mut listener = store.listen().await.unwrap();
    let publish = async |length| {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(format!("{}:{{bus}}:", options.prefix)).arg(vec![7_u8; length]);
        let heard: u32 = publish.query_async(&mut raw(&server.url()).await).await.unwrap();
        assert_eq!(heard, 1);
    };
    publish(MAX_BUS_MESSAGE).await;
    assert_eq!(listener.next().await.unwrap().len(), MAX_BUS_MESSAGE);
    publish(MAX_BUS_MESSAGE + 1).await;
    assert_lost(&mut listener, Duration::from_secs(10)).await;
    publish(1).await;
    assert_lost(&mut listener, Duration::from_secs(10)).await;
}

/// When another node takes the channel's hash slot over, whoever listened at the old one is told.
#[tokio::test]
async fn a_slot_that_moved_is_a_loss() {
    let cluster = RedisCluster::private(15_000).unwrap();
    let store = RedisStore::open(cluster_options(&cluster)).await.unwrap();
    let mut listener = store.listen().await.unwrap();
    // The slot of "bus".
    let slot: u16 = cluster.nodes()[0].cli(&["CLUSTER", "KEYSLOT", "bus"]).unwrap().parse().unwrap();
    let before = cluster.master_of(slot).unwrap().port();
    let at = cluster.nodes().iter().position(|node| node.port() == before).unwrap();
    cluster.nodes()[at + 3].cli(&["CLUSTER", "FAILOVER"]).unwrap();
    assert_lost(&mut listener, Duration::from_secs(30)).await;
    // And everybody finds the new one.
    let attempts = async {
        loop {
            tokio::time::interval(Duration::from_millis(100)).tick().await;
            let Ok(mut listener) = store.listen().await else { continue };
            if store.publish(b"after").await.is_ok() {
                assert_eq!(*listener.next().await.unwrap(), *b"after");
                return;
            }
        }
    };
    timeout(Duration::from_secs(30), attempts).await.expect("the bus did not come back");
    assert_ne!(cluster.master_of(slot).unwrap().port(), before);
}
