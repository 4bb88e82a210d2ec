//! What failed attempts are counted under: keyed hashes, so that the store learns neither addresses nor devices.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use wayleave_core::ports::{AccountId, CounterKey, EmailAddress};
use zeroize::Zeroizing;

/// The deployment's key for counters. Every node of one deployment holds the same.
pub struct BucketKey(Zeroizing<[u8; 32]>);

/// One thing to count.
pub(crate) enum Bucket<'a> {
    /// Attempts of strangers at an address.
    Address(&'a EmailAddress),
    /// Attempts at something that is no address.
    Malformed(&'a str),
    /// Attempts of a browser that the account knows.
    Device(&'a AccountId, &'a [u8; 32]),
    /// Attempts inside a session of the account.
    StepUp(&'a AccountId),
}

impl BucketKey {
    /// Takes 32 secret bytes.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// The counter of `bucket`. Different buckets never share one: label and first part are length-prefixed.
    pub(crate) fn counter(&self, bucket: &Bucket<'_>) -> CounterKey {
        let normalised;
        let (label, first, second): (&str, &[u8], &[u8]) = match bucket {
            Bucket::Address(address) => ("login", address.as_str().as_bytes(), &[]),
            Bucket::Malformed(text) => {
                normalised = text.trim().to_lowercase();
                ("login", normalised.as_bytes(), &[])
            }
            Bucket::Device(account, device) => ("login of a device", account.as_str().as_bytes(), device.as_slice()),
            Bucket::StepUp(account) => ("step-up", account.as_str().as_bytes(), &[]),
        };
        // HMAC takes keys of any length, so that this never falls back.
        let Ok(mut mac) = <Hmac<Sha256> as hmac::Mac>::new_from_slice(self.0.as_ref()) else {
            return CounterKey([0; 32]);
        };
        for part in [label.as_bytes(), first] {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        mac.update(second);
        CounterKey(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// R100: spellings of one address are one bucket; nothing else is.
    #[test]
    fn buckets_are_apart_and_spellings_together() {
        let key = BucketKey::new([1; 32]);
        let address = |text: &str| key.counter(&Bucket::Address(&text.parse().unwrap()));
        assert_eq!(address("a@example.org"), address("  A@EXAMPLE.org "));
        let malformed = |text| key.counter(&Bucket::Malformed(text));
        assert_eq!(malformed("nobody"), malformed(" NoBody\n"));

        let (one, other) = (AccountId::new([1; 16]), AccountId::new([2; 16]));
        let mut all = vec![address("a@example.org"), address("b@example.org"), malformed("nobody"), malformed("")];
        for account in [&one, &other] {
            all.push(key.counter(&Bucket::StepUp(account)));
            all.push(key.counter(&Bucket::Device(account, &[1; 32])));
            all.push(key.counter(&Bucket::Device(account, &[2; 32])));
            all.push(malformed(account.as_str()));
        }
        all.push(BucketKey::new([2; 32]).counter(&Bucket::StepUp(&one)));
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
