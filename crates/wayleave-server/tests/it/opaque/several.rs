//! A login that begins at one server and ends at another.

use serde_json::json;

use super::{CHANGE_FINISH, CHANGE_START, LOGIN_FINISH, LOGIN_START, client, decode, encode, finish_body, ke1};
use crate::fleet::{Fleet, Sessions, email};
use crate::process::ask;
use crate::world::OTHER_PASSWORD;

/// R111, R115: servers on one store have one setup and one set of logins under way: each half may come to another, and a
/// proof that was spent at one is spent at all.
async fn halves_come_to_different_servers(sessions: Sessions) {
    let fleet = Fleet::start(sessions, "prompt").await;
    let token = fleet.sign_in(0).await;
    let bearer = format!("Bearer {token}");
    let fields = [("authorization", bearer.as_str())];
    let (request, registering) = client(OTHER_PASSWORD).register();
    let start = json!({ "request": encode(request) });
    let started = ask(fleet.servers[1].address, "POST", CHANGE_START, &fields, Some(&start)).await.unwrap().json();
    let (upload, _) = client(OTHER_PASSWORD).upload(registering, &decode(&started["data"]["response"]));
    let finish = json!({ "upload": encode(upload), "key_stretching": started["data"]["key_stretching"] });
    let finished = ask(fleet.servers[2].address, "POST", CHANGE_FINISH, &fields, Some(&finish)).await.unwrap();
    assert_eq!(finished.status, 200, "{}", finished.text());

    for (first, second) in [(0, 1), (1, 2), (2, 0)] {
        let (request, state) = ke1(OTHER_PASSWORD);
        let start = json!({ "identifier": email(0), "request": request });
        let answer = fleet.servers[first].post(LOGIN_START, &start).await.unwrap().json();
        let ke2 = decode(&answer["data"]["response"]);
        let ke3 = encode(client(OTHER_PASSWORD).finish(state, &ke2, None).unwrap().ke3);
        let body = finish_body(answer["data"]["login_id"].as_str().unwrap(), &ke3);
        let answer = fleet.servers[second].post(LOGIN_FINISH, &body).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        for server in &fleet.servers {
            assert_eq!(server.post(LOGIN_FINISH, &body).await.unwrap().status, 401);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halves_come_to_different_servers_on_postgres() {
    halves_come_to_different_servers(Sessions::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halves_come_to_different_servers_on_redis() {
    halves_come_to_different_servers(Sessions::Redis).await;
}
