//! Tests of the command line's definition: what parses, what does not, and what becomes of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use super::{Audit, Cli, Command, Config, Key, KeyKind, Revoke, ServiceKey, Session, User};
use crate::config::Assignment;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("wayleave").chain(line.split_whitespace()))
}

fn command(line: &str) -> Command {
    parse(line).unwrap_or_else(|error| panic!("{line}: {error}")).command
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_takes_the_global_flags() {
    for line in [
        "serve",
        "migrate",
        "user add a@b.c --password-stdin",
        "user list",
        "user disable a@b.c",
        "user enable a@b.c",
        "user unlock a@b.c",
        "user reset-link a@b.c",
        "session list",
        "session show web_x",
        "session revoke web_x",
        "key rotate",
        "key list",
        "service-key add shop",
        "service-key list",
        "service-key revoke shop",
        "sweep",
        "audit verify",
        "audit list",
        "config check",
        "config show",
        "config explain server.listen",
        "config reference",
        "completions bash",
        "man",
    ] {
        let line = format!("{line} --data /d --config /c.toml --store memory: --set log.level=warn --json -q");
        let global = parse(&line).unwrap_or_else(|error| panic!("{line}: {error}")).global;
        assert_eq!(global.data, Some(PathBuf::from("/d")));
        assert_eq!(global.config, Some(PathBuf::from("/c.toml")));
        assert_eq!(global.store.as_deref(), Some("memory:"));
        assert!(global.json && global.quiet);
    }
}

#[test]
fn commands_mean_what_they_say() {
    let add = command("user add a@b.c --password-stdin --permission admin --permission read:x --name Ada");
    assert!(matches!(
        add,
        Command::User(User::Add { email, password_stdin: true, permissions, name: Some(name) })
            if email == "a@b.c" && permissions == ["admin", "read:x"] && name == "Ada"
    ));
    assert!(matches!(
        command("session revoke --subject user:1"),
        Command::Session(Session::Revoke(Revoke { id: None, subject: Some(_), all: false }))
    ));
    assert!(matches!(command("key rotate"), Command::Key(Key::Rotate { kind: KeyKind::Signing })));
    assert!(matches!(command("key rotate master"), Command::Key(Key::Rotate { kind: KeyKind::Master })));
    assert!(matches!(
        command("service-key add shop --expires 30d"),
        Command::ServiceKey(ServiceKey::Add { expires, .. }) if expires == Duration::from_secs(30 * 86_400)
    ));
    assert!(matches!(
        command("audit list --event login. --since 24h --limit 5"),
        Command::Audit(Audit::List { limit: 5, since: Some(_), .. })
    ));
    assert!(matches!(command("config explain kinds.web.most"), Command::Config(Config::Explain { .. })));
}

#[test]
fn nonsense_is_refused() {
    for (line, kind) in [
        ("", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ("server", ErrorKind::InvalidSubcommand),
        ("session revoke", ErrorKind::MissingRequiredArgument),
        ("session revoke web_x --all", ErrorKind::ArgumentConflict),
        ("session revoke --subject user:1 --all", ErrorKind::ArgumentConflict),
        ("user add", ErrorKind::MissingRequiredArgument),
        ("service-key add shop --expires soon", ErrorKind::ValueValidation),
        ("service-key add shop --expires 0s", ErrorKind::ValueValidation),
        ("audit list --limit 0", ErrorKind::ValueValidation),
        ("audit list --limit 1001", ErrorKind::ValueValidation),
        ("config explain server.lisen", ErrorKind::InvalidValue),
        ("serve --set log.level", ErrorKind::ValueValidation),
        ("serve --set =x", ErrorKind::ValueValidation),
        ("migrate --listen 127.0.0.1:1", ErrorKind::UnknownArgument),
    ] {
        assert_eq!(parse(line).unwrap_err().kind(), kind, "{line}");
    }
}

/// Flags of their own win over `--set`, which keeps its order; the environment goes through unchanged.
#[test]
fn flags_become_sources() {
    let cli = parse("serve --listen 127.0.0.1:2 --set server.listen=127.0.0.1:1 --set log.level=warn --store memory:");
    let sources = cli.unwrap().sources([("WAYLEAVE_LOG_FORMAT", "json")]);
    let assignment = |key: &str, value: &str| Assignment { key: key.into(), value: value.into() };
    assert_eq!(
        sources.flags,
        [
            assignment("server.listen", "127.0.0.1:1"),
            assignment("log.level", "warn"),
            assignment("store.url", "memory:"),
            assignment("server.listen", "127.0.0.1:2"),
        ]
    );
    let config = crate::config::Config::load(sources).unwrap().config;
    assert_eq!(config.server.listen.port(), 2);
    assert_eq!(config.log.format, crate::config::LogFormat::Json);
}

/// Shells complete the keys of the configuration.
#[test]
fn completions_know_the_keys() {
    let mut script = Vec::new();
    clap_complete::generate(clap_complete::Shell::Bash, &mut Cli::command(), "wayleave", &mut script);
    let script = String::from_utf8(script).unwrap();
    assert!(script.contains("kinds.web.idle_limit"), "config explain completes keys");
    assert!(script.contains("server.public_url="), "--set completes keys");
}

/// R164: no flag takes a password or a token, which other users of the machine could see.
#[test]
fn no_flag_takes_a_secret() {
    fn walk(command: &clap::Command) {
        for argument in command.get_arguments() {
            let takes_value = argument.get_action().takes_values();
            let name = argument.get_id().as_str();
            assert!(!(takes_value && (name.contains("password") || name.contains("token"))), "{name}");
        }
        command.get_subcommands().for_each(walk);
    }
    walk(&Cli::command());
}
