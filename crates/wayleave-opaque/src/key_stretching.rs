//! What the client's key-stretching function costs: Argon2id, run by the client alone, at login as at registration.

/// Figures that nobody has checked yet.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct StretchingCost {
    /// Passes over the memory (`t`).
    pub iterations: u32,
    /// Memory in KiB (`m`).
    pub memory_kib: u32,
    /// Lanes (`p`).
    pub parallelism: u32,
}

/// Cost parameters of Argon2id (RFC 9106), within bounds. They are not part of any message, so they are kept with each
/// record, and told to the client before it finishes a login. A client must insist on a floor of its own: it is what
/// keeps a server that was taken over from asking for less.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct KeyStretching(StretchingCost);

impl KeyStretching {
    /// 64 MiB, 3 passes, 4 lanes: the second choice of RFC 9106 section 4, which browsers can afford, and the default of
    /// `@serenity-kit/opaque`. The 2 GiB of RFC 9807 section 7 they cannot.
    pub const DEFAULT: Self = Self(StretchingCost { iterations: 3, memory_kib: 65_536, parallelism: 4 });
    /// Least memory, in KiB: 1 MiB.
    pub const MIN_MEMORY_KIB: u32 = 1 << 10;
    /// Most memory, in KiB: 2 GiB less 1 KiB, past which browsers fail.
    pub const MAX_MEMORY_KIB: u32 = (1 << 21) - 1;
    /// Most passes.
    pub const MAX_ITERATIONS: u32 = 64;
    /// Most lanes.
    pub const MAX_PARALLELISM: u32 = 16;

    /// Checks the figures.
    ///
    /// # Errors
    /// [`InvalidKeyStretching`] outside the bounds.
    pub const fn new(cost: StretchingCost) -> Result<Self, InvalidKeyStretching> {
        let StretchingCost { iterations, memory_kib, parallelism } = cost;
        let fits = 1 <= iterations
            && iterations <= Self::MAX_ITERATIONS
            && Self::MIN_MEMORY_KIB <= memory_kib
            && memory_kib <= Self::MAX_MEMORY_KIB
            && 1 <= parallelism
            && parallelism <= Self::MAX_PARALLELISM;
        if fits { Ok(Self(cost)) } else { Err(InvalidKeyStretching) }
    }

    /// The figures.
    #[must_use]
    pub const fn cost(self) -> StretchingCost {
        self.0
    }

    /// Whether it is less work than what is asked of any stored password: 19 MiB and 2 passes, or 46 MiB and 1 (R093).
    #[must_use]
    pub const fn is_cheap(self) -> bool {
        let StretchingCost { iterations, memory_kib, parallelism: _ } = self.0;
        !((memory_kib >= 19_456 && iterations >= 2) || memory_kib >= 47_104)
    }
}

/// The figures are outside the bounds.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("iterations from 1 to 64, memory from 1024 to 2097151 KiB and parallelism from 1 to 16 are possible")]
pub struct InvalidKeyStretching;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept() {
        let cost = |iterations, memory_kib, parallelism| StretchingCost { iterations, memory_kib, parallelism };
        for (cost, fits) in [
            (cost(1, 1 << 10, 1), true),
            (cost(64, (1 << 21) - 1, 16), true),
            (cost(0, 65_536, 1), false),
            (cost(65, 65_536, 1), false),
            (cost(1, 1023, 1), false),
            (cost(1, 1 << 21, 1), false),
            (cost(1, 65_536, 0), false),
            (cost(1, 65_536, 17), false),
        ] {
            assert_eq!(KeyStretching::new(cost).is_ok(), fits, "{cost:?}");
        }
        assert_eq!(KeyStretching::new(KeyStretching::DEFAULT.cost()), Ok(KeyStretching::DEFAULT));
    }

    /// R093: the floor of hashes that the server makes is the bar for those that it has made.
    #[test]
    fn what_is_cheap_is_known() {
        let is_cheap = |iterations, memory_kib| {
            KeyStretching::new(StretchingCost { iterations, memory_kib, parallelism: 1 }).unwrap().is_cheap()
        };
        assert!(is_cheap(1, 47_103) && is_cheap(64, 19_455));
        assert!(!is_cheap(1, 47_104) && !is_cheap(2, 19_456) && !KeyStretching::DEFAULT.is_cheap());
    }
}
