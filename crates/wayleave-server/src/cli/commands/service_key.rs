//! `wayleave service-key`: the credentials of trusted backends.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Map, json};
use wayleave_core::permission::Permissions;
use wayleave_core::ports::{InsertServiceKey, ServiceKey as Held};
use wayleave_core::time::Timestamp;
use wayleave_core::token::ServiceToken;
use zeroize::Zeroizing;

use super::super::args::ServiceKey;
use super::super::deployment::{Absent, Deployment};
use super::super::failure::{Argument, Failure, Obstacle};
use super::super::output::{Line, Output};
use super::{json, listed, permissions, session};
use crate::config::Config;
use crate::routes::admin::service_keys::{EXPIRES_IN, ServiceKeyInfo, is_name, may_be_granted, withdraw};
use crate::routes::admin::{MOST_LISTED, record};
use crate::wire::rfc3339;

/// Runs one of them.
pub(in crate::cli) async fn run(command: &ServiceKey, config: &Config, output: Output) -> Result<ExitCode, Failure> {
    match command {
        ServiceKey::Add { name, permissions, expires } => {
            let new = New::read(name, permissions, *expires)?;
            let deployment = Deployment::open(config, Absent::Refuse).await?;
            let now = deployment.app.now();
            let outcome = add(&deployment, new).await;
            let (key, secret) = deployment.close(outcome).await?;
            output.result(
                || secret.to_string(),
                || json!({ "key": json(ServiceKeyInfo::of(&key, now)), "secret": secret.as_str() }),
            )?;
            output.remark(&format!(
                "This is the secret of {}, shown this once; it is good until {}.",
                key.name,
                rfc3339(key.expires_at)
            ));
        }
        ServiceKey::List => {
            let deployment = Deployment::open(config, Absent::Refuse).await?;
            let outcome = list(&deployment, output).await;
            deployment.close(outcome).await?;
        }
        ServiceKey::Revoke { name } => {
            let deployment = Deployment::open(config, Absent::Refuse).await?;
            let outcome = revoke(&deployment, name, output).await;
            let ended = deployment.close(outcome).await?;
            output.result(
                || format!("the key of {name} is withdrawn; {ended} sessions ended"),
                || json!({ "name": name, "ended": ended }),
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A new key, as the command line says.
struct New {
    name: Box<str>,
    permissions: Permissions,
    expires: Duration,
}

impl New {
    fn read(name: &str, named: &[String], expires: Duration) -> Result<Self, Argument> {
        if !is_name(name) {
            return Err(Argument::Service);
        }
        let permissions = permissions(named)?;
        if !may_be_granted(&permissions) {
            return Err(Argument::ServicePermission);
        }
        if !EXPIRES_IN.contains(&expires.as_secs()) {
            return Err(Argument::Expires);
        }
        Ok(Self { name: name.into(), permissions, expires })
    }
}

async fn add(deployment: &Deployment, new: New) -> Result<(Held, Zeroizing<String>), Failure> {
    let app = &deployment.app;
    let New { name, permissions, expires } = new;
    let keys = &app.directory.service_keys;
    if keys.list(MOST_LISTED).await?.len() >= usize::try_from(MOST_LISTED).unwrap_or(usize::MAX) {
        return Err(Obstacle::TooManyServices.into());
    }
    let mut random = Zeroizing::new([0; 34]);
    app.entropy.fill(random.as_mut())?;
    let token = ServiceToken::new(*random);
    let now = app.now();
    let key = Held {
        name,
        key: token.hash().0,
        permissions,
        created_at: now,
        expires_at: now.plus(expires),
        revoked_at: None,
    };
    match keys.insert(&key).await? {
        InsertServiceKey::Done => {}
        InsertServiceKey::Exists => return Err(Obstacle::ServiceTaken.into()),
    }
    let facts = Map::from_iter([
        ("name".to_owned(), key.name.as_ref().into()),
        ("expires_at".to_owned(), rfc3339(key.expires_at).into()),
    ]);
    let granted = ("granted", key.permissions.iter().collect());
    record(app, &Deployment::entry("service_key.created", None), &facts, &[granted]);
    Ok((key, token.reveal()))
}

async fn list(deployment: &Deployment, output: Output) -> Result<(), Failure> {
    let app = &deployment.app;
    let now = app.now();
    let keys = app.directory.service_keys.list(MOST_LISTED).await?;
    let mut listing = output.listing(["NAME", "STATE", "MADE", "EXPIRES", "PERMISSIONS"]);
    listing.page(keys.iter().map(|key| Line {
        cells: [
            key.name.to_string(),
            state(key, now).to_owned(),
            rfc3339(key.created_at),
            rfc3339(key.expires_at),
            listed(&key.permissions),
        ],
        json: json(ServiceKeyInfo::of(key, now)),
    }))?;
    if listing.end()? == 0 {
        output.remark("There are no service keys. Make one with `wayleave service-key add NAME`.");
    }
    Ok(())
}

fn state(key: &Held, now: Timestamp) -> &'static str {
    match (key.revoked_at, key.is_live(now)) {
        (Some(_), _) => "withdrawn",
        (None, true) => "live",
        (None, false) => "expired",
    }
}

async fn revoke(deployment: &Deployment, name: &str, output: Output) -> Result<u64, Failure> {
    let app = &deployment.app;
    let held = app.directory.service_keys.by_name(name).await?.ok_or(Obstacle::NoService)?;
    withdraw(app, &held, Deployment::entry("service_key.revoked", None)).await?;
    // From here on none of its sessions is honoured; what follows takes them off the record too.
    session::end_where(deployment, output, |record| {
        record.subject.as_ref().is_some_and(|subject| subject.service() == Some(name))
    })
    .await
}
