//! Redis for tests: one server and one Cluster that all tests share, each test under a prefix of its own, and private
//! ones whose nodes can be stopped, crashed, frozen and started again.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Shared, free_port, run};

const MISSING: &str = "Redis is not installed: sudo apt-get install redis-server";
/// A Cluster of three masters and a replica of each.
const MASTERS: usize = 3;
const NODES: usize = 2 * MASTERS;
const HASH_SLOTS: usize = 16_384;
/// The time-out of nodes while they get to know each other: they tell news twice in that time.
const GATHERING_MILLIS: &str = "4001";
/// How often something that takes a moment is looked at, every 50 milliseconds.
const LOOKS: u32 = 1_200;
/// After how many looks the nodes of a Cluster are introduced to each other once more.
const LOOKS_PER_INTRODUCTION: u32 = 100;

/// A Redis server.
#[derive(Debug)]
pub struct Redis {
    server: Shared,
    node: RedisNode,
}

impl Redis {
    /// The server that all tests share. It keeps nothing on the disk.
    ///
    /// # Errors
    /// When it does not start; says so when Redis is not installed.
    pub fn shared() -> io::Result<Self> {
        Self::read(Shared::start("redis", |folder| launch(folder, &[]))?)
    }

    /// A server of one's own, with more settings: `["--appendonly", "yes"]`.
    ///
    /// # Errors
    /// As [`Self::shared`].
    pub fn private(settings: &[&str]) -> io::Result<Self> {
        Self::read(Shared::start_private("redis", |folder| launch(folder, settings))?)
    }

    /// A replica of `master`, once it has all that the master has.
    ///
    /// # Errors
    /// As [`Self::shared`].
    pub fn replica_of(master: &RedisNode) -> io::Result<Self> {
        let port = master.port.to_string();
        let settings = ["--replicaof", "127.0.0.1", &port, "--masterauth", &master.password];
        let replica = Self::private(&settings)?;
        wait_until("the replica follows", || {
            // Where a master demands replicas, it has to have counted this one.
            let known = master.cli(&["INFO", "replication"])?;
            Ok(known.contains("state=online") && !known.contains("min_slaves_good_slaves:0"))
        })?;
        Ok(replica)
    }

    fn read(server: Shared) -> io::Result<Self> {
        Ok(Self { node: RedisNode::read(server.folder().join("node"))?, server })
    }

    /// The server's one process.
    #[must_use]
    pub const fn node(&self) -> &RedisNode {
        &self.node
    }

    /// How to connect to it.
    #[must_use]
    pub fn url(&self) -> String {
        self.node.url()
    }

    /// Starts it again, where it was.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&self) -> io::Result<()> {
        self.node.start()?;
        self.server.set_processes(&[self.node.process()?])
    }
}

fn launch(folder: &Path, settings: &[&str]) -> io::Result<Vec<u32>> {
    let home = folder.join("node");
    RedisNode::make(&home, free_port()?, &password()?, settings)?;
    let node = RedisNode::read(home)?;
    node.start()?;
    Ok(vec![node.process()?])
}

/// A Redis Cluster of three masters, each with a replica.
#[derive(Debug)]
pub struct RedisCluster {
    _server: Shared,
    nodes: Vec<RedisNode>,
}

impl RedisCluster {
    /// The Cluster that all tests share. It keeps nothing on the disk.
    ///
    /// # Errors
    /// When it does not start; says so when Redis is not installed.
    pub fn shared() -> io::Result<Self> {
        // So patient that a busy machine is not taken for a dead node.
        Self::read(Shared::start("redis-cluster", |folder| launch_cluster(folder, 30_000))?)
    }

    /// A Cluster of one's own, whose replicas take over when their master was gone for so long.
    ///
    /// # Errors
    /// As [`Self::shared`].
    pub fn private(node_timeout_millis: u32) -> io::Result<Self> {
        Self::read(Shared::start_private("redis-cluster", |folder| launch_cluster(folder, node_timeout_millis))?)
    }

    fn read(server: Shared) -> io::Result<Self> {
        let nodes = (0..NODES).map(|number| RedisNode::read(server.folder().join(number.to_string())));
        Ok(Self { nodes: nodes.collect::<io::Result<_>>()?, _server: server })
    }

    /// Every node: the masters and then the replicas, as they were in the beginning.
    #[must_use]
    pub fn nodes(&self) -> &[RedisNode] {
        &self.nodes
    }

    /// How to connect to it.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisNode::url).collect()
    }

    /// The node that is the master of a hash slot, as the nodes see it that answer.
    #[must_use]
    pub fn master_of(&self, slot: u16) -> Option<&RedisNode> {
        let known = self.nodes.iter().find_map(|node| node.cli(&["CLUSTER", "NODES"]).ok())?;
        let port = known.lines().find_map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let covers = words.iter().skip(8).any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let bounds = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
                bounds.is_some_and(|(first, last)| (first..=last).contains(&slot))
            });
            let port = words.get(1)?.rsplit_once(':')?.1.split(['@', ',']).next()?.parse::<u16>().ok();
            port.filter(|_| covers)
        })?;
        self.nodes.iter().find(|node| node.port == port)
    }

    /// The master of a hash slot and a replica of it, as the nodes see it that answer.
    #[must_use]
    pub fn shard_of(&self, slot: u16) -> Option<(&RedisNode, &RedisNode)> {
        let master = self.master_of(slot)?;
        let follows = format!("master_port:{}", master.port);
        let is_replica =
            |node: &&RedisNode| node.cli(&["INFO", "replication"]).is_ok_and(|info| info.contains(&follows));
        Some((master, self.nodes.iter().find(is_replica)?))
    }
}

fn launch_cluster(folder: &Path, node_timeout_millis: u32) -> io::Result<Vec<u32>> {
    let password = password()?;
    let mut nodes = Vec::new();
    for number in 0..NODES {
        let home = folder.join(number.to_string());
        let bus = free_port()?.to_string();
        let settings = [
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus,
            "--cluster-node-timeout",
            GATHERING_MILLIS,
            "--min-replicas-to-write",
            "1",
        ];
        RedisNode::make(&home, free_port()?, &password, &settings)?;
        fs::write(home.join("bus"), bus)?;
        let node = RedisNode::read(home)?;
        node.start()?;
        nodes.push(node);
    }
    join(&nodes)?;
    for node in &nodes {
        node.cli(&["CONFIG", "SET", "cluster-node-timeout", &node_timeout_millis.to_string()])?;
        // For when it is started again.
        let settings = fs::read_to_string(node.home.join("settings"))?;
        fs::write(node.home.join("settings"), settings.replace(GATHERING_MILLIS, &node_timeout_millis.to_string()))?;
    }
    nodes.iter().map(RedisNode::process).collect()
}

/// Makes the nodes one Cluster.
fn join(nodes: &[RedisNode]) -> io::Result<()> {
    let (masters, replicas) = nodes.split_at(MASTERS);
    let mut names = Vec::new();
    for (number, master) in masters.iter().enumerate() {
        let (first, last) = (number * HASH_SLOTS / MASTERS, (number + 1) * HASH_SLOTS / MASTERS - 1);
        master.cli(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()])?;
        names.push(master.cli(&["CLUSTER", "MYID"])?);
    }
    for (number, node) in (1..).zip(nodes) {
        node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &number.to_string()])?;
    }
    // On a busy machine an introduction can come to nothing, and nobody repeats it.
    let mut looks = 0;
    let mut introduce_again = move || {
        looks += 1;
        if looks % LOOKS_PER_INTRODUCTION == 1 { introduce(nodes) } else { Ok(()) }
    };
    for (replica, name) in replicas.iter().zip(&names) {
        wait_until("a replica knows its master", || {
            introduce_again()?;
            Ok(replica.cli(&["CLUSTER", "NODES"])?.contains(name))
        })?;
        replica.cli(&["CLUSTER", "REPLICATE", name])?;
    }
    wait_until("the Cluster is whole", || {
        introduce_again()?;
        for node in nodes {
            let known = node.cli(&["CLUSTER", "NODES"])?;
            let slaves = known.lines().filter(|line| line.contains("slave")).count();
            if !node.cli(&["CLUSTER", "INFO"])?.contains("cluster_state:ok") || slaves != nodes.len() - MASTERS {
                return Ok(false);
            }
        }
        // A master takes no writes before its replica is there.
        for master in masters {
            if !master.cli(&["INFO", "replication"])?.contains("min_slaves_good_slaves:1") {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// Tells every node of every other.
fn introduce(nodes: &[RedisNode]) -> io::Result<()> {
    for node in nodes {
        for other in nodes {
            let bus = fs::read_to_string(other.home.join("bus"))?;
            node.cli(&["CLUSTER", "MEET", "127.0.0.1", &other.port.to_string(), &bus])?;
        }
    }
    Ok(())
}

/// One process.
#[derive(Debug)]
pub struct RedisNode {
    home: PathBuf,
    port: u16,
    password: String,
}

impl RedisNode {
    fn make(home: &Path, port: u16, password: &str, settings: &[&str]) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(home)?;
        fs::write(home.join("port"), port.to_string())?;
        fs::write(home.join("password"), password)?;
        fs::write(home.join("settings"), settings.join("\n"))
    }

    fn read(home: PathBuf) -> io::Result<Self> {
        let port = fs::read_to_string(home.join("port"))?.parse().map_err(io::Error::other)?;
        let password = fs::read_to_string(home.join("password"))?;
        Ok(Self { home, port, password })
    }

    /// Starts it where it was, and waits until it answers.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&self) -> io::Result<()> {
        let settings = fs::read_to_string(self.home.join("settings"))?;
        let mut server = Command::new("redis-server");
        server.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--daemonize", "yes", "--save", ""]);
        // A new replica is served at once instead of waiting for others.
        server.args(["--repl-diskless-sync-delay", "0"]);
        server.args(["--requirepass", &self.password, "--masterauth", &self.password, "--logfile", "log"]);
        server.arg("--pidfile").arg(self.home.join("pid")).arg("--dir").arg(&self.home);
        server.args(settings.lines());
        run(&mut server).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::new(io::ErrorKind::NotFound, MISSING),
            _ => error,
        })?;
        wait_until("the server answers", || Ok(self.cli(&["PING"]).is_ok_and(|answer| answer == "PONG")))
    }

    /// Its folder, where its settings may name files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.home
    }

    /// What `redis-cli` answers.
    ///
    /// # Errors
    /// When the server cannot be reached, or answers with an error.
    pub fn cli(&self, command: &[&str]) -> io::Result<String> {
        let mut cli = Command::new("redis-cli");
        cli.args(["-e", "-p", &self.port.to_string()]).args(command);
        run(cli.env("REDISCLI_AUTH", &self.password))
    }

    /// How to connect to it.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_by(self.port)
    }

    /// How to connect to it through another port of this machine.
    #[must_use]
    pub fn url_by(&self, port: u16) -> String {
        format!("redis://:{}@127.0.0.1:{port}", self.password)
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Ends it as a crash would.
    ///
    /// # Errors
    /// When it does not run.
    pub fn crash(&self) -> io::Result<()> {
        self.signal("-KILL")?;
        wait_until("the server is gone", || Ok(self.cli(&["PING"]).is_err()))
    }

    /// Freezes it: connections stay, and nobody answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> io::Result<()> {
        self.signal("-STOP")
    }

    /// Lets it go on after [`Self::freeze`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> io::Result<()> {
        self.signal("-CONT")
    }

    fn signal(&self, signal: &str) -> io::Result<()> {
        run(Command::new("kill").args([signal, &self.process()?.to_string()])).map(drop)
    }

    fn process(&self) -> io::Result<u32> {
        fs::read_to_string(self.home.join("pid"))?.trim().parse().map_err(io::Error::other)
    }
}

/// A prefix of keys that no other test has.
#[must_use]
pub fn own_prefix() -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    format!("t{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed))
}

fn password() -> io::Result<String> {
    let mut random = [0; 16];
    io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut random)?;
    Ok(format!("{:032x}", u128::from_be_bytes(random)))
}

#[allow(clippy::disallowed_methods, reason = "a server of another process cannot say when it is ready")]
fn wait_until(what: &str, mut is_so: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    for _ in 0..LOOKS {
        if is_so()? {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("waited in vain until {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_server_answers_whoever_knows_the_password() {
        let server = Redis::shared().unwrap();
        assert_eq!(server.node().cli(&["ECHO", "hello"]).unwrap(), "hello");
        let stranger = run(Command::new("redis-cli").args(["-e", "-p", &server.node().port.to_string(), "PING"]));
        assert!(stranger.unwrap_err().to_string().contains("NOAUTH"));
    }

    #[test]
    fn a_private_server_is_crashed_and_started_again() {
        let server = Redis::private(&["--appendonly", "yes", "--appendfsync", "always"]).unwrap();
        server.node().cli(&["SET", "kept", "7"]).unwrap();
        server.node().crash().unwrap();
        assert!(server.node().cli(&["GET", "kept"]).is_err());
        server.start().unwrap();
        assert_eq!(server.node().cli(&["GET", "kept"]).unwrap(), "7");
    }

    #[test]
    fn every_slot_of_the_cluster_has_a_master() {
        let cluster = RedisCluster::shared().unwrap();
        let ports: std::collections::BTreeSet<_> =
            [0, 5_460, 5_461, 10_922, 10_923, 16_383].map(|slot| cluster.master_of(slot).unwrap().port()).into();
        assert_eq!(ports.len(), MASTERS);
    }
}
