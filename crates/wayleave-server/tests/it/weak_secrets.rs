//! The real binary with secrets that somebody could know: it does not start, and says why without saying them.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::process::Process;

/// R170, A80: a short, known, repeated or readable master key refuses to start; the message shows nothing of it.
#[tokio::test]
async fn a_weak_master_key_does_not_start() {
    let cases = [
        ("changeme", 0o600),
        ("wlk1_changeme", 0o600),
        ("00112233445566778899aabbccddeeff", 0o600),
        (&*"00".repeat(32), 0o600),
        (&*"61".repeat(32), 0o600),
        ("", 0o600),
        ("3f9c1ab877de40520b96e8f1c2d3a45567788990aabbccddeeff0011deadbea7", 0o644),
    ];
    for (key, mode) in cases {
        let (folder, data) = with_key(key, mode);
        refuses(&data, &[], key).await;
        drop(folder);
    }
    // Refused for the key and nothing else: the last one of them, kept well, is good.
    let (_folder, data) = with_key(cases.last().unwrap().0, 0o600);
    assert_eq!(Process::start(&data, &[]).await.stop().await, Some(0));
}

fn with_key(key: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::DirBuilder::new().mode(0o700).create(&data).unwrap();
    let config = wayleave_server::config::Config::with_defaults(data.clone());
    let file = config.resolve(&config.keys.master);
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(file.parent().unwrap()).unwrap();
    std::fs::write(&file, format!("1 {key}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    (folder, data)
}

/// R170: the same for the token of the metrics page.
#[tokio::test]
async fn a_weak_metrics_token_does_not_start() {
    for token in ["changeme", "0123456789abcde", &"a".repeat(64), "metrics", ""] {
        let folder = tempfile::tempdir().unwrap();
        refuses(&folder.path().join("data"), &[format!("metrics.token={token}")], token).await;
    }
}

async fn refuses(data: &std::path::Path, settings: &[String], secret: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wayleave"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    for setting in settings {
        command.arg("--set").arg(setting);
    }
    let child = command
        .env_clear()
        .current_dir(data.parent().unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), child.wait_with_output()).await;
    let output = ended.unwrap_or_else(|_| panic!("it started with {secret:?}")).unwrap();
    assert!(!output.status.success(), "it started with {secret:?}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.is_empty());
    // Words like `metrics` stand in the message for other reasons.
    assert!(secret.len() < 8 || !said.contains(secret), "{said}");
    assert!(!data.join("setup-link").exists(), "nothing was made");
}
