//! Signing in: with a password, how much of the machine goes into Argon2id itself, and how much round it; by OPAQUE,
//! where the hash is the client's work, how much is left to the server.

mod opaque;

use std::sync::Barrier;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, Version};

use crate::arguments::ServerBinary;
use crate::http::{self, Server, sign_in};
use crate::machine::Machine;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::process::Process;
use crate::report::{Row, time};

/// The server's default parameters: 19 MiB, 2 passes, 1 lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// All rows.
pub(crate) fn rows(plan: Plan, machine: &Machine, server: &ServerBinary) -> Result<Vec<Row>, Problem> {
    let binary = http::binary(server)?;
    let cores = machine.cores;
    let bare = together(cores, plan.logins / 3, &Process::this(), |_| {
        let argon2 = bare_argon2()?;
        Ok(move || {
            let mut output = [0; 32];
            let hashed = argon2.hash_password_into(b"seven grey herons at dusk", &[7; 16], &mut output);
            hashed.map(|()| std::hint::black_box(output)).map(drop).map_err(Problem::Argon2)
        })
    })?;
    let server = Server::start(&binary, "sqlite:wayleave.db", &[format!("password.concurrency={cores}")])?;
    // More than run at once, so that a core that is done with one finds the next one waiting.
    let people = cores * 2;
    for person in 0..people {
        server.register(&email(person))?;
    }
    let logins = together(people, plan.logins, &server.process(), |person| {
        let mut client = server.connect()?;
        Ok(move || sign_in(&mut client, &email(person)).map(drop))
    })?;
    for person in 0..people {
        opaque::register(&mut server.connect()?, &opaque_email(person))?;
    }
    let by_opaque = together(people, plan.logins, &server.process(), |person| {
        let mut client = server.connect()?;
        Ok(move || opaque::sign_in(&mut client, &opaque_email(person)))
    })?;
    let per_core = |rate: &Rate| rate.per_second / cores as f64;
    // The clients of this process take their part of the machine, so that only the server's own time tells.
    let possible = |rate: &Rate| 1e9 / rate.nanos;
    let processor = Row::new("sign-in: server's processor time", time(logins.nanos));
    Ok(vec![
        Row::new("sign-ins per second and core", format!("{:.1} /s", per_core(&logins))).against(
            format!("bare Argon2id on every core, {:.1} /s", per_core(&bare)),
            logins.per_second / bare.per_second,
        ),
        processor.against(format!("bare Argon2id, {}", time(bare.nanos)), logins.nanos / bare.nanos),
        Row::new("OPAQUE logins per second of a core, both halves", format!("{:.0} /s", possible(&by_opaque))).against(
            format!("sign-ins with a password, {:.1} /s", possible(&logins)),
            possible(&by_opaque) / possible(&logins),
        ),
        Row::new("OPAQUE login: server's processor time", time(by_opaque.nanos))
            .against(format!("sign-in with a password, {}", time(logins.nanos)), by_opaque.nanos / logins.nanos),
    ])
}

fn email(person: usize) -> String {
    format!("person{person}@example.org")
}

fn opaque_email(person: usize) -> String {
    format!("opaque{person}@example.org")
}

fn bare_argon2() -> Result<Argon2<'static>, Problem> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).map_err(Problem::Argon2)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// How fast something went.
struct Rate {
    per_second: f64,
    /// Processor time of the process that did it, for each.
    nanos: f64,
}

/// Does on `threads` threads what `make` makes for each, again and again for `length`.
fn together<W: FnMut() -> Result<(), Problem>>(
    threads: usize,
    length: Duration,
    process: &Process,
    make: impl Fn(usize) -> Result<W, Problem> + Sync,
) -> Result<Rate, Problem> {
    let barrier = Barrier::new(threads + 1);
    let (count, took, spent) = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let (make, barrier) = (&make, &barrier);
                scope.spawn(move || {
                    let work = make(thread);
                    barrier.wait();
                    let (mut work, start, mut count) = (work?, Instant::now(), 0_u32);
                    while start.elapsed() < length {
                        work()?;
                        count += 1;
                    }
                    Ok::<_, Problem>(count)
                })
            })
            .collect();
        let before = process.processor_time();
        barrier.wait();
        let start = Instant::now();
        let joined = running.into_iter().map(|thread| thread.join().map_err(|_| Problem::Thread)?);
        let count: u32 = joined.sum::<Result<u32, Problem>>()?;
        Ok::<_, Problem>((f64::from(count), start.elapsed(), process.processor_time()?.saturating_sub(before?)))
    })?;
    Ok(Rate { per_second: count / took.as_secs_f64(), nanos: spent.as_secs_f64() * 1e9 / count.max(1.0) })
}
