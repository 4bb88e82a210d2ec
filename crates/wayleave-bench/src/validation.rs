//! Validation in process: what a request pays before its handler runs.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use wayleave::{Options, SessionManager, Shown};
use wayleave_sqlite::Durability;

use crate::floor;
use crate::machine::Machine;
use crate::measure::{Picks, Samples, nanos, per_operation};
use crate::plan::Plan;
use crate::problem::Problem;
use crate::report::{Row, count, time};
use crate::world::{Keep, Style, Tokens, World};

/// Most nanoseconds of a warm validation with a million live sessions.
const MOST_NANOS: f64 = 1000.0;

/// All rows. Every request is its user's doing, so activity is noted, and tokens are drawn at random from all.
pub(crate) fn rows(plan: Plan, machine: &Machine, runtime: &Runtime) -> Result<Vec<Row>, Problem> {
    let hash = floor::hash(plan);
    let mut rows = vec![Row::time("floor: SHA-256 of a token's 54 bytes", &hash)];
    for size in plan.memory_sizes {
        let lookup = floor::lookup(plan, *size);
        rows.push(Row::time(format!("floor: `HashMap` lookup among {}", count(*size)), &lookup));
        let scene = Scene { plan, runtime, size: *size, floor: hash.median() + lookup.median() };
        let world = World::memory(*size)?;
        let tokens = runtime.block_on(world.populate(*size, Style::Cookie, Keep::Access))?.access;
        scene.measure("memory", &world, &tokens, &mut rows)?;
        if Some(size) == plan.memory_sizes.last() {
            scene.measure_together(machine, &world, &tokens, &mut rows)?;
        }
    }
    for size in plan.sqlite_sizes {
        let lookup = floor::lookup(plan, *size);
        let scene = Scene { plan, runtime, size: *size, floor: hash.median() + lookup.median() };
        // Durability makes no difference to reading; without waiting for the disk the store is filled sooner.
        let world = runtime.block_on(World::sqlite(Durability::Normal))?;
        let tokens = runtime.block_on(world.populate(*size, Style::Cookie, Keep::Access))?.access;
        scene.measure("SQLite", &world, &tokens, &mut rows)?;
    }
    Ok(rows)
}

/// One store of one size.
struct Scene<'a> {
    plan: Plan,
    runtime: &'a Runtime,
    size: usize,
    /// Hash and lookup, in nanoseconds.
    floor: f64,
}

impl Scene<'_> {
    fn measure(&self, store: &str, world: &World, tokens: &Tokens, rows: &mut Vec<Row>) -> Result<(), Problem> {
        let default = Options::default();
        let roomy = Options { warm_sessions: roomy(self.size), ..default };
        // Where the default holds all of them, room for more changes nothing.
        let warm = if self.size < default.warm_sessions { vec![default] } else { vec![default, roomy] };
        for options in warm {
            let manager = world.manager(options);
            let samples = self.warm(&manager, tokens)?;
            let share = 100.0 * manager.warm().0 as f64 / self.size.max(1) as f64;
            let room = if options == default { "default" } else { "warm_sessions" };
            let what = format!(
                "{store}, {} sessions, {room} {}: {share:.0} % warm",
                count(self.size),
                count(options.warm_sessions)
            );
            let row = self.row(what, &samples);
            let judged = options.warm_sessions >= self.size;
            rows.push(if judged { row.target("at most 1,000 ns", samples.median() <= MOST_NANOS) } else { row });
        }
        let samples = self.alone(&world.cold_manager(), tokens)?;
        rows.push(self.row(format!("{store}, {} sessions, cold: asks the store", count(self.size)), &samples));
        Ok(())
    }

    /// On every core at once: among all sessions, and one and the same.
    fn measure_together(
        &self,
        machine: &Machine,
        world: &World,
        tokens: &Tokens,
        rows: &mut Vec<Row>,
    ) -> Result<(), Problem> {
        let manager = world.manager(Options { warm_sessions: roomy(self.size), ..Options::default() });
        let alone = self.warm(&manager, tokens)?;
        let threads = machine.cores;
        for (whose, tokens) in [("all sessions", tokens), ("one session", &tokens.first())] {
            let samples = self.together(&manager, tokens, threads)?;
            let what = format!("memory, {} sessions, warm, {threads} threads at once, {whose}", count(self.size));
            let against = format!("one thread, {}", time(alone.median()));
            rows.push(Row::time(what, &samples).against(against, samples.median() / alone.median()));
        }
        Ok(())
    }

    fn row(&self, what: String, samples: &Samples) -> Row {
        let against = format!("hash and lookup, {}", time(self.floor));
        Row::time(what, samples).against(against, samples.median() / self.floor)
    }

    /// After every session was seen twice, as far as there is room.
    fn warm(&self, manager: &SessionManager, tokens: &Tokens) -> Result<Samples, Problem> {
        let shown = shown();
        self.runtime.block_on(async {
            validate(manager, &shown, tokens).await?;
            validate(manager, &shown, tokens).await
        })?;
        self.alone(manager, tokens)
    }

    fn alone(&self, manager: &SessionManager, tokens: &Tokens) -> Result<Samples, Problem> {
        let shown = shown();
        let mut picks = Picks::new(3);
        per_operation(self.plan.rounds, self.plan.round, |count| {
            let drawn = tokens.draw(&mut picks, count);
            self.runtime.block_on(validate(manager, &shown, &drawn))
        })
    }

    /// Nanoseconds per operation and thread.
    fn together(&self, manager: &Arc<SessionManager>, tokens: &Tokens, threads: usize) -> Result<Samples, Problem> {
        let mut seed = 4;
        per_operation(self.plan.rounds, self.plan.round, |count| {
            let barrier = Barrier::new(threads);
            let took = std::thread::scope(|scope| {
                let running: Vec<_> = (0..threads)
                    .map(|_| {
                        seed += 1;
                        let (barrier, mut picks) = (&barrier, Picks::new(seed));
                        scope.spawn(move || {
                            let shown = shown();
                            let drawn = tokens.draw(&mut picks, count);
                            barrier.wait();
                            self.runtime.block_on(validate(manager, &shown, &drawn))
                        })
                    })
                    .collect();
                let joined = running.into_iter().map(|thread| thread.join().map_err(|_| Problem::Thread)?);
                joined.collect::<Result<Vec<Duration>, Problem>>()
            })?;
            let mean = took.iter().map(|took| nanos(*took)).sum::<f64>() / threads.max(1) as f64;
            Ok(Duration::from_secs_f64(mean / 1e9))
        })
    }
}

async fn validate(manager: &SessionManager, shown: &Shown, tokens: &Tokens) -> Result<Duration, Problem> {
    let start = Instant::now();
    for token in tokens.iter() {
        black_box(manager.validate(black_box(token), shown).await?);
    }
    Ok(start.elapsed())
}

fn shown() -> Shown {
    Shown { active: true, ..Shown::default() }
}

/// Room for all of them, also where the cache's shards are not filled evenly.
fn roomy(sessions: usize) -> usize {
    sessions + sessions / 4
}
