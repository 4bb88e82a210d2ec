//! Everywhere that a secret could leak to, captured: log lines, answers, metrics, audit rows, files, debug output.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use wayleave_testkit::canary::{Canary, Haystack};

use crate::support::Answer;
use crate::world::World;

static RECORDING: AtomicBool = AtomicBool::new(false);
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The process's log, at its most talkative, while somebody records.
struct Log;

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if RECORDING.load(Ordering::Relaxed) {
            LOG.lock().extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Starts to record everything that anything in the process says.
pub(super) fn record() {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(Log)
        .finish();
    tracing::subscriber::set_global_default(subscriber).expect("nothing else in this process listens to everything");
    RECORDING.store(true, Ordering::Relaxed);
}

/// What was said since.
pub(super) fn log() -> Vec<u8> {
    LOG.lock().clone()
}

/// The secrets of a run and what came out of it.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) secrets: Vec<Canary>,
    /// Ids that may be answered and stored, and must not be logged in clear.
    pub(super) ids: Vec<Canary>,
    pub(super) answers: Vec<u8>,
}

/// Members of answers that hand a secret out.
const HANDING_OUT: [&str; 5] = ["session_token", "refresh_token", "secret", "url", "token"];

impl Findings {
    /// Remembers a secret.
    pub(super) fn keep(&mut self, label: &str, secret: &[u8]) {
        let canary = Canary::of(label, secret).unwrap();
        if !self.secrets.iter().any(|known| known.secret() == canary.secret()) {
            self.secrets.push(canary);
        }
    }

    /// Takes an answer down, without what it hands out in the places where it may; that is a secret from now on.
    pub(super) fn take(&mut self, label: &str, answer: &Answer) {
        let mut text = format!("{label}\n{}\n", answer.status);
        for (name, value) in &answer.headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            let shown = match name.as_str() {
                "set-cookie" => {
                    let (cookie, rest) = value.split_once('=').unwrap();
                    let (secret, attributes) = rest.split_once(';').unwrap();
                    if !secret.is_empty() {
                        self.keep(&format!("cookie {cookie} of {label}"), secret.as_bytes());
                    }
                    format!("{cookie}=;{attributes}")
                }
                "x-wayleave-assertion" => {
                    self.keep(&format!("assertion of {label}"), value.as_bytes());
                    String::new()
                }
                _ => value,
            };
            text.push_str(&format!("{name}: {shown}\n"));
        }
        match serde_json::from_slice::<Value>(&answer.body) {
            Ok(mut body) => {
                self.hand_out(label, &mut body);
                text.push_str(&body.to_string());
            }
            Err(_) => text.push_str(&answer.text()),
        }
        self.answers.extend_from_slice(text.as_bytes());
        self.answers.push(b'\n');
    }

    fn hand_out(&mut self, label: &str, value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match member {
                        Value::String(text) if HANDING_OUT.contains(&name.as_str()) => {
                            let secret = text.split_once('#').map_or(text.as_str(), |(_, secret)| secret).to_owned();
                            self.keep(&format!("{name} of {label}"), secret.as_bytes());
                            // What stands before the # is no secret.
                            *text = text.replace(&secret, "");
                        }
                        Value::String(text) if name == "session_id" || name == "sessionId" => {
                            self.ids.push(Canary::of(&format!("{name} of {label}"), text.as_bytes()).unwrap());
                        }
                        _ => self.hand_out(label, member),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.hand_out(label, item)),
            _ => {}
        }
    }

    /// All secrets, and for tokens also the bytes that their text stands for.
    pub(super) fn all(&self) -> Vec<Canary> {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;

        let mut all = self.secrets.clone();
        for secret in &self.secrets {
            let text = secret.text().unwrap_or_default();
            let encoded = ["wl_", "rt_", "sk_", "ln_", "kd_"].iter().find_map(|prefix| text.strip_prefix(prefix));
            if let Some(bytes) = encoded.and_then(|encoded| URL_SAFE_NO_PAD.decode(encoded).ok()) {
                // The 32 random bytes; the rest is routing and a checksum.
                all.push(Canary::of(&format!("the bytes of {}", secret.label()), &bytes[..32]).unwrap());
            }
            if let Some((_, signature)) = text.rsplit_once('.').filter(|_| text.starts_with("ey")) {
                all.push(Canary::of(&format!("the signature of {}", secret.label()), signature.as_bytes()).unwrap());
            }
        }
        all
    }

    /// Where secrets are that should be nowhere.
    pub(super) fn leaks(&self, sinks: &BTreeMap<&'static str, Vec<u8>>) -> Vec<String> {
        let secrets = self.all();
        let mut leaks = Vec::new();
        for (sink, content) in sinks {
            let haystack = Haystack::new(content);
            let ids = if ["log", "audit", "metrics"].contains(sink) { &*self.ids } else { &[] };
            for canary in secrets.iter().chain(ids) {
                for sighting in haystack.find(canary) {
                    let from = sighting.at.saturating_sub(120);
                    let around =
                        String::from_utf8_lossy(&content[from..(sighting.at + 20).min(content.len())]).into_owned();
                    leaks.push(format!("{} in {sink} as {:?}: ...{around}...", canary.label(), sighting.encoding));
                }
            }
        }
        leaks
    }
}

/// Every sink of a world as it is now.
pub(super) async fn sinks(world: &World, findings: &Findings, debug: &str) -> BTreeMap<&'static str, Vec<u8>> {
    let audit: Vec<String> = world.audit().await.iter().map(|row| format!("{row:?}")).collect();
    assert!(audit.len() > 20, "the audit log is there");
    let metrics = world.app.metrics.render(wayleave_server::metrics::Readings {
        warm_sessions: 0,
        pending_touches: 0,
        audit_dropped: 0,
        password: world.app.passwords.load(),
        cluster: None,
    });
    let database = files(&world.folder.path().join("data"));
    assert!(database.len() > 10_000, "the database is there");
    BTreeMap::from([
        ("log", log()),
        ("answers", findings.answers.clone()),
        ("metrics", metrics.into_bytes()),
        ("audit", audit.join("\n").into_bytes()),
        ("database", database),
        ("debug", debug.as_bytes().to_vec()),
    ])
}

/// Every file of a folder but the master key's.
pub(super) fn files(folder: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            content.extend(files(&path));
        } else if !std::fs::read(&path).unwrap().windows(5).any(|window| window == b"wlk1_") {
            content.extend(std::fs::read(&path).unwrap());
        }
    }
    content
}
