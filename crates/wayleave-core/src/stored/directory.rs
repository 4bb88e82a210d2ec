//! Rows of the directories as their values. The columns are called as the fields are.

use super::{Columns, Malformed, decode_labels};
use crate::decide::Standing;
use crate::lockout::Counter;
use crate::permission::{Ceiling, Permissions};
use crate::ports::{Account, AccountId, AuditRow, ChainLink, Invitation, ServiceKey, StoreError};
use crate::record::Revision;
use crate::time::Timestamp;

/// An account.
///
/// # Errors
/// Corrupt when a column is not what it should be, as everywhere here.
pub fn account<'r>(row: impl Columns<'r>) -> Result<Account, StoreError> {
    Ok(Account {
        id: AccountId::parse(row.text("id")?).ok_or(Malformed("id"))?,
        email: row.parsed("email")?,
        name: row.text("name")?.into(),
        role: row.text("role")?.into(),
        phone: row.optional_text("phone")?.map(Into::into),
        labels: decode_labels(row.blob("labels")?)?,
        avatar: row.optional_text("avatar")?.map(Into::into),
        permissions: row.permissions("permissions")?,
        disabled: row.flag("disabled")?,
        must_change_password: row.flag("must_change_password")?,
        epoch: row.number("epoch")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        last_sign_in_at: row.optional_time("last_sign_in_at")?,
        revision: Revision(row.number("revision")?),
    })
}

/// How a subject stands that does not exist.
#[must_use]
pub fn nobody() -> Standing {
    Standing { active: false, until: None, epoch: 0, ceiling: Ceiling::Only(Permissions::none()), licensed: false }
}

/// How the subject of an account stands.
///
/// # Errors
/// As [`account`].
pub fn account_standing<'r>(row: impl Columns<'r>) -> Result<Standing, StoreError> {
    Ok(Standing {
        active: !row.flag("disabled")?,
        until: None,
        epoch: row.number("epoch")?,
        ceiling: Ceiling::Only(row.permissions("permissions")?),
        licensed: false,
    })
}

/// How the subjects of a service key stand at `now`.
///
/// # Errors
/// As [`account`].
pub fn service_standing<'r>(row: impl Columns<'r>, now: Timestamp) -> Result<Standing, StoreError> {
    let expires_at = row.time("expires_at")?;
    Ok(Standing {
        active: row.optional_time("revoked_at")?.is_none() && now < expires_at,
        until: Some(expires_at),
        epoch: 0,
        ceiling: Ceiling::Only(row.permissions("permissions")?),
        licensed: false,
    })
}

/// A service key.
///
/// # Errors
/// As [`account`].
pub fn service_key<'r>(row: impl Columns<'r>) -> Result<ServiceKey, StoreError> {
    Ok(ServiceKey {
        name: row.text("name")?.into(),
        key: row.bytes("key")?,
        permissions: row.permissions("permissions")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        revoked_at: row.optional_time("revoked_at")?,
    })
}

/// An invitation.
///
/// # Errors
/// As [`account`].
pub fn invitation<'r>(row: impl Columns<'r>) -> Result<Invitation, StoreError> {
    let created_by = row.optional_text("created_by")?.map(|id| AccountId::parse(id).ok_or(Malformed("created_by")));
    Ok(Invitation {
        key: row.bytes("key")?,
        email: row.optional_parsed("email")?,
        permissions: row.permissions("permissions")?,
        created_by: created_by.transpose()?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
    })
}

/// A counter; its count is the column `attempts`.
///
/// # Errors
/// As [`account`].
pub fn counter<'r>(row: impl Columns<'r>) -> Result<Counter, StoreError> {
    Ok(Counter {
        count: row.number("attempts")?,
        since: row.optional_time("since")?,
        locked_until: row.optional_time("locked_until")?,
    })
}

/// A row of the audit log.
///
/// # Errors
/// As [`account`].
pub fn audit_row<'r>(row: impl Columns<'r>) -> Result<AuditRow, StoreError> {
    let text = |name| Ok::<_, StoreError>(row.optional_text(name)?.map(Box::from));
    Ok(AuditRow {
        node: row.text("node")?.into(),
        link: chain_link(row)?,
        at: row.time("at")?,
        event: row.text("event")?.into(),
        session: text("session")?,
        subject: text("subject")?,
        actor: text("actor")?,
        source: text("source")?,
        reason: text("reason")?,
        request: text("request")?,
        count: row.number("count")?,
        detail: text("detail")?,
    })
}

/// Where a row of the audit log stands in its chain.
///
/// # Errors
/// As [`account`].
pub fn chain_link<'r>(row: impl Columns<'r>) -> Result<ChainLink, StoreError> {
    Ok(ChainLink { sequence: row.number("sequence")?, mac: row.bytes("mac")? })
}
