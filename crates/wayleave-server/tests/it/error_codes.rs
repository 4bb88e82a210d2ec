//! Every code of `spec/errors.toml`, made by a request that a client can send, in both forms.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{ACCEPT, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::channel::Channel;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use wayleave::jwt::KeySet;
use wayleave_core::policy::{AtLimit, Concurrency, Kinds, Policy, TokenFormat};
use wayleave_server::config::{Config, Rate, Registration};
use wayleave_server::error::ErrorCode;

use crate::asks::{JSON, OCTETS, with_body};
use crate::roles::{Held, Scene, role};
use crate::support::Answer;
use crate::world::{Client, Keeping, OTHER_PASSWORD, PASSWORD, World};

const ANN: &str = "ann@example.com";

/// The forms that an error can have.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Form {
    Ours,
    Problem,
}

/// R083, R074, R075, R038, R104: every code over HTTP, in its form, with its status and the headers that go with it.
#[test]
fn every_error_code_is_produced() {
    for code in ErrorCode::ALL {
        for form in [Form::Ours, Form::Problem] {
            let answer = runtime().block_on(produce(*code, form));
            check(*code, form, &answer);
        }
    }
}

/// One thread for hashing, so that a test can keep it busy.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap()
}

fn check(code: ErrorCode, form: Form, answer: &Answer) {
    let name = code.as_str();
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status.as_u16(), code.status_number(), "{name}: {text}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{name}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{name}");
    assert!(answer.headers.get_all("vary").iter().any(|value| value == "Accept"), "{name}");
    let id = answer.header("x-request-id").unwrap();
    let body = answer.json();
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    match form {
        Form::Ours => {
            assert_eq!(answer.header("content-type"), Some("application/json"), "{name}");
            assert_eq!(body["success"], false, "{name}");
            assert_eq!(body["error"]["code"], name, "{text}");
            assert_eq!(body["error"]["message"], code.message(), "{name}");
            assert_eq!(body["error"]["request_id"], id, "{name}");
            let known = ["code", "message", "details", "request_id"];
            assert!(members(&body["error"]).iter().all(|member| known.contains(&member.as_str())), "{text}");
            assert!(members(&body).iter().all(|member| ["success", "error", "data"].contains(&member.as_str())));
        }
        Form::Problem => {
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{name}");
            assert_eq!(body["status"], answer.status.as_u16(), "{name}");
            assert_eq!(body["code"], name, "{text}");
            assert_eq!(body["type"], code.problem_type(), "{name}");
            assert_eq!(body["detail"], code.message(), "{name}");
            assert_eq!(body["instance"], id, "{name}");
            assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()), "{name}");
            let known =
                ["type", "title", "status", "detail", "code", "instance", "details", "data", "violated-policies"];
            assert!(members(&body).iter().all(|member| known.contains(&member.as_str())), "{text}");
        }
    }
    let challenge = answer.header("www-authenticate");
    match answer.status.as_u16() {
        401 => assert!(challenge.unwrap().starts_with("Bearer realm=\"wayleave\""), "{name}: {challenge:?}"),
        405 => assert!(answer.header("allow").is_some_and(|allow| !allow.is_empty()), "{name}"),
        429 | 503 => {
            let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!(wait >= 1, "{name}");
        }
        _ => {}
    }
    let error = challenge.and_then(|text| text.split("error=\"").nth(1)).and_then(|rest| rest.split('"').next());
    let expected = match code {
        ErrorCode::InvalidRequest => Some("invalid_request"),
        ErrorCode::SessionExpired | ErrorCode::SessionInvalid | ErrorCode::RefreshFailed => Some("invalid_token"),
        ErrorCode::InsufficientUserAuthentication => Some("insufficient_user_authentication"),
        ErrorCode::PermissionDenied => Some("insufficient_scope"),
        _ => None,
    };
    assert_eq!(error, expected, "{name}: {challenge:?}");
}

async fn produce(code: ErrorCode, form: Form) -> Answer {
    match code {
        ErrorCode::VaultRequired => by_role(form, "right user", "GET /api/vault/blobs", None).await,
        ErrorCode::VaultLocked => {
            let scene = Scene::new(role("vault holder"), Held::Cookie).await;
            assert_eq!(scene.client().post("/api/vault/lock", &json!({})).await.status, 200);
            let mut client = scene.client();
            prefer(form, &mut client);
            client.get("/api/vault/blobs").await
        }
        ErrorCode::PreconditionRequired => blob(form, "spare", &[], |_| {}).await,
        ErrorCode::PreconditionFailed => blob(form, "spare", &[("if-none-match", "*")], |_| {}).await,
        ErrorCode::BlobTooLarge => blob(form, "new", &[("content-length", "16777217")], |_| {}).await,
        ErrorCode::VaultQuotaExceeded => blob(form, "new", &[], |config| config.vault.blob_limit = 1).await,
        ErrorCode::BadRequest => raw(form, "POST /api/auth/login", &[("content-type", JSON)], "{").await,
        ErrorCode::InvalidRequest => {
            let twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
            raw(form, "GET /api/auth/user", &twice, "").await
        }
        ErrorCode::LinkInvalid => {
            let body = json!({ "token": "ln_unknown", "new_password": OTHER_PASSWORD });
            bare(form).await.ask("POST /api/auth/password/reset", Some(&body)).await
        }
        ErrorCode::InvitationInvalid => register(form, Registration::Invitation, OTHER_PASSWORD).await,
        ErrorCode::RegistrationClosed => register(form, Registration::Closed, OTHER_PASSWORD).await,
        ErrorCode::WeakPassword => register(form, Registration::Open, "password1").await,
        ErrorCode::SessionRequired => bare(form).await.ask("GET /api/auth/user", None).await,
        ErrorCode::SessionInvalid => {
            raw(form, "GET /api/auth/user", &[("authorization", "Bearer wl_unknown")], "").await
        }
        ErrorCode::SessionExpired => bare(form).await.later(Duration::from_secs(13 * 3600), "GET /api/auth/user").await,
        ErrorCode::RefreshFailed => {
            let body = json!({ "refresh_token": "rt_unknown" });
            bare(form).await.ask("POST /api/auth/sessions/refresh", Some(&body)).await
        }
        ErrorCode::InvalidCredentials => bare(form).await.sign_in(OTHER_PASSWORD).await,
        ErrorCode::AccountLocked => {
            let place = bare(form).await;
            for _ in 0..5 {
                assert_eq!(place.sign_in(OTHER_PASSWORD).await.status, 401);
            }
            place.sign_in(PASSWORD).await
        }
        ErrorCode::InsufficientUserAuthentication => {
            let place = bare(form).await;
            let time = place.world.app.options.step_up_max_age + Duration::from_secs(1);
            place.later(time, "DELETE /api/auth/sessions?scope=others").await
        }
        ErrorCode::PermissionDenied => bare(form).await.later(Duration::ZERO, "GET /api/admin/stats").await,
        ErrorCode::CsrfFailed => {
            let body = json!({ "email": ANN, "password": PASSWORD });
            bare(form).await.ask("POST /api/auth/login", Some(&body)).await
        }
        ErrorCode::OriginNotAllowed => {
            let fields = [("cookie", "a=b"), ("origin", "https://evil.example")];
            raw(form, "POST /api/auth/logout", &fields, "").await
        }
        ErrorCode::UnsupportedOption => {
            let place = bare(form).await;
            let mut client = place.client();
            client.get("/api/csrf").await;
            let body = json!({ "email": ANN, "password": PASSWORD, "session_type": "standard" });
            client.post("/api/auth/login", &body).await
        }
        ErrorCode::PasswordChangeRequired => {
            by_role(form, "must change password", "GET /api/auth/sessions", None).await
        }
        ErrorCode::SetupClosed => by_role(form, "administrator", "GET /setup", None).await,
        ErrorCode::EmailTaken => {
            let body = json!({ "email": ANN, "name": "Ann" });
            by_role(form, "administrator", "POST /api/admin/users", Some(body)).await
        }
        ErrorCode::Conflict => {
            let body = json!({ "name": "shop", "permissions": [], "expires_in": 3600 });
            by_role(form, "administrator", "POST /api/admin/service-keys", Some(body)).await
        }
        ErrorCode::SessionLimitReached => {
            let refuse = Concurrency { most: 1, at_limit: AtLimit::Refuse };
            let place = place(form, |config| standard(config, |kind| kind.concurrency = refuse)).await;
            assert_eq!(place.sign_in(PASSWORD).await.status, 200);
            place.sign_in(PASSWORD).await
        }
        ErrorCode::NotFound => bare(form).await.ask("GET /nowhere", None).await,
        ErrorCode::MethodNotAllowed => bare(form).await.ask("DELETE /api/auth/login", None).await,
        ErrorCode::RequestTimeout => unfinished(bare(form).await).await,
        ErrorCode::Timeout => {
            let short = |config: &mut Config| config.server.request_timeout = Duration::from_secs(5);
            unfinished(place(form, short).await).await
        }
        ErrorCode::LengthRequired => {
            let fields = [("content-type", JSON), (TRANSFER_ENCODING.as_str(), "chunked")];
            raw(form, "POST /api/auth/login", &fields, "{}").await
        }
        ErrorCode::PayloadTooLarge => {
            let fields = [("content-type", JSON), ("content-length", "65537")];
            raw(form, "POST /api/auth/login", &fields, "{}").await
        }
        ErrorCode::UriTooLong => raw(form, &format!("GET /healthz?{}", "a".repeat(8192)), &[], "").await,
        ErrorCode::HeadersTooLarge => raw(form, "GET /healthz", &[("x-long", &"a".repeat(32 * 1024))], "").await,
        ErrorCode::UnsupportedMediaType => {
            raw(form, "POST /api/auth/login", &[("content-type", "text/plain")], "{}").await
        }
        ErrorCode::ValidationFailed => bare(form).await.ask("POST /api/auth/login", Some(&json!({}))).await,
        ErrorCode::RateLimited => {
            let once = Rate { count: 1, period: Duration::from_secs(3600) };
            let place = place(form, |config| config.rate_limits.login = Some(once)).await;
            assert_eq!(place.sign_in(PASSWORD).await.status, 200);
            place.sign_in(PASSWORD).await
        }
        ErrorCode::InternalError => {
            let lifetime = Duration::from_secs(900);
            let jwt = |kind: &mut Policy| kind.token_format = TokenFormat::Jwt { lifetime };
            let place = place(form, |config| standard(config, jwt)).await;
            place.world.app.manager.set_signing_keys(KeySet::default());
            place.sign_in(PASSWORD).await
        }
        ErrorCode::Overloaded => overloaded(form).await,
        ErrorCode::StoreUnavailable => {
            let place = bare(form).await;
            place.world.store.as_ref().unwrap().take_down();
            place.sign_in(PASSWORD).await
        }
    }
}

/// A deployment with Ann in it, and the form that clients ask errors in.
struct Place {
    world: World,
    form: Form,
}

async fn bare(form: Form) -> Place {
    place(form, |_| {}).await
}

async fn place(form: Form, change: impl FnOnce(&mut Config)) -> Place {
    let world = World::with(Keeping::Memory, change).await;
    world.person(ANN, &[]).await;
    Place { world, form }
}

impl Place {
    fn client(&self) -> Client<'_> {
        let mut client = self.world.client();
        prefer(self.form, &mut client);
        client
    }

    async fn ask(&self, line: &str, body: Option<&Value>) -> Answer {
        self.client().ask(line, body).await
    }

    async fn sign_in(&self, password: &str) -> Answer {
        let body = json!({ "email": ANN, "password": password, "transport": "bearer" });
        self.ask("POST /api/auth/login", Some(&body)).await
    }

    /// What Ann gets who signed in this long ago.
    async fn later(&self, time: Duration, line: &str) -> Answer {
        let (mut client, _) = self.world.with_tokens(ANN).await;
        prefer(self.form, &mut client);
        self.world.pass(time);
        client.ask(line, None).await
    }
}

fn prefer(form: Form, client: &mut Client<'_>) {
    match form {
        Form::Ours => {}
        Form::Problem => client.fields.push((ACCEPT.to_string(), "application/problem+json".to_owned())),
    }
}

/// Changes the kind of session that bearer clients get.
fn standard(config: &mut Config, change: impl Fn(&mut Policy)) {
    let kinds = config.kinds.iter().map(|(name, policy)| {
        let mut policy = policy.clone();
        if name.as_str() == "standard" {
            change(&mut policy);
        }
        (name.clone(), policy)
    });
    config.kinds = Kinds::new(kinds.collect(), 1).unwrap();
}

/// A request with these fields and no others.
async fn raw(form: Form, line: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    let place = bare(form).await;
    let client = place.client();
    let (mut parts, _) = client.request(line, None).into_parts();
    for (name, value) in fields {
        let (name, value): (HeaderName, _) = (name.parse().unwrap(), HeaderValue::from_str(value).unwrap());
        parts.headers.append(name, value);
    }
    client.ask_as_is(Request::from_parts(parts, Body::from(body.to_owned()))).await
}

async fn by_role(form: Form, name: &str, line: &str, body: Option<Value>) -> Answer {
    let scene = Scene::new(role(name), Held::Cookie).await;
    let mut client = scene.client();
    prefer(form, &mut client);
    client.ask(line, body.as_ref()).await
}

/// What whoever holds a vault is told who writes to it.
async fn blob(form: Form, name: &str, fields: &[(&str, &str)], change: impl FnOnce(&mut Config)) -> Answer {
    let scene = Scene::with(role("vault holder"), Held::Cookie, change).await;
    let mut client = scene.client();
    prefer(form, &mut client);
    let mut asked = with_body(client.request(&format!("PUT /api/vault/blobs/{name}"), None), OCTETS, "ciphertext");
    for (name, value) in fields {
        asked.headers_mut().insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    client.ask_as_is(asked).await
}

async fn register(form: Form, registration: Registration, password: &str) -> Answer {
    let place = place(form, |config| config.accounts.registration = registration).await;
    let body = json!({ "email": "bob@example.com", "name": "Bob", "password": password });
    place.ask("POST /api/auth/register", Some(&body)).await
}

/// A request whose body never comes to its end.
async fn unfinished(place: Place) -> Answer {
    let client = place.client();
    let (mut sender, body) = Channel::<Bytes>::new(1);
    sender.send_data(Bytes::from_static(b"{")).await.unwrap();
    let (parts, _) = with_body(client.request("POST /api/auth/login", None), JSON, "{").into_parts();
    tokio::time::pause();
    let answer = client.ask_as_is(Request::from_parts(parts, Body::new(body))).await;
    drop(sender);
    answer
}

/// A sign-in while the only place for hashing is taken.
async fn overloaded(form: Form) -> Answer {
    let place = place(form, |config| {
        config.password.concurrency = 1;
        config.password.queue = 0;
    })
    .await;
    let (release, held) = std::sync::mpsc::channel::<()>();
    // The first sign-in has the place, and waits for the one thread that hashes.
    let thread = tokio::task::spawn_blocking(move || held.recv());
    let first = place.sign_in(PASSWORD);
    let second = async {
        let answer = place.sign_in(PASSWORD).await;
        release.send(()).unwrap();
        answer
    };
    let (first, second) = tokio::join!(biased; first, second);
    assert_eq!(first.status, 200);
    thread.await.unwrap().unwrap();
    second
}
