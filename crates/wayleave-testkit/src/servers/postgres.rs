//! PostgreSQL for tests: one server that all share, each test in a database of its own, and private servers that can
//! be stopped, crashed and started again.
//!
//! The databases collate and fold case as Turkish does, so that nothing rests on the order of ASCII by accident.

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Shared, free_port, output, run};

/// The user that the server runs as where the tests run as root, and the superuser inside it.
const USER: &str = "postgres";
const MISSING: &str = "PostgreSQL is not installed: sudo apt-get install postgresql";
/// What a shared server need not survive.
const CARELESS: &str = "-c fsync=off -c full_page_writes=off";

/// A PostgreSQL server.
#[derive(Debug)]
pub struct Postgres {
    server: Shared,
    programs: Programs,
    port: u16,
    password: String,
}

impl Postgres {
    /// The server that all tests share. It keeps nothing when the machine crashes.
    ///
    /// # Errors
    /// When it does not start; says so when PostgreSQL is not installed.
    pub fn shared() -> io::Result<Arc<Self>> {
        let programs = Programs::find()?;
        let server = Shared::start("postgres", |folder| programs.launch(folder, CARELESS))?;
        Self::read(server, programs).map(Arc::new)
    }

    /// A server of one's own, as durable as PostgreSQL is.
    ///
    /// # Errors
    /// As [`Self::shared`].
    pub fn private() -> io::Result<Arc<Self>> {
        let programs = Programs::find()?;
        let server = Shared::start_private("postgres", |folder| programs.launch(folder, ""))?;
        Self::read(server, programs).map(Arc::new)
    }

    /// A standby of this server, which must be private, once it answers. It follows without being waited for, until
    /// somebody says `pg_promote` to it.
    ///
    /// # Errors
    /// As [`Self::shared`].
    pub fn standby(&self) -> io::Result<Arc<Self>> {
        let programs = Programs::find()?;
        let server = Shared::start_private("postgres", |folder| programs.launch_standby(folder, self))?;
        Self::read(server, programs).map(Arc::new)
    }

    fn read(server: Shared, programs: Programs) -> io::Result<Self> {
        let port = fs::read_to_string(server.folder().join("port"))?.parse().map_err(io::Error::other)?;
        let password = fs::read_to_string(server.folder().join("password"))?;
        Ok(Self { server, programs, port, password })
    }

    /// A new and empty database.
    ///
    /// # Errors
    /// When the server does not make it.
    pub fn database(self: &Arc<Self>) -> io::Result<Database> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"))?;
        Ok(Database { server: Arc::clone(self), name })
    }

    /// What `psql` answers in `database`, unaligned and without headers.
    ///
    /// # Errors
    /// When a statement fails.
    pub fn psql(&self, database: &str, statements: &str) -> io::Result<String> {
        self.ask(database, statements).map(|(answer, _)| answer)
    }

    fn ask(&self, database: &str, statements: &str) -> io::Result<(String, String)> {
        let mut psql = Command::new(self.programs.folder.join("psql"));
        psql.args(["-XqtA", "--set=ON_ERROR_STOP=1", "--host=127.0.0.1", &format!("--port={}", self.port)]);
        psql.args([&format!("--username={USER}"), &format!("--dbname={database}"), "--command", statements]);
        output(psql.env("PGPASSWORD", &self.password))
    }

    /// How to connect to `database`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_by(database, self.port)
    }

    fn url_by(&self, database: &str, port: u16) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{port}/{database}", self.password)
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Makes a certificate for `localhost` that nobody else has signed, and takes connections over TLS from now on; the
    /// certificate's file.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn use_tls(&self) -> io::Result<PathBuf> {
        let data = self.server.folder().join("data");
        let mut openssl = self.programs.as_owner("openssl".as_ref());
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]);
        openssl.args(["-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"]).arg(data.join("server.key"));
        run(openssl.arg("-out").arg(data.join("server.crt")))?;
        self.psql("postgres", "ALTER SYSTEM SET ssl = on")?;
        self.stop()?;
        self.start()?;
        Ok(data.join("server.crt"))
    }

    /// Stops it in good order: whoever is connected is hung up on.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(&self) -> io::Result<()> {
        self.end("fast")
    }

    /// Ends it as a crash would: nothing more is written, and the next start recovers from the log.
    ///
    /// # Errors
    /// When it does not end.
    pub fn crash(&self) -> io::Result<()> {
        self.end("immediate")
    }

    fn end(&self, mode: &str) -> io::Result<()> {
        let data = self.server.folder().join("data");
        run(self.programs.command("pg_ctl").args(["stop", "--wait", "--mode", mode, "--pgdata"]).arg(data)).map(drop)
    }

    /// Starts it again, where it was.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&self) -> io::Result<()> {
        let process = self.programs.start(self.server.folder(), self.port, "")?;
        self.server.set_processes(&[process])
    }
}

/// A database of one test, dropped with this value.
#[derive(Debug)]
pub struct Database {
    server: Arc<Postgres>,
    name: String,
}

impl Database {
    /// How to connect to it.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// How to connect to it through another port of this machine.
    #[must_use]
    pub fn url_by(&self, port: u16) -> String {
        self.server.url_by(&self.name, port)
    }

    /// The server that it is in.
    #[must_use]
    pub fn server(&self) -> &Postgres {
        &self.server
    }

    /// As [`Postgres::psql`].
    ///
    /// # Errors
    /// When a statement fails.
    pub fn psql(&self, statements: &str) -> io::Result<String> {
        self.server.psql(&self.name, statements)
    }

    /// The plans of everything that `statements` run, also inside functions, as `auto_explain` tells them.
    ///
    /// # Errors
    /// When a statement fails.
    pub fn plans(&self, statements: &str) -> io::Result<String> {
        let statements = format!(
            "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on; \
             SET client_min_messages = log; {statements}"
        );
        self.server.ask(&self.name, &statements).map(|(_, told)| told)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server that was stopped cannot; the folder goes as a whole then.
        self.server.psql("postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).ok();
    }
}

/// PostgreSQL's programs, and whom they run as.
#[derive(Debug)]
struct Programs {
    folder: PathBuf,
    /// User and group where the tests run as root: the server refuses to.
    instead_of_root: Option<(u32, u32)>,
}

impl Programs {
    fn find() -> io::Result<Self> {
        let folder = folders().find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists());
        let folder = folder.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, MISSING))?;
        let id = |option| -> io::Result<u32> {
            let said = run(Command::new("id").args([option, USER]));
            said.map_err(|_| io::Error::other(MISSING))?.parse().map_err(io::Error::other)
        };
        let is_root = fs::metadata("/proc/self")?.uid() == 0;
        let instead_of_root = if is_root { Some((id("-u")?, id("-g")?)) } else { None };
        Ok(Self { folder, instead_of_root })
    }

    fn command(&self, program: &str) -> Command {
        self.as_owner(&self.folder.join(program))
    }

    /// A program as the user that the server's files belong to.
    fn as_owner(&self, program: &Path) -> Command {
        let mut command = if self.instead_of_root.is_some() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", USER, "--regid", USER, "--init-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir("/");
        command
    }

    fn launch(&self, folder: &Path, settings: &str) -> io::Result<Vec<u32>> {
        let mut random = [0; 16];
        io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut random)?;
        let password = format!("{:032x}", u128::from_be_bytes(random));
        private_file(&folder.join("password"), &password)?;
        let data = self.data_folder(folder)?;
        let initial = folder.join("initial-password");
        private_file(&initial, &password)?;
        self.hand_over(&initial)?;
        let mut initdb = self.command("initdb");
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=tr"]);
        initdb.args(["--auth=scram-sha-256", "--username", USER, "--pwfile"]).arg(&initial).arg("--pgdata").arg(&data);
        run(&mut initdb)?;
        fs::remove_file(initial)?;
        self.start_first(folder, settings)
    }

    /// From a copy of what the primary has, and with its passwords.
    fn launch_standby(&self, folder: &Path, primary: &Postgres) -> io::Result<Vec<u32>> {
        private_file(&folder.join("password"), &primary.password)?;
        let data = self.data_folder(folder)?;
        let mut copy = self.command("pg_basebackup");
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--host=127.0.0.1"]);
        copy.args([&format!("--port={}", primary.port), &format!("--username={USER}"), "--pgdata"]).arg(&data);
        run(copy.env("PGPASSWORD", &primary.password))?;
        self.start_first(folder, "")
    }

    fn data_folder(&self, folder: &Path) -> io::Result<PathBuf> {
        let data = folder.join("data");
        DirBuilder::new().mode(0o700).create(&data)?;
        self.hand_over(&data)?;
        Ok(data)
    }

    /// Makes something the owner's.
    fn hand_over(&self, path: &Path) -> io::Result<()> {
        self.instead_of_root.map_or(Ok(()), |(user, group)| chown(path, Some(user), Some(group)))
    }

    fn start_first(&self, folder: &Path, settings: &str) -> io::Result<Vec<u32>> {
        let port = free_port()?;
        let process = self.start(folder, port, settings)?;
        fs::write(folder.join("port"), port.to_string())?;
        Ok(vec![process])
    }

    /// Starts the server and waits until it answers; its process.
    fn start(&self, folder: &Path, port: u16, settings: &str) -> io::Result<u32> {
        let data = folder.join("data");
        let settings = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c max_connections=500 {settings}",
            data.display()
        );
        let mut start = self.command("pg_ctl");
        start.args(["start", "--wait", "--timeout=60", "--options", &settings, "--log"]).arg(data.join("log"));
        run(start.arg("--pgdata").arg(&data))?;
        let file = fs::read_to_string(data.join("postmaster.pid"))?;
        file.lines().next().unwrap_or_default().parse().map_err(io::Error::other)
    }
}

/// Where Debian has the programs, the newest version first, and then where everybody else has them.
fn folders() -> impl Iterator<Item = PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|entry| entry.path()).collect();
    versions.sort_by_key(|path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
    versions.into_iter().rev().map(|path| path.join("bin")).chain(path_folders())
}

#[allow(clippy::disallowed_methods, reason = "where programs are is said by the environment alone")]
fn path_folders() -> Vec<PathBuf> {
    std::env::var("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

fn private_file(path: &Path, content: &str) -> io::Result<()> {
    fs::File::options().write(true).create_new(true).mode(0o600).open(path)?.write_all(content.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_test_has_a_database_of_its_own() {
        let server = Postgres::shared().unwrap();
        let (one, two) = (server.database().unwrap(), server.database().unwrap());
        one.psql("CREATE TABLE mine (name TEXT)").unwrap();
        assert!(two.psql("TABLE mine").is_err());
        assert_eq!(one.psql("SELECT lower('I')").unwrap(), "\u{131}");
        let name = two.name.clone();
        drop(two);
        let left = server.psql("postgres", &format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'"));
        assert_eq!(left.unwrap(), "0");
    }

    #[test]
    fn a_private_server_is_crashed_and_started_again() {
        let server = Postgres::private().unwrap();
        let database = server.database().unwrap();
        database.psql("CREATE TABLE kept AS SELECT 7 AS number").unwrap();
        server.crash().unwrap();
        assert!(database.psql("TABLE kept").is_err());
        server.start().unwrap();
        assert_eq!(database.psql("TABLE kept").unwrap(), "7");
        assert_eq!(database.psql("SHOW fsync").unwrap(), "on");
    }

    #[test]
    fn a_standby_has_what_its_primary_has_until_it_is_promoted() {
        let primary = Postgres::private().unwrap();
        primary.psql("postgres", "CREATE TABLE kept AS SELECT 7 AS number").unwrap();
        let standby = primary.standby().unwrap();
        assert_eq!(standby.psql("postgres", "TABLE kept").unwrap(), "7");
        assert!(standby.psql("postgres", "DROP TABLE kept").is_err());
        assert_eq!(standby.psql("postgres", "SELECT pg_promote()").unwrap(), "t");
        standby.psql("postgres", "DROP TABLE kept").unwrap();
        assert_eq!(primary.psql("postgres", "TABLE kept").unwrap(), "7");
    }
}
