//! Opening sessions from evidence.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use wayleave_core::authentication::{Authentication, Evidence};
use wayleave_core::decide::Standing;
use wayleave_core::entries::Entries;
use wayleave_core::id::{FamilyId, SessionId, Slot};
use wayleave_core::permission::Permissions;
use wayleave_core::policy::{AtLimit, KindName, Policy, TokenFormat};
use wayleave_core::ports::{EntropyFailure, Gone, Insert, InsertLimit, Lookup, Replaces, StoreError};
use wayleave_core::record::{Client, Record, Refresh, Revision};
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;
use wayleave_core::token::{RefreshToken, SessionToken};
use zeroize::Zeroizing;

use super::grounds::Grounds;
use super::live::{Key, Live};
use super::state::{Made, Notice, State};
use super::{Origin, SessionManager, token_lifetime};
use crate::events::{Cause, What};
use crate::jwt::{self, Claims};

/// What a new session should be.
#[derive(Clone, Debug)]
pub struct Open {
    /// Its kind.
    pub kind: KindName,
    /// What it asks for; `None` asks for all it may have. Cut down to what account and kind allow.
    pub permissions: Option<Permissions>,
    /// How long its tokens should live; cut down to what the kind allows.
    pub duration: Option<Duration>,
    /// Whether its user asked to be remembered.
    pub remember: bool,
    /// Whether it gets a refresh token. Cookie sessions do not (R071).
    pub refreshable: bool,
    /// The client that opens it.
    pub client: Client,
    /// The session of the same browser that it takes the place of.
    pub replaces: Option<SessionId>,
    /// Data that it starts with, picked by allow-list from a guest's (R012).
    pub data: Entries,
    /// What it holds open from the start.
    pub context: Entries,
}

/// The access token of a session, as its text.
pub type AccessToken = Zeroizing<String>;

/// What the client gets, once.
pub struct Issued {
    /// Proves the session.
    pub access: AccessToken,
    /// Renews it, if it can be renewed.
    pub refresh: Option<Zeroizing<String>>,
}

/// A new session.
pub struct Opened {
    /// Its record.
    pub record: Arc<Record>,
    /// Its tokens.
    pub issued: Issued,
    /// The sessions that made room for it.
    pub evicted: Vec<Gone>,
}

/// Why no session was opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The evidence is not of this deployment.
    #[error("the evidence is not of this deployment")]
    ForeignEvidence,
    /// There is no such kind, or it cannot have what was asked for.
    #[error("there is no such kind of session")]
    UnknownKind,
    /// The subject may not have sessions, or ended everything that this evidence is good for.
    #[error("the subject may not sign in")]
    Refused,
    /// The kind requires more than was proved.
    #[error("the kind requires a stronger proof")]
    TooWeak,
    /// The kind requires a verified licence.
    #[error("the kind requires a verified licence")]
    Unlicensed,
    /// The subject has as many sessions of the kind as it may.
    #[error("too many sessions")]
    LimitReached,
    /// The store cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no entropy.
    #[error(transparent)]
    Entropy(#[from] EntropyFailure),
    /// The access token cannot be signed.
    #[error(transparent)]
    CannotIssue(#[from] jwt::CannotIssue),
}

/// How often a new random id is tried when one exists already. Once would do: a collision of 128 random bits means
/// that the generator is broken.
const ATTEMPTS: usize = 3;

impl SessionManager {
    /// Opens a session for the subject of `evidence`, always under a new id (R011).
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(&self, evidence: Evidence, open: Open, origin: &Origin) -> Result<Opened, OpenError> {
        if !self.authority.recognises(&evidence) {
            return Err(OpenError::ForeignEvidence);
        }
        let subject = evidence.subject().clone();
        let slot = self.routing.slot_of(&subject);
        let (epoch, rules) = (self.epochs.of(slot), self.rules());
        let policy = rules.kinds.policy(&open.kind).ok_or(OpenError::UnknownKind)?;
        // Asked of the directory itself: a cached answer might be older than the evidence.
        let standing = self.subjects.standing(&subject).await?;
        admit(policy, &standing, &evidence, self.clock.now())?;
        let now = self.clock.now();
        let permissions = grant(policy, &standing, &evidence, open.permissions.as_ref());
        let draft = Draft {
            policy,
            grounds: &Grounds { epoch, standing, rules: Arc::clone(&rules) },
            now,
            slot,
            subject: Some(subject),
            authentication: Some(evidence.authentication()),
            epoch: evidence.epoch(),
            permissions,
            lineage: None,
            open: &open,
        };
        let limit = InsertLimit { most: policy.concurrency.most, at_limit: policy.concurrency.at_limit };
        let place = Place::New { limit: Some(limit), replaces: open.replaces };
        self.insert(&draft, place, origin).await?.ok_or(OpenError::Refused)
    }

    /// Opens a session that is nobody's: a place for data before anybody signs in. It has no permissions, and signing in
    /// never makes it anybody's; see [`Open::replaces`].
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_guest(&self, open: Open, origin: &Origin) -> Result<Opened, OpenError> {
        let slot = Slot(u16::from_be_bytes(self.random()?));
        let (epoch, rules) = (self.epochs.of(slot), self.rules());
        let policy = rules.kinds.policy(&open.kind).ok_or(OpenError::UnknownKind)?;
        let draft = Draft {
            policy,
            grounds: &Grounds { epoch, standing: Standing::UNRESTRICTED, rules: Arc::clone(&rules) },
            now: self.clock.now(),
            slot,
            subject: None,
            authentication: None,
            epoch: 0,
            permissions: Permissions::none(),
            lineage: None,
            open: &open,
        };
        let place = Place::New { limit: None, replaces: open.replaces };
        self.insert(&draft, place, origin).await?.ok_or(OpenError::Refused)
    }

    /// Inserts a record made from `draft`, and tells what happened. Nothing, when the place that it was to take is no
    /// longer as it was.
    pub(super) async fn insert(
        &self,
        draft: &Draft<'_>,
        place: Place,
        origin: &Origin,
    ) -> Result<Option<Opened>, OpenError> {
        for _ in 0..ATTEMPTS {
            let (record, format, issued) = self.mint(draft)?;
            let record = Arc::new(record);
            let key = Key::of(&record, format);
            let live = draft.grounds.fresh(Arc::clone(&record), record.client.fingerprint, draft.now);
            let replaced_slot = place.replaces().map_or(record.slot, |replaces| self.slot(&replaces.id));
            let (slots, now) = ([record.slot, replaced_slot], draft.now);
            let (inserted, origin) = (Arc::clone(&record), origin.clone());
            let new = New { record: inserted, key, live, place, replaced_slot };
            let change = |state: Arc<State>| async move { put(&state, new, &origin, now).await };
            match self.state.settle(slots, Notice::First, change).await? {
                Put::In { evicted } => return Ok(Some(Opened { record, issued, evicted })),
                Put::OverLimit => return Err(OpenError::LimitReached),
                Put::Moved => return Ok(None),
                Put::Exists => {}
            }
        }
        Err(OpenError::Entropy(EntropyFailure))
    }

    fn mint(&self, draft: &Draft<'_>) -> Result<(Record, TokenFormat, Issued), OpenError> {
        let Draft { policy, grounds, now, slot, subject, authentication, epoch, permissions, lineage, open } = draft;
        let idle = policy.idle(open.remember, grounds.rules.session_timeout);
        let id = SessionId::new(policy.id_prefix, self.random()?, *slot, &self.routing);
        let token = SessionToken::new(self.random()?, *slot, &self.routing);
        let refresh =
            if open.refreshable { Some(RefreshToken::new(self.random()?, *slot, &self.routing)) } else { None };
        let format = if open.refreshable { policy.token_format } else { TokenFormat::Opaque };
        let allowed = token_lifetime(policy, format, open.remember);
        let lifetime = open.duration.map_or(allowed, |asked| asked.min(allowed));
        let (created_at, absolute_expires_at, family) = match lineage {
            Some(lineage) => (lineage.created_at, lineage.absolute_expires_at, lineage.family),
            None => (*now, now.plus(policy.absolute(open.remember)), FamilyId(self.random()?)),
        };
        let record = Record {
            id,
            slot: *slot,
            family,
            token: token.hash(),
            kind: open.kind.clone(),
            subject: subject.clone(),
            actor: lineage.and_then(|lineage| lineage.actor.clone()),
            permissions: permissions.clone(),
            authentication: *authentication,
            epoch: *epoch,
            remembered: open.remember,
            licence: lineage.and_then(|lineage| lineage.licence.clone()),
            created_at,
            last_seen_at: *now,
            idle_expires_at: idle.map(|limit| now.plus(limit)),
            token_expires_at: now.plus(lifetime).min(absolute_expires_at),
            absolute_expires_at,
            expired_at: None,
            client: open.client.clone(),
            context: open.context.clone(),
            data: open.data.clone(),
            refresh: refresh.as_ref().map(|refresh| Refresh { current: refresh.hash(), generation: 0, last: None }),
            confirmation: lineage.and_then(|lineage| lineage.confirmation),
            revision: Revision::default(),
        };
        let access = self.access(&record, format, &token, &record.permissions, *now)?;
        Ok((record, format, Issued { access, refresh: refresh.as_ref().map(RefreshToken::reveal) }))
    }

    /// The access token that a record's client gets: the opaque one, or a JWT about it.
    pub(super) fn access(
        &self,
        record: &Record,
        format: TokenFormat,
        token: &SessionToken,
        permissions: &Permissions,
        now: Timestamp,
    ) -> Result<AccessToken, OpenError> {
        match format {
            TokenFormat::Opaque => Ok(token.reveal()),
            TokenFormat::Jwt { .. } => {
                let claims = self.claims(record, permissions, now)?;
                Ok(Zeroizing::new(jwt::issue(&self.signing_keys(), &claims, now)?))
            }
        }
    }

    /// A statement about a session, signed and good for 30 seconds, for whoever must know that it comes from here.
    ///
    /// # Errors
    /// [`OpenError::CannotIssue`] or [`OpenError::Entropy`].
    pub fn assert(&self, session: &super::Session) -> Result<String, OpenError> {
        const LIFE: Duration = Duration::from_secs(30);
        let now = self.clock.now();
        let mut claims = self.claims(session.record(), session.permissions(), now)?;
        claims.exp = now.plus(LIFE).as_seconds();
        Ok(jwt::issue_assertion(&self.signing_keys(), &claims, now)?)
    }

    fn claims(&self, record: &Record, permissions: &Permissions, now: Timestamp) -> Result<Claims, OpenError> {
        let authentication = record.authentication;
        Ok(Claims {
            iss: self.audience.issuer.to_string(),
            exp: record.token_expires_at.as_seconds(),
            aud: self.audience.audience.to_string(),
            sub: record.subject.as_ref().map_or_else(String::new, ToString::to_string),
            client_id: record.kind.to_string(),
            iat: now.as_seconds(),
            jti: URL_SAFE_NO_PAD.encode(self.random::<12>()?),
            sid: record.id.to_string(),
            auth_time: authentication.map_or(0, |authentication| authentication.at.as_seconds()),
            amr: authentication
                .iter()
                .flat_map(|authentication| authentication.methods.iter())
                .map(|method| method.as_str().to_owned())
                .collect(),
            acr: authentication.map_or(0, |authentication| authentication.level.number()).to_string(),
            scope: permissions.iter().collect::<Vec<_>>().join(" "),
            act: record.actor.as_ref().map(|actor| jwt::Actor { sub: actor.to_string() }),
        })
    }
}

/// A record about to be made.
pub(super) struct Draft<'a> {
    pub(super) policy: &'a Policy,
    pub(super) grounds: &'a Grounds,
    pub(super) now: Timestamp,
    pub(super) slot: Slot,
    /// `None` for guests.
    pub(super) subject: Option<Subject>,
    /// `None` for guests.
    pub(super) authentication: Option<Authentication>,
    pub(super) epoch: u64,
    pub(super) permissions: Permissions,
    /// The record whose lineage and absolute limit it keeps.
    pub(super) lineage: Option<&'a Record>,
    pub(super) open: &'a Open,
}

/// Where a new record goes.
#[derive(Copy, Clone)]
pub(super) enum Place {
    /// Beside the others of its subject, and instead of the session that the same browser had.
    New { limit: Option<InsertLimit>, replaces: Option<SessionId> },
    /// Where this one is, as it is. Nowhere, when that one is gone: a session that was ended does not go on.
    Of(Replaces),
}

impl Place {
    fn replaces(self) -> Option<Replaces> {
        match self {
            Self::New { replaces, .. } => replaces.map(Replaces::any),
            Self::Of(replaces) => Some(replaces),
        }
    }
}

/// What became of a new record.
enum Put {
    In { evicted: Vec<Gone> },
    OverLimit,
    Moved,
    Exists,
}

/// A new record, where it goes, and what memory is to keep of it.
struct New {
    record: Arc<Record>,
    key: Key,
    live: Option<Arc<Live>>,
    place: Place,
    replaced_slot: Slot,
}

async fn put(state: &State, new: New, origin: &Origin, now: Timestamp) -> Result<Made<Put>, StoreError> {
    let New { record, key, live, place, replaced_slot } = new;
    let replaces = place.replaces();
    let (limit, refuses) = match place {
        Place::New { limit, .. } => (limit, limit.is_some_and(|limit| limit.at_limit == AtLimit::Refuse)),
        Place::Of(_) => (None, false),
    };
    // A refusal ends the replaced session all the same and does not say what it was.
    let ending = match replaces.filter(|_| refuses) {
        Some(Replaces { id, expected: _ }) => state.store.find(Lookup::Id(replaced_slot, id)).await?,
        None => None,
    };
    if limit.is_some() {
        // The store counts by what is written down.
        state.write_down(record.slot).await?;
    }
    let mut before = state.warm.before(record.slot);
    let inserted = state.store.insert(&record, limit, replaces, now).await?;
    match inserted {
        Insert::Done { replaced, evicted, marked } => {
            if marked {
                // What was not counted has ended, whatever memory knows of its activity.
                state.warm.forget_slot_by(&mut before, record.slot);
            }
            if let Some(gone) = &replaced {
                state.replaced.insert(gone.token, now);
            }
            for (gone, cause) in replaced
                .iter()
                .map(|gone| (gone, Cause::Replaced))
                .chain(evicted.iter().map(|gone| (gone, Cause::Evicted)))
            {
                state.forget_by(&mut before, gone);
                state.publish_gone(What::Revoked(cause), gone, origin);
            }
            if let Some(live) = live {
                state.warm.fill(before, key.into(), live);
            }
            state.publish(What::Created, Some(&record), origin);
            let replaced = replaced.is_some().then_some(replaced_slot);
            let of_subject = (marked || !evicted.is_empty()).then_some(record.slot);
            Ok(Made { outcome: Put::In { evicted }, stale: replaced.into_iter().chain(of_subject).collect() })
        }
        Insert::Refused => {
            // Others may have been marked, and what was replaced may have been refreshed since it was looked up.
            state.doubt([record.slot, replaced_slot]);
            if let Some(ended) = ending {
                let gone = Gone::from_record(&ended);
                state.forget(&gone);
                state.publish_gone(What::Revoked(Cause::Replaced), &gone, origin);
            }
            state.publish_refused(&record, origin);
            Ok(Made { outcome: Put::OverLimit, stale: vec![record.slot, replaced_slot] })
        }
        Insert::Exists => Ok(Made::quietly(Put::Exists)),
        Insert::Conflict => Ok(Made::quietly(Put::Moved)),
    }
}

/// Whether a subject that stands so may have a session of this kind from this evidence.
pub(super) fn admit(
    policy: &Policy,
    standing: &Standing,
    evidence: &Evidence,
    now: Timestamp,
) -> Result<(), OpenError> {
    if !standing.is_active(now) || evidence.epoch() < standing.epoch {
        return Err(OpenError::Refused);
    }
    if evidence.authentication().level < policy.level {
        return Err(OpenError::TooWeak);
    }
    if policy.requires_licence && !standing.licensed {
        return Err(OpenError::Unlicensed);
    }
    Ok(())
}

/// What a session may have of what it asks for.
fn grant(policy: &Policy, standing: &Standing, evidence: &Evidence, asked: Option<&Permissions>) -> Permissions {
    use wayleave_core::permission::Ceiling;
    // Whatever is listed by name first is what can be granted; the others cut it down.
    let ceilings = [&standing.ceiling, evidence.ceiling(), &policy.ceiling];
    let named = asked.cloned().or_else(|| {
        ceilings.iter().find_map(|ceiling| match ceiling {
            Ceiling::Only(names) => Some(names.clone()),
            Ceiling::Any => None,
        })
    });
    ceilings.into_iter().fold(named.unwrap_or_else(Permissions::none), |granted, ceiling| granted.under(ceiling))
}
