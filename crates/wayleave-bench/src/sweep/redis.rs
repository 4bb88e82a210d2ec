//! Redis with a million ended sessions, put there by the store itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use wayleave::SystemEntropy;
use wayleave_conformance::fixtures::{BASE, person, record, routing};
use wayleave_core::ports::{Insert, SessionStore as _};
use wayleave_core::seal::{KeyId, KeyRing, SealingKey};
use wayleave_redis::{Options, RedisStore, Servers};
use wayleave_testkit::servers::postgres::{Database, Postgres};
use wayleave_testkit::servers::redis::Redis;

use super::{Amounts, Store};
use crate::problem::Problem;
use crate::report::count;

/// Insertions at once.
const AT_ONCE: u32 = 64;
/// Longer than those sessions are over, so that Redis does not let them expire by itself.
const KEPT: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A server of its own, and PostgreSQL for what is not a session.
pub(super) struct Filled {
    redis: Redis,
    directory: Database,
    runtime: Runtime,
    amounts: Amounts,
}

impl Filled {
    pub(super) fn start(amounts: Amounts) -> Result<Self, Problem> {
        let start = || {
            let directory = Postgres::private()?.database()?;
            let runtime = Runtime::new()?;
            Ok(Self { redis: Redis::private(&[])?, directory, runtime, amounts })
        };
        start().map_err(broken)
    }

    fn run(&self, command: &[&str]) -> Result<String, Problem> {
        self.redis.node().cli(command).map_err(broken)
    }

    async fn store(&self) -> Result<Arc<RedisStore>, Problem> {
        let ring = KeyRing::new(SealingKey::new(KeyId(1), [3; 32]), []);
        let ring = ring.map_err(|_| Problem::Defect("one key is a duplicate"))?;
        let servers = Servers::single(self.redis.url());
        let options = Options::new(servers, Arc::new(ring), Arc::new(routing()), Arc::new(SystemEntropy));
        Ok(Arc::new(RedisStore::open(Options { kept_after_end: KEPT, ..options }).await?))
    }

    async fn insert(&self) -> Result<(), Problem> {
        let store = self.store().await?;
        let ended = u32::try_from(self.amounts.redis_ended).unwrap_or(u32::MAX);
        let mut running = JoinSet::new();
        for first in 0..AT_ONCE {
            let store = Arc::clone(&store);
            running.spawn(async move {
                for number in (first..ended).step_by(AT_ONCE as usize) {
                    let record = record(number).of(&person(number)).build();
                    let Insert::Done { .. } = store.insert(&record, None, None, BASE).await? else {
                        return Err(Problem::Defect("a session that nobody has is there already"));
                    };
                }
                Ok::<_, Problem>(())
            });
        }
        while let Some(done) = running.join_next().await {
            done.map_err(|_| Problem::Thread)??;
        }
        Ok(())
    }

    fn keys(&self) -> Result<usize, Problem> {
        self.run(&["DBSIZE"])?.parse().map_err(|_| Problem::Defect("DBSIZE is a number"))
    }
}

impl Store for Filled {
    fn name(&self) -> String {
        format!("Redis, {} sessions", count(self.amounts.redis_ended))
    }

    fn url(&self) -> String {
        self.redis.url()
    }

    fn settings(&self) -> Vec<String> {
        vec![format!("store.directory={}", self.directory.url())]
    }

    fn fill(&self) -> Result<(), Problem> {
        self.runtime.block_on(self.insert())?;
        // As many others, of about the same size.
        let others = format!(
            "for n = 1, {} do redis.call('HSET', 'other:' .. n, 'a', string.rep('x', 300), 'b', n) end",
            self.amounts.redis_ended
        );
        self.run(&["CONFIG", "SET", "busy-reply-threshold", "600000"])?;
        self.run(&["EVAL", &others, "0"]).map(drop)
    }

    fn ended(&self) -> usize {
        self.amounts.redis_ended
    }

    fn is_swept(&self) -> Result<bool, Problem> {
        // What is left are the sessions that are validated, with their indexes and tokens.
        Ok(self.keys()? < self.amounts.validated * 4 + 2_000)
    }

    fn unrelated(&self) -> Result<(), Problem> {
        let step = "for n = ARGV[1], ARGV[1] + 999 do redis.call('DEL', 'other:' .. n) end";
        (1..=self.amounts.redis_ended)
            .step_by(1000)
            .try_for_each(|first| self.run(&["EVAL", step, "0", &first.to_string()]).map(drop))
    }
}

fn broken(source: std::io::Error) -> Problem {
    Problem::Program { name: "redis-server", source }
}
