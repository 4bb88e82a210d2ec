//! Every statement finds its rows by the index that is meant for it, and no page is sorted.

use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, SqliteConnection};

use super::{FIND, LIST, PIECE, USAGE, change, remove, upload};
use crate::schema::VAULT;

async fn plan(connection: &mut SqliteConnection, statement: &str) -> Vec<String> {
    let explained = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")));
    let rows = explained.fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get("detail")).collect()
}

#[tokio::test]
async fn statements_go_by_their_index() {
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(":memory:").connect().await.unwrap();
    VAULT.run(&mut connection).await.unwrap();
    let id = "sqlite_autoindex_vault_versions_1";
    for (statement, index) in [
        (FIND, "vault_current_versions (owner=? AND name=?)"),
        (LIST, "vault_current_versions (owner=? AND name>?)"),
        (USAGE, "PRIMARY KEY (owner=?)"),
        (PIECE, "sqlite_autoindex_vault_pieces_1 (version=? AND number=?)"),
        (upload::DROP_ABANDONED, "vault_versions_by_owner (owner=? AND state=? AND at<?)"),
        (upload::STAGED, id),
        (upload::COUNT_PIECE, id),
        (upload::ABORT, id),
        (change::TAKE_NAME, id),
        (change::GIVE_NAME, id),
        (change::DROP_OLDEST, "vault_versions_by_owner (owner=? AND state=?)"),
        (remove::DELETE_ALL, "vault_versions_by_owner (owner=?)"),
        (remove::SWEEP, "vault_versions_by_time (state=? AND at<?)"),
    ] {
        let plan = plan(&mut connection, statement).await;
        assert!(plan.iter().any(|step| step.contains(index)), "{index} is not in {plan:?} of {statement}");
        let is_costly = |step: &String| step.starts_with("SCAN") || step.contains("TEMP B-TREE");
        assert!(!plan.iter().any(is_costly), "{plan:?} of {statement}");
    }
}
