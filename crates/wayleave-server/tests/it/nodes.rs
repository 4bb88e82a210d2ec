//! Three servers on one store: PostgreSQL, or Redis with PostgreSQL beside it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;
use wayleave_testkit::servers::postgres::{Database, Postgres};
use wayleave_testkit::servers::redis::Redis;

use super::process::Process;

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
    _folder: TempDir,
    _database: Database,
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
                add_account(&data).await;
            }
            servers.push(Process::start(&data, &[]).await);
        }
        Self { servers, _folder: folder, _database: database, _redis: redis }
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

async fn add_account(data: &Path) {
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_wayleave"))
        .args(["user", "add", EMAIL, "--password-stdin", "--data"])
        .arg(data)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).await.unwrap();
    assert!(child.wait().await.unwrap().success());
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
