//! The master key is rotated while servers run, as the documentation says, and nobody is refused at any step.

use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;
use wayleave_testkit::servers::postgres::{Database, Postgres};

use super::fleet::PASSWORD;
use super::process::{Process, add_account, command};

const NAMES: [&str; 2] = ["one", "two"];
const EMAIL: &str = "ann@example.com";
/// Who gets an account when the new key seals.
const LATER: &str = "bob@example.com";

/// Two servers, each with a key file of its own.
struct Pair {
    folder: TempDir,
    _database: Database,
    servers: Vec<Process>,
}

impl Pair {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Postgres::shared().unwrap().database().unwrap();
        let mut this = Self { folder, servers: Vec::new(), _database: database };
        for name in NAMES {
            let data = this.data(name);
            std::fs::create_dir(&data).unwrap();
            let configuration = format!(
                "[store]\nurl = \"{}\"\nconnections = 5\n[keys]\nmaster = \"master.key\"\n[nodes]\nname = \"{name}\"\n\
                 [kinds.standard]\nmost = 10000\n[kinds.web]\nmost = 10000\n[rate_limits]\nlogin = \"none\"\n",
                this._database.url()
            );
            std::fs::write(data.join("wayleave.toml"), configuration).unwrap();
        }
        add_account(&this.data("one"), EMAIL, PASSWORD).await;
        this.copy_key();
        for name in NAMES {
            this.servers.push(Process::start(&this.data(name), &[]).await);
        }
        this
    }

    fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn copy_key(&self) {
        std::fs::copy(self.data("one").join("master.key"), self.data("two").join("master.key")).unwrap();
    }

    async fn restart(&mut self, index: usize) {
        let server = self.servers.remove(index);
        assert_eq!(server.stop().await, Some(0));
        self.servers.insert(index, Process::start(&self.data(NAMES[index]), &[]).await);
    }

    async fn rotate(&self) -> Output {
        command(&self.data("one"), &["key", "rotate", "master", "--json"]).await
    }

    async fn rotates_to(&self, said: Value) {
        let output = self.rotate().await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), said);
    }

    async fn is_refused(&self, names: &str) {
        let output = self.rotate().await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(&format!("do not know the new master key yet: {names};")),
            "{said}"
        );
    }

    /// What one server makes the other takes, in both directions.
    async fn serves(&self, email: &str) {
        for (makes, takes) in [(0, 1), (1, 0)] {
            let (makes, takes) = (&self.servers[makes], &self.servers[takes]);
            let body = json!({ "email": email, "password": PASSWORD, "transport": "bearer" });
            let opened = makes.post("/api/auth/login", &body).await.unwrap();
            assert_eq!(opened.status, 200, "{}", String::from_utf8_lossy(&opened.body));
            let data = opened.json()["data"].clone();
            let text = |name: &str| data[name].as_str().unwrap().to_owned();
            let bearer = format!("Bearer {}", text("session_token"));
            let fields = [("authorization", bearer.as_str())];
            let seen = takes.ask("GET", "/api/auth/sessions/validate", &fields, None).await.unwrap();
            assert_eq!(seen.status, 200, "{}", String::from_utf8_lossy(&seen.body));
            let refresh = json!({ "refresh_token": text("refresh_token") });
            let refreshed = takes.post("/api/auth/sessions/refresh", &refresh).await.unwrap();
            assert_eq!(refreshed.status, 200, "{}", String::from_utf8_lossy(&refreshed.body));
            let bearer = format!("Bearer {}", refreshed.json()["data"]["session_token"].as_str().unwrap());
            let fields = [("authorization", bearer.as_str())];
            assert_eq!(makes.ask("POST", "/api/auth/logout", &fields, None).await.unwrap().status, 200);
            assert_eq!(makes.ask("GET", "/api/auth/sessions/validate", &fields, None).await.unwrap().status, 401);
            page(makes, takes, email).await;
        }
    }
}

/// R050: the page comes from one server, and its form goes to the other.
async fn page(makes: &Process, takes: &Process, email: &str) {
    let page = makes.ask("GET", "/api/csrf", &[], None).await.unwrap();
    let cookies =
        page.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
    let cookies = cookies.collect::<Vec<_>>().join("; ");
    let token = page.json()["token"].as_str().unwrap().to_owned();
    let origin = format!("http://{}", takes.address);
    let fields = [("cookie", cookies.as_str()), ("x-csrf-token", token.as_str()), ("origin", origin.as_str())];
    let body = json!({ "email": email, "password": PASSWORD });
    let answer = takes.ask("POST", "/api/auth/login", &fields, Some(&body)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
}

/// R155: known before sealing. The order is that of `docs/several-servers.md`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_key_is_rotated_under_way() {
    let mut pair = Pair::start().await;
    pair.serves(EMAIL).await;
    pair.rotates_to(json!({ "id": 2, "seals": false })).await;
    pair.serves(EMAIL).await;
    pair.is_refused("one, two").await;
    pair.copy_key();
    pair.restart(0).await;
    pair.serves(EMAIL).await;
    pair.is_refused("two").await;
    pair.restart(1).await;
    pair.serves(EMAIL).await;
    pair.rotates_to(json!({ "id": 2, "seals": true })).await;
    // A command seals with it at once.
    add_account(&pair.data("one"), LATER, PASSWORD).await;
    pair.serves(LATER).await;
    pair.copy_key();
    for server in [0, 1] {
        pair.restart(server).await;
        pair.serves(EMAIL).await;
        pair.serves(LATER).await;
    }
    pair.rotates_to(json!({ "id": 3, "seals": false })).await;
}
