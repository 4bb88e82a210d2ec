//! CSRF tokens: a signed double submit, bound to the session (or to the value that stands for it before sign-in).
//!
//! ```text
//! token = base64url(random, 32) "." base64url(HMAC-SHA256(key, label | len(binding) | binding | len(random) | random))
//! ```
//!
//! Lengths are 8 bytes, big endian, so that no two inputs share a message (R045). The randomness is fresh in every
//! token, so two renderings of one page never hold the same one and compression gives nothing away (R052).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use wayleave_core::ports::{Entropy, EntropyFailure};
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

/// Bytes of fresh randomness in a token.
pub const CSRF_RANDOM: usize = 32;
/// Length of every token's text.
pub const CSRF_TOKEN_LENGTH: usize = 43 + 1 + 43;

const LABEL: &[u8] = b"wayleave csrf token v1";

/// What a token is bound to. The two kinds never serve for one another (R045, A23).
#[derive(Copy, Clone)]
pub enum CsrfBinding<'a> {
    /// A session: the hash of its token, so that the binding dies when the token is renewed at sign-in.
    Session(&'a [u8; 32]),
    /// A visitor without a session: the random value of the pre-session cookie (R050).
    PreSession(&'a [u8]),
}

/// The key that signs tokens, and others whose tokens are good, too. Wiped when dropped, never shown.
pub struct CsrfKey {
    signs: Zeroizing<[u8; 32]>,
    others: Box<[Zeroizing<[u8; 32]>]>,
}

/// What a request brought.
#[derive(Copy, Clone, Default)]
pub struct Submitted<'a> {
    /// The `x-csrf-token` header or the form's hidden field (R046). Never from the URL.
    pub explicit: Option<&'a str>,
    /// The readable cookie.
    pub cookie: Option<&'a str>,
}

impl CsrfKey {
    /// Takes 32 secret bytes.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { signs: Zeroizing::new(key), others: Box::default() }
    }

    /// Takes tokens that any of `others` signed as well: those of servers that sign with a key before or after this one.
    #[must_use]
    pub fn with_others(mut self, others: impl IntoIterator<Item = [u8; 32]>) -> Self {
        let others = others.into_iter().map(Zeroizing::new);
        self.others = others.filter(|other| *other != self.signs).collect();
        self
    }

    /// A new token.
    ///
    /// # Errors
    /// [`EntropyFailure`] when there is no randomness; no token is made then.
    pub fn issue(&self, binding: CsrfBinding<'_>, entropy: &dyn Entropy) -> Result<String, EntropyFailure> {
        let mut random = [0; CSRF_RANDOM];
        entropy.fill(&mut random)?;
        let mac = mac(&self.signs, binding, &random).finalize().into_bytes();
        Ok(format!("{}.{}", URL_SAFE_NO_PAD.encode(random), URL_SAFE_NO_PAD.encode(mac)))
    }

    /// Checks both tokens of a request.
    ///
    /// Each must bear a valid signature for `binding`; they need not be the same rendering, since another tab may have
    /// replaced the cookie meanwhile. Neither can be made without the key, so this is no weaker than equality.
    ///
    /// # Errors
    /// [`CsrfFailure`]; absent never equals absent.
    pub fn verify(&self, submitted: Submitted<'_>, binding: CsrfBinding<'_>) -> Result<(), CsrfFailure> {
        let Submitted { explicit, cookie } = submitted;
        let explicit = explicit.ok_or(CsrfFailure::Missing)?;
        self.verify_one(explicit, binding)?;
        let cookie = cookie.ok_or(CsrfFailure::CookieMissing)?;
        self.verify_one(cookie, binding)
    }

    /// As [`Self::verify`], where each token may be bound to any of `bindings`.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_for_any(&self, submitted: Submitted<'_>, bindings: &[CsrfBinding<'_>]) -> Result<(), CsrfFailure> {
        let Submitted { explicit, cookie } = submitted;
        let one = |token: &str| {
            let outcomes = bindings.iter().map(|binding| self.verify_one(token, *binding));
            outcomes.reduce(|best, next| best.or(next)).unwrap_or(Err(CsrfFailure::NotOurs))
        };
        one(explicit.ok_or(CsrfFailure::Missing)?)?;
        one(cookie.ok_or(CsrfFailure::CookieMissing)?)
    }

    fn verify_one(&self, token: &str, binding: CsrfBinding<'_>) -> Result<(), CsrfFailure> {
        if token.len() != CSRF_TOKEN_LENGTH {
            return Err(CsrfFailure::Malformed);
        }
        let (random, mac) = token.split_once('.').ok_or(CsrfFailure::Malformed)?;
        let random = decode(random)?;
        let mac = decode(mac)?;
        // Compares in constant time.
        let mut keys = std::iter::once(&self.signs).chain(&self.others);
        let signed = keys.any(|key| self::mac(key, binding, &random).verify_slice(&mac).is_ok());
        if signed { Ok(()) } else { Err(CsrfFailure::NotOurs) }
    }
}

fn mac(key: &[u8; 32], binding: CsrfBinding<'_>, random: &[u8]) -> Hmac<Sha256> {
    let (kind, binding) = match binding {
        CsrfBinding::Session(hash) => (b"session", hash.as_slice()),
        CsrfBinding::PreSession(value) => (b"visitor", value),
    };
    let mut mac = keyed(key);
    for part in [LABEL, kind, binding, random] {
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(part);
    }
    mac
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // `new` takes a whole block and cannot fail; HMAC pads shorter keys with zeros to the same effect.
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    <Hmac<Sha256> as hmac::digest::KeyInit>::new(hmac::digest::generic_array::GenericArray::from_slice(&*block))
}

fn decode(text: &str) -> Result<[u8; CSRF_RANDOM], CsrfFailure> {
    let mut bytes = [0; CSRF_RANDOM];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(CSRF_RANDOM) => Ok(bytes),
        _ => Err(CsrfFailure::Malformed),
    }
}

/// Why a request is not trusted. Clients see one code for all of them; the reason is for the audit log.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrfFailure {
    /// No token in the header or form.
    #[error("no CSRF token")]
    Missing,
    /// The header's token is valid and the cookie is gone: it has expired, or was never set.
    #[error("no CSRF cookie")]
    CookieMissing,
    /// A token is not of our form.
    #[error("malformed CSRF token")]
    Malformed,
    /// A token's signature does not hold for this binding: forged, of another session, or of the time before sign-in.
    #[error("CSRF token of something else")]
    NotOurs,
}
