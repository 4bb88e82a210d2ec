//! The routing field: how an identifier leads to its subject's slot while it shows nothing of the subject.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;
use zeroize::Zeroize as _;

use crate::id::Slot;
use crate::subject::Subject;

/// The deployment's key for slots and routing fields. Every node of one deployment holds the same.
///
/// The field is `slot XOR PRF(random part)`, with SipHash-2-4 as the PRF: without the key it is uniformly random, so
/// it adds nothing to guess and shows nothing to correlate (R004).
pub struct RoutingKey([u8; 16]);

impl RoutingKey {
    /// Takes 16 secret bytes.
    #[must_use]
    pub const fn new(key: [u8; 16]) -> Self {
        Self(key)
    }

    /// The slot of everything that belongs to `subject`.
    #[must_use]
    pub fn slot_of(&self, subject: &Subject) -> Slot {
        Slot(self.prf(b"slot", subject.as_str().as_bytes()))
    }

    /// The routing bytes of an identifier with this random part.
    #[must_use]
    pub fn mask(&self, slot: Slot, random: &[u8]) -> [u8; 2] {
        (slot.0 ^ self.prf(b"mask", random)).to_be_bytes()
    }

    /// The slot behind routing bytes.
    #[must_use]
    pub fn unmask(&self, routing: [u8; 2], random: &[u8]) -> Slot {
        Slot(u16::from_be_bytes(routing) ^ self.prf(b"mask", random))
    }

    fn prf(&self, label: &[u8; 4], input: &[u8]) -> u16 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(label);
        hasher.write(input);
        let [high, low, ..] = hasher.finish().to_be_bytes();
        u16::from_be_bytes([high, low])
    }
}

impl Drop for RoutingKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
