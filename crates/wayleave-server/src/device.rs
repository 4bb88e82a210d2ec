//! What a `User-Agent` tells of a device: for its owner's list of sessions, and for the client's fingerprint.

/// Longest `User-Agent` that is looked at.
const MAX_AGENT: usize = 512;

const BROWSERS: [(&str, &str); 9] = [
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
    ("curl/", "curl"),
];

const SYSTEMS: [(&str, &str); 7] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
];

/// What a `User-Agent` tells, in our own words, so that nothing that a client sends goes on (A20). An update of the browser
/// or of the system changes none of it.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Device {
    pub(crate) browser: Option<&'static str>,
    pub(crate) system: Option<&'static str>,
}

impl Device {
    /// Looks at a `User-Agent`.
    #[must_use]
    pub(crate) fn of(agent: &str) -> Self {
        let Some(agent) = agent.get(..agent.len().min(MAX_AGENT)) else { return Self::default() };
        let find =
            |table: &[(&str, &'static str)]| table.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
        Self { browser: find(&BROWSERS), system: find(&SYSTEMS) }
    }

    /// `Firefox on Linux`, as far as it can be told.
    #[must_use]
    pub(crate) fn label(self) -> Option<Box<str>> {
        match (self.browser, self.system) {
            (Some(browser), Some(system)) => Some(format!("{browser} on {system}").into()),
            (Some(name), None) | (None, Some(name)) => Some(name.into()),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Device;

    /// A20: a label holds our words and nothing of the header.
    #[test]
    fn agents_become_labels() {
        let cases = [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", Some("Firefox on Linux")),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/146.0.0.0 \
                 Safari/537.36 Edg/146.0.0.0",
                Some("Edge on Windows"),
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/18.0 Mobile/15E148 Safari/604.1",
                Some("Safari on iPhone"),
            ),
            ("curl/7.88.1", Some("curl")),
            ("<script>alert(1)</script>", None),
            ("", None),
        ];
        for (agent, expected) in cases {
            assert_eq!(Device::of(agent).label().as_deref(), expected, "{agent}");
        }
    }
}
