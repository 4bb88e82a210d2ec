//! `wayleave user`: accounts.

use std::process::ExitCode;

use serde_json::{Map, json};
use wayleave::events::Cause;
use wayleave_core::permission::Permissions;
use wayleave_core::ports::{Account, AccountChange, EmailAddress, InsertAccount, StoreError};
use wayleave_core::subject::Subject;
use wayleave_password::Password;

use super::super::args::User;
use super::super::deployment::{Absent, Deployment};
use super::super::failure::{Argument, Failure, Obstacle};
use super::super::output::{Line, Output};
use super::super::terminal::{ask_for_password, read_password};
use super::{json, listed, permissions};
use crate::access::ADMIN;
use crate::accounts::{Secret, display_name, insert_account, new_account};
use crate::config::Config;
use crate::links;
use crate::routes::admin::{record, users::Person};
use crate::shared::{self, Shared};
use crate::wire::rfc3339;

/// Accounts read at once.
const STEP: u32 = 500;
/// How often a change is tried again when somebody else was first.
const ATTEMPTS: u32 = 8;

/// Runs one of them.
pub(in crate::cli) async fn run(command: &User, config: &Config, output: Output) -> Result<ExitCode, Failure> {
    match command {
        User::Add { email, password_stdin, permissions, name } => {
            let new = New::read(email, permissions, name.as_deref())?;
            let password = if *password_stdin { read_password(std::io::stdin())? } else { ask_for_password()? };
            let deployment = Deployment::open(config, Absent::Make).await?;
            let outcome = add(&deployment, new, password).await;
            let account = deployment.close(outcome).await?;
            print_changed(output, &account, "is added, with the permissions", &listed(&account.permissions))?;
        }
        User::List => {
            let deployment = Deployment::open(config, Absent::Refuse).await?;
            let outcome = list(&deployment, output).await;
            deployment.close(outcome).await?;
        }
        User::Disable { email } => {
            let email = address(email)?;
            let deployment = Deployment::open(config, Absent::Refuse).await?;
            let outcome = disable(&deployment, &email).await;
            let Disabled { account, ended, administrators } = deployment.close(outcome).await?;
            output.result(
                || format!("{} is disabled; {ended} sessions ended", account.email.as_str()),
                || json!({ "user": json(Person::of(&account)), "ended": ended }),
            )?;
            if !administrators {
                output.remark(
                    "There is no administrator left. Add one with `wayleave user add EMAIL --permission admin`, or \
                     start the server again, which makes a link for one.",
                );
            }
        }
        User::Enable { email } => {
            let email = address(email)?;
            let deployment = Deployment::open(config, Absent::Refuse).await?;
            let outcome = enable(&deployment, &email).await;
            let account = deployment.close(outcome).await?;
            print_changed(output, &account, "may sign in again", "")?;
        }
        User::Unlock { email } => {
            let email = address(email)?;
            let deployment = Deployment::open(config, Absent::Refuse).await?;
            let outcome = unlock(&deployment, &email).await;
            let account = deployment.close(outcome).await?;
            print_changed(output, &account, "has no failed sign-ins any more", "")?;
        }
        User::ResetLink { email } => {
            let email = address(email)?;
            if config.server.public_url.is_none() && config.server.listen.port() == 0 {
                return Err(Failure::NoAddress);
            }
            let deployment = Deployment::open(config, Absent::Refuse).await?;
            let outcome = reset_link(&deployment, &email).await;
            let link = deployment.close(outcome).await?;
            let expires_at = rfc3339(link.expires_at);
            output.result(|| link.url.to_string(), || json!({ "url": link.url.as_str(), "expires_at": expires_at }))?;
            output.remark(&format!("The link is good once, until {expires_at}."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_changed(output: Output, account: &Account, what: &str, more: &str) -> Result<(), Failure> {
    output.result(|| format!("{} {what} {more}", account.email.as_str()), || json(Person::of(account)))?;
    Ok(())
}

fn address(text: &str) -> Result<EmailAddress, Argument> {
    text.parse().map_err(|_| Argument::Email)
}

/// A new account, as far as the command line says.
struct New {
    email: EmailAddress,
    name: Box<str>,
    permissions: Option<Permissions>,
}

impl New {
    fn read(email: &str, named: &[String], name: Option<&str>) -> Result<Self, Argument> {
        let email = address(email)?;
        let name = name.unwrap_or_else(|| email.as_str().split('@').next().unwrap_or_default());
        let name = display_name(name).map_err(|_| Argument::Name)?;
        let permissions = if named.is_empty() { None } else { Some(permissions(named)?) };
        Ok(Self { email, name, permissions })
    }
}

async fn add(deployment: &Deployment, new: New, password: Password) -> Result<Account, Failure> {
    let app = &deployment.app;
    let New { email, name, permissions } = new;
    if app.directory.accounts.by_email(&email).await?.is_some() {
        return Err(Obstacle::EmailTaken.into());
    }
    let permissions = permissions.unwrap_or_else(|| app.options.default_permissions.clone());
    // Making one fails for want of randomness alone.
    let account = new_account(app, email, name, permissions)
        .map_err(|_| Failure::Entropy(wayleave_core::ports::EntropyFailure))?;
    // A weak password is refused before there is anything.
    let secret = Secret::Password(app.passwords.prepare(&account, password).await?);
    match insert_account(&app.directory, &account, Some(&secret)).await? {
        InsertAccount::Done => {}
        InsertAccount::Exists => return Err(Obstacle::EmailTaken.into()),
    }
    let entry = Deployment::entry("user.created", Some(&subject(&account)?));
    record(app, &entry, &Map::new(), &[("granted", account.permissions.iter().collect())]);
    if account.permissions.contains(ADMIN) {
        (app.options.setup_done)();
    }
    Ok(account)
}

async fn list(deployment: &Deployment, output: Output) -> Result<(), Failure> {
    let accounts = &deployment.app.directory.accounts;
    let mut listing = output.listing(["EMAIL", "NAME", "STATE", "LAST SIGN-IN", "ID", "PERMISSIONS"]);
    let mut after = None;
    loop {
        let step = accounts.list(None, after.as_ref(), STEP).await?;
        let Some(last) = step.last() else { break };
        after = Some(last.id.clone());
        listing.page(step.iter().map(|account| Line {
            cells: [
                account.email.as_str().to_owned(),
                account.name.to_string(),
                state(account).to_owned(),
                account.last_sign_in_at.map_or_else(|| "never".to_owned(), rfc3339),
                account.id.to_string(),
                listed(&account.permissions),
            ],
            json: json(Person::of(account)),
        }))?;
    }
    if listing.end()? == 0 {
        output.remark("There are no accounts. Add one with `wayleave user add EMAIL --permission admin`.");
    }
    Ok(())
}

const fn state(account: &Account) -> &'static str {
    match (account.disabled, account.must_change_password) {
        (true, _) => "disabled",
        (false, true) => "must change password",
        (false, false) => "active",
    }
}

/// What disabling came to.
struct Disabled {
    account: Account,
    ended: usize,
    /// Whether anybody is left to administer the deployment.
    administrators: bool,
}

async fn disable(deployment: &Deployment, email: &EmailAddress) -> Result<Disabled, Failure> {
    let app = &deployment.app;
    let account = change(deployment, email, "user.disabled", |account| {
        if !account.disabled {
            account.disabled = true;
            account.epoch += 1;
        }
    })
    .await?;
    // Also when it was disabled before: a command that was cut off may have left sessions on record.
    deployment.will_end_sessions().await?;
    let subject = subject(&account)?;
    let ended = app.manager.end_all(&subject, None, Cause::SubjectDisabled, &Deployment::origin()).await?.0.len();
    let administrators = app.directory.accounts.anybody_holds(ADMIN).await?;
    Ok(Disabled { account, ended, administrators })
}

async fn enable(deployment: &Deployment, email: &EmailAddress) -> Result<Account, Failure> {
    change(deployment, email, "user.enabled", |account| account.disabled = false).await
}

async fn unlock(deployment: &Deployment, email: &EmailAddress) -> Result<Account, Failure> {
    let account = find(deployment, email).await?;
    deployment.app.passwords.unlock(&account).await?;
    deployment.record(Deployment::entry("user.unlocked", Some(&subject(&account)?)));
    Ok(account)
}

async fn reset_link(deployment: &Deployment, email: &EmailAddress) -> Result<links::Link, Failure> {
    let account = find(deployment, email).await?;
    if account.disabled {
        return Err(Obstacle::Disabled.into());
    }
    let link = links::issue_reset(&deployment.app, &account, None).await?;
    deployment.record(Deployment::entry("user.reset_link", Some(&subject(&account)?)));
    Ok(link)
}

async fn find(deployment: &Deployment, email: &EmailAddress) -> Result<Account, Failure> {
    let account = deployment.app.directory.accounts.by_email(email).await?;
    account.ok_or_else(|| Obstacle::NoAccount.into())
}

/// Changes an account, and puts `event` into the audit log. A change that leaves it as it is writes nothing.
async fn change(
    deployment: &Deployment,
    email: &EmailAddress,
    event: &'static str,
    change: impl Fn(&mut Account) + Send,
) -> Result<Account, Failure> {
    let subject = subject(&find(deployment, email).await?)?;
    let write = async {
        let (before, after) = compare_and_set(deployment, email, change).await?;
        if after != before {
            deployment.record(Deployment::entry(event, Some(&subject)));
        }
        Ok(after)
    };
    shared::change(&deployment.app, Shared::Subject(&subject), write).await
}

/// The account before and after.
async fn compare_and_set(
    deployment: &Deployment,
    email: &EmailAddress,
    change: impl Fn(&mut Account) + Send,
) -> Result<(Account, Account), Failure> {
    let app = &deployment.app;
    for _ in 0..ATTEMPTS {
        let before = find(deployment, email).await?;
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return Ok((before, after));
        }
        after.updated_at = app.now();
        match app.directory.accounts.update(&after).await? {
            AccountChange::Done(revision) => {
                after.revision = revision;
                return Ok((before, after));
            }
            AccountChange::Missing => return Err(Obstacle::NoAccount.into()),
            // The address stays as it is, so nobody else can have it.
            AccountChange::Conflict | AccountChange::EmailTaken => {}
        }
    }
    Err(Obstacle::Contended.into())
}

/// The subject of an account's sessions. Every id makes one.
fn subject(account: &Account) -> Result<Subject, StoreError> {
    account.subject().ok_or(StoreError::Corrupt(None))
}
