//! The two kinds of session that an embedding application has.

use std::collections::BTreeMap;

use wayleave_core::authentication::Level;
use wayleave_core::id::IdPrefix;
use wayleave_core::permission::Ceiling;
use wayleave_core::policy::{
    AtLimit, Concurrency, FingerprintMode, IdleLimit, InvalidPolicy, KindName, Kinds, Policy, Remembered, TokenFormat,
};

use super::options::Lifetimes;

/// Most sessions of one subject; the oldest makes room.
const MOST: u32 = 100;

/// The kinds, and the names of the one for those signed in and the one for guests.
pub(super) fn kinds(lifetimes: &Lifetimes) -> Result<(Kinds, KindName, KindName), InvalidPolicy> {
    let Lifetimes { guest, signed_in, idle, remembered } = *lifetimes;
    let base = Policy {
        id_prefix: IdPrefix::new("web").unwrap_or(IdPrefix::FALLBACK),
        token_lifetime: signed_in,
        absolute_limit: signed_in,
        idle_limit: IdleLimit::Fixed(idle),
        remembered: Some(Remembered { absolute_limit: remembered, idle_limit: remembered }),
        concurrency: Concurrency { most: MOST, at_limit: AtLimit::EvictOldest },
        ceiling: Ceiling::Any,
        fingerprint: FingerprintMode::Off,
        token_format: TokenFormat::Opaque,
        level: Level::ONE,
        requires_licence: false,
    };
    let for_guests = Policy {
        id_prefix: IdPrefix::new("guest").unwrap_or(IdPrefix::FALLBACK),
        token_lifetime: guest,
        absolute_limit: guest,
        idle_limit: IdleLimit::None,
        remembered: None,
        ..base.clone()
    };
    let (web, guest): (KindName, KindName) = ("web".parse()?, "guest".parse()?);
    let kinds = BTreeMap::from([(web.clone(), base), (guest.clone(), for_guests)]);
    Ok((Kinds::new(kinds, 1).map_err(|(_, problem)| problem)?, web, guest))
}
