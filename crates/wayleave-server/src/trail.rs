//! From session events to audit entries: one row for each thing that happened.

use wayleave::events::{Event, Subscription, What};
use zeroize::Zeroizing;

use crate::app::reference;
use crate::audit::{Entry, Recorder};
use crate::fingerprint;
use crate::metrics::Metrics;

/// Carries events to the audit log until the manager is gone.
pub async fn follow(
    mut events: Subscription,
    recorder: Recorder,
    metrics: Metrics,
    reference_key: Zeroizing<[u8; 32]>,
    stop: tokio_util::sync::CancellationToken,
) {
    loop {
        let event = tokio::select! {
            biased;
            event = events.next() => event,
            () = stop.cancelled() => break,
        };
        let Some(event) = event else { return };
        carry(&event, &recorder, &metrics, &reference_key);
    }
    while let Some(event) = events.try_next() {
        carry(&event, &recorder, &metrics, &reference_key);
    }
}

fn carry(event: &Event, recorder: &Recorder, metrics: &Metrics, reference_key: &[u8; 32]) {
    let (name, reason) = name(&event.what);
    let drifted = event.drift.map(|drift| fingerprint::changed(drift.held, drift.shown));
    // Of a mismatch it is the reason; of a refusal that follows from one it is what stands behind the reason.
    let reason = reason.or(drifted);
    let mut detail = serde_json::Map::new();
    detail.extend(event.kind.as_ref().map(|kind| ("kind".to_owned(), kind.as_str().into())));
    detail.extend(drifted.map(|changed| ("changed".to_owned(), changed.into())));
    metrics.session_event(name, reason.unwrap_or_default());
    let entry = Entry {
        event: name,
        session: event.session.as_ref().map(|id| reference(reference_key, id)),
        subject: event.subject.as_ref().map(|subject| subject.as_str().into()),
        actor: event.origin.actor.as_deref().map(Into::into),
        source: event.origin.network.as_deref().map(Into::into),
        reason,
        request: event.origin.request.as_deref().map(Into::into),
        detail: (!detail.is_empty()).then(|| detail.into()),
    };
    recorder.record(event.at, entry);
}

/// The audit log's name for what happened, and why (R163).
fn name(what: &What) -> (&'static str, Option<&'static str>) {
    use wayleave_core::decide::Refusal;
    use wayleave_core::record::Limit;
    match what {
        What::Created => ("session.created", None),
        What::Renewed => ("session.renewed", None),
        What::Refreshed => ("refresh.rotated", None),
        What::RefreshRepeated => ("refresh.repeated", None),
        What::ReuseDetected => ("refresh.reuse_detected", None),
        What::Expired(Limit::Token) => ("session.token_expired", None),
        What::Expired(Limit::Idle) => ("session.idle_expired", None),
        What::Expired(Limit::Absolute) => ("session.absolute_expired", None),
        What::Expired(Limit::NotBefore) => ("session.refused", Some("not_before")),
        What::Revoked(wayleave::events::Cause::SignOut) => ("session.logout", None),
        What::Revoked(wayleave::events::Cause::Evicted) => ("session.evicted", None),
        What::Revoked(cause) => ("session.revoked", Some(cause.as_str())),
        What::Refused(refusal) => (
            "session.refused",
            Some(match refusal {
                Refusal::Disabled => "disabled",
                Refusal::Superseded => "superseded",
                Refusal::Unlicensed => "unlicensed",
                Refusal::Fingerprint => "fingerprint",
                Refusal::Level => "level",
            }),
        ),
        What::FingerprintMismatch => ("session.fingerprint_mismatch", None),
        What::UnknownToken => ("session.unknown_token", None),
        What::LimitRefused => ("session.limit_refused", None),
    }
}
