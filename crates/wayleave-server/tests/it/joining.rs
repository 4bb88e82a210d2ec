//! Making accounts over HTTP: registration and invitations, and the first administrator.

use std::time::Duration;

use serde_json::{Value, json};
use wayleave_core::permission::Permissions;
use wayleave_core::ports::AccountChange;
use wayleave_server::config::Registration;
use wayleave_server::links::Issuer;
use wayleave_testkit::{DirectoryVerb, Effect, Fault, When};

use crate::people::{ADMIN, ANN, unknown_access};
use crate::support::{Answer, request, send};
use crate::world::{Client, Keeping, PASSWORD, World};

const REGISTER: &str = "/api/auth/register";

async fn world(registration: Registration) -> World {
    let world = World::with(Keeping::Memory, |config| config.accounts.registration = registration).await;
    world.person(ANN, &[]).await;
    world
}

fn wish(email: &str, invitation: Option<&str>) -> Value {
    let mut body = json!({ "email": email, "name": "New", "password": PASSWORD });
    if let Some(token) = invitation {
        body["invitation"] = token.into();
    }
    body
}

async fn register(world: &World, body: &Value) -> Answer {
    world.client().post(REGISTER, body).await
}

async fn invite(admin: &mut Client<'_>, body: &Value) -> String {
    let answer = admin.post("/api/admin/invitations", body).await;
    answer.assert_status(201);
    let url = answer.json()["data"]["link"]["url"].as_str().unwrap().to_owned();
    url.split_once('#').unwrap().1.to_owned()
}

/// R096, A51: closed is closed to everybody alike, with an invitation too; it is so unless somebody opens it.
#[tokio::test]
async fn registration_is_closed_by_default() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut admin = world.administrator().await;
    let token = invite(&mut admin, &json!({})).await;
    let first = register(&world, &wish("new@example.com", None)).await;
    first.assert_code(403, "registration_closed");
    for body in
        [wish(ANN, None), wish("no address", None), wish("new@example.com", Some(&token)), wish(ANN, Some(&token))]
    {
        assert_eq!(register(&world, &body).await.masked(), first.masked());
    }
}

/// A51: without a good invitation an address that is taken looks like one that is free.
#[tokio::test]
async fn invitations_are_single_use_and_bound() {
    let world = world(Registration::Invitation).await;
    let mut admin = world.administrator().await;
    let bound = invite(&mut admin, &json!({ "email": "Eve@example.com", "permissions": ["read:profile"] })).await;
    let unknown = unknown_access().replace("wl_", "ln_");
    let refused = register(&world, &wish("eve@example.com", None)).await;
    refused.assert_code(400, "invitation_invalid");
    for (email, token) in [
        (ANN, None),
        ("eve@example.com", Some(&*unknown)),
        (ANN, Some(&*unknown)),
        ("eve@example.com", Some("ln_")),
        ("other@example.com", Some(&*bound)),
        (ANN, Some(&*bound)),
    ] {
        assert_eq!(register(&world, &wish(email, token)).await.masked(), refused.masked(), "{email} {token:?}");
    }
    let mut weak = wish("eve@example.com", Some(&bound));
    weak["password"] = "password".into();
    register(&world, &weak).await.assert_code(422, "weak_password");

    let made = register(&world, &wish("EVE@example.com", Some(&bound))).await;
    made.assert_status(201);
    assert_eq!(made.json()["data"]["permissions"], json!(["read:profile"]));
    assert_eq!(register(&world, &wish("eve@example.com", Some(&bound))).await.masked(), refused.masked());
    world.signed_in("eve@example.com").await;

    let short = invite(&mut admin, &json!({ "expires_in": 60 })).await;
    let withdrawn = invite(&mut admin, &json!({})).await;
    let listed = admin.get("/api/admin/invitations").await.json();
    for item in listed["data"]["items"].as_array().unwrap() {
        assert!(!item.to_string().contains("ln_"), "the list shows no secret");
        if item["expires_at"].as_str().unwrap() > "2026-01-02" {
            admin.delete(&format!("/api/admin/invitations/{}", item["id"].as_str().unwrap())).await.assert_status(200);
        }
    }
    world.pass(Duration::from_secs(60));
    for token in [short, withdrawn] {
        assert_eq!(register(&world, &wish("z@example.com", Some(&token))).await.masked(), refused.masked());
    }
}

/// A51: an open door says of a taken address no more than of a closed one, and gives no permission away.
#[tokio::test]
async fn an_open_door_gives_nothing_away() {
    let world = world(Registration::Open).await;
    let made = register(&world, &wish("new@example.com", None)).await;
    made.assert_status(201);
    assert!(!made.text().contains("admin"));
    let taken = register(&world, &wish(ANN, None)).await;
    let closed = self::world(Registration::Closed).await;
    assert_eq!(taken.masked(), register(&closed, &wish(ANN, None)).await.masked());
    // The account that was there is as it was.
    world.signed_in(ANN).await;
    for extra in ["permissions", "role", "disabled", "id", "epoch"] {
        let mut body = wish("eve@example.com", None);
        body[extra] = json!(["admin"]);
        let answer = register(&world, &body).await;
        assert!(answer.status.is_client_error(), "{extra}: {}", answer.text());
    }
}

/// R065, A51: of twenty who use an invitation at once, and twenty who want one address, one gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn races_make_one_account() {
    let world = world(Registration::Invitation).await;
    let mut admin = world.administrator().await;
    let token = invite(&mut admin, &json!({})).await;
    let bodies: Vec<_> = (0..20).map(|n| wish(&format!("new{n}@example.com"), Some(&token))).collect();
    assert_eq!(together(&world, REGISTER, bodies).await, 1);
    let world = self::world(Registration::Open).await;
    assert_eq!(together(&world, REGISTER, vec![wish("new@example.com", None); 20]).await, 1);
}

async fn together(world: &World, path: &str, bodies: Vec<Value>) -> usize {
    let tasks: Vec<_> = bodies
        .into_iter()
        .map(|body| {
            let request = world.client().request(&format!("POST {path}"), Some(&body));
            let router = world.router.clone();
            tokio::spawn(async move { send(&router, request).await.status.as_u16() })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        let status = task.await.unwrap();
        assert!(status < 500, "{status}");
        made += usize::from(status == 201);
    }
    made
}

async fn setup_token(world: &World) -> String {
    let link = Issuer::of(&world.app).setup(Duration::from_secs(900)).await.unwrap();
    link.url.split_once('#').unwrap().1.to_owned()
}

fn first(email: &str, token: &str) -> Value {
    json!({ "token": token, "email": email, "name": "First", "password": PASSWORD })
}

/// DESIGN 6.10, R170: there is nobody at the beginning; the token makes one administrator, once, within 15 minutes, and
/// the door is shut from then on.
#[tokio::test]
async fn the_first_administrator_comes_from_the_token() {
    let world = World::new().await;
    assert_eq!(world.app.directory.accounts.count().await.unwrap(), 0);
    for (email, password) in [("admin", "admin"), ("admin@example.com", "admin"), ("root@localhost", "password")] {
        world.client().sign_in(email, password).await.assert_code(401, "invalid_credentials");
    }
    let late = setup_token(&world).await;
    world.pass(Duration::from_secs(900));
    let (token, other) = (setup_token(&world).await, setup_token(&world).await);
    let page = world.client().get("/setup").await;
    page.assert_status(200);
    assert!(page.header("content-security-policy").unwrap().contains("form-action 'self'"));
    let unknown = unknown_access().replace("wl_", "ln_");
    for wrong in [&*late, &unknown, "", "ln_", "admin"] {
        world.client().post("/setup", &first("a@example.com", wrong)).await.assert_code(400, "link_invalid");
    }
    let mut weak = first("a@example.com", &token);
    weak["password"] = "password".into();
    world.client().post("/setup", &weak).await.assert_code(422, "weak_password");
    let made = world.client().post("/setup", &first("a@example.com", &token)).await;
    made.assert_status(201);
    for token in [&token, &other] {
        world.client().post("/setup", &first("b@example.com", token)).await.assert_code(403, "setup_closed");
    }
    world.client().get("/setup").await.assert_code(403, "setup_closed");
    world.signed_in("a@example.com").await.get("/api/admin/stats").await.assert_status(200);
    assert_eq!(world.audited("setup.completed").await.len(), 1);
}

/// R050, A26: the form is not taken from a foreign page, nor in a type that needs no preflight but the form's own.
#[tokio::test]
async fn setup_is_not_taken_from_foreign_pages() {
    let world = World::new().await;
    let token = setup_token(&world).await;
    let form = serde_urlencoded::to_string([
        ("token", &*token),
        ("email", "a@example.com"),
        ("name", "First"),
        ("password", PASSWORD),
    ])
    .unwrap();
    let length = form.len().to_string();
    let send_form = async |media: &str, more: &[(&str, &str)]| {
        let fields = [&[("content-type", media), ("content-length", &*length)], more].concat();
        world.client().ask_as_is(request("POST /setup", &fields, form.clone())).await
    };
    let urlencoded = "application/x-www-form-urlencoded";
    for more in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", "http://evil.127.0.0.1")],
    ] {
        let answer = send_form(urlencoded, more).await;
        assert_eq!(answer.status, 403, "{more:?} {}", answer.text());
    }
    for media in ["text/plain", "multipart/form-data; boundary=x"] {
        send_form(media, &[("origin", crate::world::ORIGIN)]).await.assert_status(415);
    }
    let answer = send_form(urlencoded, &[("origin", crate::world::ORIGIN), ("sec-fetch-site", "same-origin")]).await;
    answer.assert_status(201);
    assert!(!answer.text().contains(&token) && !answer.text().contains(PASSWORD));
}

/// DESIGN 6.10: two tokens at once make one administrator, in either store, however the two interleave.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_tokens_make_one_administrator() {
    for keeping in [Keeping::Memory, Keeping::Sqlite] {
        for _ in 0..10 {
            let world = World::with(keeping, |_| {}).await;
            let mut bodies = Vec::new();
            for n in 0..8 {
                bodies.push(first(&format!("admin{n}@example.com"), &setup_token(&world).await));
            }
            assert_eq!(together(&world, "/setup", bodies).await, 1, "{keeping:?}");
            assert_eq!(world.app.directory.accounts.count().await.unwrap(), 1, "{keeping:?}");
        }
    }
}

/// R020: an invitation is void once whoever made it may not invite any more; one of the command line stays.
#[tokio::test]
async fn invitations_of_former_administrators_are_void() {
    for order in [json!({ "disabled": true }), json!({ "permissions": ["read:profile"] })] {
        let world = world(Registration::Invitation).await;
        world.person("root@example.com", &["admin"]).await;
        let mut root = world.signed_in("root@example.com").await;
        let mut admin = world.administrator().await;
        let token = invite(&mut admin, &json!({ "permissions": ["admin"] })).await;
        let found = root.get(&format!("/api/admin/users?search={ADMIN}")).await.json();
        let path = format!("/api/admin/users/{}", found["data"]["items"][0]["id"].as_str().unwrap());
        root.patch(&path, &order).await.assert_status(200);
        register(&world, &wish("new@example.com", Some(&token))).await.assert_code(400, "invitation_invalid");
        let good = invite(&mut root, &json!({})).await;
        register(&world, &wish("new@example.com", Some(&good))).await.assert_status(201);
    }
}

/// A51, R103: a wish without a good invitation costs no hash and takes nothing from the right one, which is used while
/// the wrong one is on its way.
#[tokio::test]
async fn a_wrong_address_takes_no_invitation() {
    let world = world(Registration::Invitation).await;
    let mut admin = world.administrator().await;
    let bound = invite(&mut admin, &json!({ "email": "eve@example.com" })).await;
    let unknown = unknown_access().replace("wl_", "ln_");
    let (hashes, faults) = (world.app.passwords.load().hashes, world.directory.as_ref().unwrap().faults());
    faults.reset();
    for (email, token) in [("other@example.com", &bound), ("eve@example.com", &unknown), (ANN, &bound)] {
        register(&world, &wish(email, Some(token))).await.assert_code(400, "invitation_invalid");
    }
    assert_eq!(world.app.passwords.load().hashes, hashes);
    for verb in [DirectoryVerb::InvitationsTake, DirectoryVerb::InvitationsInsert, DirectoryVerb::CredentialsSet] {
        assert_eq!(faults.calls_of(verb), 0, "{verb:?}");
    }
    register(&world, &wish("eve@example.com", Some(&bound))).await.assert_status(201);
}

/// A51: an address that is taken costs nobody the invitation.
#[tokio::test]
async fn a_taken_address_spends_no_invitation() {
    let world = world(Registration::Invitation).await;
    let mut admin = world.administrator().await;
    let token = invite(&mut admin, &json!({})).await;
    register(&world, &wish(ANN, Some(&token))).await.assert_code(403, "registration_closed");
    // Taken at the last moment, after the look.
    let body = wish("new@example.com", Some(&token));
    let request = world.client().request(&format!("POST {REGISTER}"), Some(&body));
    let gate = world.directory.as_ref().unwrap().faults().hold(DirectoryVerb::AccountsInsert);
    let router = world.router.clone();
    let in_flight = tokio::spawn(async move { send(&router, request).await });
    gate.arrived().await;
    world.person("new@example.com", &[]).await;
    gate.open();
    in_flight.await.unwrap().assert_code(403, "registration_closed");
    world.signed_in("new@example.com").await;
    register(&world, &wish("other@example.com", Some(&token))).await.assert_status(201);
}

/// A51: whoever holds an invitation can find out about three addresses and no more, however long they take and however
/// many they ask about at once; each counts as a failed sign-in.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_invitation_is_no_oracle() {
    for patient in [false, true] {
        let world = world(Registration::Invitation).await;
        let mut admin = world.administrator().await;
        let token = invite(&mut admin, &json!({})).await;
        for _ in 0..3 {
            register(&world, &wish(ANN, Some(&token))).await.assert_code(403, "registration_closed");
            if patient {
                world.pass(Duration::from_secs(86_400));
                let rule = world.app.policy.current().policy.lockout();
                world.app.directory.counters.sweep(rule, world.app.now(), 1000).await.unwrap();
            }
        }
        for email in [ANN, "free@example.com"] {
            register(&world, &wish(email, Some(&token))).await.assert_code(400, "invitation_invalid");
        }
        assert!(world.audit().await.iter().any(|row| &*row.event == "invitation.spent"));
    }
    let world = world(Registration::Invitation).await;
    let mut admin = world.administrator().await;
    let token = invite(&mut admin, &json!({})).await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let request = world.client().request(&format!("POST {REGISTER}"), Some(&wish(ANN, Some(&token))));
            let router = world.router.clone();
            tokio::spawn(async move { send(&router, request).await.code() })
        })
        .collect();
    let mut told = 0;
    for task in tasks {
        told += usize::from(task.await.unwrap() == "registration_closed");
    }
    assert_eq!(told, 3);
    let world = World::with(Keeping::Memory, |config| {
        config.accounts.registration = Registration::Open;
        config.rate_limits.failed_sign_ins = Some("20/1h".parse().unwrap());
    })
    .await;
    world.person(ANN, &[]).await;
    for status in [403, 403, 429] {
        register(&world, &wish(ANN, None)).await.assert_status(status);
    }
    assert_eq!(world.client().sign_in(ANN, PASSWORD).await.status, 429, "they are the same failures");
}

/// R023: an invitation is worth what whoever made it may still give, also while its password is hashed.
#[tokio::test]
async fn an_inviter_who_is_demoted_meanwhile_invites_nobody() {
    let world = world(Registration::Invitation).await;
    let mut admin = world.administrator().await;
    let token = invite(&mut admin, &json!({ "permissions": ["admin"] })).await;
    let request = world.client().request(&format!("POST {REGISTER}"), Some(&wish("new@example.com", Some(&token))));
    // The first thing after the hash.
    let gate = world.directory.as_ref().unwrap().faults().hold(DirectoryVerb::AccountsByEmail);
    let router = world.router.clone();
    let in_flight = tokio::spawn(async move { send(&router, request).await });
    gate.arrived().await;
    let accounts = &world.app.directory.accounts;
    let mut inviter = accounts.list(Some(ADMIN), None, 10).await.unwrap().remove(0);
    inviter.permissions = Permissions::none();
    assert!(matches!(accounts.update(&inviter).await.unwrap(), AccountChange::Done(_)));
    gate.open();
    in_flight.await.unwrap().assert_code(400, "invitation_invalid");
}

/// R168: wherever registration breaks off, there is no account that nobody can sign in to.
#[tokio::test]
async fn registration_leaves_no_account_without_a_password() {
    for effect in [Effect::Unreached, Effect::AnswerLost] {
        for verb in [
            DirectoryVerb::InvitationsFind,
            DirectoryVerb::InvitationsTake,
            DirectoryVerb::CredentialsSet,
            DirectoryVerb::AccountsInsert,
        ] {
            let world = world(Registration::Invitation).await;
            let mut admin = world.administrator().await;
            let token = invite(&mut admin, &json!({})).await;
            let faults = world.directory.as_ref().unwrap().faults();
            faults.fail(verb, Fault { when: When::Always, effect });
            let answer = register(&world, &wish("new@example.com", Some(&token))).await;
            answer.assert_code(503, "store_unavailable");
            faults.heal(verb);
            if world.app.directory.accounts.by_email(&"new@example.com".parse().unwrap()).await.unwrap().is_some() {
                world.signed_in("new@example.com").await;
            }
        }
    }
}
