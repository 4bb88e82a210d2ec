//! What happened to sessions, for subscribers that cannot hold anything up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use tokio::sync::mpsc;
use wayleave_core::decide::Refusal;
use wayleave_core::id::{FamilyId, SessionId};
use wayleave_core::policy::KindName;
use wayleave_core::record::{Fingerprint, Limit};
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;

use crate::manager::Origin;

/// Why a session ended by somebody's will.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Its user signed out.
    SignOut,
    /// Its user ended it from another session.
    Owner,
    /// An administrator ended it.
    Administrator,
    /// A new sign-in in the same browser took its place.
    Replaced,
    /// A newer session of the same subject needed the room.
    Evicted,
    /// A spent refresh token was presented.
    Reuse,
    /// Its subject's password changed.
    CredentialChanged,
    /// Its subject was disabled, or lost what the session rested on.
    SubjectDisabled,
    /// Its client changed, and its kind does not tolerate that.
    Fingerprint,
}

impl Cause {
    /// The code that clients, logs and the audit log see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignOut => "sign_out",
            Self::Owner => "owner",
            Self::Administrator => "administrator",
            Self::Replaced => "replaced",
            Self::Evicted => "evicted",
            Self::Reuse => "refresh_reuse",
            Self::CredentialChanged => "credential_changed",
            Self::SubjectDisabled => "subject_disabled",
            Self::Fingerprint => "fingerprint",
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A session was opened.
    Created,
    /// Its lifetime was extended within policy.
    Renewed,
    /// Its tokens were rotated.
    Refreshed,
    /// A client asked again for the pair that a rotation had answered.
    RefreshRepeated,
    /// A spent refresh token was presented.
    ReuseDetected,
    /// It was first seen past a limit.
    Expired(Limit),
    /// It ended by somebody's will.
    Revoked(Cause),
    /// It was presented and is not honoured.
    Refused(Refusal),
    /// It was presented by a client that does not look like the one that signed in.
    FingerprintMismatch,
    /// A well-formed token was presented that nobody knows.
    UnknownToken,
    /// A sign-in was refused because the subject has as many sessions as it may.
    LimitRefused,
}

/// A client that does not look like the one that signed in (R027).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The one that signed in.
    pub held: Fingerprint,
    /// The one that came; `None` where it showed nothing.
    pub shown: Option<Fingerprint>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub what: What,
    /// When.
    pub at: Timestamp,
    /// To which session; `None` where there is none.
    pub session: Option<SessionId>,
    /// Of which lineage.
    pub family: Option<FamilyId>,
    /// Of which kind.
    pub kind: Option<KindName>,
    /// Whose.
    pub subject: Option<Subject>,
    /// On which request.
    pub origin: Origin,
    /// How its client changed, where that is what happened.
    pub drift: Option<Drift>,
}

struct Subscriber {
    queue: mpsc::Sender<Arc<Event>>,
    dropped: Arc<AtomicU64>,
}

/// The list of subscribers. Publishing never waits: an event that does not fit a subscriber's queue is dropped for
/// that subscriber and counted (R167).
#[derive(Default)]
pub(crate) struct Subscribers(RwLock<Vec<Subscriber>>);

/// A subscriber's end.
pub struct Subscription {
    queue: mpsc::Receiver<Arc<Event>>,
    dropped: Arc<AtomicU64>,
}

impl Subscription {
    /// The next event; `None` when the manager is gone.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        self.queue.recv().await
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<Arc<Event>> {
        self.queue.try_recv().ok()
    }

    /// How many events did not fit the queue.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Subscribers {
    pub(crate) fn subscribe(&self, most: usize) -> Subscription {
        let (sender, receiver) = mpsc::channel(most.max(1));
        let dropped = Arc::new(AtomicU64::new(0));
        self.0.write().push(Subscriber { queue: sender, dropped: Arc::clone(&dropped) });
        Subscription { queue: receiver, dropped }
    }

    pub(crate) fn publish(&self, event: Event) {
        let event = Arc::new(event);
        let mut closed = false;
        for subscriber in self.0.read().iter() {
            match subscriber.queue.try_send(Arc::clone(&event)) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => {
                    subscriber.dropped.fetch_add(1, Ordering::Relaxed);
                }
                Err(mpsc::error::TrySendError::Closed(_)) => closed = true,
            }
        }
        if closed {
            self.0.write().retain(|subscriber| !subscriber.queue.is_closed());
        }
    }
}
