//! What goes wrong, where and for how long.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wayleave_testkit::{Mischief, Way};

use crate::gate::Going;
use crate::history::{Cut, Direction, Trouble};
use crate::node::{Node, Place};
use crate::plan::{Clocks, Faults, TIMING};
use crate::world::World;

/// How long most disturbances last, at most, and how long some do.
const SHORT: Duration = Duration::from_secs(4);
const LONG: Duration = Duration::from_secs(30);

/// Disturbs one place, one way after another, until `stop`.
pub(crate) async fn disturb(world: Arc<World>, place: usize, stop: CancellationToken) {
    let Some(place) = world.places.get(place) else { return };
    let dice = &world.shared.dice;
    loop {
        if !rest(dice.up_to(world.shared.plan.calm), &stop).await {
            return;
        }
        let Some(trouble) = choose(&world) else { continue };
        let number = world.shared.recorder.disturb(place.number, trouble);
        begin(&world, place, trouble);
        let long = dice.chance(20);
        let time = dice.up_to(if long { LONG } else { SHORT });
        rest(time, &stop).await;
        end(&world, place, trouble).await;
        world.shared.recorder.calm(number);
    }
}

async fn rest(time: Duration, stop: &CancellationToken) -> bool {
    tokio::time::timeout_at(Instant::now() + time, stop.cancelled()).await.is_err()
}

fn choose(world: &World) -> Option<Trouble> {
    let dice = &world.shared.dice;
    let direction = || match dice.below(4) {
        0 => Direction::There,
        1 => Direction::Back,
        _ => Direction::Both,
    };
    let cut = || if dice.chance(50) { Cut::Refused } else { Cut::Silent };
    let jumps = world.shared.plan.clocks == Clocks::Jumping;
    if jumps && dice.chance(20) {
        const HOUR: u64 = 3_600_000;
        let most = dice.one(&[2000, 60_000, HOUR]).copied().unwrap_or(HOUR);
        let ahead = i64::try_from(dice.below(most)).unwrap_or(0);
        return Some(Trouble::Jump(if dice.chance(50) { ahead } else { -ahead }));
    }
    let beyond = world.shared.plan.faults == Faults::Beyond;
    if world.shared.plan.faults == Faults::None {
        return None;
    }
    Some(match dice.below(if beyond { 160 } else { 100 }) {
        0..22 => Trouble::Bus(direction(), cut()),
        22..36 => Trouble::Store(cut()),
        36..44 => Trouble::Slow(*dice.one(&SLOWNESS)?),
        44..52 => Trouble::Late(*dice.one(&SLOWNESS)?),
        52..62 => Trouble::AnswersLost(30),
        62..68 => Trouble::ConfirmationsLost(50),
        68..80 => Trouble::Still,
        80..90 => Trouble::Crash,
        90..100 => Trouble::Leave,
        100..125 => Trouble::Lose(1 + u32::try_from(dice.below(4)).unwrap_or(0)),
        _ => Trouble::Disorder,
    })
}

const LEAVING: Duration = Duration::from_millis(1500);
const SLOWNESS: [Duration; 3] = [Duration::from_millis(500), Duration::from_millis(1500), Duration::from_secs(4)];

fn begin(world: &World, place: &Place, trouble: Trouble) {
    let Some(node) = place.node() else { return };
    let way = |cut| match cut {
        Cut::Refused => Way::Refused,
        Cut::Silent => Way::Silent,
    };
    match trouble {
        Trouble::Bus(Direction::There, cut) => node.bus.mouth.set(way(cut)),
        Trouble::Bus(Direction::Back, cut) => node.bus.ear.set(way(cut)),
        Trouble::Bus(Direction::Both, cut) => node.bus.set(way(cut)),
        Trouble::Store(cut) => node.link.set(way(cut)),
        Trouble::Slow(most) => slow(world, &node, most),
        Trouble::Late(most) => node.bus.ear.delay(most),
        Trouble::AnswersLost(percent) => node.link.lose_answers(percent),
        Trouble::ConfirmationsLost(percent) => node.bus.mouth.lose_answers(percent),
        Trouble::Still => node.gate.set(Going::Still),
        Trouble::Crash => place.kill(),
        // So that something is under way when it goes.
        Trouble::Leave => node.link.delay(LEAVING),
        Trouble::Jump(offset) => place.clock.jump(offset),
        Trouble::Lose(messages) => node.bus.suffer(Mischief { lose: messages, ..Mischief::default() }),
        Trouble::Disorder => node.bus.suffer(Mischief { lose: 0, drop: 20, repeat: 20, hold_back: 20 }),
    }
}

fn slow(world: &World, node: &Node, most: Duration) {
    if world.shared.dice.chance(50) {
        node.link.delay(most);
    } else {
        node.bus.delay(most);
    }
}

async fn end(world: &World, place: &Place, trouble: Trouble) {
    match trouble {
        Trouble::Crash => start(world, place),
        Trouble::Leave => {
            place.stop().await;
            start(world, place);
        }
        // The clock stays where it is until it jumps again.
        Trouble::Jump(_) => {}
        // Whatever it had to say, nobody hears it any more.
        _ if world.shared.dice.chance(20) => {
            let crash = world.shared.recorder.disturb(place.number, Trouble::Crash);
            place.kill();
            start(world, place);
            world.shared.recorder.calm(crash);
        }
        _ => {
            if let Some(node) = place.node() {
                node.heal(&world.shared);
            }
        }
    }
}

fn start(world: &World, place: &Place) {
    // Seeded entropy does not fail.
    let _ = place.start(&world.shared);
}

/// How long everything takes to be as it should, once nothing goes wrong any more.
pub(crate) fn recovery() -> Duration {
    TIMING.write + 5 * TIMING.lease
}
