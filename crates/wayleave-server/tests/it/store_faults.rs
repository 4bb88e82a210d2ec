//! Stores that fail: every operation says 503 and decides nothing, whichever call of whichever store it is that fails.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use wayleave_server::config::Registration;
use wayleave_server::links::Issuer;
use wayleave_testkit::{DirectoryVerb, Effect, Fault, StoreVerb, When};

use crate::people::{ADMIN, ANN, BOB, with_jwt_kind};
use crate::support::Answer;
use crate::world::{Keeping, OTHER_PASSWORD, PASSWORD, World};

/// Who asks.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    Page,
    Cookie,
    Bearer,
    Service,
    ServiceForm,
    Admin,
}

/// Placeholders of [`OPERATIONS`] and what they stand for in a world.
struct Prepared {
    world: World,
    page: Vec<(String, String)>,
    cookie: Vec<(String, String)>,
    admin: Vec<(String, String)>,
    tokens: Value,
    service: String,
    values: Vec<(&'static str, String)>,
}

/// Every operation that reaches a store, as one that is right.
const OPERATIONS: [(Who, &str, &str); 45] = [
    (Who::Page, "POST /api/auth/login", r#"{"email":"ann@example.com","password":"PASSWORD"}"#),
    (Who::Nobody, "POST /api/auth/login", r#"{"email":"ann@example.com","password":"PASSWORD","transport":"bearer"}"#),
    (Who::Cookie, "POST /api/auth/logout", "{}"),
    (Who::Bearer, "POST /api/auth/sessions/logout", "{}"),
    (Who::Cookie, "GET /api/auth/session", ""),
    (Who::Cookie, "GET /api/auth/user", ""),
    (
        Who::Nobody,
        "POST /api/auth/register",
        r#"{"email":"new@example.com","name":"N","password":"PASSWORD","invitation":"INVITED"}"#,
    ),
    (Who::Cookie, "POST /api/auth/password", r#"{"current_password":"PASSWORD","new_password":"OTHER"}"#),
    (Who::Nobody, "POST /api/auth/password/reset", r#"{"token":"RESET","new_password":"OTHER"}"#),
    (Who::Cookie, "POST /api/auth/step-up", r#"{"password":"PASSWORD"}"#),
    (Who::Service, "POST /api/auth/sessions", r#"{"subject":"a"}"#),
    (Who::ServiceForm, "POST /api/auth/introspect", "TOKEN"),
    (Who::ServiceForm, "POST /api/auth/revoke", "OPENED"),
    (Who::Bearer, "GET /api/auth/sessions", ""),
    (Who::Bearer, "GET /api/auth/sessions/current", ""),
    (Who::Bearer, "GET /api/auth/sessions/validate", ""),
    (Who::Nobody, "POST /api/auth/sessions/refresh", r#"{"refresh_token":"REFRESH"}"#),
    (Who::Bearer, "POST /api/auth/sessions/extend", "{}"),
    (Who::Bearer, "DELETE /api/auth/sessions/SESSION", ""),
    (Who::Bearer, "DELETE /api/auth/sessions?scope=others", ""),
    (Who::Bearer, "GET /api/auth/verify?permission=read:profile", ""),
    (Who::Admin, "GET /api/admin/settings", ""),
    (
        Who::Admin,
        "PUT /api/admin/settings",
        r#"{"revision":0,"policy":{"session_timeout_minutes":60,"lockout_attempts":5,"lockout_window_minutes":15,"lockout_minutes":30,"registration":"closed"}}"#,
    ),
    (Who::Admin, "GET /api/admin/sessions", ""),
    (Who::Admin, "GET /api/admin/sessions/SESSION", ""),
    (Who::Admin, "DELETE /api/admin/sessions/SESSION", ""),
    (Who::Admin, "DELETE /api/admin/sessions?subject=user:ACCOUNT", ""),
    (Who::Admin, "GET /api/admin/users", ""),
    (Who::Admin, "POST /api/admin/users", r#"{"email":"eve@example.com","name":"E","password":"PASSWORD"}"#),
    (Who::Admin, "POST /api/admin/users", r#"{"email":"eve@example.com","name":"E"}"#),
    (Who::Admin, "GET /api/admin/users/ACCOUNT", ""),
    (Who::Admin, "PATCH /api/admin/users/ACCOUNT", r#"{"disabled":true}"#),
    (Who::Admin, "PATCH /api/admin/users/BOBS", r#"{"permissions":[]}"#),
    (Who::Admin, "POST /api/admin/users/ACCOUNT/unlock", "{}"),
    (Who::Admin, "POST /api/admin/users/ACCOUNT/reset-link", "{}"),
    (Who::Admin, "DELETE /api/admin/users/ACCOUNT/sessions", ""),
    (Who::Admin, "GET /api/admin/invitations", ""),
    (Who::Admin, "POST /api/admin/invitations", "{}"),
    (Who::Admin, "DELETE /api/admin/service-keys/shop", ""),
    (Who::Admin, "POST /api/admin/service-keys", r#"{"name":"bank","permissions":[],"expires_in":3600}"#),
    (Who::Admin, "GET /api/admin/audit", ""),
    (Who::Admin, "GET /api/admin/stats", ""),
    (Who::Admin, "POST /api/admin/sweep", "{}"),
    (Who::Admin, "POST /api/admin/keys/rotate", "{}"),
    (Who::Nobody, "GET /readyz", ""),
];

async fn prepare() -> Prepared {
    let world = World::with(Keeping::Memory, |config| {
        with_jwt_kind(config);
        config.accounts.registration = Registration::Invitation;
    })
    .await;
    let account = world.person(ANN, &["read:profile"]).await.id.to_string();
    let bobs = world.person(BOB, &["admin"]).await.id.to_string();
    let mut admin = world.administrator().await;
    let service = admin.make_service("shop", &[]).await;
    let opened =
        world.bearer(&service).post("/api/auth/sessions", &json!({ "subject": "b" })).await.data("session_token");
    let after_hash = |url: &str| url.split_once('#').unwrap().1.to_owned();
    let invited = admin.post("/api/admin/invitations", &json!({})).await.json();
    let reset = admin.post(&format!("/api/admin/users/{account}/reset-link"), &json!({})).await.data("url");
    let (_, tokens) = world.with_tokens(ANN).await;
    let mut page = world.client();
    page.get("/api/csrf").await.assert_status(200);
    let (page, cookie, admin) = (page.jar, world.signed_in(ANN).await.jar, admin.jar);
    let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
    let values = vec![
        ("PASSWORD", PASSWORD.to_owned()),
        ("OTHER", OTHER_PASSWORD.to_owned()),
        ("INVITED", after_hash(invited["data"]["link"]["url"].as_str().unwrap())),
        ("RESET", after_hash(&reset)),
        ("TOKEN", text("session_token")),
        ("OPENED", opened),
        ("REFRESH", text("refresh_token")),
        ("SESSION", text("session_id")),
        ("ACCOUNT", account),
        ("BOBS", bobs),
    ];
    world.settle().await;
    let jar = |jar: std::collections::BTreeMap<String, String>| jar.into_iter().collect();
    Prepared { page: jar(page), cookie: jar(cookie), admin: jar(admin), tokens, service, values, world }
}

impl Prepared {
    async fn perform(&self, operation: (Who, &str, &str)) -> Answer {
        let (who, line, body) = operation;
        let fill =
            |text: &str| self.values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
        let (line, body) = (fill(line), fill(body));
        self.world.app.manager.forget_everything();
        let mut client = self.world.client();
        match who {
            Who::Nobody => {}
            Who::Page => client.jar.extend(self.page.clone()),
            Who::Cookie => client.jar.extend(self.cookie.clone()),
            Who::Admin => client.jar.extend(self.admin.clone()),
            Who::Bearer => client.bearer = Some(self.tokens["session_token"].as_str().unwrap().to_owned()),
            Who::Service | Who::ServiceForm => client.bearer = Some(self.service.clone()),
        }
        if who == Who::ServiceForm {
            return client.form(line.split_once(' ').unwrap().1, &[("token", &body)]).await;
        }
        let body: Option<Value> = (!body.is_empty()).then(|| serde_json::from_str(&body).unwrap());
        client.ask(&line, body.as_ref()).await
    }

    fn store(&self) -> &wayleave_testkit::faults::Faults<StoreVerb> {
        self.world.store.as_ref().unwrap().faults()
    }

    fn directory(&self) -> &wayleave_testkit::faults::Faults<DirectoryVerb> {
        self.world.directory.as_ref().unwrap().faults()
    }
}

/// Calls that an operation can do without: their failure costs a comfort, never an answer.
fn is_dispensable(line: &str, verb: &str) -> bool {
    verb.starts_with("Audit") && line != "GET /api/admin/audit"
        || line == "POST /api/auth/login" && ["DevicesRemember", "AccountsUpdate", "AccountsById"].contains(&verb)
}

fn check(operation: (Who, &str, &str), verb: &str, nth: u64, effect: Effect, healthy: &Answer, failed: &Answer) {
    let about = format!("{operation:?} when {verb} call {nth} is {effect:?}: {}", failed.text());
    if is_dispensable(operation.1, verb) {
        assert_eq!(failed.status, healthy.status, "{about}");
    } else {
        assert_eq!(failed.status, 503, "{about}");
        assert_eq!(failed.code(), "store_unavailable", "{about}");
        assert!(failed.text().len() < 300, "{about}");
    }
}

/// R168, A77: whichever call fails, on its way there or on its way back, the answer is 503, and never yes, no or
/// "who are you?".
#[tokio::test]
async fn every_failing_call_is_a_503() {
    let mut proved = 0;
    for operation in OPERATIONS {
        let healthy = {
            let prepared = prepare().await;
            prepared.store().reset();
            prepared.directory().reset();
            let answer = prepared.perform(operation).await;
            assert!(answer.status.is_success(), "{operation:?} {}", answer.text());
            (answer, prepared.store().calls(), prepared.directory().calls())
        };
        let (healthy, store, directory) = healthy;
        for effect in [Effect::Unreached, Effect::AnswerLost] {
            for (verb, calls) in &store {
                for nth in 1..=*calls {
                    let prepared = prepare().await;
                    prepared.store().fail(*verb, Fault { when: When::Call(nth), effect });
                    let failed = prepared.perform(operation).await;
                    check(operation, &format!("{verb:?}"), nth, effect, &healthy, &failed);
                    proved += 1;
                }
            }
            for (verb, calls) in &directory {
                let name = format!("{verb:?}");
                for nth in 1..=if name.starts_with("Audit") { 1 } else { *calls } {
                    let prepared = prepare().await;
                    prepared.directory().fail(*verb, Fault { when: When::Call(nth), effect });
                    let failed = prepared.perform(operation).await;
                    check(operation, &name, nth, effect, &healthy, &failed);
                    proved += 1;
                }
            }
        }
    }
    assert!(proved > 200, "{proved}");
}

/// R168: with everything down, every operation that reaches a store is 503, and the others work.
#[tokio::test]
async fn with_everything_down_nobody_gets_in() {
    let prepared = prepare().await;
    prepared.world.store.as_ref().unwrap().take_down();
    let verbs: BTreeSet<_> = every_directory_verb().await;
    for verb in &verbs {
        prepared.directory().fail(*verb, Fault::DOWN);
    }
    for operation in OPERATIONS {
        let answer = prepared.perform(operation).await;
        answer.assert_code(503, "store_unavailable");
        if operation.1.ends_with("/logout") {
            let removed: Vec<_> =
                answer.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap()).collect();
            assert_eq!(removed.len(), 2, "{removed:?}");
            assert!(removed.iter().all(|cookie| cookie.contains("Max-Age=0;")), "{removed:?}");
        } else {
            assert!(!answer.headers.contains_key("set-cookie"), "{operation:?}");
        }
    }
    prepared.world.metrics().await.assert_status(200);
    for path in ["/healthz", "/openapi.json", "/.well-known/jwks.json", "/api/csrf"] {
        prepared.world.client().get(path).await.assert_status(200);
    }
}

async fn every_directory_verb() -> BTreeSet<DirectoryVerb> {
    let mut verbs = BTreeSet::new();
    for operation in OPERATIONS {
        let prepared = prepare().await;
        prepared.perform(operation).await;
        verbs.extend(prepared.directory().calls().into_keys());
    }
    verbs
}

/// R168: the first administrator is not made on a guess either; the token is as good as before when nothing happened.
#[tokio::test]
async fn setup_fails_closed() {
    let body = |token: &str| json!({ "token": token, "email": ADMIN, "name": "First", "password": PASSWORD });
    let world = async || {
        let world = World::new().await;
        let link = Issuer::of(&world.app).setup(Duration::from_secs(900)).await.unwrap();
        let token = link.url.split_once('#').unwrap().1.to_owned();
        (world, token)
    };
    for verb in [
        DirectoryVerb::AccountsAnybodyHolds,
        DirectoryVerb::SettingsGet,
        DirectoryVerb::SettingsSet,
        DirectoryVerb::AccountsInsert,
        DirectoryVerb::CredentialsSet,
    ] {
        let (world, token) = world().await;
        world.directory.as_ref().unwrap().faults().fail(verb, Fault::DOWN);
        world.client().post("/setup", &body(&token)).await.assert_code(503, "store_unavailable");
        if verb == DirectoryVerb::AccountsAnybodyHolds {
            world.client().get("/setup").await.assert_code(503, "store_unavailable");
            world.directory.as_ref().unwrap().faults().heal(verb);
            world.client().post("/setup", &body(&token)).await.assert_status(201);
        }
    }
    let (world, token) = world().await;
    world.store.as_ref().unwrap().take_down();
    world.client().post("/setup", &body(&token)).await.assert_code(503, "store_unavailable");
    world.store.as_ref().unwrap().bring_up();
    world.client().post("/setup", &body(&token)).await.assert_status(201);
}

/// A77, R168: what was revoked while an answer was lost is revoked for the next request.
#[tokio::test]
async fn a_lost_revocation_is_seen() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let (mut ann, data) = world.with_tokens(ANN).await;
    ann.get("/api/auth/user").await.assert_status(200);
    let faults = world.store.as_ref().unwrap().faults();
    faults.fail(StoreVerb::Revoke, Fault { when: When::Call(1), effect: Effect::AnswerLost });
    ann.post("/api/auth/logout", &json!({})).await.assert_code(503, "store_unavailable");
    ann.get("/api/auth/user").await.assert_code(401, "session_invalid");
    ann.refresh(data["refresh_token"].as_str().unwrap()).await.assert_code(401, "refresh_failed");
}

/// R167, A78: an audit log that cannot be written holds nobody up; what waited is written when it can be again.
#[tokio::test]
async fn a_dead_audit_log_holds_nobody_up() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let faults = world.directory.as_ref().unwrap().faults();
    for verb in [DirectoryVerb::AuditAppend, DirectoryVerb::AuditHead] {
        faults.fail(verb, Fault::DOWN);
    }
    for _ in 0..20 {
        let (mut ann, _) = world.with_tokens(ANN).await;
        ann.post("/api/auth/logout", &json!({})).await.assert_status(200);
    }
    world.settle().await;
    for verb in [DirectoryVerb::AuditAppend, DirectoryVerb::AuditHead] {
        faults.heal(verb);
    }
    world.client().sign_in(ANN, "wrong wrong wrong").await.assert_status(401);
    let counts = world.audit_counts(|counts| counts.contains_key("login.failure")).await;
    assert_eq!((counts.get("login.success"), counts.get("session.logout")), (Some(&20), Some(&20)), "{counts:?}");
}
