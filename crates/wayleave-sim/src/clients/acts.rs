//! How each thing that a client asks for is asked of a node.

use std::sync::Arc;
use std::time::Duration;

use wayleave::core::authentication::{Evidence, Level, Method};
use wayleave::core::entries::Entries;
use wayleave::core::id::SessionId;
use wayleave::core::ports::{Deposit, StoreError};
use wayleave::core::record::{Client, Record};
use wayleave::core::subject::{Namespace, Subject};
use wayleave::core::ticket::{Purpose, Ticket};
use wayleave::events::Cause;
use wayleave::{
    ExtendError, Freshness, Issued, Open, OpenError, Opened, Origin, RefreshError, Session, Shown, ValidateError,
};

use super::{Held, Intention};
use crate::history::{Access, Outcome, StandingChange};
use crate::node::{Node, authority};
use crate::plan::Kind;
use crate::world::World;

/// How long a ticket can be taken.
const TICKET_LIFE: Duration = Duration::from_secs(20);
/// Most tickets.
const MOST_TICKETS: u32 = 1000;

/// Does it.
pub(super) async fn perform(world: &World, node: &Arc<Node>, intention: &Intention, epoch: u64) -> Outcome {
    let manager = &node.manager;
    let origin = Origin::default();
    match intention {
        Intention::Open(subject, kind) => {
            let Some(evidence) = evidence(node, subject, epoch) else { return Outcome::Refused };
            opened(world, manager.open(evidence, open(kind), &origin).await)
        }
        Intention::Validate(_, token, active) => match manager.validate(token, &shown(*active)).await {
            Ok(_) => Outcome::Valid,
            Err(error) => not_valid(error),
        },
        Intention::Refresh(_, token) => refresh(world, node, token).await,
        Intention::Extend(_, token) => match session(node, token).await {
            Err(outcome) => outcome,
            Ok(session) => match manager.extend(&session, None, &origin).await {
                Ok(_) => Outcome::Done(Vec::new()),
                Err(ExtendError::Gone) => Outcome::Gone,
                Err(ExtendError::Store(error)) => failed(&error),
            },
        },
        Intention::Reauthenticate(held, _, token) => match session(node, token).await {
            Err(outcome) => outcome,
            Ok(session) => {
                let Some(evidence) = evidence(node, &held.subject, epoch) else { return Outcome::Refused };
                let refreshable = Kind::named(session.kind().as_str()).is_some_and(|kind| kind.refreshable);
                let freshness = Freshness { refreshable, client: Client::default() };
                opened(world, manager.reauthenticate(&session, evidence, freshness, &origin).await)
            }
        },
        Intention::EndOne(id) => match manager.end_one(id, Cause::Administrator, &origin).await {
            Ok(gone) => Outcome::Done(gone.iter().map(|gone| gone.id).collect()),
            Err(error) => failed(&error),
        },
        Intention::EndOwn(owner, id) => match manager.end_own(owner, id, Cause::Owner, &origin).await {
            Ok(Some(gone)) => Outcome::Done(vec![gone.id]),
            Ok(None) => Outcome::NotFound,
            Err(error) => failed(&error),
        },
        Intention::SignOut(_, token) => match session(node, token).await {
            Err(outcome) => outcome,
            Ok(session) => ended(manager.sign_out(&session, &origin).await),
        },
        Intention::RevokeRefresh(_, token) => ended(manager.revoke_token(token, Cause::SignOut, &shown(false)).await),
        Intention::EndOthers(subject, keep) => {
            ended(manager.end_all(subject, Some(*keep), Cause::Owner, &origin).await)
        }
        Intention::EndAll(subject, _) => ended(manager.end_all(subject, None, Cause::Administrator, &origin).await),
        Intention::Stand(subject, change, _) => stand(node, subject.clone(), *change).await,
        Intention::Deposit(ticket) => deposit(node, *ticket).await,
        Intention::Take(ticket) => match node.store.take(Purpose::Challenge, key(*ticket), manager.now()).await {
            Ok(Some(_)) => Outcome::Taken,
            Ok(None) => Outcome::NotTaken,
            Err(error) => failed(&error),
        },
    }
}

fn evidence(node: &Node, subject: &Subject, epoch: u64) -> Option<Evidence> {
    let prover = authority().prover(Method::Password, Level::ONE, Namespace::User);
    prover.testify(subject.clone(), epoch, node.manager.now()).ok()
}

fn open(kind: &Kind) -> Open {
    Open {
        // The table of kinds is tested.
        kind: kind.name.parse().unwrap_or_else(|_| wayleave::core::policy::KindName::key_value()),
        permissions: None,
        duration: None,
        remember: false,
        refreshable: kind.refreshable,
        client: Client::default(),
        replaces: None,
        data: Entries::new(),
        context: Entries::new(),
    }
}

fn shown(active: bool) -> Shown {
    Shown { active, ..Shown::default() }
}

fn opened(world: &World, opened: Result<Opened, OpenError>) -> Outcome {
    match opened {
        Ok(Opened { record, issued, evicted }) => {
            let access = access(world, &record, &issued);
            let refresh = issued.refresh.as_ref().and_then(|token| world.shared.recorder.refresh(token));
            if let Some(subject) = &record.subject {
                world.pool.lock().add(Held {
                    id: record.id,
                    subject: subject.clone(),
                    access: [(access, issued.access.to_string())].into(),
                    refresh: issued.refresh.iter().map(|token| token.to_string()).collect(),
                });
            }
            let mut evicted: Vec<SessionId> = evicted.iter().map(|gone| gone.id).collect();
            evicted.sort_unstable();
            Outcome::Opened { access, refresh, evicted }
        }
        Err(OpenError::Store(error)) => failed(&error),
        Err(
            OpenError::Refused
            | OpenError::LimitReached
            | OpenError::ForeignEvidence
            | OpenError::UnknownKind
            | OpenError::TooWeak
            | OpenError::Unlicensed,
        ) => Outcome::Refused,
        Err(error @ (OpenError::Entropy(_) | OpenError::CannotIssue(_))) => Outcome::Failed(error.to_string()),
    }
}

fn access(world: &World, record: &Record, issued: &Issued) -> Access {
    world.shared.recorder.access(&issued.access, record.id)
}

async fn session(node: &Node, token: &str) -> Result<Session, Outcome> {
    node.manager.validate(token, &shown(true)).await.map_err(not_valid)
}

fn not_valid(error: ValidateError) -> Outcome {
    match error {
        ValidateError::Expired(limit) => Outcome::Expired(limit),
        ValidateError::Invalid => Outcome::Invalid,
        ValidateError::Store(error) => failed(&error),
    }
}

async fn refresh(world: &World, node: &Node, token: &str) -> Outcome {
    match node.manager.refresh(token, &shown(true)).await {
        Ok(refreshed) => {
            let access = access(world, &refreshed.record, &refreshed.issued);
            let Some(text) = &refreshed.issued.refresh else { return Outcome::Failed("no refresh token came".into()) };
            let Some(refresh) = world.shared.recorder.refresh(text) else {
                return Outcome::Failed("no refresh token came".into());
            };
            let pair = (access, refreshed.issued.access.to_string());
            world.pool.lock().renew(refreshed.record.id, pair, text.to_string());
            Outcome::Refreshed { repeated: refreshed.repeated, access, refresh }
        }
        Err(RefreshError::Expired(limit)) => Outcome::Expired(limit),
        Err(RefreshError::Reused) => Outcome::Reused,
        Err(RefreshError::Invalid) => Outcome::Invalid,
        Err(RefreshError::Store(error)) => failed(&error),
        Err(RefreshError::Issue(error)) => Outcome::Failed(error.to_string()),
    }
}

fn ended(ended: Result<wayleave::Ended, StoreError>) -> Outcome {
    match ended {
        Ok(wayleave::Ended(gone)) => {
            let mut gone: Vec<SessionId> = gone.iter().map(|gone| gone.id).collect();
            gone.sort_unstable();
            Outcome::Done(gone)
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &StoreError) -> Outcome {
    use std::error::Error as _;
    Outcome::Failed(error.source().map_or_else(|| error.to_string(), ToString::to_string))
}

/// Changes how a subject stands, to the end whoever hangs up, as the manager demands it.
async fn stand(node: &Arc<Node>, subject: Subject, change: StandingChange) -> Outcome {
    let node = Arc::clone(node);
    let whole = async move {
        node.manager.may_change().await?;
        let changed = node.directory.change(&subject, change).await;
        // Also when nobody knows whether it was: who is told in vain asks once too often.
        let told = node.manager.subject_changed(&subject).await;
        changed.and(told)
    };
    match tokio::spawn(whole).await {
        Ok(Ok(())) => Outcome::Done(Vec::new()),
        Ok(Err(error)) => failed(&error),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

async fn deposit(node: &Node, number: u64) -> Outcome {
    let now = node.manager.now();
    let ticket = Ticket {
        purpose: Purpose::Challenge,
        key: key(number),
        payload: Box::default(),
        expires_at: now.plus(TICKET_LIFE),
    };
    match node.store.deposit(&ticket, MOST_TICKETS, now).await {
        Ok(Deposit::Done) => Outcome::Done(Vec::new()),
        Ok(Deposit::Exists | Deposit::Full) => Outcome::Refused,
        Err(error) => failed(&error),
    }
}

fn key(ticket: u64) -> [u8; 32] {
    let mut key = [0; 32];
    key.iter_mut().zip(ticket.to_be_bytes()).for_each(|(to, from)| *to = from);
    key
}
