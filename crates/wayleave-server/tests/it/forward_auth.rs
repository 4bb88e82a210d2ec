//! Forward-auth over HTTP: what a reverse proxy is told, and that nobody can tell it something else.

use std::time::Duration;

use serde_json::json;

use crate::jwt_sessions::{jwks, read_with};
use crate::people::{ANN, unknown_access, with_jwt_kind};
use crate::support::{Answer, request};
use crate::world::{Client, Keeping, ORIGIN, World};

const VERIFY: &str = "/api/auth/verify";
const NAMES: [&str; 5] =
    ["x-wayleave-subject", "x-wayleave-session", "x-wayleave-kind", "x-wayleave-permissions", "x-wayleave-assertion"];

async fn world() -> World {
    let world = World::with(Keeping::Memory, with_jwt_kind).await;
    world.person(ANN, &["read:profile", "write:messages"]).await;
    world
}

/// What a proxy asks on behalf of a request with these headers.
async fn ask(client: &Client<'_>, cookie: &str, more: &[(&str, &str)]) -> Answer {
    let cookie = format!("__Host-id={cookie}");
    let fields = [&[("cookie", &*cookie)], more].concat();
    client.ask_as_is(request(&format!("GET {VERIFY}"), &fields, "")).await
}

/// DESIGN 6.14: a 200 has every header once, also those with nothing to say, and what a client wrote into them is
/// gone; a refusal has none.
#[tokio::test]
async fn every_header_is_there_and_ours() {
    let world = world().await;
    world.person("bare@example.com", &[]).await;
    for (email, kind, permissions) in [
        (ANN, "standard", "read:profile write:messages"),
        (ANN, "api", "read:profile write:messages"),
        ("bare@example.com", "standard", ""),
    ] {
        let mut client = world.client();
        let data = client.tokens(email, kind).await;
        for spoofed in [false, true] {
            if spoofed {
                for name in NAMES.iter().chain(&["x-wayleave-whatever", "x_wayleave_subject"]) {
                    client.fields.push(((*name).into(), "user:user_AAAAAAAAAAAAAAAAAAAAAA admin".into()));
                }
            }
            let answer = client.get(VERIFY).await;
            answer.assert_status(200);
            assert_eq!(answer.text(), "");
            for name in NAMES {
                assert!(answer.header(name).is_some(), "{name} is missing");
            }
            let account = world.app.directory.accounts.by_email(&email.parse().unwrap()).await.unwrap().unwrap();
            assert_eq!(answer.header(NAMES[0]), Some(&*format!("user:{}", account.id)));
            assert_eq!(answer.header(NAMES[1]), data["session_id"].as_str());
            assert_eq!(answer.header(NAMES[2]), Some(kind));
            assert_eq!(answer.header(NAMES[3]), Some(permissions));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        let denied = client.get(&format!("{VERIFY}?permission=admin")).await;
        client.bearer = Some(unknown_access());
        for refused in [denied, client.get(VERIFY).await, {
            client.bearer = None;
            client.get(VERIFY).await
        }] {
            assert!([401, 403].contains(&refused.status.as_u16()));
            assert!(
                !refused.headers.keys().any(|name| name.as_str().starts_with("x-wayleave")),
                "{:?}",
                refused.headers
            );
        }
    }
}

/// DESIGN 5: a permission is held by the session right now or it is not; nothing but its exact name holds it.
#[tokio::test]
async fn permissions_are_asked_for_by_name() {
    let world = world().await;
    let (mut ann, _) = world.with_tokens(ANN).await;
    for (query, status) in [
        ("", 200),
        ("?permission=read:profile", 200),
        ("?permission=write:messages", 200),
        ("?permission=read%3Aprofile", 200),
        ("?permission=read:profil", 403),
        ("?permission=READ:PROFILE", 403),
        ("?permission=read:profile%20write:messages", 403),
        ("?permission=", 403),
        ("?permission=admin", 403),
        ("?permission=read:profile&permission=admin", 400),
        ("?permission=read:profile&whatever=1", 400),
        ("?scope=admin", 400),
    ] {
        let answer = ann.get(&format!("{VERIFY}{query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{query} {}", answer.text());
    }
    let denied = ann.get(&format!("{VERIFY}?permission=admin")).await;
    denied.assert_code(403, "permission_denied");
    let challenge = denied.header("www-authenticate").unwrap();
    assert!(challenge.contains("insufficient_scope") && challenge.contains("scope=\"admin\""), "{challenge}");
    for hostile in ["%22%0d%0aset-cookie:%20a=b", "%00", "a%22,error=%22x", "%F0%9F%94%91", "%ff"] {
        let answer = ann.get(&format!("{VERIFY}?permission={hostile}")).await;
        assert!([400, 403].contains(&answer.status.as_u16()), "{hostile}");
        assert!(
            !answer.text().contains("permission\":") && !answer.headers.contains_key("www-authenticate"),
            "{hostile}"
        );
        assert!(!answer.headers.contains_key("set-cookie"));
    }
}

/// DESIGN 6.14, R047: an unsafe original request with a cookie needs one of our origins, whichever header tells the
/// method and whatever the client writes into the other one; one with a bearer token does not.
#[tokio::test]
async fn unsafe_requests_are_judged_by_origin() {
    let world = world().await;
    let browser = world.signed_in(ANN).await;
    let cookie = browser.jar["__Host-id"].clone();
    let (own, foreign) = (("origin", ORIGIN), ("origin", "https://evil.example"));
    let link = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let from = |site, more: &[(&'static str, &'static str)]| [&[("sec-fetch-site", site)], &link[..], more].concat();
    let (followed, within) = (from("cross-site", &[]), from("same-site", &[]));
    let (posted, hidden) = (from("cross-site", &[foreign]), from("cross-site", &[("origin", "null")]));
    let (told, twice) = (from("cross-site", &[("x-original-method", "POST")]), from("cross-site", &link[1..]));
    let cases: [(&[(&str, &str)], u16); 31] = [
        // The method is not told: whatever tells where it comes from is judged as though it changed something.
        (&[], 200),
        (&[own], 200),
        (&[("sec-fetch-site", "same-origin")], 200),
        (&[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")], 200),
        (&[foreign], 403),
        (&[("origin", "null")], 403),
        (&[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate")], 403),
        (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], 403),
        // Only a link that is followed in a whole window passes from anywhere: a form that is posted says its origin.
        (&followed, 200),
        (&within, 200),
        (&posted, 403),
        (&hidden, 403),
        (&told, 403),
        (&twice, 403),
        (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")], 403),
        (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "document")], 403),
        (&[("x-original-method", "GET"), ("sec-fetch-site", "cross-site")], 200),
        (&[("x-original-method", "GET"), foreign], 200),
        (&[("x-original-method", "HEAD"), foreign], 200),
        (&[("x-original-method", "POST"), own], 200),
        (&[("x-original-method", "POST"), ("sec-fetch-site", "same-origin")], 200),
        (&[("x-original-method", "POST")], 403),
        (&[("x-original-method", "POST"), foreign], 403),
        (&[("x-original-method", "POST"), ("origin", "null")], 403),
        (&[("x-original-method", "DELETE"), ("sec-fetch-site", "cross-site")], 403),
        (&[("x-original-method", "post"), foreign], 403),
        (&[("x-original-method", "GET,POST"), foreign], 403),
        (&[("x-forwarded-method", "PUT"), foreign], 403),
        (&[("x-forwarded-method", "POST"), ("x-original-method", "GET"), foreign], 403),
        (&[("x-original-method", "GET"), ("x-original-method", "POST"), foreign], 403),
        (&[("x-original-method", "POST"), ("x-forwarded-method", "GET"), foreign], 403),
    ];
    for (fields, status) in cases {
        let answer = ask(&browser, &cookie, fields).await;
        assert_eq!(answer.status.as_u16(), status, "{fields:?} {}", answer.text());
        if status == 403 {
            assert_eq!(answer.code(), "origin_not_allowed");
        }
    }
    let (mut bearer, _) = world.with_tokens(ANN).await;
    bearer.fields = vec![("x-original-method".into(), "POST".into()), ("origin".into(), "https://evil.example".into())];
    bearer.get(VERIFY).await.assert_status(200);
}

/// R008, R009, A09, A21: only the configured carriers count, and only one of them at a time.
#[tokio::test]
async fn only_configured_carriers_count() {
    let world = world().await;
    let browser = world.signed_in(ANN).await;
    let cookie = browser.jar["__Host-id"].clone();
    let (_, data) = world.with_tokens(ANN).await;
    let token = data["session_token"].as_str().unwrap();
    for line in [format!("GET {VERIFY}?access_token={token}"), format!("GET {VERIFY};jsessionid={token}")] {
        let answer = browser.ask_as_is(request(&line, &[], "")).await;
        assert!([400, 401, 404].contains(&answer.status.as_u16()), "{line}");
    }
    for (name, value) in
        [("x-session", token), ("x-auth-token", token), ("x-forwarded-user", "admin"), ("x-user-id", "1")]
    {
        let answer = browser.ask_as_is(request(&format!("GET {VERIFY}"), &[(name, value)], "")).await;
        answer.assert_code(401, "session_required");
    }
    let both = format!("Bearer {token}");
    ask(&browser, &cookie, &[("authorization", &both)]).await.assert_code(400, "invalid_request");
}

/// DESIGN 6.14: the assertion is signed with a published key, says whose request it is, lives 30 seconds, and is no
/// access token.
#[tokio::test]
async fn the_assertion_proves_where_the_headers_come_from() {
    let world = world().await;
    let mut browser = world.signed_in(ANN).await;
    let answer = browser.get(VERIFY).await;
    let assertion = answer.header("x-wayleave-assertion").unwrap();
    let (header, claims) = read_with(&jwks(&world).await, assertion).unwrap();
    assert_eq!(header["typ"], json!("wayleave-assertion+jwt"));
    let now = world.app.now().as_seconds();
    assert_eq!((&claims["iat"], &claims["exp"]), (&json!(now), &json!(now + 30)));
    assert_eq!(claims["sub"].as_str(), answer.header("x-wayleave-subject"));
    assert_eq!(claims["sid"].as_str(), answer.header("x-wayleave-session"));
    assert_eq!(claims["scope"].as_str(), answer.header("x-wayleave-permissions"));
    assert_eq!(claims["iss"], json!(ORIGIN));
    let again = browser.get(VERIFY).await;
    assert_ne!(again.header("x-wayleave-assertion"), Some(assertion));
    let unknown = browser.get_with(&unknown_access(), "/api/auth/user").await;
    assert_eq!(browser.get_with(assertion, "/api/auth/user").await.masked(), unknown.masked());
}

/// A13, R013: a proxy learns of an end at the next request, and asking on behalf of a user is that user's activity.
#[tokio::test]
async fn a_proxy_learns_of_every_end() {
    let world = world().await;
    let mut browser = world.signed_in(ANN).await;
    for _ in 0..4 {
        world.pass(Duration::from_secs(20 * 60));
        browser.get(VERIFY).await.assert_status(200);
    }
    world.pass(Duration::from_secs(30 * 60));
    browser.get(VERIFY).await.assert_code(401, "session_expired");
    let mut browser = world.signed_in(ANN).await;
    let cookie = browser.jar["__Host-id"].clone();
    browser.post("/api/auth/logout", &json!({})).await.assert_status(200);
    ask(&browser, &cookie, &[]).await.assert_code(401, "session_invalid");
}
