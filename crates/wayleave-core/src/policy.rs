//! Kinds of session as data: how long they live, how many there may be, what they may carry and what they require.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::authentication::Level;
use crate::id::IdPrefix;
use crate::permission::{Ceiling, Permissions};
use crate::time::Timestamp;

/// The name of a kind: a lower-case letter followed by at most 31 lower-case letters, digits, `-` or `_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindName(Arc<str>);

impl KindName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `kv`: the kind of key-value sessions without an owner. No policy has it, so that no token ever proves one.
    #[must_use]
    pub fn key_value() -> Self {
        Self(Arc::from("kv"))
    }
}

impl FromStr for KindName {
    type Err = InvalidPolicy;

    fn from_str(text: &str) -> Result<Self, InvalidPolicy> {
        let well_formed = text.len() <= 32
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        if well_formed { Ok(Self(text.into())) } else { Err(InvalidPolicy::KindName) }
    }
}

impl fmt::Debug for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How long a session may go unused.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum IdleLimit {
    /// As long as its token lives.
    None,
    /// This long.
    Fixed(Duration),
    /// The administrators' session timeout, whatever it is at the moment of the request.
    SessionTimeout,
}

/// What happens when a subject has as many sessions of a kind as it may have (R024).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum AtLimit {
    /// The session that was created first ends.
    EvictOldest,
    /// The session that was used least recently ends.
    EvictLeastRecentlySeen,
    /// The new session is refused.
    Refuse,
}

/// How many live sessions of one kind a subject may have.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// At most this many; at least 1.
    pub most: u32,
    /// What happens to one more.
    pub at_limit: AtLimit,
}

/// What a changed client fingerprint leads to (R027).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum FingerprintMode {
    /// It is not looked at.
    Off,
    /// It is written to the audit log.
    Observe,
    /// Sensitive actions ask for a fresh proof.
    StepUp,
    /// The session ends.
    Revoke,
}

/// What a session's access token looks like.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum TokenFormat {
    /// Random and meaningless; only this deployment can judge it.
    Opaque,
    /// A signed `at+jwt` that other services can check by themselves, of this lifetime.
    Jwt {
        /// From issue to expiry of one access token.
        lifetime: Duration,
    },
}

/// Limits for sessions of people who asked to be remembered.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Replaces [`Policy::absolute_limit`] and, for kinds without refresh, [`Policy::token_lifetime`].
    pub absolute_limit: Duration,
    /// Replaces [`Policy::idle_limit`].
    pub idle_limit: Duration,
}

/// Everything that differs between one kind of session and another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How ids of this kind begin.
    pub id_prefix: IdPrefix,
    /// From issue of a token pair to its end; refresh issues a new pair.
    pub token_lifetime: Duration,
    /// From sign-in to the end of the session. Nothing moves it (R014).
    pub absolute_limit: Duration,
    /// How long it may go unused (R013).
    pub idle_limit: IdleLimit,
    /// Limits of remembered sessions; `None` when the kind cannot be remembered.
    pub remembered: Option<Remembered>,
    /// How many there may be per subject.
    pub concurrency: Concurrency,
    /// The most that a session of this kind may be granted.
    pub ceiling: Ceiling,
    /// What a changed fingerprint leads to.
    pub fingerprint: FingerprintMode,
    /// The form of its access tokens.
    pub token_format: TokenFormat,
    /// The assurance that signing in must reach.
    pub level: Level,
    /// Whether the subject must hold a verified licence.
    pub requires_licence: bool,
}

/// Longest lifetime that any limit may state: 400 days, what a cookie can live (R034).
pub const MAX_LIFETIME: Duration = Duration::from_secs(400 * 86_400);

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

impl Policy {
    /// Whether the limits fit together.
    ///
    /// # Errors
    /// [`InvalidPolicy`] names the first one that does not.
    pub fn check(&self) -> Result<(), InvalidPolicy> {
        let Self {
            id_prefix: _,
            token_lifetime,
            absolute_limit,
            idle_limit,
            remembered,
            concurrency,
            ceiling: _,
            fingerprint: _,
            token_format,
            level: _,
            requires_licence: _,
        } = self;
        let in_range = |length: Duration| length >= Duration::from_secs(1) && length <= MAX_LIFETIME;
        if !in_range(*token_lifetime) || token_lifetime > absolute_limit {
            return Err(InvalidPolicy::TokenLifetime);
        }
        if !in_range(*absolute_limit) {
            return Err(InvalidPolicy::AbsoluteLimit);
        }
        match idle_limit {
            IdleLimit::Fixed(length) if !in_range(*length) => return Err(InvalidPolicy::IdleLimit),
            IdleLimit::Fixed(_) | IdleLimit::None | IdleLimit::SessionTimeout => {}
        }
        if let Some(Remembered { absolute_limit, idle_limit }) = remembered
            && (!in_range(*absolute_limit) || !in_range(*idle_limit))
        {
            return Err(InvalidPolicy::Remembered);
        }
        if !(1..=10_000).contains(&concurrency.most) {
            return Err(InvalidPolicy::Concurrency);
        }
        match token_format {
            TokenFormat::Jwt { lifetime } if !in_range(*lifetime) || *lifetime > HOUR.min(*token_lifetime) => {
                Err(InvalidPolicy::TokenFormat)
            }
            TokenFormat::Jwt { .. } | TokenFormat::Opaque => Ok(()),
        }
    }

    /// The absolute limit of a session, remembered or not.
    #[must_use]
    pub fn absolute(&self, remembered: bool) -> Duration {
        match self.remembered {
            Some(longer) if remembered => longer.absolute_limit,
            Some(_) | None => self.absolute_limit,
        }
    }

    /// The lifetime of a token pair of a session, remembered or not. A remembered session's cookie lives as long as
    /// the session.
    #[must_use]
    pub fn token(&self, remembered: bool) -> Duration {
        match self.remembered {
            Some(longer) if remembered && self.token_lifetime == self.absolute_limit => longer.absolute_limit,
            Some(_) | None => self.token_lifetime,
        }
    }

    /// Whether the administrators' timeout decides over a session, remembered or not.
    #[must_use]
    pub const fn follows_timeout(&self, remembered: bool) -> bool {
        matches!(self.idle_limit, IdleLimit::SessionTimeout) && !(remembered && self.remembered.is_some())
    }

    /// The idle limit of a session, under the administrators' current timeout.
    #[must_use]
    pub fn idle(&self, remembered: bool, session_timeout: SessionTimeout) -> Option<Duration> {
        match (self.remembered, self.idle_limit) {
            (Some(longer), _) if remembered => Some(longer.idle_limit),
            (_, IdleLimit::None) => None,
            (_, IdleLimit::Fixed(length)) => Some(length),
            (_, IdleLimit::SessionTimeout) => Some(session_timeout.as_duration()),
        }
    }
}

/// The administrators' session timeout: 5 to 1440 minutes, a bound that no administrator can pass.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SessionTimeout {
    minutes: u16,
    dead_before: Timestamp,
}

impl SessionTimeout {
    /// Takes whole minutes.
    ///
    /// # Errors
    /// [`InvalidPolicy::SessionTimeout`] outside 5 to 1440.
    pub const fn from_minutes(minutes: u16) -> Result<Self, InvalidPolicy> {
        if minutes >= 5 && minutes <= 1440 {
            Ok(Self { minutes, dead_before: Timestamp::MIN })
        } else {
            Err(InvalidPolicy::SessionTimeout)
        }
    }

    /// Whole minutes.
    #[must_use]
    pub const fn minutes(self) -> u16 {
        self.minutes
    }

    /// The timeout `next`, in the place of this one from `at` on. What this one had ended by then stays ended, also
    /// where nobody has noticed yet.
    #[must_use]
    pub fn changed_to(self, next: Self, at: Timestamp) -> Self {
        let ended = at.minus(self.as_duration());
        Self { minutes: next.minutes, dead_before: self.dead_before.max(next.dead_before).max(ended) }
    }

    /// A session under the timeout whose last activity was then or earlier has ended, by a timeout of the past.
    #[must_use]
    pub const fn dead_before(self) -> Timestamp {
        self.dead_before
    }

    /// The same timeout, with what is remembered of those before it.
    #[must_use]
    pub const fn with_dead_before(self, dead_before: Timestamp) -> Self {
        Self { minutes: self.minutes, dead_before }
    }

    /// The same as a length of time.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.minutes as u64 * 60)
    }
}

impl Default for SessionTimeout {
    /// 30 minutes: the upper end of what OWASP advises for low-risk applications.
    fn default() -> Self {
        Self { minutes: 30, dead_before: Timestamp::MIN }
    }
}

/// All kinds of a deployment. `epoch` grows with every change, so that decisions made under older ones are noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kinds {
    kinds: BTreeMap<KindName, Policy>,
    epoch: u64,
}

impl Kinds {
    /// Takes checked policies.
    ///
    /// # Errors
    /// The first [`InvalidPolicy`] found, with the kind it is in.
    pub fn new(kinds: BTreeMap<KindName, Policy>, epoch: u64) -> Result<Self, (KindName, InvalidPolicy)> {
        for (name, policy) in &kinds {
            policy.check().map_err(|problem| (name.clone(), problem))?;
        }
        Ok(Self { kinds, epoch })
    }

    /// The policy of a kind, if there is such a kind.
    #[must_use]
    pub fn policy(&self, kind: &KindName) -> Option<&Policy> {
        self.kinds.get(kind)
    }

    /// Every kind in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&KindName, &Policy)> {
        self.kinds.iter()
    }

    /// Grows with every change.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Default for Kinds {
    /// The four kinds of the documentation: `web`, `standard`, `professional` and `anonymous`.
    fn default() -> Self {
        let kinds = [
            ("web", web()),
            (
                "standard",
                bearer("sess", 12 * HOUR, 7 * DAY, &["read:profile", "write:messages", "join:groups", "book:sessions"]),
            ),
            (
                "professional",
                Policy {
                    requires_licence: true,
                    ..bearer(
                        "prof",
                        DAY,
                        7 * DAY,
                        &["read:all_profiles", "write:therapy_notes", "manage:sessions", "access:professional_tools"],
                    )
                },
            ),
            (
                "anonymous",
                Policy {
                    concurrency: Concurrency { most: 1, at_limit: AtLimit::EvictOldest },
                    ..bearer("anon", 4 * HOUR, DAY, &["read:public_content", "join:anonymous_groups", "use:ai_bots"])
                },
            ),
        ];
        let kinds = kinds.into_iter().filter_map(|(name, policy)| Some((name.parse().ok()?, policy))).collect();
        Self { kinds, epoch: 1 }
    }
}

fn web() -> Policy {
    Policy {
        token_lifetime: DAY,
        absolute_limit: DAY,
        idle_limit: IdleLimit::SessionTimeout,
        remembered: Some(Remembered { absolute_limit: 30 * DAY, idle_limit: 30 * DAY }),
        ceiling: Ceiling::Any,
        ..bearer("web", DAY, DAY, &[])
    }
}

fn bearer(prefix: &str, token_lifetime: Duration, absolute_limit: Duration, ceiling: &[&str]) -> Policy {
    // The literals above are well formed (a test walks the defaults); a wrong one would grant nothing.
    let id_prefix = IdPrefix::new(prefix).unwrap_or(IdPrefix::FALLBACK);
    let ceiling = Permissions::new(ceiling.iter().copied()).unwrap_or_else(|_| Permissions::none());
    Policy {
        id_prefix,
        token_lifetime,
        absolute_limit,
        idle_limit: IdleLimit::None,
        remembered: None,
        concurrency: Concurrency { most: 5, at_limit: AtLimit::EvictOldest },
        ceiling: Ceiling::Only(ceiling),
        fingerprint: FingerprintMode::Observe,
        token_format: TokenFormat::Opaque,
        level: Level::ONE,
        requires_licence: false,
    }
}

/// Which part of a policy does not fit.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// See [`KindName`].
    #[error("a kind's name is a lower-case letter and at most 31 lower-case letters, digits, `-` or `_`")]
    KindName,
    /// See [`Policy::token_lifetime`].
    #[error("the token lifetime is at least a second and at most the absolute limit")]
    TokenLifetime,
    /// See [`Policy::absolute_limit`].
    #[error("the absolute limit is between a second and 400 days")]
    AbsoluteLimit,
    /// See [`Policy::idle_limit`].
    #[error("the idle limit is between a second and 400 days")]
    IdleLimit,
    /// See [`Policy::remembered`].
    #[error("limits of remembered sessions are between a second and 400 days")]
    Remembered,
    /// See [`Policy::concurrency`].
    #[error("a subject may have between 1 and 10000 sessions of a kind")]
    Concurrency,
    /// See [`Policy::token_format`].
    #[error("a JWT access token lives between a second and an hour, and no longer than the token lifetime")]
    TokenFormat,
    /// See [`SessionTimeout`].
    #[error("the session timeout is 5 to 1440 minutes")]
    SessionTimeout,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R030: the documented defaults are what the code does.
    #[test]
    fn defaults_are_the_documented_ones() {
        let kinds = Kinds::default();
        let table: Vec<_> = kinds
            .iter()
            .map(|(name, policy)| {
                policy.check().unwrap();
                let hours = |length: Duration| length.as_secs() / 3600;
                (
                    name.as_str(),
                    policy.id_prefix.as_str(),
                    hours(policy.token(false)),
                    hours(policy.absolute(false)),
                    hours(policy.absolute(true)),
                )
            })
            .collect();
        assert_eq!(
            table,
            [
                ("anonymous", "anon", 4, 24, 24),
                ("professional", "prof", 24, 168, 168),
                ("standard", "sess", 12, 168, 168),
                ("web", "web", 24, 24, 720),
            ]
        );
    }

    #[test]
    fn the_session_timeout_is_bounded() {
        assert_eq!(SessionTimeout::from_minutes(4), Err(InvalidPolicy::SessionTimeout));
        assert_eq!(SessionTimeout::from_minutes(1441), Err(InvalidPolicy::SessionTimeout));
        assert_eq!(SessionTimeout::from_minutes(5).unwrap().as_duration(), Duration::from_secs(300));
        assert_eq!(SessionTimeout::from_minutes(1440).unwrap().minutes(), 1440);
    }

    #[test]
    fn what_a_timeout_ended_stays_ended_under_the_next() {
        let minutes = |minutes| SessionTimeout::from_minutes(minutes).unwrap();
        let at = Timestamp::from_seconds(1_700_000_000);
        let raised = minutes(5).changed_to(minutes(1440), at);
        assert_eq!((raised.minutes(), raised.dead_before()), (1440, at.minus(Duration::from_secs(300))));
        // A longer one ends nothing that a shorter one before it had spared.
        let again = raised.changed_to(minutes(60), at.plus(Duration::from_secs(1)));
        assert_eq!(again.dead_before(), raised.dead_before());
    }

    #[test]
    fn idle_limits_follow_setting_and_remembering() {
        let web = web();
        let timeout = SessionTimeout::from_minutes(7).unwrap();
        assert_eq!(web.idle(false, timeout), Some(Duration::from_secs(420)));
        assert_eq!(web.idle(true, timeout), Some(30 * DAY));
        assert_eq!(web.token(true), 30 * DAY);
    }

    #[test]
    fn limits_that_do_not_fit_are_named() {
        type Spoil = fn(&mut Policy);
        let cases: [(Spoil, InvalidPolicy); 6] = [
            (|p| p.token_lifetime = 2 * DAY, InvalidPolicy::TokenLifetime),
            (|p| p.token_lifetime = Duration::ZERO, InvalidPolicy::TokenLifetime),
            (|p| p.absolute_limit = Duration::MAX, InvalidPolicy::AbsoluteLimit),
            (|p| p.idle_limit = IdleLimit::Fixed(Duration::ZERO), InvalidPolicy::IdleLimit),
            (|p| p.concurrency.most = 0, InvalidPolicy::Concurrency),
            (|p| p.token_format = TokenFormat::Jwt { lifetime: DAY }, InvalidPolicy::TokenFormat),
        ];
        for (spoil, expected) in cases {
            let mut policy = web();
            spoil(&mut policy);
            assert_eq!(policy.check(), Err(expected));
        }
    }
}
