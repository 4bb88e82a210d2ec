//! Cookie or bearer: one or the other, never both.

use http::StatusCode;
use wayleave_web::Carrier;

use crate::client::{Client, Kept, World};

async fn bearer(world: &World, path: &str, token: &str) -> crate::client::Answer {
    let mut client = world.client();
    client.sent.push(("authorization", format!("Bearer {token}")));
    client.get(path).await
}

#[tokio::test]
async fn bearer_tokens_are_answered_once_and_taken_from_the_header() {
    for kept in [Kept::Memory, Kept::Sqlite, Kept::KeyValue] {
        let world = World::with(kept, |options| options.carrier = Carrier::Bearer).await;
        let mut client = world.client();
        let token = client.post_with("/sign-in/ann", &[]).await.ok();
        assert!(token.cookies().is_empty());
        assert!(token.body.len() >= 43, "{kept:?}: {}", token.body);
        assert_eq!(bearer(&world, "/me", &token.body).await.ok().body, "user:ann", "{kept:?}");
        // A cookie is nothing here.
        let mut cookie = world.client();
        cookie.jar.insert("__Host-id".into(), token.body.clone());
        assert_eq!(cookie.get("/me").await.status, StatusCode::UNAUTHORIZED, "{kept:?}");
        assert_eq!(bearer(&world, "/me", "nonsense").await.status, StatusCode::UNAUTHORIZED);
        for malformed in ["", "a b", "a,b"] {
            assert_eq!(bearer(&world, "/me", malformed).await.status, StatusCode::BAD_REQUEST, "{malformed:?}");
        }
    }
}

/// Guests have nowhere to keep a session without a cookie; the application is told.
#[tokio::test]
async fn bearer_guests_cannot_store() {
    for kept in [Kept::Memory, Kept::KeyValue] {
        let world = World::with(kept, |options| options.carrier = Carrier::Bearer).await;
        let refused = world.client().get("/set/a/1").await;
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"));
    }
}

/// R009, A09, A10: two credentials of ours at once are refused.
#[tokio::test]
async fn two_credentials_are_refused() {
    let world = World::new(Kept::Memory).await;
    let mut client = world.client();
    client.post("/sign-in/ann").await.ok();
    let token = client.session().unwrap().to_owned();
    client.sent.push(("authorization", format!("Bearer {token}")));
    let refused = client.get("/me").await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::BAD_REQUEST, "invalid_request"));
    // Alone it is not the carrier, and no session.
    let mut alone = Client::of(&world.layer, std::collections::BTreeMap::new());
    alone.sent.push(("authorization", format!("Bearer {token}")));
    assert_eq!(alone.get("/me").await.status, StatusCode::UNAUTHORIZED);
    // Somebody else's credentials are none of ours.
    let mut basic = world.client();
    basic.post("/sign-in/ann").await.ok();
    basic.sent.push(("authorization", "Basic dXNlcjpwYXNz".into()));
    basic.get("/me").await.ok();
}
