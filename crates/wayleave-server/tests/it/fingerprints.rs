//! A client that no longer looks like the one that signed in (R027), over HTTP: what counts as that, and what follows.

use serde_json::json;
use wayleave_core::policy::{FingerprintMode, Kinds};
use wayleave_core::ports::AuditRow;
use wayleave_server::config::{Config, FingerprintInput, ForwardedHeader};

use crate::people::ANN;
use crate::roles::Held;
use crate::vault::OPAL;
use crate::world::{Client, Keeping, PASSWORD, World};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const FIREFOX_UPDATED: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0";
const FIREFOX_ON_WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0";

fn with_mode(config: &mut Config, mode: FingerprintMode) {
    let kinds = config.kinds.iter().map(|(name, policy)| {
        let mut policy = policy.clone();
        policy.fingerprint = mode;
        (name.clone(), policy)
    });
    config.kinds = Kinds::new(kinds.collect(), 2).unwrap();
}

async fn world(mode: FingerprintMode) -> World {
    let world = World::with(Keeping::Memory, |config| with_mode(config, mode)).await;
    world.person(ANN, &[]).await;
    world.opaque_person(OPAL, PASSWORD).await;
    world
}

/// A client that shows these fields with every request.
fn showing<'a>(world: &'a World, fields: &[(&str, &str)]) -> Client<'a> {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Client { fields, ..world.client() }
}

async fn signed_in<'a>(world: &'a World, fields: &[(&str, &str)]) -> Client<'a> {
    let mut client = showing(world, fields);
    client.tokens(ANN, "standard").await;
    client
}

/// The same session, as somebody else shows it.
fn stolen<'a>(client: &Client<'a>, fields: &[(&str, &str)]) -> Client<'a> {
    Client { bearer: client.bearer.clone(), ..showing(client.world, fields) }
}

async fn mismatches(world: &World) -> Vec<AuditRow> {
    world.audited("session.fingerprint_mismatch").await
}

/// R027: neither an update of the browser nor another address of the same /64 is noticed; another platform is, with its reason.
#[tokio::test]
async fn updates_and_moves_do_not_trip_and_another_platform_does() {
    let world = World::with(Keeping::Memory, |config| {
        config.sessions.fingerprint = FingerprintInput::ALL.to_vec();
        config.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        config.server.forwarded_header = ForwardedHeader::XForwardedFor;
    })
    .await;
    world.person(ANN, &[]).await;
    let linux = ("sec-ch-ua-platform", "\"Linux\"");
    let home = ("x-forwarded-for", "2001:db8:1:2::1");
    let device = ("x-device-id", "laptop-1");
    let client = signed_in(&world, &[("user-agent", FIREFOX), linux, home, device]).await;
    for same in [
        [("user-agent", FIREFOX_UPDATED), linux, home, device],
        [("user-agent", FIREFOX), linux, ("x-forwarded-for", "2001:db8:1:2:abcd:ef01:2345:6789"), device],
    ] {
        stolen(&client, &same).get("/api/auth/user").await.assert_status(200);
    }
    assert!(mismatches(&world).await.is_empty());
    let others = [
        ([("user-agent", FIREFOX_ON_WINDOWS), linux, home, device], "agent"),
        ([("user-agent", FIREFOX), ("sec-ch-ua-platform", "\"Windows\""), home, device], "platform"),
        ([("user-agent", FIREFOX), linux, home, ("x-device-id", "laptop-2")], "device"),
        ([("user-agent", FIREFOX), linux, ("x-forwarded-for", "2001:db8:99::1"), device], "network"),
        ([("user-agent", FIREFOX_ON_WINDOWS), ("sec-ch-ua-platform", "\"Windows\""), home, device], "several"),
    ];
    for (fields, reason) in others {
        let before = mismatches(&world).await.len();
        stolen(&client, &fields).get("/api/auth/user").await.assert_status(200);
        let rows = mismatches(&world).await;
        assert_eq!(rows.len(), before + 1, "{reason}");
        assert_eq!(rows.last().unwrap().reason.as_deref(), Some(reason));
        // Back at the one that signed in, so that the next change is one again.
        let mut own = Client { fields: client.fields.clone(), ..stolen(&client, &[]) };
        own.get("/api/auth/user").await.assert_status(200);
    }
}

/// R028: the network counts only where it is configured, and is what trusted proxies say.
#[tokio::test]
async fn the_network_is_looked_at_where_it_is_configured() {
    for (inputs, trips) in [(vec![FingerprintInput::Agent], 0), (vec![FingerprintInput::Network], 1)] {
        let world = World::with(Keeping::Memory, |config| config.sessions.fingerprint = inputs).await;
        world.person(ANN, &[]).await;
        let client = signed_in(&world, &[]).await;
        // What a client says of itself moves nothing.
        stolen(&client, &[("x-forwarded-for", "198.51.100.7")]).get("/api/auth/user").await.assert_status(200);
        assert!(mismatches(&world).await.is_empty());
        let mut moved = stolen(&client, &[]);
        moved.address = "203.0.113.9".parse().unwrap();
        moved.get("/api/auth/user").await.assert_status(200);
        assert_eq!(mismatches(&world).await.len(), trips);
    }
}

/// R027: what a changed client leads to, by the mode of its kind.
#[tokio::test]
async fn each_mode_does_what_it_says() {
    use FingerprintMode::{Observe, Off, Revoke, StepUp};
    const SENSITIVE: &str = "/api/auth/sessions?scope=others";
    for (mode, plain, sensitive, told) in
        [(Off, 200, 200, 0), (Observe, 200, 200, 1), (StepUp, 200, 401, 1), (Revoke, 401, 401, 0)]
    {
        let world = world(mode).await;
        let client = signed_in(&world, &[("user-agent", FIREFOX)]).await;
        let mut thief = stolen(&client, &[("user-agent", FIREFOX_ON_WINDOWS)]);
        assert_eq!(thief.get("/api/auth/user").await.status, plain, "{mode:?}");
        let answer = thief.delete(SENSITIVE).await;
        assert_eq!(answer.status, sensitive, "{mode:?}");
        if mode == StepUp {
            answer.assert_code(401, "insufficient_user_authentication");
        }
        assert_eq!(mismatches(&world).await.len(), told, "{mode:?}");
        let mut own = client;
        assert_eq!(own.get("/api/auth/user").await.status, if mode == Revoke { 401 } else { 200 }, "{mode:?}");
        assert_eq!(own.delete(SENSITIVE).await.status, if mode == Revoke { 401 } else { 200 }, "{mode:?}");
        if mode == Revoke {
            let refused = world.audited("session.refused").await;
            assert_eq!(refused.len(), 1);
            assert_eq!(refused[0].reason.as_deref(), Some("fingerprint"));
            assert!(refused[0].detail.as_deref().unwrap().contains(r#""changed":"agent""#), "{:?}", refused[0].detail);
            let ended = world.audited("session.revoked").await;
            assert_eq!(ended.last().unwrap().reason.as_deref(), Some("fingerprint"));
        }
    }
}

/// R027: under `revoke`, whoever shows nothing of the client is another one, and a stolen refresh token ends the session.
#[tokio::test]
async fn a_stolen_refresh_token_ends_the_session() {
    let world = world(FingerprintMode::Revoke).await;
    let mut client = showing(&world, &[("user-agent", FIREFOX)]);
    let tokens = client.tokens(ANN, "standard").await;
    let body = json!({ "refresh_token": tokens["refresh_token"] });
    let answer = showing(&world, &[]).post("/api/auth/sessions/refresh", &body).await;
    answer.assert_code(401, "refresh_failed");
    client.get("/api/auth/user").await.assert_code(401, "session_invalid");
}

/// R073: a service that asks about a token is not the client, and is not taken for one.
#[tokio::test]
async fn a_service_that_asks_is_not_the_client() {
    let world = world(FingerprintMode::Revoke).await;
    let secret = world.administrator().await.make_service("shop", &[]).await;
    let mut client = signed_in(&world, &[("user-agent", FIREFOX)]).await;
    let mut service = showing(&world, &[("user-agent", "python-httpx/0.28")]);
    service.bearer = Some(secret);
    for warm in [false, true] {
        if !warm {
            world.app.manager.forget_everything();
        }
        let token = client.bearer.clone().unwrap();
        let answer = service.form("/api/auth/introspect", &[("token", &token)]).await;
        assert_eq!(answer.json()["active"], true, "{}", answer.text());
        client.get("/api/auth/user").await.assert_status(200);
    }
    assert!(mismatches(&world).await.is_empty());
}

/// R027: under `step-up`, a changed client gets at the vault by proving again, and not before.
#[tokio::test]
async fn a_changed_client_proves_itself_before_it_gets_at_the_vault() {
    let world = world(FingerprintMode::StepUp).await;
    let mut client = showing(&world, &[("user-agent", FIREFOX)]);
    client.vault_sign_in(OPAL, Held::Bearer, "write").await;
    client.put_key(b"key", None).await.assert_status(200);
    let mut changed = stolen(&client, &[("user-agent", FIREFOX_ON_WINDOWS)]);
    changed.get("/api/vault/key").await.assert_code(401, "insufficient_user_authentication");
    client.get("/api/vault/key").await.assert_status(200);
    changed.opaque_step_up(OPAL, None).await.assert_status(200);
    changed.get("/api/vault/key").await.assert_status(200);
}

/// R007: what a client says of its device is bounded.
#[tokio::test]
async fn device_ids_are_bounded() {
    let world = world(FingerprintMode::Observe).await;
    let mut client = signed_in(&world, &[("x-device-id", &"d".repeat(128))]).await;
    client.get("/api/auth/user").await.assert_status(200);
    client.fields = vec![("x-device-id".into(), "d".repeat(129))];
    client.get("/api/auth/user").await.assert_code(400, "bad_request");
    client.fields = vec![("x-device-id".into(), "a".into()), ("x-device-id".into(), "a".into())];
    client.get("/api/auth/user").await.assert_code(400, "bad_request");
}

/// R027: nothing of what goes into a fingerprint is kept anywhere.
#[tokio::test]
async fn no_raw_value_is_stored() {
    let world = World::with(Keeping::Sqlite, |_| {}).await;
    world.person(ANN, &[]).await;
    let canaries = ["canary-agent-7f3a", "canary-platform-91c2", "canary-device-e05d"];
    let fields = [("user-agent", canaries[0]), ("sec-ch-ua-platform", canaries[1]), ("x-device-id", canaries[2])];
    let client = signed_in(&world, &fields).await;
    stolen(&client, &[("x-device-id", "canary-other-device")]).get("/api/auth/user").await.assert_status(200);
    assert_eq!(mismatches(&world).await.len(), 1);
    let folder = world.stop().await;
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path().join("data")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(7).any(|window| window == b"canary-"), "{}", path.display());
            files += 1;
        }
    }
    assert!(files > 0);
}
