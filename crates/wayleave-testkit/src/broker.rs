//! A message broker in memory: one order for all who listen, over links that can fail.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use wayleave_core::ports::{Bus, Listener, MAX_BUS_MESSAGE, StoreError};

use crate::dice::Dice;
use crate::link::{Link, Way};

/// Hands every message to everybody who listens, in one order.
#[derive(Debug, Default)]
pub struct Broker {
    listeners: Mutex<Vec<Connection>>,
}

#[derive(Debug)]
struct Connection {
    messages: mpsc::UnboundedSender<(Instant, Box<[u8]>)>,
    link: Arc<Link>,
    last: Instant,
    /// To go after the next one.
    held: Option<Box<[u8]>>,
    mischief: Arc<Mutex<Mischief>>,
}

/// What may become of messages to one node beyond what a bus may do.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Mischief {
    /// So many are lost, from now on, although the connection stays.
    pub lose: u32,
    /// So many of 100 are lost in the same way.
    pub drop: u64,
    /// So many of 100 arrive twice.
    pub repeat: u64,
    /// So many of 100 are overtaken by those behind them.
    pub hold_back: u64,
}

impl Broker {
    fn publish(&self, message: &[u8]) {
        let mut listeners = self.listeners.lock();
        listeners.retain_mut(|connection| {
            let mut mischief = connection.mischief.lock();
            if mischief.lose > 0 {
                mischief.lose -= 1;
                return true;
            }
            let Mischief { lose: _, drop: dropped, repeat, hold_back } = *mischief;
            drop(mischief);
            if connection.link.chance(dropped) {
                return true;
            }
            connection.hand_over(message, hold_back)
                && (!connection.link.chance(repeat) || connection.hand_over(message, 0))
        });
    }
}

impl Connection {
    /// Sends a message, or holds it back until the next one has gone. Whether anybody still listens.
    fn hand_over(&mut self, message: &[u8], hold_back: u64) -> bool {
        // One connection keeps its order, however long each message takes.
        self.last = self.last.max(Instant::now() + self.link.time());
        let held = self.held.take();
        if held.is_none() && self.link.chance(hold_back) {
            self.held = Some(message.into());
            return !self.messages.is_closed();
        }
        let mut all = std::iter::once(message.into()).chain(held);
        all.all(|message| self.messages.send((self.last, message)).is_ok())
    }
}

/// What one node has of a [`Broker`].
#[derive(Debug)]
pub struct NodeBus {
    broker: Arc<Broker>,
    /// The way of what it says.
    pub mouth: Arc<Link>,
    /// The way of what it hears.
    pub ear: Arc<Link>,
    mischief: Arc<Mutex<Mischief>>,
}

impl NodeBus {
    /// A node's, over links of its own.
    #[must_use]
    pub fn new(broker: Arc<Broker>, dice: &Arc<Dice>) -> Self {
        let link = || Arc::new(Link::new(Arc::clone(dice)));
        Self { broker, mouth: link(), ear: link(), mischief: Arc::default() }
    }

    /// Both links are like this from now on.
    pub fn set(&self, way: Way) {
        self.mouth.set(way);
        self.ear.set(way);
    }

    /// Everything takes up to this long.
    pub fn delay(&self, most: Duration) {
        self.mouth.delay(most);
        self.ear.delay(most);
    }

    /// The next messages to this node are lost although its connection stays: more than a bus may do.
    pub fn lose(&self, messages: u32) {
        self.mischief.lock().lose = messages;
    }

    /// From now on messages to this node suffer this.
    pub fn suffer(&self, mischief: Mischief) {
        *self.mischief.lock() = mischief;
    }
}

#[async_trait]
impl Bus for NodeBus {
    async fn publish(&self, message: &[u8]) -> Result<(), StoreError> {
        if message.len() > MAX_BUS_MESSAGE {
            return Err(StoreError::Full);
        }
        self.mouth
            .carry(async {
                self.broker.publish(message);
                Ok(())
            })
            .await
    }

    async fn listen(&self) -> Result<Box<dyn Listener>, StoreError> {
        let (sender, messages) = mpsc::unbounded_channel();
        self.ear
            .carry(async {
                let connection = Connection {
                    messages: sender,
                    link: Arc::clone(&self.ear),
                    last: Instant::now(),
                    held: None,
                    mischief: Arc::clone(&self.mischief),
                };
                self.broker.listeners.lock().push(connection);
                Ok(())
            })
            .await?;
        Ok(Box::new(Ear { messages: Some(messages), next: None, link: Arc::clone(&self.ear) }))
    }
}

struct Ear {
    /// None once the connection is lost.
    messages: Option<mpsc::UnboundedReceiver<(Instant, Box<[u8]>)>>,
    /// On the way.
    next: Option<(Instant, Box<[u8]>)>,
    link: Arc<Link>,
}

#[async_trait]
impl Listener for Ear {
    async fn next(&mut self) -> Result<Box<[u8]>, StoreError> {
        let lost = || StoreError::unavailable("the connection is lost");
        let messages = self.messages.as_mut().ok_or_else(lost)?;
        let arrived = async {
            if self.next.is_none() {
                self.next = messages.recv().await;
            }
            match &self.next {
                Some((at, _)) => tokio::time::sleep_until(*at).await,
                None => return Err(lost()),
            }
            // While the cable is out, messages wait in it.
            self.link.open().await
        };
        let broken = self.link.refused();
        let outcome = tokio::select! {
            biased;
            () = broken => Err(lost()),
            outcome = arrived => outcome,
        };
        if outcome.is_err() {
            self.messages = None;
        }
        outcome?;
        self.next.take().map(|(_, message)| message).ok_or_else(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> (NodeBus, NodeBus) {
        let (broker, dice) = (Arc::new(Broker::default()), Arc::new(Dice::new(1)));
        (NodeBus::new(Arc::clone(&broker), &dice), NodeBus::new(broker, &dice))
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_hears_everything_in_one_order() {
        let (one, other) = world();
        one.delay(Duration::from_millis(50));
        other.delay(Duration::from_millis(50));
        let (mut first, mut second) = (one.listen().await.unwrap(), other.listen().await.unwrap());
        let says = |bus: &NodeBus, from: u8| {
            let messages: Vec<[u8; 1]> = (from..from + 20).map(|n| [n]).collect();
            let (mouth, broker) = (Arc::clone(&bus.mouth), Arc::clone(&bus.broker));
            async move {
                for message in messages {
                    mouth.pass().await.unwrap();
                    broker.publish(&message);
                }
            }
        };
        tokio::join!(says(&one, 0), says(&other, 100));
        let mut heard = (Vec::new(), Vec::new());
        for _ in 0..40 {
            heard.0.push(first.next().await.unwrap());
            heard.1.push(second.next().await.unwrap());
        }
        assert_eq!(heard.0, heard.1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_stays_lost_and_a_silent_one_waits() {
        let (one, other) = world();
        let mut listener = other.listen().await.unwrap();
        other.ear.set(Way::Silent);
        one.publish(b"a").await.unwrap();
        let waited = tokio::time::timeout(Duration::from_secs(1), listener.next()).await;
        assert!(waited.is_err());
        other.ear.set(Way::Open);
        assert_eq!(&*listener.next().await.unwrap(), b"a");
        other.ear.set(Way::Refused);
        assert!(listener.next().await.is_err());
        other.ear.set(Way::Open);
        one.publish(b"b").await.unwrap();
        assert!(listener.next().await.is_err());
        other.lose(1);
        let mut again = other.listen().await.unwrap();
        one.publish(b"c").await.unwrap();
        one.publish(b"d").await.unwrap();
        assert_eq!(&*again.next().await.unwrap(), b"d");
    }

    #[tokio::test(start_paused = true)]
    async fn messages_come_twice_or_are_overtaken_where_that_is_asked_for() {
        let (one, other) = world();
        let heard = async |mischief| {
            other.suffer(mischief);
            let mut listener = other.listen().await.unwrap();
            for message in [b"a", b"b", b"c"] {
                one.publish(message).await.unwrap();
            }
            let mut heard = String::new();
            while let Ok(message) = tokio::time::timeout(Duration::from_secs(1), listener.next()).await {
                heard.push(char::from(message.unwrap()[0]));
            }
            heard
        };
        assert_eq!(heard(Mischief { repeat: 100, ..Mischief::default() }).await, "aabbcc");
        assert_eq!(heard(Mischief { hold_back: 100, ..Mischief::default() }).await, "ba");
        assert_eq!(heard(Mischief { drop: 100, ..Mischief::default() }).await, "");
        assert_eq!(heard(Mischief::default()).await, "abc");
    }
}
