//! The exact answers of the routes that existing clients were written for, as transcripts with ids, secrets and times
//! masked. After a wanted change: `INSTA_UPDATE=always cargo test -p wayleave-server snapshots`.

use std::fmt::Write as _;

use serde_json::{Value, json};
use wayleave_core::ports::Account;
use wayleave_core::time::Timestamp;
use wayleave_server::accounts::change_account;

use crate::roles::{ANN, Held, Scene, role};
use crate::support::Answer;
use crate::world::{Client, PASSWORD, World};

/// What was asked and answered, as text.
struct Transcript<'a> {
    world: &'a World,
    text: String,
}

impl Transcript<'_> {
    async fn ask(&mut self, client: &mut Client<'_>, line: &str, body: Option<Value>) -> Value {
        let answer = client.ask(line, body.as_ref()).await;
        self.note(line, &answer);
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    fn note(&mut self, line: &str, answer: &Answer) {
        let now = self.world.app.now();
        let (method, path) = line.split_once(' ').unwrap();
        let path: Vec<_> = path.split('/').map(|part| mask(part, now)).collect();
        writeln!(self.text, "> {method} {}\n{}", path.join("/"), answer.status.as_u16()).unwrap();
        for name in ["content-type", "cache-control", "clear-site-data", "www-authenticate"] {
            if let Some(value) = answer.header(name) {
                writeln!(self.text, "{name}: {value}").unwrap();
            }
        }
        for cookie in answer.headers.get_all("set-cookie") {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            let (value, attributes) = rest.split_once(';').unwrap();
            let value = if value.is_empty() { "" } else { "[...]" };
            writeln!(self.text, "set-cookie: {name}={value};{attributes}").unwrap();
        }
        let mut body = if answer.body.is_empty() { Value::Null } else { answer.json() };
        mask_all(&mut body, now);
        writeln!(self.text, "{body:#}\n").unwrap();
    }
}

fn mask_all(value: &mut Value, now: Timestamp) {
    match value {
        Value::String(text) => *text = mask(text, now),
        Value::Array(items) => items.iter_mut().for_each(|item| mask_all(item, now)),
        Value::Object(members) => members.values_mut().for_each(|member| mask_all(member, now)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What differs from run to run, by its form: a time becomes its distance from now.
fn mask(text: &str, now: Timestamp) -> String {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return format!("[now {:+} s]", at.as_second() - now.as_seconds());
    }
    // A CSRF token is two runs of base64url, either of which may have an underscore anywhere.
    if text.len() == 87 && text.as_bytes().get(43) == Some(&b'.') {
        return "[87]".to_owned();
    }
    // Ids and tokens have a prefix of letters.
    let (subject, name) = text.strip_prefix("user:").map_or(("", text), |name| ("user:", name));
    match name.split_once('_') {
        Some((prefix, rest))
            if rest.len() >= 22
                && prefix.bytes().all(|byte| byte.is_ascii_lowercase())
                && (2..5).contains(&prefix.len()) =>
        {
            format!("{subject}{prefix}_[{}]", rest.len())
        }
        None | Some(_) => text.to_owned(),
    }
}

/// The routes of Kafkasder's panel, as its client calls them.
#[tokio::test]
async fn sign_in_with_a_cookie() {
    let scene = Scene::new(role("nobody"), Held::Cookie).await;
    let world = &scene.world;
    let ann = world.app.directory.accounts.by_email(&ANN.parse().unwrap()).await.unwrap().unwrap();
    let fill = |account: &mut Account| {
        account.name = "Ann Example".into();
        account.role = "Yönetici".into();
        account.phone = Some("+90 555 000 00 00".into());
        account.labels = vec!["night shift".into()];
        account.avatar = Some("https://example.com/ann.png".into());
    };
    change_account(&world.app, &ann.id, fill).await.unwrap();
    let mut script = Transcript { world, text: String::new() };
    let mut client = world.client();
    script.ask(&mut client, "GET /api/csrf", None).await;
    script.ask(&mut client, "POST /api/auth/login", Some(json!({ "email": ANN, "password": PASSWORD }))).await;
    script.ask(&mut client, "GET /api/auth/session", None).await;
    script.ask(&mut client, "GET /api/auth/user", None).await;
    script.ask(&mut client, "GET /api/csrf", None).await;
    script.ask(&mut client, "POST /api/auth/logout", None).await;
    script.ask(&mut client, "POST /api/auth/logout", None).await;
    script.ask(&mut client, "GET /api/auth/session", None).await;

    let mut remembered = world.client();
    remembered.get("/api/csrf").await;
    let body = json!({ "email": ANN, "password": PASSWORD, "rememberMe": true });
    script.ask(&mut remembered, "POST /api/auth/login", Some(body)).await;

    change_account(&world.app, &ann.id, |account| account.must_change_password = true).await.unwrap();
    let mut sent_away = world.client();
    sent_away.get("/api/csrf").await;
    script.ask(&mut sent_away, "POST /api/auth/login", Some(json!({ "email": ANN, "password": PASSWORD }))).await;
    insta::assert_snapshot!(script.text);
}

/// The routes of sessions, for a client with bearer tokens.
#[tokio::test]
async fn sessions_of_a_bearer_client() {
    let scene = Scene::new(role("nobody"), Held::Bearer).await;
    let world = &scene.world;
    let mut script = Transcript { world, text: String::new() };
    // The newest is listed first.
    world.pass(std::time::Duration::from_secs(1));
    let mut client = world.client();
    client
        .fields
        .push(("user-agent".into(), "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".into()));
    let sign_in = json!({ "email": ANN, "password": PASSWORD, "transport": "bearer" });
    let answer = script.ask(&mut client, "POST /api/auth/login", Some(sign_in)).await;
    let text = |answer: &Value, name: &str| answer["data"][name].as_str().unwrap().to_owned();
    client.bearer = Some(text(&answer, "session_token"));
    world.pass(std::time::Duration::from_secs(60));
    script.ask(&mut client, "GET /api/auth/sessions", None).await;
    script.ask(&mut client, "GET /api/auth/sessions/current", None).await;
    script.ask(&mut client, "GET /api/auth/sessions/validate", None).await;
    let body = json!({ "refresh_token": text(&answer, "refresh_token") });
    let refreshed = script.ask(&mut client, "POST /api/auth/sessions/refresh", Some(body)).await;
    client.bearer = Some(text(&refreshed, "session_token"));
    script.ask(&mut client, "POST /api/auth/sessions/extend", Some(json!({ "duration": 3600 }))).await;
    script.ask(&mut client, &format!("DELETE /api/auth/sessions/{}", scene.fact("session")), None).await;
    script.ask(&mut client, "DELETE /api/auth/sessions?scope=others", None).await;
    script.ask(&mut client, "POST /api/auth/sessions/logout", None).await;
    script.ask(&mut client, "GET /api/auth/sessions/validate", None).await;
    client.bearer = None;
    script.ask(&mut client, "GET /api/auth/sessions/validate", None).await;

    let mut service = world.client();
    service.bearer = Some(scene.fact("service_key").to_owned());
    let body = json!({
        "subject": "customer-17", "duration": 600, "permissions": ["read:profile", "admin"], "device": "Kiosk 4",
    });
    let opened = script.ask(&mut service, "POST /api/auth/sessions", Some(body)).await;
    let mut customer = world.client();
    customer.bearer = Some(text(&opened, "session_token"));
    script.ask(&mut customer, "GET /api/auth/sessions/current", None).await;
    script.ask(&mut customer, "DELETE /api/auth/sessions?scope=all", None).await;
    insta::assert_snapshot!(script.text);
}
