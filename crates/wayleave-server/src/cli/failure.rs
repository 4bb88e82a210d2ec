//! Why a command was not carried out, what to do about it, and the exit code that scripts see.

use std::io;
use std::path::PathBuf;

use wayleave_core::ports::{EntropyFailure, StoreError};
use wayleave_password::SetPasswordError;

use super::terminal::PasswordInputError;
use crate::assembly::StartError;
use crate::audit::HeadsError;
use crate::config::Problems;
use crate::links::LinkError;
use crate::secrets::SecretsError;

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The configuration is wrong.
    #[error("the configuration is wrong")]
    Configuration(Problems),
    /// There is nothing to administer from outside.
    #[error(
        "`store.url` is memory:, which only the running server sees; use the administration API of that server, or a \
         store that lasts: --store sqlite:wayleave.db"
    )]
    MemoryStore,
    /// The data folder has no database.
    #[error(
        "there is no deployment here: {path} does not exist; name the data folder with --data DIR, or make a \
         deployment with `wayleave serve` or `wayleave user add`",
        path = .0.display()
    )]
    NoDeployment(PathBuf),
    /// A server would change what is copied.
    #[error("a server runs on this data folder; stop it, and all others on the same store, before sessions are copied")]
    ServerRuns,
    /// Servers could not open what is sealed with a key.
    #[error(
        "these servers run and do not know the new master key yet: {0}; copy the key file to them, start them again, and \
         run this command once more"
    )]
    KeyUnknown(Box<str>),
    /// The PostgreSQL database cannot be opened.
    #[error(transparent)]
    Postgres(#[from] wayleave_postgres::OpenError),
    /// Links need an address.
    #[error("nobody knows the server's port, because `server.listen` has port 0; set `server.public_url`")]
    NoAddress,
    /// An argument is not what it should be.
    #[error(transparent)]
    Argument(#[from] Argument),
    /// What was asked for is not there, or stands in the way.
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
    /// No password came.
    #[error(transparent)]
    PasswordInput(#[from] PasswordInputError),
    /// The password is not good enough, or cannot be hashed.
    #[error(transparent)]
    Password(#[from] SetPasswordError),
    /// Failed sign-ins cannot be forgotten.
    #[error(transparent)]
    Unlock(#[from] wayleave_password::Error),
    /// The master key or its folder cannot be used.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The deployment cannot be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] wayleave_sqlite::OpenError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A link cannot be made.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The signed heads cannot be read.
    #[error(transparent)]
    Heads(#[from] HeadsError),
    /// The operating system gives no randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFailure),
    /// A part of the work ended with a panic.
    #[error("a part of the work was not done; run the command again")]
    Cut,
    /// The runtime cannot be started.
    #[error("the operating system gives no threads")]
    Runtime(#[source] io::Error),
    /// The result cannot be written.
    #[error("the result cannot be printed")]
    Output(#[from] io::Error),
}

/// An argument that is not what it should be.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Argument {
    /// Not an e-mail address.
    #[error("that is not an e-mail address; one looks like ada@example.org and has at most 254 bytes")]
    Email,
    /// Not a name.
    #[error("a name has 1 to 200 bytes and no control characters; give another one with --name")]
    Name,
    /// Not permissions.
    #[error("a permission has 1 to 64 of a-z, 0-9, `:`, `_`, `.` and `-`, and there are at most 64")]
    Permission,
    /// Not a subject.
    #[error("a subject is written user:user_... or ext:SERVICE:NAME, as `wayleave session list` prints it")]
    Subject,
    /// Not a session's id.
    #[error("that is not the id of a session; `wayleave session list` prints them")]
    SessionId,
    /// Not a service's name.
    #[error("the name of a service is a lower-case letter and at most 31 more of a-z, 0-9, `-` and `_`")]
    Service,
    /// A permission that services never have.
    #[error("a service key never has the permission `admin`, or one that begins with `vault`")]
    ServicePermission,
    /// Too short or too long.
    #[error("a service key is good for 1 minute to 400 days; give another length with --expires")]
    Expires,
    /// Not a store.
    #[error(
        "a store is sqlite:PATH, postgres://HOST/DATABASE, redis://HOST or redis+cluster://HOST,HOST, or env:NAME for a \
         variable that holds one"
    )]
    Store,
    /// Nothing to copy between.
    #[error("sessions are copied between two stores that last; name two different ones")]
    Stores,
    /// Not an event.
    #[error("an event has at most 64 characters, such as login.failure, or login. for all that begin so")]
    Event,
}

/// What was asked for is not there, or something stands in the way.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Obstacle {
    /// Nobody has that address.
    #[error("there is no account with this e-mail address; `wayleave user list` shows all")]
    NoAccount,
    /// Somebody has it already.
    #[error("there is an account with this e-mail address already")]
    EmailTaken,
    /// A link would be of no use.
    #[error("the account is disabled; enable it first with `wayleave user enable`")]
    Disabled,
    /// Others keep changing it.
    #[error("somebody else changes this account at the same time; run the command again")]
    Contended,
    /// A copy would bring sessions back.
    #[error(
        "the store that is to get the sessions has some of its own, or has served: it knows of sessions that ended, and a \
         copy would bring them back; name a new, empty one"
    )]
    TargetServed,
    /// What is copied would change meanwhile.
    #[error(
        "a server runs on one of the two stores; stop every server on both, and run the command again, which begins anew"
    )]
    StoreServes,
    /// No such session.
    #[error("there is no session with this id; it may have ended")]
    NoSession,
    /// No such service.
    #[error("there is no service key with this name; `wayleave service-key list` shows all")]
    NoService,
    /// Somebody had it already.
    #[error(
        "there is or was a service key with this name, and a name is never given out again, since its sessions would \
         be those of the other; choose another one"
    )]
    ServiceTaken,
    /// There are as many as there may be.
    #[error("there are 1000 service keys already, withdrawn ones included; that is the most there can be")]
    TooManyServices,
    /// The last rotation is not over.
    #[error("the newest key does not sign yet; wait until `wayleave key list` says that it does")]
    KeyTooYoung,
    /// There are as many as there may be.
    #[error("too many keys still verify tokens; wait until one of `wayleave key list` is retired")]
    TooManyKeys,
}

impl Failure {
    /// 2 for what the caller asked or configured wrongly, 1 for everything else.
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_)
            | Self::MemoryStore
            | Self::NoDeployment(_)
            | Self::NoAddress
            | Self::Argument(_) => 2,
            Self::Obstacle(_)
            | Self::PasswordInput(_)
            | Self::Password(_)
            | Self::Unlock(_)
            | Self::Secrets(_)
            | Self::Start(_)
            | Self::Database(_)
            | Self::Postgres(_)
            | Self::ServerRuns
            | Self::KeyUnknown(_)
            | Self::Store(_)
            | Self::Link(_)
            | Self::Heads(_)
            | Self::Entropy(_)
            | Self::Cut
            | Self::Runtime(_)
            | Self::Output(_) => 1,
        }
    }
}
