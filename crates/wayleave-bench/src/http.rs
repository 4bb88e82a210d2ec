//! Validation over HTTP: paired rounds of `wrk` against a plain route and the session route of one real server.

mod client;
mod server;
mod wrk;

use crate::arguments::ServerBinary;
use crate::measure::Samples;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::report::{Row, grouped};

pub(crate) use server::{Server, binary, sign_in};

use wrk::Header;

const PLAIN: &str = "/healthz";
const VALIDATE: &str = "/api/auth/sessions/validate";
/// The least part of the plain route's throughput.
const LEAST_THROUGHPUT: f64 = 0.93;
/// The most that validation may cost beyond the plain route, in microseconds of the server's processor time.
const MOST_MICROS: f64 = 0.8;

/// All rows.
pub(crate) fn rows(plan: Plan, server: &ServerBinary) -> Result<Vec<Row>, Problem> {
    wrk::find()?;
    let binary = binary(server)?;
    let mut rows = Vec::new();
    for store in plan.http_stores {
        let server = Server::start(&binary, store, &[])?;
        let person = "ann@example.org";
        server.register(person)?;
        let cookie = Header::cookie(&server.sign_in_with_cookie(person)?);
        let bearer = Header::bearer(&server.sign_in(person)?.session_token);
        let name = store.split(':').next().unwrap_or(store);
        let loads = [
            ("validate, cookie", VALIDATE, &cookie, Judged::Yes),
            ("validate, bearer", VALIDATE, &bearer, Judged::Yes),
            ("plain route that is sent the cookie", PLAIN, &cookie, Judged::No),
        ];
        for (what, path, header, judged) in loads {
            let rounds = pairs(plan, &server, path, header)?;
            rows.extend(two_rows(&format!("{name}: {what}"), &rounds, judged));
        }
    }
    Ok(rows)
}

/// Whether a load has a target.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Judged {
    Yes,
    No,
}

/// A plain round and the one right after it.
struct Pair {
    plain: Round,
    other: Round,
}

struct Round {
    per_second: f64,
    /// Processor time of the server for each request, in microseconds.
    micros: f64,
}

fn pairs(plan: Plan, server: &Server, path: &str, header: &Header) -> Result<Vec<Pair>, Problem> {
    // Nobody counts the first second of either.
    for (path, header) in [(PLAIN, None), (path, Some(header))] {
        round(server, path, header, 1)?;
    }
    (0..plan.http_rounds)
        .map(|_| {
            let plain = round(server, PLAIN, None, plan.http_seconds)?;
            let other = round(server, path, Some(header), plan.http_seconds)?;
            Ok(Pair { plain, other })
        })
        .collect()
}

fn round(server: &Server, path: &str, header: Option<&Header>, seconds: u32) -> Result<Round, Problem> {
    let before = server.process().processor_time()?;
    let load = wrk::run(&server.url(path), header, seconds)?;
    let spent = server.process().processor_time()?.saturating_sub(before);
    if load.failed > 0 || load.requests == 0 {
        return Err(Problem::Load { failed: load.failed, all: load.requests });
    }
    Ok(Round { per_second: load.per_second, micros: spent.as_secs_f64() * 1e6 / load.requests as f64 })
}

fn two_rows(what: &str, rounds: &[Pair], judged: Judged) -> [Row; 2] {
    let samples = |of: fn(&Pair) -> f64| Samples::new(rounds.iter().map(of).collect());
    let ratio = samples(|pair| pair.other.per_second / pair.plain.per_second);
    let (plain, other) = (samples(|pair| pair.plain.per_second), samples(|pair| pair.other.per_second));
    let throughput = Row::new(format!("{what}: throughput"), format!("{} /s", grouped(other.median())))
        .against(format!("`{PLAIN}`, {} /s", grouped(plain.median())), ratio.median())
        .spread(&ratio);
    let more = samples(|pair| pair.other.micros - pair.plain.micros);
    let (plain, other) = (samples(|pair| pair.plain.micros), samples(|pair| pair.other.micros));
    let (least, most) = more.range();
    let result = format!("{:+.2} µs ({least:+.2} to {most:+.2})", more.median());
    let processor = Row::new(format!("{what}: server's processor time beyond the plain route"), result)
        .against(format!("`{PLAIN}`, {:.2} µs", plain.median()), other.median() / plain.median());
    match judged {
        Judged::Yes => [
            throughput.target("at least 0.93", ratio.median() >= LEAST_THROUGHPUT),
            processor.target("at most 0.8 µs more", more.median() <= MOST_MICROS),
        ],
        Judged::No => [throughput, processor],
    }
}
