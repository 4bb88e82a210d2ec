//! Three servers under load while servers and the database are killed, stopped and started: no wrong answer, and nothing that
//! was acknowledged is lost or comes back.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use wayleave::SystemEntropy;
use wayleave_core::ports::Entropy as _;
use wayleave_testkit::servers::postgres::Postgres;

use super::process::{Process, add_account, ask};

const PASSWORD: &str = "let me in for good reason";
const CLIENTS: u64 = 6;
/// Longer than a server may answer from memory without hearing of the others.
const PAST_A_LEASE: Duration = Duration::from_millis(2500);

/// What a client was told of one of its sessions.
#[derive(Clone, Debug)]
struct Known {
    access: String,
    refresh: String,
    state: State,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum State {
    /// Everything that was asked was answered.
    Acknowledged,
    /// Something was asked for and not answered.
    Unanswered,
    /// The sign-out was answered.
    SignedOut,
}

/// What all clients share.
struct Load {
    servers: Vec<SocketAddr>,
    known: Mutex<Vec<Known>>,
    stop: AtomicBool,
    answered: AtomicU64,
    refused: AtomicU64,
}

impl Load {
    /// Asks any server; nothing where no answer came, or one that says that it cannot be given now.
    async fn ask(&self, method: &str, path: &str, bearer: Option<&str>, body: Option<&Value>) -> Option<(u16, Value)> {
        self.ask_at(self.servers[below(self.servers.len())], method, path, bearer, body).await
    }

    async fn ask_at(
        &self,
        server: SocketAddr,
        method: &str,
        path: &str,
        bearer: Option<&str>,
        body: Option<&Value>,
    ) -> Option<(u16, Value)> {
        let bearer = bearer.map(|token| format!("Bearer {token}"));
        let fields: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        let asked = tokio::time::timeout(Duration::from_secs(20), ask(server, method, path, &fields, body)).await;
        let answer = asked.ok().and_then(Result::ok).filter(|answer| answer.status.as_u16() < 500);
        match answer {
            Some(answer) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                let value = serde_json::from_slice(&answer.body).unwrap_or_default();
                Some((answer.status.as_u16(), value))
            }
            None => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    async fn validate_at(&self, server: SocketAddr, access: &str) -> Option<bool> {
        let answer = self.ask_at(server, "GET", "/api/auth/sessions/validate", Some(access), None).await?;
        Some(answer.0 == 200)
    }

    /// Signs in, looks round, refreshes and signs out until told to stop.
    async fn work(self: Arc<Self>, client: u64) {
        let body = json!({ "email": email(client), "password": PASSWORD, "transport": "bearer" });
        while !self.stop.load(Ordering::Relaxed) {
            let Some((200, answer)) = self.ask("POST", "/api/auth/login", None, Some(&body)).await else {
                tokio::time::timeout(Duration::from_millis(50), std::future::pending::<()>()).await.unwrap_err();
                continue;
            };
            let index = {
                let mut known = self.known.lock();
                known.push(pair(&answer, State::Acknowledged));
                known.len() - 1
            };
            for _ in 0..3 {
                let Known { access, refresh, .. } = self.known.lock()[index].clone();
                for server in &self.servers {
                    let valid = self.validate_at(*server, &access).await;
                    assert_ne!(valid, Some(false), "an acknowledged session is refused");
                }
                self.known.lock()[index].state = State::Unanswered;
                let body = json!({ "refresh_token": refresh });
                match self.ask("POST", "/api/auth/sessions/refresh", None, Some(&body)).await {
                    Some((200, answer)) => self.known.lock()[index] = pair(&answer, State::Acknowledged),
                    Some((status, answer)) => panic!("a good refresh token is refused: {status} {answer}"),
                    None => break,
                }
            }
            let Known { access, state, .. } = self.known.lock()[index].clone();
            if state != State::Acknowledged || below(2) == 0 {
                continue;
            }
            self.known.lock()[index].state = State::Unanswered;
            if let Some((status, _)) = self.ask("POST", "/api/auth/logout", Some(&access), None).await {
                assert_eq!(status, 200);
                self.known.lock()[index].state = State::SignedOut;
                for server in &self.servers {
                    let valid = self.validate_at(*server, &access).await;
                    assert_ne!(valid, Some(true), "an ended session is honoured after the answer");
                }
            }
        }
    }

    /// Every session is as its client was told, at every server.
    async fn check(&self) {
        let known = self.known.lock().clone();
        assert!(known.iter().any(|session| session.state == State::SignedOut));
        assert!(known.iter().any(|session| session.state == State::Acknowledged));
        for session in known {
            for server in &self.servers {
                let valid = self.validate_at(*server, &session.access).await;
                match session.state {
                    State::Acknowledged => {
                        assert_eq!(valid, Some(true), "an acknowledged session is lost: {session:?}")
                    }
                    State::SignedOut => assert_eq!(valid, Some(false), "an ended session is back: {session:?}"),
                    State::Unanswered => {}
                }
            }
        }
    }
}

fn pair(answer: &Value, state: State) -> Known {
    let text = |name: &str| answer["data"][name].as_str().unwrap().to_owned();
    Known { access: text("session_token"), refresh: text("refresh_token"), state }
}

fn email(client: u64) -> String {
    format!("client-{client}@example.com")
}

fn below(end: usize) -> usize {
    let mut random = [0; 8];
    SystemEntropy.fill(&mut random).unwrap();
    usize::try_from(u64::from_le_bytes(random) % end as u64).unwrap()
}

async fn pass(time: Duration) {
    tokio::time::timeout(time, std::future::pending::<()>()).await.unwrap_err();
}

/// What breaks.
#[derive(Copy, Clone, Debug)]
enum Fault {
    /// A server is killed, and started again.
    ServerKilled(usize),
    /// A server is stopped past its lease, and goes on.
    ServerFrozen(usize),
    /// The database crashes, and is started again.
    DatabaseCrashed,
}

async fn survive(faults: &[Fault]) {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::private().unwrap();
    let database = postgres.database().unwrap();
    let configure = |name: &str| -> std::path::PathBuf {
        let data = folder.path().join(name);
        std::fs::create_dir(&data).unwrap();
        let master = folder.path().join("master.key");
        let text = format!(
            "[store]\nurl = \"{}\"\nconnections = 5\n[keys]\nmaster = \"{}\"\n[nodes]\nname = \"{name}\"\n\
             coherence = \"strict\"\n[kinds.standard]\nmost = 10000\n[lockout]\nattempts = 100\n[rate_limits]\n\
             login = \"none\"\nrefresh = \"none\"\nsession = \"none\"\nunknown_token = \"none\"\n",
            database.url(),
            master.display()
        );
        std::fs::write(data.join("wayleave.toml"), text).unwrap();
        data
    };
    let folders: Vec<_> = ["one", "two", "three"].into_iter().map(configure).collect();
    for client in 0..CLIENTS {
        add_account(&folders[0], &email(client), PASSWORD).await;
    }
    let mut servers = Vec::new();
    for data in &folders {
        servers.push(Process::start(data, &[]).await);
    }
    let load = Arc::new(Load {
        servers: servers.iter().map(|server| server.address).collect(),
        known: Mutex::default(),
        stop: AtomicBool::new(false),
        answered: AtomicU64::new(0),
        refused: AtomicU64::new(0),
    });
    let clients: Vec<_> = (0..CLIENTS).map(|client| tokio::spawn(Arc::clone(&load).work(client))).collect();
    for fault in faults {
        pass(Duration::from_secs(1)).await;
        match *fault {
            Fault::ServerKilled(which) => {
                let address = servers[which].address;
                servers[which].kill_now();
                pass(Duration::from_millis(300)).await;
                servers[which] = restart(&folders[which], address).await;
            }
            Fault::ServerFrozen(which) => {
                servers[which].signal("STOP");
                pass(PAST_A_LEASE).await;
                servers[which].signal("CONT");
            }
            Fault::DatabaseCrashed => {
                postgres.crash().unwrap();
                pass(Duration::from_millis(500)).await;
                postgres.start().unwrap();
            }
        }
    }
    pass(Duration::from_secs(1)).await;
    load.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    for server in &servers {
        while !server.ask("GET", "/readyz", &[], None).await.is_ok_and(|answer| answer.status == 200) {
            tokio::task::yield_now().await;
        }
    }
    load.check().await;
    let (answered, refused) = (load.answered.load(Ordering::Relaxed), load.refused.load(Ordering::Relaxed));
    assert!(answered > 100 && refused > 0, "too little happened: {answered} answered, {refused} not");
}

/// On the same port, once the killed one has let go of it and of its data folder.
async fn restart(data: &Path, address: SocketAddr) -> Process {
    Process::start_at(data, &[], address).await
}

/// A41: a kill, a stop past the lease, a crash of the database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_comes_back() {
    survive(&[Fault::ServerKilled(1), Fault::DatabaseCrashed, Fault::ServerFrozen(2)]).await;
}

/// A41: the same over and over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: run by `cargo xtask test --deep`"]
async fn nothing_is_lost_and_nothing_comes_back_in_thirty_faults() {
    let faults: Vec<_> = (0..10)
        .flat_map(|round| {
            [Fault::ServerKilled(round % 3), Fault::ServerFrozen((round + 1) % 3), Fault::DatabaseCrashed]
        })
        .collect();
    survive(&faults).await;
}
