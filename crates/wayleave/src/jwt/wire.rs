//! The JSON inside a token. Unknown and repeated members are errors everywhere.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wayleave_core::id::SessionId;
use wayleave_core::time::Timestamp;

use super::{Audience, InvalidJwt, KeyName, LEEWAY, Verified};

const ALGORITHM: &str = "EdDSA";
pub(super) const ACCESS_TOKEN: &str = "at+jwt";
pub(super) const ASSERTION: &str = "wayleave-assertion+jwt";

/// The longest life that a token may claim, whatever its policy.
const MAX_LIFE_SECONDS: i64 = 3600;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    alg: String,
    typ: String,
    kid: String,
}

impl Header {
    pub(super) fn of(key: &KeyName, typ: &str) -> Self {
        Self { alg: ALGORITHM.into(), typ: typ.into(), kid: key.as_str().into() }
    }

    /// The key it names, if the rest is as it must be. Names are case-sensitive (RFC 7515 section 5.3).
    pub(super) fn acceptable(&self) -> Option<&str> {
        (self.alg == ALGORITHM && self.typ == ACCESS_TOKEN).then_some(self.kid.as_str())
    }
}

/// The claims of an access token (RFC 9068 section 2.2). Times are seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// End of life.
    pub exp: i64,
    /// For whom.
    pub aud: String,
    /// The subject, with its namespace.
    pub sub: String,
    /// The kind of session.
    pub client_id: String,
    /// Issued at.
    pub iat: i64,
    /// Unique name of this token.
    pub jti: String,
    /// The session.
    pub sid: String,
    /// When the subject proved itself.
    pub auth_time: i64,
    /// How (RFC 8176).
    pub amr: Vec<String>,
    /// How sure: `1`, `2` or `3`.
    pub acr: String,
    /// Permissions, separated by blanks.
    pub scope: String,
    /// Who acts in the subject's place (RFC 8693 section 4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
}

/// The `act` claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// The acting subject.
    pub sub: String,
}

impl Claims {
    pub(super) fn check(&self, audience: &Audience, now: Timestamp) -> Result<Verified, InvalidJwt> {
        let now = now.as_seconds();
        let leeway = i64::try_from(LEEWAY.as_secs()).unwrap_or(0);
        let life = self.exp.saturating_sub(self.iat);
        let whole = self.iat >= 0 && life > 0 && life <= MAX_LIFE_SECONDS && self.auth_time >= 0;
        // The end is exact: this deployment compares with its own clock.
        if !whole || now >= self.exp || self.iat > now.saturating_add(leeway) {
            return Err(InvalidJwt);
        }
        Ok(Verified { session: self.session(audience)?, expires_at: Timestamp::from_seconds(self.exp) })
    }

    /// The session that they are about, if it is one of this deployment.
    pub(super) fn session(&self, audience: &Audience) -> Result<SessionId, InvalidJwt> {
        let ours = self.iss == *audience.issuer && self.aud == *audience.audience;
        if ours { self.sid.parse().map_err(|_| InvalidJwt) } else { Err(InvalidJwt) }
    }
}

/// Reads one base64url segment of JSON.
pub(super) fn read<T: DeserializeOwned>(segment: &str) -> Result<T, InvalidJwt> {
    let json = URL_SAFE_NO_PAD.decode(segment).map_err(|_| InvalidJwt)?;
    serde_json::from_slice(&json).map_err(|_| InvalidJwt)
}
