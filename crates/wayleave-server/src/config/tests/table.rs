//! Every key of the table, through every door, and which door wins.

use std::path::PathBuf;

use super::super::defaults::defaults;
use super::super::keys::{Draft, environment_name};
use super::super::report::show_json;
use super::super::table::{KIND_KEYS, SETTINGS};
use super::super::value::Input;
use super::super::{Loaded, all_keys, key_names};
use super::{Given, load};

type Sample = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// A value for every key that is not its default, and what else must be set for the whole to be valid.
const SAMPLES: &[Sample] = &[
    ("server.listen", "127.0.0.1:9000", &[]),
    ("server.public_url", "https://auth.example.org", &[]),
    ("server.origins", "https://a.example.org,https://b.example.org:8443", &[]),
    ("server.cors_origins", "https://app.example.org", &[]),
    ("server.trusted_proxies", "10.0.0.0/8,fd00::/8", &[]),
    ("server.forwarded_header", "forwarded", &[]),
    ("server.shutdown_deadline", "10s", &[]),
    ("server.header_timeout", "5s", &[]),
    ("server.request_timeout", "1m", &[]),
    ("server.connection_limit", "100", &[]),
    ("server.peer_connection_limit", "100", &[]),
    ("server.body_limit", "128KiB", &[]),
    ("server.header_limit", "64KiB", &[]),
    ("store.url", "memory:", &[]),
    ("store.directory", "sqlite:people.db", &[("store.url", "redis://localhost")]),
    ("store.connections", "3", &[]),
    ("store.replicated", "true", &[]),
    ("nodes.name", "two", &[]),
    ("nodes.coherence", "strict", &[]),
    ("nodes.lease", "5s", &[]),
    ("nodes.beat", "100ms", &[]),
    ("store.readers", "2", &[]),
    ("store.busy_timeout", "250ms", &[]),
    ("store.memory_sessions", "5", &[]),
    ("cookies.name", "auth-session", &[]),
    ("cookies.csrf_name", "__Secure-csrf", &[]),
    ("cookies.same_site", "strict", &[]),
    ("cookies.domain", "example.org", &[("cookies.name", "__Secure-id")]),
    ("cookies.secure", "false", &[("cookies.name", "id"), ("cookies.dangerous_allow_insecure", "true")]),
    ("cookies.dangerous_allow_insecure", "true", &[]),
    ("cookies.clear_site_data", "cache,storage", &[]),
    ("sessions.timeout", "5m", &[]),
    ("sessions.refresh_window", "0s", &[]),
    ("sessions.sweep_interval", "5m", &[]),
    ("sessions.sweep_batch", "50", &[]),
    ("sessions.retention", "1d", &[]),
    ("sessions.last_seen_flush", "2s", &[]),
    ("sessions.fingerprint", "agent,network", &[]),
    ("jwt.issuer", "https://auth.example.org", &[]),
    ("jwt.audience", "api", &[]),
    ("jwt.leeway", "0s", &[]),
    ("jwt.jwks_max_age", "10m", &[]),
    ("password.argon2_memory", "64MiB", &[]),
    ("password.argon2_passes", "3", &[]),
    ("password.argon2_lanes", "2", &[]),
    ("password.concurrency", "2", &[]),
    ("password.queue", "0", &[]),
    ("password.min_length", "12", &[]),
    ("opaque.enabled", "false", &[]),
    ("opaque.iterations", "4", &[]),
    ("opaque.memory", "128MiB", &[]),
    ("opaque.parallelism", "2", &[]),
    ("vault.lifetime", "30m", &[]),
    ("vault.blobs", "false", &[]),
    ("vault.max_blob", "1MiB", &[]),
    ("vault.quota", "1GiB", &[]),
    ("vault.blob_limit", "5", &[]),
    ("vault.upload_limit", "2", &[]),
    ("vault.transfer_limit", "8", &[]),
    ("vault.transfer_timeout", "1m", &[]),
    ("lockout.attempts", "10", &[]),
    ("lockout.window", "1h", &[]),
    ("lockout.lock", "1h", &[]),
    ("accounts.registration", "invitation", &[]),
    ("accounts.step_up", "10m", &[]),
    ("accounts.reset_link", "2h", &[]),
    ("accounts.invitation", "1d", &[]),
    ("rate_limits.login", "5/1m", &[]),
    ("rate_limits.register", "none", &[]),
    ("rate_limits.refresh", "5/1m", &[]),
    ("rate_limits.session", "5/1m", &[]),
    ("rate_limits.admin", "5/1m", &[]),
    ("rate_limits.service_key", "5/1m", &[]),
    ("rate_limits.unknown_token", "5/1m", &[]),
    ("rate_limits.unknown_token_lookups", "5/1m", &[]),
    ("rate_limits.failed_sign_ins", "50/1m", &[]),
    ("rate_limits.ipv6_site_multiple", "4", &[]),
    ("audit.head_file", "/var/log/wayleave-heads", &[]),
    ("audit.head_interval", "1m", &[]),
    ("metrics.listen", "127.0.0.1:9464", &[]),
    ("metrics.hosts", "metrics.internal,wayleave", &[]),
    ("metrics.token", "b1946ac92492d2347c6235b4d2611184", &[]),
    ("log.format", "json", &[]),
    ("log.level", "debug", &[]),
    ("keys.master", "/etc/wayleave/master.key", &[]),
    ("kinds.web.token_lifetime", "1h", &[]),
    ("kinds.web.absolute_limit", "2d", &[]),
    ("kinds.web.idle_limit", "none", &[]),
    ("kinds.web.remembered_absolute_limit", "60d", &[]),
    ("kinds.web.remembered_idle_limit", "7d", &[]),
    ("kinds.web.most", "3", &[]),
    ("kinds.web.at_limit", "refuse", &[]),
    ("kinds.web.permissions", "read:profile,write:messages", &[]),
    ("kinds.web.fingerprint", "revoke", &[]),
    ("kinds.web.token_format", "jwt", &[]),
    ("kinds.web.jwt_lifetime", "5m", &[]),
    ("kinds.web.level", "2", &[]),
    ("kinds.web.requires_licence", "true", &[]),
    ("kinds.web.id_prefix", "cookie", &[]),
];

/// The value of a key in force, as TOML, and where it comes from.
fn shown(loaded: &Loaded, path: &str) -> (String, String) {
    let shown = show_json(loaded);
    let entry = &shown["values"][path];
    (entry["value"].as_str().unwrap().to_owned(), entry["source"].as_str().unwrap().to_owned())
}

/// How a value looks in the file.
fn toml(path: &str, plain: &str) -> String {
    let mut draft = Draft::new(PathBuf::new());
    let input = Input::Word(plain);
    if let Some(key) = SETTINGS.iter().find(|key| key.path == path) {
        key.set(&mut draft.config, &input).unwrap();
        return if key.secret { format!("\"{plain}\"") } else { key.toml(&draft.config) };
    }
    let key = KIND_KEYS.iter().find(|key| path.ends_with(&format!(".{}", key.path))).unwrap();
    let mut kind = draft.kinds.remove(&"web".parse().unwrap()).unwrap();
    key.set(&mut kind, &input).unwrap();
    key.toml(&kind)
}

#[test]
fn every_key_has_a_sample() {
    let mut sampled: Vec<_> = SAMPLES.iter().map(|(path, _, _)| (*path).to_owned()).collect();
    let mut keys: Vec<_> = all_keys().into_iter().map(|key| key.path.replace("NAME", "web")).collect();
    sampled.sort();
    keys.sort();
    assert_eq!(sampled, keys);
}

#[test]
fn every_key_is_taken_from_file_environment_and_flags() {
    let secret = |path: &str| SETTINGS.iter().any(|key| key.path == path && key.secret);
    for (path, plain, more) in SAMPLES {
        let pairs = || more.iter().copied().chain([(*path, *plain)]);
        let file: String = pairs().map(|(path, plain)| format!("{path} = {}\n", toml(path, plain))).collect();
        let names: Vec<_> = pairs().map(|(path, plain)| (environment_name(path), plain)).collect();
        let environment: Vec<_> = names.iter().map(|(name, plain)| (name.as_str(), *plain)).collect();
        let flags: Vec<_> = pairs().collect();
        let expected = if secret(path) { "\"(hidden)\"".to_owned() } else { toml(path, plain) };
        let defaults = load(&Given::default()).unwrap();
        if !secret(path) {
            assert_ne!(shown(&defaults, path).0, expected, "the sample of {path} is the default");
        }
        for (door, given) in [
            ("file", Given { file: &file, ..Given::default() }),
            ("environment", Given { environment: &environment, ..Given::default() }),
            ("flag", Given { flags: &flags, ..Given::default() }),
        ] {
            if door == "flag" && secret(path) {
                assert!(load(&given).is_err(), "{path} is a secret and must not come from a flag");
                continue;
            }
            let loaded = load(&given).unwrap_or_else(|problems| panic!("{path} from {door}: {problems}"));
            let (value, source) = shown(&loaded, path);
            assert_eq!(value, expected, "{path} from {door}");
            assert!(source.contains(if door == "file" { "wayleave.toml:" } else { door }), "{path}: {source}");
        }
    }
}

/// The file yields to the environment, and both yield to flags.
#[test]
fn precedence() {
    let file = "[server]\nlisten = \"127.0.0.1:1\"\n[log]\nlevel = \"warn\"\n[lockout]\nattempts = 6\n";
    let given = Given {
        file,
        environment: &[("WAYLEAVE_SERVER_LISTEN", "127.0.0.1:2"), ("WAYLEAVE_LOG_LEVEL", "debug")],
        flags: &[("server.listen", "127.0.0.1:3")],
    };
    let config = load(&given).unwrap().config;
    assert_eq!(config.server.listen.port(), 3);
    assert_eq!(config.log.level, super::super::LogLevel::Debug);
    assert_eq!(config.lockout.attempts, 6);
    let config = load(&Given { flags: &[], ..given }).unwrap().config;
    assert_eq!(config.server.listen.port(), 2);
}

#[test]
fn defaults_read_back_as_themselves() {
    let config = defaults(PathBuf::new());
    for key in SETTINGS.iter().filter(|key| !key.secret) {
        let mut copy = config.clone();
        key.set(&mut copy, &Input::Word(&key.plain(&config))).unwrap_or_else(|wrong| panic!("{}: {wrong:?}", key.path));
        assert_eq!(key.toml(&copy), key.toml(&config), "{}", key.path);
        let loaded = super::load_file(&format!("{} = {}\n", key.path, key.toml(&config)));
        assert!(loaded.is_ok(), "{}: {}", key.path, loaded.unwrap_err());
    }
}

#[test]
fn variables_are_distinct_and_kinds_are_complete() {
    let names = key_names();
    let mut variables: Vec<_> = names.iter().map(|path| environment_name(path)).collect();
    variables.sort();
    let all = variables.len();
    variables.dedup();
    assert_eq!(variables.len(), all);
    assert_eq!(all, SETTINGS.len() + 4 * KIND_KEYS.len());
    assert!(all_keys().iter().all(|key| !key.doc.is_empty() && !key.form.is_empty()));
    assert!(SETTINGS.iter().all(|key| key.path.split('.').count() == 2));
}

/// Every limit, one step below, at, and one step above.
#[test]
fn bounds() {
    for (path, outside, inside) in [
        ("server.shutdown_deadline", ["0s", "601s"], ["1s", "10m"]),
        ("server.header_timeout", ["0s", "61s"], ["1s", "30s"]),
        ("server.request_timeout", ["0s", "301s"], ["10s", "5m"]),
        ("server.connection_limit", ["7", "100001"], ["8", "100000"]),
        ("server.peer_connection_limit", ["7", "100001"], ["8", "100000"]),
        ("rate_limits.ipv6_site_multiple", ["0", "65537"], ["1", "65536"]),
        ("server.body_limit", ["4095", "16777217"], ["4KiB", "16MiB"]),
        ("server.header_limit", ["16383", "262145"], ["16KiB", "256KiB"]),
        ("store.connections", ["0", "1001"], ["1", "1000"]),
        ("store.readers", ["0", "65"], ["1", "64"]),
        ("store.busy_timeout", ["99ms", "31s"], ["100ms", "30s"]),
        ("store.memory_sessions", ["0", "100000001"], ["1", "100000000"]),
        ("sessions.timeout", ["4m", "1441m"], ["5m", "1440m"]),
        ("sessions.refresh_window", ["61s", "-1"], ["0s", "60s"]),
        ("sessions.sweep_interval", ["0s", "25h"], ["1s", "24h"]),
        ("sessions.sweep_batch", ["0", "10001"], ["1", "10000"]),
        ("sessions.retention", ["59s", "401d"], ["1m", "400d"]),
        ("sessions.last_seen_flush", ["0s", "30s"], ["1s", "29s"]),
        ("jwt.leeway", ["61s", "-1"], ["0s", "60s"]),
        ("jwt.jwks_max_age", ["9s", "25h"], ["10s", "24h"]),
        ("password.argon2_memory", ["19455KiB", "2GiB"], ["19456KiB", "1GiB"]),
        ("password.argon2_passes", ["1", "21"], ["2", "20"]),
        ("password.argon2_lanes", ["0", "17"], ["1", "16"]),
        ("password.concurrency", ["0", "257"], ["1", "256"]),
        ("password.queue", ["-1", "10001"], ["0", "10000"]),
        ("password.min_length", ["7", "65"], ["8", "64"]),
        ("opaque.iterations", ["0", "65"], ["1", "64"]),
        ("opaque.memory", ["1023KiB", "2GiB"], ["1MiB", "2097151KiB"]),
        ("opaque.parallelism", ["0", "17"], ["1", "16"]),
        ("lockout.attempts", ["2", "101"], ["3", "100"]),
        ("lockout.window", ["59s", "25h"], ["1m", "24h"]),
        ("lockout.lock", ["59s", "25h"], ["1m", "24h"]),
        ("accounts.step_up", ["59s", "61m"], ["1m", "60m"]),
        ("accounts.reset_link", ["4m", "25h"], ["5m", "24h"]),
        ("accounts.invitation", ["59m", "31d"], ["1h", "30d"]),
        ("rate_limits.login", ["0/1m", "1/25h"], ["1/1s", "1000000/1d"]),
        ("audit.head_interval", ["0s", "25h"], ["1s", "1d"]),
        ("kinds.api.most", ["0", "10001"], ["1", "10000"]),
        ("kinds.api.absolute_limit", ["0s", "401d"], ["12h", "400d"]),
        ("kinds.api.jwt_lifetime", ["0s", "61m"], ["1s", "1h"]),
        ("kinds.api.level", ["0", "4"], ["1", "3"]),
    ] {
        for value in outside {
            let result = load(&Given { flags: &[(path, value)], ..Given::default() });
            assert!(result.is_err(), "{path} = {value} was taken");
        }
        for value in inside {
            let result = load(&Given { flags: &[(path, value)], ..Given::default() });
            assert!(result.is_ok(), "{path} = {value}: {}", result.unwrap_err());
        }
    }
}

#[test]
fn hostile_values_are_refused() {
    let huge = "9".repeat(30);
    let long = "a".repeat(300);
    for (path, values) in [
        ("server.listen", &["", "8080", "localhost:8080", "127.0.0.1", "127.0.0.1:99999"][..]),
        (
            "server.public_url",
            &[
                "auth.example.org",
                "http://auth.example.org",
                "https://",
                "https://a/b",
                "https://user@a.example",
                "https://a.example:0",
                "https://a.example:70000",
                "https://a..example",
                "https://ä.example",
                "ftp://a.example",
                "null",
                "*",
                "http://localhost.example.org",
                "http://127.0.0.1.example.org",
                long.as_str(),
            ],
        ),
        ("server.trusted_proxies", &["10.0.0.0/33", "everybody", "0.0.0.0/0", "::/0"]),
        (
            "store.url",
            &["", "sqlite:", "sqlite::memory:", "sqlite:dir/", "postgres://", "mysql://x", "memory", "sqlite:?x"],
        ),
        ("cookies.name", &["", "a b", "a=b", "a;b", "ä", "a\n", "__Host-id\u{0}"]),
        ("cookies.domain", &["localhost", ".example.org", "example.org.", "1.2.3.4", "a b.org"]),
        ("sessions.retention", &["", "d", "1", "1y", "1m1h", "1h1h", "-1h", "1.5h", " 1h", huge.as_str(), "1H"]),
        ("server.body_limit", &["", "64KB", "64k", "KiB", "64 apples", huge.as_str()]),
        ("rate_limits.login", &["", "5", "5/", "/1m", "5/m", "5/0s", "-5/1m", "5/1m/1m"]),
        ("jwt.issuer", &["", "a b", "ä", long.as_str()]),
        ("kinds.web.permissions", &["Read", "*,read", "a b"]),
        ("kinds.web.id_prefix", &["", "toolong8", "Web", "web_"]),
        ("log.level", &["", "INFO", "verbose"]),
        ("cookies.secure", &["", "yes", "0", "TRUE"]),
    ] {
        for value in values {
            let result = load(&Given { flags: &[(path, value)], ..Given::default() });
            assert!(result.is_err(), "{path} = {value:?} was taken");
        }
    }
}
