//! `wayleave key`: the keys that sign tokens and seal data.

use std::process::ExitCode;

use serde_json::{Value, json};
use wayleave::SystemEntropy;
use wayleave::jwt::{KeySet, SigningKey};
use wayleave_core::seal::KeyId;
use wayleave_core::time::Timestamp;

use super::super::args::{Key, KeyKind};
use super::super::deployment::{Absent, Deployment};
use super::super::failure::{Failure, Obstacle};
use super::super::output::{Line, Output};
use super::json;
use crate::audit::Entry;
use crate::claim::ignorant_of;
use crate::config::{Config, NodeName};
use crate::routes::admin::keys::{InTheWay, SigningKeyList, make, stands_in_the_way};
use crate::secrets;
use crate::wire::rfc3339;

/// Runs one of them.
pub(in crate::cli) async fn run(command: Key, config: &Config, output: Output) -> Result<ExitCode, Failure> {
    let deployment = Deployment::open(config, Absent::Refuse).await?;
    match command {
        Key::Rotate { kind: KeyKind::Signing } => {
            let outcome = rotate_signing(&deployment).await;
            let (name, signs_from) = deployment.close(outcome).await?;
            output.result(
                || format!("the new key {name} is published, and signs from {signs_from} on"),
                || json!({ "kid": name, "signs_from": signs_from }),
            )?;
        }
        Key::Rotate { kind: KeyKind::Master } => {
            let outcome = rotate_master(&deployment, config).await;
            let Rotated { key: KeyId(id), seals, next_step } = deployment.close(outcome).await?;
            let does = if seals { "seals from now on" } else { "is known, and seals nothing yet" };
            output.result(
                || format!("the new master key is number {id}, and {does}"),
                || json!({ "id": id, "seals": seals }),
            )?;
            output.remark(next_step);
        }
        Key::List => {
            let outcome = list(&deployment, output).await;
            deployment.close(outcome).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn rotate_signing(deployment: &Deployment) -> Result<(String, String), Failure> {
    let app = &deployment.app;
    let (held, _) = app.signing.load().await?;
    match stands_in_the_way(&held, app.now()) {
        None => {}
        Some(InTheWay::NewestDoesNotSignYet) => return Err(Obstacle::KeyTooYoung.into()),
        Some(InTheWay::TooManyVerify) => return Err(Obstacle::TooManyKeys.into()),
    }
    let keys = make(app, Deployment::entry("key.rotated", None)).await?;
    let newest = keys.keys().first();
    let name = newest.map(|key| key.name().as_str().to_owned()).unwrap_or_default();
    let signs_from = newest.map(|key| rfc3339(key.life().signs_from)).unwrap_or_default();
    Ok((name, signs_from))
}

/// What a step of rotating the master key came to.
struct Rotated {
    key: KeyId,
    seals: bool,
    /// What to do then.
    next_step: &'static str,
}

/// Where several servers share the store, a key is known to all before any seals with it, which takes two runs.
async fn rotate_master(deployment: &Deployment, config: &Config) -> Result<Rotated, Failure> {
    let app = &deployment.app;
    let rotated = match deployment.keys.next() {
        Some(next) => {
            let mut names = app.directory.audit.nodes().await?;
            names.retain(|name| !name.starts_with(NodeName::OF_COMMANDS));
            let ignorant = ignorant_of(&*app.directory.settings, names, next).await?;
            if !ignorant.is_empty() {
                return Err(Failure::KeyUnknown(ignorant.join(", ").into()));
            }
            let key = secrets::advance(config, &SystemEntropy)?;
            Rotated { key, seals: true, next_step: ADVANCED }
        }
        None if config.store.url.is_shared() || config.directory().is_shared() => {
            let key = secrets::announce(config, &SystemEntropy)?;
            Rotated { key, seals: false, next_step: ANNOUNCED }
        }
        None => Rotated { key: secrets::rotate(config, &SystemEntropy)?, seals: true, next_step: ROTATED },
    };
    let Rotated { key: KeyId(number), seals, .. } = rotated;
    let detail = Some(json!({ "master": number, "seals": seals }));
    deployment.record(Entry { detail, ..Deployment::entry("key.rotated", None) });
    Ok(rotated)
}

const ROTATED: &str = "Start the server again now: until then it cannot open what is sealed with the new key, such as a \
                       password that `wayleave user add` sets.";
const ANNOUNCED: &str = "Copy the key file to every server and start them again, one after the other. Then run this command \
                         once more: the key seals when all know it.";
const ADVANCED: &str = "Copy the key file to every server and start them again, one after the other. Until then those that \
                        run go on sealing with the key before.";

async fn list(deployment: &Deployment, output: Output) -> Result<(), Failure> {
    let app = &deployment.app;
    let now = app.now();
    let (signing, _) = app.signing.load().await?;
    let newest = deployment.keys.newest();
    let masters = deployment.keys.ids().map(|id| {
        let KeyId(number) = id;
        let does = match () {
            () if id == newest => "seals",
            () if Some(id) == deployment.keys.next() => "is known to seal later",
            () => "opens what it sealed",
        };
        Line {
            cells: [number.to_string(), "master".into(), does.into(), "-".into()],
            json: json!({ "kind": "master", "id": number, "seals": id == newest }),
        }
    });
    let described = SigningKeyList::of(&signing, now).items;
    let signing = signing.keys().iter().zip(described).map(|(key, info)| {
        let mut described = json(info);
        if let Value::Object(members) = &mut described {
            members.insert("kind".into(), "signing".into());
        }
        let name = key.name().as_str().to_owned();
        Line {
            cells: [name, "signing".into(), does(key, &signing, now), rfc3339(key.life().created_at)],
            json: described,
        }
    });
    let mut listing = output.listing(["KEY", "KIND", "DOES", "MADE"]);
    listing.page(masters.chain(signing))?;
    listing.end()?;
    Ok(())
}

fn does(key: &SigningKey, all: &KeySet, now: Timestamp) -> String {
    let life = key.life();
    if all.signing(now).is_some_and(|signing| signing.name() == key.name()) {
        return "signs".into();
    }
    match life.retired_at {
        Some(end) if end <= now => format!("retired since {}", rfc3339(end)),
        Some(end) => format!("verifies until {}", rfc3339(end)),
        None if now < life.signs_from => format!("signs from {}", rfc3339(life.signs_from)),
        None => "verifies".into(),
    }
}
