//! What the writer makes of entries: a chain that goes on, counts instead of floods, and nothing lost or doubled.

use wayleave_testkit::{DirectoryVerb, Fault};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn refusal(source: &str) -> Entry {
    Entry { event: "session.unknown_token", source: Some(source.into()), ..Entry::default() }
}

/// What was written of `event`, as source and count, in the order of the sources.
fn counts(rows: &[AuditRow], event: &str) -> Vec<(String, u32)> {
    let of_event = rows.iter().filter(|row| row.event.as_ref() == event);
    let mut counts: Vec<_> =
        of_event.map(|row| (row.source.as_deref().unwrap_or("anywhere").to_owned(), row.count)).collect();
    counts.sort();
    counts
}

#[tokio::test(start_paused = true)]
async fn a_chain_goes_on_after_a_restart() {
    let deployment = Deployment::new();
    deployment.write(NODE, 3).await;
    deployment.write(NODE, 0).await;
    deployment.write(NODE, 2).await;
    let rows = deployment.rows(NODE).await;
    assert_eq!(rows.iter().map(|row| row.link.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    deployment.write("cli-1", 1).await;
    let verification = deployment.verify().await;
    assert_eq!((verification.nodes, verification.rows, verification.findings.len()), (2, 6, 0));
    // A process that wrote nothing signs its predecessor's end again, which says the same.
    let signed: Vec<_> = deployment.heads().read().unwrap().iter().map(|head| head.sequence).collect();
    assert_eq!(signed, [3, 3, 5, 1]);
}

/// R163: what goes in comes out, field by field.
#[tokio::test(start_paused = true)]
async fn rows_say_what_was_recorded() {
    let deployment = Deployment::new();
    let at = deployment.clock.now();
    deployment.write(NODE, 1).await;
    let rows = deployment.rows(NODE).await;
    let [AuditRow { node, link, at: written, event, session, subject, actor, source, reason, request, count, detail }] =
        rows.as_slice()
    else {
        panic!("{rows:?}");
    };
    assert_eq!((node.as_ref(), link.sequence, *written, event.as_ref(), *count), (NODE, 1, at, "session.created", 1));
    assert_eq!(session.as_deref(), Some("0000000000000000"));
    assert_eq!(subject.as_deref(), Some("user:0"));
    assert_eq!(actor.as_deref(), Some("service:shop"));
    assert_eq!(source.as_deref(), Some("192.0.2.0/24"));
    assert_eq!(reason.as_deref(), Some("owner"));
    assert_eq!(request.as_deref(), Some("req_0"));
    assert_eq!(detail.as_deref(), Some(r#"{"index":0}"#));
}

/// The head is signed every interval, when there is something new.
#[tokio::test(start_paused = true)]
async fn heads_are_signed_at_their_interval() {
    let deployment = Deployment::new();
    let running = deployment.start(NODE).await;
    let signed = || deployment.heads().read().unwrap().iter().map(|head| head.sequence).collect::<Vec<_>>();
    for round in 1..=3 {
        running.recorder.record(deployment.clock.now(), entry(0));
        running.recorder.flush().await;
        assert_eq!(signed().len(), round - 1);
        tokio::time::advance(Duration::from_secs(300)).await;
        running.recorder.flush().await;
        assert_eq!(signed().len(), round);
    }
    tokio::time::advance(Duration::from_secs(3000)).await;
    running.recorder.flush().await;
    assert_eq!(signed(), [1, 2, 3]);
    running.stop().await;
    assert_eq!(signed(), [1, 2, 3]);
}

/// R163: what anybody can cause at will is written at first sight, and then once a minute and source with its number.
#[tokio::test(start_paused = true)]
async fn refusals_are_counted_by_source_and_minute() {
    let deployment = Deployment::new();
    let running = deployment.start(NODE).await;
    let refuse = |source, times| {
        for _ in 0..times {
            running.recorder.record(deployment.clock.now(), refusal(source));
        }
    };
    let written = async || {
        running.recorder.flush().await;
        counts(&deployment.rows(NODE).await, "session.unknown_token")
    };
    let row = |source: &str, count| (source.to_owned(), count);
    refuse("a", 5);
    refuse("b", 1);
    refuse("c", 3);
    assert_eq!(written().await, [row("a", 1), row("b", 1), row("c", 1)]);
    tokio::time::advance(MINUTE).await;
    let first = [row("a", 1), row("a", 4), row("b", 1), row("c", 1), row("c", 2)];
    assert_eq!(written().await, first);
    // Nothing more happened, so nothing more is written; then a new minute begins as the first did.
    tokio::time::advance(MINUTE).await;
    assert_eq!(written().await, first);
    refuse("a", 2);
    assert_eq!(written().await.len(), 6);
    // At the end of the process nothing is left uncounted.
    running.stop().await;
    let rows = deployment.rows(NODE).await;
    let total: u32 = counts(&rows, "session.unknown_token").iter().map(|(_, count)| count).sum();
    assert_eq!(total, 11);
    deployment.assert_whole().await;
}

/// Different reasons are counted apart, and what is no refusal is never counted together.
#[tokio::test(start_paused = true)]
async fn only_like_refusals_are_counted_together() {
    let deployment = Deployment::new();
    let running = deployment.start(NODE).await;
    for reason in ["disabled", "level", "disabled", "level", "disabled"] {
        let entry = Entry { event: "session.refused", reason: Some(reason), ..Entry::default() };
        running.recorder.record(deployment.clock.now(), entry);
    }
    for _ in 0..3 {
        running.recorder.record(deployment.clock.now(), Entry { event: "login.failure", ..Entry::default() });
    }
    running.stop().await;
    let rows = deployment.rows(NODE).await;
    assert_eq!(counts(&rows, "login.failure"), vec![("anywhere".to_owned(), 1); 3]);
    let refused: Vec<_> = counts(&rows, "session.refused").into_iter().map(|(_, count)| count).collect();
    assert_eq!(refused, [1, 1, 1, 2]);
}

/// A78: a flood from more sources than can be counted apart takes a bounded number of rows, and is counted whole.
#[tokio::test(start_paused = true)]
async fn a_flood_from_everywhere_fills_no_disk() {
    let deployment = Deployment::new();
    let running = deployment.start(NODE).await;
    for source in 0..10_000 {
        running.recorder.record(deployment.clock.now(), refusal(&source.to_string()));
    }
    running.stop().await;
    let rows = deployment.rows(NODE).await;
    assert_eq!(rows.len(), 4097);
    assert_eq!(rows.iter().map(|row| row.count).sum::<u32>(), 10_000);
    assert_eq!(rows.last().map(|row| (row.source.clone(), row.count)), Some((None, 10_000 - 4096)));
}

/// R167, A78: with nobody to take entries away, recording neither waits nor fails; what did not fit is counted, and the
/// count is itself a row.
#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_and_counts() {
    let deployment = Deployment::new();
    let (recorder, writer) = deployment.prepare(NODE).await;
    for index in 0..QUEUE + 10 {
        recorder.record(deployment.clock.now(), entry(index));
    }
    assert_eq!(recorder.dropped(), 10);
    let running = Running::start(recorder, writer);
    running.recorder.flush().await;
    tokio::time::advance(MINUTE).await;
    running.recorder.flush().await;
    let rows = deployment.rows(NODE).await;
    assert_eq!(rows.len(), QUEUE + 1);
    assert_eq!(counts(&rows, "audit.dropped"), [("anywhere".to_owned(), 10)]);
    // It is reported once.
    tokio::time::advance(MINUTE).await;
    running.stop().await;
    assert_eq!(deployment.rows(NODE).await.len(), QUEUE + 1);
    deployment.assert_whole().await;
}

/// A78: a store that does not answer for long holds no request up and takes no memory without bound.
#[tokio::test(start_paused = true)]
async fn a_store_that_stays_away_drops_and_counts() {
    let deployment = Deployment::new();
    let running = deployment.start(NODE).await;
    deployment.log.faults().fail(DirectoryVerb::AuditAppend, Fault::DOWN);
    let (backlog, more) = (65_536, 5);
    for index in 0..backlog + more {
        running.recorder.record(deployment.clock.now(), entry(index));
        if index % 10_000 == 0 {
            running.recorder.flush().await;
        }
    }
    running.recorder.flush().await;
    assert_eq!(running.recorder.dropped(), u64::try_from(more).unwrap());
    deployment.log.faults().heal(DirectoryVerb::AuditAppend);
    running.stop().await;
    let rows = deployment.rows(NODE).await;
    assert_eq!(rows.len(), backlog);
    deployment.assert_whole().await;
    deployment.write(NODE, 1).await;
    deployment.assert_whole().await;
}

/// R168: while the store is away nothing is promised: no row, no signed head. When it is back everything is there.
#[tokio::test(start_paused = true)]
async fn a_store_that_comes_back_loses_nothing() {
    let deployment = Deployment::new();
    let running = deployment.start(NODE).await;
    deployment.log.faults().fail(DirectoryVerb::AuditAppend, Fault::DOWN);
    for index in 0..700 {
        running.recorder.record(deployment.clock.now(), entry(index));
    }
    running.recorder.flush().await;
    tokio::time::advance(Duration::from_secs(600)).await;
    running.recorder.flush().await;
    assert_eq!(deployment.rows(NODE).await.len(), 0);
    assert_eq!(deployment.heads().read().unwrap(), []);
    deployment.log.faults().heal(DirectoryVerb::AuditAppend);
    // Without anything new to write, it is tried again all the same.
    tokio::time::advance(Duration::from_secs(1)).await;
    running.recorder.flush().await;
    assert_eq!(deployment.rows(NODE).await.len(), 700);
    running.stop().await;
    deployment.assert_whole().await;
}

/// A write whose answer was lost is not made again, whether or not the store can say at once what became of it.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_doubles_nothing() {
    for head_fails in [false, true] {
        let deployment = Deployment::new();
        let running = deployment.start(NODE).await;
        deployment.log.faults().fail(DirectoryVerb::AuditAppend, Fault::AFTER_COMMIT);
        if head_fails {
            deployment.log.faults().fail(DirectoryVerb::AuditHead, Fault::DOWN);
        }
        for index in 0..600 {
            running.recorder.record(deployment.clock.now(), entry(index));
        }
        running.recorder.flush().await;
        tokio::time::advance(Duration::from_secs(2)).await;
        running.recorder.flush().await;
        // More comes in while it is unknown what became of the first.
        running.recorder.record(deployment.clock.now(), entry(600));
        running.recorder.flush().await;
        deployment.log.faults().heal(DirectoryVerb::AuditHead);
        deployment.log.faults().heal(DirectoryVerb::AuditAppend);
        running.recorder.record(deployment.clock.now(), entry(601));
        running.stop().await;
        let rows = deployment.rows(NODE).await;
        let requests: Vec<_> = rows.iter().filter_map(|row| row.request.clone()).collect();
        let expected: Vec<Box<str>> = (0..602).map(|index| format!("req_{index}").into()).collect();
        assert_eq!(requests, expected, "head fails: {head_fails}");
        deployment.assert_whole().await;
    }
}

/// Flakiness at every single call, one after the other.
#[tokio::test(start_paused = true)]
async fn any_one_failure_changes_nothing() {
    for call in 1..=4 {
        for effect in [wayleave_testkit::Effect::Unreached, wayleave_testkit::Effect::AnswerLost] {
            let deployment = Deployment::new();
            let running = deployment.start(NODE).await;
            let fault = Fault { when: wayleave_testkit::When::Call(call), effect };
            deployment.log.faults().fail(DirectoryVerb::AuditAppend, fault);
            for index in 0..4 {
                running.recorder.record(deployment.clock.now(), entry(index));
                running.recorder.flush().await;
            }
            running.stop().await;
            assert_eq!(deployment.rows(NODE).await.len(), 4, "call {call}, {effect:?}");
            deployment.assert_whole().await;
        }
    }
}
