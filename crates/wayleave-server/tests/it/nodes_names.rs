//! Servers on one store that bear one name: the audit log has one chain for each name, so that two would lose rows.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::fleet::{Fleet, Sessions};
use super::process::{Process, command};

/// Longer than a name must rest before another server takes it.
const PAST_PATIENCE: Duration = Duration::from_secs(9);

/// The data folder of a server that is configured as `like` is, its name included.
fn namesake(fleet: &Fleet, like: &str) -> PathBuf {
    let data = fleet.folder.path().join("namesake");
    std::fs::create_dir(&data).unwrap();
    std::fs::copy(fleet.folder.path().join(like).join("wayleave.toml"), data.join("wayleave.toml")).unwrap();
    data
}

/// R167: rows of the audit log are not lost in silence. A second server of a name does not start, and says which setting
/// to change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_of_a_name_does_not_start() {
    let fleet = Fleet::start(Sessions::Postgres, "prompt").await;
    let data = namesake(&fleet, "one");
    let started = command(&data, &["serve", "--listen", "127.0.0.1:0"]).await;
    assert!(!started.status.success());
    let said = String::from_utf8_lossy(&started.stderr);
    assert!(said.contains("under the name \"one\"") && said.contains("`nodes.name`"), "{said}");
    // A name that was given back is free at once.
    let Fleet { servers, .. } = &fleet;
    servers[0].signal("TERM");
    let successor = Process::start(&data, &[]).await;
    let well = async || while !successor.is_well().await {};
    tokio::time::timeout(PAST_PATIENCE, well()).await.expect("nothing is amiss");
}

/// A server that slept so long that another one took its name says so when it is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_name_was_taken_is_degraded() {
    let fleet = Fleet::start(Sessions::Postgres, "prompt").await;
    let data = namesake(&fleet, "two");
    fleet.servers[1].signal("STOP");
    let _successor = Process::start(&data, &[]).await;
    fleet.servers[1].signal("CONT");
    let reasons = async || {
        let ready = fleet.servers[1].ask("GET", "/readyz", &[], None).await.unwrap().json();
        (ready["status"].clone(), ready["reasons"].clone())
    };
    let named = async || while !reasons().await.1.as_array().is_some_and(|all| all.contains(&json!("name"))) {};
    tokio::time::timeout(PAST_PATIENCE, named()).await.expect("it notices");
    assert_eq!(reasons().await.0, json!("degraded"));
}
