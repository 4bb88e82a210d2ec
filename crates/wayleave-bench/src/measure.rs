//! Rounds, medians and spreads.

use std::time::Duration;

/// One figure, measured in several rounds.
#[derive(Clone, Debug)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Figures of all rounds.
    pub(crate) fn new(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        Self(rounds)
    }

    /// The middle one; 0 where there is none.
    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        let at = |index: usize| self.0.get(index).copied().unwrap_or_default();
        if self.0.len().is_multiple_of(2) {
            f64::midpoint(at(middle.saturating_sub(1)), at(middle))
        } else {
            at(middle)
        }
    }

    /// What so many of a hundred are at most; 0 where there is none.
    pub(crate) fn at_hundredth(&self, hundredth: usize) -> f64 {
        let position = (self.0.len() * hundredth).div_ceil(100).saturating_sub(1);
        self.0.get(position).copied().unwrap_or_default()
    }

    /// The smallest and the largest.
    pub(crate) fn range(&self) -> (f64, f64) {
        (self.0.first().copied().unwrap_or_default(), self.0.last().copied().unwrap_or_default())
    }

    /// The distance from the first to the third quartile, as a part of the median: how far rounds lie apart when a few
    /// disturbed ones do not count.
    pub(crate) fn spread(&self) -> f64 {
        let at = |quarter: usize| {
            let last = self.0.len().saturating_sub(1);
            self.0.get((last * quarter + 2) / 4).copied().unwrap_or_default()
        };
        (at(3) - at(1)) / self.median()
    }
}

/// Nanoseconds per operation. `run` carries out that many operations and says how long they took, whatever it does
/// before and after.
pub(crate) fn per_operation<E>(
    rounds: usize,
    round: Duration,
    mut run: impl FnMut(usize) -> Result<Duration, E>,
) -> Result<Samples, E> {
    const MOST: usize = 1_000_000;
    let mut count = 64;
    // The first runs warm caches and find out how many operations a round takes.
    loop {
        let took = run(count)?;
        if took >= round / 2 || count >= MOST {
            break;
        }
        let factor = (round.as_secs_f64() / took.as_secs_f64().max(1e-9)).clamp(1.2, 16.0);
        count = scaled(count, factor).min(MOST);
    }
    let sample = |_| Ok(nanos(run(count)?) / count as f64);
    Ok(Samples::new((0..rounds).map(sample).collect::<Result<_, E>>()?))
}

pub(crate) fn nanos(length: Duration) -> f64 {
    length.as_secs_f64() * 1e9
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped by the caller")]
fn scaled(count: usize, factor: f64) -> usize {
    (count as f64 * factor).ceil() as usize
}

/// A small generator (SplitMix64), so that every run visits sessions in the same order.
pub(crate) struct Picks(u64);

impl Picks {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, or 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            chunk.iter_mut().zip(self.next().to_le_bytes()).for_each(|(to, from)| *to = from);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads_pass_over_outliers() {
        let samples = Samples::new(vec![30.0, 10.0, 900.0, 20.0, 25.0]);
        assert_eq!((samples.median(), samples.range()), (25.0, (10.0, 900.0)));
        assert!((samples.spread() - 10.0 / 25.0).abs() < 1e-9, "{}", samples.spread());
        assert!((Samples::new(vec![1.0, 2.0]).median() - 1.5).abs() < 1e-9);
        assert!((Samples::new(vec![7.0]).spread()).abs() < 1e-9);
        let hundred = Samples::new((1..=100).rev().map(f64::from).collect());
        assert_eq!([1, 50, 99, 100].map(|hundredth| hundred.at_hundredth(hundredth)), [1.0, 50.0, 99.0, 100.0]);
        assert!((Samples::new(vec![3.0, 2.0, 1.0]).at_hundredth(50) - 2.0).abs() < 1e-9);
        assert_eq!([Samples::new(vec![7.0]), Samples::new(vec![])].map(|few| few.at_hundredth(99)), [7.0, 0.0]);
    }

    #[test]
    fn rounds_are_as_long_as_they_should_be() {
        let mut counts = Vec::new();
        let samples = per_operation(4, Duration::from_millis(1), |count| {
            counts.push(count);
            Ok::<_, ()>(Duration::from_nanos(100) * u32::try_from(count).unwrap())
        })
        .unwrap();
        assert!((samples.median() - 100.0).abs() < 1e-6);
        assert!(counts.iter().rev().take(4).all(|count| (5_000..=20_000).contains(count)), "{counts:?}");
    }
}
