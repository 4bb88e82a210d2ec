//! JWT access tokens through the manager: what they say, which keys make them, and how they end.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use wayleave::core::permission::Permissions;
use wayleave::core::record::{Client, Limit};
use wayleave::core::subject::{Namespace, Subject};
use wayleave::core::time::Timestamp;
use wayleave::events::Cause;
use wayleave::jwt::{self, KeyLife};
use wayleave::{Open, Origin};

use crate::fixture::{
    ALWAYS, HOUR, MINUTE, RefreshVerdict, SECOND, Verdict, World, audience, keys, open, permissions, refresh_token,
    shown,
};

fn part(token: &str, at: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap()).unwrap()
}

/// R053: every claim, with what it should say.
#[tokio::test]
async fn says_who_and_what_and_until_when() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "jwt").await;
    let now = world.manager.now().as_seconds();
    let claims = part(&opened.issued.access, 1);
    let mut members: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    let expected = ["acr", "amr", "aud", "auth_time", "client_id", "exp", "iat", "iss", "jti", "scope", "sid", "sub"];
    assert_eq!(members, expected);
    assert_eq!(claims["iss"], "https://auth.example.org");
    assert_eq!(claims["aud"], "https://api.example.org");
    assert_eq!(claims["sub"], ada.as_str());
    assert_eq!(claims["client_id"], "jwt");
    assert_eq!(claims["sid"], opened.record.id.to_string());
    assert_eq!(claims["iat"], now);
    assert_eq!(claims["exp"], now + 900);
    assert_eq!(claims["auth_time"], now);
    assert_eq!(claims["amr"], serde_json::json!(["pwd"]));
    assert_eq!(claims["acr"], "1");
    assert_eq!(claims["scope"], "read:profile reports:read write:messages");
    let header = part(&opened.issued.access, 0);
    let kid = keys(&[(1, ALWAYS)]).keys()[0].name().as_str().to_owned();
    assert_eq!(header, serde_json::json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": kid }));
    let other = world.open(&ada, "jwt").await;
    assert_ne!(part(&other.issued.access, 1)["jti"], claims["jti"]);
}

/// A token with twenty permissions of ten letters is at most 900 bytes, for a subject and an issuer of common length.
#[tokio::test]
async fn stays_small() {
    let world = World::new();
    let things = ["audit", "files", "forms", "links", "notes", "rooms", "stats", "tasks", "teams", "users"];
    let names: Vec<String> =
        things.into_iter().flat_map(|thing| [format!("{thing}:read"), format!("{thing}:edit")]).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let ada = world.person_with(1, &names).await;
    let opened = world.open(&ada, "jwt").await;
    assert_eq!(opened.record.permissions.len(), 20);
    let length = opened.issued.access.len();
    assert!(length <= 900, "{length}");
}

/// R019: a JWT whose session was ended is refused at once, on every node, though nothing about it has changed.
#[tokio::test]
async fn ends_with_its_session() {
    let world = World::new();
    let ada = world.person(1).await;
    let first = world.open(&ada, "jwt").await;
    let refreshed = world.refresh(refresh_token(&first.issued)).await.unwrap_or_else(|error| panic!("{error}"));
    let other = world.second_node();
    for token in [&first.issued.access, &refreshed.issued.access] {
        assert_eq!(world.verdict(token).await, Verdict::Valid);
        assert!(jwt::verify(&world.manager.signing_keys(), &audience(), token, world.manager.now()).is_ok());
    }
    let session = world.session_of(&refreshed.issued.access).await;
    world.manager.sign_out(&session, &Origin::default()).await.unwrap();
    for token in [&first.issued.access, &refreshed.issued.access] {
        assert_eq!(world.verdict(token).await, Verdict::Invalid);
        assert_eq!(other.verdict(token).await, Verdict::Invalid);
    }
}

/// R011: nor does a JWT outlive the id that it names.
#[tokio::test]
async fn ends_with_the_id_it_names() {
    let world = World::new();
    let ada = world.person(1).await;
    let first = world.open(&ada, "jwt").await;
    let session = world.session(&first).await;
    let freshness = wayleave::Freshness { refreshable: true, client: Client::default() };
    let evidence = world.evidence(&ada).await;
    let next = world.manager.reauthenticate(&session, evidence, freshness, &Origin::default()).await;
    let next = next.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(world.verdict(&first.issued.access).await, Verdict::Invalid);
    assert_eq!(world.verdict(&next.issued.access).await, Verdict::Valid);
}

/// A JWT that has ended still leads to its session when that is to be ended, and to nothing else.
#[tokio::test]
async fn an_ended_token_can_still_sign_out() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "jwt").await;
    world.clock.advance(HOUR);
    let token = &opened.issued.access;
    assert_eq!(world.verdict(token).await, Verdict::Expired(Limit::Token));
    let behind = world.manager.behind_token(token).await.unwrap().unwrap();
    assert_eq!(behind.id, opened.record.id);
    let tampered = format!("{}A", &token[..token.len() - 1]);
    assert!(world.manager.behind_token(&tampered).await.unwrap().is_none());
    let ended = world.manager.revoke_token(token, Cause::SignOut, &shown()).await.unwrap();
    assert_eq!(ended.0.len(), 1);
    assert_eq!(world.verdict(token).await, Verdict::Invalid, "it did not merely end");
    assert_eq!(world.refresh_verdict(refresh_token(&opened.issued)).await, RefreshVerdict::Invalid);
}

/// R061, A36: a new key is published before it signs, and what an old one signed is good until that key is retired.
#[tokio::test]
async fn keys_rotate_without_signing_anybody_out() {
    let world = World::new();
    let ada = world.person(1).await;
    let start = world.manager.now();
    let published =
        |world: &World| world.manager.signing_keys().jwks(world.manager.now())["keys"].as_array().unwrap().len();
    let kid_of = |seed| keys(&[(seed, ALWAYS)]).keys()[0].name().as_str().to_owned();
    let signer = |token: &str| part(token, 0)["kid"].as_str().unwrap().to_owned();

    let by_old = world.open(&ada, "jwt").await.issued.access;
    assert_eq!(signer(&by_old), kid_of(1));
    let next = KeyLife { created_at: start, signs_from: start.plus(10 * MINUTE), retired_at: None };
    let old = KeyLife { retired_at: Some(start.plus(30 * MINUTE)), ..ALWAYS };
    world.manager.set_signing_keys(keys(&[(2, next), (1, old)]));
    assert_eq!(published(&world), 2);
    assert_eq!(world.verdict(&by_old).await, Verdict::Valid);

    world.clock.advance(10 * MINUTE - SECOND);
    assert_eq!(signer(&world.open(&ada, "jwt").await.issued.access), kid_of(1));
    world.clock.advance(SECOND);
    let by_new = world.open(&ada, "jwt").await.issued.access;
    assert_eq!(signer(&by_new), kid_of(2));
    assert_eq!(world.verdict(&by_old).await, Verdict::Valid);
    world.clock.advance(20 * MINUTE);
    assert_eq!(published(&world), 1);
    assert_eq!(signer(&world.open(&ada, "jwt").await.issued.access), kid_of(2));
}

/// A36: a token dies with its key, also when it was checked before and its session is warm.
#[tokio::test]
async fn a_token_does_not_outlive_its_key() {
    let world = World::new();
    let ada = world.person(1).await;
    let token = world.open(&ada, "jwt").await.issued.access;
    assert_eq!(world.verdict(&token).await, Verdict::Valid);
    let retired = KeyLife { retired_at: Some(world.manager.now().plus(5 * MINUTE)), ..ALWAYS };
    world.manager.set_signing_keys(keys(&[(2, ALWAYS), (1, retired)]));
    assert_eq!(world.verdict(&token).await, Verdict::Valid);
    world.clock.advance(5 * MINUTE - SECOND);
    assert_eq!(world.verdict(&token).await, Verdict::Valid);
    world.clock.advance(SECOND);
    assert_eq!(world.verdict(&token).await, Verdict::Invalid);

    let token = world.open(&ada, "jwt").await.issued.access;
    assert_eq!(world.verdict(&token).await, Verdict::Valid);
    world.manager.set_signing_keys(keys(&[(3, ALWAYS)]));
    assert_eq!(world.verdict(&token).await, Verdict::Invalid, "its key is gone");
}

/// Without a key that may sign there is no JWT, and so no session that nobody could use; opaque ones go on.
#[tokio::test]
async fn without_a_key_nothing_is_issued() {
    let world = World::new();
    let ada = world.person(1).await;
    let held = world.open(&ada, "jwt").await;
    let past = KeyLife { retired_at: Some(Timestamp::MIN), ..ALWAYS };
    for set in [keys(&[]), keys(&[(1, past)])] {
        world.manager.set_signing_keys(set);
        assert!(matches!(world.try_open(&ada, open("jwt")).await, Err(wayleave::OpenError::CannotIssue(_))));
        assert_eq!(world.refresh_verdict(refresh_token(&held.issued)).await, RefreshVerdict::Failed);
        assert_eq!(world.live().await, 1);
    }
    world.manager.set_signing_keys(keys(&[(1, ALWAYS)]));
    assert_eq!(world.refresh_verdict(refresh_token(&held.issued)).await, RefreshVerdict::Minted);
}

/// Too many permissions make a token that is too long, and that is said at the sign-in.
#[tokio::test]
async fn a_token_that_would_be_too_long_is_not_issued() {
    let world = World::new();
    let names: Vec<String> = (0..64).map(|n| format!("{n:0>64}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let ada = world.person_with(1, &names).await;
    assert!(matches!(world.try_open(&ada, open("jwt")).await, Err(wayleave::OpenError::CannotIssue(_))));
    assert!(world.records().await.is_empty());
    let fewer = Open { permissions: Some(permissions(&names[..5])), ..open("jwt") };
    world.open_as(&ada, fewer).await;
}

/// An assertion says what the session may do at this moment, for 30 seconds, and is no access token.
#[tokio::test]
async fn assertions_state_what_holds_now() {
    let world = World::new();
    let ada = world.person(1).await;
    for name in ["plain", "jwt", "web"] {
        let opened = world.open(&ada, name).await;
        world.edit_and_tell(&ada, |account| account.permissions = permissions(&["read:profile"])).await;
        let session = world.session(&opened).await;
        let assertion = world.manager.assert(&session).unwrap();
        let claims = part(&assertion, 1);
        assert_eq!(part(&assertion, 0)["typ"], "wayleave-assertion+jwt");
        assert_eq!(claims["scope"], "read:profile");
        assert_eq!(claims["exp"], world.manager.now().as_seconds() + 30);
        assert_eq!(world.verdict(&assertion).await, Verdict::Invalid, "{name}");
        assert!(world.manager.behind_token(&assertion).await.unwrap().is_none(), "{name}");
    }
}

/// R026, R069: proving again after a demotion brings no token with what was taken away.
#[tokio::test]
async fn a_demotion_shows_in_the_token_of_a_fresh_proof() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "jwt").await;
    let session = world.session(&opened).await;
    world.edit_and_tell(&ada, |account| account.permissions = permissions(&["read:profile"])).await;
    let evidence = world.evidence(&ada).await;
    let freshness = wayleave::Freshness { refreshable: true, client: Client::default() };
    let next = world.manager.reauthenticate(&session, evidence, freshness, &Origin::default()).await;
    let next = next.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(part(&next.issued.access, 1)["scope"], "read:profile");
}

/// R060: the subject stands in the token with its namespace.
#[tokio::test]
async fn subjects_keep_their_namespace() {
    let world = World::new();
    let wallet = Subject::new(Namespace::Ethereum, "1:0xabc").unwrap();
    let asked = Open { permissions: Some(Permissions::none()), ..open("jwt") };
    let opened = world.open_as(&wallet, asked).await;
    assert_eq!(part(&opened.issued.access, 1)["sub"], "eip155:1:0xabc");
    assert_eq!(part(&opened.issued.access, 1)["scope"], "");
    assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Valid);
}

/// R058: a JWT that merely ended is told apart from one that is not ours, and from one whose session was ended, whose
/// account was disabled, or whose subject signed out everywhere.
#[tokio::test]
async fn only_a_jwt_that_merely_ended_has_expired() {
    for end in ["nothing", "session", "epoch", "disabled", "forged"] {
        let world = World::new();
        let ada = world.person(1).await;
        let opened = world.open(&ada, "jwt").await;
        let mut token = opened.issued.access.to_string();
        match end {
            "session" => drop(world.manager.revoke_token(&token, Cause::SignOut, &shown()).await.unwrap()),
            "epoch" => world.edit_and_tell(&ada, |account| account.epoch += 1).await,
            "disabled" => world.edit_and_tell(&ada, |account| account.disabled = true).await,
            "forged" => token.replace_range(token.len() - 8..token.len() - 4, "AAAA"),
            _ => {}
        }
        world.clock.advance(15 * MINUTE);
        let expected = if end == "nothing" { Verdict::Expired(Limit::Token) } else { Verdict::Invalid };
        assert_eq!(world.verdict(&token).await, expected, "{end}");
    }
}

/// What memory knows it says without asking the store; it says nothing of anything else.
#[tokio::test]
async fn memory_answers_for_what_it_knows() {
    for name in ["plain", "jwt"] {
        let world = World::new();
        let ada = world.person(1).await;
        let token = world.open(&ada, name).await.issued.access;
        world.manager.forget_everything();
        assert!(world.manager.validate_warm(&token, &shown()).is_none(), "{name}: not looked up yet");
        assert_eq!(world.verdict(&token).await, Verdict::Valid);
        world.store.faults().reset();
        assert!(world.manager.validate_warm(&token, &shown()).is_some(), "{name}");
        assert!(world.manager.validate_warm("ey.J.x", &shown()).is_none());
        for (token, plainly) in [(token.as_str(), false), ("wl_", true), (&*"x".repeat(9000), true), ("ey.J.x", false)]
        {
            assert_eq!(world.manager.is_plainly_invalid(token), plainly, "{name}");
        }
        assert!(world.store.faults().calls().is_empty());
        world.manager.revoke_token(&token, Cause::SignOut, &shown()).await.unwrap();
        assert!(world.manager.validate_warm(&token, &shown()).is_none(), "{name}: it was ended");
        assert!(!world.manager.is_plainly_invalid(&token));
        assert_eq!(world.verdict(&token).await, Verdict::Invalid);
        assert_eq!(world.manager.is_plainly_invalid(&token), name == "plain", "an opaque one is looked up once");
    }
}
