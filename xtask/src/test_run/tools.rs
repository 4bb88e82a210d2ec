//! The programs that tests talk to: installed from Debian's packages where that can be done, asked for where not.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::cargo;
use crate::problem::Problem;

/// A program, where else than in `PATH` it may be, and the Debian package that brings it.
const NEEDS: [(&str, &str, &str); 12] = [
    ("curl", "/usr/bin/curl", "curl"),
    ("jq", "/usr/bin/jq", "jq"),
    ("sqlite3", "/usr/bin/sqlite3", "sqlite3"),
    ("nginx", "/usr/sbin/nginx", "nginx-light"),
    ("postgres", "/usr/lib/postgresql", "postgresql"),
    ("redis-server", "/usr/bin/redis-server", "redis-server"),
    ("openssl", "/usr/bin/openssl", "openssl"),
    ("faketime", "/usr/lib/x86_64-linux-gnu/faketime", "faketime"),
    ("node", "/usr/bin/node", "nodejs"),
    ("npm", "/usr/bin/npm", "npm"),
    ("python3", "/usr/bin/python3", "python3-venv"),
    ("chromium", "/usr/bin/chromium", "chromium"),
];

/// Sees to it that everything is there.
pub(super) fn provide() -> Result<(), Problem> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    println!("note: missing: {}", missing.join(" "));
    // Without rights or without apt these fail, and the answer below says what to do.
    let _ = cargo::run("apt-get update", &mut apt(&["update", "-qq"]));
    let mut install = apt(&["install", "-y", "-qq", "--no-install-recommends"]);
    let _ = cargo::run("apt-get install", install.args(&missing));
    let still = self::missing();
    if still.is_empty() {
        return Ok(());
    }
    println!("error: the tests need these Debian packages: sudo apt-get install {}", still.join(" "));
    Err(Problem::Found { what: "programs that are missing", count: still.len() })
}

fn missing() -> Vec<&'static str> {
    NEEDS.iter().filter(|(program, path, _)| !is_there(program, path)).map(|(_, _, package)| *package).collect()
}

fn is_there(program: &str, path: &str) -> bool {
    let mut ask = Command::new(program);
    let runs = ask.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    runs || Path::new(path).exists()
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command
}
