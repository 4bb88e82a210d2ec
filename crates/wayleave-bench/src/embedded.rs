//! Sessions inside an application's own process: ours and those of others, each against the plain route of the same
//! application, in one run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::arguments::ServerBinary;
use crate::http::{Header, Judged, Load, Server, pairs, two_rows, wrk};
use crate::measure::Samples;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::report::{Row, grouped};

/// An application, and which sessions it has.
struct Peer {
    /// In the table.
    name: &'static str,
    program: &'static str,
    argument: Option<&'static str>,
    /// Whether there is somebody to sign in.
    has_sessions: bool,
    judged: Judged,
}

const PEERS: [Peer; 5] = [
    Peer { name: "axum, bare", program: "peer-axum", argument: Some("bare"), has_sessions: false, judged: Judged::No },
    Peer {
        name: "axum + wayleave-web, memory",
        program: "peer-axum",
        argument: Some("wayleave-memory"),
        has_sessions: true,
        judged: Judged::Yes,
    },
    Peer {
        name: "axum + wayleave-web, sealed cookie",
        program: "peer-axum",
        argument: Some("wayleave-sealed"),
        has_sessions: true,
        judged: Judged::No,
    },
    Peer {
        name: "axum + tower-sessions, memory",
        program: "peer-axum",
        argument: Some("tower-sessions"),
        has_sessions: true,
        judged: Judged::No,
    },
    Peer {
        name: "actix-web + actix-session, cookie",
        program: "peer-actix",
        argument: None,
        has_sessions: true,
        judged: Judged::No,
    },
];

/// All rows.
pub(crate) fn rows(plan: Plan, server: &ServerBinary) -> Result<Vec<Row>, Problem> {
    wrk::find()?;
    let programs = programs(server)?;
    let mut rows = Vec::new();
    for peer in &PEERS {
        rows.extend(rows_of(plan, peer, &programs)?);
    }
    Ok(rows)
}

fn rows_of(plan: Plan, peer: &Peer, programs: &Path) -> Result<Vec<Row>, Problem> {
    let Peer { name, program, argument, has_sessions, judged } = peer;
    let server = Server::peer(Command::new(programs.join(program)).args(argument))?;
    let cookie = if *has_sessions { Some(Header::cookie(&server.cookies_of("/sign-in")?)) } else { None };
    let plain = Load { server: &server, path: "/plain", header: None };
    let me = Load { path: "/me", header: cookie.as_ref(), ..plain };
    let rounds = pairs(plan, plain, me)?;
    let mut rows = Vec::from(two_rows(&format!("{name}: who is it"), "its plain route", &rounds, *judged));
    let p99 = |of: fn(&crate::http::Pair) -> f64| Samples::new(rounds.iter().map(of).collect());
    let (plain_p99, p99) = (p99(|pair| pair.plain.p99_micros), p99(|pair| pair.other.p99_micros));
    rows.push(
        Row::new(format!("{name}: who is it: p99"), format!("{} µs", grouped(p99.median())))
            .against(format!("its plain route, {} µs", grouped(plain_p99.median())), p99.median() / plain_p99.median())
            .spread(&p99),
    );
    if cookie.is_some() {
        let open = Load { path: "/open", header: cookie.as_ref(), ..plain };
        // The cookie is sent there, too: reading its bytes off the wire is nobody's sessions.
        let plain = Load { header: cookie.as_ref(), ..plain };
        let [_, processor] =
            two_rows(&format!("{name}: does not ask"), "its plain route", &pairs(plan, plain, open)?, Judged::No);
        rows.push(processor);
    }
    Ok(rows)
}

/// Where the applications are. They are built with the server, and always optimised.
pub(crate) fn programs(server: &ServerBinary) -> Result<PathBuf, Problem> {
    const NAME: &str = "cargo build of the peers";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let target = folder.join("target");
    let built = target.join("release");
    match server {
        ServerBinary::Build => {}
        ServerBinary::Beside | ServerBinary::At(_) if built.join("peer-axum").is_file() => return Ok(built),
        ServerBinary::Beside | ServerBinary::At(_) => return Err(Problem::NoServer(built)),
    }
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&folder).args(["build", "--release"]).env("CARGO_TARGET_DIR", &target);
    let status = command.stdout(Stdio::null()).status().map_err(|source| Problem::Program { name: NAME, source })?;
    if status.success() { Ok(built) } else { Err(Problem::Failed { name: NAME, said: status.to_string().into() }) }
}
