//! Three servers under load while servers, stores and the bus break: no wrong answer, and nothing that was acknowledged is
//! lost or comes back.

use std::sync::Arc;
use std::time::Duration;

use super::bus_cut::Cut;
use super::fleet::{Fleet, SERVERS, Sessions, Setup};
use super::load::{Running, pass};

const PEOPLE: usize = 6;
/// Longer than a server may answer from memory without hearing of the others.
const PAST_A_LEASE: Duration = Duration::from_millis(2500);
/// The server behind the cut.
const CUT: usize = 1;

/// What breaks.
#[derive(Copy, Clone, Debug)]
enum Fault {
    /// A server is killed, and started again.
    ServerKilled(usize),
    /// A server is stopped past its lease, and goes on.
    ServerFrozen(usize),
    /// The database crashes, and is started again.
    DatabaseCrashed,
    /// A server does not hear the others any more, past its lease; its way to the store is as ever.
    BusCut(Cut),
    /// The master of a hash slot dies, its replica takes over, and it comes back as that one's replica.
    MasterKilled(u16),
}

impl Fault {
    /// Whether some requests cannot be answered meanwhile.
    const fn interrupts(self) -> bool {
        matches!(self, Self::ServerKilled(_) | Self::DatabaseCrashed | Self::MasterKilled(_))
    }

    async fn strike(self, fleet: &mut Fleet) {
        match self {
            Self::ServerKilled(which) => {
                fleet.servers[which].kill_now();
                pass(Duration::from_millis(300)).await;
                fleet.restart(which).await;
            }
            Self::ServerFrozen(which) => {
                fleet.servers[which].signal("STOP");
                pass(PAST_A_LEASE).await;
                fleet.servers[which].signal("CONT");
            }
            Self::DatabaseCrashed => {
                fleet.postgres.crash().unwrap();
                pass(Duration::from_millis(500)).await;
                fleet.postgres.start().unwrap();
            }
            Self::BusCut(cut) => {
                let way = fleet.way.as_ref().unwrap();
                assert!(way.buses() > 0, "there is no bus to cut");
                way.cut(cut);
                pass(PAST_A_LEASE).await;
                assert!(!fleet.servers[CUT].is_well().await, "a server that hears nobody answers from memory");
                way.cut(Cut::Whole);
            }
            Self::MasterKilled(slot) => {
                let cluster = Arc::clone(fleet.cluster.as_ref().unwrap());
                let killed = tokio::task::spawn_blocking(move || {
                    let (lost, replica) = cluster.shard_of(slot).unwrap();
                    lost.crash().unwrap();
                    // Not before: a master without a disk that starts anew is empty, and its replica would follow it in
                    // that.
                    while !replica.cli(&["INFO", "replication"]).unwrap().contains("role:master") {}
                    lost.start().unwrap();
                });
                killed.await.unwrap();
            }
        }
    }
}

#[allow(clippy::print_stderr, reason = "what a fault costs")]
async fn survive(sessions: Sessions, faults: &[Fault]) {
    let mut fleet = Fleet::start_as(Setup {
        people: PEOPLE,
        own_postgres: faults.iter().any(|fault| matches!(fault, Fault::DatabaseCrashed)),
        behind_a_cut: faults.iter().any(|fault| matches!(fault, Fault::BusCut(_))).then_some(CUT),
        ..Setup::new(sessions, "strict")
    })
    .await;
    let running = Running::start(fleet.servers.iter().map(|server| server.address).collect(), PEOPLE);
    for fault in faults {
        pass(Duration::from_secs(1)).await;
        let (answered, refused) = (running.answered(), running.refused());
        fault.strike(&mut fleet).await;
        let (answered, refused) = (running.answered() - answered, running.refused() - refused);
        eprintln!("{fault:?}: {answered} requests answered meanwhile, {refused} not");
    }
    for server in &fleet.servers {
        server.ready().await;
    }
    // A while longer, and until something was proved, however busy the machine is.
    let before = running.answered();
    pass(Duration::from_secs(2)).await;
    while running.answered() < before + 200 {
        pass(Duration::from_millis(50)).await;
    }
    assert!(running.refused() > 0 || !faults.iter().any(|fault| fault.interrupts()), "nothing broke");
    running.stop().await.check().await;
}

/// A41: a kill, a stop past the lease, a crash of the database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_comes_back() {
    survive(Sessions::Postgres, &[Fault::ServerKilled(1), Fault::DatabaseCrashed, Fault::ServerFrozen(2)]).await;
}

/// A41: the same over and over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: run by `cargo xtask test --deep`"]
async fn nothing_is_lost_and_nothing_comes_back_in_thirty_faults() {
    let faults: Vec<_> = (0..10)
        .flat_map(|round| {
            let of = |number: usize| (round + number) % SERVERS;
            [Fault::ServerKilled(of(0)), Fault::ServerFrozen(of(1)), Fault::DatabaseCrashed]
        })
        .collect();
    survive(Sessions::Postgres, &faults).await;
}

/// R018, R168: a server that is cut off the bus, and off nothing else, honours nothing that another has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_hear_the_others_on_postgres_asks_the_store() {
    survive(Sessions::Postgres, &[Fault::BusCut(Cut::Silent), Fault::BusCut(Cut::Broken)]).await;
}

/// R018, R168: the same on Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_hear_the_others_on_redis_asks_the_store() {
    survive(Sessions::Redis, &[Fault::BusCut(Cut::Silent), Fault::BusCut(Cut::Broken)]).await;
}

/// R064, R168: with a replica that acknowledges, nothing is lost with a master, and nothing comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_of_a_cluster_that_dies_takes_nothing_along() {
    survive(Sessions::RedisCluster, &[Fault::MasterKilled(0)]).await;
}

/// R064, R168: master after master, and servers in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: run by `cargo xtask test --deep`"]
async fn masters_of_a_cluster_that_die_one_after_another_take_nothing_along() {
    let faults: Vec<_> = (0..3)
        .flat_map(|round| {
            let of = |number: usize| (round + number) % SERVERS;
            [
                Fault::MasterKilled(0),
                Fault::ServerKilled(of(0)),
                Fault::MasterKilled(8_000),
                Fault::ServerFrozen(of(1)),
                Fault::MasterKilled(16_000),
            ]
        })
        .collect();
    survive(Sessions::RedisCluster, &faults).await;
}
