//! The command line: what can be asked of `wayleave`, with its help texts. What happens then stands beside.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{NonEmptyStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::config::{Assignment, Sources, key_names, parse_duration};

const EXAMPLES: &str = "\
Examples:
  wayleave serve                                     start on 127.0.0.1:8080 with ./wayleave-data
  wayleave serve --data /var/lib/wayleave --listen 127.0.0.1:9000
  printf %s \"$PASSWORD\" | wayleave user add ada@example.org --password-stdin --permission admin
  wayleave config check --config /etc/wayleave.toml

Every key of the configuration can be set in wayleave.toml, as a WAYLEAVE_... variable or with --set KEY=VALUE.";

/// Sessions for every kind of client: one server that signs people in, validates, refreshes and revokes.
#[derive(Parser, Debug)]
#[command(name = "wayleave", version, propagate_version = true, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// The data folder; made at the first start [default: $WAYLEAVE_DATA, else ./wayleave-data]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Everywhere")]
    pub data: Option<PathBuf>,
    /// The configuration file [default: $WAYLEAVE_CONFIG, else ./wayleave.toml, else wayleave.toml in the data folder]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Everywhere")]
    pub config: Option<PathBuf>,
    /// The store: sqlite:PATH, memory:, postgres://..., redis://... [default: sqlite:wayleave.db, in the data folder]
    #[arg(long, global = true, value_name = "URL", help_heading = "Everywhere")]
    pub store: Option<String>,
    /// Set any key of the configuration; can be repeated
    #[arg(
        long = "set", global = true, value_name = "KEY=VALUE", value_parser = AssignmentParser,
        hide_possible_values = true, help_heading = "Everywhere"
    )]
    pub set: Vec<Assignment>,
    /// Print JSON for scripts instead of tables for people
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
    /// Print results and failures only, no progress and no remarks
    #[arg(short, long, global = true, help_heading = "Everywhere")]
    pub quiet: bool,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the server
    #[command(after_help = "\
The first start makes the data folder, the master key and the database, and prints a link that makes the first
administrator: it is good for 15 minutes and once. SIGTERM and SIGINT stop the server after running requests ended.

Examples:
  wayleave serve
  wayleave serve --listen 0.0.0.0:8080 --set server.public_url=https://auth.example.org
  wayleave serve --store memory: --json")]
    Serve(Serve),
    /// Bring the database to the schema of this version
    #[command(after_help = "`wayleave serve` does this by itself; run it alone to see what would take long.")]
    Migrate,
    /// Accounts
    #[command(subcommand)]
    User(User),
    /// Sessions
    #[command(subcommand)]
    Session(Session),
    /// The keys that sign tokens and seal data
    #[command(subcommand)]
    Key(Key),
    /// Credentials of trusted backends
    #[command(subcommand, name = "service-key")]
    ServiceKey(ServiceKey),
    /// Stores of sessions
    #[command(subcommand)]
    Store(Store),
    /// Remove ended sessions and other expired records now
    #[command(after_help = "A running server does this every `sessions.sweep_interval` by itself.")]
    Sweep,
    /// The audit log
    #[command(subcommand)]
    Audit(Audit),
    /// The configuration
    #[command(subcommand)]
    Config(Config),
    /// Print the completion script of a shell
    #[command(after_help = "\
Examples:
  wayleave completions bash > ~/.local/share/bash-completion/completions/wayleave
  wayleave completions fish > ~/.config/fish/completions/wayleave.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example:\n  wayleave man > ~/.local/share/man/man1/wayleave.1")]
    Man,
}

/// `serve`
#[derive(Args, Debug, Default)]
pub struct Serve {
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
}

/// `user ...`
#[derive(Subcommand, Debug)]
pub enum User {
    /// Make an account
    #[command(after_help = "\
Without --password-stdin the password is asked for on the terminal. It has at least `password.min_length` characters.

Examples:
  wayleave user add ada@example.org --name 'Ada Lovelace'
  printf %s \"$PASSWORD\" | wayleave user add ada@example.org --password-stdin --permission admin")]
    Add {
        /// The e-mail address to sign in with
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        email: String,
        /// Read the password from standard input, up to the first line break
        #[arg(long)]
        password_stdin: bool,
        /// A permission, such as admin or read:profile; can be repeated
        #[arg(long = "permission", value_name = "P")]
        permissions: Vec<String>,
        /// What to call the person [default: the part of the address before the @]
        #[arg(long, value_name = "N")]
        name: Option<String>,
    },
    /// List all accounts
    List,
    /// Forbid signing in and end every session of the account
    Disable {
        /// The e-mail address
        email: String,
    },
    /// Allow signing in again
    Enable {
        /// The e-mail address
        email: String,
    },
    /// Forget failed sign-ins, so that the next attempt counts as the first
    Unlock {
        /// The e-mail address
        email: String,
    },
    /// Print a link, good once and for `accounts.reset_link`, that sets a new password
    #[command(name = "reset-link")]
    ResetLink {
        /// The e-mail address
        email: String,
    },
}

/// `session ...`
#[derive(Subcommand, Debug)]
pub enum Session {
    /// List live sessions; those of one subject newest first
    List {
        /// Only of this subject, such as user:user_... or ext:shop:4711
        #[arg(long, value_name = "SUBJECT")]
        subject: Option<String>,
    },
    /// Show one session
    Show {
        /// Its id, as `session list` prints it
        id: String,
    },
    /// End sessions
    #[command(after_help = "\
Examples:
  wayleave session revoke web_3n...
  wayleave session revoke --subject ext:shop:4711
  wayleave session revoke --all")]
    Revoke(Revoke),
}

/// `session revoke`: exactly one of the three.
#[derive(Args, Debug, Default)]
#[group(required = true, multiple = false)]
pub struct Revoke {
    /// The id of one session
    pub id: Option<String>,
    /// Every session of this subject
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Option<String>,
    /// Every session of everybody
    #[arg(long)]
    pub all: bool,
}

/// `key ...`
#[derive(Subcommand, Copy, Clone, Debug)]
pub enum Key {
    /// Make a new key and go over to it; nobody is signed out
    #[command(after_help = "\
signing  JWTs: the new key is published at once and signs after `jwt.jwks_max_age`; the old one verifies until its
         last token expired.
master   sealing at rest: the new key stands in front of the old ones, which go on opening what they sealed. The server
         is to be started again then: it cannot open what is sealed with a key that it has not read. Where several
         servers can share the store this takes two runs: the first makes a key that opens and seals nothing yet, to be
         copied to every server; the second, when all were started with it, lets it seal.")]
    Rotate {
        /// Which key
        #[arg(value_enum, default_value_t = KeyKind::Signing)]
        kind: KeyKind,
    },
    /// List the keys, without anything secret
    List,
}

/// Which key.
#[derive(ValueEnum, Copy, Clone, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// The one that signs JWTs
    Signing,
    /// The one that all others are derived from
    Master,
}

/// `store ...`
#[derive(Subcommand, Debug)]
pub enum Store {
    /// Copy live sessions to another store; nobody is signed out
    #[command(after_help = "\
Stop all servers first, and start them with the other store afterwards: what is ended meanwhile in the one would go on in the
other. A server that still runs on one of them is noticed, except on SQLite in another data folder. The other store must be a
new one: once it has served, or if it has sessions of its own, nothing is copied into it any more. Until then the copy can be
run again, after it broke off or when servers ran on the first store once more; it begins anew each time.

Accounts, settings and the audit log are not copied. Refresh tokens go on; of those spent before the last exchange the other
store knows nothing, and refuses them without ending their sessions. A URL with a password is better taken from the environment,
as env:NAME.

Examples:
  wayleave store copy postgres://wayleave@db.internal/wayleave redis://cache.internal
  wayleave store copy env:OLD_STORE env:NEW_STORE")]
    Copy {
        /// The store that has the sessions
        #[arg(value_name = "FROM")]
        from: String,
        /// The store that gets them
        #[arg(value_name = "TO")]
        to: String,
    },
}

/// `service-key ...`
#[derive(Subcommand, Debug)]
pub enum ServiceKey {
    /// Make a key and print it, this once
    #[command(after_help = "\
A service opens sessions for subjects ext:NAME:... only, with at most the permissions given here.

Example:
  wayleave service-key add shop --permission read:profile --expires 90d")]
    Add {
        /// The name of the service
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// A permission that its sessions may have; can be repeated
        #[arg(long = "permission", value_name = "P")]
        permissions: Vec<String>,
        /// How long the key is good
        #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = duration)]
        expires: Duration,
    },
    /// List the keys of all services
    List,
    /// End a service's key and every session that it opened
    Revoke {
        /// The name of the service
        name: String,
    },
}

/// `audit ...`
#[derive(Subcommand, Debug)]
pub enum Audit {
    /// Prove that no row was removed, changed or cut off
    Verify,
    /// List rows, newest first
    #[command(after_help = "\
Examples:
  wayleave audit list --event login. --since 24h
  wayleave audit list --subject user:user_... --limit 20 --json")]
    List {
        /// Only this event, or all that begin with it when it ends in a dot
        #[arg(long, value_name = "EVENT")]
        event: Option<String>,
        /// Only about this subject
        #[arg(long, value_name = "SUBJECT")]
        subject: Option<String>,
        /// Only the last so long, such as 24h
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        since: Option<Duration>,
        /// At most so many rows
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
}

/// `config ...`
#[derive(Subcommand, Debug)]
pub enum Config {
    /// Explain every problem of the configuration with its line; exit with 2 if there is one
    Check,
    /// Print every value in force and where it comes from, secrets hidden
    Show,
    /// Say what one key means
    Explain {
        /// The key, such as server.listen
        #[arg(value_name = "KEY", value_parser = PossibleValuesParser::new(key_names()), hide_possible_values = true)]
        key: String,
    },
    /// Print the reference of all keys as Markdown
    Reference,
}

impl Cli {
    /// What the configuration is read from, with the environment of the process and its working folder.
    #[must_use]
    pub fn sources(
        &self,
        environment: impl IntoIterator<Item = (impl Into<std::ffi::OsString>, impl Into<std::ffi::OsString>)>,
    ) -> Sources {
        let Global { data, config, store, set, json: _, quiet: _ } = &self.global;
        let listen = match &self.command {
            Command::Serve(Serve { listen }) => listen.as_deref(),
            Command::Migrate
            | Command::User(_)
            | Command::Session(_)
            | Command::Key(_)
            | Command::ServiceKey(_)
            | Command::Store(_)
            | Command::Sweep
            | Command::Audit(_)
            | Command::Config(_)
            | Command::Completions { .. }
            | Command::Man => None,
        };
        // The flags of their own come last: they are more particular than `--set`.
        let own = [("store.url", store.as_deref()), ("server.listen", listen)];
        let own = own.into_iter().filter_map(|(key, value)| Some(Assignment { key: key.into(), value: value?.into() }));
        Sources {
            data: data.clone(),
            file: config.clone(),
            folder: Some(PathBuf::from(".")),
            environment: environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            flags: set.iter().cloned().chain(own).collect(),
        }
    }
}

fn duration(text: &str) -> Result<Duration, InvalidDuration> {
    parse_duration(text).filter(|length| !length.is_zero()).ok_or(InvalidDuration)
}

/// The text is not a duration.
#[derive(Copy, Clone, Debug, thiserror::Error)]
#[error("a duration is written `90s`, `30m`, `12h` or `90d`")]
struct InvalidDuration;

/// Reads `KEY=VALUE`, and gives shells the keys to complete.
#[derive(Clone)]
struct AssignmentParser;

impl TypedValueParser for AssignmentParser {
    type Value = Assignment;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Assignment, clap::Error> {
        let pair = value.to_str().and_then(|text| text.split_once('='));
        if let Some((key, value)) = pair.filter(|(key, _)| !key.is_empty()) {
            return Ok(Assignment { key: key.trim().to_owned(), value: value.trim().to_owned() });
        }
        let mut error = clap::Error::new(clap::error::ErrorKind::ValueValidation).with_cmd(command);
        if let Some(argument) = argument {
            let name = clap::error::ContextValue::String(argument.to_string());
            error.insert(clap::error::ContextKind::InvalidArg, name);
        }
        let shown = clap::error::ContextValue::String(value.to_string_lossy().into_owned());
        error.insert(clap::error::ContextKind::InvalidValue, shown);
        Err(error)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(key_names().into_iter().map(|key| PossibleValue::new(format!("{key}=")))))
    }
}

#[cfg(test)]
mod tests;
