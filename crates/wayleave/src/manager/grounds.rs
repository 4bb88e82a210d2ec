//! What a judgement rests on, and what memory keeps of a session that was judged valid.

use std::sync::Arc;

use wayleave_core::decide::{self, Decision, Presented, Standing};
use wayleave_core::permission::Permissions;
use wayleave_core::policy::Policy;
use wayleave_core::record::{Fingerprint, Record};
use wayleave_core::time::Timestamp;

use super::Rules;
use super::live::{Judged, Live};

/// What a judgement on a session rests on besides its record.
pub(super) struct Grounds {
    /// Taken before the others: whatever changes from then on makes the judgement one of an older epoch.
    pub(super) epoch: u64,
    /// How the subject stands.
    pub(super) standing: Standing,
    /// The rules.
    pub(super) rules: Arc<Rules>,
}

impl Grounds {
    /// What memory keeps of a record that has just been written, so that its first request asks no store; `None` unless
    /// it is valid at `now` for a request that shows `fingerprint`.
    pub(super) fn fresh(
        &self,
        record: Arc<Record>,
        fingerprint: Option<Fingerprint>,
        now: Timestamp,
    ) -> Option<Arc<Live>> {
        let policy = self.rules.kinds.policy(&record.kind)?;
        let presented = Presented { fingerprint, activity: record.activity() };
        match decide::decide(policy, self.rules.session_timeout, &record, &self.standing, presented, now) {
            Decision::Valid { permissions, drifted } => {
                let seen_at = record.last_seen_at;
                Some(self.live(policy, record, Valid { permissions, drifted, seen_at }))
            }
            Decision::Expired(_) | Decision::Refused(_) => None,
        }
    }

    /// What memory keeps of a record that was judged valid.
    pub(super) fn live(&self, policy: &Policy, record: Arc<Record>, valid: Valid) -> Arc<Live> {
        let Valid { permissions, drifted, seen_at } = valid;
        let judged = Judged {
            idle: policy.idle(record.remembered, self.rules.session_timeout),
            record: to_keep(record),
            permissions,
            mode: policy.fingerprint,
            drifted,
            until: self.standing.until,
            epoch: self.epoch,
        };
        Arc::new(Live::new(judged, seen_at))
    }
}

/// What came of a judgement that found a session valid.
pub(super) struct Valid {
    pub(super) permissions: Permissions,
    pub(super) drifted: bool,
    /// The latest activity that is known.
    pub(super) seen_at: Timestamp,
}

/// A record to keep in memory, where the pair of its last rotation must not outlive its window.
fn to_keep(record: Arc<Record>) -> Arc<Record> {
    match record.last_rotation() {
        Some(last) if !last.sealed_pair.is_empty() => Arc::new(Arc::unwrap_or_clone(record).without_pair()),
        Some(_) | None => record,
    }
}
