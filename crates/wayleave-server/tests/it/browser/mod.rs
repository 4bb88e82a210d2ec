//! The page of `examples/opaque-vault` in a real Chromium, with everything that it sends and gets on record.

mod search;
mod wire;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::nginx::free_address;
use crate::node;
use crate::process::{Process, Start, ask};
use search::{forms, holds};
use wire::Wire;

const EXAMPLE: &str = "examples/opaque-vault";

/// R116, R098, R107: somebody registers, signs in, keeps a note, changes the password and reads the note again, in a browser.
/// Neither passwords nor export keys nor the vault key nor the note go over the wire in any form that the search knows; it
/// finds what is planted for it. A wrong password and an unknown address look the same, and nothing is left in storage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_that_only_its_writer_can_read() {
    let home = node::installed("opaque-vault", "", &["package.json", "package-lock.json", "packages", EXAMPLE]).await;
    node::npm(&home, &["run", "build", "--workspaces"]).await;
    let folder = tempfile::tempdir().unwrap();
    let (wire, behind) = (Wire::listen().await, free_address());
    let public = format!("server.public_url=http://{}", wire.address);
    let (data, settings) = (folder.path().join("data"), [public.as_str(), "accounts.registration=open"]);
    let server = Process::start_as(Start { listen: free_address(), ..Start::new(&data, &settings) }).await;
    let example = home.join(EXAMPLE);
    let _preview = preview(&example, behind, server.address).await;
    let recorded = wire.record(behind);

    let output = Command::new("node")
        .arg("test/drive.js")
        .arg(format!("http://{}", recorded.address))
        .args(std::env::var_os("WAYLEAVE_SCREENSHOTS"))
        .current_dir(&example)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["wrong"], seen["unknown"]);
    let held = json!({ "local": 0, "session": 0, "databases": 0 });
    for (name, count) in held.as_object().unwrap() {
        assert_eq!(&seen["held"][name], count, "{name}");
    }
    assert!(!seen["held"]["cookies"].as_str().unwrap().contains("__Host-id"));

    let traffic = recorded.stop();
    let text = String::from_utf8_lossy(&traffic).to_ascii_lowercase();
    // What is packed or framed otherwise could not be searched like this.
    assert!(!text.contains("\ncontent-encoding:") && !text.contains("\nupgrade:"), "the traffic is not plain");
    assert!(text.contains("put /api/vault/blobs/note http/1.1") && text.contains("/opaque/change/finish http/1.1"));
    let secrets = |name: &str| -> Vec<Vec<u8>> {
        let all = seen["secrets"][name].as_array().unwrap();
        all.iter().map(|secret| unhex(secret.as_str().unwrap())).collect()
    };
    let (passwords, notes) = (secrets("passwords"), secrets("notes"));
    let (keys, wrapping) = (secrets("keys"), secrets("wrapping"));
    // The vault key once, and an export key at each of four sign-ins and one change.
    assert_eq!(keys.iter().filter(|key| key.len() == 32).count(), 1);
    assert!(keys.iter().filter(|key| key.len() == 64).count() >= 5, "{}", keys.len());
    for secret in passwords.iter().chain(&notes).chain(&keys).chain(&wrapping) {
        assert_eq!(holds(&traffic, secret), None, "{secret:02x?} went over the wire");
    }
    let planted = unhex(seen["planted"].as_str().unwrap());
    assert_eq!(holds(&traffic, &planted), Some("base64"));
    assert!(forms(&planted).len() > 8);
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// The built page, served at `at` as `npm run preview` does, with `/api` handed to `wayleave`.
async fn preview(example: &Path, at: SocketAddr, wayleave: SocketAddr) -> Child {
    let vite = example.join("../../node_modules/vite/bin/vite.js");
    let child = Command::new("node")
        .arg(vite)
        .args(["preview", "--strictPort", "--host", "127.0.0.1", "--port", &at.port().to_string()])
        .current_dir(example)
        .env("WAYLEAVE_URL", format!("http://{wayleave}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    while ask(at, "GET", "/", &[], None).await.is_err() {
        tokio::task::yield_now().await;
    }
    child
}
