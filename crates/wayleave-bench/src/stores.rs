//! Sessions over every store: warm and cold validation, opening, another id, ending; ours and those of others on the same
//! server, in one run. All applications of a store take turns in every round.

mod backend;
mod contenders;
mod load;
mod plot;
mod rounds;

use crate::arguments::Arguments;
use crate::document;
use crate::http::{self, Judged, Load, PLAIN, Pair, Person, Server, pairs, two_rows, wrk};
use crate::measure::Samples;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::report::{Row, grouped};

use backend::{Backend, Store};
use contenders::{Programs, WAYLEAVE};
use plot::{Bar, Group};
use rounds::{Figures, Round, Running, Verb};

const PLOT: &str = "benchmarks-stores.svg";

/// All rows. With `--write` the plot is written, too.
pub(crate) fn rows(plan: Plan, arguments: &Arguments) -> Result<Vec<Row>, Problem> {
    wrk::find()?;
    let programs = Programs::find(&arguments.server)?;
    let binary = http::binary(&arguments.server);
    let (mut rows, mut groups) = (Vec::new(), Vec::new());
    for store in Store::ALL {
        let mut add = || {
            let backend = Backend::start(store)?;
            rows.extend(match &binary {
                Ok(binary) => {
                    server_rows(plan, store, &backend, binary).unwrap_or_else(|problem| lost(store, "server", &problem))
                }
                Err(problem) => lost(store, "server", problem),
            });
            let all = compared(plan, store, &backend, &programs, &mut rows)?;
            groups.push(group(store, &all));
            Ok::<_, Problem>(())
        };
        if let Err(problem) = add() {
            rows.extend(lost(store, "all", &problem));
        }
    }
    if arguments.write {
        eprintln!("written into {}", document::write_plot(PLOT, &plot::svg(&groups))?.display());
    }
    Ok(rows)
}

/// Our server over a store: what validating costs beyond its plain route.
fn server_rows(plan: Plan, store: Store, backend: &Backend, binary: &std::path::Path) -> Result<Vec<Row>, Problem> {
    let place = backend.place()?;
    let (url, settings) = match store {
        Store::Memory => ("memory:".to_owned(), Vec::new()),
        Store::Sqlite => (format!("sqlite:{place}"), Vec::new()),
        Store::Postgres => (place, Vec::new()),
        Store::Redis => (place, vec!["store.directory=sqlite:directory.db".to_owned()]),
    };
    let server = Server::start(binary, &url, &settings)?;
    let person = Person::on(&server)?;
    let plain = Load { server: &server, path: PLAIN, header: None };
    let plan = Plan { http_rounds: plan.store_server_rounds, ..plan };
    let mut rows = Vec::new();
    for (what, load) in person.validations(&server) {
        let before = backend.asked()?;
        let rounds = pairs(plan, plain, load)?;
        let requests = rounds.iter().map(|pair| pair.other.requests).sum();
        let operations = backend.asked()?.since(&before, requests);
        let what = format!("{}: server: {what}", store.name());
        rows.extend(two_rows(&what, "the plain route", &rounds, Judged::Yes));
        if backend.counts() {
            let row = Row::new(format!("{what}: backend operations per request"), operations.to_string());
            rows.push(row.target("none", operations.are_none()));
        }
    }
    Ok(rows)
}

/// What could not be measured over a store, in place of its rows.
fn lost(store: Store, what: &str, problem: &Problem) -> Vec<Row> {
    eprintln!("stores: {}: {what}: {problem}", store.name());
    vec![Row::new(format!("{}: {what}: not measured", store.name()), problem.to_string())]
}

/// Every application over a store, under all loads. Whose application fails goes out.
fn compared<'a>(
    plan: Plan,
    store: Store,
    backend: &'a Backend,
    programs: &'a Programs,
    rows: &mut Vec<Row>,
) -> Result<Vec<Running<'a>>, Problem> {
    let mut all = Vec::new();
    for contender in contenders::of(store) {
        let started = match programs.lack(contender) {
            None => Running::start(*contender, store, backend, programs),
            Some(problem) => {
                rows.extend(lost(store, contender.name, problem));
                continue;
            }
        };
        match started {
            Ok(running) => all.push(running),
            Err(problem) => rows.extend(lost(store, contender.name, &problem)),
        }
    }
    for _ in 0..plan.store_rounds {
        let mut left = Vec::new();
        for mut running in all {
            eprintln!("measuring: stores: {}: {}", store.name(), running.contender.name);
            match running.round(plan) {
                Ok(()) => left.push(running),
                Err(problem) => rows.extend(lost(store, running.contender.name, &problem)),
            }
        }
        all = left;
    }
    rows.extend(all.iter().flat_map(|running| warm_rows(store, backend, running)));
    rows.extend(Verb::ALL.iter().flat_map(|verb| verb_rows(store, backend, &all, *verb)));
    Ok(all)
}

fn warm_rows(store: Store, backend: &Backend, running: &Running<'_>) -> Vec<Row> {
    let Figures { warm, warm_operations, .. } = &running.figures;
    let is_ours = running.contender.is_ours;
    let what = format!("{}: {}: who is it, warm", store.name(), running.contender.name);
    let judged = if is_ours { Judged::Yes } else { Judged::No };
    let mut rows = Vec::from(two_rows(&what, "its plain route", warm, judged));
    let p99 = |of: fn(&Pair) -> f64| Samples::new(warm.iter().map(of).collect());
    let (plain, p99) = (p99(|pair| pair.plain.p99_micros), p99(|pair| pair.other.p99_micros));
    let row = Row::new(format!("{what}: p99"), format!("{} µs", grouped(p99.median()))).spread(&p99);
    rows.push(row.against(format!("its plain route, {} µs", grouped(plain.median())), p99.median() / plain.median()));
    if backend.counts() {
        let row = Row::new(format!("{what}: backend operations per request"), warm_operations.to_string());
        rows.push(if is_ours { row.target("none", warm_operations.are_none()) } else { row });
    }
    rows
}

/// Ours against the fastest peer, and every peer against ours.
fn verb_rows(store: Store, backend: &Backend, all: &[Running<'_>], verb: Verb) -> Vec<Row> {
    let measured: Vec<(&str, bool, &[Round])> = all
        .iter()
        .filter_map(|running| {
            let rounds = running.figures.verbs.get(&verb)?;
            Some((running.contender.name, running.contender.is_ours, rounds.as_slice()))
        })
        .collect();
    let ours = measured.iter().find(|(_, is_ours, _)| *is_ours).map(|(_, _, rounds)| *rounds).unwrap_or_default();
    let peers = measured.iter().filter(|(_, is_ours, _)| !is_ours);
    let fastest = peers.max_by(|one, other| per_second(one.2).median().total_cmp(&per_second(other.2).median()));
    let rows = measured.iter().map(|(name, is_ours, rounds)| {
        let samples = per_second(rounds);
        let p99 = Samples::new(rounds.iter().map(|round| round.p99_micros).collect());
        let mut result = format!("{} /s; p99 {} µs", grouped(samples.median()), grouped(p99.median()));
        if backend.counts() {
            let operations = rounds.last().map(|round| round.operations.to_string()).unwrap_or_default();
            result.push_str(&format!("; backend: {operations}"));
        }
        let row = Row::new(format!("{}: {name}: {}", store.name(), verb.name()), result).spread(&samples);
        let (against, other) = match (is_ours, fastest) {
            (true, Some((peer, _, rounds))) => (*peer, *rounds),
            (false, _) => (WAYLEAVE.name, ours),
            (true, None) => return row,
        };
        let ratio = ratio(rounds, other);
        let row = row.against(format!("{against}, {} /s", grouped(per_second(other).median())), ratio);
        match verb {
            Verb::Create | Verb::Refresh if *is_ours => row.target("ahead of every peer", ratio > 1.0),
            Verb::Create | Verb::Refresh | Verb::Cold | Verb::Revoke => row,
        }
    });
    rows.collect()
}

fn per_second(rounds: &[Round]) -> Samples {
    Samples::new(rounds.iter().map(|round| round.per_second).collect())
}

/// The median of rounds that were measured next to each other.
fn ratio(rounds: &[Round], others: &[Round]) -> f64 {
    let ratios = rounds.iter().zip(others).map(|(round, other)| round.per_second / other.per_second);
    Samples::new(ratios.collect()).median()
}

/// What the plot shows of a store.
fn group(store: Store, all: &[Running<'_>]) -> Group {
    let bar = |running: &Running<'_>| {
        let Figures { warm, verbs, .. } = &running.figures;
        let of = |verb| verbs.get(&verb).map(|rounds| per_second(rounds).median());
        let warm = Samples::new(warm.iter().map(|pair| pair.other.per_second).collect()).median();
        Bar {
            name: running.contender.name,
            is_ours: running.contender.is_ours,
            per_second: [Some(warm), of(Verb::Create), of(Verb::Refresh)],
        }
    };
    Group { name: store.name(), bars: all.iter().map(bar).collect() }
}
