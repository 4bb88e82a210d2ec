//! A row of the table, how figures are written, and Markdown.

use crate::measure::Samples;

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// The figure, with its unit.
    pub(crate) result: String,
    /// How far rounds lie apart, as a part of the median.
    pub(crate) spread: Option<f64>,
    /// What it is compared with, with that one's own figure.
    pub(crate) against: String,
    /// Figure through that figure.
    pub(crate) ratio: Option<f64>,
    /// What it should be.
    pub(crate) target: Option<Target>,
}

impl Row {
    /// A row without comparison.
    pub(crate) fn new(what: impl Into<String>, result: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            result: result.into(),
            spread: None,
            against: String::new(),
            ratio: None,
            target: None,
        }
    }

    /// Nanoseconds per operation.
    pub(crate) fn time(what: impl Into<String>, samples: &Samples) -> Self {
        Self { spread: Some(samples.spread()), ..Self::new(what, time(samples.median())) }
    }

    /// A part that could not be measured.
    pub(crate) fn skipped(why: &dyn std::fmt::Display) -> Self {
        Self::new("not measured", why.to_string())
    }

    pub(crate) fn against(self, against: impl Into<String>, ratio: f64) -> Self {
        Self { against: against.into(), ratio: Some(ratio), ..self }
    }

    pub(crate) fn spread(self, samples: &Samples) -> Self {
        Self { spread: Some(samples.spread()), ..self }
    }

    pub(crate) fn target(self, text: impl Into<String>, met: bool) -> Self {
        Self { target: Some(Target { text: text.into(), met }), ..self }
    }

    /// One line of the table.
    pub(crate) fn markdown(&self, part: &str) -> String {
        let Self { what, result, spread, against, ratio, target } = self;
        let spread = spread
            .filter(|spread| spread.is_finite())
            .map_or_else(String::new, |spread| format!("{:.0} %", spread * 100.0));
        let ratio = ratio
            .filter(|ratio| ratio.is_finite())
            .map_or_else(String::new, |ratio| if ratio >= 100.0 { grouped(ratio) } else { format!("{ratio:.2}") });
        let target = target.as_ref().map_or_else(String::new, |Target { text, met }| {
            format!("{text}: {}", if *met { "met" } else { "**missed**" })
        });
        let cells = [part, what, result, &spread, against, &ratio, &target];
        // A bar would end the cell.
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        format!("| {} |", cells.join(" | "))
    }
}

/// What a figure should be, and whether it is.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    text: String,
    met: bool,
}

/// A time in the unit that suits it.
pub(crate) fn time(nanos: f64) -> String {
    match nanos.abs() {
        less if less < 10.0 => format!("{nanos:.1} ns"),
        less if less < 10_000.0 => format!("{} ns", grouped(nanos)),
        less if less < 100_000.0 => format!("{:.1} µs", nanos / 1e3),
        less if less < 10_000_000.0 => format!("{} µs", grouped(nanos / 1e3)),
        _ => format!("{:.1} ms", nanos / 1e6),
    }
}

/// A whole number with its thousands apart.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < -0.5 { format!("-{text}") } else { text }
}

/// The same for counts.
pub(crate) fn count(number: usize) -> String {
    grouped(number as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_in_the_unit_that_suits_them() {
        let cases = [(4.26, "4.3 ns"), (312.4, "312 ns"), (9_999.0, "9,999 ns"), (28_140.0, "28.1 µs")];
        for (nanos, expected) in cases {
            assert_eq!(time(nanos), expected);
        }
        assert_eq!((time(2_345_678.0), time(16_000_000.0)), ("2,346 µs".to_owned(), "16.0 ms".to_owned()));
        assert_eq!([0.4, -0.6, 999.0, -1_234_567.0].map(grouped), ["0", "-1", "999", "-1,234,567"]);
    }

    #[test]
    fn a_row_is_one_line_of_seven_cells() {
        let row = Row::new("a | b", "300 ns").against("floor\n100 ns", 3.0).target("at most 1,000 ns", true);
        assert_eq!(
            row.markdown("validation"),
            "| validation | a \\| b | 300 ns |  | floor 100 ns | 3.00 | at most 1,000 ns: met |"
        );
        let skipped = Row::skipped(&"no `wrk`");
        assert_eq!(skipped.markdown("validation"), "| validation | not measured | no `wrk` |  |  |  |  |");
    }
}
