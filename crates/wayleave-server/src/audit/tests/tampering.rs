//! What a verification finds when somebody who holds the store, but not the key, changes the log.

use async_trait::async_trait;
use wayleave_core::ports::{AuditQuery, ChainLink, StoreError};
use wayleave_core::time::Timestamp;

use super::*;

/// A log in the hands of somebody who changes it at will.
#[derive(Clone, Default)]
struct Stolen(Vec<AuditRow>);

#[async_trait]
impl AuditLog for Stolen {
    async fn append(&self, _: &[AuditRow]) -> Result<(), StoreError> {
        Err(StoreError::Full)
    }

    async fn head(&self, _: &str) -> Result<Option<ChainLink>, StoreError> {
        Err(StoreError::Full)
    }

    async fn nodes(&self) -> Result<Vec<Box<str>>, StoreError> {
        let mut nodes: Vec<_> = self.0.iter().map(|row| row.node.clone()).collect();
        nodes.sort();
        nodes.dedup();
        Ok(nodes)
    }

    async fn chain(&self, node: &str, from: u64, most: u32) -> Result<Vec<AuditRow>, StoreError> {
        let of_node = self.0.iter().filter(|row| row.node.as_ref() == node && row.link.sequence >= from);
        let mut rows: Vec<_> = of_node.cloned().collect();
        rows.sort_by_key(|row| row.link.sequence);
        // Steps of two, so that a verification has to go on behind one.
        rows.truncate(usize::try_from(most).unwrap().min(2));
        Ok(rows)
    }

    async fn query(&self, _: &AuditQuery) -> Result<(Vec<AuditRow>, Option<u64>), StoreError> {
        Err(StoreError::Full)
    }
}

impl Stolen {
    async fn of(deployment: &Deployment) -> Self {
        Self(deployment.rows(NODE).await)
    }

    fn row(&mut self, sequence: usize) -> &mut AuditRow {
        &mut self.0[sequence - 1]
    }

    async fn findings(&self, heads: &[Head]) -> Vec<Finding> {
        verify(self, &ChainKey::new(KEY), heads, |_| {}).await.unwrap().findings
    }
}

fn changed(sequence: u64) -> Finding {
    Finding::Changed { node: NODE.into(), sequence }
}

fn gap(sequence: u64) -> Finding {
    Finding::Gap { node: NODE.into(), sequence }
}

/// A way to change a field.
type Change = fn(&mut AuditRow);

/// Every field by itself. A field that is added to rows makes this fail to compile until it is tried here too.
fn changes() -> Vec<(&'static str, Change)> {
    let AuditRow {
        node: _,
        link: ChainLink { sequence: _, mac: _ },
        at: _,
        event: _,
        session: _,
        subject: _,
        actor: _,
        source: _,
        reason: _,
        request: _,
        count: _,
        detail: _,
    } = row_of_nobody();
    vec![
        ("mac", |row| row.link.mac[31] ^= 1),
        ("at", |row| row.at = Timestamp::from_millis(row.at.as_millis() + 1)),
        ("event", |row| row.event = "session.createe".into()),
        ("session", |row| row.session = Some("0000000000000009".into())),
        ("session gone", |row| row.session = None),
        ("subject", |row| row.subject = Some("user:9".into())),
        ("subject empty", |row| row.subject = Some("".into())),
        ("subject gone", |row| row.subject = None),
        ("actor", |row| row.actor = Some("cli".into())),
        ("actor gone", |row| row.actor = None),
        ("source", |row| row.source = Some("198.51.100.0/24".into())),
        ("source gone", |row| row.source = None),
        ("reason", |row| row.reason = Some("administrator".into())),
        ("reason gone", |row| row.reason = None),
        ("request", |row| row.request = Some("req_9".into())),
        ("request gone", |row| row.request = None),
        ("count", |row| row.count += 1),
        ("detail", |row| row.detail = Some(r#"{"index":9}"#.into())),
        ("detail gone", |row| row.detail = None),
        ("two fields exchanged", |row| std::mem::swap(&mut row.subject, &mut row.actor)),
        ("a field moved into the next", |row| {
            let subject = row.subject.take().unwrap();
            row.actor = Some(format!("{subject}{}", row.actor.as_deref().unwrap()).into());
            row.subject = Some("".into());
        }),
    ]
}

fn row_of_nobody() -> AuditRow {
    AuditRow {
        node: "".into(),
        link: ChainLink { sequence: 0, mac: [0; 32] },
        at: Timestamp::MIN,
        event: "".into(),
        session: None,
        subject: None,
        actor: None,
        source: None,
        reason: None,
        request: None,
        count: 0,
        detail: None,
    }
}

/// R163: no single field of a row can be changed unseen, and the finding names the row.
#[tokio::test(start_paused = true)]
async fn every_change_of_a_field_is_found() {
    let deployment = Deployment::new();
    deployment.write(NODE, 5).await;
    let whole = Stolen::of(&deployment).await;
    assert_eq!(whole.findings(&[]).await, []);
    for sequence in [1, 3, 5] {
        for (name, change) in changes() {
            let mut stolen = whole.clone();
            change(stolen.row(sequence));
            assert_ne!(stolen.0, whole.0, "{name}");
            let expected = changed(u64::try_from(sequence).unwrap());
            assert_eq!(stolen.findings(&[]).await, [expected], "{name} of row {sequence}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_removed_row_is_found() {
    let deployment = Deployment::new();
    deployment.write(NODE, 5).await;
    let whole = Stolen::of(&deployment).await;
    for removed in [1, 2, 3, 4] {
        let mut stolen = whole.clone();
        stolen.0.remove(removed - 1);
        assert_eq!(stolen.findings(&[]).await, [gap(u64::try_from(removed).unwrap())]);
        // Closing the gap changes the rows behind it.
        for row in &mut stolen.0[removed - 1..] {
            row.link.sequence -= 1;
        }
        assert_eq!(stolen.findings(&[]).await, [changed(u64::try_from(removed).unwrap())]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_moved_row_is_found() {
    let deployment = Deployment::new();
    deployment.write(NODE, 5).await;
    let whole = Stolen::of(&deployment).await;
    // Two rows exchange their places, with or without their MACs.
    let mut stolen = whole.clone();
    (stolen.0[1].link.sequence, stolen.0[2].link.sequence) = (3, 2);
    assert_eq!(stolen.findings(&[]).await, [changed(2)]);
    let mut stolen = whole.clone();
    let (second, third) = (whole.0[1].link, whole.0[2].link);
    (stolen.0[1].link, stolen.0[2].link) = (third, second);
    assert_eq!(stolen.findings(&[]).await, [changed(2)]);
    // A row moves into another chain.
    let mut stolen = whole.clone();
    stolen.row(5).node = "cli-1".into();
    stolen.row(5).link.sequence = 1;
    assert_eq!(stolen.findings(&[]).await, [Finding::Changed { node: "cli-1".into(), sequence: 1 }]);
    // A row is there twice.
    let mut stolen = whole.clone();
    stolen.0.push(AuditRow { link: ChainLink { sequence: 6, ..whole.0[4].link }, ..whole.0[4].clone() });
    assert_eq!(stolen.findings(&[]).await, [changed(6)]);
}

/// Whoever does not hold the key cannot write a chain at all.
#[tokio::test(start_paused = true)]
async fn a_chain_under_another_key_is_found() {
    let deployment = Deployment::new();
    deployment.write(NODE, 2).await;
    let stolen = Stolen::of(&deployment).await;
    let result = verify(&stolen, &ChainKey::new([9; 32]), &[], |_| {}).await.unwrap();
    assert_eq!(result.findings, [changed(1)]);
}

/// The MACs alone do not show that the end is missing; the signed heads do.
#[tokio::test(start_paused = true)]
async fn a_cut_off_end_is_found() {
    let deployment = Deployment::new();
    deployment.write(NODE, 5).await;
    let heads = deployment.heads().read().unwrap();
    let whole = Stolen::of(&deployment).await;
    for left in [4, 1, 0] {
        let mut stolen = whole.clone();
        stolen.0.truncate(left);
        assert_eq!(stolen.findings(&[]).await, []);
        let cut = Finding::CutOff { node: NODE.into(), ends_at: u64::try_from(left).unwrap(), signed: 5 };
        assert_eq!(stolen.findings(&heads).await, std::slice::from_ref(&cut));
        assert_eq!(cut.sequence(), u64::try_from(left).unwrap() + 1);
    }
    // What came after the last head is not promised by anything.
    assert_eq!(whole.findings(&heads).await, []);
}

/// The end is cut off while no server runs, and the next one, which holds the key, goes on from there and signs anew.
#[tokio::test(start_paused = true)]
async fn an_end_that_was_written_anew_is_found() {
    let deployment = Deployment::new();
    deployment.write(NODE, 5).await;
    let old = deployment.heads().read().unwrap();
    let restored = Deployment::new();
    restored.write(NODE, 2).await;
    for more in [1, 3, 6] {
        restored.write(NODE, more).await;
        let new = restored.heads().read().unwrap();
        let both: Vec<Head> = old.iter().chain(&new).cloned().collect();
        let stolen = Stolen::of(&restored).await;
        let finding = stolen.findings(&both).await;
        if stolen.0.len() < 5 {
            assert_eq!(finding, [Finding::CutOff { node: NODE.into(), ends_at: 3, signed: 5 }]);
        } else {
            assert_eq!(finding, [Finding::HeadMismatch { node: NODE.into(), sequence: 5 }]);
        }
    }
}

/// A row that was written anew and signed anew does not hide behind the later head.
#[tokio::test(start_paused = true)]
async fn the_first_of_two_heads_of_a_row_counts_too() {
    let deployment = Deployment::new();
    deployment.write(NODE, 2).await;
    let old = deployment.heads().read().unwrap();
    let other = Deployment::new();
    other.clock.advance(Duration::from_secs(1));
    other.write(NODE, 2).await;
    let both: Vec<Head> = old.into_iter().chain(other.heads().read().unwrap()).collect();
    let stolen = Stolen::of(&other).await;
    assert_eq!(stolen.findings(&both).await, [Finding::HeadMismatch { node: NODE.into(), sequence: 2 }]);
}

/// A head that this deployment did not sign is none, whatever of it was changed.
#[tokio::test(start_paused = true)]
async fn forged_heads_are_found() {
    let deployment = Deployment::new();
    for _ in 0..3 {
        deployment.write(NODE, 2).await;
    }
    let text = std::fs::read_to_string(deployment.head_file()).unwrap();
    let genuine = deployment.heads().read().unwrap();
    assert_eq!(genuine.len(), 3);
    let first = text.find('\n').unwrap() + 1;
    let second = first + text[first..].find('\n').unwrap();
    for at in first..second {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
        std::fs::write(deployment.head_file(), bytes).unwrap();
        let error = deployment.heads().read().unwrap_err();
        assert!(matches!(error, HeadsError::Forged { line: 2, .. }), "at {at}: {error}");
        let Inspected { heads, forged } = deployment.heads().inspect().unwrap();
        assert_eq!((heads.len(), forged), (2, vec![2]));
    }
    std::fs::write(deployment.head_file(), &text).unwrap();
    let elsewhere = Heads::new(deployment.head_file(), &[9; 32]);
    assert!(matches!(elsewhere.read(), Err(HeadsError::Forged { line: 1, .. })));
    // A forged file is evidence: writing goes on behind it and removes nothing.
    std::fs::write(deployment.head_file(), format!("{text}{{}}\n")).unwrap();
    deployment.write(NODE, 1).await;
    let after = std::fs::read_to_string(deployment.head_file()).unwrap();
    assert!(after.starts_with(&format!("{text}{{}}\n")));
    assert_eq!(deployment.heads().inspect().unwrap().heads.len(), genuine.len() + 1);
}

/// A crash in the middle of a line costs that line, and not the next one.
#[tokio::test(start_paused = true)]
async fn a_line_that_was_cut_short_spoils_nothing() {
    let deployment = Deployment::new();
    deployment.write(NODE, 1).await;
    let text = std::fs::read_to_string(deployment.head_file()).unwrap();
    for cut in 0..text.len() {
        std::fs::write(deployment.head_file(), format!("{text}{}", &text[..cut])).unwrap();
        assert_eq!(deployment.heads().read().unwrap().len(), 1);
        deployment.heads().export(NODE, ChainLink { sequence: 2, mac: [2; 32] }, Timestamp::MIN).unwrap();
        let sequences: Vec<_> = deployment.heads().read().unwrap().iter().map(|head| head.sequence).collect();
        assert_eq!(sequences, [1, 2]);
    }
}

/// The file stays bounded, and the newest head of a chain outlasts many of the others.
#[test]
fn old_heads_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let heads = Heads::new(folder.path().join("heads"), &SEED);
    let export = |node: &str, sequence| {
        heads.export(node, ChainLink { sequence, mac: [1; 32] }, Timestamp::MIN).unwrap();
    };
    export("cli-1", 7);
    for sequence in 1..=1000 {
        export(NODE, sequence);
    }
    heads.trim().unwrap();
    let kept = heads.read().unwrap();
    assert_eq!(kept.len(), 501);
    assert_eq!((kept[0].node.as_str(), kept[0].sequence), ("cli-1", 7));
    assert_eq!((kept[1].node.as_str(), kept[1].sequence), (NODE, 501));
    heads.trim().unwrap();
    assert_eq!(heads.read().unwrap(), kept);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A process that waited to sign while another one put a trimmed file in place of the old one signs into the new one.
#[test]
fn a_head_goes_into_the_file_that_is_there() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heads");
    let heads = Heads::new(path.clone(), &SEED);
    heads.export(NODE, ChainLink { sequence: 1, mac: [1; 32] }, Timestamp::MIN).unwrap();
    let old = std::fs::File::open(&path).unwrap();
    old.lock().unwrap();
    // The system's list of locks, where `->` marks those who wait for one.
    let inode = format!(":{} ", old.metadata().unwrap().ino());
    let somebody_waits = || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|line| line.contains("->") && line.contains(&inode))
    };
    std::thread::scope(|scope| {
        scope.spawn(|| heads.export(NODE, ChainLink { sequence: 2, mac: [2; 32] }, Timestamp::MIN).unwrap());
        while !somebody_waits() {
            std::thread::yield_now();
        }
        std::fs::copy(&path, path.with_extension("new")).unwrap();
        std::fs::rename(path.with_extension("new"), &path).unwrap();
        old.unlock().unwrap();
    });
    let sequences: Vec<_> = heads.read().unwrap().iter().map(|head| head.sequence).collect();
    assert_eq!(sequences, [1, 2]);
}

/// Processes that sign at once, while one of them drops old heads, lose none.
#[test]
fn heads_of_several_processes_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heads");
    let barrier = std::sync::Barrier::new(3);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (path, barrier) = (path.clone(), &barrier);
            scope.spawn(move || {
                let heads = Heads::new(path, &SEED);
                barrier.wait();
                for sequence in 1..=400 {
                    // A chain for each head, so that dropping keeps them all.
                    let link = ChainLink { sequence, mac: [1; 32] };
                    heads.export(&format!("{thread}-{}", sequence / 2), link, Timestamp::MIN).unwrap();
                    heads.trim().unwrap();
                }
            });
        }
    });
    let kept = Heads::new(path, &SEED).read().unwrap();
    let nodes: std::collections::BTreeSet<_> = kept.iter().map(|head| head.node.clone()).collect();
    assert_eq!(nodes.len(), 3 * 201);
}
