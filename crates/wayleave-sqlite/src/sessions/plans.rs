//! Every statement of a hot path finds its rows by an index, and the index that is meant for it.

use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, SqliteConnection};

use super::{BY_ID, BY_REFRESH, BY_TOKEN, census, insert, list, revoke, rotate, sweep, touch};
use crate::{accounts, audit, counters, credentials, known_devices, service_keys, stored, subjects, tickets};

async fn connection() -> SqliteConnection {
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(":memory:").connect().await.unwrap();
    sqlx::migrate!().run(&mut connection).await.unwrap();
    connection
}

async fn plan(connection: &mut SqliteConnection, statement: &str) -> Vec<String> {
    let explained = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")));
    let rows = explained.fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get("detail")).collect()
}

const ID: &str = "sqlite_autoindex_sessions_1";

#[tokio::test]
async fn hot_statements_go_by_their_index() {
    let connection = &mut connection().await;
    for (statement, indexes) in [
        (BY_TOKEN, &["sessions_by_token"][..]),
        (BY_ID, &[ID]),
        (BY_REFRESH, &[ID, "sessions_by_refresh", "PRIMARY KEY (hash=?)", "sessions_by_family"]),
        (stored::UPDATE, &[ID]),
        (insert::COUNT, &["sessions_by_subject"]),
        (insert::REVISION, &[ID]),
        (insert::MARK_ENDED, &["sessions_by_subject"]),
        (insert::EVICT_OLDEST, &[ID, "sessions_by_subject"]),
        (insert::EVICT_LEAST_RECENTLY_SEEN, &[ID, "sessions_by_subject"]),
        (rotate::ROTATE, &[ID]),
        (rotate::ERASE_PAIRS, &[ID, "sessions_by_sealed_pair (rotation_at<?)"]),
        (rotate::ERASE_PAIRS_AHEAD, &[ID, "sessions_by_sealed_pair (rotation_at>?)"]),
        (rotate::FORGET_OLDEST, &["PRIMARY KEY (hash=?)", "COVERING INDEX spent_refresh_tokens_by_family"]),
        (revoke::ONE, &[ID]),
        (revoke::OTHERS, &["sessions_by_subject"]),
        (revoke::ALL, &["sessions_by_subject"]),
        (revoke::FAMILY, &["sessions_by_family"]),
        (list::OF_SUBJECT, &["sessions_by_subject (subject=? AND (created_at,id)<(?,?))"]),
        (list::OF_EVERYBODY, &["sessions_by_creation ((created_at,id)<(?,?))"]),
        (touch::TOUCH, &[ID]),
        (sweep::RECORDS, &[ID, "sessions_by_end (ends_at<?)"]),
        (sweep::TICKETS, &["rowid=?", "tickets_by_expiry (expires_at<?)"]),
        (known_devices::SWEEP, &["rowid=?", "known_devices_by_expiry (expires_at<?)"]),
        (tickets::TAKE, &["sqlite_autoindex_tickets_1"]),
        (tickets::DROP_EXPIRED, &["rowid=?", "tickets_by_purpose_and_expiry (purpose=? AND expires_at<?)"]),
        (counters::SWEEP, &["PRIMARY KEY (key=?)", "counters_by_since"]),
        (accounts::BY_ID, &["sqlite_autoindex_accounts_1"]),
        (accounts::BY_EMAIL, &["sqlite_autoindex_accounts_2"]),
        (accounts::ANYBODY_HOLDS, &["PRIMARY KEY (permission=?)", "sqlite_autoindex_accounts_1"]),
        (credentials::FIND, &["sqlite_autoindex_credentials_1"]),
        (credentials::REPLACE, &["sqlite_autoindex_credentials_1"]),
        (credentials::HELD, &["sqlite_autoindex_credentials_1"]),
        (credentials::WRAPPED_KEY, &["sqlite_autoindex_credentials_1"]),
        (credentials::WRAP, &["sqlite_autoindex_credentials_1"]),
        (service_keys::BY_KEY, &["sqlite_autoindex_service_keys_2"]),
        (subjects::ACCOUNT, &["sqlite_autoindex_accounts_1"]),
        (subjects::SERVICE, &["sqlite_autoindex_service_keys_1"]),
        (audit::HEAD, &["sqlite_autoindex_audit_1"]),
        (audit::CHAIN, &["sqlite_autoindex_audit_1"]),
    ] {
        let plan = plan(connection, statement).await;
        for index in indexes {
            assert!(plan.iter().any(|step| step.contains(index)), "{index} is not in {plan:?} of {statement}");
        }
        let scans = plan.iter().any(|step| step.starts_with("SCAN") && !step.contains("CONSTANT ROW"));
        assert!(!scans, "{plan:?} of {statement}");
    }
}

/// Counting everything reads everything, but only of one index.
#[tokio::test]
async fn the_census_reads_an_index_alone() {
    let plan = plan(&mut connection().await, census::CENSUS).await;
    assert!(plan.iter().any(|step| step == "SCAN sessions USING COVERING INDEX sessions_by_end"), "{plan:?}");
}

/// A page is read in the order of the index: without a sort, it costs as much as it shows.
#[tokio::test]
async fn pages_are_not_sorted() {
    let connection = &mut connection().await;
    let audit = audit::statement(&wayleave_core::ports::AuditQuery::default(), 10).into_string();
    for statement in [
        list::OF_SUBJECT,
        list::OF_EVERYBODY,
        rotate::ERASE_PAIRS,
        rotate::ERASE_PAIRS_AHEAD,
        sweep::RECORDS,
        sweep::TICKETS,
        known_devices::SWEEP,
        &audit,
    ] {
        let plan = plan(connection, statement).await;
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:?} of {statement}");
    }
}
