//! Key-value data: lazy, kept, merged, migrated.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use wayleave_web::{Migration, Schema};

use crate::client::{Client, Kept, World, keys};

/// A health check or a bot makes nothing: no record, no cookie, not even a header.
#[tokio::test]
async fn nothing_is_made_until_something_is_stored() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        let plain = client.get("/plain").await.ok();
        assert!(plain.headers.iter().all(|(name, _)| name == "content-type" || name == "content-length"), "{kept:?}");
        let read = client.get("/read/a").await.ok();
        assert_eq!((read.body.as_str(), read.cookies().len()), ("nothing", 0), "{kept:?}");
        assert_eq!(read.header("vary"), Some("cookie"));
        client.get("/remove/a").await.ok();
        assert!(client.jar.is_empty(), "{kept:?}");
        if let Some(manager) = world.layer.manager() {
            assert!(manager.list(None, None, 10).await.unwrap().records.is_empty());
        }
    }
}

#[tokio::test]
async fn a_guest_keeps_what_it_is_given() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        let set = client.get("/set/cart/apples").await.ok();
        assert_eq!(set.cookies().len(), 1, "{kept:?}");
        let cookie = set.cookies()[0];
        assert!(cookie.ends_with("; Max-Age=86400; Path=/; Secure; HttpOnly; SameSite=Lax"), "{kept:?}: {cookie}");
        assert_eq!(client.get("/read/cart").await.body, "apples", "{kept:?}");
        client.get("/set/other/pears").await.ok();
        assert_eq!(client.get("/read/cart").await.body, "apples", "{kept:?}");
        client.get("/remove/cart").await.ok();
        assert_eq!(client.get("/read/cart").await.body, "nothing", "{kept:?}");
        assert_eq!(client.get("/read/other").await.body, "pears", "{kept:?}");
        assert_eq!(world.client().get("/read/other").await.body, "nothing", "{kept:?}");
    }
}

/// Set-Cookie only when something changed.
#[tokio::test]
async fn reading_sets_nothing() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.get("/set/a/1").await.ok();
        assert!(client.get("/read/a").await.cookies().is_empty(), "{kept:?}");
        if !matches!(kept, Kept::Sealed | Kept::SealedAndRevocable) {
            assert!(client.get("/set/a/2").await.cookies().is_empty(), "{kept:?}: the id stays");
            assert_eq!(client.get("/read/a").await.body, "2");
        }
    }
}

/// Two parallel requests that change different keys both have their way, where there is a store.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_requests_merge() {
    for kept in [Kept::Memory, Kept::Sqlite, Kept::KeyValue] {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.get("/set/a/0").await.ok();
        let writers: Vec<_> = (0..8)
            .map(|n| {
                let mut client = client.clone();
                tokio::spawn(async move { client.get(&format!("/set/key{n}/{n}")).await.ok() })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        for n in 0..8 {
            assert_eq!(client.get(&format!("/read/key{n}")).await.body, n.to_string(), "{kept:?}");
        }
    }
}

/// Of parallel requests that compare and set, one wins.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_takes_the_place() {
    for kept in [Kept::Memory, Kept::Sqlite, Kept::KeyValue] {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.get("/set/seat/free").await.ok();
        let token = client.get("/csrf").await.ok().body;
        let takers: Vec<_> = (0..8)
            .map(|n| {
                let (mut client, token) = (client.clone(), token.clone());
                tokio::spawn(async move {
                    client.post_with(&format!("/cas/seat/free/{n}"), &[("x-csrf-token", &token)]).await.ok().body
                })
            })
            .collect();
        let mut wins = 0;
        for taker in takers {
            wins += usize::from(taker.await.unwrap() == "true");
        }
        assert_eq!(wins, 1, "{kept:?}");
    }
}

/// What a handler that failed had changed is not kept, panics included; the answer's headers are right all the same.
#[tokio::test]
async fn failures_change_nothing() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        for path in ["/set-and-fail/a/1", "/set-and-panic"] {
            let answer = client.get(path).await;
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{kept:?} {path}");
            assert!(answer.cookies().is_empty(), "{kept:?} {path}");
            assert_eq!(answer.header("vary"), Some("cookie"));
        }
        assert_eq!(client.get("/read/a").await.body, "nothing", "{kept:?}");
        client.jar.insert("__Host-id".into(), "stale".into());
        let answer = client.get("/set-and-panic").await;
        assert_eq!(answer.code(), "internal_error");
        assert_eq!(answer.cookies().len(), 1, "{kept:?}: the stale cookie goes also when the handler panics");
        assert!(client.session().is_none());
    }
}

/// A session of another version of the application is migrated, forgotten or kept aside, and never a 500.
#[tokio::test]
async fn data_of_another_version_is_migrated() {
    for kept in Kept::ALL {
        for (outcome, expected) in
            [(Migration::Done, "new apples"), (Migration::Forget, "nothing"), (Migration::KeepAside, "nothing")]
        {
            let schema = |version| Schema {
                version,
                migrate: Arc::new(move |from, data: &mut wayleave_web::SessionData| {
                    assert_eq!(from, 1);
                    if let Some(cart) = data.remove("cart") {
                        data.set("basket", format!("new {cart}"));
                    }
                    outcome
                }),
            };
            let world = World::with(kept, |options| options.schema = schema(1)).await;
            let mut client = world.client();
            client.get("/set/cart/apples").await.ok();
            let newer = world.another(&keys(&[1]), |options| options.schema = schema(2));
            let mut newer = Client::of(&newer, client.jar.clone());
            assert_eq!(newer.get("/read/basket").await.ok().body, expected, "{kept:?} {outcome:?}");
            assert_eq!(newer.get("/read/basket").await.ok().body, expected, "{kept:?} {outcome:?}");
            if outcome != Migration::KeepAside {
                assert_eq!(newer.get("/read/cart").await.ok().body, "nothing", "{kept:?} {outcome:?}");
            }
        }
    }
}

/// R013, R015: the idle limit and the absolute limit both hold, and activity moves the first alone.
#[tokio::test]
async fn both_limits_hold() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        // 24 hours in steps of 29 minutes.
        for _ in 0..49 {
            world.clock.advance(minutes(29));
            client.get("/me").await.ok();
        }
        world.clock.advance(minutes(18));
        client.get("/me").await.ok();
        world.clock.advance(minutes(1));
        let over = client.get("/me").await;
        assert_eq!((over.status, over.code().as_str()), (StatusCode::UNAUTHORIZED, "session_required"), "{kept:?}");
        assert!(client.session().is_none(), "{kept:?}: the cookie is removed");

        client.post("/sign-in/ann").await.ok();
        world.clock.advance(minutes(30));
        assert_eq!(client.get("/me").await.status, StatusCode::UNAUTHORIZED, "{kept:?}");

        client.post("/sign-in/ann?remember").await.ok();
        world.clock.advance(minutes(60 * 24 * 30 - 1));
        client.get("/me").await.ok();
        world.clock.advance(minutes(1));
        assert_eq!(client.get("/me").await.status, StatusCode::UNAUTHORIZED, "{kept:?}");
    }
}

/// R033: too much for a cookie is an error that says by how much, at the moment of writing.
#[tokio::test]
async fn too_much_is_an_error() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.get("/set/a/1").await.ok();
        let large = client.get(&format!("/set/b/{}", "v".repeat(17_000))).await;
        assert_eq!((large.status, large.code().as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"));
        assert_eq!(client.get("/read/a").await.body, "1", "{kept:?}");
        let medium = client.get(&format!("/set/b/{}", "v".repeat(3500))).await;
        let fits = !matches!(kept, Kept::Sealed | Kept::SealedAndRevocable);
        assert_eq!(medium.status == StatusCode::OK, fits, "{kept:?}");
    }
}
