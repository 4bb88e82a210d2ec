//! Refreshing: a write that must not be lost, so the disk is what it is compared with.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use wayleave::{SessionManager, Shown};
use wayleave_sqlite::Durability;

use crate::plan::Plan;
use crate::problem::Problem;
use crate::report::{Row, grouped};
use crate::world::{Keep, Style, World};

/// Clients that refresh at once, where it is not one.
const MANY: usize = 64;

/// All rows.
pub(crate) fn rows(plan: Plan, runtime: &Runtime) -> Result<Vec<Row>, Problem> {
    let disk = syncs_per_second(plan.refreshes)?;
    let per_second = |rate: f64| format!("{} /s", grouped(rate));
    let mut rows = vec![Row::new("floor: append 4 KiB and `fdatasync`", per_second(disk))];
    let cases = [("full", Durability::Full, 1), ("full", Durability::Full, MANY), ("normal", Durability::Normal, MANY)];
    let mut full = 0.0;
    for (name, durability, clients) in cases {
        let rate = runtime.block_on(async {
            let world = World::sqlite(durability).await?;
            measure(plan, &world, clients).await
        })?;
        let row = Row::new(format!("SQLite, durability {name}, {clients} at once"), per_second(rate));
        rows.push(match durability {
            Durability::Full => row.against(format!("floor, {}", per_second(disk)), rate / disk),
            Durability::Normal => row.against(format!("durability full, {}", per_second(full)), rate / full),
        });
        full = rate;
    }
    let rate = runtime.block_on(async {
        let world = World::memory(plan.refreshed.max(MANY))?;
        measure(plan, &world, 1).await
    })?;
    rows.push(Row::new("memory, 1 at once", per_second(rate)));
    Ok(rows)
}

/// Refreshes per second, of `clients` that each have sessions of their own and refresh them in turn.
async fn measure(plan: Plan, world: &Arc<World>, clients: usize) -> Result<f64, Problem> {
    let sessions = plan.refreshed.max(clients);
    let mut held = world.populate(sessions, Style::Bearer, Keep::Refresh).await?.refresh;
    let manager = world.cold_manager();
    let done = Arc::new(AtomicUsize::new(0));
    let mut running = JoinSet::new();
    let start = Instant::now();
    for client in 0..clients {
        let share = held.len() / (clients - client);
        let own = held.split_off(held.len() - share);
        running.spawn(refresh(Arc::clone(&manager), own, start + plan.refreshes, Arc::clone(&done)));
    }
    while let Some(ended) = running.join_next().await {
        ended.map_err(|_| Problem::Thread)??;
    }
    Ok(done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
}

async fn refresh(
    manager: Arc<SessionManager>,
    mut tokens: Vec<String>,
    end: Instant,
    done: Arc<AtomicUsize>,
) -> Result<(), Problem> {
    let shown = Shown { active: true, ..Shown::default() };
    loop {
        for token in &mut tokens {
            if Instant::now() >= end {
                return Ok(());
            }
            let refreshed = manager.refresh(token, &shown).await?;
            let next = refreshed.issued.refresh.ok_or(Problem::Defect("a refresh gave no refresh token"))?;
            token.clone_from(&next);
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How often the disk under the temporary folder takes a page for good.
fn syncs_per_second(length: Duration) -> Result<f64, Problem> {
    let folder = tempfile::tempdir().map_err(|source| Problem::File { path: std::env::temp_dir(), source })?;
    let path = folder.path().join("floor");
    let measure = || {
        let mut file = File::create(&path)?;
        let (start, mut count) = (Instant::now(), 0_u32);
        while start.elapsed() < length {
            file.write_all(&[7; 4096])?;
            file.sync_data()?;
            count += 1;
        }
        Ok(f64::from(count) / start.elapsed().as_secs_f64())
    };
    measure().map_err(|source| Problem::File { path: path.clone(), source })
}
