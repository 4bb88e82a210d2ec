//! Who asks: the roles of the authorization test as data, and the deployment that they meet.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wayleave_core::authentication::Method;
use wayleave_core::permission::Permissions;
use wayleave_core::ports::{
    Account, Expected, InsertServiceKey, Invitation, Listing, Rewrapped, ServiceKey, Wrap, WrappedKey,
};
use wayleave_core::subject::{Namespace, Subject};
use wayleave_core::token::ServiceToken;
use wayleave_server::accounts::change_account;
use wayleave_server::config::{Config, Registration};
use wayleave_server::links::{self, Issuer};

use crate::opaque;
use crate::world::{Client, Keeping, PASSWORD, World};

/// The person whose things the requests of the table are about.
pub(crate) const ANN: &str = "ann@example.com";
const BOB: &str = "bob@example.com";
const ROOT: &str = "root@example.com";
const NEW: &str = "new@example.com";
/// A person who signs in by OPAQUE.
pub(crate) const OPAL: &str = "opal@example.com";
/// The service whose key the role `service key` shows.
pub(crate) const SHOP: &str = "shop";

/// Somebody who asks.
#[derive(Debug)]
pub(crate) struct Role {
    pub(crate) name: &'static str,
    pub(crate) shows: Shows,
}

/// What a role shows with every request.
#[derive(Debug)]
pub(crate) enum Shows {
    Nothing,
    /// A session of this person.
    Session {
        of: &'static str,
        permissions: &'static [&'static str],
        sign_in: SignIn,
    },
    /// A session that a trusted backend opened for somebody without an account.
    ExternalSession,
    ServiceKey,
    /// A session that [`OPAL`] opened by OPAQUE, with the vault.
    Vault,
}

/// What there is to say about the sign-in of a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SignIn {
    Recent,
    /// Longer ago than sensitive actions allow.
    Stale,
    /// Recent, of an account that has to choose a new password.
    MustChangePassword,
}

const fn session(of: &'static str, permissions: &'static [&'static str], sign_in: SignIn) -> Shows {
    Shows::Session { of, permissions, sign_in }
}

/// Every role, in the order of the table's columns.
pub(crate) const ROLES: [Role; 10] = [
    Role { name: "nobody", shows: Shows::Nothing },
    Role { name: "wrong user", shows: session(BOB, &["read:profile"], SignIn::Recent) },
    Role { name: "stale sign-in", shows: session(ANN, &["read:profile"], SignIn::Stale) },
    Role { name: "right user", shows: session(ANN, &["read:profile"], SignIn::Recent) },
    Role { name: "stale administrator", shows: session(ROOT, &["admin"], SignIn::Stale) },
    Role { name: "administrator", shows: session(ROOT, &["admin"], SignIn::Recent) },
    Role { name: "must change password", shows: session(NEW, &["admin"], SignIn::MustChangePassword) },
    Role { name: "external subject", shows: Shows::ExternalSession },
    Role { name: "service key", shows: Shows::ServiceKey },
    Role { name: "vault holder", shows: Shows::Vault },
];

/// The role called `name`.
pub(crate) fn role(name: &str) -> &'static Role {
    ROLES.iter().find(|role| role.name == name).unwrap()
}

/// What a new deployment tells those who register by OPAQUE.
pub(crate) static STRETCHING: LazyLock<Value> =
    LazyLock::new(|| json!({ "iterations": 3, "memory_kib": 65_536, "parallelism": 4 }));

/// How a session is held.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Cookie,
    Bearer,
}

/// A deployment with everything in it that a request of the table is about.
pub(crate) struct Scene {
    pub(crate) world: World,
    ann: Account,
    facts: BTreeMap<&'static str, String>,
    jar: BTreeMap<String, String>,
    bearer: Option<String>,
}

impl Scene {
    /// People and services, registration by invitation, and somebody who is in.
    pub(crate) async fn new(role: &Role, held: Held) -> Self {
        Self::with(role, held, |_| {}).await
    }

    /// The same with another configuration.
    pub(crate) async fn with(role: &Role, held: Held, change: impl FnOnce(&mut Config)) -> Self {
        let world = World::with(Keeping::Memory, |config| {
            config.accounts.registration = Registration::Invitation;
            change(config);
        })
        .await;
        let ann = world.person(ANN, &["read:profile"]).await;
        let mut scene = Self { world, ann, facts: BTreeMap::new(), jar: BTreeMap::new(), bearer: None };
        scene.facts.insert("user", scene.ann.id.to_string());
        scene.facts.insert("service_key", service_key(&scene.world, SHOP).await);
        service_key(&scene.world, "spare").await;
        scene.world.opaque_person(OPAL, PASSWORD).await;
        (scene.jar, scene.bearer) = scene.sign_in(role, held).await;
        // What a request may use up is made last, since time may have passed meanwhile.
        scene.stock().await;
        scene
    }

    /// The role's client.
    pub(crate) fn client(&self) -> Client<'_> {
        Client { jar: self.jar.clone(), bearer: self.bearer.clone(), ..self.world.client() }
    }

    async fn sign_in(&self, role: &Role, held: Held) -> (BTreeMap<String, String>, Option<String>) {
        let world = &self.world;
        match &role.shows {
            Shows::Nothing => (BTreeMap::new(), None),
            Shows::ServiceKey => (BTreeMap::new(), Some(self.fact("service_key").to_owned())),
            Shows::ExternalSession => {
                let mut service = world.client();
                service.bearer = Some(self.fact("service_key").to_owned());
                let answer = service.post("/api/auth/sessions", &json!({ "subject": "customer-17" })).await;
                assert_eq!(answer.status, 201);
                (BTreeMap::new(), Some(answer.json()["data"]["session_token"].as_str().unwrap().to_owned()))
            }
            Shows::Vault => {
                let mut client = world.client();
                client.vault_sign_in(OPAL, held, "write").await;
                (client.jar, client.bearer)
            }
            Shows::Session { of, permissions, sign_in } => {
                if *of != ANN {
                    let account = world.person(of, permissions).await;
                    if *sign_in == SignIn::MustChangePassword {
                        let must = |account: &mut Account| account.must_change_password = true;
                        change_account(&world.app, &account.id, must).await.unwrap();
                    }
                }
                let client = match held {
                    Held::Cookie => world.signed_in(of).await,
                    Held::Bearer => with_tokens(world, of).await,
                };
                if *sign_in == SignIn::Stale {
                    world.pass(world.app.options.step_up_max_age + Duration::from_secs(1));
                }
                (client.jar, client.bearer)
            }
        }
    }

    /// Makes one of everything that a request can use up or end.
    async fn stock(&mut self) {
        let app = &self.world.app;
        let (_, tokens) = self.world.with_tokens(ANN).await;
        let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
        let invitation = links::new_token(&*app.entropy).unwrap();
        let held = Invitation {
            key: invitation.hash().0,
            email: None,
            permissions: Permissions::none(),
            created_by: None,
            created_at: app.now(),
            expires_at: app.now().plus(Duration::from_secs(600)),
        };
        assert!(app.directory.invitations.insert(&held).await.unwrap());
        let reset = links::issue_reset(app, &self.ann, None).await.unwrap();
        let (ke1, _) = opaque::ke1(PASSWORD);
        let (request, registering) = opaque::client(PASSWORD).register();
        let response = opaque::evaluate(&self.world, "opaque@example.com", &request).await;
        let (upload, _) = opaque::client(PASSWORD).upload(registering, &response);
        let (login, ke3) = self.world.client().opaque_start(OPAL, PASSWORD).await.ke3(PASSWORD).unwrap();
        let holder = app.directory.accounts.by_email(&OPAL.parse().unwrap()).await.unwrap().unwrap();
        let key = WrappedKey::new(*b"a wrapped key").unwrap();
        let tag = key.tag().to_string();
        let rewrapped = Rewrapped { key, replaces: None };
        assert_eq!(app.directory.credentials.wrap(&holder.id, Method::Opaque, &rewrapped).await.unwrap(), Wrap::Done);
        let setup = Issuer::of(app).setup(Duration::from_secs(600)).await.unwrap();
        let (blobs, opal) = (app.blobs.as_ref().unwrap(), opal(&self.world).await);
        let staged = blobs.receive(&opal, &mut "ciphertext".to_owned().into(), None).await.unwrap();
        blobs.commit(&staged, &"spare".parse().unwrap(), Expected::Absent).await.unwrap();
        let secret = |url: &str| url.split_once('#').unwrap().1.to_owned();
        let facts = [
            ("session", text("session_id")),
            ("session_token", text("session_token")),
            ("refresh_token", text("refresh_token")),
            ("invitation", URL_SAFE_NO_PAD.encode(held.key)),
            ("invitation_token", invitation.reveal().to_string()),
            ("reset_token", secret(&reset.url)),
            ("setup_token", secret(&setup.url)),
            ("opaque_ke1", ke1),
            ("opaque_request", opaque::encode(request)),
            ("opaque_upload", opaque::encode(upload)),
            ("opaque_login", login),
            ("opaque_ke3", ke3),
            ("vault_key", tag),
        ];
        self.facts.extend(facts);
    }

    /// Something that requests name, such as `session`, `user` or `refresh_token`.
    pub(crate) fn fact(&self, name: &str) -> &str {
        &self.facts[name]
    }

    /// Everything that is kept, written out, to be compared. Activity that was not written down yet is not in it, and
    /// neither are counters of failures and the audit log.
    pub(crate) async fn state(&self) -> String {
        state(&self.world).await
    }
}

impl Client<'_> {
    /// Signs in by OPAQUE with the vault open, by a kind of session that lets every permission through; the answer's data.
    pub(crate) async fn vault_sign_in(&mut self, email: &str, held: Held, right: &str) -> Value {
        let (login, ke3) = self.world.client().opaque_start(email, PASSWORD).await.ke3(PASSWORD).unwrap();
        let mut body = opaque::finish_body(&login, &ke3);
        body["vault"] = right.into();
        match held {
            Held::Bearer => body["session_type"] = "web".into(),
            Held::Cookie => {
                body["transport"] = "cookie".into();
                assert_eq!(self.get("/api/csrf").await.status, 200);
            }
        }
        let answer = self.post(opaque::LOGIN_FINISH, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let data = answer.json()["data"].clone();
        self.bearer = data["session_token"].as_str().map(str::to_owned);
        data
    }
}

/// Signed in with bearer tokens, by a kind of session that lets every permission through.
async fn with_tokens<'a>(world: &'a World, email: &str) -> Client<'a> {
    let mut client = world.client();
    let request = json!({ "email": email, "password": PASSWORD, "transport": "bearer", "session_type": "web" });
    let answer = client.post("/api/auth/login", &request).await;
    assert_eq!(answer.status, 200);
    client.bearer = Some(answer.json()["data"]["session_token"].as_str().unwrap().to_owned());
    client
}

/// See [`Scene::state`].
pub(crate) async fn state(world: &World) -> String {
    let app = &world.app;
    let directory = &app.directory;
    let mut text = String::new();
    let listing = Listing { subject: None, after: None, most: 1000 };
    writeln!(text, "{:#?}", app.store.list(&listing).await.unwrap()).unwrap();
    writeln!(text, "{:#?}", directory.accounts.list(None, None, 1000).await.unwrap()).unwrap();
    writeln!(text, "{:#?}", directory.service_keys.list(1000).await.unwrap()).unwrap();
    writeln!(text, "{:#?}", directory.invitations.list(app.now(), 1000).await.unwrap()).unwrap();
    for setting in ["policy", "signing-keys", "first-administrator", "opaque-setup"] {
        writeln!(text, "{setting} {:?}", directory.settings.get(setting).await.unwrap()).unwrap();
    }
    let blobs = app.blobs.as_ref().unwrap().list(&opal(world).await, None, 100).await.unwrap();
    writeln!(text, "{:#?} {:?}", blobs.blobs, blobs.usage).unwrap();
    text
}

/// The subject of [`OPAL`].
async fn opal(world: &World) -> Subject {
    let account = world.app.directory.accounts.by_email(&OPAL.parse().unwrap()).await.unwrap().unwrap();
    Subject::new(Namespace::User, account.id.as_str()).unwrap()
}

async fn service_key(world: &World, name: &str) -> String {
    let app = &world.app;
    let mut random = [0; 34];
    app.entropy.fill(&mut random).unwrap();
    let token = ServiceToken::new(random);
    let key = ServiceKey {
        name: name.into(),
        key: token.hash().0,
        permissions: Permissions::new(["read:profile"]).unwrap(),
        created_at: app.now(),
        expires_at: app.now().plus(Duration::from_secs(86_400)),
        revoked_at: None,
    };
    assert_eq!(app.directory.service_keys.insert(&key).await.unwrap(), InsertServiceKey::Done);
    token.reveal().to_string()
}
