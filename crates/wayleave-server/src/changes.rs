//! How a running server learns that another process wrote to its store: SQLite counts what others commit, so that nobody
//! has to say anything and a command that is killed right after its commit is heard all the same.

use std::time::Duration;

use wayleave_core::ports::StoreError;
use wayleave_sqlite::ForeignWrites;

use crate::app::App;
use crate::assembly::Backend;

/// How long the store may take to say what others wrote.
const PATIENCE: Duration = Duration::from_secs(1);

/// The store did not answer in time.
#[derive(Copy, Clone, Debug, thiserror::Error)]
#[error("no answer within {} ms", PATIENCE.as_millis())]
struct Silence;

/// Takes over what others wrote since the last time. While the store cannot say, or not in time, nothing stays in
/// memory: anything that is there may have been ended.
///
/// # Errors
/// [`StoreError`] when the store cannot answer; to be called again.
pub async fn follow(app: &App, watch: &mut Watch) -> Result<(), StoreError> {
    let asked = tokio::time::timeout(PATIENCE, watch.changed()).await;
    match asked.unwrap_or_else(|_| Err(StoreError::unavailable(Silence))) {
        Ok(None) => Ok(()),
        Ok(Some(change)) => {
            app.reload().await?;
            watch.note(change);
            Ok(())
        }
        Err(error) => {
            app.manager.forget_everything();
            Err(error)
        }
    }
}

/// Others wrote. To be handed back to [`Watch::note`]; until then it is told again.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Change(Option<ForeignWrites>);

/// Notices what others write.
pub struct Watch {
    backend: Backend,
    seen: Option<ForeignWrites>,
}

impl Watch {
    /// Notices what is written from now on: to be started before anything is read that stays in memory.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    pub async fn start(backend: Backend) -> Result<Self, StoreError> {
        let seen = backend.foreign_writes().await?;
        Ok(Self { backend, seen })
    }

    /// What others wrote since it was last taken note of; nothing when they wrote nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    pub async fn changed(&self) -> Result<Option<Change>, StoreError> {
        let now = self.backend.foreign_writes().await?;
        Ok((now != self.seen).then_some(Change(now)))
    }

    /// Takes note of a change, once what follows from it has been done.
    pub fn note(&mut self, Change(writes): Change) {
        self.seen = writes;
    }
}
