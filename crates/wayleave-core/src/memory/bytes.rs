//! The byte form of packed records: variable-length integers, sized strings and times as distances.

use crate::time::Timestamp;

/// Writes the parts of a packed record one after another.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(256))
    }

    /// A copy that is exactly as long as what was written.
    pub(super) fn to_boxed(&self) -> Box<[u8]> {
        self.0.as_slice().into()
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Seven bits per byte, lowest first; the high bit says that more follow (LEB128).
    pub(super) fn varint(&mut self, mut value: u64) {
        loop {
            let [low, ..] = (value & 0x7f).to_le_bytes();
            value >>= 7;
            if value == 0 {
                return self.0.push(low);
            }
            self.0.push(low | 0x80);
        }
    }

    /// The length, then the bytes.
    pub(super) fn sized(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.raw(bytes);
    }

    pub(super) fn length(&mut self, length: usize) {
        self.varint(u64::try_from(length).unwrap_or(u64::MAX));
    }

    /// `time` as its distance from `base`: two to six bytes for anything that happens near it.
    pub(super) fn time(&mut self, time: Timestamp, base: Timestamp) {
        let distance = time.as_millis() - base.as_millis();
        self.varint(((distance << 1) ^ (distance >> 63)).cast_unsigned());
    }
}

/// Reads what a [`Writer`] wrote. Every method is `None` when the bytes end too early or make no sense.
#[derive(Copy, Clone)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn raw(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.raw(N)?.try_into().ok()
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(super) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.varint()?).ok()
    }

    pub(super) fn sized(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.raw(length)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.sized()?).ok()
    }

    pub(super) fn time(&mut self, base: Timestamp) -> Option<Timestamp> {
        let folded = self.varint()?;
        let distance = (folded >> 1).cast_signed() ^ -(folded & 1).cast_signed();
        Some(Timestamp::from_millis(base.as_millis().checked_add(distance)?))
    }
}

/// A point in time in six bytes, which is enough for all of [`Timestamp`].
#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) struct Stamp([u8; 6]);

impl Stamp {
    /// Later than every time.
    const NEVER: Self = Self([0xff; 6]);

    pub(super) const fn of(time: Timestamp) -> Self {
        let [a, b, c, d, e, f, _, _] = time.as_millis().to_le_bytes();
        Self([a, b, c, d, e, f])
    }

    pub(super) fn of_option(time: Option<Timestamp>) -> Self {
        time.map_or(Self::NEVER, Self::of)
    }

    pub(super) const fn time(self) -> Timestamp {
        let [a, b, c, d, e, f] = self.0;
        Timestamp::from_millis(i64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    pub(super) fn option(self) -> Option<Timestamp> {
        (self != Self::NEVER).then(|| self.time())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_and_times_round_trip(number: u64, a in 0..=Timestamp::MAX.as_millis(), b in 0..=Timestamp::MAX.as_millis()) {
            let (time, base) = (Timestamp::from_millis(a), Timestamp::from_millis(b));
            let mut writer = Writer::new();
            writer.varint(number);
            writer.time(time, base);
            writer.sized(b"end");
            let bytes = writer.to_boxed();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint(), Some(number));
            prop_assert_eq!(reader.time(base), Some(time));
            prop_assert_eq!(reader.text(), Some("end"));
            prop_assert!(reader.is_empty());
            prop_assert_eq!(Stamp::of(time).option(), Some(time));
        }
    }

    #[test]
    fn the_ends_of_time_fit_into_six_bytes() {
        for time in [Timestamp::MIN, Timestamp::MAX] {
            assert_eq!(Stamp::of_option(Some(time)).option(), Some(time));
        }
        assert_eq!(Stamp::of_option(None).option(), None);
    }

    #[test]
    fn what_is_cut_short_is_not_read() {
        assert_eq!(Reader::new(&[]).varint(), None);
        assert_eq!(Reader::new(&[0x80; 11]).varint(), None);
        assert_eq!(Reader::new(&[3, b'a', b'b']).sized(), None);
        assert_eq!(Reader::new(&[0xff]).array::<2>(), None);
    }
}
