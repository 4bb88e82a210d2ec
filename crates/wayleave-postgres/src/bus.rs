//! The bus: LISTEN and NOTIFY, which hand all listeners of a database one order, that of the commits.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use wayleave_core::ports::{Bus, Listener, MAX_BUS_MESSAGE, StoreError};

use crate::error::{Refused, failed};
use crate::pool::Effect;
use crate::statement::Statement;
use crate::store::PostgresStore;

const NOTIFY: &str = "SELECT pg_notify($1, $2)";
/// How long a connection may be silent before the server is asked for a sign of life: a broken network says nothing.
const SILENCE: Duration = Duration::from_secs(5);

#[async_trait]
impl Bus for PostgresStore {
    async fn publish(&self, message: &[u8]) -> Result<(), StoreError> {
        if message.len() > MAX_BUS_MESSAGE {
            return Err(StoreError::Full);
        }
        let notify = Statement::new(NOTIFY).bind(&*self.options.namespace).bind(STANDARD.encode(message));
        self.publishing.run(Effect::Writes, &notify).await?.map(drop).map_err(failed)
    }

    async fn listen(&self) -> Result<Box<dyn Listener>, StoreError> {
        let patience = self.options.acquire_timeout;
        // A connection of its own: the driver wants it in a pool.
        let pool = PgPoolOptions::new().max_connections(1).min_connections(0).max_lifetime(None).idle_timeout(None);
        let pool = pool.acquire_timeout(patience).connect_lazy_with(self.server.clone());
        let connect = async {
            let mut connection = PgListener::connect_with(&pool).await?;
            connection.eager_reconnect(false);
            connection.listen(&self.options.namespace).await?;
            Ok(connection)
        };
        let connection = timeout(patience, connect).await.map_err(|_| Refused::NoConnection)?.map_err(failed)?;
        let mut silence = interval(SILENCE);
        silence.set_missed_tick_behavior(MissedTickBehavior::Delay);
        silence.reset();
        Ok(Box::new(Connected { connection: Some(connection), silence, patience: self.options.statement_timeout }))
    }
}

/// A connection that listens; none once it is lost, so that it is never made anew.
struct Connected {
    connection: Option<PgListener>,
    silence: Interval,
    patience: Duration,
}

#[async_trait]
impl Listener for Connected {
    async fn next(&mut self) -> Result<Box<[u8]>, StoreError> {
        let Self { connection: held, silence, patience } = self;
        let Some(connection) = held else {
            return Err(Refused::Lost.into());
        };
        let error = loop {
            let received = tokio::select! {
                biased;
                received = connection.try_recv() => received,
                _ = silence.tick() => {
                    let alive = sqlx::query("SELECT 1").execute(&mut *connection);
                    match timeout(*patience, alive).await {
                        Ok(Ok(_)) => continue,
                        Ok(Err(error)) => Err(error),
                        Err(_) => break Refused::NoAnswer.into(),
                    }
                }
            };
            match received {
                Ok(Some(message)) => {
                    silence.reset();
                    match STANDARD.decode(message.payload()) {
                        Ok(message) if message.len() <= MAX_BUS_MESSAGE => return Ok(message.into()),
                        // No node said it, and it may stand for what one did.
                        Ok(_) => break Refused::Lost.into(),
                        Err(_) => tracing::warn!("left a notification out that is none of ours"),
                    }
                    continue;
                }
                Ok(None) => break Refused::Lost.into(),
                Err(error) => break StoreError::unavailable(error),
            }
        };
        *held = None;
        Err(error)
    }
}
