//! What nodes say to each other, as bytes:
//!
//! ```text
//! version 0x01 | flags | lease in milliseconds (4) | node (16) | sequence (8) | nonce (8)
//! | slots of sessions: count (2), 2 each | slots of subjects: count (2), 2 each | acknowledged: count (2), 24 each
//! | HMAC-SHA256 of all before, cut to 16 bytes
//! ```
//!
//! Numbers are big-endian. Every version begins with its number and ends with the same MAC. A message of another version
//! is one that was missed, and with it whatever it said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use wayleave_core::id::Slot;
use wayleave_core::ports::MAX_BUS_MESSAGE;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const MAC: usize = 16;
const NONCE: usize = 8;
const HEADER: usize = 2 + 4 + 16 + 8 + NONCE;
/// Most slots of each kind in one message; with more, everything is meant.
pub(super) const MAX_SLOTS: usize = 800;
/// Most acknowledgements in one message.
pub(super) const MAX_ACKS: usize = 100;

const _: () = assert!(HEADER + 3 * 2 + 2 * MAX_SLOTS * 2 + MAX_ACKS * 24 + MAC <= MAX_BUS_MESSAGE);

/// The key that messages between the nodes of one deployment are authenticated with. Wiped when dropped, never shown.
pub struct BusKey(Zeroizing<[u8; BLOCK]>);

/// The block of SHA-256, to which HMAC fills a shorter key up with zeros (RFC 2104, section 2).
const BLOCK: usize = 64;

impl BusKey {
    /// Takes 32 secret bytes, the same on every node.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        let mut block = Zeroizing::new([0; BLOCK]);
        block.iter_mut().zip(Zeroizing::new(key).iter()).for_each(|(to, from)| *to = *from);
        Self(block)
    }

    fn mac(&self, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as hmac::digest::KeyInit>::new(self.0.as_slice().into());
        mac.update(b"wayleave bus");
        mac.update(bytes);
        mac
    }
}

/// One run of one process, as long as nobody else goes by the same.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(pub(super) [u8; 16]);

/// What a message says, besides that its sender lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Sessions of these slots were changed or ended.
    pub(super) sessions: BTreeSet<Slot>,
    /// Subjects of these slots stand otherwise than before.
    pub(super) subjects: BTreeSet<Slot>,
    /// Anything may have changed.
    pub(super) everything: bool,
    /// What all nodes have in common did: settings, signing keys.
    pub(super) settings: bool,
    /// The sender leaves.
    pub(super) bye: bool,
    /// The sender has never begun a change, so that nothing of it can still be under way.
    pub(super) harmless: bool,
    /// The sender waits until everybody has acted on this.
    pub(super) wants_ack: bool,
    /// Up to which of a node's messages the sender has acted on all.
    pub(super) acks: BTreeMap<NodeId, u64>,
}

impl News {
    /// Adds what others say, within what fits into a message.
    pub(super) fn add(&mut self, news: Self) {
        let Self { sessions, subjects, everything, settings, bye, harmless, wants_ack, acks } = news;
        self.sessions.extend(sessions);
        self.subjects.extend(subjects);
        self.acks.extend(acks);
        while self.acks.len() > MAX_ACKS {
            // Whoever waits for it waits for a lease to run out instead.
            self.acks.pop_first();
        }
        self.everything |= everything || self.sessions.len() > MAX_SLOTS || self.subjects.len() > MAX_SLOTS;
        self.settings |= settings;
        self.bye |= bye;
        self.harmless |= harmless;
        self.wants_ack |= wants_ack;
        if self.everything {
            self.sessions.clear();
            self.subjects.clear();
        }
    }

    fn flags(&self) -> u8 {
        [self.everything, self.settings, self.bye, self.wants_ack, self.harmless]
            .into_iter()
            .enumerate()
            .fold(0, |flags, (bit, set)| flags | u8::from(set) << bit)
    }
}

/// A message that is genuine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) from: NodeId,
    pub(super) sequence: u64,
    /// Drawn for this message, so that its sender knows it again.
    pub(super) nonce: Nonce,
    /// How long the sender may answer from memory after it sent this.
    pub(super) lease: Duration,
    pub(super) news: News,
}

pub(super) type Nonce = [u8; NONCE];

/// Why there is no message in some bytes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// They are not of this deployment.
    Foreign,
    /// They are, and of a version that is not known here.
    OtherVersion,
}

impl Message {
    pub(super) fn to_bytes(&self, key: &BusKey) -> Vec<u8> {
        let Self { from, sequence, nonce, lease, news } = self;
        let mut bytes = vec![VERSION, news.flags()];
        bytes.extend_from_slice(&u32::try_from(lease.as_millis()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(&from.0);
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(nonce);
        for slots in [&news.sessions, &news.subjects] {
            count(&mut bytes, slots.len());
            slots.iter().for_each(|slot| bytes.extend_from_slice(&slot.0.to_be_bytes()));
        }
        count(&mut bytes, news.acks.len());
        for (node, sequence) in &news.acks {
            bytes.extend_from_slice(&node.0);
            bytes.extend_from_slice(&sequence.to_be_bytes());
        }
        let mac = key.mac(&bytes).finalize().into_bytes();
        bytes.extend(mac.iter().take(MAC));
        bytes
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`Unread`].
    pub(super) fn from_bytes(bytes: &[u8], key: &BusKey) -> Result<Self, Unread> {
        let signed = genuine(bytes, key).ok_or(Unread::Foreign)?;
        Self::from_signed(signed).ok_or(Unread::OtherVersion)
    }

    fn from_signed(signed: &[u8]) -> Option<Self> {
        let mut rest = Reader(signed);
        let ([VERSION], [flags]) = (rest.take()?, rest.take()?) else { return None };
        let lease = Duration::from_millis(u32::from_be_bytes(rest.take()?).into());
        let (from, sequence, nonce) = (NodeId(rest.take()?), u64::from_be_bytes(rest.take()?), rest.take()?);
        let (sessions, subjects) = (rest.slots()?, rest.slots()?);
        let acks = (0..rest.count(MAX_ACKS)?)
            .map(|_| Some((NodeId(rest.take()?), u64::from_be_bytes(rest.take()?))))
            .collect::<Option<_>>()?;
        let set = |bit: u8| flags & (1 << bit) != 0;
        let (everything, settings, bye, wants_ack, harmless) = (set(0), set(1), set(2), set(3), set(4));
        let news = News { sessions, subjects, everything, settings, bye, harmless, wants_ack, acks };
        rest.0.is_empty().then_some(Self { from, sequence, nonce, lease, news })
    }
}

/// What the MAC at the end covers, if it is right.
fn genuine<'a>(bytes: &'a [u8], key: &BusKey) -> Option<&'a [u8]> {
    let (signed, mac) = bytes.split_last_chunk::<MAC>().filter(|_| bytes.len() <= MAX_BUS_MESSAGE)?;
    key.mac(signed).verify_truncated_left(mac).ok()?;
    Some(signed)
}

fn count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn count(&mut self, most: usize) -> Option<usize> {
        Some(usize::from(u16::from_be_bytes(self.take()?))).filter(|count| *count <= most)
    }

    fn slots(&mut self) -> Option<BTreeSet<Slot>> {
        (0..self.count(MAX_SLOTS)?).map(|_| Some(Slot(u16::from_be_bytes(self.take()?)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> BusKey {
        BusKey::new([byte; 32])
    }

    fn slots(count: usize) -> BTreeSet<Slot> {
        (0..count).filter_map(|slot| u16::try_from(slot).ok()).map(Slot).collect()
    }

    fn message() -> Message {
        let acks = (0..u8::try_from(MAX_ACKS).unwrap()).map(|node| (NodeId([node; 16]), u64::MAX)).collect();
        let news = News { sessions: slots(MAX_SLOTS), subjects: slots(3), settings: true, acks, ..News::default() };
        Message { from: NodeId([7; 16]), sequence: 1 << 40, nonce: [9; 8], lease: Duration::from_secs(2), news }
    }

    #[test]
    fn a_message_comes_back_as_it_was() {
        for news in [
            News::default(),
            message().news,
            News { everything: true, bye: true, ..News::default() },
            News { bye: true, harmless: true, ..News::default() },
            News { wants_ack: true, ..News::default() },
        ] {
            let message = Message { news, ..message() };
            assert_eq!(Message::from_bytes(&message.to_bytes(&key(1)), &key(1)), Ok(message));
        }
    }

    #[test]
    fn a_changed_cut_or_foreign_message_is_none() {
        let bytes = message().to_bytes(&key(1));
        assert_eq!(Message::from_bytes(&bytes, &key(2)), Err(Unread::Foreign));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(Message::from_bytes(&changed, &key(1)), Err(Unread::Foreign), "byte {at}");
            assert_eq!(Message::from_bytes(&bytes[..at], &key(1)), Err(Unread::Foreign), "cut at {at}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(Message::from_bytes(&longer, &key(1)), Err(Unread::Foreign));
    }

    #[test]
    fn a_later_version_is_told_from_what_is_foreign() {
        let sealed = |signed: &[u8]| {
            let mac = key(1).mac(signed).finalize().into_bytes();
            [signed, &mac[..MAC]].concat()
        };
        let later = [2, 0xff, 0xff];
        assert_eq!(Message::from_bytes(&sealed(&later), &key(1)), Err(Unread::OtherVersion));
        let longer = [message().to_bytes(&key(1)).split_last_chunk::<MAC>().unwrap().0, &[0]].concat();
        assert_eq!(Message::from_bytes(&sealed(&longer), &key(1)), Err(Unread::OtherVersion));
        assert_eq!(Message::from_bytes(&sealed(&vec![1; MAX_BUS_MESSAGE]), &key(1)), Err(Unread::Foreign), "too long");
    }

    #[test]
    fn the_longest_message_fits() {
        let mut news = News { subjects: slots(MAX_SLOTS), ..message().news };
        let length = |news: &News| Message { news: news.clone(), ..message() }.to_bytes(&key(1)).len();
        assert!(length(&news) <= MAX_BUS_MESSAGE);
        assert!(!news.everything);
        news.add(News { sessions: slots(MAX_SLOTS + 1), ..News::default() });
        assert!(news.everything && news.sessions.is_empty() && news.subjects.is_empty());
        assert_eq!(news.acks.len(), MAX_ACKS);
        news.add(News { acks: BTreeMap::from([(NodeId([200; 16]), 1)]), ..News::default() });
        assert_eq!(news.acks.len(), MAX_ACKS);
        assert_eq!(news.acks.get(&NodeId([200; 16])), Some(&1));
    }
}
