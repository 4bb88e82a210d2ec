//! Schemathesis over the whole OpenAPI document, as an administrator and as an ordinary person.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::process::{self, Process};
use super::python;

const ADMINISTRATOR: &str = "ada@example.com";
const PERSON: &str = "bob@example.com";
const PASSWORD: &str = "let me in for good reason";
const VERSION: &str = "schemathesis==4.32.5";
const HOOKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schema");
/// Of the operations of the document, those that must have succeeded once for an administrator, in percent.
const REACHED: usize = 80;

/// R083: no answer is a 5xx or breaks the document, and most operations were really reached.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long, and installs a Python package: run by `cargo xtask test --deep`"]
async fn the_api_does_what_its_document_says() {
    let program = python::installed("schemathesis", &[VERSION], VERSION).await.join("schemathesis");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let settings = [
        "kinds.standard.permissions=*",
        "kinds.standard.most=10000",
        "accounts.registration=open",
        "rate_limits.login=none",
        "rate_limits.register=none",
        "rate_limits.refresh=none",
        "rate_limits.session=none",
        "rate_limits.admin=none",
        "rate_limits.service_key=none",
        "rate_limits.unknown_token=none",
    ];
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let metrics = format!("metrics.listen={free}");
    let settings: Vec<_> = settings.into_iter().chain(["rate_limits.failed_sign_ins=none", &metrics]).collect();
    let server = Process::start(&data, &settings).await;
    server.set_up(&data, ADMINISTRATOR, PASSWORD).await;
    wayleave(&data, &["user", "add", PERSON, "--password-stdin"], PASSWORD).await;
    let key = wayleave(&data, &["service-key", "add", "shop", "--permission", "read:profile", "--quiet"], "").await;
    for email in [ADMINISTRATOR, PERSON] {
        let url = format!("http://{}", server.address);
        let output = Command::new(&program)
            .args(["run", &format!("{url}/openapi.json"), "--phases", "examples,coverage,fuzzing", "-n", "20"])
            .arg("--checks")
            .arg("not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance")
            .arg("--continue-on-failure")
            .current_dir(folder.path())
            .env("SCHEMATHESIS_HOOKS", "hooks")
            .env("PYTHONPATH", HOOKS)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("WAYLEAVE_URL", &url)
            .env("WAYLEAVE_EMAIL", email)
            .env("WAYLEAVE_ADMINISTRATOR", ADMINISTRATOR)
            .env("WAYLEAVE_PASSWORD", PASSWORD)
            .env("WAYLEAVE_SERVICE_KEY", key.trim())
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "as {email}:\n{}", String::from_utf8_lossy(&output.stdout));
    }
    let metrics = process::ask(free, "GET", "/metrics", &[], None).await.unwrap();
    let metrics = String::from_utf8(metrics.body).unwrap();
    let reached = metrics.lines().filter(|line| line.contains("_requests_total{") && line.contains("2xx")).count();
    let all = wayleave_server::router::table().len();
    assert!(reached * 100 >= all * REACHED, "only {reached} of {all} operations succeeded");
}

/// Runs a command of the binary under test, and gives what it printed.
async fn wayleave(data: &Path, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wayleave"))
        .args(arguments)
        .arg("--data")
        .arg(data)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}
