//! Who is let at the vault, until when, and what keeps it open: asked of the routes of the key, which anything behind the
//! guard stands for.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use wayleave_testkit::{Fault, StoreVerb};

use super::{KEY, OPAL, wrapped};
use crate::people::ANN;
use crate::roles::Held;
use crate::world::{Client, PASSWORD, World};

const LIFETIME: Duration = Duration::from_secs(15 * 60);
const SECOND: Duration = Duration::from_secs(1);

/// What `error.code` and `error.details.reason` of a refusal are; `None` when the guard lets through.
async fn refusal(client: &mut Client<'_>, right: &str) -> Option<(String, String)> {
    let answer = match right {
        "read" => client.get(KEY).await,
        _ => client.put_key(&wrapped(b"key"), None).await,
    };
    if answer.status != 403 {
        // There may be no key, or one.
        assert!(matches!(answer.status.as_u16(), 200 | 404 | 412), "{}", answer.text());
        return None;
    }
    let error = &answer.json()["error"];
    Some((error["code"].as_str().unwrap().to_owned(), error["details"]["reason"].as_str().unwrap().to_owned()))
}

fn refused(code: &str, reason: &str) -> Option<(String, String)> {
    Some((code.to_owned(), reason.to_owned()))
}

async fn holder<'a>(world: &'a World, right: &str) -> Client<'a> {
    let mut client = world.client();
    client.vault_sign_in(OPAL, Held::Bearer, right).await;
    client
}

/// A password, a service and whoever did not ask for it are refused with the reason, which the audit log has too.
#[tokio::test]
async fn only_an_open_vault_lets_through() {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    world.person(ANN, &[]).await;
    let (mut ann, _) = world.with_tokens(ANN).await;
    let mut page = world.signed_in(ANN).await;
    let secret = world.administrator().await.make_service("shop", &[]).await;
    let opened = world.bearer(&secret).post("/api/auth/sessions", &json!({ "subject": "customer-17" })).await;
    let mut external = world.bearer(opened.json()["data"]["session_token"].as_str().unwrap());
    let answer = world.client().opaque_sign_in(OPAL, PASSWORD).await;
    let mut plain = world.bearer(answer.json()["data"]["session_token"].as_str().unwrap());
    for right in ["read", "write"] {
        assert_eq!(refusal(&mut ann, right).await, refused("vault_required", "password"));
        assert_eq!(refusal(&mut page, right).await, refused("vault_required", "password"));
        assert_eq!(refusal(&mut external, right).await, refused("vault_required", "service"));
        assert_eq!(refusal(&mut plain, right).await, refused("vault_required", "not_opened"));
    }
    let mut reader = holder(&world, "read").await;
    assert_eq!(refusal(&mut reader, "read").await, None);
    assert_eq!(refusal(&mut reader, "write").await, refused("vault_required", "read_only"));
    let mut writer = holder(&world, "write").await;
    for right in ["read", "write"] {
        assert_eq!(refusal(&mut writer, right).await, None);
    }
    let mut reasons: Vec<_> =
        world.audited("vault.refused").await.iter().map(|row| row.reason.clone().unwrap().to_string()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["not_opened", "password", "read_only", "service"], "each once, and then counted");
    let page = world.metrics().await.text();
    assert!(page.contains(r#"wayleave_vaults_total{event="refused"} 9"#), "{page}");
}

/// R017: what goes unused is over at that instant, and nothing brings it back: no use, no clock that is set back.
#[tokio::test]
async fn what_goes_unused_is_over_for_good() {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    let (mut early, mut late) = (holder(&world, "write").await, holder(&world, "write").await);
    world.pass(LIFETIME - SECOND);
    assert_eq!(refusal(&mut early, "read").await, None);
    world.pass(SECOND);
    assert_eq!(refusal(&mut early, "read").await, None, "it was used a second ago");
    assert_eq!(late.vault().await["ended"], "expired");
    assert_eq!(refusal(&mut late, "read").await, refused("vault_locked", "expired"));
    world.clock.rewind(Duration::from_secs(120));
    assert_eq!(refusal(&mut early, "read").await, None);
    assert_eq!(refusal(&mut late, "read").await, refused("vault_locked", "expired"));
    late.get("/api/auth/user").await.assert_status(200);
    late.opaque_step_up(OPAL, Some("read")).await.assert_status(200);
    assert_eq!(refusal(&mut late, "read").await, None);
}

/// Use keeps it open; nothing else does: neither validating nor other routes nor what a page asks by itself.
#[tokio::test]
async fn only_use_keeps_it_open() {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    let mut used = holder(&world, "write").await;
    let mut polling = holder(&world, "write").await;
    let mut background = holder(&world, "write").await;
    background.fields.push(("x-wayleave-background".into(), "1".into()));
    for minute in 0..14 {
        world.pass(Duration::from_secs(60));
        assert_eq!(refusal(&mut used, "read").await, None);
        assert_eq!(refusal(&mut background, "read").await, None, "served all the same, in minute {minute}");
        for path in ["sessions/validate", "sessions/current", "session", "user", "sessions", "verify"] {
            polling.get(&format!("/api/auth/{path}")).await.assert_status(200);
        }
        polling.post("/api/auth/sessions/extend", &json!({})).await.assert_status(200);
    }
    world.pass(Duration::from_secs(60));
    assert_eq!(refusal(&mut used, "read").await, None);
    for client in [&mut polling, &mut background] {
        assert_eq!(refusal(client, "read").await, refused("vault_locked", "expired"));
    }
    // For hours, up to the end of the session.
    for _ in 0..(11 * 6) {
        world.pass(Duration::from_secs(600));
        assert_eq!(refusal(&mut used, "read").await, None);
    }
}

/// Not past the end of the session: what the client is told of the end is true.
#[tokio::test]
async fn it_ends_with_its_session() {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    let mut client = world.client();
    client.vault_sign_in(OPAL, Held::Cookie, "read").await;
    // Cookie sessions end after a day.
    for _ in 0..(24 * 6 - 1) {
        world.pass(Duration::from_secs(600));
        assert_eq!(refusal(&mut client, "read").await, None);
    }
    let session = client.get("/api/auth/sessions/current").await.json()["data"].clone();
    assert_eq!(session["vault"]["ends_at"], session["session_expires_at"]);
}

/// Use is written down when the end has moved by 45 seconds, a twentieth of the lifetime.
#[tokio::test]
async fn use_is_not_a_write_each_time() {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    let mut client = holder(&world, "write").await;
    let faults = world.store.as_ref().unwrap().faults();
    let writes = async |client: &mut Client<'_>, requests: u32| {
        faults.reset();
        for _ in 0..requests {
            world.pass(SECOND);
            assert_eq!(refusal(client, "read").await, None);
        }
        faults.calls_of(StoreVerb::Update)
    };
    assert_eq!(writes(&mut client, 44).await, 0);
    assert_eq!(writes(&mut client, 1).await, 1);
    assert_eq!(writes(&mut client, 44).await, 0);
    assert_eq!(writes(&mut client, 450).await, 10);
    // And where nothing is written, nothing is asked of the store of sessions.
    faults.reset();
    assert_eq!(refusal(&mut client, "read").await, None);
    assert!(faults.calls().is_empty(), "{:?}", faults.calls());
}

/// Whoever uses the vault while it is being locked does not open it again.
#[tokio::test]
async fn a_lock_is_not_undone_by_use() {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    for locks_first in [true, false] {
        let (mut using, mut locking) = (holder(&world, "write").await, world.client());
        locking.bearer = using.bearer.clone();
        assert_eq!(refusal(&mut using, "read").await, None);
        world.pass(Duration::from_secs(120));
        let gate = world.store.as_ref().unwrap().faults().hold(StoreVerb::Update);
        let lock = async |locking: &mut Client<'_>| {
            assert_eq!(locking.post(super::LOCK, &json!({})).await.json()["data"]["locked"], 1);
        };
        if locks_first {
            let second = async {
                gate.arrived().await;
                let asked = refusal(&mut using, "read");
                let open = async { gate.open() };
                tokio::join!(asked, open).0
            };
            let ((), told) = tokio::join!(lock(&mut locking), second);
            assert_eq!(told, refused("vault_locked", "locked"));
        } else {
            let second = async {
                gate.arrived().await;
                let open = async { gate.open() };
                tokio::join!(lock(&mut locking), open)
            };
            let (told, _) = tokio::join!(refusal(&mut using, "read"), second);
            assert_eq!(told, None, "it came first");
        }
        assert_eq!(refusal(&mut using, "read").await, refused("vault_locked", "locked"));
        assert_eq!(using.vault().await["ended"], "locked");
    }
}

/// R168: a store that does not answer lets nobody at the vault longer than was written down.
#[tokio::test]
async fn it_fails_closed() {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    let mut client = holder(&world, "write").await;
    assert_eq!(refusal(&mut client, "read").await, None);
    let faults = world.store.as_ref().unwrap().faults();
    world.pass(Duration::from_secs(120));
    faults.fail(StoreVerb::Update, Fault::DOWN);
    client.get(KEY).await.assert_code(503, "store_unavailable");
    faults.heal(StoreVerb::Update);
    assert_eq!(refusal(&mut client, "read").await, None);
    world.pass(LIFETIME);
    faults.fail(StoreVerb::Update, Fault::DOWN);
    client.get(KEY).await.assert_code(503, "store_unavailable");
    faults.heal(StoreVerb::Update);
    assert_eq!(refusal(&mut client, "read").await, refused("vault_locked", "expired"));
}

/// The lifetime is what the configuration says.
#[tokio::test]
async fn operators_decide_how_long() {
    let world =
        World::with(crate::world::Keeping::Memory, |config| config.vault.lifetime = Duration::from_secs(1200)).await;
    world.opaque_person(OPAL, PASSWORD).await;
    let mut client = holder(&world, "read").await;
    world.pass(Duration::from_secs(1199));
    assert_eq!(refusal(&mut client, "read").await, None);
    world.pass(Duration::from_secs(1200));
    assert_eq!(refusal(&mut client, "read").await, refused("vault_locked", "expired"));
}

/// HEAD is no use of it: browsers and proxies send that by themselves.
#[tokio::test]
async fn head_does_not_keep_it_open() {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    let client = holder(&world, "read").await;
    world.pass(Duration::from_secs(600));
    let mut request = client.request(&format!("GET {KEY}"), None);
    *request.method_mut() = Method::HEAD;
    client.ask_as_is(request).await.assert_status(404);
    let mut client = client;
    let vault: Value = client.vault().await;
    let time = |name: &str| vault[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(time("ends_at") - time("opened_at"), 15 * 60);
}
