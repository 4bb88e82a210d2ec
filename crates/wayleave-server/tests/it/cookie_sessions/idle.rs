//! Idle limits, the administrators' session timeout, and clocks that do not behave.

use std::time::Duration;

use serde_json::json;
use wayleave_core::time::Timestamp;
use wayleave_testkit::FakeClock;

use super::{ANN, SESSION, cookies, is_removal};
use crate::world::{Client, World};

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

async fn code(client: &mut Client<'_>) -> String {
    let answer = client.get("/api/auth/session").await;
    if answer.status == 200 { "valid".into() } else { answer.code() }
}

/// R013: the idle limit is closed: a second before it the session lives, at it it is over, for good.
#[tokio::test]
async fn the_idle_limit_to_the_second() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut client = world.signed_in(ANN).await;
    world.pass(30 * MINUTE - SECOND);
    assert_eq!(client.get("/api/auth/user").await.status, 200, "activity");
    world.pass(30 * MINUTE - SECOND);
    assert_eq!(code(&mut client).await, "valid");
    let token = client.token();
    world.pass(SECOND);
    let answer = client.get("/api/auth/session").await;
    assert_eq!(answer.code(), "session_expired");
    assert!(is_removal(&cookies(&answer)[SESSION]));
    world.clock.rewind(SECOND);
    assert_eq!(code(&mut world.holding(&token)).await, "session_expired", "a clock set back revives nothing");
}

/// A15: a server whose clock is behind honours nothing that was opened later, and takes nobody's cookie for it, which is
/// good at every other server.
#[tokio::test]
async fn a_clock_that_is_behind_takes_no_cookie_away() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut client = world.signed_in(ANN).await;
    world.clock.rewind(60 * MINUTE);
    let answer = client.get("/api/auth/session").await;
    assert_eq!(answer.code(), "session_required");
    assert!(!cookies(&answer).contains_key(SESSION));
    world.clock.advance(60 * MINUTE);
    assert_eq!(code(&mut client).await, "valid");
}

/// A14, R016: requests that are not the user's doing leave the idle limit running.
#[tokio::test]
async fn polling_does_not_keep_a_session_alive() {
    let world = World::new().await;
    world.person(ANN, &["admin"]).await;
    let background = ("x-wayleave-background", "1");
    let cases: [(&str, Option<(&str, &str)>); 13] = [
        ("GET /api/auth/session", None),
        ("GET /api/auth/sessions/current", None),
        ("GET /api/auth/sessions/validate", None),
        ("GET /api/csrf", None),
        ("HEAD /api/auth/session", None),
        ("HEAD /api/auth/user", None),
        ("HEAD /api/auth/sessions", None),
        ("HEAD /api/auth/verify", None),
        ("OPTIONS /api/auth/user", None),
        ("GET /api/auth/user", Some(background)),
        ("GET /api/auth/verify", Some(background)),
        ("GET /healthz", None),
        ("GET /style.css", None),
    ];
    for (line, field) in cases {
        let mut client = world.signed_in(ANN).await;
        let token = client.token();
        client.fields.extend(field.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for _ in 0..29 {
            world.pass(MINUTE);
            client.ask(line, None).await;
        }
        world.pass(MINUTE);
        assert_eq!(code(&mut world.holding(&token)).await, "session_expired", "{line} {field:?}");
    }
    // What the user does extends it, and a request that was refused does not.
    for (line, lives) in
        [("GET /api/auth/user", true), ("GET /api/auth/verify", true), ("POST /api/auth/sessions/extend", false)]
    {
        let client = world.signed_in(ANN).await;
        let mut naked = world.holding(&client.token());
        for _ in 0..30 {
            world.pass(MINUTE);
            naked.ask(line, None).await;
        }
        assert_eq!(code(&mut naked).await == "valid", lives, "{line}");
    }
}

/// R015: activity is written down late, and an idle session lives not a second longer for it, nor shorter.
#[tokio::test]
async fn late_writes_move_no_limit() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut client = world.signed_in(ANN).await;
    for _ in 0..100 {
        world.pass(17 * SECOND);
        assert_eq!(client.get("/api/auth/user").await.status, 200);
    }
    // What memory knew is lost, as in a crash right after the last write.
    world.app.manager.flush(100).await.unwrap();
    world.app.manager.forget_everything();
    let throttle = 3 * MINUTE;
    world.pass(30 * MINUTE - throttle);
    assert_eq!(code(&mut client).await, "valid");
    world.pass(throttle);
    assert_eq!(code(&mut client).await, "session_expired");
}

/// R013, R016, A14: the administrators' timeout takes effect on live sessions at their next request, within bounds that
/// no administrator can pass, and a longer one revives nothing.
#[tokio::test]
async fn the_timeout_setting_acts_on_live_sessions() {
    let world = World::new().await;
    let mut admin = world.administrator().await;
    world.person(ANN, &[]).await;
    for minutes in [0, 4, 1441, 65_535] {
        assert_eq!(admin.set_timeout(minutes).await.status, 422, "{minutes}");
    }
    let (early, late) = (world.signed_in(ANN).await.token(), world.signed_in(ANN).await.token());
    world.pass(4 * MINUTE);
    assert_eq!(world.holding(&late).get("/api/auth/user").await.status, 200);
    assert_eq!(admin.set_timeout(5).await.status, 200);
    world.pass(MINUTE);
    assert_eq!(code(&mut world.holding(&early)).await, "session_expired", "idle for 5 minutes");
    assert_eq!(code(&mut world.holding(&late)).await, "valid", "idle for 1 minute");
    world.pass(4 * MINUTE - SECOND);
    assert_eq!(code(&mut world.holding(&late)).await, "valid");
    world.pass(SECOND);
    assert_eq!(code(&mut world.holding(&late)).await, "session_expired");
    let mut admin = world.signed_in(super::ADMIN).await;
    assert_eq!(admin.set_timeout(1440).await.status, 200);
    for token in [&early, &late] {
        assert_eq!(code(&mut world.holding(token)).await, "session_expired", "revived by a longer timeout");
    }
    // A longer timeout holds for what is live, from its next activity on.
    let mut client = world.signed_in(ANN).await;
    world.pass(1440 * MINUTE - SECOND);
    assert_eq!(code(&mut client).await, "valid");
}

/// R013: an idle end that passed unseen stays passed when the timeout becomes longer.
#[tokio::test]
async fn a_longer_timeout_revives_nothing_that_ended_unseen() {
    let world = World::new().await;
    let mut admin = world.administrator().await;
    world.person(ANN, &[]).await;
    let token = world.signed_in(ANN).await.token();
    for _ in 0..31 {
        world.pass(MINUTE);
        assert_eq!(admin.get("/api/auth/user").await.status, 200);
    }
    assert_eq!(admin.post("/api/auth/step-up", &json!({ "password": crate::world::PASSWORD })).await.status, 200);
    assert_eq!(admin.set_timeout(1440).await.status, 200);
    assert_eq!(code(&mut world.holding(&token)).await, "session_expired");
}

/// R013: a remembered session has an idle limit of its own and does not feel the timeout.
#[tokio::test]
async fn remembered_sessions_have_their_own_limit() {
    let world = World::new().await;
    let mut admin = world.administrator().await;
    world.person(ANN, &[]).await;
    let mut client = world.client();
    client.get("/api/csrf").await;
    let body = json!({ "email": ANN, "password": crate::world::PASSWORD, "rememberMe": true });
    assert_eq!(client.post("/api/auth/login", &body).await.status, 200);
    assert_eq!(admin.set_timeout(5).await.status, 200);
    world.pass(29 * 1440 * MINUTE);
    assert_eq!(code(&mut client).await, "valid");
}

/// A15, R017: clocks at their ends, far away and backwards: nothing revives, nothing panics.
#[tokio::test]
async fn clocks_that_do_not_behave() {
    let year = Duration::from_secs(366 * 86_400);
    let times = [
        Timestamp::MIN,
        Timestamp::from_seconds(-1),
        Timestamp::from_seconds(0),
        FakeClock::START.minus(year),
        FakeClock::START.minus(60 * MINUTE),
        // The leap second at the end of 2016, the end of 32 bits, of the year 9999, and of what can be written.
        Timestamp::from_seconds(1_483_228_799),
        Timestamp::from_seconds(2_147_483_648),
        Timestamp::from_seconds(253_402_300_800),
        Timestamp::MAX,
    ];
    for at in times {
        let world = World::new().await;
        world.person(ANN, &[]).await;
        let mut live = world.signed_in(ANN).await;
        let ended = world.signed_in(ANN).await.token();
        world.pass(31 * MINUTE);
        assert_eq!(code(&mut world.holding(&ended)).await, "session_expired");
        world.clock.set(at);
        assert_eq!(code(&mut world.holding(&ended)).await, "session_expired", "{at:?}");
        for line in ["GET /api/auth/user", "GET /api/auth/sessions", "GET /api/auth/sessions/current", "GET /api/csrf"]
        {
            let status = live.ask(line, None).await.status.as_u16();
            assert!(matches!(status, 200 | 401), "{line} at {at:?}: {status}");
        }
        let status = world.client().sign_in(ANN, crate::world::PASSWORD).await.status.as_u16();
        assert!(matches!(status, 200 | 401 | 429), "sign-in at {at:?}: {status}");
        world.clock.set(FakeClock::START.plus(31 * MINUTE));
        assert_eq!(code(&mut world.holding(&ended)).await, "session_expired", "{at:?}");
    }
}
