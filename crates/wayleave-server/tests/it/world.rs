//! A whole deployment in one process: the real router over real parts, with time, entropy and faults under the test's
//! control, and clients that keep cookies as a browser does.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;
use wayleave::SystemEntropy;
use wayleave_core::authentication::Method;
use wayleave_core::memory::{DirectoryLimits, MemoryDirectory, MemoryOptions, MemoryStore};
use wayleave_core::permission::Permissions;
use wayleave_core::ports::{Account, AuditQuery, AuditRow, InsertAccount};
use wayleave_core::record::Revision;
use wayleave_password::{Parameters, Password};
use wayleave_server::app::App;
use wayleave_server::assembly::{self, Ambient, Assembly, Backend, Blueprint};
use wayleave_server::config::Config;
use wayleave_server::http::hosts::Hosts;
use wayleave_server::router::{self, Limits};
use wayleave_server::secrets;
use wayleave_testkit::{FailingDirectory, FailingStore, FakeClock};

use super::support::{Answer, request, send};

/// Where the deployment is reached.
pub(crate) const ORIGIN: &str = "http://127.0.0.1:8080";
/// The password of every person of a world.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// The password that people change to.
pub(crate) const OTHER_PASSWORD: &str = "another quite good passphrase";

/// Where a world keeps things.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// In memory, with faults at will.
    Memory,
    /// In an SQLite file in the world's folder.
    Sqlite,
}

/// A deployment.
pub(crate) struct World {
    pub(crate) app: Arc<App>,
    pub(crate) router: Router,
    pub(crate) clock: Arc<FakeClock>,
    /// Faults of the session store, in memory worlds.
    pub(crate) store: Option<Arc<FailingStore>>,
    /// Faults of the directory, in memory worlds.
    pub(crate) directory: Option<Arc<FailingDirectory<MemoryDirectory>>>,
    pub(crate) folder: TempDir,
    assembly: Assembly,
}

impl World {
    /// A deployment in memory with the default configuration and nobody in it.
    pub(crate) async fn new() -> Self {
        Self::with(Keeping::Memory, |_| {}).await
    }

    /// A deployment whose configuration `change` decides. Rate limits are off unless it sets them.
    pub(crate) async fn with(keeping: Keeping, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::with_defaults(folder.path().join("data"));
        let rates = &mut config.rate_limits;
        for rate in [
            &mut rates.login,
            &mut rates.register,
            &mut rates.refresh,
            &mut rates.session,
            &mut rates.admin,
            &mut rates.service_key,
            &mut rates.unknown_token,
            &mut rates.failed_sign_ins,
        ] {
            *rate = None;
        }
        change(&mut config);
        let clock = Arc::new(FakeClock::default());
        let ambient = Ambient { clock: Arc::clone(&clock) as _, entropy: Arc::new(SystemEntropy) };
        let keys = secrets::open(&config, &*ambient.entropy).unwrap().keys;
        let (backend, store, directory) = match keeping {
            Keeping::Sqlite => (Backend::open(&config, &keys, &ambient).await.unwrap(), None, None),
            Keeping::Memory => {
                let store = Arc::new(FailingStore::new(Arc::new(MemoryStore::new(MemoryOptions::default()))));
                let memory = MemoryDirectory::new(DirectoryLimits::default(), Arc::clone(&clock) as _);
                let directory = Arc::new(FailingDirectory::new(Arc::new(memory)));
                let ports = assembly::directory(&directory);
                let backend = Backend::of(Arc::clone(&store) as _, ports, Arc::clone(&directory) as _);
                (backend, Some(store), Some(directory))
            }
        };
        let bound = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        let assembly = assembly::assemble(Blueprint {
            config: &config,
            keys: &keys,
            backend,
            ambient,
            bound,
            parameters: Parameters::dangerous_cheap_for_tests(),
            node: "test",
            claim: None,
            setup_done: Arc::new(|| {}),
        })
        .await
        .unwrap();
        let app = Arc::clone(&assembly.app);
        let limits: Limits = assembly::rate_limits(&config).unwrap();
        let stack = assembly::http_stack(&config, bound, Arc::clone(&app.entropy)).unwrap();
        let router = stack.wrap(router::router(&app, &limits));
        Self { app, router, clock, store, directory, folder, assembly }
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// A person with an account, [`PASSWORD`] and these permissions.
    pub(crate) async fn person(&self, email: &str, permissions: &[&str]) -> Account {
        use wayleave_core::ports::AccountId;
        let mut random = [0; 16];
        self.app.entropy.fill(&mut random).unwrap();
        let now = self.app.now();
        let account = Account {
            id: AccountId::new(random),
            email: email.parse().unwrap(),
            name: email.split('@').next().unwrap().into(),
            role: "Personel".into(),
            phone: None,
            labels: Vec::new(),
            avatar: None,
            permissions: Permissions::new(permissions.iter().copied()).unwrap(),
            disabled: false,
            must_change_password: false,
            epoch: 0,
            created_at: now,
            updated_at: now,
            last_sign_in_at: None,
            revision: Revision::default(),
        };
        let credential =
            self.app.passwords.prepare(&account, Password::new(PASSWORD.to_owned()).unwrap()).await.unwrap();
        assert_eq!(self.app.directory.accounts.insert(&account).await.unwrap(), InsertAccount::Done);
        self.app.directory.credentials.set(&account.id, Method::Password, &credential).await.unwrap();
        account
    }

    /// A client with an empty cookie jar.
    pub(crate) fn client(&self) -> Client<'_> {
        Client { world: self, jar: BTreeMap::new(), bearer: None, address: Ipv4Addr::LOCALHOST, fields: Vec::new() }
    }

    /// A client signed in by cookie.
    pub(crate) async fn signed_in(&self, email: &str) -> Client<'_> {
        let mut client = self.client();
        let answer = client.sign_in(email, PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        client
    }

    /// A client signed in with bearer tokens, and the answer that brought them.
    pub(crate) async fn with_tokens(&self, email: &str) -> (Client<'_>, Value) {
        let mut client = self.client();
        let answer = client
            .post("/api/auth/login", &json!({ "email": email, "password": PASSWORD, "transport": "bearer" }))
            .await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let data = answer.json()["data"].clone();
        client.bearer = Some(data["session_token"].as_str().unwrap().to_owned());
        (client, data)
    }

    /// All audit rows so far, oldest first.
    pub(crate) async fn audit(&self) -> Vec<AuditRow> {
        self.settle().await;
        let query = AuditQuery { most: 1000, ..AuditQuery::default() };
        let (mut rows, _) = self.app.directory.audit.query(&query).await.unwrap();
        rows.reverse();
        rows
    }

    /// Waits until every event of what was answered so far is in the audit log.
    pub(crate) async fn settle(&self) {
        // Events go through two queues; each hand-over needs the other task to run.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        self.app.audit.flush().await;
    }

    /// The page of the listener for metrics.
    pub(crate) async fn metrics(&self) -> Answer {
        send(&router::metrics_router(&self.app, Hosts::default()), request("GET /metrics", &[], "")).await
    }

    /// Ends the deployment as a server does, and gives back its folder.
    pub(crate) async fn stop(self) -> TempDir {
        let Self { app, router, assembly, folder, .. } = self;
        drop((app, router));
        assembly.stop().await;
        folder
    }
}

/// A client of a world.
pub(crate) struct Client<'a> {
    pub(crate) world: &'a World,
    /// Cookies by name.
    pub(crate) jar: BTreeMap<String, String>,
    /// Sent as `Authorization: Bearer`.
    pub(crate) bearer: Option<String>,
    /// Where it is.
    pub(crate) address: Ipv4Addr,
    /// Sent with every request.
    pub(crate) fields: Vec<(String, String)>,
}

impl Client<'_> {
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), None).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.ask(&format!("POST {path}"), Some(body)).await
    }

    pub(crate) async fn put(&mut self, path: &str, body: &Value) -> Answer {
        self.ask(&format!("PUT {path}"), Some(body)).await
    }

    pub(crate) async fn patch(&mut self, path: &str, body: &Value) -> Answer {
        self.ask(&format!("PATCH {path}"), Some(body)).await
    }

    pub(crate) async fn delete(&mut self, path: &str) -> Answer {
        self.ask(&format!("DELETE {path}"), None).await
    }

    /// Fetches a CSRF token and signs in by cookie, as a page does.
    pub(crate) async fn sign_in(&mut self, email: &str, password: &str) -> Answer {
        assert_eq!(self.get("/api/csrf").await.status, 200);
        self.post("/api/auth/login", &json!({ "email": email, "password": password })).await
    }

    /// Asks with the cookies, the CSRF token and the bearer token that the client holds; keeps what the answer sets.
    pub(crate) async fn ask(&mut self, line: &str, body: Option<&Value>) -> Answer {
        let answer = self.ask_as_is(self.request(line, body)).await;
        self.keep(&answer);
        answer
    }

    /// The request that [`Self::ask`] would send.
    pub(crate) fn request(&self, line: &str, body: Option<&Value>) -> Request<Body> {
        let mut fields: Vec<(String, String)> = self.fields.clone();
        if !self.jar.is_empty() {
            let pairs: Vec<_> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            fields.push(("cookie".into(), pairs.join("; ")));
            if let Some(token) = self.jar.get("csrf-token") {
                fields.push(("x-csrf-token".into(), token.clone()));
            }
            fields.push(("origin".into(), ORIGIN.into()));
        }
        if let Some(token) = &self.bearer {
            fields.push(("authorization".into(), format!("Bearer {token}")));
        }
        let body = body.map(Value::to_string);
        if let Some(body) = &body {
            fields.push(("content-type".into(), "application/json".into()));
            fields.push(("content-length".into(), body.len().to_string()));
        }
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        request(line, &fields, body.unwrap_or_default())
    }

    /// Sends a request from the client's address and touches nothing else.
    pub(crate) async fn ask_as_is(&self, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((self.address, 50_000))));
        send(&self.world.router, request).await
    }

    /// Keeps the cookies that an answer sets, as a browser would.
    pub(crate) fn keep(&mut self, answer: &Answer) {
        for cookie in answer.headers.get_all("set-cookie") {
            let text = cookie.to_str().unwrap();
            let (name, rest) = text.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if text.contains("Max-Age=0;") {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}
