//! A standby answers from the past, so nobody asks it: behind an address that comes to lead to one, the store is
//! unavailable.

use wayleave_conformance::fixtures::{BASE, by_id, full};
use wayleave_core::ports::{Bus as _, Scope, SessionStore, StoreError};
use wayleave_postgres::{OpenError, Options, PostgresStore, Schema};
use wayleave_testkit::servers::postgres::Postgres;

use crate::options;
use crate::proxy::Proxy;

fn assert_unavailable<T: std::fmt::Debug>(outcome: Result<T, StoreError>) {
    let Err(StoreError::Unavailable(Some(why))) = outcome else { panic!("{outcome:?}") };
    assert!(why.to_string().contains("standby"), "{why}");
}

/// R168: a session that has ended on the primary is not found on a standby that has not heard of it. Nothing is found
/// there, by a store that was connected before as by a new one, until it is the primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_not_asked() {
    let primary = Postgres::private().unwrap();
    let database = primary.database().unwrap();
    let proxy = Proxy::to(primary.port()).await;
    let url = format!("{}?sslmode=disable", database.url_by(proxy.port));
    let store = PostgresStore::connect(&url, options()).await.unwrap();
    let held = full(1);
    let _ = SessionStore::insert(&store, &held, None, None, BASE).await.unwrap();
    let standby = primary.standby().unwrap();
    database
        .psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'wayleave'")
        .unwrap();
    proxy.lead_to(standby.port());
    // The standby has the session, and does not learn that it ends.
    standby.psql("postgres", "SELECT pg_wal_replay_pause()").unwrap();
    let elsewhere = PostgresStore::connect(&database.url(), options()).await.unwrap();
    assert_eq!(elsewhere.revoke(&Scope::One(held.slot, held.id)).await.unwrap().len(), 1);
    for _ in 0..3 {
        assert_unavailable(SessionStore::find(&store, by_id(&held)).await);
    }
    assert_unavailable(store.ping().await);
    assert_unavailable(store.publish(b"news").await);
    assert!(matches!(store.listen().await.map(drop), Err(StoreError::Unavailable(_))));
    for schema in [Schema::Migrate, Schema::Expect] {
        let refused = PostgresStore::connect(&url, Options { schema, ..options() }).await;
        let Err(OpenError::Store(refused)) = refused else { panic!("{refused:?}") };
        assert_unavailable(Err::<(), _>(refused));
    }
    standby.psql("postgres", "SELECT pg_wal_replay_resume(); SELECT pg_promote()").unwrap();
    SessionStore::find(&store, by_id(&held)).await.map(drop).unwrap();
    store.ping().await.unwrap();
    store.publish(b"news").await.unwrap();
}
