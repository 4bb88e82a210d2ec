//! Three servers in strict mode: when the answer to a sign-out has come, no server honours the session any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::bus_cut::Cut;
use super::fleet::{Fleet, LEASE, SERVERS, Sessions, Setup};
use super::load::pass;
use super::process::ask;

/// Clients at once.
const CLIENTS: usize = 8;
/// Sign-outs at once, where their throughput is measured.
const AT_ONCE: usize = 32;
/// The server that can be cut off the bus.
const CUT: usize = 1;

async fn fleet(sessions: Sessions, coherence: &'static str) -> Arc<Fleet> {
    let setup = Setup { people: CLIENTS, behind_a_cut: Some(CUT), ..Setup::new(sessions, coherence) };
    Arc::new(Fleet::start_as(setup).await)
}

/// What every client does at once, to the end.
async fn at_once<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: JoinSet<_> = tasks.into_iter().collect();
    tasks.join_all().await
}

/// Nobody honours what was ended: not in one of `trials`.
async fn trials(fleet: &Arc<Fleet>, trials: usize) {
    let trial = |person: usize| {
        let fleet = Arc::clone(fleet);
        async move {
            let mut client = fleet.client(person).await;
            for trial in 0..trials.div_ceil(CLIENTS) {
                let token = client.warm().await;
                let ends = (trial + person) % SERVERS;
                client.sign_out(ends, &token).await;
                // The others first: they are the ones who have to be told.
                for server in [ends + 1, ends + 2, ends] {
                    let status = client.validate(server % SERVERS, &token).await;
                    assert_eq!(status, 401, "trial {trial} of client {person}, server {}", server % SERVERS);
                }
            }
        }
    };
    at_once((0..CLIENTS).map(trial)).await;
}

/// Sessions that every server has in memory.
async fn warm(fleet: &Arc<Fleet>, sessions: usize) -> Vec<String> {
    let warm = |person: usize| {
        let fleet = Arc::clone(fleet);
        async move {
            let mut client = fleet.client(person).await;
            let mut tokens = Vec::new();
            for _ in 0..sessions.div_ceil(CLIENTS) {
                tokens.push(client.warm().await);
            }
            tokens
        }
    };
    at_once((0..CLIENTS).map(warm)).await.concat()
}

/// Shares tokens out among so many.
fn shares(tokens: &[String], count: usize) -> Vec<Vec<String>> {
    (0..count).map(|share| tokens.iter().skip(share).step_by(count).cloned().collect()).collect()
}

/// Sign-outs in a second, each client one after another.
async fn sign_outs_per_second(fleet: &Arc<Fleet>, sessions: usize) -> f64 {
    let tokens = warm(fleet, sessions).await;
    let mut clients = Vec::new();
    for (number, tokens) in shares(&tokens, AT_ONCE).into_iter().enumerate() {
        clients.push((fleet.client(number % CLIENTS).await, number, tokens));
    }
    let begun = Instant::now();
    let ended = clients.into_iter().map(|(mut client, number, tokens)| async move {
        for token in tokens {
            client.sign_out(number % SERVERS, &token).await;
        }
    });
    at_once(ended).await;
    tokens.len() as f64 / begun.elapsed().as_secs_f64()
}

/// One server is stopped while the others end `sessions`, and goes on when its lease is over. It is asked about each of them
/// before it goes on: these are the first requests that it answers. [`CUT`] is cut off the bus as well, so that it does not
/// hear what it missed before it answers. How long each sign-out took, and when it was answered.
async fn sign_out_without(fleet: &Arc<Fleet>, stopped: usize, sessions: usize) -> Vec<(Duration, Duration)> {
    let tokens = warm(fleet, sessions).await;
    let mut clients = Vec::new();
    for (number, tokens) in shares(&tokens, AT_ONCE).into_iter().enumerate() {
        clients.push((fleet.client(number % CLIENTS).await, (stopped + 1 + number % 2) % SERVERS, tokens));
    }
    let way = fleet.way.as_ref().filter(|_| stopped == CUT);
    if let Some(way) = way {
        way.cut(Cut::Silent);
    }
    fleet.servers[stopped].signal("STOP");
    let begun = Instant::now();
    let stopped_at = fleet.servers[stopped].address;
    let ended = clients.into_iter().map(|(mut client, ends, tokens)| async move {
        let (mut times, mut asked) = (Vec::new(), Vec::new());
        for token in tokens {
            let before = begun.elapsed();
            client.sign_out(ends, &token).await;
            times.push((begun.elapsed() - before, begun.elapsed()));
            for server in (0..SERVERS).filter(|server| *server != stopped) {
                assert_eq!(client.validate(server, &token).await, 401);
            }
            asked.push(tokio::spawn(async move {
                let bearer = format!("Bearer {token}");
                let fields = [("authorization", bearer.as_str())];
                ask(stopped_at, "GET", "/api/auth/sessions/validate", &fields, None).await.unwrap().status
            }));
        }
        (times, asked)
    });
    let (times, asked): (Vec<_>, Vec<_>) = at_once(ended).await.into_iter().unzip();
    pass((LEASE + LEASE / 10).saturating_sub(begun.elapsed())).await;
    assert!(asked.iter().flatten().all(|asked| !asked.is_finished()), "it is not stopped");
    fleet.servers[stopped].signal("CONT");
    for asked in asked.into_iter().flatten() {
        assert_eq!(asked.await.unwrap(), 401, "it honours what was ended while it was stopped");
    }
    for token in &tokens {
        assert_eq!(fleet.validate(stopped, token).await, 401);
    }
    if let Some(way) = way {
        way.cut(Cut::Whole);
    }
    times.concat()
}

/// R018.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_servers_on_postgres_agree_at_once() {
    trials(&fleet(Sessions::Postgres, "strict").await, 40).await;
}

/// R018.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_servers_on_redis_agree_at_once() {
    trials(&fleet(Sessions::Redis, "strict").await, 40).await;
}

/// R018: a server that was stopped past its lease refuses what ended meanwhile, from its first answer on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_stopped_honours_nothing_that_ended_meanwhile() {
    let fleet = fleet(Sessions::Postgres, "strict").await;
    sign_out_without(&fleet, CUT, 64).await;
    sign_out_without(&fleet, 2, 64).await;
    trials(&fleet, 8).await;
}

/// R018: ten thousand sign-outs on each store, and two thousand more with a server stopped.
#[allow(clippy::print_stderr, reason = "the figures are what it is for")]
async fn ten_thousand(sessions: Sessions) {
    let strict = fleet(sessions, "strict").await;
    let begun = Instant::now();
    trials(&strict, 10_000).await;
    eprintln!("{sessions:?}: 10,000 sign-outs, none honoured after the answer ({:.0?})", begun.elapsed());
    for round in 0..6 {
        let mut times = sign_out_without(&strict, round % SERVERS, 320).await;
        // All that were waiting for the stopped server's lease, and those after it.
        let (waited, after): (Vec<_>, Vec<_>) = times.drain(..).partition(|(took, _)| *took > LEASE / 2);
        let last = after.iter().map(|(_, at)| *at).max().unwrap_or_default();
        let first = waited.iter().map(|(_, at)| *at).max().unwrap_or_default();
        let rate = after.len() as f64 / last.saturating_sub(first).as_secs_f64();
        let longest = waited.iter().map(|(took, _)| *took).max().unwrap_or_default();
        eprintln!("one stopped: {} waited, {longest:.2?} at most; then {rate:.0} sign-outs/s", waited.len());
        trials(&strict, 80).await;
    }
    let prompt = fleet(sessions, "prompt").await;
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let (prompt, strict) = (sign_outs_per_second(&prompt, 640).await, sign_outs_per_second(&strict, 640).await);
        eprintln!("{sessions:?}: sign-outs/s, {AT_ONCE} at once: prompt {prompt:.0}, strict {strict:.0}");
        ratios.push(strict / prompt);
    }
    ratios.sort_by(f64::total_cmp);
    eprintln!("{sessions:?}: strict / prompt: median {:.2}, all {ratios:.2?}", ratios[2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: run by `cargo xtask test --deep`"]
async fn ten_thousand_sign_outs_on_postgres() {
    ten_thousand(Sessions::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: run by `cargo xtask test --deep`"]
async fn ten_thousand_sign_outs_on_redis() {
    ten_thousand(Sessions::Redis).await;
}
