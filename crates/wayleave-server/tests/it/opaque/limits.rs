//! Fifty logins of one account that are finished at once, at a limit of three, where several servers share the stores.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::{LOGIN_FINISH, LOGIN_START, client, decode, encode, finish_body, ke1};
use crate::fleet::{Fleet, Sessions, email};
use crate::process::ask;
use crate::vault::several::move_to_opaque;
use crate::world::OTHER_PASSWORD;

const LOGINS: usize = 50;
const LIMIT: usize = 3;

/// R024: three are left and no more, each answer says whom it evicted, and each eviction is a row of its own in the log.
async fn parallel_logins_keep_the_limit(sessions: Sessions) {
    let fleet = Fleet::start(sessions, "prompt").await;
    move_to_opaque(&fleet).await;
    let mut bodies = Vec::new();
    for _ in 0..LOGINS {
        let (request, state) = ke1(OTHER_PASSWORD);
        let start = json!({ "identifier": email(0), "request": request });
        let answer = fleet.servers[0].post(LOGIN_START, &start).await.unwrap().json();
        let ke2 = decode(&answer["data"]["response"]);
        let ke3 = encode(client(OTHER_PASSWORD).finish(state, &ke2, None).unwrap().ke3);
        let mut body = finish_body(answer["data"]["login_id"].as_str().unwrap(), &ke3);
        body["session_type"] = "three".into();
        bodies.push(body);
    }
    let barrier = Arc::new(Barrier::new(LOGINS));
    let mut tasks = tokio::task::JoinSet::new();
    for (number, body) in bodies.into_iter().enumerate() {
        let (address, barrier) = (fleet.servers[number % fleet.servers.len()].address, Arc::clone(&barrier));
        tasks.spawn(async move {
            barrier.wait().await;
            let answer = ask(address, "POST", LOGIN_FINISH, &[], Some(&body)).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.json()["data"].take()
        });
    }
    let opened: Vec<Value> = tasks.join_all().await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut evicted: Vec<_> =
        opened.iter().flat_map(|data| data["evicted"].as_array().cloned().unwrap_or_default()).collect();
    assert_eq!(evicted.len(), LOGINS - LIMIT, "each answer says which sessions made room for its own");
    evicted.sort_unstable_by_key(Value::to_string);
    evicted.dedup();
    assert_eq!(evicted.len(), LOGINS - LIMIT, "each once");
    let mut live = Vec::new();
    for data in &opened {
        let mut statuses = Vec::new();
        for server in 0..fleet.servers.len() {
            statuses.push(fleet.validate(server, &text(&data["session_token"])).await);
        }
        let is_evicted = evicted.contains(&data["session_id"]);
        assert_eq!(statuses, if is_evicted { [401; 3] } else { [200; 3] });
        if !is_evicted {
            live.push(text(&data["session_token"]));
        }
    }
    assert_eq!(live.len(), LIMIT);
    let bearer = format!("Bearer {}", live[0]);
    let fields = [("authorization", bearer.as_str())];
    let listed = ask(fleet.servers[0].address, "GET", "/api/auth/sessions?limit=200", &fields, None).await.unwrap();
    let listed = listed.json()["data"]["items"].take();
    let of_kind = listed.as_array().unwrap().iter().filter(|item| item["session_type"] == "three").count();
    assert_eq!(of_kind, LIMIT, "what the owner sees");
    let mut logged = 0;
    // Rows are written soon after the answers.
    for _ in 0..50 {
        let rows = fleet.command(&["audit", "list", "--event", "session.evicted", "--limit", "200", "--json"]).await;
        logged = String::from_utf8(rows.stdout).unwrap().matches("session.evicted").count();
        if logged >= LOGINS - LIMIT {
            break;
        }
    }
    assert_eq!(logged, LOGINS - LIMIT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_logins_keep_the_limit_on_postgres() {
    parallel_logins_keep_the_limit(Sessions::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_logins_keep_the_limit_on_redis() {
    parallel_logins_keep_the_limit(Sessions::Redis).await;
}
