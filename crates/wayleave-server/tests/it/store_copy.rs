//! `wayleave store copy`: sessions go along from one store to another, nobody is signed out, and what has ended in one of the
//! two goes on in neither.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::json;
use tempfile::TempDir;
use wayleave_testkit::servers::postgres::{Database, Postgres};
use wayleave_testkit::servers::redis::Redis;

use super::fleet::{PASSWORD, email};
use super::process::{Process, add_account, command};

/// A deployment on PostgreSQL whose sessions are to go to Redis.
struct Move {
    _folder: TempDir,
    data: PathBuf,
    from: Database,
    to: Redis,
}

impl Move {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("one");
        std::fs::create_dir(&data).unwrap();
        let (from, to) = (Postgres::shared().unwrap().database().unwrap(), Redis::private(&[]).unwrap());
        let this = Self { _folder: folder, data, from, to };
        this.configure(&this.data, &format!("url = \"{}\"", this.from.url()));
        add_account(&this.data, &email(0), PASSWORD).await;
        this
    }

    fn configure(&self, data: &Path, stores: &str) {
        let master = self.data.join("master.key");
        let configuration = format!("[store]\n{stores}\n[keys]\nmaster = \"{}\"\n", master.display());
        std::fs::write(data.join("wayleave.toml"), configuration).unwrap();
    }

    /// From now on a server that is started takes the other store.
    fn switch(&self) {
        self.configure(&self.data, &self.moved());
    }

    fn moved(&self) -> String {
        format!("url = \"{}\"\ndirectory = \"{}\"", self.to.url(), self.from.url())
    }

    async fn copy(&self) -> Output {
        command(&self.data, &["store", "copy", &self.from.url(), &self.to.url()]).await
    }

    async fn copies(&self, sessions: u32) {
        let copy = self.copy().await;
        let printed = String::from_utf8_lossy(&copy.stdout);
        let said = String::from_utf8_lossy(&copy.stderr);
        assert!(copy.status.success() && printed.contains(&format!("copied {sessions} sessions;")), "{printed}{said}");
    }

    async fn is_refused(&self, reason: &str) {
        let copy = self.copy().await;
        let said = String::from_utf8_lossy(&copy.stderr);
        assert!(!copy.status.success() && said.contains(reason), "{said}");
    }
}

async fn sign_in(server: &Process) -> String {
    let body = json!({ "email": email(0), "password": PASSWORD, "transport": "bearer" });
    let answer = server.post("/api/auth/login", &body).await.unwrap();
    answer.json()["data"]["session_token"].as_str().unwrap().to_owned()
}

async fn ask(server: &Process, method: &str, path: &str, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    server.ask(method, path, &[("authorization", &bearer)], None).await.unwrap().status.as_u16()
}

async fn validate(server: &Process, token: &str) -> u16 {
    ask(server, "GET", "/api/auth/sessions/validate", token).await
}

async fn sign_out(server: &Process, token: &str) {
    assert_eq!(ask(server, "POST", "/api/auth/logout", token).await, 200);
}

/// R024: a session that ended in the old store before a copy, or in the new one after it, never comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_go_along_and_none_comes_back() {
    let this = Move::new().await;
    let server = Process::start(&this.data, &[]).await;
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(sign_in(&server).await);
    }
    sign_out(&server, &tokens[0]).await;
    server.stop().await;
    this.copies(3).await;
    // The old store serves once more, and then the sessions are copied again.
    let server = Process::start(&this.data, &[]).await;
    sign_out(&server, &tokens[1]).await;
    server.stop().await;
    this.copies(2).await;
    this.switch();
    let server = Process::start(&this.data, &[]).await;
    for (token, status) in tokens.iter().zip([401, 401, 200, 200]) {
        assert_eq!(validate(&server, token).await, status);
    }
    sign_out(&server, &tokens[2]).await;
    server.stop().await;
    this.is_refused("it knows of sessions that ended").await;
    let server = Process::start(&this.data, &[]).await;
    for (token, status) in tokens.iter().zip([401, 401, 401, 200]) {
        assert_eq!(validate(&server, token).await, status);
    }
}

/// What a command ends in the new store, before any server was started on it, stays ended, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_command_ended_does_not_come_back() {
    let this = Move::new().await;
    let server = Process::start(&this.data, &[]).await;
    sign_in(&server).await;
    server.stop().await;
    this.copies(1).await;
    this.switch();
    assert!(command(&this.data, &["session", "revoke", "--all"]).await.status.success());
    this.is_refused("it knows of sessions that ended").await;
}

/// Servers that run elsewhere are heard on the bus of either store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_elsewhere_are_noticed() {
    let this = Move::new().await;
    for stores in [format!("url = \"{}\"", this.from.url()), this.moved()] {
        let elsewhere = tempfile::tempdir().unwrap();
        this.configure(elsewhere.path(), &stores);
        let server = Process::start(elsewhere.path(), &[]).await;
        this.is_refused("a server runs on one of the two stores").await;
        server.stop().await;
    }
}

/// A store that has sessions of its own gets none, whoever brought them there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_with_sessions_of_its_own_is_left_alone() {
    let this = Move::new().await;
    this.switch();
    let server = Process::start(&this.data, &[]).await;
    let token = sign_in(&server).await;
    server.stop().await;
    this.is_refused("has some of its own, or has served").await;
    let server = Process::start(&this.data, &[]).await;
    assert_eq!(validate(&server, &token).await, 200);
}
