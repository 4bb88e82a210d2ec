//! What a sweep costs those who validate meanwhile: an open loop of requests against a real server, idle, while it sweeps,
//! and while somebody else gives the store as much to do.

mod open_loop;
mod postgres;
mod redis;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::arguments::ServerBinary;
use crate::http::{Server, binary};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::report::{Row, count, time};

use open_loop::{Latencies, OpenLoop};

/// Accounts that the sessions belong to.
const PEOPLE: usize = 8;
/// The most that the 99th percentile may grow by.
const MOST_GROWTH: f64 = 2.0;

/// Amounts of this part.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Amounts {
    /// Sessions in PostgreSQL that are live.
    pub(crate) postgres_live: usize,
    /// Sessions in PostgreSQL that have ended.
    pub(crate) postgres_ended: usize,
    /// Sessions in Redis that have ended.
    pub(crate) redis_ended: usize,
    /// Sessions that are validated.
    pub(crate) validated: usize,
    /// How long the idle server is measured.
    pub(crate) idle: Duration,
}

/// A store full of ended sessions, and an equal load on it that has nothing to do with sessions.
trait Store {
    fn name(&self) -> String;
    /// How a server is told of it.
    fn settings(&self) -> Vec<String>;
    fn url(&self) -> String;
    /// Adds the sessions, once a server has made what they need and holds one.
    fn fill(&self) -> Result<(), Problem>;
    /// How many have ended.
    fn ended(&self) -> usize;
    /// Whether those are gone.
    fn is_swept(&self) -> Result<bool, Problem>;
    /// Removes as much as a sweep does, of something else.
    fn unrelated(&self) -> Result<(), Problem>;
}

/// All rows.
pub(crate) fn rows(plan: Plan, server: &ServerBinary) -> Result<Vec<Row>, Problem> {
    let binary = binary(server)?;
    let mut rows = measure(plan.sweep, &binary, &postgres::Filled::start(plan.sweep)?)?;
    rows.extend(measure(plan.sweep, &binary, &redis::Filled::start(plan.sweep)?)?);
    Ok(rows)
}

fn measure(amounts: Amounts, binary: &Path, store: &(impl Store + Sync)) -> Result<Vec<Row>, Problem> {
    let folder = tempfile::tempdir().map_err(|source| Problem::File { path: std::env::temp_dir(), source })?;
    let server = start(binary, store, &folder)?;
    for person in 0..PEOPLE {
        server.register(&email(person))?;
    }
    server.sign_in(&email(0))?;
    eprintln!("sweep: filling {}", store.name());
    store.fill()?;
    let tokens: Vec<_> = (0..amounts.validated)
        .map(|number| Ok(server.sign_in(&email(number % PEOPLE))?.session_token))
        .collect::<Result<_, Problem>>()?;
    let load = OpenLoop { server: &server, tokens: &tokens };
    let (before, _) = load.during(|| pause(amounts.idle))?;
    let (unrelated, unrelated_took) = load.during(|| store.unrelated())?;
    drop(server);
    // It sweeps as soon as it runs, and not again for a day.
    let server = start(binary, store, &folder)?;
    let load = OpenLoop { server: &server, tokens: &tokens };
    let (swept, sweep_took) = load.during(|| until_swept(store))?;
    let (after, _) = load.during(|| pause(amounts.idle))?;

    let name = store.name();
    let row = |what: String, latencies: &Latencies| {
        let [p50, p99, most] = [latencies.at(0.5), latencies.at(0.99), latencies.at(1.0)].map(time);
        (Row::new(format!("{name}: {what}: p99"), format!("{p99} (p50 {p50}, longest {most})")), latencies.at(0.99))
    };
    let (idle_row, idle_p99) = row("idle".into(), &before);
    let against = |(row, p99): (Row, f64)| (row.against(format!("idle, {}", time(idle_p99)), p99 / idle_p99), p99);
    let ended = count(store.ended());
    let seconds = |took: Duration| format!("{:.0} s", took.as_secs_f64());
    let (unrelated, _) =
        against(row(format!("while {ended} others are deleted ({})", seconds(unrelated_took)), &unrelated));
    let (swept, p99) = against(row(format!("while {ended} are swept ({})", seconds(sweep_took)), &swept));
    let (after, _) = against(row("idle again".into(), &after));
    Ok(vec![idle_row, unrelated, swept.target("at most 2", p99 <= MOST_GROWTH * idle_p99), after])
}

fn start(binary: &Path, store: &impl Store, folder: &TempDir) -> Result<Server, Problem> {
    let mut settings = store.settings();
    // All servers of a store have one master key.
    settings.push(format!("keys.master={}", folder.path().join("master.key").display()));
    settings.extend(["sessions.sweep_interval=1d".to_owned(), "kinds.standard.most=10000".to_owned()]);
    Server::start(binary, &store.url(), &settings)
}

fn email(person: usize) -> String {
    format!("person{person}@example.org")
}

fn pause(length: Duration) -> Result<(), Problem> {
    std::thread::sleep(length);
    Ok(())
}

fn until_swept(store: &impl Store) -> Result<(), Problem> {
    let start = Instant::now();
    while !store.is_swept()? {
        if start.elapsed() > LONGEST_SWEEP {
            return Err(Problem::Defect("the sweep does not end"));
        }
        pause(Duration::from_millis(200))?;
    }
    Ok(())
}

/// After which nobody waits for a sweep any longer.
const LONGEST_SWEEP: Duration = Duration::from_secs(1800);

impl OpenLoop<'_> {
    /// The latencies while `work` is done, and how long it took.
    fn during(&self, work: impl FnOnce() -> Result<(), Problem> + Send) -> Result<(Latencies, Duration), Problem> {
        self.warm()?;
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let start = Instant::now();
                let done = work();
                over.store(true, Ordering::Relaxed);
                done.map(|()| start.elapsed())
            });
            let latencies = self.run(&over);
            let took = worker.join().map_err(|_| Problem::Thread)??;
            Ok((latencies?, took))
        })
    }
}
