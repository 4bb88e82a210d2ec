//! `update`: compare-and-set by [`Record::updated_from`].

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::ports::{Lookup, StoreError, Update};
use wayleave_core::record::{Record, Revision};
use wayleave_core::stored::{self, SealedColumns, Sealing};

use super::by;
use crate::columns::Columns;
use crate::error::failed;
use crate::stored::{UPDATE, bind_state};
use crate::writer::Write;

pub(super) struct UpdateRecord {
    changed: Record,
    sealed: SealedColumns,
    expected: Revision,
    sealing: Sealing,
}

impl UpdateRecord {
    pub(super) fn new(changed: &Record, expected: Revision, sealing: &Sealing) -> Result<Self, StoreError> {
        if !changed.fits() {
            return Err(StoreError::Full);
        }
        let sealed = sealing.seal_record(changed)?;
        Ok(Self { changed: changed.clone(), sealed, expected, sealing: sealing.clone() })
    }
}

#[async_trait]
impl Write for UpdateRecord {
    type Output = Update;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Update, StoreError> {
        let Self { changed, sealed, expected, sealing } = self;
        let held = by(Lookup::Id(changed.slot, changed.id)).fetch_optional(&mut *connection).await.map_err(failed)?;
        let Some(held) = held else {
            return Ok(Update::Missing);
        };
        let held = stored::record(Columns(&held), sealing)?;
        if held.revision != *expected {
            return Ok(Update::Conflict);
        }
        // Client, context and data come from `changed` as they are, so what was sealed of them fits.
        let updated = held.updated_from(changed);
        let update = bind_state(sqlx::query(UPDATE), &updated, sealed)?.bind(updated.id.bytes().to_vec());
        update.execute(connection).await.map_err(failed)?;
        Ok(Update::Done(Arc::new(updated)))
    }
}
