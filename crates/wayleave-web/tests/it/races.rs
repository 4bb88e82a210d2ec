//! Requests of one browser that overtake each other, and what must not come back from that.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::routing::any;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tower::ServiceExt as _;
use wayleave_core::decide::Standing;
use wayleave_core::ports::{StoreError, Subjects};
use wayleave_core::subject::Subject;
use wayleave_web::{CsrfMode, Migration, Schema, Session, SessionLayer, SessionOptions, SignIn};

use crate::client::{Client, Kept, World, keys};

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// These are about sessions, not about where requests come from.
fn plain(options: &mut SessionOptions) {
    options.csrf = CsrfMode::DangerousOff;
}

fn sealed(kept: Kept) -> bool {
    matches!(kept, Kept::Sealed | Kept::SealedAndRevocable)
}

/// Sends `path` to a handler that has read its session and waits until `meanwhile` has happened.
async fn during(layer: &SessionLayer, path: &str, client: &mut Client, meanwhile: impl Future<Output = ()>) -> String {
    let (reached, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let wait = move |reached: Arc<Notify>, go: Arc<Notify>| async move {
        reached.notify_one();
        go.notified().await;
    };
    let gates: Vec<_> = (0..3).map(|_| (Arc::clone(&reached), Arc::clone(&go))).collect();
    let [read, set, again] = <[_; 3]>::try_from(gates).unwrap();
    let app = Router::new()
        .route(
            "/read",
            any(async move |session: Session| {
                wait(read.0, read.1).await;
                session.get("a").unwrap_or_default()
            }),
        )
        .route(
            "/set",
            any(async move |session: Session| {
                wait(set.0, set.1).await;
                session.set("late", "1").unwrap();
            }),
        )
        .route(
            "/again",
            any(async move |session: Session| {
                session.set("mine", "1").unwrap();
                wait(again.0, again.1).await;
                let proved = session.prove_again(SignIn::user("ann").unwrap()).await;
                if proved.is_ok() { "proved" } else { "refused" }
            }),
        )
        .layer(layer.clone());
    let request =
        http::Request::builder().uri(path).header("cookie", client.cookie_header()).body(Body::empty()).unwrap();
    let answering = tokio::spawn(app.oneshot(request));
    reached.notified().await;
    meanwhile.await;
    go.notify_one();
    let (parts, body) = answering.await.unwrap().unwrap().into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    client.take(&parts.headers);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// R043: whoever ends a session ends every cookie of it, also one that was renewed since, and may do it twice.
#[tokio::test]
async fn an_ended_sealed_session_stays_ended() {
    let world = World::new(Kept::SealedAndRevocable).await;
    let mut owner = world.client();
    owner.post("/sign-in/ann").await.ok();
    let token = owner.get("/csrf").await.body;
    let mut thief = owner.clone();
    world.clock.advance(minutes(25));
    thief.get("/me").await.ok();
    owner.post_with("/sign-out", &[("x-csrf-token", &token)]).await.ok();
    for _ in 0..4 {
        assert_eq!(thief.clone().get("/me").await.status, StatusCode::UNAUTHORIZED);
        world.clock.advance(minutes(11));
    }
    thief.post("/sign-out").await.ok();
}

/// R067: an answer to a request that a sign-in overtook neither takes the new session from the browser nor puts a guest's
/// in its place, whether the old session was good, a guest's, or over.
#[tokio::test]
async fn late_answers_leave_the_new_session_alone() {
    for kept in Kept::ALL {
        let world = World::with(kept, plain).await;
        let mut client = world.client();
        client.get("/set/cart/apples").await.ok();
        let late = client.clone();
        client.post("/sign-in/ann").await.ok();
        if kept.revokes() {
            assert_eq!(late.clone().get("/read/cart").await.ok().cookies(), [""; 0], "{kept:?}");
            assert_eq!(late.clone().get("/set/a/1").await.ok().cookies(), [""; 0], "{kept:?}");
        }
        let mut expired = world.client();
        expired.post("/sign-in/bob").await.ok();
        world.clock.advance(minutes(31));
        let late = expired.clone();
        expired.post("/sign-in/bob").await.ok();
        assert_eq!(late.clone().get("/read/a").await.ok().cookies(), [""; 0], "{kept:?}");
        assert_eq!(late.clone().get("/set/a/1").await.ok().cookies(), [""; 0], "{kept:?}");
        // A minute later nothing of the kind can be under way any more.
        world.clock.advance(minutes(1));
        assert_eq!(late.clone().get("/read/a").await.ok().cookies().len(), 1, "{kept:?}");
    }
}

/// A write that began before a sign-out or a sign-in ends with the session that it began in.
#[tokio::test]
async fn slow_writes_bring_nothing_back() {
    for kept in Kept::ALL {
        let world = World::with(kept, plain).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        let (mut slow, mut quick) = (client.clone(), client);
        during(&world.layer, "/set", &mut slow, async { drop(quick.post("/sign-out").await.ok()) }).await;
        assert_eq!(slow.get("/me").await.status == StatusCode::UNAUTHORIZED, kept.revokes(), "{kept:?}");
        assert!(quick.session().is_none(), "{kept:?}");

        let mut client = world.client();
        client.get("/set/a/1").await.ok();
        let (mut slow, mut quick) = (client.clone(), client);
        let before = slow.session().unwrap().to_owned();
        during(&world.layer, "/set", &mut slow, async { drop(quick.post("/sign-in/ann").await.ok()) }).await;
        assert_eq!(slow.session(), Some(before.as_str()), "{kept:?}: the answer set no cookie");
        quick.get("/me").await.ok();
    }
}

/// A fresh proof carries on what the session is now, not what the request had read; and it revives nothing.
#[tokio::test]
async fn a_fresh_proof_loses_nothing_and_revives_nothing() {
    for kept in Kept::ALL {
        let world = World::with(kept, plain).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        let mut other = client.clone();
        let outcome =
            during(&world.layer, "/again", &mut client, async { drop(other.get("/set/theirs/1").await.ok()) }).await;
        assert_eq!(outcome, "proved", "{kept:?}");
        assert_eq!(client.get("/read/mine").await.body, "1", "{kept:?}");
        if !sealed(kept) {
            assert_eq!(client.get("/read/theirs").await.body, "1", "{kept:?}");
        }

        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        let mut other = client.clone();
        let outcome =
            during(&world.layer, "/again", &mut client, async { drop(other.post("/sign-out").await.ok()) }).await;
        assert_eq!(outcome, "refused", "{kept:?}");
        assert_eq!(client.get("/me").await.status == StatusCode::UNAUTHORIZED, kept.revokes(), "{kept:?}");

        let mut admin = world.client();
        admin.post("/sign-in/admin").await.ok();
        admin.post("/again/admin").await.ok();
        admin.get("/may").await.ok();
    }
}

struct Directory(Mutex<Standing>);

#[async_trait]
impl Subjects for Directory {
    async fn standing(&self, _: &Subject) -> Result<Standing, StoreError> {
        Ok(self.0.lock().clone())
    }
}

impl Directory {
    fn new(active: bool) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Standing { active, ..Standing::UNRESTRICTED })))
    }

    async fn set(&self, active: bool, world: &World) {
        self.0.lock().active = active;
        if let Some(manager) = world.layer.manager() {
            manager.subject_changed(&"user:ann".parse().unwrap()).await.unwrap();
        }
    }
}

/// R026: a connection of somebody who may have no sessions any more ends, too.
#[tokio::test(start_paused = true)]
async fn a_watch_ends_with_the_account() {
    for kept in [Kept::Memory, Kept::KeyValue, Kept::Sealed, Kept::SealedAndRevocable] {
        let directory = Directory::new(true);
        let world = World::with(kept, |options| options.subjects = directory.clone()).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        let mut watch = crate::watching::watch(&world, &client.cookie_header()).await.unwrap();
        directory.set(false, &world).await;
        assert!(tokio::time::timeout(minutes(2), watch.ended()).await.is_ok(), "{kept:?}");
    }
}

/// A sign-in that is refused costs nobody anything, and a sign-out ends also what is not honoured at the moment.
#[tokio::test]
async fn refusals_and_sign_outs_of_the_disabled() {
    for kept in Kept::ALL {
        let directory = Directory::new(false);
        let world = World::with(kept, |options| {
            plain(options);
            options.subjects = directory.clone();
        })
        .await;
        let mut client = world.client();
        client.get("/set/cart/apples").await.ok();
        assert_eq!(client.post("/sign-in/ann").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(client.get("/read/cart").await.body, "apples", "{kept:?}");

        directory.set(true, &world).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        let mut copy = client.clone();
        directory.set(false, &world).await;
        client.post_with("/sign-out", &[]).await.ok();
        directory.set(true, &world).await;
        assert_eq!(copy.get("/me").await.status == StatusCode::UNAUTHORIZED, kept.revokes(), "{kept:?}");
    }
}

fn version(version: u32, outcome: Migration) -> Schema {
    let migrate = move |_, data: &mut wayleave_web::SessionData| {
        if let Some(cart) = data.remove("cart") {
            data.set("basket", cart);
        }
        outcome
    };
    Schema { version, migrate: Arc::new(migrate) }
}

/// A slow request that read old data does not undo what a quick one has brought up to date and changed.
#[tokio::test]
async fn migrations_happen_once() {
    for kept in Kept::ALL.into_iter().filter(|kept| !sealed(*kept)) {
        for outcome in [Migration::Done, Migration::Forget] {
            let world = World::with(kept, plain).await;
            let mut client = world.client();
            client.post("/sign-in/ann").await.ok();
            client.get("/set/cart/old").await.ok();
            let newer = world.another(&keys(&[1]), |options| {
                plain(options);
                options.schema = version(1, outcome);
            });
            let (mut slow, mut quick) = (client.clone(), Client::of(&newer, client.jar.clone()));
            during(&newer, "/read", &mut slow, async { drop(quick.get("/set/basket/new").await.ok()) }).await;
            assert_eq!(quick.get("/read/basket").await.body, "new", "{kept:?} {outcome:?}");
        }
    }
}

/// What is renamed needs no room twice.
#[tokio::test]
async fn a_large_value_can_be_renamed() {
    for kept in [Kept::Memory, Kept::Sqlite, Kept::KeyValue] {
        let world = World::with(kept, plain).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        client.get(&format!("/set/cart/{}", "v".repeat(9000))).await.ok();
        let newer = world.another(&keys(&[1]), |options| options.schema = version(1, Migration::Done));
        let mut client = Client::of(&newer, client.jar);
        assert_eq!(client.get("/read/basket").await.ok().body.len(), 9000, "{kept:?}");
        assert_eq!(client.get("/read/basket").await.ok().body.len(), 9000, "{kept:?}");
    }
}

/// A session that is kept aside is ended all the same when its user signs out.
#[tokio::test]
async fn signing_out_ends_what_is_kept_aside() {
    for kept in Kept::ALL {
        let world = World::with(kept, plain).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        let mut copy = client.clone();
        let aside = world.another(&keys(&[1]), |options| {
            plain(options);
            options.schema = version(2, Migration::KeepAside);
        });
        Client::of(&aside, client.jar).post("/sign-out").await.ok();
        if let Some(manager) = world.layer.manager() {
            // Another layer over the same store, which keeps sessions in memory.
            manager.forget_everything();
        }
        assert_eq!(copy.get("/me").await.status == StatusCode::UNAUTHORIZED, kept.revokes(), "{kept:?}");
    }
}

/// A15, R017: what a store found expired stays so when the clock is set back.
#[tokio::test]
async fn expiry_is_remembered() {
    for kept in [Kept::Memory, Kept::Sqlite, Kept::KeyValue] {
        let world = World::with(kept, plain).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        let mut copy = client.clone();
        world.clock.advance(minutes(31));
        assert_eq!(client.get("/me").await.status, StatusCode::UNAUTHORIZED);
        world.clock.rewind(minutes(20));
        assert_eq!(copy.get("/me").await.status, StatusCode::UNAUTHORIZED, "{kept:?}");
    }
}

/// Two layers over one store, neither with a memory of its own: what one ends is over in the other.
#[tokio::test]
async fn layers_without_a_memory_share_their_ends() {
    for kept in [Kept::Memory, Kept::Sqlite] {
        let forgetful = |options: &mut SessionOptions| {
            plain(options);
            options.warm_sessions = 0;
        };
        let world = World::with(kept, forgetful).await;
        let other = world.another(&keys(&[1]), forgetful);
        let mut here = world.client();
        here.post("/sign-in/ann").await.ok();
        let mut there = Client::of(&other, here.jar.clone());
        there.get("/me").await.ok();
        here.post("/sign-out").await.ok();
        assert_eq!(there.get("/me").await.status, StatusCode::UNAUTHORIZED, "{kept:?}");
    }
}

/// R042: two applications that share keys and the cookie's name do not share their sessions.
#[tokio::test]
async fn an_audience_is_no_other() {
    let world = World::with(Kept::Sealed, |options| options.audience = "shop".into()).await;
    let mut client = world.client();
    client.post("/sign-in/ann").await.ok();
    client.get("/me").await.ok();
    let other = world.another(&keys(&[1]), |options| options.audience = "shop on trial".into());
    assert_eq!(Client::of(&other, client.jar).get("/me").await.status, StatusCode::UNAUTHORIZED);
}

/// R038: a page with a token is nobody's to keep, whether or not it sets a cookie.
#[tokio::test]
async fn pages_with_a_token_are_not_cached() {
    let world = World::new(Kept::Memory).await;
    let mut client = world.client();
    client.get("/csrf").await.ok();
    let again: HeaderMap = client.get("/csrf").await.ok().headers;
    assert!(again.get("set-cookie").is_none());
    assert_eq!(again["cache-control"], "no-store");
}
