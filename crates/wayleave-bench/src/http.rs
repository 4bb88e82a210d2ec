//! Validation over HTTP: paired rounds of `wrk` against a plain route and the session route of one real server.

mod bare;
pub(crate) mod client;
pub(crate) mod head;
mod server;
pub(crate) mod wrk;

use crate::arguments::ServerBinary;
use crate::measure::Samples;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::report::{Row, grouped};

pub(crate) use bare::serve as serve_bare;
pub(crate) use client::{Client, Request};
pub(crate) use server::{Server, binary, sign_in};

pub(crate) use wrk::Header;

pub(crate) const PLAIN: &str = "/healthz";
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
    let bare = Server::bare()?;
    for (position, store) in plan.http_stores.iter().enumerate() {
        let server = Server::start(&binary, store, &[])?;
        let person = Person::on(&server)?;
        let name = store.split(':').next().unwrap_or(store);
        let plain = Load { server: &server, path: PLAIN, header: None };
        if position == 0 {
            let rounds = pairs(plan, Load { server: &bare, ..plain }, plain)?;
            rows.extend(two_rows("plain route of the server", "bare axum", &rounds, Judged::No));
        }
        let sent = ("plain route that is sent the cookie", Load { header: Some(&person.cookie), ..plain }, Judged::No);
        let validations = person.validations(&server).into_iter().map(|(what, load)| (what, load, Judged::Yes));
        for (what, load, judged) in [sent].into_iter().chain(validations) {
            let rounds = pairs(plan, plain, load)?;
            rows.extend(two_rows(&format!("{name}: {what}"), "the plain route", &rounds, judged));
        }
    }
    Ok(rows)
}

/// Somebody who is signed in to a server twice: as a browser is, and as a program is.
pub(crate) struct Person {
    cookie: Header,
    bearer: Header,
}

impl Person {
    pub(crate) fn on(server: &Server) -> Result<Self, Problem> {
        let person = "ann@example.org";
        server.register(person)?;
        let cookie = Header::cookie(&server.sign_in_with_cookie(person)?);
        Ok(Self { cookie, bearer: Header::bearer(&server.sign_in(person)?.session_token) })
    }

    /// What validates a session, and what it is called.
    pub(crate) fn validations<'a>(&'a self, server: &'a Server) -> [(&'static str, Load<'a>); 2] {
        let load = |header| Load { server, path: VALIDATE, header: Some(header) };
        [("validate, cookie", load(&self.cookie)), ("validate, bearer", load(&self.bearer))]
    }
}

/// What is asked of whom.
#[derive(Copy, Clone)]
pub(crate) struct Load<'a> {
    pub(crate) server: &'a Server,
    pub(crate) path: &'a str,
    pub(crate) header: Option<&'a Header>,
}

/// Whether a load has a target.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) enum Judged {
    Yes,
    No,
}

/// A plain round and the one right after it.
pub(crate) struct Pair {
    pub(crate) plain: Round,
    pub(crate) other: Round,
}

pub(crate) struct Round {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    /// What 99 of 100 requests took at most, in microseconds.
    pub(crate) p99_micros: f64,
    /// Processor time of the server for each request, in microseconds.
    micros: f64,
}

pub(crate) fn pairs(plan: Plan, plain: Load<'_>, other: Load<'_>) -> Result<Vec<Pair>, Problem> {
    // Nobody counts the first second of either.
    for load in [plain, other] {
        round(load, 1)?;
    }
    (0..plan.http_rounds)
        .map(|_| Ok(Pair { plain: round(plain, plan.http_seconds)?, other: round(other, plan.http_seconds)? }))
        .collect()
}

pub(crate) fn round(load: Load<'_>, seconds: u32) -> Result<Round, Problem> {
    let Load { server, path, header } = load;
    let before = server.process().processor_time()?;
    let done = wrk::run(&server.url(path), header, seconds)?;
    let spent = server.process().processor_time()?.saturating_sub(before);
    if done.failed > 0 || done.requests == 0 {
        return Err(Problem::Load { failed: done.failed, all: done.requests });
    }
    Ok(Round {
        requests: done.requests,
        per_second: done.per_second,
        p99_micros: done.p99_micros,
        micros: spent.as_secs_f64() * 1e6 / done.requests as f64,
    })
}

pub(crate) fn two_rows(what: &str, against: &str, rounds: &[Pair], judged: Judged) -> [Row; 2] {
    let samples = |of: fn(&Pair) -> f64| Samples::new(rounds.iter().map(of).collect());
    let ratio = samples(|pair| pair.other.per_second / pair.plain.per_second);
    let (plain, other) = (samples(|pair| pair.plain.per_second), samples(|pair| pair.other.per_second));
    let throughput = Row::new(format!("{what}: throughput"), format!("{} /s", grouped(other.median())))
        .against(format!("{against}, {} /s", grouped(plain.median())), ratio.median())
        .spread(&ratio);
    let more = samples(|pair| pair.other.micros - pair.plain.micros);
    let (plain, other) = (samples(|pair| pair.plain.micros), samples(|pair| pair.other.micros));
    let (least, most) = more.range();
    let result = format!("{:+.2} µs ({least:+.2} to {most:+.2})", more.median());
    let processor = Row::new(format!("{what}: processor time beyond {against}"), result)
        .against(format!("{against}, {:.2} µs", plain.median()), other.median() / plain.median());
    match judged {
        Judged::Yes => [
            throughput.target("at least 0.93", ratio.median() >= LEAST_THROUGHPUT),
            processor.target("at most 0.8 µs more", more.median() <= MOST_MICROS),
        ],
        Judged::No => [throughput, processor],
    }
}
