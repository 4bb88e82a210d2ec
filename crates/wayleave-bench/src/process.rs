//! What the kernel knows of a process: memory and processor time.

use std::path::PathBuf;
use std::time::Duration;

use crate::problem::Problem;

/// A process, by its directory in `/proc`.
#[derive(Clone, Debug)]
pub(crate) struct Process(PathBuf);

impl Process {
    /// This one.
    pub(crate) fn this() -> Self {
        Self("/proc/self".into())
    }

    pub(crate) fn of_id(id: u32) -> Self {
        Self(format!("/proc/{id}").into())
    }

    /// Resident bytes.
    pub(crate) fn resident(&self) -> Result<u64, Problem> {
        let text = self.read("statm")?;
        let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
        let pages = pages.ok_or(Problem::Defect("/proc/PID/statm has no second number"))?;
        Ok(pages * u64::try_from(rustix::param::page_size()).unwrap_or(4096))
    }

    /// Processor time so far, of all threads, in user and in kernel mode. Counted in hundredths of a second.
    pub(crate) fn processor_time(&self) -> Result<Duration, Problem> {
        let text = self.read("stat")?;
        let ticks = ticks_of(&text).ok_or(Problem::Defect("/proc/PID/stat is not as documented"))?;
        Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    fn read(&self, name: &str) -> Result<String, Problem> {
        let path = self.0.join(name);
        std::fs::read_to_string(&path).map_err(|source| Problem::File { path, source })
    }
}

/// `utime` + `stime`: the 14th and 15th field, where the second one is a name in parentheses that may hold anything.
fn ticks_of(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_no_field() {
        let stat = "7 (a) b (c) 1) S 1 2 3 4 5 6 7 8 9 10 400 50 6 7 20 0";
        assert_eq!(ticks_of(stat), Some(450));
    }

    #[test]
    fn this_process_takes_memory_and_time() {
        let this = Process::this();
        assert!(this.resident().unwrap() > 1_000_000);
        let end = this.processor_time().unwrap() + Duration::from_millis(30);
        while this.processor_time().unwrap() < end {
            std::hint::black_box((0..100_000_u64).sum::<u64>());
        }
    }
}
