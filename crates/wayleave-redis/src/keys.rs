//! Where everything is: what the keys are called, and which of them share a hash slot.
//!
//! The 65,536 slots of subjects fall into 256 cells. All keys of a cell bear one hash tag, so Redis Cluster keeps them
//! together and a script may change them in one step. `P` is the prefix, `T` the tag:
//!
//! ```text
//! P:{T}:s:<id>        hash: what scripts judge a record by          P:{T}:x:<id>       hash: the rest of it, see stored.rs
//! P:{T}:t:<token>     the id that a session token leads to          P:{T}:r:<refresh>  `i` and an id, or `f` and a family
//! P:{T}:f:<family>    its sessions (score below zero), spent tokens (score: when)
//! P:{T}:u:<subject>   ids by birth                                  P:{T}:a            all ids by birth
//! P:{T}:e:<kind>      ids by end                                    P:{T}:k            the kinds that there are
//! P:{T}:p             ids with a sealed pair, by its age
//! P:{<purpose>}:e     keys of tickets by expiry                     P:{<purpose>}:v    their sealed payloads
//! P:{..}:mark         for replicas to acknowledge: see scripts/mark.lua
//! ```
//!
//! Ids, hashes and families are in bytes, not in text. Scripts are given `P:{T}:` as their key, which itself is never there:
//! see `link/cluster.rs` for what rests on that.

use wayleave_core::id::Slot;
use wayleave_core::ticket::Purpose;

use crate::options::InvalidPrefix;

/// How many hash slots a Cluster has.
pub(crate) const HASH_SLOTS: u16 = 16_384;

/// What shares a hash slot, and thereby a server.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    /// The records of 256 slots.
    Cell(u8),
    /// The tickets of a purpose.
    Tickets(Purpose),
    /// The bus.
    Bus,
}

impl Place {
    pub(crate) const fn of(slot: Slot) -> Self {
        Self::Cell(slot.0.to_be_bytes()[0])
    }

    pub(crate) fn all_cells() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self::Cell)
    }

    /// What stands between the braces.
    ///
    /// A cell is written in two letters whose low four bits are free, and CRC16 is linear: that spreads the cells
    /// evenly over the hash slots, one in each 64 of them.
    pub(crate) fn tag(self) -> String {
        match self {
            Self::Cell(cell) => {
                let letter = |bits: u8| char::from(b'@' + bits);
                [letter(cell >> 4), letter(cell & 15), 'w', 'l'].iter().collect()
            }
            Self::Tickets(purpose) => purpose.as_str().to_owned(),
            Self::Bus => "bus".to_owned(),
        }
    }

    /// The hash slot (Redis Cluster specification, "Hash tags").
    pub(crate) fn hash_slot(self) -> u16 {
        crc16(self.tag().as_bytes()) % HASH_SLOTS
    }
}

/// What every key of a deployment begins with, so that several may share a server.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: Box<str>,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Result<Self, InvalidPrefix> {
        let fits = (1..=64).contains(&prefix.len());
        let is_plain = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
        if fits && is_plain { Ok(Self { prefix: prefix.into() }) } else { Err(InvalidPrefix) }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What the keys of a place begin with.
    pub(crate) fn base(&self, place: Place) -> String {
        format!("{}:{{{}}}:", self.prefix, place.tag())
    }
}

/// CRC16-CCITT as Redis Cluster uses it: polynomial 0x1021, beginning with zero.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const CELLS: usize = 256;

    /// The check value of the specification's appendix.
    #[test]
    fn crc16_is_that_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn cells_are_spread_evenly_over_the_hash_slots() {
        let sixtyfourths: BTreeSet<_> = Place::all_cells().map(|cell| cell.hash_slot() / 64).collect();
        assert_eq!(sixtyfourths.len(), CELLS);
        let slots: BTreeSet<_> = (0..=u16::MAX).map(|slot| Place::of(Slot(slot))).collect();
        assert_eq!(slots.len(), CELLS);
    }

    #[test]
    fn no_two_places_share_a_tag() {
        let places = Place::all_cells().chain(Purpose::ALL.map(Place::Tickets)).chain([Place::Bus]);
        let tags: BTreeSet<_> = places.map(Place::tag).collect();
        assert_eq!(tags.len(), CELLS + Purpose::ALL.len() + 1);
    }

    #[test]
    fn a_prefix_cannot_bring_a_tag_of_its_own() {
        for prefix in ["", "a{b", "a}b", "a b", "a\n", "ä", &"x".repeat(65)] {
            assert!(Keys::new(prefix).is_err(), "{prefix:?}");
        }
        let keys = Keys::new("wl:test-1").unwrap();
        assert_eq!(keys.base(Place::Cell(0x1f)), "wl:test-1:{AOwl}:");
    }
}
