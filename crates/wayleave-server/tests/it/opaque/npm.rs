//! The client that browsers use, `@serenity-kit/opaque`, against the running server.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::node;
use crate::process::Process;

const FILES: [&str; 3] = ["package.json", "package-lock.json", "opaque.mjs"];
const ACCOUNTS: u32 = 200;

/// R107: two hundred people register, sign in with the same export key, and do not get in with a wrong password; neither
/// does anybody who has no account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_npm_client_interoperates() {
    let script = node::installed("opaque-npm", "crates/wayleave-server/tests/node", &FILES).await;
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
