//! `revoke`: ends sessions. Their family's spent tokens go with the last of the family.

use wayleave_core::ports::Scope;

use crate::statement::Statement;
use crate::store::PostgresStore;

pub(crate) const REVOKE: &str =
    "SELECT id, prefix, slot, family, token, kind, subject FROM session_revoke($1, $2, $3, $4, $5, $6)";

pub(super) fn statement(store: &PostgresStore, scope: &Scope) -> Statement {
    let (slot, id, subject, family) = match scope {
        Scope::One(slot, id) => (slot, Some(id), None, None),
        Scope::Others { subject, slot, keep } => (slot, Some(keep), Some(subject), None),
        Scope::All { subject, slot } => (slot, None, Some(subject), None),
        Scope::Family(slot, family) => (slot, None, None, Some(family)),
    };
    Statement::new(REVOKE)
        .bind(store.slots.0)
        .bind(i64::from(slot.0))
        .bind(id.map(|id| id.bytes()))
        .bind(id.map(|id| id.prefix().as_str().to_owned()))
        .bind(subject.map(|subject| subject.as_str()))
        .bind(family.map(|family| family.0))
}
