//! Attacks on sessions that a browser holds in a cookie, and what they must come to.

mod cross_site;
mod ends;
mod events;
mod floods;
mod headers;
mod hostile_text;
mod idle;
mod lookup_timing;
mod neighbours;
mod planted;
mod proxies;
mod wire;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wayleave_core::id::Slot;
use wayleave_core::routing::RoutingKey;
use wayleave_core::token::SessionToken;

use super::people::ADMIN;
use super::support::Answer;
use super::world::{Client, World};

/// The session cookie.
const SESSION: &str = "__Host-id";
/// The readable cookie of the double submit.
const CSRF: &str = "csrf-token";
/// What CSRF tokens are bound to before sign-in.
const PRE_SESSION: &str = "__Host-pre";

const ANN: &str = "ann@example.com";
const BOB: &str = "bob@example.com";

/// A well-formed session token that nobody issued.
fn unknown_token(seed: u64) -> String {
    let mut random = [0x5a; 32];
    random[..8].copy_from_slice(&seed.to_be_bytes());
    SessionToken::new(random, Slot(7), &RoutingKey::new([1; 16])).reveal().to_string()
}

/// The cookies that an answer sets, whole, by name. No name comes twice (R035).
fn cookies(answer: &Answer) -> BTreeMap<String, String> {
    let mut cookies = BTreeMap::new();
    for field in answer.headers.get_all("set-cookie") {
        let text = field.to_str().unwrap().to_owned();
        let name = text.split('=').next().unwrap().to_owned();
        assert_eq!(cookies.insert(name.clone(), text), None, "{name} is set twice");
    }
    cookies
}

fn is_removal(cookie: &str) -> bool {
    cookie.contains("=; ") && cookie.contains("Max-Age=0;")
}

/// Status and body, without what differs from request to request.
fn face(answer: &Answer) -> (u16, Value) {
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    if let Some(error) = body.get_mut("error").and_then(Value::as_object_mut) {
        error.remove("request_id");
    }
    (answer.status.as_u16(), body)
}

impl World {
    /// A client whose jar holds this session cookie and nothing else.
    fn holding(&self, token: &str) -> Client<'_> {
        let mut client = self.client();
        client.jar.insert(SESSION.into(), token.into());
        client
    }

    /// The answer to a session cookie that nobody issued: what every dead one must look like (401u).
    async fn unknown(&self, line: &str) -> (u16, Value) {
        face(&self.holding(&unknown_token(u64::MAX)).ask(line, None).await)
    }

    /// Shows `token` as a cookie and as a bearer token; either is answered like one that nobody issued.
    async fn assert_unknown(&self, token: &str, why: &str) {
        let line = "GET /api/auth/session";
        let expected = self.unknown(line).await;
        assert_eq!(expected.0, 401);
        assert_eq!(face(&self.holding(token).ask(line, None).await), expected, "{why}, as a cookie");
        let mut bearer = self.client();
        bearer.bearer = Some(token.into());
        assert_eq!(face(&bearer.ask(line, None).await), expected, "{why}, as a bearer token");
    }

    /// The names and reasons of the audit rows since the last call, with `seen` counting along; sorted.
    async fn events(&self, seen: &mut usize) -> Vec<String> {
        let rows = self.audit().await;
        let mut new: Vec<String> = rows[*seen..]
            .iter()
            .map(|row| match &row.reason {
                Some(reason) => format!("{} {reason}", row.event),
                None => row.event.to_string(),
            })
            .collect();
        *seen = rows.len();
        new.sort_unstable();
        new
    }
}

impl Client<'_> {
    fn token(&self) -> String {
        self.jar[SESSION].clone()
    }

    /// The status of a request that needs a session.
    async fn status(&mut self) -> u16 {
        self.get("/api/auth/session").await.status.as_u16()
    }

    /// Sets the administrators' session timeout.
    async fn set_timeout(&mut self, minutes: u16) -> Answer {
        let mut settings = self.get("/api/admin/settings").await.json()["data"].clone();
        settings["policy"]["session_timeout_minutes"] = json!(minutes);
        self.put("/api/admin/settings", &settings).await
    }

    /// The handle of the session.
    async fn handle(&mut self) -> String {
        self.get("/api/auth/sessions/current").await.json()["data"]["session_id"].as_str().unwrap().to_owned()
    }
}
