//! The plot: throughput of every application, by store, as bars in SVG that read in light and in dark.

use std::fmt::Write as _;

use crate::report::grouped;

/// The applications on one store.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) bars: Vec<Bar>,
}

/// One application.
pub(super) struct Bar {
    pub(super) name: &'static str,
    pub(super) is_ours: bool,
    /// In the order of [`PANELS`].
    pub(super) per_second: [Option<f64>; PANELS.len()],
}

/// Beside each other. The bars of one store in one of them share a scale.
const PANELS: [&str; 3] = ["who is it, warm", "create", "refresh"];

const NAMES_WIDTH: f64 = 275.0;
const PANEL_WIDTH: f64 = 250.0;
/// The longest bar; the figure stands behind it.
const BAR_WIDTH: f64 = 165.0;
const BAR_HEIGHT: f64 = 14.0;
const LINE: f64 = 20.0;
const MARGIN: f64 = 20.0;
/// Where the first store's name stands.
const TOP: f64 = 96.0;

const STYLE: &str = "    text { font: 13px system-ui, sans-serif }
    .title { font-size: 17px; font-weight: 600 } .strong { font-weight: 600 }
    .paper { fill: #ffffff } .text { fill: #1f2933 } .quiet { fill: #616e7c } .ours { fill: #0f766e } .peer { fill: #a8b3bf }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117 } .text { fill: #e6edf3 } .quiet { fill: #9aa5b1 } .ours { fill: #2dd4bf } .peer { fill: #57626e }
    }";

/// The whole picture.
pub(super) fn svg(groups: &[Group]) -> String {
    let lines: usize = groups.iter().map(|group| group.bars.len() + 1).sum();
    let width = panel_left(PANELS.len()) + MARGIN;
    let height = TOP + lines as f64 * LINE + groups.len() as f64 * LINE / 2.0 + MARGIN / 2.0;
    let mut drawing = Drawing::default();
    drawing.text((MARGIN, 28.0), "text title", "Throughput by store: requests per second");
    let scale = "Longer is better. 32 connections on one machine; a scale for each store and column.";
    drawing.text((MARGIN, 48.0), "quiet", scale);
    for (class, name, left) in [("ours", "Wayleave", panel_left(2)), ("peer", "others", panel_left(2) + 100.0)] {
        drawing.bar((left, 28.0), BAR_HEIGHT, class);
        drawing.text((left + BAR_HEIGHT + 6.0, 28.0), "text", name);
    }
    for (at, panel) in PANELS.iter().enumerate() {
        drawing.text((panel_left(at), TOP - 16.0), "text strong", panel);
    }
    let mut y = TOP;
    for group in groups {
        y += LINE;
        drawing.text((MARGIN, y), "text strong", group.name);
        let most = most(group);
        for bar in &group.bars {
            y += LINE;
            drawing.text((MARGIN + 12.0, y), "text", bar.name);
            for (at, (value, most)) in bar.per_second.iter().zip(most).enumerate() {
                let Some(value) = value else { continue };
                let (left, length) = (panel_left(at), (value / most * BAR_WIDTH).max(1.0));
                drawing.bar((left, y), length, if bar.is_ours { "ours" } else { "peer" });
                drawing.text((left + length + 6.0, y), "quiet", &grouped(*value));
            }
        }
        y += LINE / 2.0;
    }
    let Drawing(body) = drawing;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" aria-label=\"Throughput by store\">\n  <style>\n{STYLE}\n  </style>\n  <rect \
         width=\"100%\" height=\"100%\" class=\"paper\"/>\n{body}</svg>\n"
    )
}

/// Elements of SVG. Places are the left end of the line that text stands on.
#[derive(Default)]
struct Drawing(String);

impl Drawing {
    fn text(&mut self, (x, y): (f64, f64), class: &str, text: &str) {
        // Writing to a string cannot fail.
        writeln!(self.0, "  <text x=\"{x:.0}\" y=\"{y:.0}\" class=\"{class}\">{}</text>", escaped(text)).ok();
    }

    /// A bar as high as a letter, roughly.
    fn bar(&mut self, (x, y): (f64, f64), length: f64, class: &str) {
        let top = y - BAR_HEIGHT + 3.0;
        writeln!(
            self.0,
            "  <rect x=\"{x:.0}\" y=\"{top:.0}\" width=\"{length:.1}\" height=\"{BAR_HEIGHT}\" rx=\"2\" class=\"{class}\"/>"
        )
        .ok();
    }
}

fn panel_left(at: usize) -> f64 {
    NAMES_WIDTH + PANEL_WIDTH * at as f64
}

/// The largest figure in each panel.
fn most(group: &Group) -> [f64; PANELS.len()] {
    let mut most = [1.0_f64; PANELS.len()];
    for bar in &group.bars {
        for (most, value) in most.iter_mut().zip(bar.per_second) {
            *most = most.max(value.unwrap_or_default());
        }
    }
    most
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_figures() {
        let bar = |name, is_ours, warm| Bar { name, is_ours, per_second: [Some(warm), Some(10.0), None] };
        let groups = [
            Group { name: "memory", bars: vec![bar("ours", true, 50_000.0), bar("a < b", false, 100_000.0)] },
            Group { name: "Redis", bars: vec![bar("c", false, 2_000.0)] },
        ];
        let svg = svg(&groups);
        let widths = |class: &str| {
            let bars = svg.lines().filter(|line| line.contains(&format!("class=\"{class}\"/>")));
            let width = |line: &str| line.split("width=\"").nth(1)?.split('"').next()?.parse::<f64>().ok();
            bars.filter_map(width).collect::<Vec<_>>()
        };
        // The first one of each is the legend's.
        assert_eq!(widths("ours"), [BAR_HEIGHT, BAR_WIDTH / 2.0, BAR_WIDTH]);
        assert_eq!(widths("peer"), [BAR_HEIGHT, BAR_WIDTH, BAR_WIDTH, BAR_WIDTH, BAR_WIDTH]);
        assert!(svg.contains(">100,000</text>") && svg.contains(">a &lt; b</text>"), "{svg}");
    }
}
