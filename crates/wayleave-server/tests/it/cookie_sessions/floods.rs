//! Many requests: unknown tokens, races over the limit of sessions, and what a refusal for rate says.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Value, json};
use wayleave_core::policy::AtLimit;
use wayleave_server::config::Config;
use wayleave_testkit::StoreVerb;

use super::{ANN, BOB, cookies, unknown_token};
use crate::people::limit_web;
use crate::support::{Answer, request};
use crate::world::{Keeping, PASSWORD, World};

pub(super) fn rate(text: &str) -> Option<wayleave_server::config::Rate> {
    Some(text.parse().unwrap())
}

/// R104: what every 429 says, under the name of its limit.
pub(super) fn assert_told_to_wait(answer: &Answer, name: &str) {
    assert_eq!(answer.status, 429);
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(wait >= 1);
    let states: Vec<_> = answer.headers.get_all("ratelimit").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(states.contains(&format!("\"{name}\";r=0;t={wait}").as_str()), "{states:?}");
    let mut policies = answer.headers.get_all("ratelimit-policy").iter().map(|value| value.to_str().unwrap());
    assert!(policies.any(|policy| policy.starts_with(&format!("\"{name}\";q="))), "{name}");
    assert!(cookies(answer).is_empty());
    let body = answer.json();
    let violated = match body.get("violated-policies") {
        Some(violated) => violated,
        None => &body["error"]["details"]["violated-policies"],
    };
    assert_eq!(*violated, json!([name]), "{body}");
}

/// A11, R005: a client that shows one unknown token after another is told to wait, whatever carrier and route; another
/// client's session goes on, and so does one at the same address.
#[tokio::test]
async fn a_flood_of_unknown_tokens_is_slowed_down() {
    let world = World::with(Keeping::Memory, |config| {
        config.rate_limits.unknown_token = rate("5/1h");
        config.rate_limits.unknown_token_lookups = rate("95/1h");
    })
    .await;
    world.person(ANN, &[]).await;
    let mut ann = world.signed_in(ANN).await;
    ann.address = Ipv4Addr::new(198, 51, 100, 7);
    let mut neighbour = world.signed_in(ANN).await;
    assert_eq!(neighbour.status().await, 200);
    let mut seen = 0;
    world.events(&mut seen).await;
    let lines = ["GET /api/auth/session", "GET /api/auth/sessions/validate", "GET /api/auth/verify"];
    for (count, line) in lines.iter().cycle().take(100).enumerate() {
        let token = unknown_token(count as u64);
        let mut flood = if count % 2 == 0 { world.holding(&token) } else { world.client() };
        if count % 2 == 1 {
            flood.bearer = Some(token);
        }
        let answer = flood.ask(line, None).await;
        if count < 5 {
            assert_eq!(answer.status, 401, "{count}");
        } else {
            assert_told_to_wait(&answer, "unknown-token");
        }
    }
    assert_eq!(ann.status().await, 200);
    assert_eq!(neighbour.status().await, 200, "what memory knows is never refused for its neighbours");
    let store = world.store.as_ref().unwrap().faults();
    store.reset();
    world.app.manager.forget_everything();
    assert_eq!(neighbour.status().await, 429, "with all lookups used up it waits with them");
    for count in 200..300 {
        assert_eq!(world.holding(&unknown_token(count)).status().await, 429);
    }
    assert_eq!(store.calls_of(StoreVerb::Find), 0, "a client over its limit costs the store no more than that");
    assert_eq!(ann.status().await, 200, "elsewhere it is looked up");
    let mut elsewhere = world.holding(&unknown_token(1000));
    elsewhere.address = Ipv4Addr::new(198, 51, 100, 8);
    assert_eq!(elsewhere.status().await, 401, "another client has a limit of its own");
    // Two sources, so two rows of each kind at most, however many requests.
    let events = world.events(&mut seen).await;
    assert_eq!(events, ["request.rate_limited unknown_credential", "session.unknown_token", "session.unknown_token"]);
}

/// A11: an unknown token that comes again, and one that cannot be of ours, cost the store nothing.
#[tokio::test]
async fn an_unknown_token_is_looked_up_once() {
    let world = World::with(Keeping::Memory, |config| config.rate_limits.unknown_token = rate("5/1h")).await;
    let store = world.store.as_ref().unwrap();
    store.faults().reset();
    for count in 0..50 {
        let status = world.holding(&unknown_token(1)).status().await;
        assert_eq!(status, if count < 5 { 401 } else { 429 });
    }
    assert_eq!(world.holding("not-a-token").status().await, 429);
    assert_eq!(store.faults().calls_of(StoreVerb::Find), 1);
}

/// A11: unknown service keys count like unknown tokens.
#[tokio::test]
async fn unknown_service_keys_are_slowed_down() {
    let world = World::with(Keeping::Memory, |config| config.rate_limits.unknown_token = rate("3/1h")).await;
    for count in 0..6_u8 {
        let mut client = world.client();
        client.bearer = Some(wayleave_core::token::ServiceToken::new([count; 34]).reveal().to_string());
        let answer = client.post("/api/auth/sessions", &json!({ "subject": "x" })).await;
        if count < 3 {
            assert_eq!(answer.status, 401);
        } else {
            assert_told_to_wait(&answer, "unknown-token");
        }
    }
}

/// R104: every class of routes, and lockout, says how long to wait, in our form and in RFC 9457's.
#[tokio::test]
async fn every_429_says_how_long_to_wait() {
    type Choose = fn(&mut Config);
    let classes: [(&str, &str, Choose); 6] = [
        ("login", "POST /api/auth/login", |config| config.rate_limits.login = rate("2/1h")),
        ("register", "POST /api/auth/register", |config| config.rate_limits.register = rate("2/1h")),
        ("refresh", "POST /api/auth/sessions/refresh", |config| config.rate_limits.refresh = rate("2/1h")),
        ("session", "GET /api/auth/session", |config| config.rate_limits.session = rate("2/1h")),
        ("admin", "GET /api/admin/settings", |config| config.rate_limits.admin = rate("2/1h")),
        ("service", "POST /api/auth/introspect", |config| config.rate_limits.service_key = rate("2/1h")),
    ];
    for (name, line, choose) in classes {
        let world = World::with(Keeping::Memory, choose).await;
        for left in [1, 0] {
            let answer = world.client().ask(line, None).await;
            assert_ne!(answer.status, 429, "{name}");
            assert_eq!(answer.header("ratelimit-policy"), Some(format!("\"{name}\";q=2;w=3600").as_str()));
            let state = answer.header("ratelimit").unwrap();
            assert!(state.starts_with(&format!("\"{name}\";r={left};t=")), "{state}");
        }
        assert_told_to_wait(&world.client().ask(line, None).await, name);
        let mut client = world.client();
        client.fields.push(("accept".into(), "application/problem+json".into()));
        let answer = client.ask(line, None).await;
        assert_told_to_wait(&answer, name);
        assert_eq!(answer.json()["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
        let mut elsewhere = world.client();
        elsewhere.address = Ipv4Addr::new(203, 0, 113, 9);
        assert_ne!(elsewhere.ask(line, None).await.status, 429, "{name}");
    }
}

/// R104, A51: a locked identifier says how long to wait, the same whether it exists or not.
#[tokio::test]
async fn lockout_says_how_long_to_wait() {
    let world = World::with(Keeping::Memory, |config| config.rate_limits.login = rate("1000/1h")).await;
    world.person(ANN, &[]).await;
    let mut faces = Vec::new();
    for email in [ANN, "nobody@example.com"] {
        for _ in 0..5 {
            assert_eq!(world.client().sign_in(email, "wrong password").await.status, 401);
        }
        let answer = world.client().sign_in(email, PASSWORD).await;
        assert_told_to_wait(&answer, "sign-in");
        assert_eq!(answer.header("retry-after"), Some("1800"));
        let policies: Vec<_> =
            answer.headers.get_all("ratelimit-policy").iter().map(|value| value.to_str().unwrap().to_owned()).collect();
        assert_eq!(policies, ["\"sign-in\";q=5;w=900", "\"login\";q=1000;w=3600"]);
        faces.push(super::face(&answer));
    }
    assert_eq!(faces[0], faces[1]);
}

/// R104: what a 429 of the login route says does not depend on whether the account exists.
#[tokio::test]
async fn rate_fields_are_the_same_for_everybody() {
    let mut told = Vec::new();
    for email in [ANN, "nobody@example.com"] {
        let world = World::with(Keeping::Memory, |config| config.rate_limits.login = rate("3/1h")).await;
        world.person(ANN, &[]).await;
        let mut said = Vec::new();
        for _ in 0..4 {
            let answer = world.client().sign_in(email, "wrong password").await;
            let state = answer.header("ratelimit").map(|state| state.split(";t=").next().unwrap().to_owned());
            said.push((answer.status, state, answer.header("ratelimit-policy").map(str::to_owned)));
        }
        told.push(said);
    }
    assert_eq!(told[0], told[1]);
}

/// A16, R024: fifty sign-ins at once over a limit of three leave exactly three sessions.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_sign_ins_keep_the_limit() {
    for (at_limit, accepted) in [(AtLimit::EvictOldest, 50), (AtLimit::Refuse, 3)] {
        let world = World::with(Keeping::Memory, |config| {
            limit_web(config, 3, at_limit);
            config.password.queue = 64;
            // Sign-ins at the same time count as attempts until each has succeeded.
            config.lockout.attempts = 100;
        })
        .await;
        world.person(ANN, &[]).await;
        let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(50));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let mut client = world.client();
            client.get("/api/csrf").await;
            let body = json!({ "email": ANN, "password": PASSWORD });
            let mut login = client.request("POST /api/auth/login", Some(&body));
            let peer = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
            login.extensions_mut().insert(axum::extract::ConnectInfo(peer));
            let (router, barrier) = (world.router.clone(), std::sync::Arc::clone(&barrier));
            tasks.spawn(async move {
                barrier.wait().await;
                let answer = crate::support::send(&router, login).await;
                (answer.status.as_u16(), cookies(&answer).get(super::SESSION).cloned())
            });
        }
        let answers = tasks.join_all().await;
        let opened: Vec<_> = answers
            .iter()
            .filter(|(status, _)| *status == 200)
            .map(|(_, cookie)| cookie.as_ref().unwrap()[10..64].to_owned())
            .collect();
        assert_eq!(opened.len(), accepted, "{at_limit:?}");
        assert!(answers.iter().all(|(status, _)| matches!(status, 200 | 403)));
        let mut live = 0;
        for token in &opened {
            live += usize::from(world.holding(token).status().await == 200);
        }
        assert_eq!(live, 3, "{at_limit:?}");
        let expected = [
            ("session.created", accepted),
            ("session.evicted", accepted - 3),
            ("session.limit_refused", 50 - accepted),
            ("login.success", accepted),
        ];
        let all = |counts: &BTreeMap<String, u32>| {
            expected.iter().map(|(_, count)| count).sum::<usize>()
                <= expected.iter().map(|(name, _)| counts.get(*name).map_or(0, |count| *count as usize)).sum()
        };
        let counts = world.audit_counts(all).await;
        for (name, count) in expected {
            assert_eq!(counts.get(name).map_or(0, |count| *count as usize), count, "{name}");
        }
    }
}

/// A17: pushing the owner out leaves a row for every session that went, and where the kind refuses instead, the owner
/// stays in.
#[tokio::test]
async fn eviction_is_noticed_and_can_be_refused() {
    for (at_limit, status, owner_status) in [(AtLimit::EvictOldest, 200, 401), (AtLimit::Refuse, 403, 200)] {
        let world = World::with(Keeping::Memory, |config| limit_web(config, 2, at_limit)).await;
        world.person(ANN, &[]).await;
        world.person(BOB, &[]).await;
        let mut bystander = world.signed_in(BOB).await;
        let mut owner = world.signed_in(ANN).await;
        world.pass(std::time::Duration::from_secs(1));
        let mut seen = 0;
        assert_eq!(world.client().sign_in(ANN, PASSWORD).await.status, 200);
        world.events(&mut seen).await;
        let answer = world.client().sign_in(ANN, PASSWORD).await;
        assert_eq!(answer.status, status, "{at_limit:?}");
        assert_eq!(owner.status().await, owner_status, "{at_limit:?}");
        assert_eq!(bystander.status().await, 200);
        let events = world.events(&mut seen).await;
        match at_limit {
            AtLimit::EvictOldest | AtLimit::EvictLeastRecentlySeen => {
                let expected =
                    ["login.success new_device", "session.created", "session.evicted", "session.unknown_token"];
                assert_eq!(events, expected);
            }
            AtLimit::Refuse => {
                assert_eq!(answer.code(), "session_limit_reached");
                assert!(cookies(&answer).is_empty());
                assert_eq!(events, ["session.limit_refused"]);
            }
        }
    }
}

/// A10: a bearer token of a mebibyte, two of them, and other schemes are refused without a lookup.
#[tokio::test]
async fn odd_authorization_headers_never_reach_the_store() {
    let world = World::new().await;
    let store = world.store.as_ref().unwrap();
    let long = format!("Bearer {}", "A".repeat(20_000));
    let huge = format!("Bearer {}", "A".repeat(1024 * 1024));
    let cases: [(&[&str], u16); 9] = [
        (&[&huge], 431),
        (&[&long], 400),
        (&["Bearer"], 400),
        (&["Bearer "], 400),
        (&["Bearer a b"], 400),
        (&["Bearer a", "Bearer b"], 400),
        (&["Basic YTpi"], 401),
        (&["Bearer wl_"], 401),
        (&["Bearer wl_AAAA=="], 401),
    ];
    for (values, status) in cases {
        let fields: Vec<_> = values.iter().map(|value| ("authorization", *value)).collect();
        let answer = world.client().ask_as_is(request("GET /api/auth/session", &fields, "")).await;
        assert_eq!(answer.status, status, "{:?}", &values[0][..values[0].len().min(30)]);
        assert_ne!(answer.json(), Value::Null);
    }
    assert_eq!(store.faults().calls_of(StoreVerb::Find), 0);
}

/// A52, A53: guesses spread over many accounts and addresses make strangers wait, whoever they ask for and whatever
/// their password; a browser that the account knows gets in, and a limit of none counts nothing.
#[tokio::test]
async fn guesses_spread_over_the_deployment_make_strangers_wait() {
    for limited in [true, false] {
        let limit = if limited { rate("8/1h") } else { None };
        let world = World::with(Keeping::Memory, |config| config.rate_limits.failed_sign_ins = limit).await;
        world.person(ANN, &[]).await;
        let mut known = world.signed_in(ANN).await;
        known.post("/api/auth/logout", &json!({})).await.assert_status(200);
        for n in 0..8 {
            let mut guesser = world.client();
            guesser.address = Ipv4Addr::new(198, 51, n, 1);
            let answer = guesser.sign_in(&format!("p{n}@example.com"), "wrong wrong wrong").await;
            assert_eq!(answer.status, 401);
        }
        for (email, password) in [(ANN, PASSWORD), (ANN, "wrong wrong wrong"), (BOB, PASSWORD), ("x", "x")] {
            let mut stranger = world.client();
            stranger.address = Ipv4Addr::new(203, 0, 113, 1);
            let answer = stranger.sign_in(email, password).await;
            let body = json!({ "email": email, "password": password, "transport": "bearer" });
            let by_bearer = world.client().post("/api/auth/login", &body).await;
            if limited {
                assert_told_to_wait(&answer, "failed-sign-ins");
                assert_told_to_wait(&by_bearer, "failed-sign-ins");
                assert_eq!(answer.code(), "rate_limited");
            } else {
                assert_eq!(answer.status.is_success(), (email, password) == (ANN, PASSWORD));
            }
        }
        known.sign_in(ANN, PASSWORD).await.assert_status(200);
        // A made-up device is a stranger's.
        let mut stranger = world.client();
        stranger.jar.insert("__Secure-device".into(), known.jar["__Secure-device"].replace('A', "B"));
        assert_eq!(stranger.sign_in(BOB, PASSWORD).await.status, if limited { 429 } else { 401 });
        let counts = world.audit_counts(|_| true).await;
        assert_eq!(counts.contains_key("login.throttled"), limited, "{counts:?}");
    }
}
