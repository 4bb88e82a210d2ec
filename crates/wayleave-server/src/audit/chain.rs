//! The MAC that ties each row to the one before it.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use wayleave_core::ports::{AuditRow, ChainLink};
use zeroize::Zeroizing;

/// The key of the chain. Whoever can write to the store but does not hold it cannot make a row that fits.
pub struct ChainKey(Zeroizing<[u8; 32]>);

/// What the first row of a chain is tied to.
pub(super) const GENESIS: [u8; 32] = [0; 32];

impl ChainKey {
    /// Takes 32 secret bytes.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// The MAC of `row` behind a row with MAC `previous`. Every field is length-prefixed, so that no two rows read
    /// the same.
    pub(super) fn mac(&self, previous: &[u8; 32], row: &AuditRow) -> [u8; 32] {
        let AuditRow {
            node,
            link: ChainLink { sequence, mac: _ },
            at,
            event,
            session,
            subject,
            actor,
            source,
            reason,
            request,
            count,
            detail,
        } = row;
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.as_ref()) else {
            // HMAC takes keys of any length.
            return GENESIS;
        };
        mac.update(b"wayleave audit row v1");
        mac.update(previous);
        mac.update(&sequence.to_be_bytes());
        mac.update(&at.as_millis().to_be_bytes());
        mac.update(&count.to_be_bytes());
        for text in [Some(node), Some(event), session.as_ref(), subject.as_ref(), actor.as_ref(), source.as_ref()]
            .into_iter()
            .chain([reason.as_ref(), request.as_ref(), detail.as_ref()])
        {
            match text {
                None => mac.update(&[0]),
                Some(text) => {
                    mac.update(&[1]);
                    mac.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
                    mac.update(text.as_bytes());
                }
            }
        }
        mac.finalize().into_bytes().into()
    }
}
