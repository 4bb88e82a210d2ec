//! The real binary as a child process, and a client that talks to it over a socket.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use http::{HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
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

impl Process {
    /// Starts a server on a free port with its data in `folder`, and waits until it says that it listens.
    pub(crate) async fn start(folder: &Path, settings: &[&str]) -> Self {
        Self::start_at(folder, settings, "127.0.0.1:0".parse().unwrap()).await
    }

    /// The same on a given port.
    pub(crate) async fn start_at(folder: &Path, settings: &[&str], listen: SocketAddr) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wayleave"));
        command.arg("serve").arg("--data").arg(folder).arg("--listen").arg(listen.to_string());
        for setting in settings {
            command.arg("--set").arg(setting);
        }
        let mut child = command
            .env_clear()
            .current_dir(folder.parent().unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next_line().await.unwrap().expect("the server ended before it said anything");
        let address = first.rsplit_once("http://").unwrap().1.parse().unwrap();
        let process = Self { child, address };
        // The rest is read, so that the server never waits for a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        while !process.ask("GET", "/readyz", &[], None).await.is_ok_and(|answer| answer.status == 200) {
            tokio::task::yield_now().await;
        }
        process
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

/// One request to `address` on a connection of its own. An error means that no whole answer came.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: Option<&Value>,
) -> std::io::Result<Answer> {
    let stream = TcpStream::connect(address).await?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    let body = body.map(Value::to_string);
    let mut request = Request::builder().method(method).uri(path);
    if fields.iter().all(|(name, _)| *name != "host") {
        request = request.header("host", address.to_string());
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in fields {
        request = request.header(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let request = request.body(Full::new(Bytes::from(body.unwrap_or_default()))).unwrap();
    let response = sender.send_request(request).await.map_err(std::io::Error::other)?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes().to_vec();
    Ok(Answer { status: parts.status, headers: parts.headers, body })
}
