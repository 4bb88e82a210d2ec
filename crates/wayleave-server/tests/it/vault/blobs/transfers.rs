//! Blobs on their way out, and over real connections.

use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::ServiceExt as _;
use wayleave_core::ports::MAX_PIECE;

use super::{BLOBS, content, holder};
use crate::process::Process;
use crate::world::World;

/// Whoever is in the middle of a version gets it whole, whatever is written and deleted meanwhile.
#[tokio::test]
async fn a_reader_gets_one_version_whole() {
    let world = World::new().await;
    let opal = holder(&world).await;
    let first = content(1, 4 * MAX_PIECE + 9);
    let etag = opal.make("a", &first).await;
    let asked = opal.request(&format!("GET {BLOBS}/a"), None);
    let mut answer = world.router.clone().oneshot(asked).await.unwrap();
    let mut read = answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap().to_vec();
    assert_eq!(read.len(), MAX_PIECE);
    let second = opal.put_blob("a", &[("if-match", &etag)], &content(2, 3 * MAX_PIECE)).await;
    second.assert_status(200);
    world.app.blobs.as_ref().unwrap().sweep().await.unwrap();
    opal.blob("DELETE", "a", &[("if-match", "*")]).await.assert_status(200);
    while let Some(frame) = answer.body_mut().frame().await {
        read.extend(frame.unwrap().into_data().unwrap());
    }
    assert!(read == first);
}

/// A version that goes away under its reader is an answer that breaks off, never one that looks complete.
#[tokio::test]
async fn a_reader_is_not_told_that_it_has_everything() {
    let world = World::new().await;
    let opal = holder(&world).await;
    let etag = opal.make("a", &content(1, 4 * MAX_PIECE)).await;
    let asked = opal.request(&format!("GET {BLOBS}/a"), None);
    let mut answer = world.router.clone().oneshot(asked).await.unwrap();
    answer.body_mut().frame().await.unwrap().unwrap();
    opal.put_blob("a", &[("if-match", &etag)], b"second").await.assert_status(200);
    world.pass(std::time::Duration::from_secs(16 * 60));
    world.app.blobs.as_ref().unwrap().sweep().await.unwrap();
    assert!(answer.body_mut().frame().await.unwrap().is_err());
    assert!(answer.body_mut().frame().await.is_none());
}

/// A76: a blob that is declared too large is refused by its head alone, before anybody looks at who asks; and a head that
/// says what it will do with the body is told so before it sends any.
#[tokio::test]
async fn what_is_too_large_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(&folder.path().join("data"), &[]).await;
    for (length, fields, status) in [
        (16 << 20, "", "401"),
        (16 << 20, "Expect: 100-continue\r\n", "401"),
        ((16 << 20) + 1, "", "413"),
        ((16 << 20) + 1, "Expect: 100-continue\r\n", "413"),
        (1_usize << 60, "", "413"),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "PUT {BLOBS}/a HTTP/1.1\r\nHost: {}\r\nContent-Type: application/octet-stream\r\n\
             Content-Length: {length}\r\n{fields}\r\n",
            server.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(std::str::from_utf8(&answer).unwrap(), format!("HTTP/1.1 {status}"), "{length} {fields}");
    }
}
