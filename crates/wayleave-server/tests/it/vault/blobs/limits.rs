//! What a blob, an account and a server may have, and how long a transfer may take.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http_body_util::channel::Channel;
use wayleave_core::ports::{BlobUsage, MAX_PIECE};
use wayleave_core::subject::{Namespace, Subject};
use wayleave_server::config::{Config, Size};

use super::{another_holder, content, holder, names};
use crate::load::pass;
use crate::roles::Held;
use crate::support::Answer;
use crate::vault::OPAL;
use crate::world::{Keeping, World};

async fn with(change: impl FnOnce(&mut Config)) -> World {
    World::with(Keeping::Memory, change).await
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

/// What Opal has, uploads included.
async fn usage(world: &World) -> BlobUsage {
    let account = world.app.directory.accounts.by_email(&OPAL.parse().unwrap()).await.unwrap().unwrap();
    let owner = Subject::new(Namespace::User, account.id.as_str()).unwrap();
    world.app.blobs.as_ref().unwrap().list(&owner, None, 1).await.unwrap().usage
}

/// A76: a blob that is declared too large is refused before anything of it is read; one that grows leaves nothing.
#[tokio::test]
async fn a_blob_has_a_largest_size() {
    let world = with(|config| config.vault.max_blob = Size::kib(512)).await;
    let opal = holder(&world).await;
    let most = 512 * 1024;
    opal.make("fits", &content(1, most)).await;
    let (sender, body) = Channel::<Bytes>::new(1);
    let declared = opal.ask_as_is(opal.put_request("large", &[], Body::new(body), most + 1)).await;
    assert_eq!(told(&declared), (413, "blob_too_large".to_owned()));
    drop(sender);
    // As over HTTP/2, where a body need not say how long it is.
    let mut grows = opal.put_request("large", &[], content(2, most + 1), 0);
    grows.headers_mut().remove(CONTENT_LENGTH);
    assert_eq!(told(&opal.ask_as_is(grows).await), (413, "blob_too_large".to_owned()));
    assert_eq!(names(&opal.blobs("").await), ["fits"]);
    let held = BlobUsage { bytes: u64::try_from(most).unwrap(), blobs: 1, ..BlobUsage::default() };
    assert_eq!(usage(&world).await, held);
    // Everything else is as small as it ever was.
    let mut large = opal.put_request("large", &[], content(3, 64 * 1024 + 1), 64 * 1024 + 1);
    *large.uri_mut() = "/api/admin/settings".parse().unwrap();
    assert_eq!(told(&opal.ask_as_is(large).await), (413, "payload_too_large".to_owned()));
}

#[tokio::test]
async fn an_account_has_a_quota() {
    let world = with(|config| {
        config.vault.max_blob = Size::kib(256);
        config.vault.quota = Size::kib(512);
        config.vault.blob_limit = 3;
    })
    .await;
    let opal = holder(&world).await;
    let (whole, over) = (256 * 1024, (413, "vault_quota_exceeded".to_owned()));
    let first = opal.make("a", &content(1, whole)).await;
    opal.make("b", &content(2, whole)).await;
    let refused = opal.put_blob("c", &[], b"x").await;
    assert_eq!(told(&refused), over);
    let details = refused.json()["error"]["details"].clone();
    assert_eq!((details["bytes"].as_u64(), details["quota"].as_u64()), (Some(512 * 1024), Some(512 * 1024)));
    // What is there can be replaced, also by whoever has used everything.
    let second = opal.put_blob("a", &[("if-match", &first)], &content(3, whole - 10)).await;
    second.assert_status(200);
    opal.make("c", &content(4, 10)).await;
    assert_eq!(told(&opal.put_blob("d", &[], b"").await), over, "a fourth one");
    assert_eq!(opal.blobs("").await["bytes"], 512 * 1024);
    let held = usage(&world).await;
    assert_eq!((held.uploads, held.staged_bytes), (0, 0));
}

/// Uploads that nobody finishes are given up on, leave nothing, and keep others out only while they run.
#[tokio::test]
async fn uploads_have_their_time_and_number() {
    let world = with(|config| {
        config.vault.upload_limit = 2;
        config.vault.transfer_timeout = Duration::from_secs(60);
    })
    .await;
    let opal = holder(&world).await;
    tokio::time::pause();
    let length = 2 * MAX_PIECE;
    let (mut stuck, body) = Channel::<Bytes>::new(1);
    let stops = opal.ask_as_is(opal.put_request("stops", &[], Body::new(body), length));
    let (mut dripping, body) = Channel::<Bytes>::new(1);
    let drips = opal.ask_as_is(opal.put_request("drips", &[], Body::new(body), length));
    let started = tokio::time::Instant::now();
    let others = async {
        stuck.send_data(content(1, MAX_PIECE + 5).into()).await.unwrap();
        dripping.send_data(content(1, 5).into()).await.unwrap();
        pass(Duration::from_secs(1)).await;
        let third = opal.put_blob("third", &[], b"x").await;
        assert_eq!(told(&third), (429, "rate_limited".to_owned()));
        assert!(third.header("retry-after").is_some());
        while dripping.send_data(Bytes::from_static(b".")).await.is_ok() {
            pass(Duration::from_secs(5)).await;
        }
    };
    let stops = async {
        let answer = stops.await;
        (told(&answer), started.elapsed().as_secs())
    };
    let drips = async {
        let answer = drips.await;
        (told(&answer), started.elapsed().as_secs())
    };
    let (stops, drips, ()) = tokio::join!(stops, drips, others);
    let timeout = (408, "request_timeout".to_owned());
    // Ten seconds of silence, and a minute in all.
    assert_eq!(stops, (timeout.clone(), 10));
    assert_eq!(drips, (timeout, 60));
    drop(stuck);
    assert_eq!(usage(&world).await, BlobUsage::default());
    opal.make("third", b"x").await;
}

/// One account's transfers leave room for those of others.
#[tokio::test]
async fn transfers_are_limited_by_account() {
    let world = with(|config| config.vault.transfer_limit = 4).await;
    let opal = holder(&world).await;
    world.opaque_person("olga@example.com", crate::world::PASSWORD).await;
    let olga = another_holder(&world, "olga@example.com", Held::Bearer).await;
    let (mut sender, body) = Channel::<Bytes>::new(1);
    let slow = opal.ask_as_is(opal.put_request("slow", &[], Body::new(body), 2));
    let meanwhile = async {
        sender.send_data(Bytes::from_static(b"a")).await.unwrap();
        while usage(&world).await.uploads == 0 {
            tokio::task::yield_now().await;
        }
        let refused = opal.put_blob("another", &[], b"x").await;
        assert_eq!(told(&refused), (503, "overloaded".to_owned()));
        olga.make("hers", b"x").await;
        sender.send_data(Bytes::from_static(b"b")).await.unwrap();
        drop(sender);
    };
    let (slow, ()) = tokio::join!(slow, meanwhile);
    slow.assert_status(201);
    opal.make("another", b"x").await;
}

/// A client that breaks off leaves nothing.
#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let world = World::new().await;
    let opal = holder(&world).await;
    let (mut sender, channel) = Channel::<Bytes, std::io::Error>::new(1);
    let broken = opal.ask_as_is(opal.put_request("broken", &[], Body::new(channel), 2 * MAX_PIECE));
    let breaking = async {
        sender.send_data(content(1, MAX_PIECE + 5).into()).await.unwrap();
        sender.abort(std::io::ErrorKind::ConnectionReset.into());
    };
    let (broken, ()) = tokio::join!(broken, breaking);
    assert_eq!(told(&broken), (400, "bad_request".to_owned()));
    assert_eq!(usage(&world).await, BlobUsage::default());
}

/// What was replaced is removed when nobody can be reading it any more.
#[tokio::test]
async fn what_was_replaced_is_swept() {
    let world = World::new().await;
    let opal = holder(&world).await;
    let first = opal.make("a", b"first").await;
    opal.put_blob("a", &[("if-match", &first)], b"second").await.assert_status(200);
    let blobs = world.app.blobs.as_ref().unwrap();
    for (minutes, removed) in [(14, 0), (2, 1)] {
        world.pass(Duration::from_secs(minutes * 60));
        assert_eq!(blobs.sweep().await.unwrap().replaced, removed);
    }
    assert_eq!(usage(&world).await, BlobUsage { bytes: 6, blobs: 1, ..BlobUsage::default() });
}
