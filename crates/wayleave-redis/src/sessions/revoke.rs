//! `revoke`: ends sessions. Their family's spent tokens go with the last of the family.

use wayleave_core::id::{SessionId, Slot};
use wayleave_core::ports::{Gone, Scope, StoreError};
use wayleave_core::record::Revision;

use crate::keys::Place;
use crate::reply::Reply;
use crate::scripts;
use crate::store::RedisStore;
use crate::stored::{digits, gone, id_bytes, integer, optional};

impl RedisStore {
    pub(super) async fn revoke_scope(&self, scope: &Scope) -> Result<Vec<Gone>, StoreError> {
        match scope {
            Scope::One(slot, id) => self.end_one(*slot, *id, None).await,
            Scope::Others { subject, slot, keep } => {
                self.end(*slot, "others", [subject.as_str().into(), id_bytes(*keep), Vec::new()]).await
            }
            Scope::All { subject, slot } => {
                self.end(*slot, "all", [subject.as_str().into(), Vec::new(), Vec::new()]).await
            }
            Scope::Family(slot, family) => self.end(*slot, "family", [family.0.to_vec(), Vec::new(), Vec::new()]).await,
        }
    }

    /// Ends one session, if it is at the revision that is expected.
    pub(super) async fn end_one(
        &self,
        slot: Slot,
        id: SessionId,
        expected: Option<Revision>,
    ) -> Result<Vec<Gone>, StoreError> {
        let expected = optional(expected.map(|expected| integer(expected.0)).transpose()?);
        self.end(slot, "one", [id_bytes(id), id.prefix().as_str().into(), expected]).await
    }

    async fn end(
        &self,
        slot: Slot,
        scope: &str,
        [name, extra, expected]: [Vec<u8>; 3],
    ) -> Result<Vec<Gone>, StoreError> {
        let arguments = vec![scope.into(), digits(slot.0), name, extra, expected];
        gone(Reply(self.at(Place::of(slot), &scripts::REVOKE, arguments).await?))
    }
}
