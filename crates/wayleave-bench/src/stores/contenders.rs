//! Who is compared on which store, and how each one's application is started.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::backend::Store;
use crate::arguments::ServerBinary;
use crate::embedded;
use crate::http::Server;
use crate::problem::Problem;

/// An application with sessions by somebody.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Contender {
    /// In the table.
    pub(super) name: &'static str,
    program: Program,
    /// Whether its sessions are ours.
    pub(super) is_ours: bool,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Program {
    /// A binary of the peers' workspace, and its argument.
    Rust(&'static str, Option<&'static str>),
    /// A module for Node.js.
    Node(&'static str),
}

/// Ours.
pub(super) const WAYLEAVE: Contender =
    Contender { name: "wayleave-web", program: Program::Rust("peer-wayleave", None), is_ours: true };

const TOWER: Contender = rust("tower-sessions", "peer-tower-sessions", None);
const TOWER_CACHED: Contender = rust("tower-sessions, cached in moka", "peer-tower-sessions", Some("cached"));
const AXUM_SESSION: Contender = rust("axum_session", "peer-axum-session", None);
const ACTIX: Contender = rust("actix-session", "peer-actix", None);
const EXPRESS: Contender = node("express-session, connect-redis", "express.mjs");
const BETTER_AUTH: Contender = node("better-auth", "better-auth.mjs");

const fn rust(name: &'static str, program: &'static str, argument: Option<&'static str>) -> Contender {
    Contender { name, program: Program::Rust(program, argument), is_ours: false }
}

const fn node(name: &'static str, module: &'static str) -> Contender {
    Contender { name, program: Program::Node(module), is_ours: false }
}

/// Who is compared on a store; ours first.
pub(super) const fn of(store: Store) -> &'static [Contender] {
    match store {
        Store::Memory => &[WAYLEAVE, TOWER, AXUM_SESSION],
        Store::Sqlite => &[WAYLEAVE],
        Store::Postgres => &[WAYLEAVE, TOWER, TOWER_CACHED, AXUM_SESSION, BETTER_AUTH],
        Store::Redis => &[WAYLEAVE, TOWER, TOWER_CACHED, AXUM_SESSION, ACTIX, EXPRESS],
    }
}

/// Where the applications are.
pub(super) struct Programs {
    rust: PathBuf,
    /// Without Node.js, why those that run on it are not compared.
    node: Result<PathBuf, Problem>,
}

impl Programs {
    /// Builds and installs them, when that was asked for.
    pub(super) fn find(server: &ServerBinary) -> Result<Self, Problem> {
        Ok(Self { rust: embedded::programs(server)?, node: modules(server) })
    }

    /// Why a contender cannot be measured here, if so.
    pub(super) fn lack(&self, contender: &Contender) -> Option<&Problem> {
        match contender.program {
            Program::Rust(..) => None,
            Program::Node(_) => self.node.as_ref().err(),
        }
    }

    /// Starts an application with its sessions at `place`. `keeps_warm` is not asked of peers.
    pub(super) fn start(&self, contender: &Contender, place: &str, keeps_warm: bool) -> Result<Server, Problem> {
        let mut command = match (contender.program, &self.node) {
            (Program::Rust(name, argument), _) => {
                let mut command = Command::new(self.rust.join(name));
                command.args(argument);
                command
            }
            (Program::Node(module), Ok(folder)) => {
                let mut command = Command::new("node");
                command.arg(folder.join(module)).env("NODE_ENV", "production");
                command
            }
            (Program::Node(_), Err(_)) => return Err(Problem::Missing { name: "nodejs" }),
        };
        if !keeps_warm {
            command.env("WARM_SESSIONS", "0");
        }
        Server::peer(command.env("STORE", place))
    }
}

/// The folder of the modules for Node.js, with what they depend on installed as their lock file says.
fn modules(server: &ServerBinary) -> Result<PathBuf, Problem> {
    const NAME: &str = "npm ci";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/node");
    let is_there =
        |program| Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if is_there("node").is_err() {
        return Err(Problem::Missing { name: "nodejs" });
    }
    match server {
        ServerBinary::Build => {}
        ServerBinary::Beside | ServerBinary::At(_) if folder.join("node_modules").is_dir() => return Ok(folder),
        ServerBinary::Beside | ServerBinary::At(_) => return Err(Problem::NoServer(folder.join("node_modules"))),
    }
    if is_there("npm").is_err() {
        return Err(Problem::Missing { name: "npm" });
    }
    let mut command = Command::new("npm");
    command.current_dir(&folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).stdin(Stdio::null());
    let output = command.output().map_err(|source| Problem::Program { name: NAME, source })?;
    if output.status.success() {
        return Ok(folder);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Problem::Failed { name: NAME, said: said.trim().into() })
}
