//! Whether two samples of durations could come from one distribution: for timing tests that must not depend on how
//! fast the machine is.

/// What a comparison of two samples found.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Median of the first sample, in its own unit.
    pub median_a: f64,
    /// Median of the second sample, in its own unit.
    pub median_b: f64,
    /// Mann-Whitney U of the first sample.
    pub u: f64,
    /// How likely a difference at least this large is when there is none: two-sided, normal approximation with
    /// corrections for ties and continuity, good from about 20 values a side.
    pub p: f64,
}

impl Comparison {
    /// The medians' distance as a part of the smaller one; infinite when one is zero and the other is not.
    #[must_use]
    pub fn median_distance(&self) -> f64 {
        let smaller = self.median_a.min(self.median_b);
        let distance = (self.median_a - self.median_b).abs();
        if distance == 0.0 { 0.0 } else { distance / smaller }
    }

    /// The bar of requirement R098: p above 0.01, or medians within 5 % of each other.
    #[must_use]
    pub fn indistinguishable(&self) -> bool {
        self.p > 0.01 || self.median_distance() <= 0.05
    }
}

/// Compares two samples. Neither may be empty or hold a NaN.
///
/// # Errors
/// [`NotASample`] when one is or does.
pub fn compare(a: &[f64], b: &[f64]) -> Result<Comparison, NotASample> {
    let (Some(median_a), Some(median_b)) = (median(a), median(b)) else {
        return Err(NotASample);
    };
    let mut all: Vec<(f64, bool)> =
        a.iter().map(|value| (*value, true)).chain(b.iter().map(|value| (*value, false))).collect();
    all.sort_by(|(left, _), (right, _)| left.total_cmp(right));

    let (mut rank_sum, mut ties, mut before) = (0.0, 0.0, 0.0);
    for group in all.chunk_by(|(left, _), (right, _)| left == right) {
        let size = count(group.len());
        let rank = before + (size + 1.0) / 2.0;
        rank_sum += rank * count(group.iter().filter(|(_, of_a)| *of_a).count());
        ties += size * size * size - size;
        before += size;
    }

    let (n_a, n_b) = (count(a.len()), count(b.len()));
    let n = n_a + n_b;
    let u = rank_sum - n_a * (n_a + 1.0) / 2.0;
    let variance = n_a * n_b / 12.0 * ((n + 1.0) - ties / (n * (n - 1.0)));
    let deviation = ((u - n_a * n_b / 2.0).abs() - 0.5).max(0.0);
    // All values equal: nothing tells the samples apart.
    let p = if variance > 0.0 { libm::erfc(deviation / (2.0 * variance).sqrt()) } else { 1.0 };
    Ok(Comparison { median_a, median_b, u, p })
}

/// The median, if `sample` is not empty and without NaN.
#[must_use]
pub fn median(sample: &[f64]) -> Option<f64> {
    if sample.iter().any(|value| value.is_nan()) {
        return None;
    }
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get(sorted.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

#[expect(clippy::cast_precision_loss, reason = "samples have far fewer than 2^52 values")]
fn count(items: usize) -> f64 {
    items as f64
}

/// A sample is empty or holds a NaN.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct NotASample;

#[cfg(test)]
mod tests {
    use wayleave_core::ports::Entropy as _;

    use super::*;
    use crate::SeededEntropy;

    /// Values between `low` and `low + 1`, evenly spread.
    fn spread(seed: u64, low: f64) -> Vec<f64> {
        let entropy = SeededEntropy::new(seed);
        let draw = |_| {
            let mut bytes = [0; 4];
            entropy.fill(&mut bytes).unwrap();
            low + f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
        };
        (0..200).map(draw).collect()
    }

    /// The example of R's `wilcox.test` (W = 35, z = 9.5 / sqrt(66.67) = 1.1635), and one with ties, by hand.
    #[test]
    fn agrees_with_worked_examples() {
        let a = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
        let b = [1.15, 0.88, 0.90, 0.74, 1.21];
        let found = compare(&a, &b).unwrap();
        assert!((found.u - 35.0).abs() < 1e-9);
        assert!((found.p - 0.244_5).abs() < 5e-4, "{found:?}");

        let found = compare(&[1.0, 2.0, 2.0, 3.0], &[2.0, 3.0, 4.0, 4.0]).unwrap();
        assert!((found.u - 2.5).abs() < 1e-9);
        assert!((found.median_a - 2.0).abs() < 1e-9 && (found.median_b - 3.5).abs() < 1e-9);
    }

    #[test]
    fn tells_a_shift_and_only_a_shift() {
        let (one, other) = (spread(1, 10.0), spread(2, 10.0));
        assert!(compare(&one, &other).unwrap().indistinguishable());
        let shifted = spread(3, 11.0);
        let found = compare(&one, &shifted).unwrap();
        assert!(!found.indistinguishable(), "{found:?}");
        assert!(found.p < 1e-9);
    }

    /// A difference that is certain and tiny passes by the medians; one that is large does not.
    #[test]
    fn a_certain_difference_counts_from_five_percent_on() {
        let (near, far) = ([1.04; 100], [1.06; 100]);
        assert!(compare(&[1.0; 100], &near).unwrap().indistinguishable());
        assert!(!compare(&[1.0; 100], &far).unwrap().indistinguishable());
        assert!(compare(&[1.0; 100], &[1.0; 100]).unwrap().p > 0.99);
    }

    #[test]
    fn refuses_what_is_no_sample() {
        assert_eq!(compare(&[], &[1.0]), Err(NotASample));
        assert_eq!(compare(&[1.0], &[f64::NAN]), Err(NotASample));
        assert_eq!(median(&[3.0, 1.0]), Some(2.0));
    }
}
