//! The schema: made by the first, awaited by the others, shared with older and newer versions.

use std::sync::Arc;
use std::time::Duration;

use wayleave_conformance::fixtures::{BASE, by_id, full, refresh_key, rotation};
use wayleave_core::ports::{Insert, Rotate, SessionStore, StoreError, Update};
use wayleave_postgres::{OpenError, Options, PostgresStore, Schema};

use crate::{database, fresh, options};

async fn put(store: &PostgresStore, number: u32) {
    let outcome = SessionStore::insert(store, &full(number), None, None, BASE).await.unwrap();
    assert!(matches!(outcome, Insert::Done { .. }), "{outcome:?}");
}

async fn holds(store: &PostgresStore, number: u32) -> bool {
    SessionStore::find(store, by_id(&full(number))).await.unwrap().is_some()
}

#[tokio::test]
async fn migrating_can_be_a_step_of_its_own() {
    let database = database();
    let expect = Options { schema: Schema::Expect, ..options() };
    let refused = PostgresStore::connect(&database.url(), expect.clone()).await;
    assert!(matches!(refused, Err(OpenError::OlderSchema { found: 0, known: 1.. })), "{refused:?}");
    assert_eq!(database.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'wayleave'").unwrap(), "0");
    for _ in 0..2 {
        PostgresStore::migrate(&database.url(), &expect).await.unwrap();
    }
    let store = PostgresStore::connect(&database.url(), expect).await.unwrap();
    put(&store, 1).await;
    assert!(holds(&store, 1).await);
}

/// Of many nodes that start together one migrates, and all of them serve.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_start_together_share_the_work() {
    let database = database();
    let url: Arc<str> = database.url().into();
    let nodes: Vec<_> = (1..=12)
        .map(|number| {
            let url = Arc::clone(&url);
            tokio::spawn(async move {
                let store = PostgresStore::connect(&url, options()).await.unwrap();
                put(&store, number).await;
            })
        })
        .collect();
    for node in nodes {
        node.await.unwrap();
    }
    assert_eq!(database.psql("SELECT count(*) FROM wayleave.sessions").unwrap(), "12");
}

/// A migration that needs a table waits for those who use it, and nobody waits behind it: while a long query goes over the
/// sessions, nodes that serve go on, and afterwards the schema is migrated.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_migration_that_waits_keeps_nobody_waiting() {
    let database = Arc::new(database());
    let patience = Duration::from_secs(4);
    let impatient = Options { acquire_timeout: patience, statement_timeout: patience, ..options() };
    let serving = PostgresStore::connect(&database.url(), impatient).await.unwrap();
    put(&serving, 1).await;
    // Whatever is migrated from now on changes the table of sessions.
    database
        .psql(
            "CREATE FUNCTION locks() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN \
             LOCK TABLE wayleave.sessions IN ACCESS EXCLUSIVE MODE; END $$; \
             CREATE EVENT TRIGGER locks ON ddl_command_start EXECUTE FUNCTION locks()",
        )
        .unwrap();
    let query = std::thread::spawn({
        let database = Arc::clone(&database);
        move || database.psql("BEGIN; LOCK TABLE wayleave.sessions IN ACCESS SHARE MODE; SELECT pg_sleep(9); COMMIT")
    });
    while database.psql("SELECT count(*) FROM pg_locks WHERE relation = 'wayleave.sessions'::regclass").unwrap() == "0"
    {
    }
    let migration = tokio::spawn({
        let url = database.url();
        let next = Options { namespace: "next".into(), ..options() };
        async move { PostgresStore::migrate(&url, &next).await }
    });
    let mut beside_it = 0;
    while !migration.is_finished() {
        assert!(holds(&serving, 1).await);
        beside_it += u32::from(!query.is_finished());
    }
    migration.await.unwrap().unwrap();
    query.join().unwrap().unwrap();
    assert!(beside_it > 3, "{beside_it} lookups while the migration waited");
    assert_eq!(database.psql("SELECT to_regclass('next.sessions') IS NOT NULL").unwrap(), "t");
}

/// A newer version adds columns, tables and migrations of its own; this one goes on beside it, also on connections and
/// statements from before.
#[tokio::test]
async fn a_newer_version_works_beside_this_one() {
    let (store, database) = fresh().await;
    for number in 1..=6 {
        put(&store, number).await;
    }
    let _ = store.update(&full(6), full(6).revision).await.unwrap();
    let _ = store.rotate(&rotation(refresh_key(&full(5)), 50, BASE)).await.unwrap();
    let newer = "SET search_path = wayleave; \
         ALTER TABLE sessions ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue', ADD COLUMN weight BIGINT; \
         ALTER TABLE accounts ADD COLUMN colour TEXT; \
         CREATE TABLE something (new BIGINT); \
         INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9001, 'newer', TRUE, '\\x00', 0)";
    database.psql(newer).unwrap();
    let after = PostgresStore::connect(&database.url(), options()).await.unwrap();
    for (node, base) in [(&store, 1), (&after, 3)] {
        assert!(holds(node, base).await);
        let held = full(base);
        assert!(matches!(node.update(&held, held.revision).await.unwrap(), Update::Done(_)));
        let exchange = rotation(refresh_key(&held), base + 100, BASE);
        assert!(matches!(node.rotate(&exchange).await.unwrap(), Rotate::Done { .. }));
        assert!(matches!(node.rotate(&exchange).await.unwrap(), Rotate::Repeat { .. }));
        put(node, base + 20).await;
        let next = full(base + 1);
        assert_eq!(node.revoke(&wayleave_core::ports::Scope::One(next.slot, next.id)).await.unwrap().len(), 1);
        assert!(node.sweep(BASE, 10).await.is_ok());
    }
}

/// A version that this one cannot work beside says so itself.
#[tokio::test]
async fn an_incompatible_version_is_refused() {
    let (store, database) = fresh().await;
    put(&store, 1).await;
    database
        .psql(
            "SET search_path = wayleave; INSERT INTO compatibility VALUES (9001, 9001); \
             INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9001, 'newer', TRUE, '\\x00', 0)",
        )
        .unwrap();
    for schema in [Schema::Migrate, Schema::Expect] {
        let refused = PostgresStore::connect(&database.url(), Options { schema, ..options() }).await;
        assert!(
            matches!(refused, Err(OpenError::NewerSchema { found: 9001, needed: 9001, known: 1.. })),
            "{refused:?}"
        );
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("9001") && said.contains("newer version"), "{said}");
    }
}

/// A row in a form of a newer version is corrupt to who asks for it, left out of lists, and ended like any other.
#[tokio::test]
async fn rows_of_a_newer_form_are_left_alone() {
    let (store, database) = fresh().await;
    put(&store, 1).await;
    put(&store, 2).await;
    database
        .psql("UPDATE wayleave.sessions SET form = 2 WHERE data = (SELECT data FROM wayleave.sessions LIMIT 1)")
        .unwrap();
    let mut found = Vec::new();
    for number in [1, 2] {
        match SessionStore::find(&store, by_id(&full(number))).await {
            Ok(Some(_)) => found.push(number),
            outcome => assert!(matches!(outcome, Err(StoreError::Corrupt(Some(_)))), "{outcome:?}"),
        }
    }
    assert_eq!(found.len(), 1);
    let everybody = wayleave_core::ports::Listing { subject: None, after: None, most: 10 };
    assert_eq!(SessionStore::list(&store, &everybody).await.unwrap().records.len(), 1);
    assert_eq!(store.sweep(full(1).ends_at().plus(wayleave_conformance::fixtures::TICK), 10).await.unwrap().records, 2);
}

/// Several deployments in one database have nothing to do with each other.
#[tokio::test]
async fn namespaces_are_kept_apart() {
    let database = database();
    let open = async |namespace: &str| {
        PostgresStore::connect(&database.url(), Options { namespace: namespace.into(), ..options() }).await
    };
    let (one, two) = (open("one").await.unwrap(), open("two_2").await.unwrap());
    put(&one, 1).await;
    assert!(holds(&one, 1).await && !holds(&two, 1).await);
    put(&two, 1).await;
    assert_eq!(database.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").unwrap(), "0");
    let long = "a".repeat(49);
    for wrong in ["", "One", "1a", "a-b", "a;b", "a\"", "ä", long.as_str()] {
        assert!(matches!(open(wrong).await, Err(OpenError::Namespace)), "{wrong}");
    }
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let refused = PostgresStore::connect("mysql://localhost/x", options()).await;
    assert!(matches!(refused, Err(OpenError::Address(_))), "{refused:?}");
    let database = database();
    let elsewhere = format!("{}_of_nobody", database.url());
    let secret = database.url();
    let secret = secret.split([':', '@']).nth(2).unwrap();
    for url in [elsewhere, "postgres://nobody:wrong@127.0.0.1:1/x".to_owned()] {
        let refused = PostgresStore::connect(&url, options()).await;
        assert!(matches!(refused, Err(OpenError::Store(StoreError::Unavailable(Some(_))))), "{refused:?}");
        assert!(!format!("{refused:?}").contains(secret));
    }
}

/// Whatever the server's defaults are.
#[tokio::test]
async fn connections_are_set_up_as_the_functions_need_it() {
    let database = database();
    let name = database.psql("SELECT current_database()").unwrap();
    database
        .psql(&format!(
            "ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'; \
             ALTER DATABASE {name} SET synchronous_commit = off; ALTER DATABASE {name} SET search_path = public"
        ))
        .unwrap();
    let store = PostgresStore::connect(&database.url(), options()).await.unwrap();
    put(&store, 1).await;
    let settings = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'wayleave' \
         AND datname = current_database()";
    assert_eq!(database.psql(settings).unwrap(), "1");
    // What the session sees is told by itself: the function reads its own settings.
    database
        .psql(
            "CREATE FUNCTION wayleave.told() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO wayleave.settings VALUES (NEW.name || ' told', convert_to(concat_ws(',', \
             current_setting('transaction_isolation'), current_setting('synchronous_commit'), \
             current_setting('search_path'), current_setting('statement_timeout')), 'UTF8'), 1); RETURN NEW; END $$; \
             CREATE TRIGGER told BEFORE INSERT ON wayleave.settings FOR EACH ROW WHEN (NEW.name = 'ask') \
             EXECUTE FUNCTION wayleave.told()",
        )
        .unwrap();
    let _ = wayleave_core::ports::Settings::set(&store, "ask", b"", None).await.unwrap();
    let told = wayleave_core::ports::Settings::get(&store, "ask told").await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&told.value), "read committed,on,wayleave,20s");
}
