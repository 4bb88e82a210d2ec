//! The real binary as a child process, and a client that talks to it over a socket.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use http::{HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::support::Answer;

/// A running server. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// How a server is started.
pub(crate) struct Start<'a> {
    /// Its data.
    pub(crate) folder: &'a Path,
    pub(crate) settings: &'a [&'a str],
    pub(crate) listen: SocketAddr,
    /// All of its environment.
    pub(crate) environment: Vec<(&'a str, String)>,
    /// The room on the disk that its data is on, in KiB: a file system of its own, that no other process sees.
    pub(crate) disk: Option<u32>,
}

impl<'a> Start<'a> {
    /// On a free port.
    pub(crate) fn new(folder: &'a Path, settings: &'a [&'a str]) -> Self {
        Self { folder, settings, listen: "127.0.0.1:0".parse().unwrap(), environment: Vec::new(), disk: None }
    }

    fn command(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_wayleave");
        let mut command = match self.disk {
            None => Command::new(program),
            Some(kib) => {
                let mut command = Command::new("unshare");
                command.args(["--map-root-user", "--mount", "sh", "-c"]);
                command.arg(format!("mount -t tmpfs -o size={kib}k tmpfs \"$0\" && exec \"$@\""));
                command.arg(self.folder).arg(program);
                command
            }
        };
        command.arg("serve").arg("--data").arg(self.folder).arg("--listen").arg(self.listen.to_string());
        command.args(self.settings.iter().flat_map(|setting| ["--set", setting]));
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Process {
    /// Starts a server on a free port with its data in `folder`, and waits until it says that it listens.
    pub(crate) async fn start(folder: &Path, settings: &[&str]) -> Self {
        Self::start_as(Start::new(folder, settings)).await
    }

    /// The same, otherwise than usual.
    pub(crate) async fn start_as(start: Start<'_>) -> Self {
        let mut child = start
            .command()
            .current_dir(start.folder.parent().unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next_line().await.unwrap().expect("the server ended before it said anything");
        // It says where browsers reach it, which is elsewhere when something is in front of it.
        let address = match start.listen.port() {
            0 => first.rsplit_once("http://").unwrap().1.parse().unwrap(),
            _ => start.listen,
        };
        let process = Self { child, address };
        // The rest is read, so that the server never waits for a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        process.ready().await;
        process
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&self) {
        while !self.ask("GET", "/readyz", &[], None).await.is_ok_and(|answer| answer.status == 200) {
            tokio::task::yield_now().await;
        }
    }

    /// A path as this process sees it.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.child.id().unwrap())).join(path.strip_prefix("/").unwrap())
    }

    /// Whether it says that it serves as it should: neither `degraded` nor not at all.
    pub(crate) async fn is_well(&self) -> bool {
        self.ask("GET", "/readyz", &[], None).await.unwrap().json()["status"] == "ok"
    }

    /// What the system says of the process, in KiB: `VmRSS` is what it has in memory, `VmHWM` the most that it had.
    pub(crate) fn kib(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':')).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    /// Lets `VmHWM` begin anew.
    pub(crate) fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id().unwrap()), "5").unwrap();
    }

    /// Ends it at once, as a power cut ends a process.
    pub(crate) fn kill_now(&self) {
        self.signal("KILL");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        let status = std::process::Command::new("kill").arg(format!("-{name}")).arg(id).status();
        assert!(status.unwrap().success());
    }

    /// Ends it as an operator does, and gives its exit code.
    pub(crate) async fn stop(mut self) -> Option<i32> {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").arg("-TERM").arg(id).status().await.unwrap().success());
        self.child.wait().await.unwrap().code()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> std::io::Result<Answer> {
        self.ask("POST", path, &[], Some(body)).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: Option<&Value>,
    ) -> std::io::Result<Answer> {
        ask(self.address, method, path, fields, body).await
    }

    /// Makes the first administrator.
    pub(crate) async fn set_up(&self, folder: &Path, email: &str, password: &str) {
        let link = std::fs::read_to_string(folder.join("setup-link")).unwrap();
        let token = link.trim().rsplit_once('#').unwrap().1;
        let body = json!({ "token": token, "email": email, "password": password, "name": "Ada" });
        assert_eq!(self.post("/setup", &body).await.unwrap().status, 201);
    }
}

/// Makes an account, as an operator does.
pub(crate) async fn add_account(data: &Path, email: &str, password: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wayleave"))
        .args(["user", "add", email, "--password-stdin", "--data"])
        .arg(data)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).await.unwrap();
    assert!(child.wait().await.unwrap().success());
}

/// Runs a command beside the servers on the data in `data`.
pub(crate) async fn command(data: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wayleave"));
    command.args(arguments).arg("--data").arg(data).env_clear().current_dir(data).kill_on_drop(true);
    command.output().await.unwrap()
}

/// One request to `address` on a connection of its own. An error means that no whole answer came.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: Option<&Value>,
) -> std::io::Result<Answer> {
    Connection::to(address).await?.ask(method, path, fields, body).await
}

/// A connection for one request after another.
pub(crate) struct Connection {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    pub(crate) async fn to(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self { address, sender })
    }

    /// As [`ask`].
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: Option<&Value>,
    ) -> std::io::Result<Answer> {
        let json = body.map(|_| ("content-type", "application/json"));
        let fields: Vec<_> = fields.iter().copied().chain(json).collect();
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(method, path, &fields, body.into()).await
    }

    /// The same with a body of any kind.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: Bytes,
    ) -> std::io::Result<Answer> {
        let mut request = Request::builder().method(method).uri(path);
        if fields.iter().all(|(name, _)| *name != "host") {
            request = request.header("host", self.address.to_string());
        }
        for (name, value) in fields {
            request = request.header(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let request = request.body(Full::new(body)).unwrap();
        self.sender.ready().await.map_err(std::io::Error::other)?;
        let response = self.sender.send_request(request).await.map_err(std::io::Error::other)?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes().to_vec();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}
