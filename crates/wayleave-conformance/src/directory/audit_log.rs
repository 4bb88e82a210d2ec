//! `AuditLog`.

use std::sync::Arc;

use wayleave_core::ports::{AuditLog, AuditQuery, AuditRow, MAX_AUDIT_DETAIL, StoreError};

use super::Directory;
use crate::bench::Bench;
use crate::fixtures::{at, audit_row};
use crate::together::together;

/// The whole log, newest first, in pages of `most`.
async fn queried(log: &Arc<dyn AuditLog>, query: &AuditQuery, most: u32) -> Vec<AuditRow> {
    let mut query = AuditQuery { most, before: None, ..query.clone() };
    let mut rows = Vec::new();
    for _ in 0..1_000 {
        let (page, next) = log.query(&query).await.unwrap();
        assert!(page.len() <= usize::try_from(most).unwrap(), "a page is larger than asked for");
        rows.extend(page);
        query.before = next;
        if next.is_none() {
            return rows;
        }
    }
    panic!("the pages do not end");
}

async fn everything(log: &Arc<dyn AuditLog>) -> Vec<AuditRow> {
    queried(log, &AuditQuery::default(), 1000).await
}

fn rows(node: &str, sequences: std::ops::RangeInclusive<u32>) -> Vec<AuditRow> {
    sequences.map(|sequence| audit_row(node, sequence)).collect()
}

fn newest_first(mut rows: Vec<AuditRow>) -> Vec<AuditRow> {
    rows.reverse();
    rows
}

pub(super) async fn gives_back_what_was_appended(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let log = &fresh.audit_log;
    let full = AuditRow { detail: Some("x".repeat(MAX_AUDIT_DETAIL).into()), count: u32::MAX, ..audit_row("a", 1) };
    let bare = AuditRow {
        session: None,
        subject: None,
        actor: None,
        source: None,
        reason: None,
        request: None,
        detail: None,
        ..audit_row("a", 2)
    };
    let all = [full, bare, audit_row("a", 3)];
    log.append(&[]).await.unwrap();
    assert_eq!(everything(log).await, []);
    log.append(&all[..2]).await.unwrap();
    log.append(&all[2..]).await.unwrap();
    assert_eq!(log.chain("a", 1, 1000).await.unwrap(), all);
    assert_eq!(everything(log).await, newest_first(all.to_vec()));
}

/// A sequence number that exists is an error, and none of the rows that came with it goes in.
pub(super) async fn appends_all_or_none(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let log = &fresh.audit_log;
    let held = rows("a", 1..=3);
    log.append(&held).await.unwrap();
    let forged = |sequence| AuditRow { event: "forged".into(), ..audit_row("a", sequence) };
    for attempt in [
        vec![forged(3)],
        vec![forged(1)],
        vec![forged(4), forged(3)],
        vec![forged(4), forged(5), forged(2)],
        vec![forged(4), forged(4)],
    ] {
        assert!(log.append(&attempt).await.is_err(), "{attempt:?}");
        assert_eq!(log.chain("a", 1, 1000).await.unwrap(), held);
        assert_eq!(everything(log).await.len(), 3);
        assert_eq!(log.head("a").await.unwrap(), Some(held[2].link));
    }
    log.append(&rows("a", 4..=5)).await.unwrap();
    assert_eq!(log.chain("a", 1, 1000).await.unwrap(), rows("a", 1..=5));
}

/// It is refused as it is, not cut: the MAC of the row is over all of it.
pub(super) async fn refuses_a_detail_that_is_too_long(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let log = &fresh.audit_log;
    let long = AuditRow { detail: Some("x".repeat(MAX_AUDIT_DETAIL + 1).into()), ..audit_row("a", 2) };
    let refused = log.append(&[audit_row("a", 1), long]).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    assert_eq!(log.head("a").await.unwrap(), None);
}

pub(super) async fn keeps_a_chain_for_each_node(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let log = &fresh.audit_log;
    assert_eq!(log.head("a").await.unwrap(), None);
    assert_eq!(log.nodes().await.unwrap(), []);
    log.append(&rows("a", 1..=2)).await.unwrap();
    log.append(&rows("b", 1..=4)).await.unwrap();
    log.append(&rows("a", 3..=3)).await.unwrap();
    let mut nodes = log.nodes().await.unwrap();
    nodes.sort();
    assert_eq!(nodes, ["a".into(), "b".into()]);
    assert_eq!(log.head("a").await.unwrap(), Some(audit_row("a", 3).link));
    assert_eq!(log.head("b").await.unwrap(), Some(audit_row("b", 4).link));
    assert_eq!(log.head("c").await.unwrap(), None);
    assert_eq!(log.chain("a", 1, 1000).await.unwrap(), rows("a", 1..=3));
    assert_eq!(log.chain("b", 1, 1000).await.unwrap(), rows("b", 1..=4));
    assert_eq!(log.chain("c", 1, 1000).await.unwrap(), []);
}

pub(super) async fn reads_chains_in_pieces(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let log = &fresh.audit_log;
    log.append(&rows("a", 1..=9)).await.unwrap();
    log.append(&rows("b", 1..=2)).await.unwrap();
    assert_eq!(log.chain("a", 4, 3).await.unwrap(), rows("a", 4..=6));
    assert_eq!(log.chain("a", 8, 3).await.unwrap(), rows("a", 8..=9));
    assert_eq!(log.chain("a", 0, 1).await.unwrap(), rows("a", 1..=1));
    for beyond in [10, 1 << 40, u64::MAX] {
        assert_eq!(log.chain("a", beyond, 3).await.unwrap(), []);
    }
}

/// Over all nodes, by when they were written.
pub(super) async fn gives_the_newest_rows_first(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let log = &fresh.audit_log;
    let mut all = Vec::new();
    for sequence in 1..=10 {
        for node in ["a", "b"] {
            all.push(AuditRow { at: at(i64::try_from(all.len()).unwrap()), ..audit_row(node, sequence) });
            log.append(&all[all.len() - 1..]).await.unwrap();
        }
    }
    let expected = newest_first(all);
    for most in [1, 3, 7, 20, 1000] {
        assert_eq!(queried(log, &AuditQuery::default(), most).await, expected, "pages of {most}");
    }
}

pub(super) async fn filters_rows(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let log = &fresh.audit_log;
    let row = |sequence: u32, event: &str, subject: &str| AuditRow {
        event: event.into(),
        subject: Some(subject.into()),
        at: at(sequence.into()),
        ..audit_row("a", sequence)
    };
    let all = [
        row(1, "session.created", "user:1"),
        row(2, "session.revoked", "user:2"),
        row(3, "sessions", "user:1"),
        row(4, "session", "user:11"),
        row(5, "login.failure", "user:1"),
        AuditRow { subject: None, ..row(6, "session.created.late", "") },
        row(7, "loginx", "user:%"),
    ];
    log.append(&all).await.unwrap();
    let other = AuditRow { at: at(8), event: "session.created".into(), subject: None, ..audit_row("b", 1) };
    log.append(std::slice::from_ref(&other)).await.unwrap();
    let any = AuditQuery::default();
    let text = |text: &str| Some(Box::<str>::from(text));
    let cases: [(AuditQuery, &[u32]); 14] = [
        (AuditQuery { node: text("a"), ..any.clone() }, &[7, 6, 5, 4, 3, 2, 1]),
        (AuditQuery { node: text("b"), ..any.clone() }, &[8]),
        (AuditQuery { node: text("A"), ..any.clone() }, &[]),
        (AuditQuery { event: text("session.created"), ..any.clone() }, &[8, 1]),
        (AuditQuery { event: text("session."), ..any.clone() }, &[8, 6, 2, 1]),
        (AuditQuery { event: text("session"), ..any.clone() }, &[4]),
        (AuditQuery { event: text("logi_."), ..any.clone() }, &[]),
        (AuditQuery { event: text("%."), ..any.clone() }, &[]),
        (AuditQuery { subject: text("user:1"), ..any.clone() }, &[5, 3, 1]),
        (AuditQuery { subject: text("user:%"), ..any.clone() }, &[7]),
        (AuditQuery { since: Some(at(6)), ..any.clone() }, &[8, 7, 6]),
        (AuditQuery { since: Some(at(9)), ..any.clone() }, &[]),
        (AuditQuery { event: text("session."), since: Some(at(2)), node: text("a"), ..any.clone() }, &[6, 2]),
        (AuditQuery { event: text("session."), subject: text("user:2"), ..any }, &[2]),
    ];
    for (query, expected) in cases {
        let found = queried(log, &query, 1000).await;
        let found: Vec<_> = found.iter().map(|row| row.at).collect();
        assert_eq!(found, expected.iter().map(|second| at((*second).into())).collect::<Vec<_>>(), "{query:?}");
    }
}

pub(super) async fn pages_over_filtered_rows(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let log = &fresh.audit_log;
    let all: Vec<_> = (1..=30)
        .map(|sequence| AuditRow {
            event: if sequence % 3 == 0 { "login.failure" } else { "session.created" }.into(),
            ..audit_row("a", sequence)
        })
        .collect();
    log.append(&all).await.unwrap();
    let query = AuditQuery { event: Some("login.".into()), ..AuditQuery::default() };
    let expected: Vec<_> = all.into_iter().filter(|row| &*row.event == "login.failure").rev().collect();
    for most in [1, 4, 5, 10, 1000] {
        assert_eq!(queried(log, &query, most).await, expected, "pages of {most}");
    }
    // What is written meanwhile does not shift the pages.
    let (first, next) = log.query(&AuditQuery { most: 4, ..query.clone() }).await.unwrap();
    log.append(&[AuditRow { event: "login.failure".into(), ..audit_row("a", 31) }]).await.unwrap();
    let (second, _) = log.query(&AuditQuery { most: 4, before: next, ..query }).await.unwrap();
    assert_eq!([first, second].concat(), expected[..8]);
}

/// Two processes that write as one node: one of them learns of it, and its rows do not get in between.
pub(super) async fn is_appended_to_once_per_sequence(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let log = &fresh.audit_log;
    for round in bench.rounds() {
        let from = round * 3 + 1;
        let writers: Vec<Vec<_>> = (0..4)
            .map(|writer| {
                let event = format!("written.by.{writer}");
                rows("a", from..=from + 2)
                    .into_iter()
                    .map(|row| AuditRow { event: event.as_str().into(), ..row })
                    .collect()
            })
            .collect();
        let outcomes = together(writers.iter().cloned().map(|rows| {
            let log = Arc::clone(log);
            async move { log.append(&rows).await.is_ok() }
        }))
        .await;
        let won: Vec<_> = writers.iter().zip(outcomes).filter(|(_, done)| *done).map(|(rows, _)| rows).collect();
        assert_eq!(won.len(), 1);
        assert_eq!(log.chain("a", from.into(), 1000).await.unwrap(), *won[0]);
        assert_eq!(log.head("a").await.unwrap(), Some(won[0][2].link));
    }
}
