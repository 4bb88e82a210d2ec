//! Services over HTTP: what a key can do and for how long, introspection that is no oracle, revocation of one's own.

use std::time::Duration;

use serde_json::json;

use crate::people::{ANN, JWT_LIFE, unknown_access, unknown_refresh, with_jwt_kind};
use crate::world::{Client, Keeping, World};

const INACTIVE: &str = r#"{"active":false}"#;

async fn world() -> World {
    let world = World::with(Keeping::Memory, with_jwt_kind).await;
    world.person(ANN, &["read:profile"]).await;
    world
}

async fn open(service: &mut Client<'_>, body: serde_json::Value) -> serde_json::Value {
    let answer = service.post("/api/auth/sessions", &body).await;
    answer.assert_status(201);
    answer.json()["data"].clone()
}

fn text<'a>(data: &'a serde_json::Value, name: &str) -> &'a str {
    data[name].as_str().unwrap()
}

/// DESIGN 6.11: a key speaks for `ext:<its name>:` alone, hands on at most what it has, and never administration,
/// whatever it asks for.
#[tokio::test]
async fn a_key_opens_only_its_own_sessions_under_its_ceiling() {
    let world = world().await;
    let account = world.person("eve@example.com", &["admin"]).await;
    let mut admin = world.administrator().await;
    for wrong in [&["admin"][..], &["read:profile", "admin"], &["vault"], &["vault:read"]] {
        let body = json!({ "name": "greedy", "permissions": wrong, "expires_in": 3600 });
        admin.post("/api/admin/service-keys", &body).await.assert_code(422, "validation_failed");
    }
    let mut shop = world.bearer(&admin.make_service("shop", &["read:profile", "write:messages"]).await);
    for kind in ["standard", "api", "web"] {
        let asked = json!(["read:profile", "admin", "book:sessions"]);
        let data = open(&mut shop, json!({ "subject": "c-17", "session_type": kind, "permissions": asked })).await;
        assert_eq!(data["permissions"], json!(["read:profile"]), "{kind}");
        let mut customer = world.bearer(text(&data, "session_token"));
        let seen = customer.get("/api/auth/sessions/validate").await.json();
        assert_eq!(seen["data"]["subject"], json!("ext:shop:c-17"));
        assert_eq!(seen["data"]["permissions"], json!(["read:profile"]));
        customer.get("/api/admin/stats").await.assert_code(403, "permission_denied");
        customer.get("/api/auth/user").await.assert_code(403, "permission_denied");
    }
    for (subject, becomes) in [
        (format!("user:{}", account.id), format!("ext:shop:user:{}", account.id)),
        ("ext:bank:1".into(), "ext:shop:ext:bank:1".into()),
        ("../bank:1".into(), "ext:shop:../bank:1".into()),
    ] {
        let data = open(&mut shop, json!({ "subject": subject })).await;
        let seen = world.bearer(text(&data, "session_token")).get("/api/auth/sessions/validate").await.json();
        assert_eq!(seen["data"]["subject"], json!(becomes));
    }
    for malformed in ["", " ", "a b", "a\nb", "ä", &"x".repeat(129)] {
        let answer = shop.post("/api/auth/sessions", &json!({ "subject": malformed })).await;
        answer.assert_code(422, "validation_failed");
    }
    for body in [
        json!({ "subject": "a", "session_type": "nothing" }),
        json!({ "subject": "a", "permissions": ["Ä"] }),
        json!({ "subject": "a", "duration": 0 }),
        json!({ "subject": "a", "device": "a\nb" }),
        json!({ "subject": "a", "device": "d".repeat(257) }),
    ] {
        shop.post("/api/auth/sessions", &body).await.assert_code(422, "validation_failed");
    }
    let created = world.audited("session.created").await;
    assert!(created.iter().any(|row| row.actor.as_deref() == Some("service:shop")), "{created:?}");
}

/// R029, DESIGN 6.20: nobody opens a session without a credential, with a person's session, or with a key that is
/// unknown, ended or withdrawn; all unknown keys are answered alike.
#[tokio::test]
async fn only_a_live_key_opens_sessions() {
    let world = world().await;
    let mut admin = world.administrator().await;
    let key = admin.make_service("shop", &[]).await;
    let withdrawn = admin.make_service("gone", &[]).await;
    let body = json!({ "name": "short", "permissions": [], "expires_in": 60 });
    let short = admin.post("/api/admin/service-keys", &body).await.data("secret");
    admin.delete("/api/admin/service-keys/gone").await.assert_status(200);
    let again = json!({ "name": "gone", "permissions": [], "expires_in": 3600 });
    admin.post("/api/admin/service-keys", &again).await.assert_code(409, "conflict");
    world.pass(Duration::from_secs(60));
    let (ann, _) = world.with_tokens(ANN).await;
    let unknown = unknown_access().replace("wl_", "sk_");
    for path in ["/api/auth/sessions", "/api/auth/introspect", "/api/auth/revoke"] {
        let ask = async |credential: Option<&str>| {
            let mut client = world.client();
            client.bearer = credential.map(str::to_owned);
            if path == "/api/auth/sessions" {
                client.post(path, &json!({ "subject": "a" })).await
            } else {
                client.form(path, &[("token", "x")]).await
            }
        };
        ask(None).await.assert_code(401, "session_required");
        let refused = ask(Some(&unknown)).await;
        refused.assert_code(401, "session_invalid");
        for credential in [&*withdrawn, &short, ann.bearer.as_deref().unwrap(), &unknown_access(), "sk_", &key[..53]] {
            assert_eq!(ask(Some(credential)).await.masked(), refused.masked(), "{credential} at {path}");
        }
        assert!(ask(Some(&key)).await.status.is_success(), "{path}");
    }
    // A key is no session, and opens nothing else.
    for path in ["/api/auth/user", "/api/auth/sessions", "/api/admin/stats", "/api/auth/verify"] {
        ann.get_with(&key, path).await.assert_code(401, "session_invalid");
    }
    // Neither does a cookie carry one.
    let mut browser = world.client();
    browser.get("/api/csrf").await.assert_status(200);
    browser.jar.insert("__Host-id".into(), key.clone());
    let answer = browser.post("/api/auth/sessions", &json!({ "subject": "a" })).await;
    assert!(answer.status.is_client_error(), "{}", answer.text());
}

/// DESIGN 4: the sessions of a withdrawn key end with it, opaque or not, warm or not, and refresh no more.
#[tokio::test]
async fn sessions_of_a_withdrawn_key_are_over() {
    let world = world().await;
    let mut admin = world.administrator().await;
    let mut shop = world.bearer(&admin.make_service("shop", &["read:profile"]).await);
    let mut bank = world.bearer(&admin.make_service("bank", &["read:profile"]).await);
    let others = open(&mut bank, json!({ "subject": "a" })).await;
    let mut opened = Vec::new();
    for kind in ["standard", "api"] {
        let data = open(&mut shop, json!({ "subject": "a", "session_type": kind })).await;
        shop.get_with(text(&data, "session_token"), "/api/auth/sessions/current").await.assert_status(200);
        opened.push(data);
    }
    admin.delete("/api/admin/service-keys/shop").await.assert_status(200);
    for data in &opened {
        let answer = shop.get_with(text(data, "session_token"), "/api/auth/sessions/current").await;
        answer.assert_code(401, "session_invalid");
        shop.refresh(text(data, "refresh_token")).await.assert_code(401, "refresh_failed");
    }
    bank.get_with(text(&others, "session_token"), "/api/auth/sessions/current").await.assert_status(200);
}

/// DESIGN 6.11: the sessions of a key end when the key does, in memory too, and refresh no more.
#[tokio::test]
async fn sessions_of_an_ended_key_are_over() {
    let world = world().await;
    let mut admin = world.administrator().await;
    let body = json!({ "name": "shop", "permissions": [], "expires_in": 60 });
    let mut shop = world.bearer(&admin.post("/api/admin/service-keys", &body).await.data("secret"));
    for kind in ["standard", "api"] {
        let data = open(&mut shop, json!({ "subject": "a", "session_type": kind })).await;
        let access = text(&data, "session_token");
        world.pass(Duration::from_secs(29));
        shop.get_with(access, "/api/auth/sessions/current").await.assert_status(200);
        if kind == "api" {
            world.pass(Duration::from_secs(2));
            shop.get_with(access, "/api/auth/sessions/current").await.assert_code(401, "session_invalid");
            shop.refresh(text(&data, "refresh_token")).await.assert_code(401, "refresh_failed");
        }
    }
}

/// R073, A79: whatever proves no session is answered with the same bytes, to services alone, and never stored.
#[tokio::test]
async fn introspection_is_no_oracle() {
    let world = world().await;
    let mut admin = world.administrator().await;
    let shop = world.bearer(&admin.make_service("shop", &[]).await);
    let (mut out, signed_out) = world.with_tokens(ANN).await;
    out.post("/api/auth/logout", &json!({})).await.assert_status(200);
    let (_, expired) = world.with_tokens(ANN).await;
    world.pass(Duration::from_secs(12 * 3600));
    let mut jwt = world.client();
    let jwt_ended = jwt.tokens(ANN, "api").await;
    world.pass(JWT_LIFE);
    let (_, live) = world.with_tokens(ANN).await;
    let foreign = World::with(Keeping::Memory, |config| {
        with_jwt_kind(config);
        config.server.public_url = Some("https://other.example".parse().unwrap());
    })
    .await;
    foreign.person(ANN, &[]).await;
    let for_others = foreign.client().tokens(ANN, "api").await;

    let ask = async |token: &str| shop.form("/api/auth/introspect", &[("token", token)]).await;
    let unknown = ask(&unknown_access()).await;
    unknown.assert_status(200);
    assert_eq!(unknown.text(), INACTIVE);
    assert_eq!(unknown.header("cache-control"), Some("no-store"));
    for (name, token) in [
        ("expired", text(&expired, "session_token")),
        ("revoked", text(&signed_out, "session_token")),
        ("ended jwt", text(&jwt_ended, "session_token")),
        ("wrong audience", text(&for_others, "session_token")),
        ("a refresh token", text(&live, "refresh_token")),
        ("unknown refresh token", &unknown_refresh()),
        ("a service key", shop.bearer.as_deref().unwrap()),
        ("nothing", ""),
        ("rubbish", "\u{0}\n%%"),
    ] {
        assert_eq!(ask(token).await.masked(), unknown.masked(), "{name}");
    }
    let active = ask(text(&live, "session_token")).await.json();
    assert_eq!(active["active"], json!(true));
    assert_eq!(active["sid"], live["session_id"]);
    assert_eq!(active["token_type"], json!("Bearer"));
    assert!(active["sub"].as_str().unwrap().starts_with("user:user_"));
    world.client().form("/api/auth/introspect", &[("token", "x")]).await.assert_code(401, "session_required");
}

/// R016: being asked about keeps no session from going idle.
#[tokio::test]
async fn introspection_is_no_activity() {
    let world = world().await;
    let mut admin = world.administrator().await;
    let shop = world.bearer(&admin.make_service("shop", &[]).await);
    let ann = world.signed_in(ANN).await;
    let cookie = ann.jar["__Host-id"].clone();
    for _ in 0..2 {
        world.pass(Duration::from_secs(14 * 60));
        shop.form("/api/auth/introspect", &[("token", &cookie)]).await.assert_status(200);
    }
    world.pass(Duration::from_secs(2 * 60));
    assert_eq!(shop.form("/api/auth/introspect", &[("token", &cookie)]).await.text(), INACTIVE);
}

/// R072, A79: a service ends its own sessions, by either token and with the whole lineage; everything else is 200 and
/// stays as it is.
#[tokio::test]
async fn revocation_is_for_ones_own() {
    let world = world().await;
    let mut admin = world.administrator().await;
    let mut shop = world.bearer(&admin.make_service("shop", &[]).await);
    let bank = world.bearer(&admin.make_service("bank", &[]).await);
    let (ann, anns) = world.with_tokens(ANN).await;
    let revoke = async |service: &Client<'_>, token: &str| {
        let answer = service.form("/api/auth/revoke", &[("token", token), ("token_type_hint", "access_token")]).await;
        answer.assert_status(200);
        assert_eq!(answer.text(), "");
        answer.masked()
    };
    for kind in ["standard", "api"] {
        for by in ["session_token", "refresh_token"] {
            let data = open(&mut shop, json!({ "subject": "a", "session_type": kind })).await;
            let access = text(&data, "session_token");
            let without_effect = revoke(&bank, text(&data, by)).await;
            shop.get_with(access, "/api/auth/sessions/current").await.assert_status(200);
            assert_eq!(revoke(&shop, text(&data, by)).await, without_effect);
            shop.get_with(access, "/api/auth/sessions/current").await.assert_code(401, "session_invalid");
            shop.refresh(text(&data, "refresh_token")).await.assert_code(401, "refresh_failed");
            assert_eq!(revoke(&shop, text(&data, by)).await, without_effect);
        }
    }
    for token in [text(&anns, "session_token"), text(&anns, "refresh_token"), &unknown_access(), "", "rubbish"] {
        revoke(&shop, token).await;
    }
    ann.get_with(text(&anns, "session_token"), "/api/auth/user").await.assert_status(200);
    ann.refresh(text(&anns, "refresh_token")).await.assert_status(200);
}
