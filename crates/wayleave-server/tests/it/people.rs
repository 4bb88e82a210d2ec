//! People, services and kinds that many tests need, and answers made comparable.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::DATE;
use serde_json::{Value, json};
use wayleave_core::id::Slot;
use wayleave_core::permission::Ceiling;
use wayleave_core::policy::{AtLimit, Kinds, Policy, TokenFormat};
use wayleave_core::routing::RoutingKey;
use wayleave_core::token::{RefreshToken, SessionToken};
use wayleave_server::config::Config;

use crate::support::{Answer, request};
use crate::world::{Client, World};

/// The administrator's address.
pub(crate) const ADMIN: &str = "admin@example.com";
/// Somebody's address.
pub(crate) const ANN: &str = "ann@example.com";
/// Somebody else's.
pub(crate) const BOB: &str = "bob@example.com";

/// Life of the access tokens of the kind `api`.
pub(crate) const JWT_LIFE: Duration = Duration::from_secs(900);

/// Adds the kind `api`: JWT access tokens, and whatever the account may do.
pub(crate) fn with_jwt_kind(config: &mut Config) {
    let mut kinds: BTreeMap<_, _> = config.kinds.iter().map(|(name, policy)| (name.clone(), policy.clone())).collect();
    let standard = config.kinds.policy(&"standard".parse().unwrap()).unwrap().clone();
    let api = Policy { token_format: TokenFormat::Jwt { lifetime: JWT_LIFE }, ceiling: Ceiling::Any, ..standard };
    kinds.insert("api".parse().unwrap(), api);
    config.kinds = Kinds::new(kinds, config.kinds.epoch()).unwrap();
}

/// Lets a person have so many cookie sessions.
pub(crate) fn limit_web(config: &mut Config, most: u32, at_limit: AtLimit) {
    let mut kinds: BTreeMap<_, _> = config.kinds.iter().map(|(name, policy)| (name.clone(), policy.clone())).collect();
    let web = kinds.get_mut(&"web".parse().unwrap()).unwrap();
    web.concurrency.most = most;
    web.concurrency.at_limit = at_limit;
    config.kinds = Kinds::new(kinds, 2).unwrap();
}

/// A well-formed access token that nobody was given.
pub(crate) fn unknown_access() -> String {
    SessionToken::new([7; 32], Slot(0), &RoutingKey::new([0; 16])).reveal().to_string()
}

/// A well-formed refresh token that nobody was given.
pub(crate) fn unknown_refresh() -> String {
    RefreshToken::new([7; 32], Slot(0), &RoutingKey::new([0; 16])).reveal().to_string()
}

impl World {
    /// How often the log has each event, as soon as it is as `complete` wants it, or after a long wait. For answers
    /// that were made on several threads.
    pub(crate) async fn audit_counts(
        &self,
        complete: impl Fn(&BTreeMap<String, u32>) -> bool,
    ) -> BTreeMap<String, u32> {
        for _ in 0..2000 {
            let mut counts = BTreeMap::new();
            for row in self.audit().await {
                *counts.entry(row.event.to_string()).or_default() += row.count;
            }
            if complete(&counts) {
                return counts;
            }
        }
        panic!("the log never became complete");
    }

    /// An administrator, just signed in by cookie.
    pub(crate) async fn administrator(&self) -> Client<'_> {
        self.person(ADMIN, &["admin"]).await;
        self.signed_in(ADMIN).await
    }

    /// A client that holds this bearer credential.
    pub(crate) fn bearer(&self, credential: &str) -> Client<'_> {
        let mut client = self.client();
        client.bearer = Some(credential.to_owned());
        client
    }

    /// The audit rows of an event.
    pub(crate) async fn audited(&self, event: &str) -> Vec<wayleave_core::ports::AuditRow> {
        self.audit().await.into_iter().filter(|row| &*row.event == event).collect()
    }
}

impl<'a> Client<'a> {
    /// Makes a key for a service; its secret.
    pub(crate) async fn make_service(&mut self, name: &str, permissions: &[&str]) -> String {
        let body = json!({ "name": name, "permissions": permissions, "expires_in": 86_400 });
        let answer = self.post("/api/admin/service-keys", &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["data"]["secret"].as_str().unwrap().to_owned()
    }

    /// Sends a form, as RFC 7009 and RFC 7662 want it.
    pub(crate) async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = serde_urlencoded::to_string(fields).unwrap();
        let credential = format!("Bearer {}", self.bearer.as_deref().unwrap_or_default());
        let length = body.len().to_string();
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded"), ("content-length", &*length)];
        if self.bearer.is_some() {
            headers.push(("authorization", &*credential));
        }
        self.ask_as_is(request(&format!("POST {path}"), &headers, body)).await
    }

    /// Signs in for tokens of a kind; the answer's data.
    pub(crate) async fn tokens(&mut self, email: &str, kind: &str) -> Value {
        let body = json!({
            "email": email, "password": crate::world::PASSWORD, "transport": "bearer", "session_type": kind,
        });
        let answer = self.post("/api/auth/login", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let data = answer.json()["data"].clone();
        self.bearer = Some(data["session_token"].as_str().unwrap().to_owned());
        data
    }

    /// Asks with this credential alone.
    pub(crate) async fn get_with(&self, credential: &str, path: &str) -> Answer {
        self.world.bearer(credential).get(path).await
    }

    /// Exchanges a refresh token.
    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.world.client().post("/api/auth/sessions/refresh", &json!({ "refresh_token": token })).await
    }
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Everything that a client can tell two answers apart by, without the request's id and the date.
    pub(crate) fn masked(&self) -> String {
        let id = self.header("x-request-id").unwrap_or("-").to_owned();
        let mut lines: Vec<String> = self
            .headers
            .iter()
            .filter(|(name, _)| **name != DATE && name.as_str() != "x-request-id")
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        lines.sort();
        format!("{}\n{}\n\n{}", self.status, lines.join("\n"), self.text().replace(&id, "<id>"))
    }

    /// The member of `data`.
    pub(crate) fn data(&self, name: &str) -> String {
        self.json()["data"][name].as_str().unwrap_or_else(|| panic!("{name} in {}", self.text())).to_owned()
    }

    /// Asserts status and code.
    #[track_caller]
    pub(crate) fn assert_code(&self, status: u16, code: &str) {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let found = (self.status.as_u16(), body["error"]["code"].as_str());
        assert_eq!(found, (status, Some(code)), "{}", self.text());
    }

    /// Asserts the status, and shows the body otherwise.
    #[track_caller]
    pub(crate) fn assert_status(&self, status: u16) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
    }
}
