//! What lies on the disk: hashes and envelopes, each of use in its own place only.

use std::path::Path;
use std::sync::Arc;

use sqlx::Connection as _;
use tempfile::TempDir;
use wayleave_conformance::fixtures::{
    self, BASE, account_id, at, by_id, by_token, bytes, entries, fingerprint, full, listing, person, record,
    refresh_key, rotation, routing, ticket,
};
use wayleave_core::authentication::Method;
use wayleave_core::id::Slot;
use wayleave_core::ports::{
    Account, AccountChange, Accounts, Credential, Credentials, Deposit, Entropy, EntropyFailure, Gone, Insert,
    InsertAccount, KnownDevice, KnownDevices as _, Listing, Lookup, Rewrapped, Rotate, Rotation, Scope, SessionStore,
    StoreError, Update, Wrap, WrappedKey,
};
use wayleave_core::record::{Client, Record, Revision};
use wayleave_core::seal::KeyRing;
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::token::{RefreshToken, SessionToken};
use wayleave_sqlite::{Options, SqliteStore};

use crate::{fresh, key, options, raw};

async fn put(store: &SqliteStore, record: &Record) {
    let outcome = SessionStore::insert(store, record, None, None, BASE).await.unwrap();
    assert_eq!(outcome, Insert::Done { replaced: None, evicted: vec![], marked: false });
}

async fn find(store: &SqliteStore, lookup: Lookup) -> Result<Option<Arc<Record>>, StoreError> {
    SessionStore::find(store, lookup).await
}

/// Whether any file of the database holds `needle`.
fn lies_in(folder: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let content = std::fs::read(entry.unwrap().path()).unwrap();
        content.windows(needle.len()).any(|window| window == needle)
    })
}

/// R002: neither tokens nor sealed values are in the file or its log, before and after a checkpoint.
#[tokio::test]
async fn no_secret_lies_on_the_disk() {
    let (store, folder) = fresh().await;
    let token = SessionToken::new(bytes("canary", 1), Slot(7), &routing());
    let refresh = RefreshToken::new(bytes("canary", 2), Slot(7), &routing());
    let base = full(1);
    let mut held = Record {
        slot: Slot(7),
        token: token.hash(),
        client: Client { label: Some("canary-label".into()), network: Some("canary-net".into()), fingerprint: None },
        context: entries(&[("canary-context-key", b"canary-context")]),
        data: entries(&[("canary-data-key", b"canary-data")]),
        ..base
    };
    held.refresh.as_mut().unwrap().current = refresh.hash();
    put(&store, &held).await;
    let client = Some(fingerprint(99));
    let Rotate::Done { .. } =
        store.rotate(&Rotation { client, ..rotation(refresh_key(&held), 5, at(60)) }).await.unwrap()
    else {
        panic!("not rotated");
    };
    let credential = Credential { secret: Box::new(*b"canary-credential"), changed_at: BASE };
    store.set(&account_id(1), Method::Password, &credential).await.unwrap();
    let key = Rewrapped { key: WrappedKey::new(*b"canary-wrapped-key").unwrap(), replaces: None };
    assert_eq!(store.wrap(&account_id(1), Method::Password, &key).await.unwrap(), Wrap::Done);
    let ticket = Ticket {
        purpose: Purpose::Challenge,
        key: [3; 32],
        payload: Box::new(*b"canary-payload"),
        expires_at: at(100),
    };
    assert_eq!(store.deposit(&ticket, 10, BASE).await.unwrap(), Deposit::Done);
    let (session_text, refresh_text) = (token.reveal(), refresh.reveal());
    for _ in 0..2 {
        for secret in [
            session_text.as_bytes(),
            refresh_text.as_bytes(),
            &bytes::<32>("canary", 1),
            &bytes::<32>("canary", 2),
            &fingerprint(99).0,
            b"canary-",
        ] {
            assert!(!lies_in(folder.path(), secret), "{:?}", String::from_utf8_lossy(secret));
        }
        // The search would find what is there.
        assert!(lies_in(folder.path(), person(0).as_str().as_bytes()));
        store.close().await;
    }
}

/// What was removed or changed is gone from the file as well: addresses of accounts, envelopes of credentials and
/// tickets, hashes of sessions and devices.
#[tokio::test]
async fn what_was_deleted_does_not_stay_readable() {
    let (store, folder) = fresh().await;
    // Neighbours that stay, so that no page becomes free as a whole.
    for number in 1..=3 {
        let outcome = Accounts::insert(&store, &account(number)).await.unwrap();
        assert_eq!(outcome, InsertAccount::Done);
        let credential = Credential { secret: Box::new(bytes::<100>("secret", number)), changed_at: BASE };
        store.set(&account_id(number), Method::Password, &credential).await.unwrap();
        put(&store, &full(number)).await;
        let device = KnownDevice { key: bytes("device", number), expires_at: at(100) };
        store.remember(&account_id(number), &device, None, 5, BASE).await.unwrap();
        assert_eq!(store.deposit(&ticket(number, Purpose::Setup, at(100)), 10, BASE).await.unwrap(), Deposit::Done);
    }
    let mut raw = raw(folder.path()).await;
    let account_2 = account_id(2);
    let envelope: Vec<u8> = sqlx::query_scalar("SELECT secret FROM credentials WHERE account = ?1")
        .bind(account_2.as_str())
        .fetch_one(&mut raw)
        .await
        .unwrap();
    let payload: Vec<u8> = sqlx::query_scalar("SELECT payload FROM tickets WHERE key = ?1")
        .bind(ticket(2, Purpose::Setup, at(100)).key.to_vec())
        .fetch_one(&mut raw)
        .await
        .unwrap();
    raw.close().await.unwrap();
    let deleted = [
        ("the address", account(2).email.as_str().as_bytes().to_vec()),
        ("the telephone number", b"+90 555 22 22".to_vec()),
        ("the credential", envelope),
        ("the ticket", payload),
        ("the token", full(2).token.0.to_vec()),
        ("the device", bytes::<32>("device", 2).to_vec()),
    ];
    for (name, value) in &deleted {
        assert!(lies_in(folder.path(), value), "{name} was never there");
    }

    // Shorter and longer: neither is written over the old one in place.
    for (revision, email) in [(0, "x@example.org"), (1, "somebody-with-a-longer-address@example.org")] {
        let change = Account { email: email.parse().unwrap(), phone: None, revision: Revision(revision), ..account(2) };
        assert!(matches!(Accounts::update(&store, &change).await.unwrap(), AccountChange::Done(_)));
    }
    assert!(Credentials::remove(&store, &account_2, Method::Password).await.unwrap());
    assert_eq!(store.revoke(&Scope::One(full(2).slot, full(2).id)).await.unwrap().len(), 1);
    store.forget_all(&account_2).await.unwrap();
    assert!(store.take(Purpose::Setup, ticket(2, Purpose::Setup, at(100)).key, BASE).await.unwrap().is_some());
    // Closing moves the log into the file and removes it.
    store.close().await;
    assert!(!folder.path().join("wayleave.sqlite-wal").exists());
    for (name, value) in &deleted {
        assert!(!lies_in(folder.path(), value), "{name} is still there");
    }
    for kept in [account(1).email.as_str().as_bytes(), &bytes::<32>("device", 3), b"somebody-with-a-longer"] {
        assert!(lies_in(folder.path(), kept));
    }
}

fn account(number: u32) -> Account {
    let phone = format!("+90 555 {number}{number} {number}{number}");
    Account { phone: Some(phone.into()), ..fixtures::account(number) }
}

/// R154: an envelope in another row, or in another column of its row, does not open.
#[tokio::test]
async fn a_moved_envelope_does_not_open() {
    for change in [
        "UPDATE sessions SET data = (SELECT data FROM sessions WHERE id = ?2) WHERE id = ?1",
        "UPDATE sessions SET context = (SELECT context FROM sessions WHERE id = ?2) WHERE id = ?1",
        "UPDATE sessions SET client = (SELECT client FROM sessions WHERE id = ?2) WHERE id = ?1",
        "UPDATE sessions SET rotation_client = (SELECT rotation_client FROM sessions WHERE id = ?2) WHERE id = ?1",
        "UPDATE sessions SET data = context WHERE id = ?1",
        "UPDATE sessions SET data = substr(data, 1, length(data) - 1) WHERE id = ?1",
        "UPDATE sessions SET client = x'' WHERE id = ?1",
    ] {
        let (store, folder) = fresh().await;
        let (mine, other) = (full(1), Record { data: full(1).data, context: full(1).context, ..full(2) });
        for (number, record) in [(11, &mine), (12, &other)] {
            put(&store, record).await;
            let exchange = Rotation { client: Some(fingerprint(1)), ..rotation(refresh_key(record), number, at(60)) };
            assert!(matches!(store.rotate(&exchange).await.unwrap(), Rotate::Done { .. }));
        }
        assert!(find(&store, by_id(&mine)).await.unwrap().is_some());
        let changed = sqlx::query(change).bind(mine.id.bytes().to_vec()).bind(other.id.bytes().to_vec());
        assert_eq!(changed.execute(&mut raw(folder.path()).await).await.unwrap().rows_affected(), 1);
        assert!(matches!(find(&store, by_id(&mine)).await, Err(StoreError::Corrupt(Some(_)))), "{change}");
        assert!(find(&store, by_id(&other)).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_moved_credential_or_ticket_does_not_open() {
    let (store, folder) = fresh().await;
    let credential = |secret: &[u8]| Credential { secret: secret.into(), changed_at: BASE };
    let [alice, bob] = [account_id(1), account_id(2)];
    store.set(&alice, Method::Password, &credential(b"alice")).await.unwrap();
    store.set(&alice, Method::Opaque, &credential(b"alice too")).await.unwrap();
    store.set(&bob, Method::Password, &credential(b"bob")).await.unwrap();
    let mut raw = raw(folder.path()).await;
    for (account, method) in [(&bob, "pwd"), (&alice, "opaque")] {
        let swap = "UPDATE credentials SET secret = (SELECT secret FROM credentials WHERE account = ?1 \
             AND method = 'pwd') WHERE account = ?2 AND method = ?3";
        let swap = sqlx::query(swap).bind(alice.as_str()).bind(account.as_str()).bind(method);
        assert_eq!(swap.execute(&mut raw).await.unwrap().rows_affected(), 1);
    }
    assert_eq!(Credentials::find(&store, &alice, Method::Password).await.unwrap(), Some(credential(b"alice")));
    for (account, method) in [(&bob, Method::Password), (&alice, Method::Opaque)] {
        let found = Credentials::find(&store, account, method).await;
        assert!(matches!(found, Err(StoreError::Corrupt(Some(_)))), "{found:?}");
    }
    for purpose in [Purpose::Challenge, Purpose::Setup] {
        let ticket = Ticket { purpose, key: [1; 32], payload: Box::new(*b"payload"), expires_at: at(100) };
        assert_eq!(store.deposit(&ticket, 10, BASE).await.unwrap(), Deposit::Done);
    }
    let swap = "UPDATE tickets SET payload = (SELECT payload FROM tickets WHERE purpose = 'challenge')";
    sqlx::query(swap).execute(&mut raw).await.unwrap();
    assert!(store.take(Purpose::Challenge, [1; 32], BASE).await.unwrap().is_some());
    assert!(matches!(store.take(Purpose::Setup, [1; 32], BASE).await, Err(StoreError::Corrupt(Some(_)))));
}

/// A row that cannot be read is an error to whoever asks for it, is left out of lists, and can still be ended.
#[tokio::test]
async fn a_corrupt_row_spoils_nothing_but_itself() {
    for spoil in [
        "UPDATE sessions SET data = x'00' WHERE id = ?1",
        "UPDATE sessions SET kind = 'No Kind' WHERE id = ?1",
        "UPDATE sessions SET level = 9 WHERE id = ?1",
        "UPDATE sessions SET refresh = x'00' WHERE id = ?1",
        "UPDATE sessions SET confirmation = zeroblob(33) WHERE id = ?1",
        "UPDATE sessions SET epoch = -1 WHERE id = ?1",
        "UPDATE sessions SET prefix = 'Ä' WHERE id = ?1",
    ] {
        let (store, folder) = fresh().await;
        let records: Vec<_> = (1..=3).map(|n| Record { created_at: at(n.into()), ..full(n) }).collect();
        for record in &records {
            put(&store, record).await;
        }
        let spoilt = &records[1];
        let change = sqlx::query(spoil).bind(spoilt.id.bytes().to_vec());
        assert_eq!(change.execute(&mut raw(folder.path()).await).await.unwrap().rows_affected(), 1);
        let found = find(&store, by_token(spoilt)).await;
        assert!(matches!(found, Err(StoreError::Corrupt(Some(_)))), "{spoil}: {found:?}");
        for most in [1, 2, 1000] {
            let mut asked = Listing { most, ..listing(&person(0)) };
            let mut listed = Vec::new();
            loop {
                let page = SessionStore::list(&store, &asked).await.unwrap();
                listed.extend(page.records.iter().map(|record| record.id));
                asked.after = page.next;
                if asked.after.is_none() {
                    break;
                }
            }
            assert_eq!(listed, [records[2].id, records[0].id], "{spoil}, pages of {most}");
        }
        let ended = store.revoke(&Scope::All { subject: person(0), slot: spoilt.slot }).await.unwrap();
        assert!(ended.contains(&Gone::from_record(&records[0])) && ended.contains(&Gone::from_record(&records[2])));
        assert_eq!(find(&store, by_token(spoilt)).await.unwrap(), None);
    }
}

/// R155: a new key seals, the old one still opens; without it nothing of its time does.
#[tokio::test]
async fn keys_rotate() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wayleave.sqlite");
    let ring = |newest, older: &[u8]| Arc::new(KeyRing::new(key(newest), older.iter().copied().map(key)).unwrap());
    let (old, new) = (full(1), full(2));
    let store = SqliteStore::open(&path, Options { sealing: ring(1, &[]), ..options() }).await.unwrap();
    put(&store, &old).await;
    store.close().await;
    let store = SqliteStore::open(&path, Options { sealing: ring(2, &[1]), ..options() }).await.unwrap();
    put(&store, &new).await;
    assert_eq!(find(&store, by_id(&old)).await.unwrap().as_deref(), Some(&old));
    assert_eq!(find(&store, by_id(&new)).await.unwrap().as_deref(), Some(&new));
    store.close().await;
    let store = SqliteStore::open(&path, Options { sealing: ring(2, &[]), ..options() }).await.unwrap();
    assert!(matches!(find(&store, by_id(&old)).await, Err(StoreError::Corrupt(Some(_)))));
    assert_eq!(find(&store, by_id(&new)).await.unwrap().as_deref(), Some(&new));
}

struct Dry;

impl Entropy for Dry {
    fn fill(&self, _buffer: &mut [u8]) -> Result<(), EntropyFailure> {
        Err(EntropyFailure)
    }
}

/// R001: without entropy nothing is sealed weakly; it is not written at all.
#[tokio::test]
async fn without_entropy_nothing_is_sealed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wayleave.sqlite");
    let store = SqliteStore::open(&path, Options { entropy: Arc::new(Dry), ..options() }).await.unwrap();
    let outcome = SessionStore::insert(&store, &full(1), None, None, BASE).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable(Some(_)))), "{outcome:?}");
    assert_eq!(find(&store, by_id(&full(1))).await.unwrap(), None);
    // A record with nothing to seal needs none, until something is put in.
    let plain = record(2).build();
    put(&store, &plain).await;
    let change = Record { data: entries(&[("k", b"v")]), ..plain.clone() };
    assert!(matches!(
        SessionStore::update(&store, &change, plain.revision).await,
        Err(StoreError::Unavailable(Some(_)))
    ));
    let outcome = SessionStore::update(&store, &plain, plain.revision).await.unwrap();
    assert!(matches!(outcome, Update::Done(_)));
    assert!(SqliteStore::open_temporary(Options { entropy: Arc::new(Dry), ..options() }).await.is_err());
}
