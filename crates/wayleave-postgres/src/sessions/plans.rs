//! Every statement of a hot path finds its rows by the index that is meant for it, those inside functions included, in
//! tables of which the planner knows that they are large.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failing test panics")]

use std::sync::Arc;

use wayleave_core::ports::{AuditQuery, Clock, Entropy, EntropyFailure};
use wayleave_core::seal::{KeyId, KeyRing, SealingKey};
use wayleave_core::time::Timestamp;
use wayleave_testkit::servers::postgres::{Database, Postgres};

use super::{BY_ID, BY_REFRESH, BY_TOKEN, census, list};
use crate::{
    Options, PostgresStore, accounts, audit, counters, credentials, invitations, known_devices, service_keys, settings,
    subjects, tickets,
};

struct Nothing;

impl Entropy for Nothing {
    fn fill(&self, _buffer: &mut [u8]) -> Result<(), EntropyFailure> {
        Err(EntropyFailure)
    }
}

impl Clock for Nothing {
    fn now(&self) -> Timestamp {
        Timestamp::MIN
    }
}

/// 60,000 sessions of 20,000 subjects, all of them exchanged once, every tenth ended; and as much of the rest as makes
/// reading all of it the wrong way.
const ROWS: &str = "SET search_path = wayleave; \
     INSERT INTO sessions (id, prefix, slot, family, kind, subject, created_at, absolute_expires_at, token, refresh, \
     generation, rotation_predecessor, rotation_at, rotation_pair, permissions, epoch, remembered, last_seen_at, \
     idle_expires_at, token_expires_at, revision, client) SELECT substring(sha256(('id' || n)::bytea) FOR 18), 'sess', \
     n / 3 % 65536, substring(sha256(('family' || n)::bytea) FOR 16), 'web', 'user:' || n / 3, 1000000 + n, 9000000000, \
     sha256(('token' || n)::bytea), sha256(('refresh' || n)::bytea), 1, sha256(('spent' || n)::bytea), n, \
     CASE WHEN n % 100 = 0 THEN 'pair'::bytea END, 'read:profile', 0, FALSE, 1000000 + n, \
     CASE WHEN n % 10 = 0 THEN 2000000 + n ELSE 8000000000 END, 9000000000, 1, sha256('client') || sha256('sealed') \
     FROM generate_series(0, 59999) AS n; \
     INSERT INTO spent_refresh_tokens SELECT sha256(('spent' || n)::bytea), \
     substring(sha256(('family' || n)::bytea) FOR 16), n, 1000000 + n FROM generate_series(0, 59999) AS n; \
     INSERT INTO tickets SELECT (ARRAY['challenge', 'handshake', 'replay'])[1 + n % 3], sha256(n::text::bytea), NULL, \
     1000000 + n FROM generate_series(0, 29999) AS n; \
     INSERT INTO accounts (id, email, name, role, labels, permissions, disabled, must_change_password, epoch, \
     created_at, updated_at, revision) SELECT 'user_' || n, n || '@example.org', 'Name', '', '', \
     CASE WHEN n = 77 THEN 'admin read' ELSE 'read' END, FALSE, FALSE, 0, 0, 0, 0 FROM generate_series(0, 19999) AS n; \
     INSERT INTO credentials SELECT 'user_' || n, 'pwd', '', 0 FROM generate_series(0, 19999) AS n; \
     INSERT INTO known_devices (account, key, expires_at) SELECT 'user_' || n / 3, sha256(n::text::bytea), 1000000 + n \
     FROM generate_series(0, 29999) AS n; \
     INSERT INTO counters SELECT sha256(n::text::bytea), 1, n, NULL FROM generate_series(0, 29999) AS n; \
     INSERT INTO invitations SELECT sha256(n::text::bytea), NULL, '', NULL, n, 1000000 + n \
     FROM generate_series(0, 19999) AS n; \
     INSERT INTO service_keys SELECT 'service' || n, sha256(n::text::bytea), '', 0, 0, NULL \
     FROM generate_series(0, 9999) AS n; \
     INSERT INTO settings SELECT 'setting' || n, '', 1 FROM generate_series(0, 9999) AS n; \
     INSERT INTO audit (node, sequence, mac, at, event, subject, count) SELECT 'node' || n % 3, n, sha256(''), n, \
     'event.' || n % 50, 'user:' || n % 5000, 1 FROM generate_series(0, 59999) AS n";

async fn large() -> Database {
    let database = Postgres::shared().unwrap().database().unwrap();
    let ring = KeyRing::new(SealingKey::new(KeyId(1), [1; 32]), []).unwrap();
    let options = Options::new(Arc::new(ring), Arc::new(Nothing), Arc::new(Nothing));
    PostgresStore::migrate(&database.url(), &options).await.unwrap();
    database.psql(ROWS).unwrap();
    // Not inside the transaction that several statements make.
    database.psql("VACUUM ANALYZE").unwrap();
    database
}

/// The plan that serves whatever arguments there are.
fn plan(database: &Database, statement: &str) -> String {
    let arguments = (1..).take_while(|number| statement.contains(&format!("${number}"))).count();
    let nothing = vec!["NULL"; arguments].join(", ");
    let execute = if arguments == 0 { "one".to_owned() } else { format!("one({nothing})") };
    let explain = format!(
        "SET search_path = wayleave; SET plan_cache_mode = force_generic_plan; PREPARE one AS {statement}; \
         EXPLAIN EXECUTE {execute}"
    );
    database.psql(&explain).unwrap()
}

fn reads_all(plan: &str) -> bool {
    plan.lines().any(|line| line.contains("Seq Scan on"))
}

#[tokio::test]
async fn hot_statements_go_by_their_index() {
    let database = large().await;
    for (statement, index) in [
        (BY_TOKEN, "sessions_by_token"),
        (BY_ID, "sessions_pkey"),
        (BY_REFRESH, "sessions_pkey"),
        (list::OF_SUBJECT, "sessions_by_subject"),
        (list::OF_EVERYBODY, "sessions_by_creation"),
        (tickets::TAKE, "tickets_pkey"),
        (counters::READ, "counters_pkey"),
        (counters::SWEEP, "counters_by_since"),
        (accounts::BY_ID, "accounts_pkey"),
        (accounts::BY_EMAIL, "accounts_email_key"),
        (accounts::LIST, "accounts_pkey"),
        (accounts::ANYBODY_HOLDS, "accounts_by_permission"),
        (credentials::FIND, "credentials_pkey"),
        (credentials::REPLACE, "credentials_pkey"),
        (credentials::WRAPPED_KEY, "credentials_pkey"),
        (known_devices::KNOWS, "known_devices_account_key_key"),
        (settings::GET, "settings_pkey"),
        (service_keys::BY_KEY, "service_keys_key_key"),
        (invitations::FIND, "invitations_pkey"),
        (invitations::INSERT, "invitations_by_expiry"),
        (invitations::LIST, "invitations_by_creation"),
        (invitations::TAKE, "invitations_pkey"),
        (subjects::ACCOUNT, "accounts_pkey"),
        (subjects::SERVICE, "service_keys_pkey"),
        (audit::HEAD, "audit_chain"),
        (audit::CHAIN, "audit_chain"),
    ] {
        let plan = plan(&database, statement);
        assert!(plan.contains(index) && !reads_all(&plan), "{index}: {plan}\nof {statement}");
    }
    // A page is read in the order of the index: without a sort, it costs as much as it shows.
    let audit = audit::statement(&AuditQuery::default(), 10).into_string();
    for statement in [list::OF_SUBJECT, list::OF_EVERYBODY, accounts::LIST, invitations::LIST, &audit] {
        let plan = plan(&database, statement);
        assert!(!plan.contains("Sort"), "{plan}\nof {statement}");
    }
    // Counting everything reads everything, but only of one index.
    let plan = plan(&database, census::CENSUS);
    assert!(plan.contains("Index Only Scan using sessions_by_end"), "{plan}");
}

/// A call of `session_insert` for one more of a subject that has three.
fn insertion(at_limit: &str) -> String {
    format!(
        "session_insert(1, NULL, '', NULL, NULL, NULL, 0, FALSE, NULL, 5, NULL, 9000000000, NULL, NULL, 0, NULL, NULL, \
         NULL, substring(sha256('new') FOR 18), 'sess', 7, substring(sha256('new') FOR 16), 'web', 'user:7', 5, \
         9000000000, sha256('new'), NULL, NULL, NULL, NULL, NULL, NULL, NULL, substring(sha256('id300') FOR 18), \
         'sess', NULL, 2, '{at_limit}', 1500000, 9000000000)"
    )
}

#[tokio::test]
async fn functions_go_by_indexes_inside() {
    let database = large().await;
    let (id, token) = ("substring(sha256('id21') FOR 18)", "sha256('refresh21')");
    let rotate = |presented: &str, window| {
        format!(
            "session_rotate(1, 7, {presented}, sha256('t'), sha256('r'), 'pair', NULL, sha256('tag'), 9000000000, 5, \
             NULL, 1500000, {window}, 9000000000, 1024, 1)"
        )
    };
    for call in [
        insertion("oldest"),
        insertion("least-recently-seen"),
        insertion("refuse"),
        rotate(token, 10),
        rotate("sha256('spent21')", 0),
        rotate("sha256('nobody')", 0),
        format!(
            "session_update(NULL, '', NULL, NULL, NULL, 0, FALSE, NULL, 5, NULL, 6, NULL, NULL, NULL, NULL, NULL, {id}, \
             'sess', 7, 1)"
        ),
        format!("session_revoke(1, 7, {id}, 'sess', NULL, NULL)"),
        format!("session_revoke(1, 7, {id}, 'sess', 'user:7', NULL)"),
        "session_revoke(1, 7, NULL, NULL, NULL, substring(sha256('family21') FOR 16))".to_owned(),
        format!("session_touch(ARRAY[{id}], ARRAY[7], ARRAY['sess'], ARRAY[5], ARRAY[NULL::BIGINT])"),
        "session_erase_pairs(5000, 9000000, 10)".to_owned(),
        "sweep(2005000, 10)".to_owned(),
        "ticket_deposit('challenge', sha256('new'), NULL, 9000000, 10, 1000500)".to_owned(),
        "counter_reserve(sha256('5'), 5, 900, 1000, 2000, 9000000000)".to_owned(),
        "device_remember(2, 'user_5', sha256('new'), 9000000, NULL, 2, 5)".to_owned(),
        "devices_forget(2, 'user_5')".to_owned(),
        "account_update('user_5', 'a@b', '', '', NULL, '', NULL, '', FALSE, FALSE, 0, 0, NULL, 0)".to_owned(),
    ] {
        for mode in ["force_custom_plan", "force_generic_plan"] {
            let plans = database
                .plans(&format!(
                    "SET search_path = wayleave; SET plan_cache_mode = {mode}; BEGIN; SELECT * FROM {call}; ROLLBACK"
                ))
                .unwrap();
            assert!(plans.contains("Index") || plans.contains("Tid Scan"), "no plan was told for {call}: {plans}");
            // The counts of tickets are a handful of rows.
            let whole = |line: &&str| line.contains("Seq Scan on") && !line.contains("ticket_counts");
            let found: Vec<_> = plans.lines().filter(whole).collect();
            assert!(found.is_empty(), "{found:?} in {mode} of {call}: {plans}");
        }
    }
}
