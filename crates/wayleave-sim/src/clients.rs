//! The clients: what they hold, and what they ask for next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wayleave::core::id::SessionId;
use wayleave::core::subject::Subject;
use wayleave_testkit::Dice;

use crate::history::{Access, Act, Outcome, StandingChange};
use crate::node::Node;
use crate::plan::{KINDS, Kind, TIMING};
use crate::world::World;

mod acts;
mod late;

/// How long a client waits for an answer, and how long those do who do not wait.
const PATIENCE: Duration = Duration::from_secs(45);
const HANGS_UP: Duration = Duration::from_millis(400);

/// What clients hold together: any of them may show any token, as a user with several devices, or a thief.
#[derive(Default)]
pub(crate) struct Pool {
    sessions: VecDeque<Held>,
    /// Those that nobody acts on any more.
    left: VecDeque<Held>,
    tickets: u64,
}

/// Most sessions whose tokens are kept.
const MOST_HELD: usize = 30;
/// Most tokens of each kind that are kept of one session.
const MOST_TOKENS: usize = 6;

/// The tokens of a session that a client was given, the latest last.
#[derive(Clone)]
struct Held {
    id: SessionId,
    subject: Subject,
    access: VecDeque<(Access, String)>,
    refresh: VecDeque<String>,
}

impl Pool {
    fn add(&mut self, held: Held) {
        if self.sessions.len() >= MOST_HELD
            && let Some(oldest) = self.sessions.pop_front()
        {
            self.leave(oldest);
        }
        self.sessions.push_back(held);
    }

    /// Lets go of a session that is over, so that the clients have others to act on.
    fn let_go(&mut self, id: SessionId) {
        let at = self.sessions.iter().position(|held| held.id == id);
        if let Some(held) = at.and_then(|at| self.sessions.remove(at)) {
            self.leave(held);
        }
    }

    fn leave(&mut self, held: Held) {
        if self.left.len() >= MOST_HELD {
            self.left.pop_front();
        }
        self.left.push_back(held);
    }

    fn renew(&mut self, id: SessionId, access: (Access, String), refresh: String) {
        if let Some(held) = self.sessions.iter_mut().find(|held| held.id == id) {
            push(&mut held.access, access);
            push(&mut held.refresh, refresh);
        }
    }

    /// One of the sessions, more likely a late one.
    fn session(&self, dice: &Dice) -> Option<Held> {
        let last = u64::try_from(self.sessions.len()).unwrap_or(0);
        let back = if dice.chance(70) { dice.below(last.min(4)) } else { dice.below(last) };
        self.sessions.iter().rev().nth(usize::try_from(back).ok()?).cloned()
    }
}

fn push<T>(tokens: &mut VecDeque<T>, token: T) {
    if tokens.len() >= MOST_TOKENS {
        tokens.pop_front();
    }
    tokens.push_back(token);
}

/// The latest, in most cases.
fn one_of<'a, T>(tokens: &'a VecDeque<T>, dice: &Dice) -> Option<&'a T> {
    let back = if dice.chance(80) { 0 } else { dice.below(u64::try_from(tokens.len()).unwrap_or(0)) };
    tokens.iter().rev().nth(usize::try_from(back).ok()?)
}

/// Acts until all steps are taken.
pub(crate) async fn act(world: Arc<World>, client: usize) {
    let dice = &world.shared.dice;
    while world.step() {
        let rest = dice.up_to(world.shared.plan.rest);
        if !rest.is_zero() {
            tokio::time::sleep_until(Instant::now() + rest).await;
        }
        if dice.chance(3) {
            late::come_late(&world, client).await;
        }
        let intention = intend(&world);
        let target = intention.target();
        if let Some(session) = target.filter(|_| dice.chance(40)) {
            look_everywhere(&world, client, session).await;
        }
        // Some things are done by two at once, at different nodes.
        let twice = matches!(intention, Intention::Refresh(..) | Intention::Take(_)) && dice.chance(40);
        let race = matches!(intention, Intention::Refresh(..)) && dice.chance(20);
        if let (true, Some(session)) = (race, target) {
            let end = Intention::EndOne(session);
            tokio::join!(try_at_some_node(&world, client, &intention), try_at_some_node(&world, client, &end));
        } else if twice {
            tokio::join!(try_at_some_node(&world, client, &intention), try_at_some_node(&world, client, &intention));
        } else {
            try_at_some_node(&world, client, &intention).await;
        }
        if let Some(session) = target {
            for _ in 0..dice.below(4) {
                look_everywhere(&world, client, session).await;
                let rest = dice.up_to(AFTERWARDS);
                tokio::time::sleep_until(Instant::now() + rest).await;
            }
        }
    }
}

/// Between two looks at a session that somebody changed or ended, at most.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// Shows a session's tokens at every node: so that all have it in memory, or to see whether they still do.
async fn look_everywhere(world: &World, client: usize, session: SessionId) {
    let dice = &world.shared.dice;
    let held = world.pool.lock().sessions.iter().find(|held| held.id == session).cloned();
    let Some(held) = held else { return };
    for node in world.places.iter().filter_map(crate::node::Place::node) {
        if let Some((access, token)) = one_of(&held.access, dice) {
            let look = Intention::Validate(*access, token.clone(), dice.chance(30));
            perform(world, client, &node, &look).await;
        }
    }
}

/// What a client is about to do.
enum Intention {
    Open(Subject, &'static Kind),
    Validate(Access, String, bool),
    Refresh(SessionId, String),
    Extend(Access, String),
    Reauthenticate(Held, Access, String),
    EndOne(SessionId),
    EndOwn(Subject, SessionId),
    SignOut(Access, String),
    RevokeRefresh(SessionId, String),
    EndOthers(Subject, SessionId),
    /// All of a subject's, one of which is this.
    EndAll(Subject, SessionId),
    /// Of a subject, one of whose sessions is this.
    Stand(Subject, StandingChange, SessionId),
    Deposit(u64),
    Take(u64),
}

fn intend(world: &World) -> Intention {
    let dice = &world.shared.dice;
    let mut pool = world.pool.lock();
    let sign_in = || {
        let people = world.shared.directory.people();
        let subject = dice.one(&people)?.clone();
        Some(Intention::Open(subject, dice.one(&KINDS)?))
    };
    let with_session = |intend: &dyn Fn(Held, Access, String) -> Option<Intention>| {
        let held = pool.session(dice)?;
        let (access, token) = one_of(&held.access, dice)?.clone();
        intend(held, access, token)
    };
    let intention = match dice.below(100) {
        0..20 => sign_in(),
        20..57 => with_session(&|_, access, token| Some(Intention::Validate(access, token, dice.chance(75)))),
        57..71 => with_session(&|held, _, _| Some(Intention::Refresh(held.id, one_of(&held.refresh, dice)?.clone()))),
        71..74 => with_session(&|_, access, token| Some(Intention::Extend(access, token))),
        74..77 => with_session(&|held, access, token| Some(Intention::Reauthenticate(held, access, token))),
        77..82 => with_session(&|held, _, _| Some(Intention::EndOne(held.id))),
        82..84 => with_session(&|held, _, _| Some(Intention::EndOwn(held.subject, held.id))),
        84..87 => with_session(&|_, access, token| Some(Intention::SignOut(access, token))),
        87..88 => {
            with_session(&|held, _, _| Some(Intention::RevokeRefresh(held.id, one_of(&held.refresh, dice)?.clone())))
        }
        88..89 => with_session(&|held, _, _| Some(Intention::EndOthers(held.subject, held.id))),
        89..90 => with_session(&|held, _, _| Some(Intention::EndAll(held.subject, held.id))),
        90..94 => with_session(&|held, _, _| {
            let active = world.shared.directory.of(&held.subject).active;
            let change = match (active, dice.chance(50)) {
                (false, _) => StandingChange::Enable,
                (true, false) => StandingChange::Disable,
                (true, true) => StandingChange::Supersede,
            };
            Some(Intention::Stand(held.subject, change, held.id))
        }),
        94..96 => {
            pool.tickets += 1;
            Some(Intention::Deposit(pool.tickets))
        }
        _ => Some(Intention::Take(pool.tickets.saturating_sub(dice.below(3)))),
    };
    // Who holds nothing yet begins with a sign-in. There is somebody, and there are kinds.
    intention.or_else(sign_in).unwrap_or(Intention::Deposit(0))
}

async fn try_at_some_node(world: &World, client: usize, intention: &Intention) {
    let nodes: Vec<Arc<Node>> = world.places.iter().filter_map(crate::node::Place::node).collect();
    let dice = &world.shared.dice;
    // A node that has just come knows the least, so it is asked the more often.
    let newest = nodes.iter().max_by_key(|node| node.started).filter(|_| dice.chance(25));
    let Some(node) = newest.or_else(|| dice.one(&nodes)) else {
        // Every process is dead. Time passes.
        return tokio::time::sleep_until(Instant::now() + Duration::from_millis(100)).await;
    };
    perform(world, client, node, intention).await;
}

/// Does it at a node, and writes down what came of it.
async fn perform(world: &World, client: usize, node: &Arc<Node>, intention: &Intention) -> Outcome {
    let recorder = &world.shared.recorder;
    // A subject is changed by one administrator after the other, as the directory's own revisions would have it.
    let _turn = match intention {
        Intention::Stand(subject, ..) => match world.administrators.get(subject) {
            Some(administrator) => Some(administrator.lock().await),
            None => None,
        },
        _ => None,
    };
    let (epoch, act) = intention.act(world);
    let operation = recorder.begin(client, node.process, act);
    let work = node.gate.go(acts::perform(world, node, intention, epoch));
    // Some hang up on the way.
    let dice = &world.shared.dice;
    let hangs_up = client < world.shared.plan.clients && dice.chance(if intention.ends() { 12 } else { 2 });
    let patience = if hangs_up { dice.up_to(HANGS_UP) } else { PATIENCE };
    let outcome = match tokio::time::timeout(patience, work).await {
        Ok(Some(outcome)) => outcome,
        Ok(None) | Err(_) => Outcome::Lost,
    };
    recorder.end(operation, outcome.clone());
    if let (Intention::Validate(access, ..), Outcome::Invalid | Outcome::Expired(_)) = (intention, &outcome)
        && world.shared.dice.chance(15)
    {
        world.pool.lock().let_go(access.session);
    }
    outcome
}

impl Intention {
    /// Whether it is to end something.
    const fn ends(&self) -> bool {
        match self {
            Self::EndOne(_)
            | Self::EndOwn(..)
            | Self::SignOut(..)
            | Self::RevokeRefresh(..)
            | Self::EndOthers(..)
            | Self::EndAll(..)
            | Self::Stand(..)
            | Self::Refresh(..) => true,
            Self::Open(..)
            | Self::Validate(..)
            | Self::Extend(..)
            | Self::Reauthenticate(..)
            | Self::Deposit(_)
            | Self::Take(_) => false,
        }
    }

    /// The session that it changes or ends, if it names one.
    fn target(&self) -> Option<SessionId> {
        match self {
            Self::Reauthenticate(held, ..) => Some(held.id),
            Self::Refresh(session, _)
            | Self::EndOne(session)
            | Self::EndOwn(_, session)
            | Self::RevokeRefresh(session, _)
            | Self::EndOthers(_, session) => Some(*session),
            Self::SignOut(access, _) => Some(access.session),
            Self::Stand(_, _, session) | Self::EndAll(_, session) => Some(*session),
            Self::Open(..) | Self::Validate(..) | Self::Extend(..) | Self::Deposit(_) | Self::Take(_) => None,
        }
    }

    /// What the history says of it, and the epoch that a sign-in rests on.
    fn act(&self, world: &World) -> (u64, Act) {
        let recorder = &world.shared.recorder;
        let epoch = |subject: &Subject| world.shared.directory.of(subject).epoch;
        // What does not read as a refresh token was never given as one.
        let refresh = |token: &str| recorder.refresh(token).unwrap_or(wayleave::core::token::TokenHash([0; 32]));
        let act = match self {
            Self::Open(subject, kind) => {
                let epoch = epoch(subject);
                return (epoch, Act::Open { subject: subject.clone(), kind: kind.name, epoch });
            }
            Self::Validate(access, _, active) => Act::Validate { access: *access, active: *active },
            Self::Refresh(session, token) => Act::Refresh { token: refresh(token), session: *session },
            Self::Extend(access, _) => Act::Extend(*access),
            Self::Reauthenticate(held, access, _) => {
                return (epoch(&held.subject), Act::Reauthenticate(*access));
            }
            Self::EndOne(session) => Act::EndOne(*session),
            Self::EndOwn(_, session) => Act::EndOwn(*session),
            Self::SignOut(access, _) => Act::SignOut(*access),
            Self::RevokeRefresh(session, token) => Act::RevokeRefresh { token: refresh(token), session: *session },
            Self::EndOthers(subject, keep) => Act::EndOthers { subject: subject.clone(), keep: *keep },
            Self::EndAll(subject, _) => Act::EndAll(subject.clone()),
            Self::Stand(subject, change, _) => Act::Stand { subject: subject.clone(), change: *change },
            Self::Deposit(ticket) => Act::Deposit(*ticket),
            Self::Take(ticket) => Act::Take(*ticket),
        };
        (0, act)
    }
}

/// Shows every token that was ever held at every node, when all that ended has long been told or found out.
pub(crate) async fn look_back(world: &World, client: usize) {
    let held: Vec<Held> = {
        let pool = world.pool.lock();
        pool.left.iter().chain(&pool.sessions).cloned().collect()
    };
    for node in world.places.iter().filter_map(crate::node::Place::node) {
        for (access, token) in held.iter().flat_map(|held| &held.access) {
            perform(world, client, &node, &Intention::Validate(*access, token.clone(), false)).await;
        }
    }
}

/// Looks whether everything works at every node, once nothing is wrong any more: as one more client.
pub(crate) async fn see_it_work(world: &World, client: usize) {
    for place in &world.places {
        let Some(node) = place.node() else { continue };
        let people = world.shared.directory.people();
        let Some((subject, kind)) = people.first().zip(KINDS.first()) else { continue };
        let nobody = SessionId::from_bytes(wayleave::core::id::IdPrefix::FALLBACK, &[0; 18]);
        perform(world, client, &node, &Intention::Stand(subject.clone(), StandingChange::Enable, nobody)).await;
        // In prompt mode, the others hear of it within a lease.
        tokio::time::sleep_until(Instant::now() + 2 * TIMING.lease).await;
        let open = Intention::Open(subject.clone(), kind);
        let Outcome::Opened { access, .. } = perform(world, client, &node, &open).await else { continue };
        let held = world.pool.lock().sessions.iter().find(|held| held.id == access.session).cloned();
        let Some(held) = held else { continue };
        for other in world.places.iter().filter_map(crate::node::Place::node) {
            for (access, token) in &held.access {
                perform(world, client, &other, &Intention::Validate(*access, token.clone(), true)).await;
            }
        }
        perform(world, client, &node, &Intention::EndOne(held.id)).await;
    }
}
