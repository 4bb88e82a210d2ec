//! What lies in the database: hashes and envelopes, each of use in its own place only.

use std::sync::Arc;

use wayleave_conformance::fixtures::{
    BASE, account_id, at, by_id, by_token, bytes, entries, fingerprint, full, listing, person, record, refresh_key,
    rotation, routing,
};
use wayleave_core::authentication::Method;
use wayleave_core::id::Slot;
use wayleave_core::ports::{
    Credential, Credentials, Deposit, Entropy, EntropyFailure, Gone, Insert, Listing, Lookup, Rewrapped, Rotate,
    Rotation, Scope, SessionStore, StoreError, Update, Wrap, WrappedKey,
};
use wayleave_core::record::{Client, Record};
use wayleave_core::seal::KeyRing;
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::token::{RefreshToken, SessionToken};
use wayleave_postgres::{Options, PostgresStore};

use crate::{database, fresh, key, options};

async fn put(store: &PostgresStore, record: &Record) {
    let outcome = SessionStore::insert(store, record, None, None, BASE).await.unwrap();
    assert_eq!(outcome, Insert::Done { replaced: None, evicted: vec![], marked: false });
}

async fn find(store: &PostgresStore, lookup: Lookup) -> Result<Option<Arc<Record>>, StoreError> {
    SessionStore::find(store, lookup).await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const TABLES: [&str; 5] = ["sessions", "spent_refresh_tokens", "tickets", "credentials", "ticket_counts"];

/// R002: neither tokens nor sealed values are in any row.
#[tokio::test]
async fn no_secret_lies_in_the_database() {
    let (store, database) = fresh().await;
    let token = SessionToken::new(bytes("canary", 1), Slot(7), &routing());
    let refresh = RefreshToken::new(bytes("canary", 2), Slot(7), &routing());
    let mut held = Record {
        slot: Slot(7),
        token: token.hash(),
        client: Client { label: Some("canary-label".into()), network: Some("canary-net".into()), fingerprint: None },
        context: entries(&[("canary-context-key", b"canary-context")]),
        data: entries(&[("canary-data-key", b"canary-data")]),
        ..full(1)
    };
    held.refresh.as_mut().unwrap().current = refresh.hash();
    put(&store, &held).await;
    let exchange = Rotation { client: Some(fingerprint(99)), ..rotation(refresh_key(&held), 5, at(60)) };
    assert!(matches!(store.rotate(&exchange).await.unwrap(), Rotate::Done { .. }));
    let credential = Credential { secret: Box::new(*b"canary-credential"), changed_at: BASE };
    Credentials::set(&store, &account_id(1), Method::Password, &credential).await.unwrap();
    let key = Rewrapped { key: WrappedKey::new(*b"canary-wrapped-key").unwrap(), replaces: None };
    assert_eq!(store.wrap(&account_id(1), Method::Password, &key).await.unwrap(), Wrap::Done);
    let payload = Box::new(*b"canary-payload");
    let ticket = Ticket { purpose: Purpose::Challenge, key: [3; 32], payload, expires_at: at(100) };
    assert_eq!(store.deposit(&ticket, 10, BASE).await.unwrap(), Deposit::Done);
    // Bytes are shown in hex, text as it is.
    let rows: String = TABLES.map(|table| database.psql(&format!("TABLE wayleave.{table}")).unwrap()).concat();
    let (session_text, refresh_text) = (token.reveal(), refresh.reveal());
    for secret in [
        session_text.as_bytes(),
        refresh_text.as_bytes(),
        &bytes::<32>("canary", 1),
        &bytes::<32>("canary", 2),
        &fingerprint(99).0,
        b"canary-",
    ] {
        assert!(!rows.contains(&hex(secret)), "{:?}", String::from_utf8_lossy(secret));
        assert!(!rows.contains(&*String::from_utf8_lossy(secret)), "{:?}", String::from_utf8_lossy(secret));
    }
    // The search would find what is there.
    assert!(rows.contains(person(0).as_str()) && rows.contains(&hex(&refresh.hash().0)));
}

/// R154: an envelope in another row, or in another column of its row, does not open.
#[tokio::test]
async fn a_moved_envelope_does_not_open() {
    for change in [
        "data = other.data",
        "context = other.context",
        "client = other.client",
        "rotation_client = other.rotation_client",
        "data = mine.context",
        "data = substring(mine.data FROM 1 FOR length(mine.data) - 1)",
        "client = ''",
    ] {
        let (store, database) = fresh().await;
        let (mine, other) = (full(1), Record { data: full(1).data, context: full(1).context, ..full(2) });
        for (number, record) in [(11, &mine), (12, &other)] {
            put(&store, record).await;
            let exchange = Rotation { client: Some(fingerprint(1)), ..rotation(refresh_key(record), number, at(60)) };
            assert!(matches!(store.rotate(&exchange).await.unwrap(), Rotate::Done { .. }));
        }
        assert!(find(&store, by_id(&mine)).await.unwrap().is_some());
        let (mine_id, other_id) = (hex(&mine.id.bytes()), hex(&other.id.bytes()));
        let changed = database.psql(&format!(
            "UPDATE wayleave.sessions AS mine SET {change} FROM wayleave.sessions AS other \
             WHERE mine.id = '\\x{mine_id}' AND other.id = '\\x{other_id}' RETURNING 'changed'"
        ));
        assert_eq!(changed.unwrap(), "changed");
        assert!(matches!(find(&store, by_id(&mine)).await, Err(StoreError::Corrupt(Some(_)))), "{change}");
        assert!(find(&store, by_id(&other)).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_moved_credential_or_ticket_does_not_open() {
    let (store, database) = fresh().await;
    let credential = |secret: &[u8]| Credential { secret: secret.into(), changed_at: BASE };
    let [alice, bob] = [account_id(1), account_id(2)];
    for (account, method) in [(&alice, Method::Password), (&alice, Method::Opaque), (&bob, Method::Password)] {
        Credentials::set(&store, account, method, &credential(b"secret")).await.unwrap();
    }
    database
        .psql(&format!(
            "UPDATE wayleave.credentials SET secret = (SELECT secret FROM wayleave.credentials \
             WHERE account = '{alice}' AND method = 'pwd')"
        ))
        .unwrap();
    assert!(Credentials::find(&store, &alice, Method::Password).await.unwrap().is_some());
    for (account, method) in [(&bob, Method::Password), (&alice, Method::Opaque)] {
        let found = Credentials::find(&store, account, method).await;
        assert!(matches!(found, Err(StoreError::Corrupt(Some(_)))), "{found:?}");
    }
    for purpose in [Purpose::Challenge, Purpose::Setup] {
        let ticket = Ticket { purpose, key: [1; 32], payload: Box::new(*b"payload"), expires_at: at(100) };
        assert_eq!(store.deposit(&ticket, 10, BASE).await.unwrap(), Deposit::Done);
    }
    let swap = "UPDATE wayleave.tickets SET payload = \
         (SELECT payload FROM wayleave.tickets WHERE purpose = 'challenge')";
    database.psql(swap).unwrap();
    assert!(store.take(Purpose::Challenge, [1; 32], BASE).await.unwrap().is_some());
    assert!(matches!(store.take(Purpose::Setup, [1; 32], BASE).await, Err(StoreError::Corrupt(Some(_)))));
}

/// A row that cannot be read is an error to whoever asks for it, is left out of lists and censuses, and can still be
/// ended, exchanged for nothing, and swept.
#[tokio::test]
async fn a_corrupt_row_spoils_nothing_but_itself() {
    for spoil in [
        "data = '\\x00'",
        "kind = 'No Kind'",
        "level = 9",
        "level = NULL",
        "refresh = '\\x00'",
        "confirmation = decode(repeat('00', 33), 'hex')",
        "epoch = -1",
        "prefix = 'Ä'",
        "subject = subject, actor = 'nobody'",
    ] {
        let (store, database) = fresh().await;
        let records: Vec<_> = (1..=3).map(|n| Record { created_at: at(n.into()), ..full(n) }).collect();
        for record in &records {
            put(&store, record).await;
        }
        let spoilt = &records[1];
        let id = hex(&spoilt.id.bytes());
        database.psql(&format!("UPDATE wayleave.sessions SET {spoil} WHERE id = '\\x{id}'")).unwrap();
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
        assert!(store.census(BASE).await.unwrap().live.iter().map(|(_, sessions)| sessions).sum::<u64>() >= 2);
        let exchange = store.rotate(&rotation(refresh_key(spoilt), 9, at(60))).await;
        assert!(!matches!(exchange, Ok(Rotate::Done { .. } | Rotate::Repeat { .. })), "{spoil}: {exchange:?}");
        let ended = store.revoke(&Scope::All { subject: person(0), slot: spoilt.slot }).await.unwrap();
        assert!(ended.contains(&Gone::from_record(&records[0])) && ended.contains(&Gone::from_record(&records[2])));
        assert_eq!(find(&store, by_token(spoilt)).await.unwrap(), None);
    }
}

/// R155: a new key seals, the old one still opens; without it nothing of its time does.
#[tokio::test]
async fn keys_rotate() {
    let database = database();
    let open = async |newest: u8, older: &[u8]| {
        let ring = KeyRing::new(key(newest), older.iter().copied().map(key)).unwrap();
        PostgresStore::connect(&database.url(), Options { sealing: Arc::new(ring), ..options() }).await.unwrap()
    };
    let (old, new) = (full(1), full(2));
    put(&open(1, &[]).await, &old).await;
    let store = open(2, &[1]).await;
    put(&store, &new).await;
    assert_eq!(find(&store, by_id(&old)).await.unwrap().as_deref(), Some(&old));
    assert_eq!(find(&store, by_id(&new)).await.unwrap().as_deref(), Some(&new));
    let store = open(2, &[]).await;
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
    let database = database();
    let dry = Options { entropy: Arc::new(Dry), ..options() };
    let store = PostgresStore::connect(&database.url(), dry).await.unwrap();
    let outcome = SessionStore::insert(&store, &full(1), None, None, BASE).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable(Some(_)))), "{outcome:?}");
    assert_eq!(find(&store, by_id(&full(1))).await.unwrap(), None);
    // A record with nothing to seal needs none, until something is put in.
    let plain = record(2).build();
    put(&store, &plain).await;
    let change = Record { data: entries(&[("k", b"v")]), ..plain.clone() };
    let outcome = SessionStore::update(&store, &change, plain.revision).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable(Some(_)))), "{outcome:?}");
    let outcome = SessionStore::update(&store, &plain, plain.revision).await.unwrap();
    assert!(matches!(outcome, Update::Done(_)));
}

/// What cannot be text in PostgreSQL is nobody's name, and no error.
#[tokio::test]
async fn a_nul_is_found_nowhere() {
    use wayleave_core::ports::{Accounts, AuditLog as _, AuditQuery, ServiceKeys as _, Settings as _};

    let (store, _database) = fresh().await;
    assert_eq!(Accounts::list(&store, Some("a\0b"), None, 10).await.unwrap(), []);
    assert!(!store.anybody_holds("admin\0").await.unwrap());
    assert_eq!(store.by_name("\0").await.unwrap(), None);
    assert_eq!(store.get("a\0").await.unwrap(), None);
    assert_eq!(store.head("\0").await.unwrap(), None);
    assert_eq!(store.chain("\0", 1, 10).await.unwrap(), []);
    let query = AuditQuery { subject: Some("\0".into()), most: 10, ..AuditQuery::default() };
    assert_eq!(store.query(&query).await.unwrap(), (vec![], None));
}
