//! Three servers on one store: PostgreSQL, or Redis with PostgreSQL beside it.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;
use wayleave_testkit::servers::postgres::{Database, Postgres};
use wayleave_testkit::servers::redis::Redis;

use super::nginx;
use super::process::{Process, add_account, ask};

const EMAIL: &str = "ann@example.com";
const PASSWORD: &str = "let me in for good reason";
/// How long a server may answer from memory without hearing of the others: the default.
const LEASE: Duration = Duration::from_secs(2);

/// Where sessions are.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Sessions {
    Postgres,
    Redis,
}

/// Servers with one store and one master key.
struct Fleet {
    servers: Vec<Process>,
    folder: TempDir,
    database: Database,
    _redis: Option<Redis>,
}

impl Fleet {
    async fn start(sessions: Sessions, coherence: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Postgres::shared().unwrap().database().unwrap();
        let redis = (sessions == Sessions::Redis).then(|| Redis::private(&[]).unwrap());
        let stores = match &redis {
            None => format!("url = \"{}\"", database.url()),
            Some(redis) => format!("url = \"{}\"\ndirectory = \"{}\"", redis.url(), database.url()),
        };
        let master = folder.path().join("master.key");
        let configuration = |name: &str| {
            format!(
                "[store]\n{stores}\nconnections = 5\n[keys]\nmaster = \"{}\"\n[nodes]\nname = \"{name}\"\n\
                 coherence = \"{coherence}\"\n[kinds.standard]\nmost = 10000\n[rate_limits]\nlogin = \"none\"\n\
                 session = \"none\"\nunknown_token = \"none\"\n",
                master.display()
            )
        };
        let mut servers = Vec::new();
        for name in ["one", "two", "three"] {
            let data = folder.path().join(name);
            std::fs::create_dir(&data).unwrap();
            std::fs::write(data.join("wayleave.toml"), configuration(name)).unwrap();
            if servers.is_empty() {
                add_account(&data, EMAIL, PASSWORD).await;
            }
            servers.push(Process::start(&data, &[]).await);
        }
        Self { servers, folder, database, _redis: redis }
    }

    /// Signs in at one server; the session's token.
    async fn sign_in(&self, server: usize) -> String {
        let body = json!({ "email": EMAIL, "password": PASSWORD, "transport": "bearer" });
        let answer = self.servers[server].post("/api/auth/login", &body).await.unwrap();
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()["data"]["session_token"].as_str().unwrap().to_owned()
    }

    async fn ask(&self, server: usize, method: &str, path: &str, token: &str, body: Option<&Value>) -> u16 {
        let bearer = format!("Bearer {token}");
        let fields = [("authorization", bearer.as_str())];
        self.servers[server].ask(method, path, &fields, body).await.unwrap().status.as_u16()
    }

    async fn validate(&self, server: usize, token: &str) -> u16 {
        self.ask(server, "GET", "/api/auth/sessions/validate", token, None).await
    }

    /// A session that every server has in memory.
    async fn warm(&self) -> String {
        let token = self.sign_in(0).await;
        for server in 0..self.servers.len() {
            for _ in 0..2 {
                assert_eq!(self.validate(server, &token).await, 200);
            }
        }
        token
    }

    async fn sign_out(&self, server: usize, token: &str) {
        assert_eq!(self.ask(server, "POST", "/api/auth/logout", token, None).await, 200);
        assert_eq!(self.validate(server, token).await, 401, "where it was ended, it is over at once");
    }

    /// How long after a sign-out has returned another server still honours the session.
    async fn time_to_refusal(&self, trial: usize) -> Duration {
        let token = self.warm().await;
        let (ends, other) = (trial % 3, (trial + 1 + trial / 3 % 2) % 3);
        assert_eq!(self.ask(ends, "POST", "/api/auth/logout", &token, None).await, 200);
        let begun = Instant::now();
        loop {
            let asked = begun.elapsed();
            if self.validate(other, &token).await == 401 {
                return asked;
            }
            assert!(asked < LEASE, "it is honoured longer than a lease");
        }
    }
}

/// R024: what one server ends no other honours, and what it opens all do.
async fn one_deployment(sessions: Sessions) {
    let fleet = Fleet::start(sessions, "prompt").await;
    let mut times = Vec::new();
    for trial in 0..10 {
        times.push(fleet.time_to_refusal(trial).await);
    }
    // All of a person's, by one request.
    let (token, other) = (fleet.warm().await, fleet.warm().await);
    assert_eq!(fleet.ask(1, "DELETE", "/api/auth/sessions?scope=others", &token, None).await, 200);
    let begun = Instant::now();
    while fleet.validate(2, &other).await != 401 {
        assert!(begun.elapsed() < LEASE);
    }
    assert_eq!(fleet.validate(2, &token).await, 200);
    // A server that ends leaves the others going.
    fleet.servers[2].kill_now();
    fleet.sign_out(0, &token).await;
    let again = fleet.sign_in(1).await;
    assert_eq!(fleet.validate(0, &again).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_on_postgres_are_one_deployment() {
    one_deployment(Sessions::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_on_redis_are_one_deployment() {
    one_deployment(Sessions::Redis).await;
}

/// Behind nginx as the documentation shows it, requests go to one server after another, and on to the next when one dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_sends_requests_to_any_of_them() {
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/several-servers.md");
    let mut fleet = Fleet::start(Sessions::Postgres, "strict").await;
    let front = nginx::free_address();
    let mut http = nginx::documented(PAGE).replace("listen 10.0.0.5:80;", &format!("listen {front};"));
    for (documented, server) in ["10.0.0.11:8080", "10.0.0.12:8080", "10.0.0.13:8080"].iter().zip(&fleet.servers) {
        assert!(http.contains(documented));
        http = http.replace(documented, &server.address.to_string());
    }
    let _nginx = nginx::start(fleet.folder.path(), &http, front).await;
    let body = json!({ "email": EMAIL, "password": PASSWORD, "transport": "bearer" });
    let validate = async |bearer: &str| {
        let fields = [("authorization", bearer)];
        ask(front, "GET", "/api/auth/sessions/validate", &fields, None).await.unwrap().status.as_u16()
    };
    for dies in [false, true] {
        if dies {
            fleet.servers.pop().unwrap().kill_now();
        }
        let answer = ask(front, "POST", "/api/auth/login", &[], Some(&body)).await.unwrap();
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let bearer = format!("Bearer {}", answer.json()["data"]["session_token"].as_str().unwrap());
        for _ in 0..9 {
            assert_eq!(validate(&bearer).await, 200);
        }
        let fields = [("authorization", bearer.as_str())];
        assert_eq!(ask(front, "POST", "/api/auth/logout", &fields, None).await.unwrap().status, 200);
        for _ in 0..9 {
            assert_eq!(validate(&bearer).await, 401, "a server dies: {dies}");
        }
    }
}

/// A server with a key of its own says what is wrong instead of misreading what the others sealed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_another_master_key_does_not_start() {
    let fleet = Fleet::start(Sessions::Postgres, "prompt").await;
    let data = fleet.folder.path().join("stranger");
    std::fs::create_dir(&data).unwrap();
    let started = tokio::process::Command::new(env!("CARGO_BIN_EXE_wayleave"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .env_clear()
        .env("WAYLEAVE_STORE_URL", fleet.database.url())
        .current_dir(&data)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert!(!started.status.success());
    let said = String::from_utf8_lossy(&started.stderr);
    assert!(said.contains("sealed under another master key"), "{said}");
}

/// Sessions go along from one store to another, and nobody is signed out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_copied_from_postgres_to_redis() {
    let fleet = Fleet::start(Sessions::Postgres, "prompt").await;
    let (kept, ended) = (fleet.sign_in(0).await, fleet.sign_in(1).await);
    fleet.sign_out(2, &ended).await;
    let Fleet { servers, folder, database, .. } = fleet;
    for server in servers {
        assert_eq!(server.stop().await, Some(0));
    }
    let redis = Redis::private(&[]).unwrap();
    let data = folder.path().join("one");
    for said in ["copied 1 sessions; 0 were there already", "copied 0 sessions; 1 were there already"] {
        let copy = tokio::process::Command::new(env!("CARGO_BIN_EXE_wayleave"))
            .args(["store", "copy", "env:FROM", "env:TO", "--data"])
            .arg(&data)
            .env_clear()
            .env("FROM", database.url())
            .env("TO", redis.url())
            .current_dir(&data)
            .output()
            .await
            .unwrap();
        let printed = String::from_utf8_lossy(&copy.stdout);
        assert!(copy.status.success() && printed.contains(said), "{printed}{}", String::from_utf8_lossy(&copy.stderr));
    }
    let configuration = std::fs::read_to_string(data.join("wayleave.toml")).unwrap();
    let stores = format!("url = \"{}\"\ndirectory = \"{}\"", redis.url(), database.url());
    let configuration = configuration.replace(&format!("url = \"{}\"", database.url()), &stores);
    std::fs::write(data.join("wayleave.toml"), configuration).unwrap();
    let server = Process::start(&data, &[]).await;
    for (token, status) in [(&kept, 200), (&ended, 401)] {
        let bearer = format!("Bearer {token}");
        let fields = [("authorization", bearer.as_str())];
        let answer = server.ask("GET", "/api/auth/sessions/validate", &fields, None).await.unwrap();
        assert_eq!(answer.status, status);
    }
}

/// R024: strict, when the answer to a sign-out has come, nobody honours the session: not one of `trials`.
async fn strict(sessions: Sessions, trials: usize) {
    let fleet = Fleet::start(sessions, "strict").await;
    for trial in 0..trials {
        let token = fleet.warm().await;
        fleet.sign_out(trial % 3, &token).await;
        for server in 0..3 {
            assert_eq!(fleet.validate(server, &token).await, 401, "trial {trial}, server {server}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_servers_on_postgres_agree_at_once() {
    strict(Sessions::Postgres, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_servers_on_redis_agree_at_once() {
    strict(Sessions::Redis, 5).await;
}

/// How soon a thousand revocations are in force on another server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: run by `cargo xtask test --deep`"]
#[allow(clippy::print_stderr, reason = "the figures are what it is for")]
async fn a_thousand_revocations_are_heard() {
    for sessions in [Sessions::Postgres, Sessions::Redis] {
        let fleet = Fleet::start(sessions, "prompt").await;
        let mut times = Vec::new();
        for trial in 0..1000 {
            times.push(fleet.time_to_refusal(trial).await);
        }
        times.sort();
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        eprintln!("{sessions:?}: revoked elsewhere: p50 {:?}, p99 {:?}, longest {:?}", at(50), at(99), at(100));
    }
}
