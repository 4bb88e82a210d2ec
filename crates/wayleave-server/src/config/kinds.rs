//! `[kinds.NAME]`: the built-in kinds of session, changed and extended key by key, and checked at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use wayleave_core::authentication::Level;
use wayleave_core::id::IdPrefix;
use wayleave_core::permission::{Ceiling, Permissions};
use wayleave_core::policy::{
    AtLimit, Concurrency, FingerprintMode, IdleLimit, InvalidPolicy, KindName, Kinds, Policy, Remembered, TokenFormat,
};

use super::words::TokenForm;

/// Most kinds of one deployment.
pub(super) const MAX_KINDS: usize = 64;

/// A policy in the shape of its keys.
#[derive(Clone, Debug)]
pub(super) struct KindDraft {
    pub(super) id_prefix: IdPrefix,
    pub(super) token_lifetime: Duration,
    pub(super) absolute_limit: Duration,
    pub(super) idle_limit: IdleLimit,
    pub(super) remembered_absolute_limit: Option<Duration>,
    pub(super) remembered_idle_limit: Option<Duration>,
    pub(super) most: u32,
    pub(super) at_limit: AtLimit,
    pub(super) permissions: Ceiling,
    pub(super) fingerprint: FingerprintMode,
    pub(super) token_format: TokenForm,
    pub(super) jwt_lifetime: Duration,
    pub(super) level: Level,
    pub(super) requires_licence: bool,
}

impl Default for KindDraft {
    /// What a new kind starts from: the limits of `standard`, and no permission at all.
    fn default() -> Self {
        let kinds = Kinds::default();
        let standard = kinds.iter().find(|(name, _)| name.as_str() == "standard");
        let mut draft = standard.map_or_else(Self::fallback, |(_, policy)| Self::from(policy));
        draft.permissions = Ceiling::Only(Permissions::none());
        draft
    }
}

impl KindDraft {
    const fn fallback() -> Self {
        Self {
            id_prefix: IdPrefix::FALLBACK,
            token_lifetime: Duration::from_secs(12 * 3600),
            absolute_limit: Duration::from_secs(7 * 86_400),
            idle_limit: IdleLimit::None,
            remembered_absolute_limit: None,
            remembered_idle_limit: None,
            most: 5,
            at_limit: AtLimit::EvictOldest,
            permissions: Ceiling::Any,
            fingerprint: FingerprintMode::Observe,
            token_format: TokenForm::Opaque,
            jwt_lifetime: JWT_LIFETIME,
            level: Level::ONE,
            requires_licence: false,
        }
    }

    /// The policy that the keys describe.
    fn policy(&self) -> Result<Policy, Mismatch> {
        let remembered = match (self.remembered_absolute_limit, self.remembered_idle_limit) {
            (None, None) => None,
            (Some(absolute_limit), Some(idle_limit)) => Some(Remembered { absolute_limit, idle_limit }),
            (Some(_), None) | (None, Some(_)) => return Err(Mismatch::HalfRemembered),
        };
        let policy = Policy {
            id_prefix: self.id_prefix,
            token_lifetime: self.token_lifetime,
            absolute_limit: self.absolute_limit,
            idle_limit: self.idle_limit,
            remembered,
            concurrency: Concurrency { most: self.most, at_limit: self.at_limit },
            ceiling: self.permissions.clone(),
            fingerprint: self.fingerprint,
            token_format: match self.token_format {
                TokenForm::Opaque => TokenFormat::Opaque,
                TokenForm::Jwt => TokenFormat::Jwt { lifetime: self.jwt_lifetime },
            },
            level: self.level,
            requires_licence: self.requires_licence,
        };
        policy.check()?;
        Ok(policy)
    }
}

const JWT_LIFETIME: Duration = Duration::from_secs(15 * 60);

impl From<&Policy> for KindDraft {
    fn from(policy: &Policy) -> Self {
        let Policy {
            id_prefix,
            token_lifetime,
            absolute_limit,
            idle_limit,
            remembered,
            concurrency,
            ceiling,
            fingerprint,
            token_format,
            level,
            requires_licence,
        } = policy;
        let (token_format, jwt_lifetime) = match token_format {
            TokenFormat::Opaque => (TokenForm::Opaque, JWT_LIFETIME),
            TokenFormat::Jwt { lifetime } => (TokenForm::Jwt, *lifetime),
        };
        Self {
            id_prefix: *id_prefix,
            token_lifetime: *token_lifetime,
            absolute_limit: *absolute_limit,
            idle_limit: *idle_limit,
            remembered_absolute_limit: remembered.map(|longer| longer.absolute_limit),
            remembered_idle_limit: remembered.map(|longer| longer.idle_limit),
            most: concurrency.most,
            at_limit: concurrency.at_limit,
            permissions: ceiling.clone(),
            fingerprint: *fingerprint,
            token_format,
            jwt_lifetime,
            level: *level,
            requires_licence: *requires_licence,
        }
    }
}

/// Why the keys of a kind do not make a policy.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mismatch {
    /// The core says so.
    #[error(transparent)]
    Policy(#[from] InvalidPolicy),
    /// Only one of the two limits of remembered sessions is there.
    #[error("`remembered_absolute_limit` and `remembered_idle_limit` go together: give both, or `none` for both")]
    HalfRemembered,
}

impl Mismatch {
    /// The keys that have to do with it, the likeliest first.
    pub(super) const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Policy(problem) => match problem {
                InvalidPolicy::KindName | InvalidPolicy::SessionTimeout => &[],
                InvalidPolicy::TokenLifetime => &["token_lifetime", "absolute_limit"],
                InvalidPolicy::AbsoluteLimit => &["absolute_limit"],
                InvalidPolicy::IdleLimit => &["idle_limit"],
                InvalidPolicy::Remembered => &["remembered_absolute_limit", "remembered_idle_limit"],
                InvalidPolicy::Concurrency => &["most"],
                InvalidPolicy::TokenFormat => &["jwt_lifetime", "token_lifetime", "token_format"],
            },
            Self::HalfRemembered => &["remembered_absolute_limit", "remembered_idle_limit"],
        }
    }
}

/// The built-in kinds as drafts.
pub(super) fn built_in() -> BTreeMap<KindName, KindDraft> {
    Kinds::default().iter().map(|(name, policy)| (name.clone(), policy.into())).collect()
}

/// The policies of all drafts, or which of them are none and why.
pub(super) fn policies(drafts: &BTreeMap<KindName, KindDraft>) -> Result<Kinds, Vec<(KindName, Mismatch)>> {
    let mut kinds = BTreeMap::new();
    let mut mismatches = Vec::new();
    for (name, draft) in drafts {
        match draft.policy() {
            Ok(policy) => drop(kinds.insert(name.clone(), policy)),
            Err(mismatch) => mismatches.push((name.clone(), mismatch)),
        }
    }
    if !mismatches.is_empty() {
        return Err(mismatches);
    }
    Kinds::new(kinds, Kinds::default().epoch()).map_err(|(name, problem)| vec![(name, Mismatch::Policy(problem))])
}
