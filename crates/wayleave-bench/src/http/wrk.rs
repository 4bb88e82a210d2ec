//! The load generator: Debian's `wrk`, and what it prints.

use std::process::Command;

use crate::problem::Problem;

const NAME: &str = "wrk";
/// One thread and 32 connections: enough to keep a server of two cores busy from one of them.
const LOAD: [&str; 3] = ["-t1", "-c32", "--latency"];

/// A header of every request of a load.
pub(crate) struct Header(String);

impl Header {
    pub(crate) fn cookie(cookie: &str) -> Self {
        Self(format!("Cookie: {cookie}"))
    }

    pub(crate) fn bearer(token: &str) -> Self {
        Self(format!("Authorization: Bearer {token}"))
    }
}

/// What became of a load.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    /// What 99 of 100 requests took at most, in microseconds.
    pub(crate) p99_micros: f64,
    /// Answers other than 2xx and 3xx, and broken connections.
    pub(crate) failed: u64,
}

/// Whether there is one.
pub(crate) fn find() -> Result<(), Problem> {
    match Command::new(NAME).arg("--version").output() {
        Ok(_) => Ok(()),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Err(Problem::Missing { name: NAME }),
        Err(source) => Err(Problem::Program { name: NAME, source }),
    }
}

/// Asks for `url` as often as possible.
pub(crate) fn run(url: &str, header: Option<&Header>, seconds: u32) -> Result<Load, Problem> {
    let mut command = Command::new(NAME);
    command.args(LOAD).arg(format!("-d{seconds}s"));
    if let Some(Header(header)) = header {
        command.args(["-H", header]);
    }
    let output = command.arg(url).output().map_err(|source| Problem::Program { name: NAME, source })?;
    let text = String::from_utf8_lossy(&output.stdout);
    read(&text).ok_or_else(|| Problem::Failed { name: NAME, said: format!("{text}{output:?}").into() })
}

fn read(text: &str) -> Option<Load> {
    let line = |mark: &str| text.lines().find(|line| line.contains(mark)).map(str::trim);
    let last = |line: &str| line.rsplit(' ').next().map(str::to_owned);
    let requests = line(" requests in ")?.split(' ').next()?.parse().ok()?;
    let per_second = last(line("Requests/sec:")?)?.parse().ok()?;
    // Deviations are written in percent, too.
    let p99_micros = micros(&last(text.lines().map(str::trim).find(|line| line.starts_with("99%"))?)?)?;
    let refused: u64 = line("Non-2xx or 3xx responses:").map_or(Some(0), |line| last(line)?.parse().ok())?;
    let broken = line("Socket errors:").map_or(0, |line| {
        let numbers = line.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok());
        numbers.sum()
    });
    Some(Load { requests, per_second, p99_micros, failed: refused + broken })
}

/// A length of time as `wrk` writes it: `87.00us`, `1.24ms`, `2.00s`.
fn micros(text: &str) -> Option<f64> {
    let (number, factor) = [("us", 1.0), ("ms", 1e3), ("s", 1e6)]
        .into_iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: &str = "\
Running 2s test @ http://127.0.0.1:8080/healthz
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   210.13us  120.50us   5.11ms   97.99%
    Req/Sec   140.21k     5.10k  150.00k    70.00%
  Latency Distribution
     50%  198.00us
     75%  240.00us
     90%  301.00us
     99%    1.24ms
  280420 requests in 2.00s, 60.10MB read
Requests/sec: 140210.55
Transfer/sec:     30.05MB
";

    #[test]
    fn what_it_prints_is_read() {
        assert_eq!(
            read(QUIET),
            Some(Load { requests: 280_420, per_second: 140_210.55, p99_micros: 1240.0, failed: 0 })
        );
        assert_eq!(read("unable to connect to 127.0.0.1:1 Connection refused"), None);
    }

    #[test]
    fn failures_are_counted() {
        let text = QUIET.replace(
            "Requests/sec:",
            "  Socket errors: connect 1, read 2, write 0, timeout 4\n  Non-2xx or 3xx responses: 100\nRequests/sec:",
        );
        assert_eq!(read(&text).map(|load| load.failed), Some(107));
    }
}
