//! Registering by OPAQUE, and signing in after it.

use serde_json::json;
use wayleave_core::authentication::Method;
use wayleave_server::config::Registration;

use super::{LOGIN_FINISH, LOGIN_START, REGISTER_FINISH, REGISTER_START, encode, finish_body};
use crate::people::{ANN, BOB};
use crate::world::{Keeping, OTHER_PASSWORD, PASSWORD, World};

async fn world(registration: Registration) -> World {
    World::with(Keeping::Memory, |config| config.accounts.registration = registration).await
}

/// R107, R117: an account is made, and its logins open sessions of both carriers that say how they were opened.
#[tokio::test]
async fn a_person_registers_and_signs_in() {
    for keeping in [Keeping::Memory, Keeping::Sqlite] {
        let world = World::with(keeping, |config| config.accounts.registration = Registration::Open).await;
        let made = world.client().opaque_register(ANN, PASSWORD, None).await;
        made.assert_status(201);
        assert_eq!(made.data("email"), ANN);

        let mut bearer = world.client();
        let answer = bearer.opaque_sign_in(ANN, PASSWORD).await;
        answer.assert_status(200);
        bearer.bearer = Some(answer.data("session_token"));
        assert!(answer.json()["data"]["refresh_token"].is_string());
        let current = bearer.get("/api/auth/sessions/current").await.json();
        assert_eq!(current["data"]["amr"], json!(["opaque"]), "{current}");

        let mut page = world.client();
        page.get("/api/csrf").await.assert_status(200);
        let started = page.opaque_start(ANN, PASSWORD).await;
        let (login_id, ke3) = started.ke3(PASSWORD).unwrap();
        let body = json!({ "login_id": login_id, "finish": ke3, "remember_me": true });
        let answer = page.post(LOGIN_FINISH, &body).await;
        answer.assert_status(200);
        assert_eq!(answer.json()["data"]["user"]["email"], json!(ANN));
        let own = page.get("/api/auth/sessions/current").await.json();
        assert_eq!((&own["data"]["amr"], &own["data"]["remembered"]), (&json!(["opaque"]), &json!(true)));

        world.client().opaque_sign_in(ANN, OTHER_PASSWORD).await.assert_code(401, "invalid_credentials");
        world.client().sign_in(ANN, PASSWORD).await.assert_code(401, "invalid_credentials");
        assert_eq!(world.audited("login.success").await.len(), 2);
    }
}

/// R106: only a finished login is marked as one.
#[tokio::test]
async fn no_other_way_in_is_marked_so() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut admin = world.administrator().await;
    let service = admin.make_service("shop", &[]).await;
    let opened = world.bearer(&service).post("/api/auth/sessions", &json!({ "subject": "someone" })).await;
    opened.assert_status(201);
    let (ann, _) = world.with_tokens(ANN).await;
    for (credential, method) in [(ann.bearer.unwrap(), "pwd"), (opened.data("session_token"), "svc")] {
        let current = world.bearer(&credential).get("/api/auth/sessions/current").await.json();
        assert_eq!(current["data"]["amr"], json!([method]));
    }
}

/// R113, R096: whoever may not make an account with a password may not make one by OPAQUE, nor ask for the first half of
/// it; an invitation is good for one, and for its address.
#[tokio::test]
async fn the_same_may_register() {
    let closed = world(Registration::Closed).await;
    closed.client().opaque_register(ANN, PASSWORD, None).await.assert_code(403, "registration_closed");

    let world = world(Registration::Invitation).await;
    let mut admin = world.administrator().await;
    let answer = admin.post("/api/admin/invitations", &json!({ "email": ANN })).await.json();
    let url = answer["data"]["link"]["url"].as_str().unwrap().to_owned();
    let token = url.split_once('#').unwrap().1;
    for (email, invitation) in [(ANN, None), (BOB, Some(token)), (ANN, Some("ln_"))] {
        let refused = world.client().opaque_register(email, PASSWORD, invitation).await;
        refused.assert_code(400, "invitation_invalid");
    }
    world.client().opaque_register(ANN, PASSWORD, Some(token)).await.assert_status(201);
    world.client().opaque_register(ANN, PASSWORD, Some(token)).await.assert_code(400, "invitation_invalid");
    world.client().opaque_sign_in(ANN, PASSWORD).await.assert_status(200);
}

/// R113, A56: an address that has an account keeps its record, whoever uploads another; the first half says nothing of it.
#[tokio::test]
async fn a_record_is_not_overwritten() {
    let world = world(Registration::Open).await;
    let ann = world.opaque_person(ANN, PASSWORD).await;
    let before = world.app.directory.credentials.find(&ann.id, Method::Opaque).await.unwrap();
    let refused = world.client().opaque_register(ANN, OTHER_PASSWORD, None).await;
    refused.assert_code(403, "registration_closed");
    let password = json!({ "email": ANN, "name": "Eve", "password": OTHER_PASSWORD });
    let refused = world.client().post("/api/auth/register", &password).await;
    refused.assert_code(403, "registration_closed");
    assert_eq!(world.app.directory.credentials.find(&ann.id, Method::Opaque).await.unwrap(), before);
    assert_eq!(world.app.directory.accounts.count().await.unwrap(), 1);
    world.client().opaque_sign_in(ANN, PASSWORD).await.assert_status(200);
}

/// R114: one account, one record, one counter, however its name is spelt.
#[tokio::test]
async fn spellings_are_one_person() {
    let world = world(Registration::Open).await;
    world.client().opaque_register(" Ann@EXAMPLE.com ", PASSWORD, None).await.assert_status(201);
    for spelling in [ANN, "ANN@example.com", " ann@Example.com\t"] {
        world.client().opaque_sign_in(spelling, PASSWORD).await.assert_status(200);
    }
    world.client().opaque_register("aNN@example.com", PASSWORD, None).await.assert_code(403, "registration_closed");
}

/// R108, A56: a record made with other parameters than the server told is refused: nobody would get in by it.
#[tokio::test]
async fn other_stretching_is_refused() {
    let world = world(Registration::Open).await;
    let start = json!({ "identifier": ANN });
    let mut client = world.client();
    let good = client.opaque_upload(REGISTER_START, start, PASSWORD).await.map_err(|answer| answer.text()).unwrap();
    assert_eq!(good["key_stretching"], json!({ "iterations": 3, "memory_kib": 65_536, "parallelism": 4 }));
    for (field, value) in [("iterations", 1), ("memory_kib", 1024), ("parallelism", 1), ("iterations", 0)] {
        let mut body = good.clone();
        body["identifier"] = ANN.into();
        body["name"] = "Ann".into();
        body["key_stretching"][field] = value.into();
        client.post(REGISTER_FINISH, &body).await.assert_code(422, "validation_failed");
    }
    assert_eq!(world.app.directory.accounts.count().await.unwrap(), 0);
}

/// Where it is turned off there are no such routes, and no secrets were made.
#[tokio::test]
async fn it_can_be_turned_off() {
    let world = World::with(Keeping::Memory, |config| config.opaque.enabled = false).await;
    let start = json!({ "identifier": ANN, "request": encode([7; 96]) });
    world.client().post(LOGIN_START, &start).await.assert_code(404, "not_found");
    let finish = finish_body(&encode([7; 32]), &encode([7; 64]));
    world.client().post(LOGIN_FINISH, &finish).await.assert_code(404, "not_found");
    world.client().opaque_register(ANN, PASSWORD, None).await.assert_code(404, "not_found");
    assert_eq!(world.app.directory.settings.get("opaque-setup").await.unwrap(), None);
}
