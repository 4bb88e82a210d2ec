//! Conflicts between values, new kinds, derived origins, and where files are looked for.

use std::net::SocketAddr;
use std::time::Duration;

use wayleave_core::policy::{IdleLimit, TokenFormat};

use super::super::{Config, Importance, Sources};
use super::{Given, load, load_file, problems, write_private};

fn warnings(given: &Given<'_>) -> Vec<(String, Importance)> {
    let loaded = load(given).unwrap_or_else(|problems| panic!("{problems}"));
    loaded.warnings.into_iter().map(|warning| (warning.key, warning.importance)).collect()
}

/// A kind is data: a section is enough for a new one, and it grants nothing by itself.
#[test]
fn kinds_are_merged_over_the_defaults() {
    let file = "
[kinds.web]
most = 2
permissions = [\"*\"]

[kinds.kiosk]
token_lifetime = \"1h\"
absolute_limit = \"8h\"
idle_limit = \"10m\"
token_format = \"jwt\"
id_prefix = \"kiosk\"
";
    let kinds = load_file(file).unwrap().config.kinds;
    let kind = |name: &str| kinds.policy(&name.parse().unwrap()).unwrap().clone();
    assert_eq!(kind("web").concurrency.most, 2);
    assert_eq!(kind("web").absolute(true), Duration::from_secs(30 * 86_400));
    let kiosk = kind("kiosk");
    assert_eq!(kiosk.absolute_limit, Duration::from_secs(8 * 3600));
    assert_eq!(kiosk.idle_limit, IdleLimit::Fixed(Duration::from_secs(600)));
    assert_eq!(kiosk.token_format, TokenFormat::Jwt { lifetime: Duration::from_secs(900) });
    let held = wayleave_core::permission::Permissions::new(["admin"]).unwrap();
    assert!(held.under(&kiosk.ceiling).is_empty());
    assert_eq!(kinds.iter().count(), 5);
}

#[test]
fn variables_name_kinds_too() {
    let given = Given {
        file: "[kinds.front-desk]\n",
        environment: &[
            ("WAYLEAVE_KINDS_FRONT_DESK_MOST", "7"),
            ("WAYLEAVE_KINDS_BATCH_REMEMBERED_IDLE_LIMIT", "none"),
            ("WAYLEAVE_KINDS_BATCH_AT_LIMIT", "refuse"),
        ],
        ..Given::default()
    };
    let kinds = load(&given).unwrap().config.kinds;
    let names: Vec<_> = kinds.iter().map(|(name, _)| name.as_str().to_owned()).collect();
    assert_eq!(names, ["anonymous", "batch", "front-desk", "professional", "standard", "web"]);
    assert_eq!(kinds.policy(&"front-desk".parse().unwrap()).unwrap().concurrency.most, 7);
}

#[test]
fn conflicts_are_refused() {
    for (file, expected) in [
        ("kinds.web.token_lifetime = \"2d\"", "kind `web`: the token lifetime is"),
        ("kinds.web.remembered_idle_limit = \"none\"", "kind `web`: `remembered_absolute_limit` and"),
        ("kinds.api = { token_format = \"jwt\", token_lifetime = \"5m\" }", "kind `api`: a JWT access token lives"),
        ("server.request_timeout = \"5s\"", "`server.header_timeout` is at most"),
        ("password.argon2_memory = 19922945", "`password.argon2_memory` is a whole number of KiB"),
        ("opaque.memory = 19922945", "`opaque.memory` is a whole number of KiB"),
        ("keys.master = \"wayleave.db\"", "the master key and the database are one file"),
        ("cookies.csrf_name = \"__Host-id\"", "the two cookies bear the same name"),
        ("cookies.csrf_name = \"__HOST-HTTP-csrf\"", "scripts read the CSRF cookie"),
        (
            "cookies = { domain = \"a.example\", name = \"id\", csrf_name = \"__Host-c\" }",
            "cookie called `__Host-c` with",
        ),
        ("cookies.domain = \"example.org\"", "browsers refuse a cookie called `__Host-id` with a domain"),
        ("cookies.secure = false\ncookies.name = \"id\"", "without `Secure` everybody on the network"),
        ("server.trusted_proxies = [\"0.0.0.0/0\"]", "`0.0.0.0/0` trusts everybody"),
        (
            "sessions.timeout = \"5m\"\nsessions.last_seen_flush = \"29s\"\nkinds.api.idle_limit = \"30s\"",
            "`sessions.last_seen_flush`",
        ),
    ] {
        let problems = problems(&Given { file, ..Given::default() });
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{file}: {problems:#?}");
    }
}

/// Cookies without `Secure` need a consent, loopback and names that browsers take without it.
#[test]
fn insecure_cookies_are_for_loopback_only() {
    let consent = "cookies = { secure = false, dangerous_allow_insecure = true, name = \"id\" }\n";
    assert_eq!(warnings(&Given { file: consent, ..Given::default() })[0].0, "cookies.secure");
    for more in ["server.listen = \"0.0.0.0:80\"", "server.public_url = \"https://auth.example.org\""] {
        let file = format!("{consent}{more}");
        let problems = problems(&Given { file: &file, ..Given::default() });
        assert!(problems[0].contains("for loopback only"), "{problems:?}");
    }
    let prefixed = "cookies = { secure = false, dangerous_allow_insecure = true }\n";
    let problems = problems(&Given { file: prefixed, ..Given::default() });
    assert!(problems[0].contains("browsers refuse a cookie called `__Host-id`"), "{problems:?}");
}

#[test]
fn what_could_be_safer_is_said() {
    let advice = |key: &str| (key.to_owned(), Importance::Advice);
    let warning = |key: &str| (key.to_owned(), Importance::Warning);
    assert_eq!(warnings(&Given::default()), [advice("keys.master")]);
    let apart = "keys.master = \"/etc/wayleave/master.key\"\n";
    for (more, expected) in [
        ("", vec![]),
        ("server.listen = \"0.0.0.0:80\"", vec![warning("server.listen")]),
        ("server.listen = \"0.0.0.0:80\"\nserver.public_url = \"https://a.example\"", vec![]),
        ("server.forwarded_header = \"forwarded\"", vec![warning("server.forwarded_header")]),
        ("server.trusted_proxies = [\"10.0.0.1/32\"]", vec![warning("server.trusted_proxies")]),
        ("cookies = { domain = \"a.example\", name = \"__Secure-id\" }", vec![advice("cookies.domain")]),
        ("opaque.memory = \"46MiB\"", vec![]),
        ("opaque = { memory = \"45MiB\", iterations = 1 }", vec![warning("opaque.memory")]),
        ("opaque = { memory = \"1MiB\", iterations = 64 }", vec![warning("opaque.memory")]),
        ("opaque = { memory = \"1MiB\", iterations = 1, enabled = false }", vec![]),
        ("cookies.dangerous_allow_insecure = true", vec![warning("cookies.dangerous_allow_insecure")]),
    ] {
        let file = format!("{apart}{more}");
        assert_eq!(warnings(&Given { file: &file, ..Given::default() }), expected, "{more}");
    }
}

/// R048: origins come from the configuration, or from the loopback listener, never from a request.
/// A51: an open registration tells who has an account, and a listener for metrics beyond this machine tells numbers.
#[test]
fn what_is_open_is_said() {
    let said = |file: &str, key: &str| {
        let given = Given { file, ..Given::default() };
        warnings(&given).contains(&(key.to_owned(), Importance::Advice))
    };
    for (value, expected) in [("open", true), ("invitation", false), ("closed", false)] {
        let file = format!("accounts.registration = \"{value}\"\n");
        assert_eq!(said(&file, "accounts.registration"), expected, "{value}");
    }
    for (value, expected) in [("0.0.0.0:9464", true), ("192.0.2.1:9464", true), ("[::1]:9464", false)] {
        let file = format!("metrics.listen = \"{value}\"\n");
        assert_eq!(said(&file, "metrics.listen"), expected, "{value}");
    }
}

#[test]
fn origins_are_configured_or_derived_from_loopback() {
    let texts = |config: &Config, bound: &str| {
        let bound: SocketAddr = bound.parse().unwrap();
        config.allowed_origins(bound).iter().map(|origin| origin.as_str().to_owned()).collect::<Vec<_>>()
    };
    let config = load_file("").unwrap().config;
    assert_eq!(texts(&config, "127.0.0.1:4711"), ["http://127.0.0.1:4711", "http://localhost:4711"]);
    assert_eq!(texts(&config, "[::1]:80"), ["http://[::1]", "http://localhost"]);
    assert!(texts(&config, "0.0.0.0:8080").is_empty());
    let file =
        "server.public_url = \"https://Auth.Example.org:443\"\nserver.origins = [\"https://app.example.org:8443/\"]";
    let config = load_file(file).unwrap().config;
    assert_eq!(texts(&config, "127.0.0.1:1"), ["https://auth.example.org", "https://app.example.org:8443"]);
}

#[test]
fn files_are_found_and_must_exist_when_named() {
    let working = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let sources =
        || Sources { data: Some(data.path().into()), folder: Some(working.path().into()), ..Sources::default() };
    assert_eq!(Config::load(sources()).unwrap().file, None);
    write_private(&data.path().join("wayleave.toml"), b"log.level = \"warn\"");
    assert_eq!(Config::load(sources()).unwrap().file, Some(data.path().join("wayleave.toml")));
    write_private(&working.path().join("wayleave.toml"), b"log.level = \"error\"");
    assert_eq!(Config::load(sources()).unwrap().file, Some(working.path().join("wayleave.toml")));

    let named = working.path().join("other.toml");
    let environment =
        vec![("WAYLEAVE_CONFIG".into(), named.clone().into()), ("WAYLEAVE_DATA".into(), "/elsewhere".into())];
    let from_environment = Sources { data: None, environment, ..sources() };
    let problems = Config::load(from_environment.clone()).unwrap_err();
    assert!(problems.to_string().contains("cannot read the file"), "{problems}");
    write_private(&named, b"");
    let loaded = Config::load(from_environment).unwrap();
    assert_eq!(loaded.file, Some(named));
    assert_eq!(loaded.config.data, std::path::Path::new("/elsewhere"));
    assert_eq!(loaded.config.database(), Some("/elsewhere/wayleave.db".into()));
}

#[test]
fn hostile_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wayleave.toml");
    for (content, expected) in [
        (b"log.level = \"warn\"\n\xff\xfe".to_vec(), "not UTF-8 (line 2)"),
        (vec![b'#'; 1024 * 1024 + 1], "larger than 1 MiB"),
        ("[".repeat(100_000).into_bytes(), "not TOML"),
        (format!("a = {}", "[".repeat(100_000)).into_bytes(), "not TOML"),
    ] {
        write_private(&path, &content);
        let sources = Sources { file: Some(path.clone()), ..Sources::default() };
        let problems = Config::load(sources).unwrap_err().to_string();
        assert!(problems.contains(expected), "{problems}");
        std::fs::remove_file(&path).unwrap();
    }
}

/// A credential of systemd replaces the key file, unless one was named.
#[test]
fn a_credential_is_taken_when_nothing_else_is_named() {
    let credentials = tempfile::tempdir().unwrap();
    let environment = vec![("CREDENTIALS_DIRECTORY".into(), credentials.path().into())];
    let sources = || Sources { environment: environment.clone(), ..Sources::default() };
    assert_eq!(Config::load(sources()).unwrap().config.keys.credential, None);
    let credential = credentials.path().join("wayleave-master-key");
    write_private(&credential, b"");
    let loaded = Config::load(sources()).unwrap();
    assert_eq!(loaded.config.keys.credential, Some(credential));
    assert!(loaded.warnings.is_empty());
    let flags = vec![super::assignment("keys.master", "/etc/key")];
    assert_eq!(Config::load(Sources { flags, ..sources() }).unwrap().config.keys.credential, None);
}
