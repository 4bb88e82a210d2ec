//! The client that browsers use, `@serenity-kit/opaque`, against the running server.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::process::Process;

const FILES: [&str; 3] = ["package.json", "package-lock.json", "opaque.mjs"];
const ACCOUNTS: u32 = 200;

/// The script with its packages, in the folder of build products.
async fn installed() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("opaque-npm");
    std::fs::create_dir_all(&folder).unwrap();
    for file in FILES {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node").join(file);
        std::fs::copy(source, folder.join(file)).unwrap();
    }
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    let status = Command::new("npm").args(arguments).current_dir(&folder).stdin(Stdio::null()).status().await;
    assert!(status.expect("npm is installed").success());
    folder
}

/// R107: two hundred people register, sign in with the same export key, and do not get in with a wrong password; neither
/// does anybody who has no account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_npm_client_interoperates() {
    let script = installed().await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let settings = [
        "accounts.registration=open",
        "opaque.iterations=1",
        "opaque.memory=1MiB",
        "opaque.parallelism=1",
        "rate_limits.login=none",
        "rate_limits.register=none",
        "rate_limits.session=none",
        "rate_limits.failed_sign_ins=none",
    ];
    let server = Process::start(&data, &settings).await;
    let output = Command::new("node")
        .arg("opaque.mjs")
        .arg(format!("http://{}", server.address))
        .arg(ACCOUNTS.to_string())
        .current_dir(&script)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("node is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counts: Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = json!({ "registered": ACCOUNTS, "signedIn": ACCOUNTS, "wrong": ACCOUNTS, "unknown": ACCOUNTS });
    assert_eq!(counts, all);
}
