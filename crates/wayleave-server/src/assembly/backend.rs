//! Where everything is kept: the stores that the configuration names, behind the ports.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wayleave_core::memory::{DirectoryLimits, MemoryBlobs, MemoryDirectory, MemoryOptions, MemoryStore};
use wayleave_core::ports::{BlobStore, Bus, SessionStore, StoreError, Subjects};
use wayleave_core::seal::KeyRing;
use wayleave_postgres::PostgresStore;
use wayleave_redis::{RedisStore, Replication, Servers};
use wayleave_sqlite::{ForeignWrites, SqliteStore, SqliteVault};

use super::{Ambient, StartError};
use crate::app::Directory;
use crate::config::{Config, ServerUrl, StoreUrl};
use crate::secrets::MasterKeys;

/// Where everything is kept.
#[derive(Clone)]
pub struct Backend {
    /// Sessions.
    pub store: Arc<dyn SessionStore>,
    /// People and settings.
    pub directory: Directory,
    /// How subjects stand.
    pub subjects: Arc<dyn Subjects>,
    /// Where servers on one store tell each other what changed.
    pub bus: Option<Arc<dyn Bus>>,
    /// The vault's blobs, where there are some.
    pub blobs: Option<Arc<dyn BlobStore>>,
    sqlite: Option<Arc<SqliteStore>>,
    vault: Option<Arc<SqliteVault>>,
    postgres: Option<Arc<PostgresStore>>,
}

/// One database with everything but sessions, and perhaps those, too.
struct Base {
    directory: Directory,
    subjects: Arc<dyn Subjects>,
    store: Arc<dyn SessionStore>,
    bus: Option<Arc<dyn Bus>>,
    blobs: Option<Arc<dyn BlobStore>>,
    sqlite: Option<Arc<SqliteStore>>,
    vault: Option<Arc<SqliteVault>>,
    postgres: Option<Arc<PostgresStore>>,
}

/// How long a replica may take to acknowledge a write.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(1);

impl Backend {
    /// A backend of other parts than the configuration can name, with blobs in memory.
    #[must_use]
    pub fn of(store: Arc<dyn SessionStore>, directory: Directory, subjects: Arc<dyn Subjects>) -> Self {
        let blobs = Some(Arc::new(MemoryBlobs::default()) as _);
        Self { store, directory, subjects, bus: None, blobs, sqlite: None, vault: None, postgres: None }
    }

    /// Opens the stores that the configuration names.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn open(config: &Config, keys: &MasterKeys, ambient: &Ambient) -> Result<Self, StartError> {
        let ring = Arc::new(keys.key_ring().map_err(|_| StartError::Keys)?);
        let base = match config.directory() {
            StoreUrl::Memory => memory(config, ambient),
            StoreUrl::Sqlite(path) => sqlite(config, path, Arc::clone(&ring), ambient).await?,
            StoreUrl::Postgres(url) => postgres(config, url, Arc::clone(&ring), ambient).await?,
            StoreUrl::Redis(_) | StoreUrl::RedisCluster(_) => return Err(StartError::NoDirectory),
        };
        let servers = match &config.store.url {
            StoreUrl::Memory | StoreUrl::Sqlite(_) | StoreUrl::Postgres(_) => None,
            StoreUrl::Redis(url) => Some(Servers::single(url.reveal())),
            StoreUrl::RedisCluster(urls) => Some(Servers::cluster(urls.iter().map(ServerUrl::reveal))),
        };
        let Base { directory, subjects, store, bus, blobs, sqlite, vault, postgres } = base;
        let (store, bus) = match servers {
            None => (store, bus),
            Some(servers) => {
                let routing = Arc::new(keys.routing());
                let options = wayleave_redis::Options::new(servers, ring, routing, Arc::clone(&ambient.entropy));
                let replication = if config.store.replicated {
                    Replication::OneReplica { within: ACKNOWLEDGED_WITHIN }
                } else {
                    Replication::Unacknowledged
                };
                let redis = Arc::new(RedisStore::open(wayleave_redis::Options { replication, ..options }).await?);
                (Arc::clone(&redis) as Arc<dyn SessionStore>, Some(redis as Arc<dyn Bus>))
            }
        };
        Ok(Self { store, directory, subjects, bus, blobs, sqlite, vault, postgres })
    }

    /// How much other processes have written to the store, where others can without a bus.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    pub async fn foreign_writes(&self) -> Result<Option<ForeignWrites>, StoreError> {
        match &self.sqlite {
            Some(sqlite) => sqlite.foreign_writes().await.map(Some),
            None => Ok(None),
        }
    }

    /// Writes what waits and closes the stores.
    pub async fn close(&self) {
        if let Some(sqlite) = &self.sqlite {
            sqlite.close().await;
        }
        if let Some(vault) = &self.vault {
            vault.close().await;
        }
        if let Some(postgres) = &self.postgres {
            postgres.close().await;
        }
    }
}

/// Where blobs are, beside the SQLite file of everything else.
pub fn vault_file(store: &Path) -> PathBuf {
    store.with_file_name("vault.db")
}

fn memory(config: &Config, ambient: &Ambient) -> Base {
    let options = MemoryOptions {
        most_records: usize::try_from(config.store.memory_sessions).unwrap_or(usize::MAX),
        ..MemoryOptions::default()
    };
    let memory = Arc::new(MemoryDirectory::new(DirectoryLimits::default(), Arc::clone(&ambient.clock)));
    Base {
        directory: directory(&memory),
        subjects: memory,
        store: Arc::new(MemoryStore::new(options)),
        bus: None,
        blobs: config.vault.blobs.then(|| Arc::new(MemoryBlobs::default()) as _),
        sqlite: None,
        vault: None,
        postgres: None,
    }
}

async fn sqlite(config: &Config, path: &Path, ring: Arc<KeyRing>, ambient: &Ambient) -> Result<Base, StartError> {
    let mut options = wayleave_sqlite::Options::new(ring, Arc::clone(&ambient.entropy), Arc::clone(&ambient.clock));
    options.readers = config.store.readers;
    options.busy_timeout = config.store.busy_timeout;
    let path = config.resolve(path);
    let vault = match config.vault.blobs {
        true => Some(Arc::new(SqliteVault::open(vault_file(&path), &options).await?)),
        false => None,
    };
    let sqlite = Arc::new(SqliteStore::open(path, options).await?);
    Ok(Base {
        directory: directory(&sqlite),
        subjects: Arc::clone(&sqlite) as _,
        store: Arc::clone(&sqlite) as _,
        bus: None,
        blobs: vault.clone().map(|vault| vault as _),
        sqlite: Some(sqlite),
        vault,
        postgres: None,
    })
}

async fn postgres(config: &Config, url: &ServerUrl, ring: Arc<KeyRing>, ambient: &Ambient) -> Result<Base, StartError> {
    let mut options = wayleave_postgres::Options::new(ring, Arc::clone(&ambient.entropy), Arc::clone(&ambient.clock));
    options.connections = config.store.connections;
    options.acquire_timeout = config.store.busy_timeout;
    let postgres = Arc::new(PostgresStore::connect(url.reveal(), options).await?);
    Ok(Base {
        directory: directory(&postgres),
        subjects: Arc::clone(&postgres) as _,
        store: Arc::clone(&postgres) as _,
        bus: Some(Arc::clone(&postgres) as _),
        blobs: config.vault.blobs.then(|| Arc::clone(&postgres) as _),
        sqlite: None,
        vault: None,
        postgres: Some(postgres),
    })
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
