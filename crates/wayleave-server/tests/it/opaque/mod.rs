//! Signing in by OPAQUE, over HTTP.

mod change;
mod counting;
mod equality;
mod limits;
mod npm;
mod refusals;
mod registering;
mod several;
mod timing;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wayleave::SystemEntropy;
use wayleave_core::ports::{Account, InsertAccount};
use wayleave_opaque::{CredentialIdentifier, Registration, RegistrationRequest};
use wayleave_server::accounts::{Secret, insert_account};
use wayleave_testkit::opaque::{LoggingIn, OpaqueClient, Registering};

use crate::support::Answer;
use crate::world::{Client, World};

pub(crate) const REGISTER_START: &str = "/api/auth/opaque/register/start";
pub(crate) const REGISTER_FINISH: &str = "/api/auth/opaque/register/finish";
pub(crate) const CHANGE_START: &str = "/api/auth/opaque/change/start";
pub(crate) const CHANGE_FINISH: &str = "/api/auth/opaque/change/finish";
pub(crate) const LOGIN_START: &str = "/api/auth/opaque/login/start";
pub(crate) const LOGIN_FINISH: &str = "/api/auth/opaque/login/finish";

static ENTROPY: SystemEntropy = SystemEntropy;

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn decode(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}

pub(crate) fn client(password: &str) -> OpaqueClient<'_> {
    OpaqueClient::new(password, &ENTROPY)
}

/// A login that has its KE2.
pub(crate) struct Started {
    pub(crate) login_id: String,
    pub(crate) ke2: Vec<u8>,
    state: LoggingIn,
}

impl Started {
    /// KE3; `None` when the client sees that the password is wrong.
    pub(crate) fn ke3(self, password: &str) -> Option<(String, String)> {
        let finished = client(password).finish(self.state, &self.ke2, None)?;
        Some((self.login_id, encode(finished.ke3)))
    }
}

/// The body of a second half that a bearer client sends.
pub(crate) fn finish_body(login_id: &str, ke3: &str) -> Value {
    json!({ "login_id": login_id, "finish": ke3, "transport": "bearer" })
}

/// A KE1 and what the client keeps.
pub(crate) fn ke1(password: &str) -> (String, LoggingIn) {
    let (ke1, state) = client(password).log_in();
    (encode(ke1), state)
}

impl Client<'_> {
    /// The first half of a login; the answer is good.
    pub(crate) async fn opaque_start(&mut self, email: &str, password: &str) -> Started {
        let (request, state) = ke1(password);
        let answer = self.post(LOGIN_START, &json!({ "identifier": email, "request": request })).await;
        answer.assert_status(200);
        let data = answer.json()["data"].clone();
        let login_id = data["login_id"].as_str().unwrap().to_owned();
        Started { login_id, ke2: decode(&data["response"]), state }
    }

    /// A whole login for bearer tokens; the last answer. A client that sees that the password is wrong makes its proof up.
    pub(crate) async fn opaque_sign_in(&mut self, email: &str, password: &str) -> Answer {
        let started = self.opaque_start(email, password).await;
        let login_id = started.login_id.clone();
        let (_, ke3) = started.ke3(password).unwrap_or_else(|| (String::new(), encode([7; 64])));
        self.post(LOGIN_FINISH, &finish_body(&login_id, &ke3)).await
    }

    /// The first half of a registration, as far as the answer is good; the upload and what to send with it.
    pub(crate) async fn opaque_upload(&mut self, path: &str, mut body: Value, password: &str) -> Result<Value, Answer> {
        let (request, registering): (_, Registering) = client(password).register();
        body["request"] = encode(request).into();
        let answer = self.post(path, &body).await;
        if answer.status != 200 {
            return Err(answer);
        }
        let data = answer.json()["data"].clone();
        let (upload, _) = client(password).upload(registering, &decode(&data["response"]));
        Ok(json!({ "upload": encode(upload), "key_stretching": data["key_stretching"] }))
    }

    /// A whole registration; its last answer.
    pub(crate) async fn opaque_register(&mut self, email: &str, password: &str, invitation: Option<&str>) -> Answer {
        let start = json!({ "identifier": email, "invitation": invitation });
        let mut body = match self.opaque_upload(REGISTER_START, start, password).await {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        body["identifier"] = email.into();
        body["name"] = "Somebody".into();
        body["invitation"] = invitation.into();
        self.post(REGISTER_FINISH, &body).await
    }

    /// A whole change of the account behind the session; its last answer.
    pub(crate) async fn opaque_change(&mut self, password: &str) -> Answer {
        match self.opaque_upload(CHANGE_START, json!({}), password).await {
            Ok(body) => self.post(CHANGE_FINISH, &body).await,
            Err(answer) => answer,
        }
    }
}

/// What the deployment answers to the first half of a registration.
pub(crate) async fn evaluate(world: &World, name: &str, request: &[u8]) -> [u8; 64] {
    let opaque = world.app.opaque.as_ref().unwrap();
    let request = RegistrationRequest::parse(request).unwrap();
    Registration::start(opaque.authenticator().setup(), request, &identifier(world, name).await).unwrap().0
}

async fn identifier(world: &World, name: &str) -> CredentialIdentifier {
    let opaque = world.app.opaque.as_ref().unwrap();
    opaque.identifier(&*world.app.directory.credentials, &name.parse().unwrap()).await.unwrap()
}

impl World {
    /// A person with an account that has an OPAQUE record of this password and nothing else.
    pub(crate) async fn opaque_person(&self, email: &str, password: &str) -> Account {
        let app = &self.app;
        let opaque = app.opaque.as_ref().unwrap();
        let (request, registering) = client(password).register();
        let (upload, _) = client(password).upload(registering, &evaluate(self, email, &request).await);
        let record = Registration::finish(&upload).unwrap();
        let credential = opaque.enrol(identifier(self, email).await, record, app.now());
        let permissions = app.options.default_permissions.clone();
        let account =
            wayleave_server::accounts::new_account(app, email.parse().unwrap(), "Opal".into(), permissions).unwrap();
        let inserted = insert_account(&app.directory, &account, Some(&Secret::Opaque(credential))).await.unwrap();
        assert_eq!(inserted, InsertAccount::Done);
        account
    }
}
