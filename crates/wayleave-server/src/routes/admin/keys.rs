//! The keys that sign JWT access tokens: which there are, and a new one.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use wayleave::jwt::KeySet;
use wayleave_core::ports::StoreError;
use wayleave_core::time::Timestamp;

use super::entry;
use crate::access::Context;
use crate::app::App;
use crate::audit::Entry;
use crate::error::{ApiError, ErrorCode};
use crate::shared::{self, Shared};
use crate::wire::{Envelope, ErrorBody, rfc3339};

/// Keys that may be good at once, the new one included. A key set has room for as many, so a rotation drops no key
/// that still verifies somebody's token.
const MOST_KEYS: usize = 16;

/// A signing key, without anything secret.
#[derive(Serialize, ToSchema)]
pub struct SigningKeyInfo {
    /// Its name: the `kid` of the tokens that it signs.
    kid: String,
    /// When it was made and published. RFC 3339.
    #[schema(format = DateTime)]
    created_at: String,
    /// From when on it signs, once everybody can know it. RFC 3339.
    #[schema(format = DateTime)]
    signs_from: String,
    /// From then on nothing that it signed is accepted; none while nothing replaces it. RFC 3339.
    #[schema(format = DateTime)]
    retired_at: Option<String>,
    /// Whether it is the one that signs right now.
    signing: bool,
}

/// The signing keys.
#[derive(Serialize, ToSchema)]
pub struct SigningKeyList {
    /// Newest first.
    pub(crate) items: Vec<SigningKeyInfo>,
}

impl SigningKeyList {
    pub(crate) fn of(keys: &KeySet, now: Timestamp) -> Self {
        let signing = keys.signing(now).map(|key| key.name().clone());
        let items = keys.keys().iter().map(|key| SigningKeyInfo {
            kid: key.name().as_str().to_owned(),
            created_at: rfc3339(key.life().created_at),
            signs_from: rfc3339(key.life().signs_from),
            retired_at: key.life().retired_at.map(rfc3339),
            signing: signing.as_ref() == Some(key.name()),
        });
        Self { items: items.collect() }
    }
}

/// Lists the signing keys.
#[utoipa::path(get, path = "/api/admin/keys", operation_id = "admin_list_keys", tag = "admin",
    security(("session" = []), ("bearer" = [])),
    responses((status = 200, body = Envelope<SigningKeyList>), (status = "default", body = ErrorBody)))]
pub async fn list(State(app): State<Arc<App>>) -> Envelope<SigningKeyList> {
    Envelope::new(SigningKeyList::of(&app.manager.signing_keys(), app.now()))
}

/// Makes a new signing key. It is published at once and signs when everybody can know it; what the ones before it
/// signed stays good until it ends. Nobody is signed out.
///
/// While the last new key does not sign yet, or too many keys still verify, there is no other one.
#[utoipa::path(post, path = "/api/admin/keys/rotate", operation_id = "admin_rotate_keys", tag = "admin",
    security(("session" = []), ("bearer" = [])),
    responses((status = 200, body = Envelope<SigningKeyList>),
              (status = 409, description = "The last rotation is not over yet; `details.reason` says why.",
               body = ErrorBody),
              (status = "default", body = ErrorBody)))]
pub async fn rotate(State(app): State<Arc<App>>, context: Context) -> Result<Envelope<SigningKeyList>, ApiError> {
    let now = app.now();
    let (held, _) = app.signing.load().await?;
    if let Some(reason) = stands_in_the_way(&held, now) {
        return Err(ApiError::new(ErrorCode::Conflict).with_details(json!({ "reason": reason.as_str() })));
    }
    let keys = make(&app, entry(&context, "key.rotated")).await?;
    Ok(Envelope::new(SigningKeyList::of(&keys, now)))
}

/// Makes a new signing key and puts it into force on every server, with `entry` in the audit log. All keys, then.
pub(crate) async fn make(app: &App, entry: Entry) -> Result<Arc<KeySet>, StoreError> {
    let write = async {
        let (keys, revision) = app.signing.rotate().await?;
        let newest = keys.keys().first().map(|key| key.name().as_str().to_owned());
        app.signing.put_in_force(&app.manager, keys, revision);
        app.record(Entry { detail: Some(json!({ "kid": newest })), ..entry });
        Ok(app.manager.signing_keys())
    };
    shared::change(app, Shared::Settings, write).await
}

/// Why there cannot be a new key now.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum InTheWay {
    /// The last one is published and does not sign yet.
    NewestDoesNotSignYet,
    /// A set has no room for another one.
    TooManyVerify,
}

impl InTheWay {
    const fn as_str(self) -> &'static str {
        match self {
            Self::NewestDoesNotSignYet => "newest_key_does_not_sign_yet",
            Self::TooManyVerify => "too_many_keys_still_verify",
        }
    }
}

/// What stands in the way of a new key, if anything does.
pub(crate) fn stands_in_the_way(keys: &KeySet, now: Timestamp) -> Option<InTheWay> {
    let verifying = keys.keys().iter().filter(|key| key.life().retired_at.is_none_or(|end| now < end)).count();
    if keys.keys().first().is_some_and(|newest| now < newest.life().signs_from) {
        Some(InTheWay::NewestDoesNotSignYet)
    } else if verifying >= MOST_KEYS {
        Some(InTheWay::TooManyVerify)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wayleave::jwt::{KeyLife, SigningKey};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000 + seconds)
    }

    fn key(seed: u8, signs_from: i64, retired_at: Option<i64>) -> SigningKey {
        let life = KeyLife { created_at: at(0), signs_from: at(signs_from), retired_at: retired_at.map(at) };
        SigningKey::from_seed(&[seed; 32], life)
    }

    /// R061: a rotation never drops a key that still verifies, and never hides one that nobody can know yet.
    #[test]
    fn a_rotation_waits_for_the_one_before() {
        let set = |keys| KeySet::new(keys).unwrap();
        let one = set(vec![key(1, 0, None)]);
        assert_eq!(stands_in_the_way(&one, at(0)), None);
        let fresh = set(vec![key(2, 300, None), key(1, 0, Some(7500))]);
        assert_eq!(stands_in_the_way(&fresh, at(299)), Some(InTheWay::NewestDoesNotSignYet));
        assert_eq!(stands_in_the_way(&fresh, at(300)), None);
        let full = set((0..16).map(|seed| key(seed, 0, (seed > 0).then_some(100))).collect());
        assert_eq!(stands_in_the_way(&full, at(99)), Some(InTheWay::TooManyVerify));
        assert_eq!(stands_in_the_way(&full, at(0).plus(Duration::from_secs(100))), None);
    }

    #[test]
    fn the_list_says_which_key_signs() {
        let keys = KeySet::new(vec![key(2, 300, None), key(1, 0, Some(7500))]).unwrap();
        let signing = |now| SigningKeyList::of(&keys, now).items.iter().map(|key| key.signing).collect::<Vec<_>>();
        assert_eq!(signing(at(299)), [false, true]);
        assert_eq!(signing(at(300)), [true, false]);
    }
}
