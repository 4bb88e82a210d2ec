//! What each thing that happens leaves in the audit log: exactly these rows (R163).

use std::time::Duration;

use serde_json::json;
use wayleave_core::ports::AuditRow;

use super::{ANN, BOB, CSRF, SESSION, cookies, is_removal, unknown_token};
use crate::world::{Client, OTHER_PASSWORD, PASSWORD, World};

const MINUTE: Duration = Duration::from_secs(60);

/// Asks once and gives the rows that came of it, sorted.
async fn rows_of(client: &mut Client<'_>, line: &str, body: Option<serde_json::Value>) -> (u16, Vec<String>) {
    let world = client.world;
    let mut seen = world.audit().await.len();
    let status = client.ask(line, body.as_ref()).await.status.as_u16();
    (status, world.events(&mut seen).await)
}

fn outcome<const N: usize>(status: u16, rows: [&str; N]) -> (u16, Vec<String>) {
    (status, rows.map(str::to_owned).to_vec())
}

/// R163: signing in, failing to, being locked out, signing out.
#[tokio::test]
async fn signing_in_and_out() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut client = world.client();
    let login = |email: &str, password: &str| Some(json!({ "email": email, "password": password }));
    let line = "POST /api/auth/login";
    assert_eq!(rows_of(&mut client, "GET /api/csrf", None).await, outcome(200, []));
    for _ in 0..4 {
        let rows = rows_of(&mut client, line, login(ANN, "wrong password")).await;
        assert_eq!(rows, outcome(401, ["login.failure wrong_password"]));
    }
    let rows = rows_of(&mut client, line, login(ANN, "wrong password")).await;
    assert_eq!(rows, outcome(401, ["login.failure wrong_password", "login.locked"]));
    assert_eq!(rows_of(&mut client, line, login(ANN, PASSWORD)).await, outcome(429, ["login.throttled"]));
    assert_eq!(rows_of(&mut client, line, login(ANN, PASSWORD)).await, outcome(429, []), "counted, not repeated");
    let rows = rows_of(&mut client, line, login(BOB, PASSWORD)).await;
    assert_eq!(rows, outcome(401, ["login.failure unknown_account"]));
    world.pass(31 * MINUTE);
    let rows = rows_of(&mut client, line, login(ANN, PASSWORD)).await;
    assert_eq!(rows, outcome(200, ["login.success new_device", "session.created"]));
    // Again in the same browser: the old session makes way.
    let rows = rows_of(&mut client, line, login(ANN, PASSWORD)).await;
    assert_eq!(rows, outcome(200, ["login.success", "session.created", "session.revoked replaced"]));
    assert_eq!(rows_of(&mut client, "POST /api/auth/logout", None).await, outcome(200, ["session.logout"]));
    assert_eq!(rows_of(&mut client, "POST /api/auth/logout", None).await, outcome(200, []));
}

/// R163: what a session lives through. Reading leaves no row at all.
#[tokio::test]
async fn the_life_of_a_session() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut client = world.signed_in(ANN).await;
    for line in ["GET /api/auth/user", "GET /api/auth/sessions", "GET /api/auth/verify", "GET /api/csrf"] {
        assert_eq!(rows_of(&mut client, line, None).await, outcome(200, []), "{line}");
    }
    let rows = rows_of(&mut client, "POST /api/auth/sessions/extend", Some(json!({}))).await;
    assert_eq!(rows, outcome(200, ["session.renewed"]));
    let wrong = Some(json!({ "password": "wrong password" }));
    let rows = rows_of(&mut client, "POST /api/auth/step-up", wrong).await;
    assert_eq!(rows, outcome(401, ["step_up.failure wrong_password"]));
    let right = Some(json!({ "password": PASSWORD }));
    let rows = rows_of(&mut client, "POST /api/auth/step-up", right).await;
    assert_eq!(rows, outcome(200, ["session.created", "session.revoked replaced", "session.step_up"]));
    let _other = world.signed_in(ANN).await;
    let change = Some(json!({ "current_password": PASSWORD, "new_password": OTHER_PASSWORD }));
    let rows = rows_of(&mut client, "POST /api/auth/password", change).await;
    let expected =
        ["session.created", "session.revoked credential_changed", "session.revoked replaced", "user.password_changed"];
    assert_eq!(rows, outcome(200, expected));
    let token = client.token();
    world.pass(31 * MINUTE);
    let mut late = world.holding(&token);
    assert_eq!(rows_of(&mut late, "GET /api/auth/user", None).await, outcome(401, ["session.idle_expired"]));
    let mut late = world.holding(&token);
    assert_eq!(rows_of(&mut late, "GET /api/auth/user", None).await, outcome(401, []), "said once");
    let mut remembered = world.client();
    remembered.get("/api/csrf").await;
    let login = json!({ "email": ANN, "password": OTHER_PASSWORD, "rememberMe": true });
    remembered.post("/api/auth/login", &login).await;
    world.pass(29 * 1440 * MINUTE);
    assert_eq!(remembered.get("/api/auth/user").await.status, 200);
    world.pass(1440 * MINUTE);
    let rows = rows_of(&mut remembered, "GET /api/auth/user", None).await;
    assert_eq!(rows, outcome(401, ["session.absolute_expired"]));
}

/// R163: refreshing, asking again within the window, replaying after it.
#[tokio::test]
async fn refreshing() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let (mut client, tokens) = world.with_tokens(ANN).await;
    client.bearer = None;
    let line = "POST /api/auth/sessions/refresh";
    let body = Some(json!({ "refresh_token": tokens["refresh_token"] }));
    assert_eq!(rows_of(&mut client, line, body.clone()).await, outcome(200, ["refresh.rotated"]));
    assert_eq!(rows_of(&mut client, line, body.clone()).await, outcome(200, ["refresh.repeated"]));
    world.pass(Duration::from_secs(11));
    let expected = outcome(401, ["refresh.reuse_detected", "session.revoked refresh_reuse"]);
    assert_eq!(rows_of(&mut client, line, body.clone()).await, expected);
}

/// R163: refusals that say something about an attack.
#[tokio::test]
async fn refusals() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut client = world.signed_in(ANN).await;
    let mut unknown = world.holding(&unknown_token(1));
    assert_eq!(rows_of(&mut unknown, "GET /api/auth/user", None).await, outcome(401, ["session.unknown_token"]));
    let mut nobody = world.client();
    assert_eq!(rows_of(&mut nobody, "GET /api/auth/user", None).await, outcome(401, []));
    let csrf = client.jar.remove(CSRF).unwrap();
    let rows = rows_of(&mut client, "POST /api/auth/sessions/extend", Some(json!({}))).await;
    assert_eq!(rows, outcome(403, ["request.refused csrf_failed"]));
    client.jar.insert(CSRF.into(), csrf);
    client.fields.push(("sec-fetch-site".into(), "cross-site".into()));
    let rows = rows_of(&mut client, "POST /api/auth/sessions/extend", Some(json!({}))).await;
    assert_eq!(rows, outcome(403, ["request.refused origin_not_allowed"]));
    client.fields.clear();
    client.fields.push(("cookie".into(), format!("{SESSION}={}", unknown_token(2))));
    let answer = client.get("/api/auth/user").await;
    assert_eq!(answer.status, 400);
    assert!(!cookies(&answer).values().any(|cookie| is_removal(cookie)));
    let last = world.audit().await.pop().unwrap();
    assert_eq!(&*last.event, "cookie.duplicate");
}

/// R163: what administrators do bears their name.
#[tokio::test]
async fn administration() {
    let world = World::new().await;
    let mut admin = world.administrator().await;
    let ann = world.person(ANN, &[]).await;
    let mut client = world.signed_in(ANN).await;
    let handle = client.handle().await;
    let (_second, _third) = (world.signed_in(ANN).await, world.signed_in(ANN).await);
    let one = format!("DELETE /api/admin/sessions/{handle}");
    let ended = outcome(200, ["session.revoked administrator"]);
    assert_eq!(rows_of(&mut admin, &one, None).await, ended);
    let own = world.audit().await.pop().unwrap();
    let subject = format!("user:{}", ann.id);
    assert_eq!(own.subject.as_deref(), Some(subject.as_str()));
    assert!(own.actor.as_deref().is_some_and(|actor| actor.starts_with("user:") && actor != subject), "{own:?}");
    assert_eq!(rows_of(&mut admin, &one, None).await, outcome(404, []));
    let path = format!("PATCH /api/admin/users/{}", ann.id);
    let rows = rows_of(&mut admin, &path, Some(json!({ "disabled": true }))).await;
    let expected = ["session.revoked subject_disabled", "session.revoked subject_disabled", "user.disabled"];
    assert_eq!(rows, outcome(200, expected));
    let rows = rows_of(&mut admin, &path, Some(json!({ "disabled": false }))).await;
    assert_eq!(rows, outcome(200, ["user.enabled"]));
    let mut seen = world.audit().await.len();
    assert_eq!(admin.set_timeout(15).await.status, 200);
    assert_eq!(world.events(&mut seen).await, ["settings.changed"]);
}

/// R163, R164: each row says when, whom, where and on which request, and names the session by a keyed hash alone.
#[tokio::test]
async fn rows_say_when_whom_and_where() {
    let world = World::new().await;
    let ann = world.person(ANN, &[]).await;
    let mut client = world.client();
    let before = world.app.now();
    client.get("/api/csrf").await;
    let answer = client.post("/api/auth/login", &json!({ "email": ANN, "password": PASSWORD })).await;
    let handle = client.handle().await;
    let rows: Vec<AuditRow> = world.audit().await;
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!(row.at, before);
        assert_eq!(row.subject.as_deref(), Some(format!("user:{}", ann.id).as_str()));
        assert_eq!(row.source.as_deref(), Some("127.0.0.0/24"));
        assert_eq!(row.request.as_deref(), answer.header("x-request-id"));
        assert_eq!(row.session, rows[0].session, "both of the same session");
        assert_eq!(row.session.as_deref().unwrap().len(), 16);
        assert_eq!(row.count, 1);
        let whole = format!("{row:?}");
        assert!(!whole.contains(&handle) && !whole.contains(&client.token()) && !whole.contains(PASSWORD), "{whole}");
    }
    client.post("/api/auth/logout", &json!({})).await;
    assert_eq!(world.audit().await.pop().unwrap().session, rows[0].session, "the same session by the same name");
}
