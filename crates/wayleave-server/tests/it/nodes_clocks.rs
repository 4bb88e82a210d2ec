//! Three servers, and the clock of one jumps by an hour.

use tokio::time::Instant;

use super::fleet::{Fleet, LEASE, SERVERS, Sessions, Setup};

/// The server whose clock is wrong.
const WRONG: usize = 2;
const HOUR: i64 = 3600;

/// A fleet whose last server has a clock that can be set.
async fn fleet(sessions: Sessions) -> Fleet {
    Fleet::start_as(Setup { people: 2, false_clock: Some(WRONG), ..Setup::new(sessions, "strict") }).await
}

async fn set_clock(fleet: &Fleet, seconds: i64) {
    fleet.clock.as_ref().unwrap().set(seconds);
    let off = fleet.time(WRONG).await - fleet.time(0).await;
    assert!((off - seconds).abs() < 10, "it is off by {off} s");
}

/// Every server says so of every session.
async fn all_say(fleet: &Fleet, tokens: &[String], status: u16, when: &str) {
    for (number, token) in tokens.iter().enumerate() {
        for server in 0..SERVERS {
            assert_eq!(fleet.validate(server, token).await, status, "{when}: session {number} at server {server}");
        }
    }
}

/// A session of each server, known to all.
async fn opened(fleet: &Fleet, servers: std::ops::Range<usize>) -> Vec<String> {
    let mut tokens = Vec::new();
    for server in servers {
        tokens.push(fleet.sign_in(server).await);
    }
    all_say(fleet, &tokens, 200, "new").await;
    tokens
}

/// R017: a clock that is an hour ahead ends nothing that it did not open, and nothing that it ended, or others refused,
/// is back when it is right again.
async fn an_hour_ahead(sessions: Sessions) {
    let fleet = fleet(sessions).await;
    let (old, mut ended) = (opened(&fleet, 0..SERVERS).await, opened(&fleet, 0..SERVERS).await);
    set_clock(&fleet, HOUR).await;
    all_say(&fleet, &old, 200, "an hour ahead").await;
    ended.extend(opened(&fleet, 0..WRONG).await);
    for (server, token) in ended.iter().enumerate() {
        fleet.sign_out(server % SERVERS, token).await;
    }
    all_say(&fleet, &ended, 401, "an hour ahead").await;
    let ahead = fleet.sign_in(WRONG).await;
    assert_eq!(fleet.validate(WRONG, &ahead).await, 200);
    assert_eq!(fleet.validate(0, &ahead).await, 401, "to the others it was opened in the future");
    assert_eq!(fleet.validate(WRONG, &ahead).await, 200, "which ends nothing");
    for when in ["an hour ahead", "right again"] {
        all_say(&fleet, &ended, 401, when).await;
        all_say(&fleet, &old, 200, when).await;
        set_clock(&fleet, 0).await;
    }
    all_say(&fleet, &[ahead], 401, "until that time comes").await;
    opened(&fleet, 0..SERVERS).await;
}

/// R017: a clock that is an hour behind brings nothing back, and ends nothing. To it, what was opened in the last hour was
/// opened in the future: it refuses what it is shown of that until it is right again, and meanwhile it goes on everywhere
/// else, also when the same person signs in there.
async fn an_hour_behind(sessions: Sessions) {
    let fleet = fleet(sessions).await;
    let mut ended = opened(&fleet, 0..SERVERS).await;
    for (server, token) in ended.iter().enumerate() {
        fleet.sign_out(server, token).await;
    }
    let unseen = [fleet.sign_in_as(0, 1).await, fleet.sign_in_as(1, 1).await];
    all_say(&fleet, &unseen, 200, "new").await;
    set_clock(&fleet, -HOUR).await;
    all_say(&fleet, &ended, 401, "an hour behind").await;
    let behind = opened(&fleet, WRONG..SERVERS).await;
    let refused = fleet.sign_in(0).await;
    assert_eq!(fleet.validate(WRONG, &refused).await, 401, "to this one it was opened in the future");
    let meanwhile = [refused.clone(), fleet.sign_in(WRONG).await];
    let until = Instant::now() + 2 * LEASE;
    while Instant::now() < until {
        for server in 0..WRONG {
            assert_eq!(fleet.validate(server, &refused).await, 200, "what one refuses serves at the others");
        }
    }
    ended.extend([fleet.sign_in(0).await, fleet.sign_in(1).await]);
    for (server, token) in ended[ended.len() - 2..].iter().enumerate() {
        fleet.sign_out(server, token).await;
    }
    all_say(&fleet, &ended, 401, "an hour behind").await;
    set_clock(&fleet, 0).await;
    all_say(&fleet, &ended, 401, "right again").await;
    all_say(&fleet, &unseen, 200, "right again").await;
    all_say(&fleet, &meanwhile, 200, "right again").await;
    all_say(&fleet, &behind, 200, "right again").await;
    opened(&fleet, 0..SERVERS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_ahead_brings_nothing_back_on_postgres() {
    an_hour_ahead(Sessions::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_ahead_brings_nothing_back_on_redis() {
    an_hour_ahead(Sessions::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_behind_brings_nothing_back_on_postgres() {
    an_hour_behind(Sessions::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_behind_brings_nothing_back_on_redis() {
    an_hour_behind(Sessions::Redis).await;
}
