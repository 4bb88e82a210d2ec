//! A vault that is locked at one server, as the others see it.

use serde_json::{Value, json};

use crate::fleet::{Fleet, LEASE, Sessions, email};
use crate::opaque::{CHANGE_FINISH, CHANGE_START, LOGIN_FINISH, LOGIN_START, client, decode, encode, ke1};
use crate::process::{Process, ask};
use crate::world::OTHER_PASSWORD;

async fn asked(server: &Process, method: &str, path: &str, token: &str, body: Option<&Value>) -> Value {
    let bearer = format!("Bearer {token}");
    let answer = ask(server.address, method, path, &[("authorization", bearer.as_str())], body).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()["data"].take()
}

/// Moves the first person of a fleet to OPAQUE, with [`OTHER_PASSWORD`].
pub(crate) async fn move_to_opaque(fleet: &Fleet) {
    let token = fleet.sign_in(0).await;
    let (request, registering) = client(OTHER_PASSWORD).register();
    let start = json!({ "request": encode(request) });
    let started = asked(&fleet.servers[0], "POST", CHANGE_START, &token, Some(&start)).await;
    let (upload, _) = client(OTHER_PASSWORD).upload(registering, &decode(&started["response"]));
    let finish = json!({ "upload": encode(upload), "key_stretching": started["key_stretching"] });
    let bearer = format!("Bearer {token}");
    let fields = [("authorization", bearer.as_str())];
    let finished = ask(fleet.servers[0].address, "POST", CHANGE_FINISH, &fields, Some(&finish)).await.unwrap();
    assert_eq!(finished.status, 200, "{}", finished.text());
}

/// A session of the first person with the vault open.
async fn open(fleet: &Fleet, server: usize) -> String {
    let server = &fleet.servers[server];
    let (request, state) = ke1(OTHER_PASSWORD);
    let start = json!({ "identifier": email(0), "request": request });
    let answer = server.post(LOGIN_START, &start).await.unwrap().json();
    let ke3 = encode(client(OTHER_PASSWORD).finish(state, &decode(&answer["data"]["response"]), None).unwrap().ke3);
    let login = answer["data"]["login_id"].as_str().unwrap();
    let body = json!({ "login_id": login, "finish": ke3, "transport": "bearer", "vault": "write" });
    let answer = server.post(LOGIN_FINISH, &body).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["data"]["session_token"].as_str().unwrap().to_owned()
}

async fn ended(server: &Process, token: &str) -> Option<String> {
    let session = asked(server, "GET", "/api/auth/sessions/current", token, None).await;
    session["vault"]["ended"].as_str().map(str::to_owned)
}

/// Locked on one device, at one server, and felt on the other device, at another server, within the bound of the cache;
/// there the session had been answered for from memory.
async fn a_lock_is_felt_everywhere(sessions: Sessions) {
    let fleet = Fleet::start(sessions, "prompt").await;
    move_to_opaque(&fleet).await;
    for (here, there, scope) in [(0, 1, "all"), (1, 2, "all"), (2, 0, "this")] {
        let (phone, laptop) = (open(&fleet, here).await, open(&fleet, there).await);
        for server in &fleet.servers {
            for token in [&phone, &laptop] {
                for _ in 0..2 {
                    assert_eq!(ended(server, token).await, None);
                }
            }
        }
        let locks = if scope == "all" { &phone } else { &laptop };
        let body = json!({ "scope": scope });
        let locked = asked(&fleet.servers[here], "POST", "/api/vault/lock", locks, Some(&body)).await;
        assert_eq!(locked["locked"], if scope == "all" { 2 } else { 1 });
        assert_eq!(
            ended(&fleet.servers[here], &laptop).await.as_deref(),
            Some("locked"),
            "where it was locked: at once"
        );
        let felt = async { while ended(&fleet.servers[there], &laptop).await.is_none() {} };
        tokio::time::timeout(LEASE, felt).await.expect("felt within the lease");
        let expected = if scope == "all" { Some("locked") } else { None };
        assert_eq!(ended(&fleet.servers[here], &phone).await.as_deref(), expected);
        asked(&fleet.servers[here], "POST", "/api/vault/lock", &phone, Some(&json!({ "scope": "all" }))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_felt_everywhere_on_postgres() {
    a_lock_is_felt_everywhere(Sessions::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_felt_everywhere_on_redis() {
    a_lock_is_felt_everywhere(Sessions::Redis).await;
}
