//! An open loop: requests begin at fixed times, whether or not those before were answered, and each one's latency counts
//! from when it should have begun. A server that stops for a second is asked two thousand times meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::http::{Client, Request, Server};
use crate::measure::nanos;
use crate::problem::Problem;

const PER_SECOND: u32 = 2_000;
/// Connections, each with a thread that sleeps until its next request is due.
const CONNECTIONS: u32 = 64;
const VALIDATE: &str = "/api/auth/sessions/validate";

/// Validations over HTTP at a fixed rate.
#[derive(Copy, Clone)]
pub(super) struct OpenLoop<'a> {
    pub(super) server: &'a Server,
    /// Of live sessions, asked about in turn.
    pub(super) tokens: &'a [String],
}

/// How long requests took, shortest first.
pub(super) struct Latencies(Vec<Duration>);

impl Latencies {
    fn new(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Self(all)
    }

    /// What so great a part of the requests took at most, in nanoseconds.
    pub(super) fn at(&self, part: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a length")]
        let rank = (last as f64 * part).round() as usize;
        self.0.get(rank).copied().map_or(f64::NAN, nanos)
    }
}

impl OpenLoop<'_> {
    /// Asks about every session once, so that the server has it in memory.
    pub(super) fn warm(&self) -> Result<(), Problem> {
        let mut client = self.server.connect()?;
        self.tokens.iter().try_for_each(|token| validate(&mut client, token))
    }

    /// Asks until `over`.
    pub(super) fn run(&self, over: &AtomicBool) -> Result<Latencies, Problem> {
        let period = Duration::from_secs(1) / PER_SECOND;
        let clients = (0..CONNECTIONS).map(|_| self.server.connect()).collect::<Result<Vec<_>, _>>()?;
        let start = Instant::now();
        let all = std::thread::scope(|scope| {
            let running: Vec<_> = (0..CONNECTIONS)
                .zip(clients)
                .map(|(first, mut client)| {
                    scope.spawn(move || {
                        let mut taken = Vec::new();
                        let mut tokens = self.tokens.iter().cycle().skip(first as usize);
                        let mut due = start + period * first;
                        while !over.load(Ordering::Relaxed) {
                            std::thread::sleep(due.saturating_duration_since(Instant::now()));
                            let token = tokens.next().ok_or(Problem::Defect("there are no sessions to ask about"))?;
                            validate(&mut client, token)?;
                            taken.push(due.elapsed());
                            due += period * CONNECTIONS;
                        }
                        Ok::<_, Problem>(taken)
                    })
                })
                .collect();
            let taken = running.into_iter().map(|thread| thread.join().map_err(|_| Problem::Thread)?);
            taken.collect::<Result<Vec<_>, _>>()
        })?;
        Ok(Latencies::new(all.concat()))
    }
}

fn validate(client: &mut Client, token: &str) -> Result<(), Problem> {
    let headers = [("authorization", format!("Bearer {token}"))];
    client.ask(&Request { method: "GET", path: VALIDATE, headers: &headers, body: None }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_requests() {
        let latencies = Latencies::new((1..=101).rev().map(Duration::from_nanos).collect());
        assert_eq!([0.5, 0.99, 1.0].map(|part| latencies.at(part)), [51.0, 100.0, 101.0]);
        assert!(Latencies::new(Vec::new()).at(0.5).is_nan());
    }
}
