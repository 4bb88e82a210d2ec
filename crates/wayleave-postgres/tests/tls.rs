//! The way to the server: encrypted, and to the server that was meant.

use std::path::Path;

use wayleave_core::ports::{SessionStore as _, StoreError};
use wayleave_postgres::{OpenError, PostgresStore};
use wayleave_testkit::servers::postgres::Postgres;

use crate::{database, options};

#[tokio::test]
async fn the_certificate_is_held_to_the_address() {
    let (server, other) = (Postgres::private().unwrap(), Postgres::private().unwrap());
    let (certificate, others) = (server.use_tls().unwrap(), other.use_tls().unwrap());
    let database = server.database().unwrap();
    let by_name = database.url().replace("127.0.0.1", "localhost");
    let connect = async |url: &str, mode: &str, root: &Path| {
        PostgresStore::connect(&format!("{url}?sslmode={mode}&sslrootcert={}", root.display()), options()).await
    };
    let store = connect(&by_name, "verify-full", &certificate).await.unwrap();
    store.ping().await.unwrap();
    let encrypted = "SELECT version FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE ssl AND application_name = 'wayleave'";
    assert_eq!(database.psql(encrypted).unwrap(), "TLSv1.3");
    let refused = async |url: &str, mode: &str, root: &Path| {
        let outcome = connect(url, mode, root).await;
        assert!(matches!(outcome, Err(OpenError::Store(StoreError::Unavailable(Some(_))))), "{mode}: {outcome:?}");
    };
    // The certificate is for a name, not for this address.
    refused(&database.url(), "verify-full", &certificate).await;
    connect(&database.url(), "verify-ca", &certificate).await.unwrap();
    for mode in ["verify-full", "verify-ca"] {
        refused(&by_name, mode, &others).await;
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_in_the_clear() {
    let database = database();
    for mode in ["require", "verify-ca", "verify-full"] {
        let outcome = PostgresStore::connect(&format!("{}?sslmode={mode}", database.url()), options()).await;
        assert!(matches!(outcome, Err(OpenError::Store(StoreError::Unavailable(Some(_))))), "{mode}: {outcome:?}");
    }
}
