//! The blobs in a vault, over HTTP.

mod conditions;
mod limits;
mod memory;
mod transfers;

use std::fmt::Write as _;

use axum::body::Body;
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Request};
use serde_json::Value;
use wayleave_core::ports::MAX_PIECE;

use super::OPAL;
use crate::asks::OCTETS;
use crate::roles::Held;
use crate::support::Answer;
use crate::world::{Client, Keeping, PASSWORD, World};

const BLOBS: &str = "/api/vault/blobs";

/// Opal, with the vault open to write.
async fn holder<'a>(world: &'a World) -> Client<'a> {
    world.opaque_person(OPAL, PASSWORD).await;
    another_holder(world, OPAL, Held::Bearer).await
}

/// One more session of somebody.
async fn another_holder<'a>(world: &'a World, email: &str, held: Held) -> Client<'a> {
    let mut client = world.client();
    client.vault_sign_in(email, held, "write").await;
    client
}

/// Bytes that no other number has.
fn content(number: u8, length: usize) -> Vec<u8> {
    (0..=250).map(|byte| byte ^ number).cycle().take(length).collect()
}

impl Client<'_> {
    /// The request that writes a blob.
    fn put_request(&self, name: &str, fields: &[(&str, &str)], body: impl Into<Body>, length: usize) -> Request<Body> {
        let (mut parts, _) = self.request(&format!("PUT {BLOBS}/{name}"), None).into_parts();
        let fields = fields.iter().copied().chain([("content-type", OCTETS)]);
        for (name, value) in fields {
            parts.headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        parts.headers.insert(CONTENT_LENGTH, length.into());
        Request::from_parts(parts, body.into())
    }

    async fn put_blob(&self, name: &str, fields: &[(&str, &str)], content: &[u8]) -> Answer {
        self.ask_as_is(self.put_request(name, fields, content.to_vec(), content.len())).await
    }

    /// Makes a blob; its ETag.
    async fn make(&self, name: &str, content: &[u8]) -> String {
        let answer = self.put_blob(name, &[], content).await;
        answer.assert_status(201);
        etag(&answer)
    }

    /// Asks for a blob by another method than PUT.
    async fn blob(&self, method: &str, name: &str, fields: &[(&str, &str)]) -> Answer {
        let mut asked = self.request(&format!("{method} {BLOBS}/{name}"), None);
        for (name, value) in fields {
            asked.headers_mut().insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        self.ask_as_is(asked).await
    }

    /// The data of a list.
    async fn blobs(&self, query: &str) -> Value {
        let answer = self.ask_as_is(self.request(&format!("GET {BLOBS}{query}"), None)).await;
        answer.assert_status(200);
        answer.json()["data"].clone()
    }
}

fn etag(answer: &Answer) -> String {
    answer.header("etag").unwrap().to_owned()
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

/// What is written is read again, byte by byte, by every session of the account, and by no other account.
#[tokio::test]
async fn blobs_are_read_as_they_were_written() {
    for keeping in [Keeping::Memory, Keeping::Sqlite] {
        let world = World::with(keeping, |_| {}).await;
        let opal = holder(&world).await;
        let other = another_holder(&world, OPAL, Held::Cookie).await;
        world.opaque_person("olga@example.com", PASSWORD).await;
        let olga = another_holder(&world, "olga@example.com", Held::Bearer).await;
        for (number, length) in
            [0, 1, MAX_PIECE - 1, MAX_PIECE, MAX_PIECE + 1, 3 * MAX_PIECE + 77].into_iter().enumerate()
        {
            let (name, content) = (format!("b{number}"), content(u8::try_from(number).unwrap(), length));
            let etag = opal.make(&name, &content).await;
            for reader in [&opal, &other] {
                let answer = reader.blob("GET", &name, &[]).await;
                answer.assert_status(200);
                assert!(answer.body == content, "{length}");
                assert_eq!(answer.header("etag"), Some(&*etag));
                assert_eq!(answer.header("content-length"), Some(&*length.to_string()));
                assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
                assert_eq!(answer.header("content-disposition"), Some("attachment"));
                assert_eq!(answer.header("cache-control"), Some("no-store"));
                let head = reader.blob("HEAD", &name, &[]).await;
                assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
                assert_eq!(head.header("content-length"), Some(&*length.to_string()));
                assert_eq!(head.header("etag"), Some(&*etag));
            }
            let strange = olga.blob("GET", &name, &[]).await;
            assert_eq!((strange.status.as_u16(), strange.code()), (404, "not_found".to_owned()));
        }
        assert_eq!(olga.blobs("").await["items"], serde_json::json!([]));
        assert_eq!(world.folder.path().join("data/vault.db").exists(), keeping == Keeping::Sqlite);
    }
}

#[tokio::test]
async fn lists_are_complete_and_paged() {
    let world = World::new().await;
    let opal = holder(&world).await;
    for (number, name) in ["b", "a", "c", "a.b", "B"].into_iter().enumerate() {
        opal.make(name, &content(0, number * 10)).await;
    }
    let all = opal.blobs("").await;
    assert_eq!(names(&all), ["B", "a", "a.b", "b", "c"]);
    assert_eq!(all["next"], Value::Null);
    assert_eq!((all["bytes"].as_u64(), all["quota"].as_u64()), (Some(100), Some(256 << 20)));
    let first = all["items"][3].clone();
    assert_eq!(first["size"], 0);
    assert!(first["changed_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(first["etag"], etag(&opal.blob("HEAD", "b", &[]).await));
    let (mut paged, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let page = opal.blobs(&query).await;
        paged.extend(names(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        query = "?limit=2".to_owned();
        write!(query, "&after={next}").unwrap();
    }
    assert_eq!(paged, names(&all));
    for query in ["?limit=0", "?limit=201", "?after=..", "?after="] {
        let answer = opal.ask_as_is(opal.request(&format!("GET {BLOBS}{query}"), None)).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "validation_failed".to_owned()), "{query}");
    }
}

/// Names that are none are told to writers, and are nowhere to be found.
#[tokio::test]
async fn hostile_names_are_refused() {
    let world = World::new().await;
    let opal = holder(&world).await;
    for name in [".hidden", "..", "a%2fb", "a%00", "%2e%2e%2fvault.db", "a%20b", "%C3%A4", &"a".repeat(129)] {
        let answer = opal.put_blob(name, &[], b"x").await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "validation_failed".to_owned()), "{name}");
        for method in ["GET", "DELETE"] {
            assert_eq!(opal.blob(method, name, &[("if-match", "*")]).await.status, 404, "{method} {name}");
        }
    }
    assert_eq!(opal.put_blob("a/b", &[], b"x").await.status, 404);
    assert_eq!(names(&opal.blobs("").await), Vec::<&str>::new());
}

/// R164: the audit log says that blobs were written and deleted, by whom and how large, and neither their names nor what is
/// in them; the numbers count bytes.
#[tokio::test]
async fn changes_are_written_down_without_names() {
    let world = World::new().await;
    let opal = holder(&world).await;
    let etag = opal.make("very-private-name", b"CIPHERTEXT").await;
    opal.blob("GET", "very-private-name", &[]).await.assert_status(200);
    opal.blob("DELETE", "very-private-name", &[("if-match", &etag)]).await.assert_status(200);
    let rows = world.audit().await;
    let of = |event: &str| rows.iter().filter(|row| &*row.event == event).collect::<Vec<_>>();
    for event in ["vault.blob_written", "vault.blob_deleted"] {
        let [row] = &of(event)[..] else { panic!("{event}") };
        assert_eq!(row.detail.as_deref(), Some(r#"{"size":10}"#));
        assert!(row.subject.as_ref().is_some_and(|subject| subject.starts_with("user:")));
        assert!(row.session.is_some() && row.request.is_some());
    }
    let text = format!("{rows:?}");
    assert!(!text.contains("very-private") && !text.contains("CIPHERTEXT"), "{text}");
    let numbers = world.metrics().await;
    for line in
        [r#"wayleave_blobs_bytes_total{direction="in"} 10"#, r#"wayleave_blobs_bytes_total{direction="out"} 10"#]
    {
        assert!(numbers.text().lines().any(|held| held == line), "{line}:\n{}", numbers.text());
    }
}

/// Without blobs there are no such routes, whoever asks, and no file.
#[tokio::test]
async fn a_deployment_can_do_without() {
    let world = World::with(Keeping::Sqlite, |config| config.vault.blobs = false).await;
    let opal = holder(&world).await;
    for method in ["GET", "DELETE"] {
        assert_eq!(opal.blob(method, "a", &[("if-match", "*")]).await.status, 404, "{method}");
    }
    assert_eq!(opal.put_blob("a", &[], b"x").await.status, 404);
    assert!(!world.folder.path().join("data/vault.db").exists());
}
