//! Three servers on one store, and what a test can do to them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use wayleave_testkit::servers::postgres::{Database, Postgres};
use wayleave_testkit::servers::redis::{Redis, RedisCluster};

use super::bus_cut::Way;
use super::false_clock::FalseClock;
use super::process::{Connection, Process, Start, add_account, ask, command};

pub(crate) const SERVERS: usize = 3;
pub(crate) const PASSWORD: &str = "let me in for good reason";
/// How long a server may answer from memory without hearing of the others: the default.
pub(crate) const LEASE: Duration = Duration::from_secs(2);
/// After how long the nodes of a Cluster give up a master that does not answer.
const NODE_TIMEOUT_MILLIS: u32 = 1_500;

/// Where sessions are; everything else is in PostgreSQL.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sessions {
    Postgres,
    Redis,
    /// Three masters, each with a replica.
    RedisCluster,
}

/// How a fleet is set up.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) sessions: Sessions,
    pub(crate) coherence: &'static str,
    /// Accounts with [`PASSWORD`].
    pub(crate) people: usize,
    /// Whether PostgreSQL is the fleet's own, to be crashed.
    pub(crate) own_postgres: bool,
    /// The server that can be cut off the bus.
    pub(crate) behind_a_cut: Option<usize>,
    /// The server whose clock can be set.
    pub(crate) false_clock: Option<usize>,
}

impl Setup {
    pub(crate) const fn new(sessions: Sessions, coherence: &'static str) -> Self {
        Self { sessions, coherence, people: 1, own_postgres: false, behind_a_cut: None, false_clock: None }
    }
}

/// Servers with one store and one master key.
pub(crate) struct Fleet {
    pub(crate) servers: Vec<Process>,
    folders: Vec<PathBuf>,
    pub(crate) setup: Setup,
    pub(crate) folder: TempDir,
    pub(crate) database: Database,
    pub(crate) postgres: Arc<Postgres>,
    redis: Option<Redis>,
    pub(crate) cluster: Option<Arc<RedisCluster>>,
    pub(crate) way: Option<Way>,
    pub(crate) clock: Option<FalseClock>,
}

impl Fleet {
    pub(crate) async fn start(sessions: Sessions, coherence: &'static str) -> Self {
        Self::start_as(Setup::new(sessions, coherence)).await
    }

    pub(crate) async fn start_as(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let postgres = if setup.own_postgres { Postgres::private() } else { Postgres::shared() }.unwrap();
        let database = postgres.database().unwrap();
        let redis = (setup.sessions == Sessions::Redis).then(|| Redis::private(&[]).unwrap());
        let cluster = (setup.sessions == Sessions::RedisCluster)
            .then(|| Arc::new(RedisCluster::private(NODE_TIMEOUT_MILLIS).unwrap()));
        let way = match setup.behind_a_cut {
            Some(_) => Some(Way::to(redis.as_ref().map_or(postgres.port(), |redis| redis.node().port())).await),
            None => None,
        };
        let clock = setup.false_clock.map(|_| FalseClock::new(folder.path().join("clock")));
        let mut fleet = Self {
            servers: Vec::new(),
            folders: Vec::new(),
            setup,
            folder,
            database,
            postgres,
            redis,
            cluster,
            way,
            clock,
        };
        for which in 0..SERVERS {
            fleet.prepare(which);
            if which == 0 {
                for person in 0..setup.people {
                    add_account(&fleet.folders[0], &email(person), PASSWORD).await;
                }
            }
            let server = Process::start_as(fleet.start_of(which)).await;
            fleet.servers.push(server);
        }
        fleet
    }

    /// Makes a server's folder.
    fn prepare(&mut self, which: usize) {
        let name = ["one", "two", "three"][which];
        let data = self.folder.path().join(name);
        std::fs::create_dir(&data).unwrap();
        let Setup { coherence, .. } = self.setup;
        let configuration = format!(
            "[store]\n{}\nconnections = 5\n[keys]\nmaster = \"{}\"\n[nodes]\nname = \"{name}\"\n\
             coherence = \"{coherence}\"\n[kinds.standard]\nmost = 10000\n[kinds.three]\nmost = 3\n[lockout]\nattempts = 100\n[rate_limits]\n\
             login = \"none\"\nregister = \"none\"\nrefresh = \"none\"\nsession = \"none\"\nunknown_token = \"none\"\nfailed_sign_ins = \"none\"\n",
            self.stores(self.setup.behind_a_cut == Some(which)),
            self.folder.path().join("master.key").display()
        );
        std::fs::write(data.join("wayleave.toml"), configuration).unwrap();
        self.folders.push(data);
    }

    /// Where the stores are, for the configuration.
    fn stores(&self, behind_the_cut: bool) -> String {
        let way = self.way.as_ref().filter(|_| behind_the_cut).map(|way| way.port);
        let directory = self.database.url();
        match (&self.redis, &self.cluster) {
            (Some(redis), _) => {
                let url = way.map_or_else(|| redis.url(), |port| redis.node().url_by(port));
                format!("url = \"{url}\"\ndirectory = \"{directory}\"")
            }
            (_, Some(cluster)) => {
                let urls = cluster.urls();
                let first = urls[0].replace("redis://", "redis+cluster://");
                let others = urls[1..].iter().map(|url| format!(",{}", url.rsplit_once('@').unwrap().1));
                let urls = first + &others.collect::<String>();
                format!("url = \"{urls}\"\nreplicated = true\ndirectory = \"{directory}\"")
            }
            (None, None) => {
                let url = way.map_or(directory, |port| self.database.url_by(port));
                format!("url = \"{url}\"")
            }
        }
    }

    fn start_of(&self, which: usize) -> Start<'_> {
        let mut start = Start::new(&self.folders[which], &[]);
        if let Some(clock) = self.clock.as_ref().filter(|_| self.setup.false_clock == Some(which)) {
            start.environment = clock.environment();
        }
        start
    }

    /// Starts a server again, on the same port, once the one that was killed has let go of it and of its folder.
    pub(crate) async fn restart(&mut self, which: usize) {
        let listen = self.servers[which].address;
        let server = Process::start_as(Start { listen, ..self.start_of(which) }).await;
        self.servers[which] = server;
    }

    /// Signs in at one server; the session's token.
    pub(crate) async fn sign_in(&self, server: usize) -> String {
        self.sign_in_as(server, 0).await
    }

    pub(crate) async fn sign_in_as(&self, server: usize, person: usize) -> String {
        self.opened(server, person).await["session_token"].as_str().unwrap().to_owned()
    }

    /// What a server says of a new session.
    async fn opened(&self, server: usize, person: usize) -> Value {
        let body = json!({ "email": email(person), "password": PASSWORD, "transport": "bearer" });
        let answer = self.servers[server].post("/api/auth/login", &body).await.unwrap();
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()["data"].take()
    }

    /// What a server's clock shows, in seconds since 1970, up to what is the same for all.
    pub(crate) async fn time(&self, server: usize) -> i64 {
        let end: jiff::Timestamp = self.opened(server, 0).await["expires_at"].as_str().unwrap().parse().unwrap();
        end.as_second()
    }

    pub(crate) async fn ask(&self, server: usize, method: &str, path: &str, token: &str, body: Option<&Value>) -> u16 {
        let bearer = format!("Bearer {token}");
        let fields = [("authorization", bearer.as_str())];
        ask(self.servers[server].address, method, path, &fields, body).await.unwrap().status.as_u16()
    }

    pub(crate) async fn validate(&self, server: usize, token: &str) -> u16 {
        self.ask(server, "GET", "/api/auth/sessions/validate", token, None).await
    }

    /// A session that every server has in memory.
    pub(crate) async fn warm(&self) -> String {
        let token = self.sign_in(0).await;
        for server in 0..self.servers.len() {
            for _ in 0..2 {
                assert_eq!(self.validate(server, &token).await, 200);
            }
        }
        token
    }

    pub(crate) async fn sign_out(&self, server: usize, token: &str) {
        assert_eq!(self.ask(server, "POST", "/api/auth/logout", token, None).await, 200);
        assert_eq!(self.validate(server, token).await, 401, "where it was ended, it is over at once");
    }

    /// Runs a command where the first server has its data.
    pub(crate) async fn command(&self, arguments: &[&str]) -> std::process::Output {
        command(&self.folders[0], arguments).await
    }

    /// A client with a connection to each server.
    pub(crate) async fn client(self: &Arc<Self>, person: usize) -> Client {
        let mut connections = Vec::new();
        for server in &self.servers {
            connections.push(Connection::to(server.address).await.unwrap());
        }
        Client { fleet: Arc::clone(self), person, connections }
    }
}

/// Somebody who asks every server over a connection of his own.
pub(crate) struct Client {
    pub(crate) fleet: Arc<Fleet>,
    person: usize,
    connections: Vec<Connection>,
}

impl Client {
    async fn ask(&mut self, server: usize, method: &str, path: &str, token: &str) -> u16 {
        let bearer = format!("Bearer {token}");
        let fields = [("authorization", bearer.as_str())];
        self.connections[server].ask(method, path, &fields, None).await.unwrap().status.as_u16()
    }

    pub(crate) async fn validate(&mut self, server: usize, token: &str) -> u16 {
        self.ask(server, "GET", "/api/auth/sessions/validate", token).await
    }

    /// A session that every server has in memory.
    pub(crate) async fn warm(&mut self) -> String {
        let token = self.fleet.sign_in_as(self.person % SERVERS, self.person).await;
        for server in 0..SERVERS {
            for _ in 0..2 {
                assert_eq!(self.validate(server, &token).await, 200);
            }
        }
        token
    }

    pub(crate) async fn sign_out(&mut self, server: usize, token: &str) {
        assert_eq!(self.ask(server, "POST", "/api/auth/logout", token).await, 200);
    }
}

pub(crate) fn email(person: usize) -> String {
    format!("client-{person}@example.com")
}
