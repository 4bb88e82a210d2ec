//! Signing in and out: new ids, what stays, what goes, and for whom.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use parking_lot::Mutex;
use wayleave_core::decide::Standing;
use wayleave_core::permission::{Ceiling, Permissions};
use wayleave_core::ports::{StoreError, Subjects};
use wayleave_core::subject::Subject;

use crate::client::{Client, Kept, World, keys};

/// R011, A01: whoever planted or knew the guest's id has nothing after the sign-in.
#[tokio::test]
async fn signing_in_makes_a_new_id() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.get("/set/cart/apples").await.ok();
        let mut attacker = client.clone();
        let before = client.session().unwrap().to_owned();
        client.post("/sign-in/ann").await.ok();
        assert_ne!(client.session().unwrap(), before, "{kept:?}");
        assert_eq!(client.get("/me").await.ok().body, "user:ann", "{kept:?}");
        assert_eq!(attacker.get("/me").await.status, StatusCode::UNAUTHORIZED, "{kept:?}");
        let replayed = attacker.get("/read/cart").await.ok().body;
        assert_eq!(replayed == "nothing", kept.revokes(), "{kept:?}: the guest's session is gone");
    }
}

/// A02: an id that nobody issued is never adopted.
#[tokio::test]
async fn a_planted_id_is_not_adopted() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        for planted in ["planted", "wl_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            let mut client = world.client();
            client.jar.insert("__Host-id".into(), planted.into());
            client.get("/set/a/1").await.ok();
            assert_ne!(client.session(), Some(planted), "{kept:?}");
            let mut attacker = world.client();
            attacker.jar.insert("__Host-id".into(), planted.into());
            assert_eq!(attacker.get("/read/a").await.body, "nothing", "{kept:?}");
        }
    }
}

/// R012: of a guest's data the named keys stay; of somebody else's nothing does.
#[tokio::test]
async fn data_is_kept_by_allow_list() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.get("/set/cart/apples").await.ok();
        client.get("/set/tracking/yes").await.ok();
        client.post("/sign-in/ann").await.ok();
        assert_eq!(client.get("/read/cart").await.body, "apples", "{kept:?}");
        assert_eq!(client.get("/read/tracking").await.body, "nothing", "{kept:?}");
        client.post("/sign-in/bob").await.ok();
        assert_eq!(client.get("/me").await.ok().body, "user:bob");
        assert_eq!(client.get("/read/cart").await.body, "nothing", "{kept:?}: that was Ann's");
    }
}

/// R010, A13: after the sign-out the cookie is gone, and a copy of it opens nothing where there is a memory of it.
#[tokio::test]
async fn signing_out_ends_the_session() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        let mut copy = client.clone();
        let out = client.post("/sign-out").await.ok();
        assert_eq!(out.header("clear-site-data"), Some("\"cache\""), "{kept:?}");
        let removal =
            "__Host-id=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Secure; HttpOnly; SameSite=Lax";
        assert!(out.cookies().contains(&removal), "{kept:?}: {:?}", out.cookies());
        assert!(client.jar.is_empty(), "{kept:?}: {:?}", client.jar);
        assert_eq!(copy.get("/me").await.status == StatusCode::UNAUTHORIZED, kept.revokes(), "{kept:?}");
        client.post("/sign-out").await.ok();
    }
}

#[tokio::test]
async fn signing_out_everywhere() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let (mut here, mut there, mut bob) = (world.client(), world.client(), world.client());
        here.post("/sign-in/ann").await.ok();
        there.post("/sign-in/ann").await.ok();
        bob.post("/sign-in/bob").await.ok();
        let everywhere = !matches!(kept, Kept::KeyValue | Kept::Sealed);
        assert_eq!(here.post("/sign-out-everywhere").await.ok().body, everywhere.to_string(), "{kept:?}");
        assert_eq!(here.get("/me").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(there.get("/me").await.status == StatusCode::UNAUTHORIZED, everywhere, "{kept:?}");
        bob.get("/me").await.ok();
        here.post("/sign-in/ann").await.ok();
        here.get("/me").await.ok();
    }
}

#[tokio::test]
async fn permissions_are_demanded() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let (mut nobody, mut ann, mut admin) = (world.client(), world.client(), world.client());
        ann.post("/sign-in/ann").await.ok();
        admin.post("/sign-in/admin").await.ok();
        for path in ["/may", "/layered"] {
            let refused = nobody.get(path).await;
            assert_eq!((refused.status, refused.code().as_str()), (StatusCode::UNAUTHORIZED, "session_required"));
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
            let refused = ann.get(path).await;
            assert_eq!((refused.status, refused.code().as_str()), (StatusCode::FORBIDDEN, "permission_denied"));
            assert_eq!(admin.get(path).await.ok().body, "yes", "{kept:?}");
        }
    }
}

/// R025: what needs a recent sign-in is refused after a while, until the same person proves it again.
#[tokio::test]
async fn a_recent_sign_in_can_be_demanded() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        client.get("/set/a/1").await.ok();
        client.get("/fresh").await.ok();
        world.clock.advance(Duration::from_secs(600));
        let stale = client.get("/fresh").await;
        assert_eq!(
            (stale.status, stale.code().as_str()),
            (StatusCode::UNAUTHORIZED, "insufficient_user_authentication")
        );
        let challenge = "Bearer error=\"insufficient_user_authentication\", max_age=\"600\"";
        assert_eq!(stale.header("www-authenticate"), Some(challenge));
        assert_eq!(client.post("/again/bob").await.status, StatusCode::UNAUTHORIZED, "{kept:?}: somebody else's proof");
        let before = client.session().unwrap().to_owned();
        client.post("/again/ann").await.ok();
        assert_ne!(client.session().unwrap(), before, "{kept:?}");
        client.get("/fresh").await.ok();
        assert_eq!(client.get("/read/a").await.body, "1", "{kept:?}: the data stays");
        // The absolute limit counts from the first sign-in.
        for _ in 0..49 {
            world.clock.advance(Duration::from_secs(29 * 60));
            client.get("/me").await.ok();
        }
        world.clock.advance(Duration::from_secs(9 * 60));
        assert_eq!(client.get("/me").await.status, StatusCode::UNAUTHORIZED, "{kept:?}");
    }
}

struct Directory(Mutex<Standing>);

#[async_trait]
impl Subjects for Directory {
    async fn standing(&self, _: &Subject) -> Result<Standing, StoreError> {
        Ok(self.0.lock().clone())
    }
}

/// R026: what a subject may do is asked, not remembered. A demotion bites, a disabled account is out.
#[tokio::test]
async fn standing_counts_at_every_request() {
    for kept in Kept::ALL {
        let directory = Arc::new(Directory(Mutex::new(Standing::UNRESTRICTED)));
        let world = World::with(kept, |options| options.subjects = directory.clone()).await;
        let mut client = world.client();
        client.post("/sign-in/admin").await.ok();
        client.get("/may").await.ok();
        let changed = async || {
            if let Some(manager) = world.layer.manager() {
                manager.subject_changed(&"user:admin".parse().unwrap()).await.unwrap();
            }
        };
        directory.0.lock().ceiling = Ceiling::Only(Permissions::none());
        changed().await;
        assert_eq!(client.get("/may").await.status, StatusCode::FORBIDDEN, "{kept:?}");
        directory.0.lock().epoch = 1;
        changed().await;
        assert_eq!(client.get("/me").await.status, StatusCode::UNAUTHORIZED, "{kept:?}");
        directory.0.lock().active = false;
        changed().await;
        assert_eq!(client.post("/sign-in/admin").await.status, StatusCode::UNAUTHORIZED, "{kept:?}");
    }
}

/// R155: a hundred clients stay signed in through three generations of keys, and old ones go when they may.
#[tokio::test]
async fn rotating_the_key_signs_nobody_out() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut clients = Vec::new();
        for n in 0..100 {
            let mut client = world.client();
            client.post(&format!("/sign-in/user{n}")).await.ok();
            clients.push(client);
        }
        for generation in [keys(&[2, 1]), keys(&[3, 2, 1])] {
            let rotated = world.another(&generation, |_| {});
            for (n, client) in clients.iter_mut().enumerate() {
                *client = Client::of(&rotated, client.jar.clone());
                assert_eq!(client.get("/me").await.ok().body, format!("user:user{n}"), "{kept:?}");
                // Whatever writes seals under the newest.
                client.get("/set/a/1").await.ok();
            }
        }
        let routing = keys(&[1]).routing_key_hex();
        let without_the_oldest = world.another(&keys(&[3, 2]).with_routing_key(&routing).unwrap(), |_| {});
        for client in &clients {
            Client::of(&without_the_oldest, client.jar.clone()).get("/me").await.ok();
        }
        let foreign = world.another(&keys(&[9]), |_| {});
        if matches!(kept, Kept::Sealed | Kept::SealedAndRevocable) {
            let status = Client::of(&foreign, clients[0].jar.clone()).get("/me").await.status;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{kept:?}");
        }
    }
}
