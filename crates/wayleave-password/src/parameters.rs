//! How much work a hash is: the floor for new ones, and the ceiling for those that a store hands back.

/// Figures that nobody has checked yet.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB (`m`).
    pub memory_kib: u32,
    /// Passes over it (`t`).
    pub passes: u32,
    /// Lanes (`p`).
    pub lanes: u32,
}

/// Cost parameters of Argon2id (RFC 9106), within bounds.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Parameters(Cost);

impl Parameters {
    /// 19 MiB, 2 passes, 1 lane: the least that OWASP's Password Storage page names, and the default (R093).
    pub const FLOOR: Self = Self(Cost { memory_kib: 19_456, passes: 2, lanes: 1 });
    /// Most memory, in KiB: 1 GiB.
    pub const MAX_MEMORY_KIB: u32 = 1 << 20;
    /// Most passes.
    pub const MAX_PASSES: u32 = 64;
    /// Most lanes.
    pub const MAX_LANES: u32 = 16;
    /// Most of memory in KiB times passes: four passes over a gibibyte, some seconds on one core.
    pub const MAX_WORK: u64 = 4 << 20;

    /// OWASP's equivalent of the floor with a single pass.
    const SINGLE_PASS_FLOOR_KIB: u32 = 47_104;

    /// Parameters for new hashes.
    ///
    /// # Errors
    /// [`InvalidParameters::TooCheap`] below 19456 KiB and 2 passes, or 47104 KiB and 1 pass;
    /// [`InvalidParameters::TooCostly`] past one of the maxima; [`InvalidParameters::Malformed`] for what Argon2
    /// itself does not allow.
    pub fn new(cost: Cost) -> Result<Self, InvalidParameters> {
        let bounded = Self::bounded(cost)?;
        let Cost { memory_kib, passes, lanes: _ } = Self::FLOOR.0;
        let enough =
            (cost.memory_kib >= memory_kib && cost.passes >= passes) || cost.memory_kib >= Self::SINGLE_PASS_FLOOR_KIB;
        if enough { Ok(bounded) } else { Err(InvalidParameters::TooCheap) }
    }

    /// 256 KiB and one pass, far below the floor: so that tests do not wait. A hash made with it is worth nothing.
    #[must_use]
    pub const fn dangerous_cheap_for_tests() -> Self {
        Self(Cost { memory_kib: 256, passes: 1, lanes: 1 })
    }

    /// The figures.
    #[must_use]
    pub const fn cost(self) -> Cost {
        self.0
    }

    /// Parameters of a stored hash: may lie below the floor, but not past the maxima (A54).
    pub(crate) fn bounded(cost: Cost) -> Result<Self, InvalidParameters> {
        let Cost { memory_kib, passes, lanes } = cost;
        let bounded = Self(cost);
        if memory_kib > Self::MAX_MEMORY_KIB
            || passes > Self::MAX_PASSES
            || lanes > Self::MAX_LANES
            || bounded.work() > Self::MAX_WORK
        {
            return Err(InvalidParameters::TooCostly);
        }
        if lanes == 0 || passes == 0 || memory_kib < 8 * lanes {
            return Err(InvalidParameters::Malformed);
        }
        Ok(bounded)
    }

    /// Whether a hash made with `self` is to be made again to reach `target` (R094).
    pub(crate) fn falls_short_of(self, target: Self) -> bool {
        let Cost { memory_kib, passes, lanes: _ } = self.0;
        memory_kib < target.0.memory_kib || passes < target.0.passes
    }

    /// What is left of the work of `self` after a hash with `spent`: parameters that take about as long as the
    /// difference. `None` when there is nothing worth spending.
    pub(crate) fn beyond(self, spent: Self) -> Option<Self> {
        let Cost { passes, lanes, .. } = self.0;
        let difference = self.work().checked_sub(spent.work())?;
        let memory_kib = u32::try_from(difference / u64::from(passes.max(1))).ok()?;
        Self::bounded(Cost { memory_kib, passes, lanes }).ok()
    }

    /// Memory in KiB times passes: what the running time is proportional to, since lanes run one after the other.
    pub(crate) const fn work(self) -> u64 {
        self.0.memory_kib as u64 * self.0.passes as u64
    }
}

/// Which bound a cost does not keep.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidParameters {
    /// Guessing such hashes would be too cheap.
    #[error("Argon2id takes at least 19456 KiB and 2 passes, or 47104 KiB and 1 pass")]
    TooCheap,
    /// Making one would take too much memory or time.
    #[error("Argon2id takes at most 1 GiB, 64 passes, 16 lanes, and 4 GiB over all passes")]
    TooCostly,
    /// Argon2 is not defined for it.
    #[error("Argon2id takes at least one pass, one lane, and 8 KiB for each lane")]
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn cost(memory_kib: u32, passes: u32, lanes: u32) -> Cost {
        Cost { memory_kib, passes, lanes }
    }

    /// R093: nothing below OWASP's floor can be chosen; A54: nor what would exhaust the machine.
    #[test]
    fn new_hashes_keep_floor_and_ceiling() {
        use InvalidParameters::{Malformed, TooCheap, TooCostly};
        let cases = [
            (cost(19_456, 2, 1), Ok(())),
            (cost(47_104, 1, 1), Ok(())),
            (cost(65_536, 3, 4), Ok(())),
            (cost(1 << 20, 4, 16), Ok(())),
            (cost(19_455, 2, 1), Err(TooCheap)),
            (cost(19_456, 1, 1), Err(TooCheap)),
            (cost(47_103, 1, 1), Err(TooCheap)),
            (cost(8, 64, 1), Err(TooCheap)),
            (cost((1 << 20) + 1, 2, 1), Err(TooCostly)),
            (cost(u32::MAX, u32::MAX, 1), Err(TooCostly)),
            (cost(1 << 20, 5, 1), Err(TooCostly)),
            (cost(19_456, 65, 1), Err(TooCostly)),
            (cost(19_456, 2, 17), Err(TooCostly)),
            (cost(19_456, 2, 0), Err(Malformed)),
            (cost(19_456, 0, 1), Err(Malformed)),
        ];
        for (given, expected) in cases {
            assert_eq!(Parameters::new(given).map(|_| ()), expected, "{given:?}");
        }
        assert_eq!(Parameters::new(Parameters::FLOOR.cost()), Ok(Parameters::FLOOR));
    }

    /// R099: an outdated hash is topped up to the work of a current one.
    #[test]
    fn the_rest_of_the_work_adds_up() {
        let target = Parameters::FLOOR;
        let spent = Parameters::bounded(cost(4096, 3, 1)).unwrap();
        let rest = target.beyond(spent).unwrap();
        assert_eq!(rest.cost(), cost((2 * 19_456 - 3 * 4096) / 2, 2, 1));
        assert_eq!(rest.work() + spent.work(), target.work());
        assert_eq!(target.beyond(target), None);
        assert_eq!(target.beyond(Parameters::bounded(cost(65_536, 3, 1)).unwrap()), None);
    }
}
