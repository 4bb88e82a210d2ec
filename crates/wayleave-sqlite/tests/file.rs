//! The file: private, versioned, durable, shared between processes.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::Connection as _;
use tempfile::TempDir;
use wayleave_conformance::fixtures::{
    BASE, account_id, at, by_id, by_refresh, full, permissions, person, record, refresh_key, rotation,
};
use wayleave_core::authentication::Method;
use wayleave_core::lockout::{Reservation, Rule};
use wayleave_core::ports::{
    Account, Accounts as _, CounterKey, Counters as _, Credential, Credentials, Deposit, Entropy, EntropyFailure,
    Insert, InsertAccount, Rotate, Scope, SessionStore, SetSetting, Settings as _, StoreError, Subjects as _, Swept,
};
use wayleave_core::record::{Record, Revision};
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_sqlite::{OpenError, Options, Schema, SqliteStore};

use crate::{fresh, options, raw};

async fn put(store: &SqliteStore, record: &Record) -> Result<Insert, StoreError> {
    SessionStore::insert(store, record, None, None, BASE).await
}

async fn put_one(store: &SqliteStore, record: &Record) {
    let outcome = put(store, record).await.unwrap();
    assert!(matches!(outcome, Insert::Done { .. }), "{outcome:?}");
}

async fn holds(store: &SqliteStore, record: &Record) -> bool {
    SessionStore::find(store, by_id(record)).await.unwrap().is_some()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn only_the_owner_can_read_it() {
    let folder = TempDir::new().unwrap();
    let home = folder.path().join("new/home");
    let store = SqliteStore::open(home.join("wayleave.sqlite"), options()).await.unwrap();
    put_one(&store, &full(1)).await;
    assert!(holds(&store, &full(1)).await);
    assert_eq!(mode(&home), 0o700);
    for name in ["wayleave.sqlite", "wayleave.sqlite-wal", "wayleave.sqlite-shm"] {
        assert_eq!(mode(&home.join(name)), 0o600, "{name}");
    }
}

fn account(number: u32) -> Account {
    Account {
        id: account_id(number),
        email: format!("person{number}@example.org").parse().unwrap(),
        name: "Zoë".into(),
        role: "Head of Keys".into(),
        phone: Some("+90 555".into()),
        labels: vec!["a".into(), "b c".into()],
        avatar: None,
        permissions: permissions(&["admin:users", "read:profile"]),
        disabled: false,
        must_change_password: true,
        epoch: 4,
        created_at: BASE,
        updated_at: at(1),
        last_sign_in_at: Some(at(2)),
        revision: Revision(0),
    }
}

/// What was acknowledged is in the file: closed in good order, and also when only a copy of it is left, as after a
/// `kill -9`.
#[tokio::test]
async fn everything_is_kept() {
    let (store, folder) = fresh().await;
    let first = full(1);
    put_one(&store, &first).await;
    let Rotate::Done { record: held, .. } = store.rotate(&rotation(refresh_key(&first), 2, at(60))).await.unwrap()
    else {
        panic!("not rotated");
    };
    let ended = record(3).build();
    put_one(&store, &ended).await;
    assert_eq!(store.revoke(&Scope::One(ended.slot, ended.id)).await.unwrap().len(), 1);
    let ticket = Ticket { purpose: Purpose::Setup, key: [1; 32], payload: Box::new(*b"x"), expires_at: at(9) };
    assert_eq!(store.deposit(&ticket, 1, BASE).await.unwrap(), Deposit::Done);
    assert_eq!(wayleave_core::ports::Accounts::insert(&store, &account(0)).await.unwrap(), InsertAccount::Done);
    let credential = Credential { secret: Box::new(*b"$argon2id$"), changed_at: BASE };
    Credentials::set(&store, &account_id(0), Method::Password, &credential).await.unwrap();
    let setting = wayleave_core::ports::Settings::set(&store, "timeout", b"30", None).await.unwrap();
    assert_eq!(setting, SetSetting::Done(Revision(1)));
    for _ in 0..4 {
        assert!(matches!(
            store.reserve(CounterKey([1; 32]), Rule::DEFAULT, BASE).await.unwrap(),
            Reservation::Granted { .. }
        ));
    }

    let copy = TempDir::new().unwrap();
    for name in ["wayleave.sqlite", "wayleave.sqlite-wal"] {
        std::fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    }
    store.close().await;
    assert!(!folder.path().join("wayleave.sqlite-wal").exists(), "the log was not moved into the file");

    for folder in [folder.path(), copy.path()] {
        let store = SqliteStore::open(folder.join("wayleave.sqlite"), options()).await.unwrap();
        for lookup in [by_id(&held), by_refresh(&held), by_refresh(&first)] {
            let found = SessionStore::find(&store, lookup).await.unwrap();
            assert_eq!(found.as_deref(), Some(held.as_ref()), "{lookup:?}");
        }
        assert!(!holds(&store, &ended).await);
        assert_eq!(store.take(Purpose::Setup, [1; 32], at(8)).await.unwrap(), Some(ticket.clone()));
        assert_eq!(store.by_id(&account_id(0)).await.unwrap(), Some(account(0)));
        assert!(store.anybody_holds("admin:users").await.unwrap());
        let found = Credentials::find(&store, &account_id(0), Method::Password).await.unwrap();
        assert_eq!(found, Some(credential.clone()));
        assert_eq!(store.get("timeout").await.unwrap().unwrap().value.as_ref(), b"30");
        let fifth = store.reserve(CounterKey([1; 32]), Rule::DEFAULT, at(1)).await.unwrap();
        assert_eq!(fifth, Reservation::Granted { remaining: 0, locks: true });
        assert_eq!(store.standing(&person(0)).await.unwrap().epoch, 4);
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let (store, folder) = fresh().await;
    store.close().await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9000, 'later', TRUE, x'00', 0)";
    sqlx::query(later).execute(&mut raw(folder.path()).await).await.unwrap();
    let path = folder.path().join("wayleave.sqlite");
    for schema in [Schema::Migrate, Schema::Expect] {
        let refused = SqliteStore::open(&path, Options { schema, ..options() }).await.unwrap_err();
        assert!(matches!(refused, OpenError::NewerSchema { found: 9000, known: 4 }), "{refused:?}");
        assert!(refused.to_string().contains("schema 9000"));
    }
    let refused = SqliteStore::migrate(&path, &options()).await.unwrap_err();
    assert!(matches!(refused, OpenError::NewerSchema { found: 9000, known: 4 }), "{refused:?}");
}

#[tokio::test]
async fn migrating_can_be_a_step_of_its_own() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wayleave.sqlite");
    let expecting = || Options { schema: Schema::Expect, ..options() };
    let refused = SqliteStore::open(&path, expecting()).await.unwrap_err();
    assert!(matches!(refused, OpenError::OlderSchema { found: 0, known: 4 }), "{refused:?}");
    SqliteStore::migrate(&path, &options()).await.unwrap();
    let store = SqliteStore::open(&path, expecting()).await.unwrap();
    store.ping().await.unwrap();
}

/// A file that an earlier version wrote is brought up to date, and keeps what it holds.
#[tokio::test]
async fn an_older_schema_is_migrated() {
    let (store, folder) = fresh().await;
    put_one(&store, &full(1)).await;
    store.close().await;
    let later = ["known_devices_by_expiry", "sessions_by_sealed_pair"];
    let indexes = later.map(|index| format!("DROP INDEX {index}"));
    let columns =
        ["wrapped_key_tag", "wrapped_key"].map(|column| format!("ALTER TABLE credentials DROP COLUMN {column}"));
    let steps = indexes.into_iter().chain(columns);
    for step in steps.chain(["DELETE FROM _sqlx_migrations WHERE version > 1".to_owned()]) {
        sqlx::query(AssertSqlSafe(step)).execute(&mut raw(folder.path()).await).await.unwrap();
    }
    let path = folder.path().join("wayleave.sqlite");
    let refused = SqliteStore::open(&path, Options { schema: Schema::Expect, ..options() }).await.unwrap_err();
    assert!(matches!(refused, OpenError::OlderSchema { found: 1, known: 4 }), "{refused:?}");
    let store = SqliteStore::open(&path, options()).await.unwrap();
    assert!(holds(&store, &full(1)).await);
    assert_eq!(SessionStore::sweep(&store, BASE, 10).await.unwrap(), Swept::default());
    for index in later {
        let count = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = ?1").bind(index);
        let indexes: i64 = count.fetch_one(&mut raw(folder.path()).await).await.unwrap();
        assert_eq!(indexes, 1, "{index}");
    }
    let credential = Credential { secret: Box::new(*b"record"), changed_at: BASE };
    Credentials::set(&store, &account_id(1), Method::Opaque, &credential).await.unwrap();
    assert_eq!(Credentials::wrapped_key(&store, &account_id(1), Method::Opaque).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wayleave.sqlite");
    std::fs::write(&path, "not a database, but long enough to be looked at ".repeat(100)).unwrap();
    let refused = SqliteStore::open(&path, options()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Store(StoreError::Corrupt(Some(_)))), "{refused:?}");
    let refused = SqliteStore::open(folder.path(), options()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Store(StoreError::Unavailable(Some(_)))), "{refused:?}");
    let refused = SqliteStore::open(path.join("below"), options()).await.unwrap_err();
    assert!(matches!(refused, OpenError::File { .. }), "{refused:?}");
}

/// Two processes may open one new file at the same time; what one has ended, the other does not see any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stores_share_a_file() {
    for _ in 0..20 {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("wayleave.sqlite");
        let open = || tokio::spawn(SqliteStore::open(path.clone(), options()));
        let opening = [open(), open(), open()];
        for store in opening {
            store.await.unwrap().unwrap().ping().await.unwrap();
        }
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wayleave.sqlite");
    let one = SqliteStore::open(&path, options()).await.unwrap();
    let other = SqliteStore::open(&path, options()).await.unwrap();
    for number in 0..20 {
        let held = record(number).of(&person(number)).build();
        put_one(&one, &held).await;
        assert!(holds(&other, &held).await);
        assert_eq!(put(&other, &held).await.unwrap(), Insert::Exists);
        assert_eq!(other.revoke(&Scope::One(held.slot, held.id)).await.unwrap().len(), 1);
        assert!(!holds(&one, &held).await);
    }
    let puts = |store: SqliteStore, from: u32| async move {
        for number in from..from + 100 {
            let outcome = put(&store, &record(number).of(&person(number)).build()).await.unwrap();
            assert!(matches!(outcome, Insert::Done { .. }));
        }
        store
    };
    let (one, other) = (tokio::spawn(puts(one, 1000)), tokio::spawn(puts(other, 2000)));
    let (one, _other) = (one.await.unwrap(), other.await.unwrap());
    assert_eq!(one.census(BASE).await.unwrap().live.iter().map(|(_, count)| count).sum::<u64>(), 200);
}

/// What one store writes, the other is told of, and nobody of what they wrote themselves.
#[tokio::test]
async fn foreign_writes_are_noticed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wayleave.sqlite");
    let one = SqliteStore::open(&path, options()).await.unwrap();
    let other = SqliteStore::open(&path, options()).await.unwrap();
    let seen = one.foreign_writes().await.unwrap();
    put_one(&one, &record(1).build()).await;
    assert!(holds(&other, &record(1).build()).await);
    assert_eq!(SessionStore::sweep(&other, BASE, 10).await.unwrap().records, 0);
    assert_eq!(one.foreign_writes().await.unwrap(), seen, "only reads and writes of nothing");
    put_one(&other, &record(2).build()).await;
    let after = one.foreign_writes().await.unwrap();
    assert_ne!(after, seen);
    // Also when it wrote itself before it looked.
    put_one(&other, &record(3).build()).await;
    put_one(&one, &record(4).build()).await;
    assert_ne!(one.foreign_writes().await.unwrap(), after);
}

/// R168: while somebody else holds the lock, writes are unavailable, not lost or guessed; reads answer.
#[tokio::test]
async fn a_lock_held_elsewhere_makes_writes_unavailable() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wayleave.sqlite");
    let hasty = Options { busy_timeout: Duration::from_millis(50), ..options() };
    let store = SqliteStore::open(path, hasty).await.unwrap();
    put_one(&store, &record(1).build()).await;
    let mut raw = raw(folder.path()).await;
    let lock = raw.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let waiting = [record(2).build(), record(3).build()];
    let (one, other) = tokio::join!(put(&store, &waiting[0]), put(&store, &waiting[1]));
    for outcome in [one, other] {
        assert!(matches!(outcome, Err(StoreError::Unavailable(Some(_)))), "{outcome:?}");
    }
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(Some(_)))));
    assert!(holds(&store, &record(1).build()).await);
    lock.rollback().await.unwrap();
    for record in &waiting {
        assert!(!holds(&store, record).await);
        assert!(matches!(put(&store, record).await.unwrap(), Insert::Done { .. }));
    }
}

#[tokio::test]
async fn a_closed_store_is_unavailable() {
    let (store, _folder) = fresh().await;
    store.close().await;
    assert!(matches!(put(&store, &full(1)).await, Err(StoreError::Unavailable(Some(_)))));
    let found = SessionStore::find(&store, by_id(&full(1))).await;
    assert!(matches!(found, Err(StoreError::Unavailable(Some(_)))));
    assert!(store.ping().await.is_err());
}

/// Gives the process's number, so that the name of the temporary folder is known.
struct Known;

impl Entropy for Known {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailure> {
        for (to, from) in buffer.iter_mut().rev().zip(std::process::id().to_le_bytes()) {
            *to = from;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_temporary_store_leaves_nothing_behind() {
    let folder = std::env::temp_dir().join(format!("wayleave-{:032x}", std::process::id()));
    let known = || Options { entropy: Arc::new(Known), ..options() };
    let store = SqliteStore::open(":memory:", known()).await.unwrap();
    put_one(&store, &full(1)).await;
    assert!(holds(&store, &full(1)).await);
    assert_eq!((mode(&folder), mode(&folder.join("wayleave.sqlite"))), (0o700, 0o600));
    // A folder that somebody else put there is not used.
    let refused = SqliteStore::open_temporary(known()).await.unwrap_err();
    assert!(matches!(refused, OpenError::File { .. }), "{refused:?}");
    store.close().await;
    drop(store);
    assert!(!folder.exists());
}
