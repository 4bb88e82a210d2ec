//! SIGKILL at any moment loses nothing that was acknowledged.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use wayleave::SystemEntropy;
use wayleave_core::ports::Entropy as _;

use super::process::{Process, add_account};

const PASSWORD: &str = "let me in for good reason";
const CLIENTS: usize = 6;

/// What a client knows of one of its sessions.
#[derive(Clone, Debug)]
struct Family {
    access: String,
    refresh: String,
    state: State,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum State {
    /// Everything that was asked was answered.
    Acknowledged,
    /// A refresh was asked for and not answered: it happened or it did not.
    RefreshUnanswered,
    /// A sign-out was asked for and not answered.
    SignOutUnanswered,
    /// The sign-out was answered.
    SignedOut,
}

/// A41: what was answered before a SIGKILL holds after it, at a few random moments.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    survive(4).await;
}

/// A41: the same at twenty random moments.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: run by `cargo xtask test --deep`"]
async fn nothing_acknowledged_is_lost_by_twenty_kills() {
    survive(20).await;
}

async fn survive(kills: usize) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let settings = [
        "kinds.standard.most=10000",
        "lockout.attempts=100",
        "rate_limits.login=none",
        "rate_limits.refresh=none",
        "rate_limits.unknown_token=none",
    ];
    for client in 0..CLIENTS {
        add_account(&data, &email(client), PASSWORD).await;
    }
    let families: Arc<Mutex<Vec<Family>>> = Arc::default();
    for _ in 0..kills {
        let server = Arc::new(Process::start(&data, &settings).await);
        check(&server, &families).await;
        let clients: Vec<_> =
            // Each its own account: attempts count before they are checked, so one account has few at a time.
            (0..CLIENTS)
                .map(|client| tokio::spawn(work(Arc::clone(&server), email(client), Arc::clone(&families))))
                .collect();
        tokio::time::timeout(moment(), std::future::pending::<()>()).await.unwrap_err();
        // The clients hold the server too; killing it by its id ends their connections.
        server.kill_now();
        for client in clients {
            client.await.unwrap();
        }
    }
    let server = Process::start(&data, &settings).await;
    check(&server, &families).await;
    let families = families.lock().clone();
    assert!(families.len() > kills, "too little happened to prove anything");
    assert!(families.iter().any(|family| family.state == State::SignedOut));
    assert_eq!(server.stop().await, Some(0));
    let audit = tokio::process::Command::new(env!("CARGO_BIN_EXE_wayleave"))
        .args(["audit", "verify", "--data"])
        .arg(&data)
        .output()
        .await
        .unwrap();
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
}

fn email(client: usize) -> String {
    format!("client-{client}@example.com")
}

fn moment() -> Duration {
    let mut random = [0; 2];
    SystemEntropy.fill(&mut random).unwrap();
    Duration::from_millis(200 + u64::from(u16::from_be_bytes(random)) % 1200)
}

/// Signs in, refreshes, signs out, until the server is gone. Every answer is written down before the next request.
async fn work(server: Arc<Process>, email: String, families: Arc<Mutex<Vec<Family>>>) {
    loop {
        let body = json!({ "email": email, "password": PASSWORD, "transport": "bearer" });
        let Some(data) = answered(server.post("/api/auth/login", &body).await) else { return };
        let index = {
            let mut families = families.lock();
            families.push(Family {
                access: data["session_token"].as_str().unwrap().to_owned(),
                refresh: data["refresh_token"].as_str().unwrap().to_owned(),
                state: State::Acknowledged,
            });
            families.len() - 1
        };
        for _ in 0..3 {
            let refresh = families.lock()[index].refresh.clone();
            families.lock()[index].state = State::RefreshUnanswered;
            let body = json!({ "refresh_token": refresh });
            let Some(data) = answered(server.post("/api/auth/sessions/refresh", &body).await) else { return };
            let mut families = families.lock();
            families[index].access = data["session_token"].as_str().unwrap().to_owned();
            families[index].refresh = data["refresh_token"].as_str().unwrap().to_owned();
            families[index].state = State::Acknowledged;
        }
        if index % 2 == 0 {
            let access = families.lock()[index].access.clone();
            families.lock()[index].state = State::SignOutUnanswered;
            let bearer = format!("Bearer {access}");
            let fields = [("authorization", bearer.as_str())];
            let Ok(answer) = server.ask("POST", "/api/auth/logout", &fields, None).await else { return };
            assert_eq!(answer.status, 200);
            families.lock()[index].state = State::SignedOut;
        }
    }
}

/// The data of a good answer; nothing when the server is gone.
fn answered(answer: std::io::Result<super::support::Answer>) -> Option<Value> {
    let answer = answer.ok()?;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    Some(answer.json()["data"].clone())
}

/// Every session is as its client was told.
async fn check(server: &Process, families: &Mutex<Vec<Family>>) {
    let known = families.lock().clone();
    for (index, family) in known.into_iter().enumerate() {
        let bearer = format!("Bearer {}", family.access);
        let fields = [("authorization", bearer.as_str())];
        let valid = server.ask("GET", "/api/auth/sessions/validate", &fields, None).await.unwrap().status == 200;
        match family.state {
            State::Acknowledged => assert!(valid, "an acknowledged session is lost: {family:?}"),
            State::SignedOut => {
                assert!(!valid, "an ended session is back: {family:?}");
                let body = json!({ "refresh_token": family.refresh });
                let answer = server.post("/api/auth/sessions/refresh", &body).await.unwrap();
                assert_eq!(answer.status, 401, "an ended session can be refreshed: {family:?}");
            }
            State::RefreshUnanswered => {
                // It happened, and is answered again within the window; or it did not, and happens now.
                let body = json!({ "refresh_token": family.refresh });
                let answer = server.post("/api/auth/sessions/refresh", &body).await.unwrap();
                let data = answered(Ok(answer)).unwrap();
                let mut families = families.lock();
                families[index].access = data["session_token"].as_str().unwrap().to_owned();
                families[index].refresh = data["refresh_token"].as_str().unwrap().to_owned();
                families[index].state = State::Acknowledged;
            }
            State::SignOutUnanswered => {
                families.lock()[index].state = if valid { State::Acknowledged } else { State::SignedOut };
            }
        }
    }
}
