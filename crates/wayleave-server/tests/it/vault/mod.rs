//! The vault that a session holds open: opening it, and putting an end to that.

mod blobs;
mod guard;
mod key;
mod locking;
mod opening;
pub(crate) mod several;

use serde_json::{Value, json};

use crate::opaque;
use crate::support::Answer;
use crate::world::{Client, PASSWORD};

pub(crate) const OPAL: &str = "opal@example.com";
const KEY: &str = "/api/vault/key";
const LOCK: &str = "/api/vault/lock";
const STEP_UP: &str = "/api/auth/opaque/step-up";

impl Client<'_> {
    /// What the session says of the vault; null where it never opened it.
    async fn vault(&mut self) -> Value {
        let answer = self.get("/api/auth/sessions/current").await;
        answer.assert_status(200);
        answer.json()["data"]["vault"].clone()
    }

    /// Proves again by OPAQUE, as somebody; the answer, whose tokens the client takes.
    pub(crate) async fn opaque_step_up(&mut self, email: &str, vault: Option<&str>) -> Answer {
        let (login, ke3) = self.world.client().opaque_start(email, PASSWORD).await.ke3(PASSWORD).unwrap();
        let mut body = json!({ "login_id": login, "finish": ke3 });
        if let Some(right) = vault {
            body["vault"] = right.into();
        }
        let answer = self.post(STEP_UP, &body).await;
        if let Some(token) = answer.json()["data"]["tokens"]["session_token"].as_str() {
            self.bearer = Some(token.to_owned());
        }
        answer
    }

    /// Puts a wrapped key in the place of the one with this tag, or where there is none.
    pub(crate) async fn put_key(&mut self, key: &[u8], replaces: Option<&str>) -> Answer {
        let field = match replaces {
            Some(tag) => ("if-match".to_owned(), format!("\"{tag}\"")),
            None => ("if-none-match".to_owned(), "*".to_owned()),
        };
        self.fields.push(field);
        let answer = self.put(KEY, &json!({ "key": opaque::encode(key) })).await;
        self.fields.pop();
        answer
    }

    async fn lock_vault(&mut self, scope: &str) -> u64 {
        let answer = self.post(LOCK, &json!({ "scope": scope })).await;
        answer.assert_status(200);
        answer.json()["data"]["locked"].as_u64().unwrap()
    }
}

/// Something that could be a wrapped key.
fn wrapped(text: &[u8]) -> Vec<u8> {
    [b"wrapped ", text].concat()
}

/// The body of a second half that asks for the vault.
fn finish_with_vault(login: &str, ke3: &str, vault: &Value) -> Value {
    let mut body = opaque::finish_body(login, ke3);
    body["vault"] = vault.clone();
    body
}
