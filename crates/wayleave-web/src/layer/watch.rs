//! Waiting for a session's end, for connections that outlive their request.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use wayleave::events::What;
use wayleave::kv::{SessionData, SessionStore};
use wayleave::{SessionManager, Shown, ValidateError};
use wayleave_core::id::SessionId;
use wayleave_core::ports::{Clock, Subjects};
use wayleave_core::time::Timestamp;
use zeroize::Zeroizing;

use crate::sealed::CookieSessionStore;

/// Why a watched session is over.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// It passed a limit.
    Expired,
    /// Somebody ended it, or its subject may have none any more.
    Revoked,
    /// Nobody can say whether it is still good, so it is over.
    Unknown,
}

/// Waits for the end of a session: of a WebSocket's, or of any answer that goes on for long.
///
/// Revocations on this node are noticed at once, everything else at the session's own end or within
/// [`SessionWatch::LOOK_EVERY`]. Watching is not activity: the idle limit runs. That of a
/// sealed cookie is the client's own, and a watch sees its absolute end alone.
///
/// ```no_run
/// # async fn example(session: wayleave_web::Session) -> Option<()> {
/// let mut watch = session.watch()?;
/// tokio::select! {
///     reason = watch.ended() => tracing::info!(?reason, "the connection is closed"),
///     () = std::future::pending() => { /* talk to the client */ }
/// }
/// # Some(())
/// # }
/// ```
pub struct SessionWatch {
    pub(crate) source: WatchSource,
    pub(crate) clock: Arc<dyn Clock>,
}

pub(crate) enum WatchSource {
    Record {
        manager: Arc<SessionManager>,
        token: Zeroizing<String>,
        id: SessionId,
        watchers: Arc<Watchers>,
        notify: Arc<Notify>,
    },
    Data {
        place: DataPlace,
        id: Zeroizing<String>,
        /// As it was when the watch began.
        data: Arc<SessionData>,
        absolute_end: Timestamp,
        subjects: Arc<dyn Subjects>,
    },
}

impl SessionWatch {
    /// How often a session is looked at although nothing was heard of it.
    pub const LOOK_EVERY: Duration = Duration::from_secs(30);
    /// How often a store is asked again that does not answer, before the session counts as over.
    const ATTEMPTS: u32 = 5;

    /// Returns when the session is over.
    pub async fn ended(&mut self) -> SessionEnd {
        let mut failures = 0;
        loop {
            // Made before the look: from then on it hears, also of an end between look and wait.
            let heard = match &self.source {
                WatchSource::Record { notify, .. } => Some(Arc::clone(notify).notified_owned()),
                WatchSource::Data { .. } => None,
            };
            let wait = match self.look().await {
                Look::Over(end) => return end,
                Look::Live(until) => {
                    failures = 0;
                    until.since(self.clock.now()).clamp(Duration::from_millis(1), Self::LOOK_EVERY)
                }
                Look::NoAnswer if failures >= Self::ATTEMPTS => return SessionEnd::Unknown,
                Look::NoAnswer => {
                    failures += 1;
                    Duration::from_secs(1)
                }
            };
            // Either way it is looked at again.
            let _ = match heard {
                Some(heard) => tokio::time::timeout(wait, heard).await,
                None => tokio::time::timeout(wait, std::future::pending()).await,
            };
        }
    }

    async fn look(&self) -> Look {
        match &self.source {
            WatchSource::Record { manager, token, .. } => {
                match manager.validate(token, &Shown { active: false, ..Shown::default() }).await {
                    Ok(session) => {
                        let end = session.expires_at().min(session.session_expires_at());
                        Look::Live(session.idle_expires_at().map_or(end, |idle| idle.min(end)))
                    }
                    Err(ValidateError::Expired(_)) => Look::Over(SessionEnd::Expired),
                    Err(ValidateError::Invalid) => Look::Over(SessionEnd::Revoked),
                    Err(ValidateError::Store(_)) => Look::NoAnswer,
                }
            }
            WatchSource::Data { place, id, data, absolute_end, subjects } => {
                let now = self.clock.now();
                if now >= *absolute_end {
                    return Look::Over(SessionEnd::Expired);
                }
                let until = match place {
                    DataPlace::Store(store) => match store.load(id).await {
                        Ok(Some(newest)) => newest.expires_at().min(*absolute_end),
                        Ok(None) => return Look::Over(SessionEnd::Revoked),
                        Err(_) => return Look::NoAnswer,
                    },
                    // Its idle end moves with every cookie, unseen from here.
                    DataPlace::Cookie(cookies) => match cookies.is_revoked(data).await {
                        Ok(false) => *absolute_end,
                        Ok(true) => return Look::Over(SessionEnd::Revoked),
                        Err(_) => return Look::NoAnswer,
                    },
                };
                let Some(principal) = data.principal() else { return Look::Live(until) };
                match subjects.standing(&principal.subject).await {
                    Ok(standing) if standing.is_active(now) && principal.epoch >= standing.epoch => Look::Live(until),
                    Ok(_) => Look::Over(SessionEnd::Revoked),
                    Err(_) => Look::NoAnswer,
                }
            }
        }
    }
}

/// Where data is that holds its own identity.
pub(crate) enum DataPlace {
    Store(Arc<dyn SessionStore>),
    Cookie(Arc<CookieSessionStore>),
}

impl Drop for SessionWatch {
    fn drop(&mut self) {
        if let WatchSource::Record { id, watchers, .. } = &self.source {
            watchers.leave(id);
        }
    }
}

impl std::fmt::Debug for SessionWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionWatch").finish_non_exhaustive()
    }
}

enum Look {
    Live(Timestamp),
    Over(SessionEnd),
    NoAnswer,
}

/// Who waits for which session. One task hears of all ends and wakes those concerned.
#[derive(Default)]
pub(crate) struct Watchers {
    waiting: Mutex<HashMap<SessionId, Waiting>>,
    listening: OnceLock<()>,
}

struct Waiting {
    notify: Arc<Notify>,
    watches: usize,
}

/// Events that may wait to be looked at. When more come, everybody looks.
const QUEUE: usize = 1024;

impl Watchers {
    pub(crate) fn join(self: &Arc<Self>, manager: &Arc<SessionManager>, id: SessionId) -> Arc<Notify> {
        self.listening.get_or_init(|| {
            let mut events = manager.subscribe(QUEUE);
            let watchers = Arc::downgrade(self);
            tokio::spawn(async move {
                let mut missed = 0;
                while let Some(event) = events.next().await {
                    let Some(watchers) = watchers.upgrade() else { return };
                    if events.dropped() != missed {
                        missed = events.dropped();
                        watchers.wake_all();
                    }
                    let ends = matches!(event.what, What::Revoked(_) | What::Expired(_) | What::Refused(_));
                    if let Some(id) = event.session.filter(|_| ends) {
                        watchers.wake(&id);
                    }
                }
            });
        });
        let mut waiting = self.waiting.lock();
        let entry = waiting.entry(id).or_insert_with(|| Waiting { notify: Arc::new(Notify::new()), watches: 0 });
        entry.watches += 1;
        Arc::clone(&entry.notify)
    }

    fn leave(&self, id: &SessionId) {
        let mut waiting = self.waiting.lock();
        if let Some(entry) = waiting.get_mut(id) {
            entry.watches = entry.watches.saturating_sub(1);
            if entry.watches == 0 {
                waiting.remove(id);
            }
        }
    }

    fn wake(&self, id: &SessionId) {
        if let Some(entry) = self.waiting.lock().get(id) {
            entry.notify.notify_waiters();
        }
    }

    fn wake_all(&self) {
        self.waiting.lock().values().for_each(|entry| entry.notify.notify_waiters());
    }
}
