//! The store itself: opening and closing it, and how its parts reach the database.

use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgRow};
use wayleave_core::ports::{Clock, StoreError};
use wayleave_core::stored::Sealing;

use crate::error::{OpenError, failed};
use crate::options::Options;
use crate::pool::{Effect, Pool};
use crate::schema;
use crate::statement::Statement;

/// How many connections there are at most for publishing: one, and another for when that one does not answer.
const PUBLISHING: u32 = 2;

/// Sessions, tickets, directories and the bus in one PostgreSQL database. Implements every storing port of
/// `wayleave_core::ports`.
///
/// To be put into an [`Arc`] and handed out as `dyn` ports. Any number of nodes may use one database. Connections are
/// made when they are needed and made anew when they break; while the server is gone, operations are unavailable.
pub struct PostgresStore {
    pool: Pool,
    /// For what the other nodes must hear: never behind the operations of this one.
    pub(crate) publishing: Pool,
    /// For blobs, whose pieces are large.
    pub(crate) vault: Pool,
    pub(crate) server: PgConnectOptions,
    pub(crate) sealing: Sealing,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    pub(crate) slots: LockClass,
    pub(crate) devices: LockClass,
    pub(crate) blobs: LockClass,
}

/// The first half of an advisory lock's key.
#[derive(Copy, Clone)]
pub(crate) struct LockClass(pub(crate) i32);

impl PostgresStore {
    /// Opens the database at `url`: `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=...`,
    /// with the parameters of libpq.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed then.
    pub async fn connect(url: &str, options: Options) -> Result<Self, OpenError> {
        let server = schema::server(url, &options)?;
        schema::prepare(&server, &options).await?;
        let class = |what| LockClass(schema::lock_class(&options.namespace, what));
        Ok(Self {
            pool: Pool::new(server.clone(), options.connections, &options),
            publishing: Pool::new(server.clone(), PUBLISHING, &options),
            vault: Pool::new(server.clone(), options.vault_connections, &options),
            server,
            sealing: Sealing::new(Arc::clone(&options.sealing), Arc::clone(&options.entropy)),
            clock: Arc::clone(&options.clock),
            slots: class("slots"),
            devices: class("devices"),
            blobs: class("blobs"),
            options,
        })
    }

    /// Brings the schema of the database at `url` up to date. Nodes of the version before go on working meanwhile and
    /// afterwards, unless the release notes say otherwise.
    ///
    /// # Errors
    /// [`OpenError`]; the schema is as it was then.
    pub async fn migrate(url: &str, options: &Options) -> Result<(), OpenError> {
        schema::migrate(&schema::server(url, options)?, options).await
    }

    /// Closes the connections. Every operation after that is unavailable.
    pub async fn close(&self) {
        tokio::join!(self.pool.close(), self.publishing.close(), self.vault.close());
    }

    pub(crate) async fn read(&self, statement: &Statement) -> Result<Vec<PgRow>, StoreError> {
        self.pool.run(Effect::Reads, statement).await?.map_err(failed)
    }

    pub(crate) async fn read_one(&self, statement: &Statement) -> Result<Option<PgRow>, StoreError> {
        Ok(self.read(statement).await?.into_iter().next())
    }

    pub(crate) async fn write(&self, statement: &Statement) -> Result<Vec<PgRow>, StoreError> {
        self.try_write(statement).await?.map_err(failed)
    }

    /// For whoever expects an error.
    pub(crate) async fn try_write(&self, statement: &Statement) -> Result<Result<Vec<PgRow>, sqlx::Error>, StoreError> {
        self.pool.run(Effect::Writes, statement).await
    }

    pub(crate) async fn write_one(&self, statement: &Statement) -> Result<Option<PgRow>, StoreError> {
        Ok(self.write(statement).await?.into_iter().next())
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").field("options", &self.options).finish_non_exhaustive()
    }
}
