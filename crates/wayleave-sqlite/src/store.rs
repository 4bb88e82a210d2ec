//! The store itself: the connections, and opening and closing them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::{Sqlite, SqlitePool};
use wayleave_core::ports::{Clock, StoreError};
use wayleave_core::stored::Sealing;

use crate::error::{OpenError, failed};
use crate::options::Options;
use crate::schema;
use crate::writer::{Write, Writer};

/// Sessions, tickets and directories in one SQLite file. Implements every storing port of `wayleave_core::ports`.
///
/// To be put into an [`Arc`] and handed out as `dyn` ports. Several processes may open one file; none may share it
/// over a network file system, whose locks SQLite cannot rely on.
pub struct SqliteStore {
    pub(crate) readers: SqlitePool,
    pub(crate) writer: Writer,
    pub(crate) sealing: Sealing,
    pub(crate) clock: Arc<dyn Clock>,
    // After the connections, so that they are gone when it is removed.
    _folder: Option<TemporaryFolder>,
}

impl SqliteStore {
    /// Opens the file at `path`, making it (mode 0600) and its folder (mode 0700) when they do not exist. `:memory:`
    /// is understood as [`Self::open_temporary`].
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed then, except that an empty file may have been made.
    pub async fn open(path: impl AsRef<Path> + Send, options: Options) -> Result<Self, OpenError> {
        if path.as_ref() == Path::new(":memory:") {
            return Self::open_temporary(options).await;
        }
        Self::open_file(path.as_ref(), options, None).await
    }

    /// Opens a store in a folder of its own under the system's temporary folder, which is removed with the store: for
    /// trials and tests.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_temporary(options: Options) -> Result<Self, OpenError> {
        let mut random = [0; 16];
        options.entropy.fill(&mut random).map_err(StoreError::unavailable)?;
        let folder = std::env::temp_dir().join(format!("wayleave-{:032x}", u128::from_be_bytes(random)));
        schema::create_new_folder(&folder)?;
        let folder = TemporaryFolder(folder);
        let path = folder.0.join("wayleave.sqlite");
        Self::open_file(&path, options, Some(folder)).await
    }

    /// Brings the schema of the file at `path` up to date, making the file when it does not exist.
    ///
    /// # Errors
    /// [`OpenError`]; the schema is as it was then.
    pub async fn migrate(path: impl AsRef<Path> + Send, options: &Options) -> Result<(), OpenError> {
        schema::migrate(path.as_ref(), options, &schema::STORE).await
    }

    async fn open_file(path: &Path, options: Options, folder: Option<TemporaryFolder>) -> Result<Self, OpenError> {
        let writing = schema::prepare(path, &options, &schema::STORE).await?;
        Ok(Self {
            readers: schema::readers(path, &options),
            writer: Writer::start(writing, options.busy_timeout),
            sealing: Sealing::new(options.sealing, options.entropy),
            clock: options.clock,
            _folder: folder,
        })
    }

    /// Carries out the writes that wait, moves the write-ahead log into the file and closes it. Every operation after
    /// that is unavailable.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// What others have written to the file so far, another process or another store of this one. Waits for the
    /// transaction that is under way and for no other write.
    ///
    /// # Errors
    /// [`StoreError`] when the file does not answer: others may have written then.
    pub async fn foreign_writes(&self) -> Result<ForeignWrites, StoreError> {
        self.writer.data_version().await.map(ForeignWrites)
    }

    pub(crate) async fn write<W: Write>(&self, write: W) -> Result<W::Output, StoreError> {
        self.writer.run(write).await
    }

    pub(crate) async fn read_one(&self, query: Query) -> Result<Option<sqlx::sqlite::SqliteRow>, StoreError> {
        query.fetch_optional(&self.readers).await.map_err(failed)
    }

    pub(crate) async fn read_all(&self, query: Query) -> Result<Vec<sqlx::sqlite::SqliteRow>, StoreError> {
        query.fetch_all(&self.readers).await.map_err(failed)
    }
}

/// How much others have written to a file. Moves with every commit of theirs and never with one's own; says nothing
/// beyond the store that it was asked of.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ForeignWrites(i64);

/// A statement with its arguments.
pub(crate) type Query = sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments>;

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

struct TemporaryFolder(PathBuf);

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // Left to the system's own cleaning when it does not work.
        std::fs::remove_dir_all(&self.0).ok();
    }
}
