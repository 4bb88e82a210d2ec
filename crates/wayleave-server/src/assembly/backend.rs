//! Where everything is kept: the store that the configuration names, behind the ports.

use std::sync::Arc;

use wayleave_core::memory::{DirectoryLimits, MemoryDirectory, MemoryOptions, MemoryStore};
use wayleave_core::ports::{SessionStore, StoreError, Subjects};
use wayleave_core::seal::KeyRing;
use wayleave_sqlite::{ForeignWrites, SqliteStore};

use super::{Ambient, StartError};
use crate::app::Directory;
use crate::config::{Config, StoreUrl};

/// Where everything is kept.
#[derive(Clone)]
pub struct Backend {
    /// Sessions.
    pub store: Arc<dyn SessionStore>,
    /// People and settings.
    pub directory: Directory,
    /// How subjects stand.
    pub subjects: Arc<dyn Subjects>,
    sqlite: Option<Arc<SqliteStore>>,
}

impl Backend {
    /// A backend of other parts than the configuration can name.
    #[must_use]
    pub fn of(store: Arc<dyn SessionStore>, directory: Directory, subjects: Arc<dyn Subjects>) -> Self {
        Self { store, directory, subjects, sqlite: None }
    }

    /// Opens the store that the configuration names.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open(config: &Config, ring: Arc<KeyRing>, ambient: &Ambient) -> Result<Self, StartError> {
        match &config.store.url {
            StoreUrl::Memory => {
                let options = MemoryOptions {
                    most_records: usize::try_from(config.store.memory_sessions).unwrap_or(usize::MAX),
                    ..MemoryOptions::default()
                };
                let store: Arc<dyn SessionStore> = Arc::new(MemoryStore::new(options));
                let memory = Arc::new(MemoryDirectory::new(DirectoryLimits::default(), Arc::clone(&ambient.clock)));
                Ok(Self { store, directory: directory(&memory), subjects: memory, sqlite: None })
            }
            StoreUrl::Sqlite(path) => {
                let mut options =
                    wayleave_sqlite::Options::new(ring, Arc::clone(&ambient.entropy), Arc::clone(&ambient.clock));
                options.readers = config.store.readers;
                options.busy_timeout = config.store.busy_timeout;
                let sqlite = Arc::new(SqliteStore::open(config.resolve(path), options).await?);
                Ok(Self {
                    store: Arc::clone(&sqlite) as Arc<dyn SessionStore>,
                    directory: directory(&sqlite),
                    subjects: Arc::clone(&sqlite) as Arc<dyn Subjects>,
                    sqlite: Some(sqlite),
                })
            }
        }
    }

    /// How much other processes have written to the store, where others can.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    pub async fn foreign_writes(&self) -> Result<Option<ForeignWrites>, StoreError> {
        match &self.sqlite {
            Some(sqlite) => sqlite.foreign_writes().await.map(Some),
            None => Ok(None),
        }
    }

    /// Writes what waits and closes the store.
    pub async fn close(&self) {
        if let Some(sqlite) = &self.sqlite {
            sqlite.close().await;
        }
    }
}

/// One type that implements every port of the directory, as the directory.
pub fn directory<D>(all: &Arc<D>) -> Directory
where
    D: wayleave_core::ports::Accounts
        + wayleave_core::ports::Credentials
        + wayleave_core::ports::KnownDevices
        + wayleave_core::ports::Settings
        + wayleave_core::ports::Counters
        + wayleave_core::ports::Invitations
        + wayleave_core::ports::ServiceKeys
        + wayleave_core::ports::AuditLog
        + 'static,
{
    Directory {
        accounts: Arc::clone(all) as _,
        credentials: Arc::clone(all) as _,
        devices: Arc::clone(all) as _,
        settings: Arc::clone(all) as _,
        counters: Arc::clone(all) as _,
        invitations: Arc::clone(all) as _,
        service_keys: Arc::clone(all) as _,
        audit: Arc::clone(all) as _,
    }
}
