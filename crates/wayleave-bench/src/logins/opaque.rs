//! A client that signs in by OPAQUE. It stretches no key, which is the client's affair and would only make the server wait.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wayleave::SystemEntropy;
use wayleave_testkit::opaque::OpaqueClient;

use crate::http::client::{Client, Request};
use crate::problem::Problem;

static ENTROPY: SystemEntropy = SystemEntropy;
const CLIENT: OpaqueClient<'_> = OpaqueClient::new("seven grey herons at dusk", &ENTROPY);
/// The server's default.
const STRETCHING: [(&str, u32); 3] = [("iterations", 3), ("memory_kib", 65_536), ("parallelism", 4)];

/// Makes an account.
pub(super) fn register(client: &mut Client, email: &str) -> Result<(), Problem> {
    let (request, registering) = CLIENT.register();
    let start = json!({ "identifier": email, "request": URL_SAFE_NO_PAD.encode(request) });
    let response = decode(&post(client, "/api/auth/opaque/register/start", start)?.text_at("/data/response")?)?;
    let (upload, _) = CLIENT.upload(registering, &response);
    let stretching: Value = STRETCHING.into_iter().collect();
    let finish = json!({
        "identifier": email, "name": "A Person", "upload": URL_SAFE_NO_PAD.encode(upload), "key_stretching": stretching,
    });
    post(client, "/api/auth/opaque/register/finish", finish).map(drop)
}

/// Both halves of a login.
pub(super) fn sign_in(client: &mut Client, email: &str) -> Result<(), Problem> {
    let (ke1, logging_in) = CLIENT.log_in();
    let start = json!({ "identifier": email, "request": URL_SAFE_NO_PAD.encode(ke1) });
    let started = post(client, "/api/auth/opaque/login/start", start)?;
    let ke2 = decode(&started.text_at("/data/response")?)?;
    let finished = CLIENT.finish(logging_in, &ke2, None).ok_or(Problem::Defect("KE2 does not open"))?;
    let finish = json!({
        "login_id": started.text_at("/data/login_id")?, "finish": URL_SAFE_NO_PAD.encode(finished.ke3),
        "transport": "bearer",
    });
    post(client, "/api/auth/opaque/login/finish", finish).map(drop)
}

fn post(client: &mut Client, path: &'static str, body: Value) -> Result<crate::http::client::Answer, Problem> {
    client.ask(&Request { method: "POST", path, headers: &[], body: Some(body) })
}

fn decode(text: &str) -> Result<Vec<u8>, Problem> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Problem::Defect("the server's answer is no base64url"))
}
