//! Speaking and listening.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wayleave_core::ports::Listener;

use super::message::{Message, News};
use super::{Cluster, Stale};

/// Between two attempts to reach a bus that does not answer: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

impl Cluster {
    /// Speaks and listens until `stop`, then says goodbye. `forget` is told what memory must drop.
    pub(crate) async fn run(&self, forget: impl Fn(&Stale), stop: CancellationToken) {
        let deaf = stop.child_token();
        tokio::join!(self.speak(stop), async {
            tokio::select! {
                biased;
                () = deaf.cancelled() => {}
                () = self.listen(&forget, &deaf) => {}
            }
            self.stop_listening();
            forget(&Stale::EVERYTHING);
        });
    }

    async fn speak(&self, stop: CancellationToken) {
        loop {
            let occasion = tokio::time::timeout(self.timing.beat, self.news.notified());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = occasion => {}
            }
            if !self.say(&stop).await {
                break;
            }
        }
        {
            let mut state = self.state.lock();
            // First of all: nobody waits for the lease of who said goodbye.
            self.give_up_lease(&mut state);
            // What waits goes out with it. Who does not hear it waits until our lease is over.
            let harmless = !state.changed;
            state.draft.add(News { bye: true, harmless, ..News::default() });
        }
        let Ok((message, waiting, sent)) = self.compose() else { return };
        let bytes = message.to_bytes(&self.key);
        if let Ok(Ok(())) = tokio::time::timeout(self.timing.lease, self.bus.publish(&bytes)).await {
            self.confirmed(message.sequence, sent, waiting);
        }
    }

    /// Says what there is to say, and tries until the bus has it. False when it is to stop.
    async fn say(&self, stop: &CancellationToken) -> bool {
        let (message, waiting, sent) = match self.compose() {
            Ok(composed) => composed,
            Err(error) => {
                tracing::error!(%error, "nothing can be said to the other nodes");
                return tokio::time::timeout(LONGEST_PAUSE, stop.cancelled()).await.is_err();
            }
        };
        let Message { sequence, .. } = message;
        let bytes = message.to_bytes(&self.key);
        let mut pause = FIRST_PAUSE;
        loop {
            let published = tokio::time::timeout(self.timing.lease, self.bus.publish(&bytes)).await;
            match published {
                Ok(Ok(())) => {
                    self.confirmed(sequence, sent, waiting);
                    return true;
                }
                // It may have gone out all the same. The same message once more is nothing new to anybody.
                Ok(Err(error)) => tracing::warn!(%error, "the bus does not take what the other nodes must hear"),
                Err(_) => tracing::warn!("the bus does not confirm what the other nodes must hear"),
            }
            if tokio::time::timeout(pause, stop.cancelled()).await.is_ok() {
                return false;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn listen(&self, forget: &impl Fn(&Stale), stop: &CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            match tokio::time::timeout(self.timing.lease, self.bus.listen()).await {
                Ok(Ok(listener)) => {
                    pause = FIRST_PAUSE;
                    // What was heard of before this moment may be stale; what is filled in from now on is not.
                    forget(&Stale::EVERYTHING);
                    self.begin_listening();
                    self.doubt_settings();
                    self.news.notify_one();
                    self.hear(listener, forget).await;
                }
                Ok(Err(error)) => tracing::warn!(%error, "the bus of the other nodes cannot be heard"),
                Err(_) => tracing::warn!("the bus of the other nodes does not answer"),
            }
            self.stop_listening();
            forget(&Stale::EVERYTHING);
            if tokio::time::timeout(pause, stop.cancelled()).await.is_ok() {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Acts on what is said until the connection is lost.
    async fn hear(&self, mut listener: Box<dyn Listener>, forget: &impl Fn(&Stale)) {
        let mut look = tokio::time::interval(self.timing.beat);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = look.tick() => {
                    if self.look_round() {
                        tracing::warn!("a node fell silent");
                        forget(&Stale::EVERYTHING);
                        self.doubt_settings();
                    }
                    if self.is_deaf() {
                        tracing::warn!("the bus takes what this node says, but nothing comes back");
                        return;
                    }
                }
                message = listener.next() => match message {
                    Ok(bytes) => {
                        let (message, stale) = self.read(&bytes);
                        forget(&stale);
                        if stale.settings {
                            self.doubt_settings();
                        }
                        if let Some(message) = message {
                            self.acted(&message);
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the bus of the other nodes was lost");
                        return;
                    }
                },
            }
        }
    }
}
