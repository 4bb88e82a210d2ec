//! A deployment, opened by a command: beside a running server or without one.

use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wayleave::{Origin, SystemClock, SystemEntropy};
use wayleave_core::ports::Entropy;
use wayleave_core::subject::Subject;

use super::failure::Failure;
use super::serve::remove;
use crate::app::App;
use crate::assembly::{self, Ambient, Assembly, Backend, Blueprint};
use crate::audit::Entry;
use crate::config::{Config, NodeName, StoreUrl};
use crate::marks::Mark;
use crate::secrets::{self, MasterKeys};

/// Who the audit log says it was.
const ACTOR: &str = "cli";

/// What to do when there is no deployment.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// Make one, as the first start of the server does.
    Make,
    /// Say so.
    Refuse,
}

/// An opened deployment. [`Deployment::close`] must end it.
pub(super) struct Deployment {
    /// The application, as the server has it.
    pub(super) app: Arc<App>,
    /// The master keys.
    pub(super) keys: MasterKeys,
    assembly: Assembly,
    /// Speaks to the servers that run on the same store.
    cluster: (CancellationToken, JoinHandle<()>),
}

/// The world outside, as it is.
pub(super) fn ambient() -> Ambient {
    Ambient { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) }
}

/// Refuses a store that only the server's process sees, and, where asked to, a deployment that is not there.
pub(super) fn require(config: &Config, absent: Absent) -> Result<(), Failure> {
    match (&config.store.url, absent) {
        (StoreUrl::Memory, _) => Err(Failure::MemoryStore),
        (_, Absent::Make) => Ok(()),
        (_, Absent::Refuse) => match config.database() {
            Some(database) if !database.exists() => Err(Failure::NoDeployment(database)),
            Some(_) | None => Ok(()),
        },
    }
}

impl Deployment {
    /// Opens the deployment that the configuration describes.
    pub(super) async fn open(config: &Config, absent: Absent) -> Result<Self, Failure> {
        require(config, absent)?;
        let ambient = ambient();
        let opened = secrets::open(config, &*ambient.entropy)?;
        let backend = Backend::open(config, &opened.keys, &ambient).await?;
        let link_file = config.resolve(Path::new(super::serve::LINK_FILE));
        let node = node(&*ambient.entropy)?;
        let assembled = assembly::assemble(Blueprint {
            config,
            keys: &opened.keys,
            backend: backend.clone(),
            ambient,
            bound: config.server.listen,
            parameters: assembly::password_parameters(config)?,
            node: &node,
            claim: None,
            setup_done: Arc::new(move || remove(&link_file)),
        })
        .await;
        match assembled {
            Ok(assembly) => {
                let app = Arc::clone(&assembly.app);
                let left = CancellationToken::new();
                let running = tokio::spawn({
                    let (manager, left) = (Arc::clone(&app.manager), left.clone());
                    async move { manager.run_cluster(left).await }
                });
                Ok(Self { app, keys: opened.keys, assembly, cluster: (left, running) })
            }
            Err(error) => {
                backend.close().await;
                Err(error.into())
            }
        }
    }

    /// An audit entry of what this command does.
    pub(super) fn entry(event: &'static str, subject: Option<&Subject>) -> Entry {
        Entry {
            event,
            subject: subject.map(|subject| subject.as_str().into()),
            actor: Some(ACTOR.into()),
            ..Entry::default()
        }
    }

    /// To be called before sessions are ended: the store must not get them back from another one by a copy.
    pub(super) async fn will_end_sessions(&self) -> Result<(), Failure> {
        Ok(Mark::Served.put(&*self.app.store, self.app.now()).await?)
    }

    /// Puts a change into the audit log.
    pub(super) fn record(&self, entry: Entry) {
        self.app.record(entry);
    }

    /// Who ends sessions, for their audit rows.
    pub(super) fn origin() -> Origin {
        Origin { actor: Some(ACTOR.into()), ..Origin::default() }
    }

    /// Writes what waits, and closes the store.
    pub(super) async fn close<T>(self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        let Self { app, keys: _, assembly, cluster: (left, running) } = self;
        drop(app);
        left.cancel();
        let _ = running.await;
        assembly.stop().await;
        outcome
    }
}

/// A name for this command's chain in the audit log, which no other process writes at the same time.
fn node(entropy: &dyn Entropy) -> Result<String, Failure> {
    let mut random = [0; 4];
    entropy.fill(&mut random)?;
    Ok(format!("{}{:08x}", NodeName::OF_COMMANDS, u32::from_be_bytes(random)))
}
