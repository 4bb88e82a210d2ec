//! Names whose credential identifier is in use by an account that is not called so any more.
//!
//! An account keeps its OPAQUE record when its address changes, and with it the credential identifier that was made of
//! the old one. Whoever registers under that address later must not have the same: two people would share one OPRF key
//! (R114). So the old address is marked, and the next identifier that is made of it is another.
//!
//! A mark lies among the credentials, under an account id that is a hash of the name and that no account has.

use sha2::{Digest as _, Sha256};
use wayleave_core::authentication::Method;
use wayleave_core::ports::{AccountId, Credential, Credentials, EmailAddress, StoreError};
use wayleave_core::time::Timestamp;

/// How often a name was retired: 0 for most.
///
/// # Errors
/// [`StoreError`].
pub async fn times(credentials: &dyn Credentials, name: &EmailAddress) -> Result<u32, StoreError> {
    let Some(mark) = credentials.find(&marked(name), Method::Opaque).await? else { return Ok(0) };
    let times = mark.secret.as_ref().try_into().map_err(|_| StoreError::Corrupt(None))?;
    Ok(u32::from_be_bytes(times))
}

/// Marks the name of an account that is about to get another, if it has an OPAQUE record. Before, so that no crash leaves
/// the name free and unmarked; a mark for nothing does no harm.
///
/// # Errors
/// [`StoreError`].
pub async fn retire(
    credentials: &dyn Credentials,
    account: &AccountId,
    name: &EmailAddress,
    now: Timestamp,
) -> Result<(), StoreError> {
    if credentials.find(account, Method::Opaque).await?.is_none() {
        return Ok(());
    }
    let times = times(credentials, name).await?.saturating_add(1);
    let mark = Credential { secret: times.to_be_bytes().into(), changed_at: now };
    credentials.set(&marked(name), Method::Opaque, &mark).await
}

fn marked(name: &EmailAddress) -> AccountId {
    let hash = Sha256::new_with_prefix("retired OPAQUE name").chain_update(name.as_str()).finalize();
    let mut id = [0; 16];
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    AccountId::new(id)
}
