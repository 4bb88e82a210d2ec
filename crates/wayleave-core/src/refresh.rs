//! Rotation of refresh tokens: what a presented token means, and the sealed answer for clients that lost theirs.
//!
//! A refresh token is good for one use. Presenting one that was rotated already ends its family (RFC 9700 section
//! 4.14.2), with one exception: inside a short window, from the same client, while the successor is unused, the
//! *identical* pair is answered again. Nothing new is minted then, so a thief and a victim can never both hold a live
//! chain. The pair is kept sealed under a key that only the predecessor's text yields.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::record::{Fingerprint, Limit, Record};
use crate::seal::{self, CannotOpen};
use crate::time::Timestamp;
use crate::token::{RefreshToken, TokenHash};

/// What the presentation of a refresh token comes to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the current one: rotate.
    Rotate,
    /// It is the one before, inside the window: answer the kept pair again.
    Repeat,
    /// It was used before: the family ends.
    Reuse,
    /// The session is over.
    Expired(Limit),
}

/// Judges a presented refresh token against the record that it leads to. Every store calls this inside the one step
/// that acts on the verdict.
#[must_use]
pub fn judge(
    record: &Record,
    presented: TokenHash,
    client: Option<Fingerprint>,
    now: Timestamp,
    window: Duration,
) -> Verdict {
    let Some(refresh) = &record.refresh else {
        return Verdict::Reuse;
    };
    let over = match record.passed(now, None, record.activity()) {
        Some(Limit::Token) | None => None,
        Some(limit @ (Limit::Idle | Limit::Absolute | Limit::NotBefore)) => Some(limit),
    };
    if presented == refresh.current {
        return over.map_or(Verdict::Rotate, Verdict::Expired);
    }
    let repeat = refresh.last.as_ref().is_some_and(|last| {
        // Measured in both directions: a clock set back must not hold the window open, and one node may run a little
        // behind the one that rotated.
        let open = now.since(last.at) < window && last.at.since(now) < window;
        last.predecessor == presented && last.client == client && open && !last.sealed_pair.is_empty()
    });
    // Reuse is judged before expiry: a stolen token stays a theft after the session's end.
    if repeat && over.is_none() { Verdict::Repeat } else { Verdict::Reuse }
}

/// What stores keep beside the sealed client of a rotation, so that a script or a statement inside the database can tell
/// whether the same client asks again: the SHA-256 of a label, the hash of the presented token, and the client.
///
/// A fingerprint is a keyed hash, so a tag shows nobody whose it is, and two tags of one client have nothing in common.
#[must_use]
pub fn client_tag(predecessor: TokenHash, client: Option<Fingerprint>) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(b"wayleave rotation client v1");
    hash.update(predecessor.0);
    // Tokens' hashes are of one length, so no client and some client cannot be taken for each other.
    if let Some(Fingerprint(fingerprint)) = client {
        hash.update(fingerprint);
    }
    hash.finalize().into()
}

/// The pair that a rotation answered: the texts of both tokens.
pub struct Pair {
    /// The access token: opaque, or a JWT.
    pub access: Zeroizing<String>,
    /// The refresh token.
    pub refresh: Zeroizing<String>,
}

/// Seals `pair` so that only the holder of `predecessor` can open it.
#[must_use]
pub fn seal_pair(predecessor: &RefreshToken, pair: &Pair, salt: [u8; seal::SALT]) -> Box<[u8]> {
    // In one allocation: a buffer that grows leaves unwiped copies behind.
    let plain = Zeroizing::new([pair.access.as_str(), pair.refresh.as_str()].join("\n"));
    seal::seal_under(predecessor.secret(), PURPOSE, plain.as_bytes(), salt)
}

/// Opens a pair that [`seal_pair`] sealed.
///
/// # Errors
/// [`CannotOpen`] for anything else.
pub fn open_pair(predecessor: &RefreshToken, sealed: &[u8]) -> Result<Pair, CannotOpen> {
    let plain = seal::open_under(predecessor.secret(), PURPOSE, sealed)?;
    let text = std::str::from_utf8(&plain).map_err(|_| CannotOpen)?;
    let (access, refresh) = text.split_once('\n').ok_or(CannotOpen)?;
    Ok(Pair { access: Zeroizing::new(access.into()), refresh: Zeroizing::new(refresh.into()) })
}

const PURPOSE: &[u8] = b"wayleave refresh successor v1";

#[cfg(test)]
mod tests;
