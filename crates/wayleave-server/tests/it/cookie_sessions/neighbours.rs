//! People who share an address, a network or a deployment with somebody who sends garbage: they go on, and what stands
//! behind the server is safe all the same.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::json;
use wayleave_testkit::{DirectoryVerb, Fault, StoreVerb};

use super::floods::{assert_told_to_wait, rate};
use super::{ANN, BOB, SESSION, unknown_token};
use crate::world::{Client, Keeping, PASSWORD, World};

/// A world in which one client may show one unknown token, and all that are past theirs get so many lookups.
async fn world(lookups: &str) -> World {
    let world = World::with(Keeping::Memory, |config| {
        config.rate_limits.unknown_token = rate("1/1h");
        config.rate_limits.unknown_token_lookups = rate(lookups);
    })
    .await;
    world.person(ANN, &[]).await;
    world
}

async fn flood(world: &World, seeds: std::ops::Range<u64>) -> usize {
    let mut refused = 0;
    for seed in seeds {
        refused += usize::from(world.holding(&unknown_token(seed)).status().await == 429);
    }
    refused
}

/// A11: past its limit a client's good sessions are looked up still, from a budget that all such clients share; the
/// garbage is refused and costs the store no more than that budget.
#[tokio::test]
async fn good_sessions_behind_a_flooding_address_go_on() {
    let world = world("20/1h").await;
    let store = world.store.as_ref().unwrap().faults();
    let mut neighbours = Vec::new();
    for _ in 0..3 {
        neighbours.push(world.signed_in(ANN).await);
    }
    assert_eq!(flood(&world, 0..5).await, 4);
    for _ in 0..2 {
        // As after a restart, or when something else wrote to the store.
        world.app.manager.forget_everything();
        for neighbour in &mut neighbours[..2] {
            assert_eq!(neighbour.status().await, 200);
        }
    }
    store.reset();
    assert_eq!(flood(&world, 100..200).await, 100);
    // One was counted, four were of the first flood, and two were good ones.
    assert_eq!(store.calls_of(StoreVerb::Find), 20 - 4 - 2);
    world.app.manager.forget_everything();
    assert_told_to_wait(&neighbours[2].get("/api/auth/session").await, "unknown-token");
    for neighbour in &mut neighbours[..2] {
        assert_eq!(neighbour.status().await, 200, "what was found good before is not counted");
    }
    neighbours[2].address = Ipv4Addr::new(198, 51, 100, 9);
    assert_eq!(neighbours[2].status().await, 200, "nor is anybody elsewhere");
    // Ended sessions go free of nothing.
    neighbours[0].post("/api/auth/logout", &json!({})).await.assert_status(200);
    let token = neighbours[1].token();
    neighbours[1].post("/api/auth/logout", &json!({})).await.assert_status(200);
    store.reset();
    for _ in 0..3 {
        assert_eq!(world.holding(&token).status().await, 429);
    }
    assert_eq!(store.calls_of(StoreVerb::Find), 1);
}

/// A11: what is new is warm, so it needs no lookup at all.
#[tokio::test]
async fn new_sessions_behind_a_flooding_address_need_no_lookup() {
    let world = world("1/1h").await;
    flood(&world, 0..5).await;
    let mut ann = world.signed_in(ANN).await;
    assert_eq!(ann.status().await, 200);
    let (mut bearer, data) = world.with_tokens(ANN).await;
    bearer.get("/api/auth/session").await.assert_status(200);
    let refreshed = bearer.post("/api/auth/sessions/refresh", &json!({ "refresh_token": data["refresh_token"] })).await;
    refreshed.assert_status(200);
    bearer.bearer = refreshed.json()["data"]["session_token"].as_str().map(Into::into);
    bearer.get("/api/auth/session").await.assert_status(200);
}

/// A11: services behind the address go on too, with a key that was good before; an unknown one waits.
#[tokio::test]
async fn good_service_keys_behind_a_flooding_address_go_on() {
    let world = world("3/1h").await;
    let mut admin = world.administrator().await;
    let mut service = world.bearer(&admin.make_service("crm", &["read:profile"]).await);
    let status =
        async |service: &Client<'_>| service.form("/api/auth/introspect", &[("token", "x")]).await.status.as_u16();
    assert_eq!(status(&service).await, 200);
    flood(&world, 0..20).await;
    for _ in 0..5 {
        assert_eq!(status(&service).await, 200);
    }
    service.bearer = Some(wayleave_core::token::ServiceToken::new([9; 34]).reveal().to_string());
    let directory = world.directory.as_ref().unwrap().faults();
    directory.reset();
    assert_eq!(status(&service).await, 429);
    assert_eq!(directory.calls_of(DirectoryVerb::ServiceKeysByKey), 0);
}

/// A11: a token that has ended is looked up again and again, so it is counted too, with more patience.
#[tokio::test]
async fn ended_tokens_are_slowed_down_too() {
    let world = world("3/1h").await;
    let ann = world.signed_in(ANN).await;
    world.pass(Duration::from_secs(31 * 60));
    let store = world.store.as_ref().unwrap().faults();
    store.reset();
    for count in 0..30 {
        let answer = ann.ask_as_is(ann.request("GET /api/auth/session", None)).await;
        if count < 10 {
            answer.assert_code(401, "session_expired");
        } else {
            assert_told_to_wait(&answer, "ended-token");
        }
    }
    assert_eq!(store.calls_of(StoreVerb::Find), 10 + 3);
}

/// R011: a sign-in ends the session that the browser had, also where its address is past its limit, and is no sign-in
/// when the store cannot say what that was.
#[tokio::test]
async fn a_sign_in_ends_the_session_before_it_whatever_the_address_did() {
    let world = world("1/1h").await;
    let mut ann = world.signed_in(ANN).await;
    let before = ann.token();
    flood(&world, 0..5).await;
    world.app.manager.forget_everything();
    assert_eq!(ann.status().await, 429);
    let store = world.store.as_ref().unwrap().faults();
    store.fail(StoreVerb::Find, Fault::DOWN);
    ann.sign_in(ANN, PASSWORD).await.assert_code(503, "store_unavailable");
    assert_eq!(ann.token(), before);
    store.heal(StoreVerb::Find);
    ann.sign_in(ANN, PASSWORD).await.assert_status(200);
    assert_ne!(ann.token(), before);
    let listed = ann.get("/api/auth/sessions").await.json();
    assert_eq!(listed["data"]["items"].as_array().unwrap().len(), 1, "{listed}");
}

fn bearer_sign_in(more: &serde_json::Value) -> serde_json::Value {
    let mut body = json!({ "email": ANN, "password": PASSWORD, "transport": "bearer" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// A52: one network can use up its own share of what may fail, and nobody else's.
#[tokio::test]
async fn one_network_keeps_nobody_else_out() {
    let world = World::with(Keeping::Memory, |config| config.rate_limits.failed_sign_ins = rate("30/1h")).await;
    world.person(ANN, &[]).await;
    let mut known = world.signed_in(ANN).await;
    known.post("/api/auth/logout", &json!({})).await.assert_status(200);
    for n in 0..100 {
        let mut guesser = world.client();
        guesser.address = Ipv4Addr::new(203, 0, 113, n);
        let answer = guesser.sign_in(&format!("p{n}@example.com"), "wrong wrong wrong").await;
        if n < 3 {
            assert_eq!(answer.status, 401);
        } else {
            assert_told_to_wait(&answer, "failed-sign-ins-share");
        }
    }
    let elsewhere = Ipv4Addr::new(203, 0, 114, 1);
    let mut stranger = world.client();
    stranger.address = elsewhere;
    stranger.sign_in(ANN, PASSWORD).await.assert_status(200);
    let mut neighbour = world.client();
    neighbour.address = Ipv4Addr::new(203, 0, 113, 200);
    assert_told_to_wait(&neighbour.sign_in(ANN, PASSWORD).await, "failed-sign-ins-share");
    known.address = neighbour.address;
    known.sign_in(ANN, PASSWORD).await.assert_status(200);
    // What they sent beyond their share was taken from nobody: 27 of 30 are left.
    for network in 0..9 {
        for n in 0..3 {
            let mut guesser = world.client();
            guesser.address = Ipv4Addr::new(198, 51, network, n);
            assert_eq!(guesser.sign_in(&format!("q{network}{n}@example.com"), "wrong wrong wrong").await.status, 401);
        }
    }
    stranger.jar.clear();
    assert_told_to_wait(&stranger.sign_in(ANN, PASSWORD).await, "failed-sign-ins");
}

/// A52: a bearer client can be known to its account as a browser is, by a token that changes with every use.
#[tokio::test]
async fn bearer_clients_can_be_known() {
    let world = World::with(Keeping::Memory, |config| config.rate_limits.failed_sign_ins = rate("10/1h")).await;
    world.person(ANN, &[]).await;
    world.person(BOB, &[]).await;
    let sign_in = async |more: serde_json::Value| world.client().post("/api/auth/login", &bearer_sign_in(&more)).await;
    let unasked = sign_in(json!({})).await;
    assert_eq!(unasked.json()["data"].get("device_token"), None);
    let first = sign_in(json!({ "remember_device": true })).await.data("device_token");
    for n in 0..10 {
        let mut guesser = world.client();
        guesser.address = Ipv4Addr::new(198, 52, n, 1);
        guesser.sign_in(&format!("y{n}@example.com"), "wrong wrong wrong").await;
    }
    assert_told_to_wait(&sign_in(json!({})).await, "failed-sign-ins");
    assert_told_to_wait(&sign_in(json!({ "remember_device": true })).await, "failed-sign-ins");
    let second = sign_in(json!({ "device_token": first })).await.data("device_token");
    assert_ne!(first, second);
    assert_told_to_wait(&sign_in(json!({ "device_token": first })).await, "failed-sign-ins");
    let foreign = sign_in(json!({ "device_token": second, "email": BOB })).await;
    assert_told_to_wait(&foreign, "failed-sign-ins");
    assert_eq!(sign_in(json!({ "device_token": second })).await.status, 200);
    // With a cookie there is a cookie for it.
    let mut browser = world.client();
    browser.get("/api/csrf").await;
    for more in [json!({ "remember_device": true }), json!({ "device_token": second })] {
        let mut body = bearer_sign_in(&more);
        body["transport"] = "cookie".into();
        browser.post("/api/auth/login", &body).await.assert_code(422, "unsupported_option");
    }
    assert!(!browser.jar.contains_key(SESSION));
}
