//! The real server as a child process, and people on it.

use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::client::{Client, Request};
use crate::arguments::ServerBinary;
use crate::problem::Problem;
use crate::process::Process;

const NAME: &str = "wayleave serve";
const PASSWORD: &str = "seven grey herons at dusk";
/// Without limits of rate, which are not what is measured, and without a log line for every request, which would make
/// the plain route look dear and so validation cheap.
const SETTINGS: [&str; 6] = [
    "accounts.registration=open",
    "log.level=warn",
    "rate_limits.login=none",
    "rate_limits.register=none",
    "rate_limits.session=none",
    "rate_limits.refresh=none",
];

/// The server to measure, built when that was asked for.
pub(crate) fn binary(wanted: &ServerBinary) -> Result<PathBuf, Problem> {
    let path = match wanted {
        ServerBinary::At(path) => path.clone(),
        ServerBinary::Beside => beside()?,
        ServerBinary::Build => {
            build()?;
            beside()?
        }
    };
    if path.is_file() { Ok(path) } else { Err(Problem::NoServer(path)) }
}

fn beside() -> Result<PathBuf, Problem> {
    let this = std::env::current_exe().map_err(|source| Problem::Program { name: NAME, source })?;
    Ok(this.with_file_name("wayleave"))
}

fn build() -> Result<(), Problem> {
    const NAME: &str = "cargo build --bin wayleave";
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .args(["build", "--package", "wayleave-server", "--bin", "wayleave"])
        .args(if cfg!(debug_assertions) { None } else { Some("--release") })
        .stdout(Stdio::null());
    let status = command.status().map_err(|source| Problem::Program { name: NAME, source })?;
    if status.success() { Ok(()) } else { Err(Problem::Failed { name: NAME, said: status.to_string().into() }) }
}

/// A running server. It ends with this value, and its data with it.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    // Kept open: a server whose output nobody takes may stop.
    _output: BufReader<ChildStdout>,
    // Removed when the server has ended.
    _folder: TempDir,
}

/// What a bearer client gets.
pub(crate) struct Issued {
    pub(crate) session_token: String,
}

impl Server {
    /// Starts `binary` on a free port in a temporary folder. `settings` are further ones, `KEY=VALUE`.
    pub(crate) fn start(binary: &Path, store: &str, settings: &[String]) -> Result<Self, Problem> {
        let folder = tempfile::tempdir().map_err(broken)?;
        let settings = SETTINGS.iter().copied().chain(settings.iter().map(String::as_str));
        let mut command = Command::new(binary);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--store", store, "--data"])
            .arg(folder.path().join("data"))
            .args(settings.flat_map(|setting| ["--set", setting]));
        Self::spawn(&mut command, folder)
    }

    /// Starts [`super::bare`].
    pub(crate) fn bare() -> Result<Self, Problem> {
        let this = std::env::current_exe().map_err(broken)?;
        Self::spawn(Command::new(this).arg("--bare"), tempfile::tempdir().map_err(broken)?)
    }

    /// Starts another application.
    pub(crate) fn peer(command: &mut Command) -> Result<Self, Problem> {
        Self::spawn(command, tempfile::tempdir().map_err(broken)?)
    }

    fn spawn(command: &mut Command, folder: TempDir) -> Result<Self, Problem> {
        let path = folder.path().join("log");
        let log = File::create(&path).map_err(broken)?;
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn();
        let mut child = spawned.map_err(broken)?;
        let output = child.stdout.take().map(BufReader::new);
        let found = output.and_then(|mut output| Some((address(&mut output)?, output)));
        let Some((address, output)) = found else {
            // It is not of use any more; whether it has ended by itself does not matter.
            child.kill().ok();
            child.wait().ok();
            let said = std::fs::read_to_string(&path).unwrap_or_default();
            return Err(Problem::Failed { name: NAME, said: said.trim().into() });
        };
        Ok(Self { child, address, _output: output, _folder: folder })
    }

    pub(crate) fn process(&self) -> Process {
        Process::of_id(self.child.id())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn connect(&self) -> Result<Client, Problem> {
        Client::connect(self.address)
    }

    /// The cookies that an empty POST is answered with.
    pub(crate) fn cookies_of(&self, path: &'static str) -> Result<String, Problem> {
        let request = Request { method: "POST", path, headers: &[("content-length", "0".to_owned())], body: None };
        let answer = self.connect()?.ask(&request)?;
        let cookies: Vec<_> = answer.cookies().collect();
        if cookies.is_empty() { Err(Problem::Defect("the sign-in set no cookie")) } else { Ok(cookies.join("; ")) }
    }

    /// Makes an account.
    pub(crate) fn register(&self, email: &str) -> Result<(), Problem> {
        let body = json!({ "email": email, "password": PASSWORD, "name": "A Person" });
        let request = Request { method: "POST", path: "/api/auth/register", headers: &[], body: Some(body) };
        self.connect()?.ask(&request).map(drop)
    }

    /// Signs in as a program does.
    pub(crate) fn sign_in(&self, email: &str) -> Result<Issued, Problem> {
        sign_in(&mut self.connect()?, email)
    }

    /// Signs in as a browser does; the session cookie with its name.
    pub(crate) fn sign_in_with_cookie(&self, email: &str) -> Result<String, Problem> {
        let mut client = self.connect()?;
        let csrf = client.ask(&Request { method: "GET", path: "/api/csrf", headers: &[], body: None })?;
        let headers = [
            ("cookie", csrf.cookies().collect::<Vec<_>>().join("; ")),
            ("origin", format!("http://{}", self.address)),
            ("x-csrf-token", csrf.text_at("/token")?),
        ];
        let body = json!({ "email": email, "password": PASSWORD });
        let request = Request { method: "POST", path: "/api/auth/login", headers: &headers, body: Some(body) };
        let answer = client.ask(&request)?;
        let session = answer.cookies().find(|cookie| cookie.starts_with("__Host-id="));
        session.map(str::to_owned).ok_or(Problem::Defect("the sign-in set no session cookie"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing of it is needed any more.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Signs in over a connection that is there already.
pub(crate) fn sign_in(client: &mut Client, email: &str) -> Result<Issued, Problem> {
    let body = json!({ "email": email, "password": PASSWORD, "transport": "bearer" });
    let request = Request { method: "POST", path: "/api/auth/login", headers: &[], body: Some(body) };
    Ok(Issued { session_token: client.ask(&request)?.text_at("/data/session_token")? })
}

/// Where the server says that it listens.
fn address(output: &mut impl std::io::BufRead) -> Option<SocketAddr> {
    let mut line = String::new();
    while output.read_line(&mut line).ok()? > 0 {
        if let Some((_, address)) = line.split_once(" listens on http://") {
            return address.trim().replace("localhost", "127.0.0.1").parse().ok();
        }
        line.clear();
    }
    None
}

fn broken(source: std::io::Error) -> Problem {
    Problem::Program { name: NAME, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_among_other_lines() {
        let mut output = "Data folder: x\nWayleave 0.1.0 listens on http://127.0.0.1:41234\nmore\n".as_bytes();
        assert_eq!(address(&mut output), Some(SocketAddr::from(([127, 0, 0, 1], 41_234))));
        assert_eq!(address(&mut "it stopped\n".as_bytes()), None);
    }
}
