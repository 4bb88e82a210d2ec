//! What people and scripts are shown: problems with their lines, the reference, and never a secret.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::super::{Config, Sources, check_human, check_json, explain, reference, show_human};
use super::{Given, load, load_file, masked, problems};

const BROKEN: &str = "\
# A file with one of everything.
[server]
lisen = \"127.0.0.1:8080\"
body_limit = \"64KB\"
same_site = \"lax\"

[sever]
x = 1

[lockout]
attempts = \"5\"
\twindow = '30 minutes'

[kinds.web]
idle_limt = \"none\"
absolute_limit = \"500d\"

[kinds.Kiosk]
";

#[test]
fn every_problem_is_shown_with_its_line() {
    let given = Given {
        file: BROKEN,
        environment: &[("WAYLEAVE_LOG_LEVELS", "info"), ("WAYLEAVE_LOG_FORMAT", "yaml")],
        flags: &[("accounts.regstration", "open"), ("store.url", "mysql:")],
    };
    let expected = "\
error: `lisen` is not a key of `[server]`
 --> wayleave.toml:3:1
  |
3 | lisen = \"127.0.0.1:8080\"
  | ^^^^^
  = did you mean `listen`?

error: `64KB` is not a size such as `64KiB` or `2MiB` from 4KiB to 16MiB
 --> wayleave.toml:4:14
  |
4 | body_limit = \"64KB\"
  |              ^^^^^^

error: `same_site` is not a key of `[server]`; it belongs in `[cookies]`
 --> wayleave.toml:5:1
  |
5 | same_site = \"lax\"
  | ^^^^^^^^^

error: there is no section `sever`
 --> wayleave.toml:7:2
  |
7 | [sever]
  |  ^^^^^
  = did you mean `server`?

error: `5` is not a whole number from 3 to 100
  --> wayleave.toml:11:12
   |
11 | attempts = \"5\"
   |            ^^^
   = write it without quotes

error: `30 minutes` is not a duration such as `90s`, `30m`, `12h` or `30d` from 1m to 1d
  --> wayleave.toml:12:11
   |
12 |  window = '30 minutes'
   |           ^^^^^^^^^^^^

error: `idle_limt` is not a key of a kind
  --> wayleave.toml:15:1
   |
15 | idle_limt = \"none\"
   | ^^^^^^^^^
   = did you mean `idle_limit`?

error: kind `web`: the absolute limit is between a second and 400 days
  --> wayleave.toml:16:1
   |
16 | absolute_limit = \"500d\"
   | ^^^^^^^^^^^^^^

error: `Kiosk`: a kind's name is a lower-case letter and at most 31 lower-case letters, digits, `-` or `_`
  --> wayleave.toml:18:8
   |
18 | [kinds.Kiosk]
   |        ^^^^^

error: `yaml` is not `text` or `json`
 --> environment variable WAYLEAVE_LOG_FORMAT

error: there is no key for the variable `WAYLEAVE_LOG_LEVELS`
 --> environment variable WAYLEAVE_LOG_LEVELS
  = did you mean `WAYLEAVE_LOG_LEVEL`?

error: there is no key `accounts.regstration`
 --> flag --set accounts.regstration
  = did you mean `accounts.registration`?

error: `mysql:` is not a store such as `sqlite:PATH`, `memory:`, `postgres://HOST/DATABASE`, `redis://HOST` or `redis+cluster://HOST,HOST`
 --> flag --store

13 problems in the configuration
";
    let result = load(&given);
    assert_eq!(masked(&check_human(&result)), expected);

    let json = check_json(&result);
    assert_eq!(json["valid"], false);
    assert_eq!(json["problems"].as_array().unwrap().len(), 13);
    let first = &json["problems"][0];
    assert_eq!(first["kind"], "unknown");
    assert_eq!(first["key"], "server.lisen");
    assert_eq!(first["suggestion"], "listen");
    assert_eq!(first["location"]["line"], 3);
    assert_eq!(first["location"]["column"], 1);
    assert_eq!(json["problems"][10]["location"]["variable"], "WAYLEAVE_LOG_LEVELS");
}

#[test]
fn syntax_errors_do_not_hide_the_rest() {
    let file = "[server]\nlisten = 127.0.0.1:8080\nbody_limit = \"1\"\n\n[log\nlevel = \"loud\"\n\n[cookies]\nname = \"a b\"\n";
    let problems = problems(&Given { file, ..Given::default() });
    let expected = ["wayleave.toml:2:", "wayleave.toml:3:14", "wayleave.toml:5:", "wayleave.toml:9:8"];
    for place in expected {
        assert!(problems.iter().any(|problem| problem.starts_with(place)), "{place}: {problems:#?}");
    }
    // A run-on value is one problem, not one for every line after it.
    let run_on = problems_of(
        "[server]\norigins = [\n\"https://a.example\",\n\nlisten = \"x\"\nbody_limit = 5\n[log]\nlevel = \"info\"\n",
    );
    assert_eq!(run_on, 1);
    // Two of one key are one too many.
    assert_eq!(problems_of("[log]\nlevel = \"info\"\nlevel = \"warn\"\n"), 1);
}

fn problems_of(file: &str) -> usize {
    problems(&Given { file, ..Given::default() }).len()
}

#[test]
fn wrong_shapes_are_explained() {
    for (file, expected) in [
        ("server = 1", "`server` is a section"),
        ("[[server]]\nlisten = \"x\"", "`server` is a section"),
        ("listen = \"127.0.0.1:1\"", "`listen` belongs in the section `[server]`"),
        ("[server.listen]\nport = 1", "a table is not an address and a port"),
        ("[server]\norigins = \"https://a.example\"", "is not a list"),
        ("[server]\norigins = [\"https://a.example\", 5]", "`5` is not a list"),
        ("[lockout]\nattempts = 5.5", "a number with a fraction is not a whole number"),
        ("[kinds]\nweb = 5", "`web` is a kind"),
        ("[audit]\nhead_interval = 2020-01-01", "a date is not a duration"),
        ("[cookies]\nsecure = \"true\"", "is not `true` or `false`"),
    ] {
        let problems = problems(&Given { file, ..Given::default() });
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{file}: {problems:#?}");
    }
}

/// R165: neither file nor environment can write to the terminal of whoever checks them.
#[test]
fn control_characters_are_shown_escaped() {
    let given = Given {
        file: "[log]\n\"\\u001b[2Jlevel\" = 1\nformat = \"\\u001b]0;x\\u0007\"\n# \u{202e}\nlevel = \"\u{202e}ofni\"",
        environment: &[("WAYLEAVE_\u{1b}[2J", "x"), ("WAYLEAVE_LOG_LEVEL", "a\r\nb")],
        flags: &[("log.\u{1b}c", "x")],
    };
    let text = check_human(&load(&given));
    assert!(!text.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'), "{text:?}");
}

/// R164: a secret shows in no report, right or wrong, near or far.
#[test]
fn secrets_are_never_shown() {
    let secret = "canary-7f3a9c-canary-7f3a9c-canary-7f3a9c";
    let weak = "canarycanarycanarycanarycanary";
    for file in [
        format!("[metrics]\ntoken = \"{secret}\"\n"),
        format!("[metrics]\ntoken = \"{weak}\"\n"),
        format!("[metrics]\ntoken = [\"{secret}\"]\n"),
        format!("[metrics]\ntokn = \"{secret}\"\n"),
        format!("[metrics]\ntoken = \"{secret}\n"),
        format!("[metrics]\ntoken = {secret}\n"),
        format!("[metrics]\ntoken = \"{secret}\"\ntoken = \"{secret}\"\n"),
        format!("token = \"{secret}\"\n"),
        format!("metrics.token = {{ x = \"{secret}\" }}\n"),
    ] {
        let result = load_file(&file);
        let mut seen = format!("{}{}{result:?}", check_human(&result), check_json(&result));
        if let Ok(loaded) = &result {
            seen += &show_human(loaded);
        }
        assert!(!seen.contains("canary"), "{file}: {seen}");
    }
    for (name, value) in [("WAYLEAVE_METRICS_TOKEN", weak), ("WAYLEAVE_METRICS_TOKN", secret)] {
        let result = load(&Given { environment: &[(name, value)], ..Given::default() });
        assert!(!check_human(&result).contains("canary"), "{name}");
    }
    let result = load(&Given { flags: &[("metrics.token", secret)], ..Given::default() });
    assert!(!format!("{}{result:?}", check_human(&result)).contains("canary"));
    let sources = Sources {
        environment: vec![("WAYLEAVE_METRICS_TOKEN".into(), secret.into())],
        flags: vec![super::assignment("metrics.token", secret)],
        ..Sources::default()
    };
    assert!(!format!("{sources:?}").contains("canary"));
}

/// R170: guessable tokens are refused, and a good one is checked by its hash.
#[test]
fn weak_tokens_are_refused() {
    for token in
        ["changeme", "", &"a".repeat(64), &"0123".repeat(16), "0123456789abcdef", "with blank with blank with blank x"]
    {
        let result = load(&Given { environment: &[("WAYLEAVE_METRICS_TOKEN", token)], ..Given::default() });
        assert!(result.is_err(), "{token:?}");
    }
    let token = "b1946ac92492d2347c6235b4d2611184";
    let loaded = load(&Given { environment: &[("WAYLEAVE_METRICS_TOKEN", token)], ..Given::default() }).unwrap();
    let token_hash = loaded.config.metrics.token.unwrap();
    assert!(token_hash.matches(token));
    assert!(!token_hash.matches("b1946ac92492d2347c6235b4d2611185"));
}

#[test]
fn readable_files_with_secrets_are_pointed_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wayleave.toml");
    std::fs::write(&path, "metrics.token = \"b1946ac92492d2347c6235b4d2611184\"").unwrap();
    for (mode, expected) in [(0o600, 0), (0o644, 1), (0o666, 2)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let loaded = Config::load(Sources { file: Some(path.clone()), ..Sources::default() }).unwrap();
        let said = loaded.warnings.iter().filter(|warning| warning.message.contains("chmod")).count();
        assert_eq!(said, expected, "{mode:o}");
    }
}

#[test]
fn variables_of_others_are_passed_over() {
    let environment = &[
        ("PATH", "/bin"),
        ("WAYLEAVE_DATA", "/x"),
        ("WAYLEAVE_CONFIG", ""),
        ("WAYLEAVE_SERVICE_HOST", "10.0.0.1"),
        ("WAYLEAVE_SERVICE_PORT", "80"),
        ("WAYLEAVE_SERVICE_PORT_HTTP", "80"),
        ("WAYLEAVE_PORT", "tcp://10.0.0.1:80"),
        ("WAYLEAVE_PORT_80_TCP_ADDR", "10.0.0.1"),
    ];
    assert!(load(&Given { environment, ..Given::default() }).is_ok());
    let unknown = problems(&Given { environment: &[("WAYLEAVE_PORT", "80")], ..Given::default() });
    assert_eq!(unknown, ["environment variable WAYLEAVE_PORT: there is no key for the variable `WAYLEAVE_PORT`"]);
}

#[test]
fn a_valid_configuration_says_so() {
    let result = load_file("keys.master = \"/etc/wayleave/master.key\"\n[server]\nlisten = \"0.0.0.0:8080\"\n");
    let expected = "\
warning: browsers cannot sign in: on anything but loopback, `server.public_url` says which origin they use
 --> wayleave.toml:3:1
  |
3 | listen = \"0.0.0.0:8080\"
  | ^^^^^^

the configuration is valid (wayleave.toml)
";
    let text = masked(&check_human(&result)).replace("valid (/", "valid (");
    assert_eq!(text, expected);
    let json = check_json(&result);
    assert_eq!(json["valid"], true);
    assert_eq!(json["warnings"][0]["key"], "server.listen");
}

/// `config show` prints a file that means the same.
#[test]
fn what_is_shown_can_be_read_again() {
    let loaded = load_file("log.level = \"warn\"\nkinds.kiosk.most = 1\n").unwrap();
    let text = show_human(&loaded);
    assert!(text.contains("\nlevel = \"warn\"  # "), "{text}");
    let without_secret: String =
        text.lines().filter(|line| !line.starts_with("token = ")).map(|l| format!("{l}\n")).collect();
    let again = load_file(&without_secret).unwrap();
    assert_eq!(format!("{:?}", again.config), format!("{:?}", loaded.config));
}

#[test]
fn one_key_is_explained() {
    let text = explain("kinds.web.idle_limit").unwrap();
    assert!(text.starts_with("# `kinds.web.idle_limit`\n"), "{text}");
    assert!(text.contains("- Default: `\"session-timeout\"`\n- Variable: `WAYLEAVE_KINDS_WEB_IDLE_LIMIT`"), "{text}");
    assert!(explain("server.listen").unwrap().contains("- Flag: `--listen`"));
    assert_eq!(explain("server.lisen"), None);
}

/// The committed reference is the table. To write it anew: `wayleave config reference > docs/configuration.md`.
#[test]
fn the_reference_is_committed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == reference(), "docs/configuration.md is out of date:\n{}", reference());
}
