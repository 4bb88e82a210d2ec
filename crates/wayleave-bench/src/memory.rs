//! Bytes per live session: each case in a process of its own, whose resident memory before and after is compared.

use std::process::Command;

use tokio::runtime::Runtime;
use wayleave::{Options, Shown};

use crate::plan::Plan;
use crate::problem::Problem;
use crate::process::Process;
use crate::report::{Row, count, grouped};
use crate::world::{Keep, Style, World};

/// Most bytes of a live session with a realistic record.
const MOST_BYTES: f64 = 300.0;

/// What is in memory.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Case {
    /// Cookie sessions in the store.
    Cookie,
    /// Sessions with refresh tokens in the store.
    Bearer,
    /// Cookie sessions in the store, each seen once through a manager with the default room.
    Default,
    /// Cookie sessions in the store, all of them warm.
    Warm,
}

impl Case {
    const ALL: [Self; 4] = [Self::Cookie, Self::Bearer, Self::Default, Self::Warm];

    const fn name(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Bearer => "bearer",
            Self::Default => "default",
            Self::Warm => "warm",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.name() == name)
    }

    const fn style(self) -> Style {
        match self {
            Self::Cookie | Self::Default | Self::Warm => Style::Cookie,
            Self::Bearer => Style::Bearer,
        }
    }
}

/// All rows.
pub(crate) fn rows(plan: Plan) -> Result<Vec<Row>, Problem> {
    let sessions = plan.live;
    let mut rows = Vec::new();
    for case in Case::ALL {
        let Measured { resident, footprint } = ask(case, sessions)?;
        let each = |bytes: u64| bytes as f64 / sessions.max(1) as f64;
        let (resident, own) = (each(resident), each(footprint));
        let what = match case {
            Case::Cookie => "cookie session in the memory store",
            Case::Bearer => "session with a refresh token in the memory store",
            Case::Default => "cookie session in the memory store, manager with default room, every session seen once",
            Case::Warm => "cookie session in the memory store, every session warm",
        };
        let what = format!("{what}, {} live", count(sessions));
        let row = Row::new(what, format!("{} B resident", grouped(resident)))
            .against(format!("the store's own estimate, {} B", grouped(own)), resident / own);
        rows.push(match case {
            Case::Cookie => row.target("at most 300 B", resident <= MOST_BYTES),
            Case::Bearer | Case::Default | Case::Warm => row,
        });
    }
    Ok(rows)
}

struct Measured {
    /// Growth of resident memory.
    resident: u64,
    /// What the store says of itself.
    footprint: u64,
}

/// Measures one case in a process of its own: what another case has freed would be taken again without growth.
fn ask(case: Case, sessions: usize) -> Result<Measured, Problem> {
    const NAME: &str = "wayleave-bench --probe";
    let this = std::env::current_exe().map_err(|source| Problem::Program { name: NAME, source })?;
    let output = Command::new(this)
        .args(["--probe", case.name(), &sessions.to_string()])
        .output()
        .map_err(|source| Problem::Program { name: NAME, source })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(resident)), Some(Ok(footprint))) => Ok(Measured { resident, footprint }),
        _ => Err(Problem::Failed { name: NAME, said: String::from_utf8_lossy(&output.stderr).into() }),
    }
}

/// What the other process does: prints growth and estimate.
pub(crate) fn probe(case: Case, sessions: usize, runtime: &Runtime) -> Result<(), Problem> {
    let world = World::sessions_alone(sessions)?;
    let keep = match case {
        Case::Cookie | Case::Bearer => Keep::Nothing,
        Case::Default | Case::Warm => Keep::Access,
    };
    let before = Process::this().resident()?;
    let population = runtime.block_on(world.populate(sessions, case.style(), keep))?;
    let options = match case {
        Case::Cookie | Case::Bearer => None,
        Case::Default => Some(Options::default()),
        Case::Warm => Some(Options { warm_sessions: sessions + sessions / 4, ..Options::default() }),
    };
    let manager = options.map(|options| world.manager(options));
    if let Some(manager) = &manager {
        let shown = Shown { active: true, ..Shown::default() };
        runtime.block_on(async {
            for token in population.access.iter() {
                manager.validate(token, &shown).await?;
            }
            Ok::<(), Problem>(())
        })?;
    }
    // The tokens are the clients', not the product's.
    let after = Process::this().resident()?.saturating_sub(population.access.bytes());
    let footprint = world.memory.as_ref().map_or(0, |memory| memory.footprint());
    drop(manager);
    println!("{} {footprint}", after.saturating_sub(before));
    Ok(())
}
