//! A request of every route that succeeds when the right role sends it, and the routes as the router's table has them.

use axum::body::Body;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, IF_MATCH};
use http::{HeaderValue, Request};
use serde_json::{Value, json};
use utoipa::openapi::HttpMethod;
use wayleave_server::access::{Demand, Rules};
use wayleave_server::router::{self, Bodies};

use crate::roles::{ANN, OPAL, Role, STRETCHING, Scene, role};
use crate::world::{Client, OTHER_PASSWORD, PASSWORD};

/// A row of the router's table.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) rules: Rules,
    pub(crate) bodies: Bodies,
}

impl Route {
    /// `METHOD /path`
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Whether the method changes nothing by its definition.
    pub(crate) fn is_safe(&self) -> bool {
        self.method == "GET"
    }

    /// Whether anybody can be let in by what they are: `/metrics` wants a token of the configuration, and without one
    /// there is no such page.
    pub(crate) fn is_there(&self) -> bool {
        self.path != "/metrics"
    }

    /// The role whose request succeeds.
    pub(crate) fn right_role(&self) -> &'static Role {
        role(match self.rules.demand {
            // Demands nothing of the guard, and answers for itself whether there is a session.
            Demand::Nobody if self.path.ends_with("/validate") => "right user",
            Demand::Nobody => "nobody",
            _ if self.path == "/api/auth/opaque/step-up" || self.path.starts_with("/api/vault/") => "vault holder",
            Demand::AnySession | Demand::AnyFresh | Demand::Session | Demand::Fresh => "right user",
            Demand::Admin => "administrator",
            Demand::Service => "service key",
        })
    }
}

/// The router's table.
pub(crate) fn routes() -> Vec<Route> {
    let rows = router::table();
    let routes: Vec<_> = rows
        .iter()
        .map(|row| {
            let (path, method) = row.route().unwrap();
            let method = match method {
                HttpMethod::Get => "GET",
                HttpMethod::Post => "POST",
                HttpMethod::Put => "PUT",
                HttpMethod::Delete => "DELETE",
                HttpMethod::Patch => "PATCH",
                HttpMethod::Options | HttpMethod::Head | HttpMethod::Trace => panic!("{path}"),
            };
            Route { method, path: path.to_owned(), rules: row.rules, bodies: row.bodies }
        })
        .collect();
    assert!(routes.len() > 40);
    routes
}

/// A target and a body.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// `METHOD /path?query`
    pub(crate) line: String,
    /// What else it says in the head.
    pub(crate) field: Option<(&'static str, &'static str)>,
    pub(crate) body: Content,
    /// The version that it changes, where it must say.
    pub(crate) changes: Option<String>,
}

/// A body.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Nothing,
    Json(Value),
    Form(String),
    /// Bytes.
    Octets(&'static str),
}

impl Ask {
    /// The request that `client` would send.
    pub(crate) fn request(&self, client: &Client<'_>) -> Request<Body> {
        let mut request = match &self.body {
            Content::Nothing => client.request(&self.line, None),
            Content::Json(body) => client.request(&self.line, Some(body)),
            Content::Form(form) => with_body(client.request(&self.line, None), FORM, form),
            Content::Octets(octets) => with_body(client.request(&self.line, None), OCTETS, octets),
        };
        if let Some((name, value)) = self.field {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        if let Some(version) = &self.changes {
            request.headers_mut().insert(IF_MATCH, HeaderValue::from_str(&format!("\"{version}\"")).unwrap());
        }
        request
    }

    /// The body's media type and text.
    pub(crate) fn text(&self) -> (&'static str, String) {
        match &self.body {
            Content::Nothing => (JSON, String::new()),
            Content::Json(body) => (JSON, body.to_string()),
            Content::Form(form) => (FORM, form.clone()),
            Content::Octets(octets) => (OCTETS, (*octets).to_owned()),
        }
    }
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const OCTETS: &str = "application/octet-stream";
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// The request with another body.
pub(crate) fn with_body(request: Request<Body>, media: &str, body: &str) -> Request<Body> {
    let (mut parts, _) = request.into_parts();
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_str(media).unwrap());
    parts.headers.insert(CONTENT_LENGTH, body.len().into());
    Request::from_parts(parts, Body::from(body.to_owned()))
}

/// What the right role has to ask of a route to succeed.
pub(crate) fn ask_of(route: &Route, scene: &Scene) -> Ask {
    let fact = |name: &str| scene.fact(name).to_owned();
    let line = route.line();
    let body = match line.as_str() {
        "POST /api/auth/login" => Some(json!({ "email": ANN, "password": PASSWORD, "transport": "bearer" })),
        "POST /api/auth/register" => Some(json!({
            "email": "guest@example.com", "password": OTHER_PASSWORD, "name": "Guest",
            "invitation": fact("invitation_token"),
        })),
        "POST /api/auth/password" => Some(json!({ "current_password": PASSWORD, "new_password": OTHER_PASSWORD })),
        "POST /api/auth/password/reset" => {
            Some(json!({ "token": fact("reset_token"), "new_password": OTHER_PASSWORD }))
        }
        "POST /api/auth/step-up" => Some(json!({ "password": PASSWORD })),
        "POST /setup" => Some(json!({
            "token": fact("setup_token"), "email": "first@example.com", "password": OTHER_PASSWORD, "name": "First",
        })),
        "POST /api/auth/opaque/register/start" => Some(json!({
            "identifier": "opaque@example.com", "request": fact("opaque_request"), "invitation": fact("invitation_token"),
        })),
        "POST /api/auth/opaque/register/finish" => Some(json!({
            "identifier": "opaque@example.com", "name": "Opal", "upload": fact("opaque_upload"),
            "key_stretching": *STRETCHING, "invitation": fact("invitation_token"),
        })),
        "POST /api/auth/opaque/change/start" => Some(json!({ "request": fact("opaque_request") })),
        "POST /api/auth/opaque/change/finish" => {
            Some(json!({ "upload": fact("opaque_upload"), "key_stretching": *STRETCHING }))
        }
        "POST /api/auth/opaque/login/start" => Some(json!({ "identifier": OPAL, "request": fact("opaque_ke1") })),
        "POST /api/auth/opaque/login/finish" => Some(json!({
            "login_id": fact("opaque_login"), "finish": fact("opaque_ke3"), "transport": "bearer",
        })),
        "POST /api/auth/opaque/step-up" => {
            Some(json!({ "login_id": fact("opaque_login"), "finish": fact("opaque_ke3"), "vault": "read" }))
        }
        "PUT /api/vault/key" => Some(json!({ "key": "AAAA" })),
        "POST /api/vault/lock" => Some(json!({ "scope": "all" })),
        "POST /api/auth/sessions" => Some(json!({ "subject": "customer-18" })),
        "POST /api/auth/sessions/refresh" => Some(json!({ "refresh_token": fact("refresh_token") })),
        "POST /api/auth/sessions/extend" => Some(json!({})),
        "PUT /api/admin/settings" => Some(json!({
            "policy": {
                "session_timeout_minutes": 5, "lockout_attempts": 3, "lockout_window_minutes": 15,
                "lockout_minutes": 30, "registration": "closed",
            },
            "revision": 0,
        })),
        "POST /api/admin/users" => Some(json!({ "email": "made@example.com", "name": "Made" })),
        "PATCH /api/admin/users/{id}" => Some(json!({ "role": "Yönetici" })),
        "POST /api/admin/invitations" => Some(json!({})),
        "POST /api/admin/service-keys" => {
            Some(json!({ "name": "another", "permissions": ["read:profile"], "expires_in": 3600 }))
        }
        _ => None,
    };
    let body = match line.as_str() {
        "POST /api/auth/introspect" | "POST /api/auth/revoke" => {
            Content::Form(format!("token={}", fact("session_token")))
        }
        "PUT /api/vault/blobs/{name}" => Content::Octets("ciphertext"),
        _ => body.map_or(Content::Nothing, Content::Json),
    };
    let id = if route.path.starts_with("/api/admin/users/") {
        "user"
    } else if route.path.starts_with("/api/admin/invitations/") {
        "invitation"
    } else {
        "session"
    };
    let query = match line.as_str() {
        "DELETE /api/auth/sessions" => "?scope=others".to_owned(),
        "DELETE /api/admin/sessions" => format!("?subject=user:{}", fact("user")),
        _ => String::new(),
    };
    let (name, field) = match line.as_str() {
        // A blob that is not there yet; the others are about one that is.
        "PUT /api/vault/blobs/{name}" => ("new", None),
        "DELETE /api/vault/blobs/{name}" => ("spare", Some(("if-match", "*"))),
        _ => ("spare", None),
    };
    let line = line.replace("{id}", scene.fact(id)).replace("{name}", name) + &query;
    assert!(!line.contains('{'), "{line}");
    let changes = line.starts_with("PUT /api/vault/key").then(|| fact("vault_key"));
    Ask { line, field, body, changes }
}
