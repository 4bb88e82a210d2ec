//! The way from one node to something outside it, with what can go wrong on the way.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use wayleave_core::ports::StoreError;

use crate::dice::Dice;

/// How a link is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum Way {
    /// Everything passes.
    #[default]
    Open,
    /// Nothing passes, and who tries is told so.
    Refused,
    /// Nothing passes, and nobody is told anything: a cable that was pulled.
    Silent,
}

/// One link. Everything that passes takes a random time up to its delay; things overtake each other.
#[derive(Debug)]
pub struct Link {
    dice: Arc<Dice>,
    way: watch::Sender<Way>,
    delay: Mutex<Duration>,
    /// In how many of 100 cases something arrives and its answer gets lost.
    answers_lost: Mutex<u64>,
}

impl Link {
    /// An open one, without delay.
    #[must_use]
    pub fn new(dice: Arc<Dice>) -> Self {
        let way = watch::Sender::new(Way::Open);
        Self { dice, way, delay: Mutex::default(), answers_lost: Mutex::default() }
    }

    /// From now on it is like this.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// How it is.
    #[must_use]
    pub fn way(&self) -> Way {
        *self.way.borrow()
    }

    /// From now on everything takes up to this long, there and back each.
    pub fn delay(&self, most: Duration) {
        *self.delay.lock() = most;
    }

    /// From now on so many of 100 answers get lost.
    pub fn lose_answers(&self, percent: u64) {
        *self.answers_lost.lock() = percent;
    }

    /// Whether something happens that happens in `percent` of 100 cases. No dice are thrown where it never does.
    #[must_use]
    pub fn chance(&self, percent: u64) -> bool {
        percent > 0 && self.dice.chance(percent)
    }

    /// A random time that passing takes.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.dice.up_to(*self.delay.lock())
    }

    /// Passes once.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where it is refused.
    pub async fn pass(&self) -> Result<(), StoreError> {
        let time = self.time();
        if !time.is_zero() {
            tokio::time::sleep_until(tokio::time::Instant::now() + time).await;
        }
        let mut way = self.way.subscribe();
        loop {
            match *way.borrow_and_update() {
                Way::Open => return Ok(()),
                Way::Refused => return Err(StoreError::unavailable("the link is down")),
                Way::Silent => {}
            }
            // The sender lives as long as `self`.
            let _ = way.changed().await;
        }
    }

    /// Waits until it is open.
    pub(crate) async fn open(&self) -> Result<(), StoreError> {
        let mut way = self.way.subscribe();
        way.wait_for(|way| *way == Way::Open).await.map(drop).map_err(StoreError::unavailable)
    }

    /// Waits until it is refused.
    pub(crate) async fn refused(&self) {
        let mut way = self.way.subscribe();
        let _ = way.wait_for(|way| *way == Way::Refused).await;
    }

    /// Carries `call` there and its answer back.
    ///
    /// # Errors
    /// That of `call`, and [`StoreError::Unavailable`] where the way is refused or the answer got lost.
    pub async fn carry<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.pass().await?;
        let lost = *self.answers_lost.lock();
        let lost = self.chance(lost);
        let answer = call.await?;
        self.pass().await?;
        if lost { Err(StoreError::unavailable("the answer got lost")) } else { Ok(answer) }
    }
}
