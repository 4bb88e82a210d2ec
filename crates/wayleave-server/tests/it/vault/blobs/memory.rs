//! What transfers cost the server in memory, measured on the real binary.

use bytes::Bytes;
use serde_json::{Value, json};
use wayleave_core::ports::MAX_PIECE;

use super::BLOBS;
use crate::asks::OCTETS;
use crate::opaque::{
    LOGIN_FINISH, LOGIN_START, REGISTER_FINISH, REGISTER_START, client, decode, encode, finish_body, ke1,
};
use crate::process::{Connection, Process};
use crate::support::Answer;
use crate::vault::OPAL;
use crate::world::PASSWORD;

/// By how much memory may grow beyond the pieces in flight, each way.
const MOST: usize = 8 << 20;
/// Pieces of one transfer: the one that fills up, and the one on its way to the store or from it.
const IN_FLIGHT: usize = 2;

/// A transfer costs no more memory than the pieces that it has in flight, whatever the size of the blob.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfers_take_little_memory() {
    measure(8, 4 << 20).await;
}

/// The same with 20 at once, of 16 MiB each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: run by `cargo xtask test --deep`"]
async fn transfers_of_the_largest_blobs_take_little_memory() {
    measure(20, 16 << 20).await;
}

async fn measure(transfers: usize, size: usize) {
    let folder = tempfile::tempdir().unwrap();
    let settings = [
        "accounts.registration=open",
        "rate_limits.register=none",
        "rate_limits.session=none",
        "vault.quota=1GiB",
        "vault.upload_limit=100",
        "vault.transfer_limit=400",
    ];
    let server = Process::start(&folder.path().join("data"), &settings).await;
    let token = open(&server).await;
    // Buffers that stay, such as those of the database.
    all_at_once(&server, &token, transfers, "warm", MAX_PIECE).await;
    let uploads = grown(&server, || all_up(&server, &token, transfers, "blob", size)).await;
    let downloads = grown(&server, || all_down(&server, &token, transfers, "blob", size)).await;
    let most = MOST + transfers * IN_FLIGHT * MAX_PIECE;
    assert!(most < transfers * size, "the limit says nothing");
    assert!(uploads <= most, "uploads took {uploads} bytes of {most}");
    assert!(downloads <= most, "downloads took {downloads} bytes of {most}");
}

/// By how many bytes the server grew at most while something was done.
async fn grown<F: Future<Output = ()>>(server: &Process, act: impl FnOnce() -> F) -> usize {
    server.forget_peak();
    let before = server.kib("VmRSS");
    act().await;
    usize::try_from(server.kib("VmHWM").saturating_sub(before)).unwrap() * 1024
}

async fn all_at_once(server: &Process, token: &str, transfers: usize, name: &str, size: usize) {
    all_up(server, token, transfers, name, size).await;
    all_down(server, token, transfers, name, size).await;
}

/// Bytes of which no block is like another, of this number or any other.
fn content(number: usize, size: usize) -> Bytes {
    const BLOCK: usize = 4096;
    let mut bytes = vec![u8::try_from(number).unwrap(); size];
    for (at, block) in bytes.chunks_mut(BLOCK).enumerate() {
        block[..8].copy_from_slice(&at.to_le_bytes());
    }
    bytes.into()
}

async fn all_up(server: &Process, token: &str, transfers: usize, name: &str, size: usize) {
    each(transfers, |number| {
        let (address, bearer, path) = (server.address, format!("Bearer {token}"), format!("{BLOBS}/{name}-{number}"));
        async move {
            let fields = [("authorization", bearer.as_str()), ("content-type", OCTETS)];
            let content = content(number, size);
            let mut connection = Connection::to(address).await.unwrap();
            let answer = connection.send("PUT", &path, &fields, content).await.unwrap();
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
    })
    .await;
}

async fn all_down(server: &Process, token: &str, transfers: usize, name: &str, size: usize) {
    each(transfers, |number| {
        let (address, bearer, path) = (server.address, format!("Bearer {token}"), format!("{BLOBS}/{name}-{number}"));
        async move {
            let mut connection = Connection::to(address).await.unwrap();
            let fields = [("authorization", bearer.as_str())];
            let answer: Answer = connection.send("GET", &path, &fields, Bytes::new()).await.unwrap();
            assert_eq!(answer.status, 200);
            assert!(answer.body == content(number, size), "{number}");
        }
    })
    .await;
}

async fn each<F: Future<Output = ()> + Send + 'static>(transfers: usize, act: impl Fn(usize) -> F) {
    let tasks: Vec<_> = (0..transfers).map(|number| tokio::spawn(act(number))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Registers Opal, and opens the vault.
async fn open(server: &Process) -> String {
    let post = async |path: &str, body: &Value, status: u16| {
        let answer = server.post(path, body).await.unwrap();
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        answer.json()["data"].take()
    };
    let (request, registering) = client(PASSWORD).register();
    let started = post(REGISTER_START, &json!({ "identifier": OPAL, "request": encode(request) }), 200).await;
    let (upload, _) = client(PASSWORD).upload(registering, &decode(&started["response"]));
    let finish = json!({
        "identifier": OPAL, "name": "Opal", "upload": encode(upload), "key_stretching": started["key_stretching"],
    });
    post(REGISTER_FINISH, &finish, 201).await;
    let (request, state) = ke1(PASSWORD);
    let started = post(LOGIN_START, &json!({ "identifier": OPAL, "request": request }), 200).await;
    let ke3 = client(PASSWORD).finish(state, &decode(&started["response"]), None).unwrap().ke3;
    let mut finish = finish_body(started["login_id"].as_str().unwrap(), &encode(ke3));
    finish["vault"] = "write".into();
    post(LOGIN_FINISH, &finish, 200).await["session_token"].as_str().unwrap().to_owned()
}
