//! Rows of the database that somebody moved, cut or bent: they open nothing, and never as somebody else's.

use serde_json::json;
use sqlx::Connection as _;
use wayleave_server::config::Config;

use crate::people::{ANN, BOB, with_jwt_kind};
use crate::support::Answer;
use crate::world::{Keeping, PASSWORD, World};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const IPHONE: &str =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1";

async fn connect(world: &World) -> sqlx::SqliteConnection {
    let file = Config::with_defaults(world.folder.path().join("data")).database().unwrap();
    sqlx::SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap()
}

/// Changes the database beside the server, as somebody with the disk can.
async fn alter(world: &World, statement: &str) -> u64 {
    let mut connection = connect(world).await;
    let changed = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    world.app.manager.forget_everything();
    changed.rows_affected()
}

/// Ann on Firefox and Bob on an iPhone, both signed in with tokens.
async fn two(world: &World) -> [(String, String); 2] {
    let mut signed_in = Vec::new();
    for (email, agent) in [(ANN, FIREFOX), (BOB, IPHONE)] {
        world.person(email, &["read:profile"]).await;
        let mut client = world.client();
        client.fields.push(("user-agent".into(), agent.into()));
        let data = client.tokens(email, "standard").await;
        let text = |name: &str| data[name].as_str().unwrap().to_owned();
        signed_in.push((text("session_token"), text("refresh_token")));
    }
    signed_in.try_into().unwrap()
}

fn refused(answer: &Answer, about: &str) {
    let refused =
        [(503, "store_unavailable"), (401, "session_invalid"), (401, "refresh_failed"), (401, "invalid_credentials")];
    assert!(refused.contains(&(answer.status.as_u16(), &answer.code())), "{about} {}", answer.text());
}

async fn sqlite() -> World {
    World::with(Keeping::Sqlite, with_jwt_kind).await
}

/// A73: the sealed columns of one session put into the row of another do not open, and no answer shows what they held.
#[tokio::test]
async fn moved_columns_do_not_open() {
    let world = sqlite().await;
    let [(ann, ann_refresh), (bob, _)] = two(&world).await;
    let seen = world.client().get_with(&ann, "/api/auth/sessions/current").await;
    assert_eq!(seen.data("device"), "Firefox on Linux");
    let subject = |email: &str| format!("(SELECT 'user:' || id FROM accounts WHERE email = '{email}')");
    let moved = format!(
        "UPDATE sessions SET client = (SELECT client FROM sessions WHERE subject = {}) WHERE subject = {}",
        subject(BOB),
        subject(ANN)
    );
    assert_eq!(alter(&world, &moved).await, 1);
    for path in ["/api/auth/sessions/current", "/api/auth/sessions/validate", "/api/auth/user", "/api/auth/verify"] {
        let answer = world.client().get_with(&ann, path).await;
        refused(&answer, path);
        assert!(!answer.text().contains("iPhone"));
    }
    refused(&world.client().refresh(&ann_refresh).await, "refresh");
    // The other one is as before, and a listing leaves out what cannot be read.
    world.client().get_with(&bob, "/api/auth/user").await.assert_status(200);
    let mut again = world.client();
    again.tokens(ANN, "standard").await;
    let listed = again.get("/api/auth/sessions").await;
    listed.assert_status(200);
    assert_eq!(listed.json()["data"]["items"].as_array().unwrap().len(), 1);
    assert!(!listed.text().contains("iPhone"));
}

/// A73: a bent, cut, emptied or exchanged envelope opens nowhere; each sealed column of a row is bound to its name.
#[tokio::test]
async fn bent_envelopes_do_not_open() {
    let changes = [
        ("cut", "client = substr(client, 1, length(client) - 1)"),
        ("empty", "client = x''"),
        ("longer", "client = CAST(client || x'41' AS BLOB)"),
        ("another column", "context = client"),
        ("the context of nobody", "context = x'01'"),
    ];
    for (about, change) in changes {
        let world = sqlite().await;
        let [(ann, _), (bob, _)] = two(&world).await;
        let statement = format!(
            "UPDATE sessions SET {change} WHERE subject = (SELECT 'user:' || id FROM accounts WHERE email = '{ANN}')"
        );
        assert_eq!(alter(&world, &statement).await, 1);
        refused(&world.client().get_with(&ann, "/api/auth/user").await, about);
        world.client().get_with(&bob, "/api/auth/user").await.assert_status(200);
    }
    let world = sqlite().await;
    let [(ann, _), _] = two(&world).await;
    let mut connection = connect(&world).await;
    let row = format!("subject = (SELECT 'user:' || id FROM accounts WHERE email = '{ANN}')");
    let read = format!("SELECT client FROM sessions WHERE {row}");
    let envelope: Vec<u8> = sqlx::query_scalar(sqlx::AssertSqlSafe(read)).fetch_one(&mut connection).await.unwrap();
    let write = format!("UPDATE sessions SET client = ? WHERE {row}");
    let mut put = async |envelope: &[u8]| {
        sqlx::query(sqlx::AssertSqlSafe(write.clone())).bind(envelope.to_vec()).execute(&mut connection).await.unwrap();
        world.app.manager.forget_everything();
        world.client().get_with(&ann, "/api/auth/user").await
    };
    for at in 0..envelope.len() {
        let mut bent = envelope.clone();
        bent[at] ^= 1 << (at % 8);
        refused(&put(&bent).await, &format!("byte {at}"));
    }
    put(&envelope).await.assert_status(200);
}

/// A73: a password hash in another account's row opens that account to nobody.
#[tokio::test]
async fn moved_credentials_open_nothing() {
    let world = sqlite().await;
    two(&world).await;
    let mut admin = world.administrator().await;
    let known = json!({ "email": "eve@example.com", "name": "Eve", "password": "only eve knows this phrase" });
    admin.post("/api/admin/users", &known).await.assert_status(201);
    let id = |email: &str| format!("(SELECT id FROM accounts WHERE email = '{email}')");
    let moved = format!(
        "UPDATE credentials SET secret = (SELECT secret FROM credentials WHERE account = {}) WHERE account = {}",
        id("eve@example.com"),
        id(ANN)
    );
    assert_eq!(alter(&world, &moved).await, 1);
    for password in ["only eve knows this phrase", PASSWORD] {
        refused(&world.client().sign_in(ANN, password).await, password);
    }
    world.signed_in(BOB).await;
    world.client().sign_in("eve@example.com", "only eve knows this phrase").await.assert_status(200);
}

/// A73: signing keys that were exchanged or bent are no signing keys.
#[tokio::test]
async fn bent_signing_keys_sign_nothing() {
    for change in [
        "value = substr(value, 1, length(value) - 1)",
        "value = (SELECT secret FROM credentials LIMIT 1)",
        "value = x''",
    ] {
        let world = sqlite().await;
        two(&world).await;
        let statement = format!("UPDATE settings SET {change} WHERE name = 'signing-keys'");
        assert_eq!(alter(&world, &statement).await, 1);
        assert!(world.app.reload().await.is_err(), "{change}");
        let mut admin = world.administrator().await;
        admin.post("/api/admin/keys/rotate", &json!({})).await.assert_code(503, "store_unavailable");
    }
}

/// A73, R002: the sealed answer of a refresh, put into another family's row, is nobody's answer.
#[tokio::test]
async fn a_moved_pair_is_nobodys_answer() {
    let world = sqlite().await;
    let [(_, ann), (_, bob)] = two(&world).await;
    let client = world.client();
    client.refresh(&ann).await.assert_status(200);
    let bobs = client.refresh(&bob).await.data("session_token");
    let subject = |email: &str| format!("(SELECT 'user:' || id FROM accounts WHERE email = '{email}')");
    let moved = format!(
        "UPDATE sessions SET rotation_pair = (SELECT rotation_pair FROM sessions WHERE subject = {}) WHERE subject = {}",
        subject(BOB),
        subject(ANN)
    );
    assert_eq!(alter(&world, &moved).await, 1);
    let answer = client.refresh(&ann).await;
    refused(&answer, "moved pair");
    assert!(!answer.text().contains(&bobs));
}
