//! JWT access tokens (RFC 9068), for services that check sessions by themselves.
//!
//! One algorithm, EdDSA over Ed25519, pinned to every key. The verifier accepts exactly what the issuer makes: a
//! header of `alg`, `typ: at+jwt` and `kid` and nothing else, every claim of [`Claims`] with its type and no other,
//! canonical base64url, three segments. So embedded keys, key URLs, `crit`, `none`, symmetric algorithms, duplicate
//! members and strings for numbers have nowhere to go (R053-R059).

mod keys;
mod wire;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::Signer as _;
use wayleave_core::id::SessionId;
use wayleave_core::time::Timestamp;

pub use keys::{InvalidKeySet, KeyLife, KeyName, KeySet, SigningKey};
pub use wire::{Actor, Claims};

/// Longest access token that is looked at (R007).
pub const MAX_JWT: usize = 8 * 1024;
/// Longest access token that is issued.
pub const MAX_ISSUED: usize = 2 * 1024;
/// How far a token's `iat` may lie in the future.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// Who issues, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// `iss`: this deployment's URL.
    pub issuer: Box<str>,
    /// `aud`: who may rely on the tokens.
    pub audience: Box<str>,
}

/// What a checked token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The session it belongs to.
    pub session: SessionId,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Signs `claims` with the key that signs at `now`.
///
/// # Errors
/// [`CannotIssue`] when there is no key, or the token would be longer than [`MAX_ISSUED`].
pub fn issue(keys: &KeySet, claims: &Claims, now: Timestamp) -> Result<String, CannotIssue> {
    sign(keys, wire::ACCESS_TOKEN, claims, now)
}

/// Signs `claims` as a statement to a third party. Its `typ` keeps it from being taken for an access token.
///
/// # Errors
/// As [`issue`].
pub fn issue_assertion(keys: &KeySet, claims: &Claims, now: Timestamp) -> Result<String, CannotIssue> {
    sign(keys, wire::ASSERTION, claims, now)
}

fn sign(keys: &KeySet, typ: &str, claims: &Claims, now: Timestamp) -> Result<String, CannotIssue> {
    let key = keys.signing(now).ok_or(CannotIssue)?;
    let header = wire::Header::of(key.name(), typ);
    let mut token = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).map_err(|_| CannotIssue)?);
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).map_err(|_| CannotIssue)?));
    let signature = key.secret().sign(token.as_bytes());
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature.to_bytes()));
    if token.len() > MAX_ISSUED { Err(CannotIssue) } else { Ok(token) }
}

/// Checks a presented token: form, key, signature, issuer, audience and times. Whether its session still lives is for
/// the caller to find out.
///
/// # Errors
/// [`InvalidJwt`], one for every reason.
pub fn verify(keys: &KeySet, audience: &Audience, token: &str, now: Timestamp) -> Result<Verified, InvalidJwt> {
    verify_under(keys, audience, token, now).map(|(verified, _)| verified)
}

/// As [`verify`], with the time from which the key that signed the token is no longer good.
pub(crate) fn verify_under(
    keys: &KeySet,
    audience: &Audience,
    token: &str,
    now: Timestamp,
) -> Result<(Verified, Option<Timestamp>), InvalidJwt> {
    let (claims, key) = read_signed(keys, token, now)?;
    Ok((claims.check(audience, now)?, key.life().retired_at))
}

/// The session of a token that is good in everything but that it has ended.
pub(crate) fn ended(keys: &KeySet, audience: &Audience, token: &str, now: Timestamp) -> Result<SessionId, InvalidJwt> {
    let (claims, _) = read_signed(keys, token, now)?;
    let verified = claims.check(audience, Timestamp::from_seconds(claims.iat))?;
    if now < verified.expires_at { Err(InvalidJwt) } else { Ok(verified.session) }
}

/// The session that a token of this deployment is about, whether the token has ended or not: proof of nothing but that.
pub(crate) fn session_of(
    keys: &KeySet,
    audience: &Audience,
    token: &str,
    now: Timestamp,
) -> Result<SessionId, InvalidJwt> {
    read_signed(keys, token, now)?.0.session(audience)
}

fn read_signed<'a>(keys: &'a KeySet, token: &str, now: Timestamp) -> Result<(Claims, &'a SigningKey), InvalidJwt> {
    if token.len() > MAX_JWT || !token.is_ascii() {
        return Err(InvalidJwt);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(InvalidJwt)?;
    let (header, claims) = signed.split_once('.').filter(|(_, claims)| !claims.contains('.')).ok_or(InvalidJwt)?;
    let header: wire::Header = wire::read(header)?;
    let key = header.acceptable().and_then(|name| keys.verifying(name, now)).ok_or(InvalidJwt)?;
    let mut bytes = [0; 64];
    if URL_SAFE_NO_PAD.decode_slice(signature, &mut bytes).map_err(|_| InvalidJwt)? != bytes.len() {
        return Err(InvalidJwt);
    }
    let signature = ed25519_dalek::Signature::from_bytes(&bytes);
    let public = key.secret().verifying_key();
    public.verify_strict(signed.as_bytes(), &signature).map_err(|_| InvalidJwt)?;
    Ok((wire::read(claims)?, key))
}

/// The token cannot be signed.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot issue an access token")]
pub struct CannotIssue;

/// The token is not a good one of ours. Says no more, on purpose.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid access token")]
pub struct InvalidJwt;

#[cfg(test)]
mod tests;
