//! One run: the parts in turn, and the table.

use tokio::runtime::{Builder, Runtime};

use crate::arguments::{Arguments, Part};
use crate::machine::Machine;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::report::Row;
use crate::results::Results;
use crate::{document, embedded, http, logins, memory, refreshes, stores, sweep, validation};

/// Measures what was asked for and prints the table. A part that cannot be measured says so in it.
///
/// # Errors
/// [`Problem`] when there can be no table at all, or it cannot be written down.
pub fn run(arguments: &Arguments) -> Result<(), Problem> {
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| Problem::Program { name: "wayleave-bench", source })?;
    if let Some((case, sessions)) = arguments.probe {
        return memory::probe(case, sessions, &runtime);
    }
    if arguments.bare {
        return http::serve_bare(&runtime);
    }
    let plan = if arguments.quick { Plan::QUICK } else { Plan::FULL };
    let machine = Machine::this();
    let mut parts = Vec::new();
    for part in &arguments.parts {
        eprintln!("measuring: {}", part.name());
        let rows = measure(*part, plan, &machine, &runtime, arguments).unwrap_or_else(|problem| {
            eprintln!("{}: {problem}", part.name());
            vec![Row::skipped(&problem)]
        });
        parts.push((part.name(), rows));
    }
    let results = Results::new(&machine.describe(), &parts);
    println!("{results}");
    if arguments.quick {
        println!("\nA quick run: the figures mean nothing.");
    }
    if arguments.write {
        let path = document::write(results, arguments.parts == Part::USUAL)?;
        eprintln!("written into {}", path.display());
    }
    Ok(())
}

fn measure(
    part: Part,
    plan: Plan,
    machine: &Machine,
    runtime: &Runtime,
    arguments: &Arguments,
) -> Result<Vec<Row>, Problem> {
    match part {
        Part::Validation => validation::rows(plan, machine, runtime),
        Part::Memory => memory::rows(plan),
        Part::Http => http::rows(plan, &arguments.server),
        Part::Embedded => embedded::rows(plan, &arguments.server),
        Part::Stores => stores::rows(plan, arguments),
        Part::Logins => logins::rows(plan, machine, &arguments.server),
        Part::Refreshes => refreshes::rows(plan, runtime),
        Part::Sweep => sweep::rows(plan, &arguments.server),
    }
}
