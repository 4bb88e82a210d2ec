//! The FastAPI application of `examples/opaque-vault`, in a real uvicorn, behind the real server.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::nginx::free_address;
use super::process::{Process, ask, command};
use super::python;

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "let me in for good reason";
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/opaque-vault");
const ISSUER: &str = "https://auth.example.org";

/// R073, R061: opaque tokens and JWTs get in, what is forged, over or revoked does not, at once; and nobody does while the
/// server cannot be asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dependency_knows_live_sessions_from_others() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let issuer = format!("jwt.issuer={ISSUER}");
    let settings = ["kinds.api.token_format=jwt", "kinds.api.permissions=read:profile", &issuer];
    let server = Process::start(&data, &settings).await;
    server.set_up(&data, EMAIL, PASSWORD).await;
    let key = command(&data, &["service-key", "add", "api", "--quiet"]).await;
    assert!(key.status.success());
    let (_uvicorn, api) = uvicorn(server.address, String::from_utf8(key.stdout).unwrap().trim()).await;
    let me = async |token: &str| get(api, "/me", token).await;

    let [opaque, jwt] = [sign_in(&server, "standard").await, sign_in(&server, "api").await];
    for (session, methods) in [(&opaque, json!(["pwd"])), (&jwt, json!(["pwd"]))] {
        let (status, answer) = me(token(session)).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!((&answer["session"], &answer["methods"]), (&session["session_id"], &methods));
        assert!(answer["subject"].as_str().unwrap().starts_with("user:user_"), "{answer}");
    }
    assert_eq!(get(api, "/messages", token(&opaque)).await.0, 200);
    assert_eq!(get(api, "/messages", token(&jwt)).await.0, 403);

    let nobody = ask(api, "GET", "/me", &[], None).await.unwrap();
    assert_eq!((nobody.status.as_u16(), &nobody.headers["www-authenticate"]), (401, &"Bearer".parse().unwrap()));
    let lying = forgeries(token(&jwt));
    for forged in lying.iter().map(String::as_str).chain(["nonsense", "a.b.c", "..", &"x".repeat(8193)]) {
        assert_eq!(me(forged).await.0, 401, "{forged}");
    }

    for session in [&opaque, &jwt] {
        let bearer = format!("Bearer {}", token(session));
        let out = server.ask("POST", "/api/auth/logout", &[("authorization", &bearer)], None).await.unwrap();
        assert_eq!(out.status, 200);
        assert_eq!(me(token(session)).await.0, 401, "a session that was ended got in");
    }

    let [opaque, jwt] = [sign_in(&server, "standard").await, sign_in(&server, "api").await];
    assert_eq!([me(token(&opaque)).await.0, me(token(&jwt)).await.0], [200, 200]);
    assert_eq!(server.stop().await, Some(0));
    assert_eq!([me(token(&opaque)).await.0, me(token(&jwt)).await.0], [503, 503]);
    // What is no token of the server's is told without it.
    for forged in forgeries(token(&jwt)) {
        assert_eq!(me(&forged).await.0, 401, "{forged}");
    }
}

/// The same claims with another signature, with none, with another key's name, and with more permissions.
fn forgeries(jwt: &str) -> [String; 4] {
    let [head, claims, signature] = jwt.split('.').collect::<Vec<_>>().try_into().unwrap();
    let read = |part: &str| -> Value { serde_json::from_slice(&B64.decode(part).unwrap()).unwrap() };
    let write = |value: &Value| B64.encode(value.to_string());
    let mut flipped = B64.decode(signature).unwrap();
    flipped[0] ^= 1;
    let mut other_key = read(head);
    other_key["kid"] = json!(["a"]);
    let mut more = read(claims);
    more["scope"] = json!("read:profile write:messages");
    [
        format!("{head}.{claims}.{}", B64.encode(flipped)),
        format!("{}.{claims}.", write(&json!({ "alg": "none", "typ": "at+jwt" }))),
        format!("{}.{claims}.{signature}", write(&other_key)),
        format!("{head}.{}.{signature}", write(&more)),
    ]
}

/// What a sign-in with bearer tokens answers.
async fn sign_in(server: &Process, kind: &str) -> Value {
    let body = json!({ "email": EMAIL, "password": PASSWORD, "transport": "bearer", "session_type": kind });
    let answer = server.post("/api/auth/login", &body).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["data"].clone()
}

fn token(session: &Value) -> &str {
    session["session_token"].as_str().unwrap()
}

async fn get(api: SocketAddr, path: &str, token: &str) -> (u16, Value) {
    let bearer = format!("Bearer {token}");
    let answer = ask(api, "GET", path, &[("authorization", &bearer)], None).await.unwrap();
    (answer.status.as_u16(), answer.json())
}

/// The application, where it listens.
async fn uvicorn(wayleave: SocketAddr, key: &str) -> (Child, SocketAddr) {
    let requirements = Path::new(EXAMPLE).join("requirements.txt");
    let text = std::fs::read_to_string(&requirements).unwrap();
    let held = text.lines().filter(|line| line.contains("==")).collect::<String>();
    let programs =
        python::installed("fastapi", &["--require-hashes", "-r", requirements.to_str().unwrap()], &held).await;
    let free = free_address();
    let child = Command::new(programs.join("uvicorn"))
        .args(["api:app", "--host", "127.0.0.1", "--port", &free.port().to_string(), "--log-level", "warning"])
        .current_dir(EXAMPLE)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("WAYLEAVE_URL", format!("http://{wayleave}"))
        .env("WAYLEAVE_ISSUER", ISSUER)
        .env("WAYLEAVE_SERVICE_KEY", key)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    while ask(free, "GET", "/openapi.json", &[], None).await.is_err() {
        tokio::task::yield_now().await;
    }
    (child, free)
}
