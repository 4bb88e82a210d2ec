//! `revoke`: ends sessions. Their family's spent tokens go with the last of the family.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::ports::{Gone, Scope, StoreError};

use super::gone;
use crate::error::failed;
use crate::stored::returning_gone;
use crate::writer::Write;

pub(crate) const ONE: &str = returning_gone!("DELETE FROM sessions WHERE id = ?1 AND slot = ?2 AND prefix = ?3");
pub(crate) const OTHERS: &str = returning_gone!("DELETE FROM sessions WHERE subject = ?1 AND slot = ?2 AND id <> ?3");
pub(crate) const ALL: &str = returning_gone!("DELETE FROM sessions WHERE subject = ?1 AND slot = ?2");
pub(crate) const FAMILY: &str = returning_gone!("DELETE FROM sessions WHERE family = ?1 AND slot = ?2");

pub(super) struct Revoke(pub(super) Scope);

#[async_trait]
impl Write for Revoke {
    type Output = Vec<Gone>;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Vec<Gone>, StoreError> {
        let statement = match &self.0 {
            Scope::One(slot, id) => sqlx::query(ONE).bind(id.bytes().to_vec()).bind(slot.0).bind(id.prefix().as_str()),
            Scope::Others { subject, slot, keep } => {
                sqlx::query(OTHERS).bind(subject.as_str()).bind(slot.0).bind(keep.bytes().to_vec())
            }
            Scope::All { subject, slot } => sqlx::query(ALL).bind(subject.as_str()).bind(slot.0),
            Scope::Family(slot, family) => sqlx::query(FAMILY).bind(family.0.to_vec()).bind(slot.0),
        };
        let rows = statement.fetch_all(connection).await.map_err(failed)?;
        Ok(gone(&rows))
    }
}
