//! No write is lost: whoever changes a blob knows the version that is there.

use serde_json::json;

use super::{BLOBS, another_holder, content, etag, holder, names};
use crate::roles::Held;
use crate::vault::OPAL;
use crate::world::World;

#[tokio::test]
async fn writers_say_what_they_know() {
    let world = World::new().await;
    let opal = holder(&world).await;
    let refused = async |fields: &[(&str, &str)], status: u16, code: &str| {
        let answer = opal.put_blob("a", fields, b"lost?").await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code.to_owned()), "{fields:?}");
    };
    // There is nothing yet.
    let other = "\"00000000000000000000000000000000\"";
    refused(&[("if-match", "*")], 412, "precondition_failed").await;
    refused(&[("if-match", other)], 412, "precondition_failed").await;
    refused(&[("if-match", "*"), ("if-none-match", "*")], 400, "bad_request").await;
    let made = opal.put_blob("a", &[("if-none-match", "*")], b"first").await;
    made.assert_status(201);
    let first = etag(&made);
    assert_eq!(made.json()["data"]["etag"], first);
    assert_eq!(made.json()["data"]["size"], 5);
    // There is something.
    refused(&[], 428, "precondition_required").await;
    refused(&[("if-none-match", "*")], 412, "precondition_failed").await;
    refused(&[("if-match", other)], 412, "precondition_failed").await;
    refused(&[("if-match", &format!("W/{first}"))], 412, "precondition_failed").await;
    refused(&[("if-match", "a")], 400, "bad_request").await;
    let replaced = opal.put_blob("a", &[("if-match", &first)], b"second").await;
    replaced.assert_status(200);
    let second = etag(&replaced);
    assert_ne!(second, first);
    refused(&[("if-match", &first)], 412, "precondition_failed").await;
    let overwritten = opal.put_blob("a", &[("if-match", "*")], b"third").await;
    overwritten.assert_status(200);
    assert_eq!(opal.blob("GET", "a", &[]).await.body, b"third");
    assert_eq!(opal.blobs("").await["bytes"], 5);
}

#[tokio::test]
async fn deletions_say_what_they_know() {
    let world = World::new().await;
    let opal = holder(&world).await;
    let delete = async |fields: &[(&str, &str)], status: u16| {
        let answer = opal.blob("DELETE", "a", fields).await;
        assert_eq!(answer.status.as_u16(), status, "{fields:?}");
    };
    delete(&[], 404).await;
    delete(&[("if-match", "*")], 412).await;
    let first = opal.make("a", b"first").await;
    delete(&[], 428).await;
    delete(&[("if-none-match", "*")], 412).await;
    delete(&[("if-match", "\"00000000000000000000000000000000\"")], 412).await;
    assert_eq!(names(&opal.blobs("").await), ["a"]);
    delete(&[("if-match", &first)], 200).await;
    delete(&[("if-match", &first)], 412).await;
    assert_eq!(opal.blob("GET", "a", &[]).await.status, 404);
}

/// Who has the version is told so, and sent nothing.
#[tokio::test]
async fn readers_are_not_sent_what_they_have() {
    let world = World::new().await;
    let opal = holder(&world).await;
    let first = opal.make("a", &content(1, 1000)).await;
    let weak = format!("W/{first}, \"x\"");
    for held in [&first, &weak, "*"] {
        for method in ["GET", "HEAD"] {
            let answer = opal.blob(method, "a", &[("if-none-match", held)]).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0), "{method} {held}");
            assert_eq!(answer.header("etag"), Some(&*first));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
    opal.put_blob("a", &[("if-match", &first)], b"second").await.assert_status(200);
    let answer = opal.blob("GET", "a", &[("if-none-match", &first)]).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"second"[..]));
}

/// Of two devices that have read one version, and write at once, one is told so: what the other wrote stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_concurrent_second_writer_is_refused() {
    let world = World::new().await;
    let (one, other) = (holder(&world).await, another_holder(&world, OPAL, Held::Bearer).await);
    for round in 0..20 {
        let name = format!("r{round}");
        let seen = one.make(&name, b"seen").await;
        let (long, longer) = (content(1, 700_000), content(2, 800_000));
        let fields = [("if-match", &*seen)];
        let answers = tokio::join!(one.put_blob(&name, &fields, &long), other.put_blob(&name, &fields, &longer));
        let statuses = [answers.0.status.as_u16(), answers.1.status.as_u16()];
        let stands = match statuses {
            [200, 412] => long,
            [412, 200] => longer,
            _ => panic!("{statuses:?}"),
        };
        assert!(one.blob("GET", &name, &[]).await.body == stands);
        // The two that make a new blob as well, where neither says anything.
        let name = format!("n{round}");
        let answers = tokio::join!(one.put_blob(&name, &[], b"one"), other.put_blob(&name, &[], b"other"));
        let mut statuses = [answers.0.status.as_u16(), answers.1.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 428]);
    }
    let usage = one.blobs("").await;
    assert_eq!(usage["items"].as_array().unwrap().len(), 40, "{usage}");
}

/// What ends while a body comes in ends that, too.
#[tokio::test]
async fn the_right_to_write_is_asked_again_at_the_end() {
    use axum::body::Body;
    use bytes::Bytes;
    use http_body_util::channel::Channel;

    let world = World::new().await;
    let mut opal = holder(&world).await;
    opal.make("a", b"before").await;
    for end in ["lock", "sign-out"] {
        let writer = another_holder(&world, OPAL, Held::Bearer).await;
        let (mut sender, body) = Channel::<Bytes>::new(1);
        let asked = writer.put_request("a", &[("if-match", "*")], Body::new(body), 10);
        let writing = async {
            let answer = writer.ask_as_is(asked).await;
            (answer.status.as_u16(), answer.code())
        };
        let ending = async {
            sender.send_data(Bytes::from_static(b"after")).await.unwrap();
            match end {
                "lock" => opal.post("/api/vault/lock", &json!({ "scope": "all" })).await.assert_status(200),
                _ => opal.delete("/api/auth/sessions?scope=others").await.assert_status(200),
            }
            sender.send_data(Bytes::from_static(b"after")).await.unwrap();
            drop(sender);
        };
        let (answer, ()) = tokio::join!(writing, ending);
        let expected = if end == "lock" { (403, "vault_locked") } else { (401, "session_invalid") };
        assert_eq!(answer, (expected.0, expected.1.to_owned()), "{end}");
        opal = another_holder(&world, OPAL, Held::Bearer).await;
        assert_eq!(opal.blob("GET", "a", &[]).await.body, b"before");
        assert_eq!(opal.ask(&format!("GET {BLOBS}"), None).await.json()["data"]["bytes"], 6);
    }
}
