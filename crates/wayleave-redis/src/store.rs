//! The store itself, and opening it.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use wayleave_core::ports::StoreError;
use wayleave_core::routing::RoutingKey;
use wayleave_core::stored::Sealing;

use crate::error::OpenError;
use crate::keys::{Keys, Place};
use crate::link::{Call, Link};
use crate::options::Options;
use crate::scripts::Script;

/// Sessions, tickets and the bus in Redis. Implements [`wayleave_core::ports::SessionStore`] and
/// [`wayleave_core::ports::Bus`].
///
/// To be put into an [`Arc`] and handed out as `dyn` ports. Nodes of several versions may use one server at a time.
pub struct RedisStore {
    pub(crate) link: Link,
    pub(crate) keys: Keys,
    pub(crate) sealing: Sealing,
    pub(crate) routing: Arc<RoutingKey>,
    pub(crate) kept_after_end: Duration,
}

impl RedisStore {
    /// Connects to the servers, and looks whether they are set up as the store needs it.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed then.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        Ok(Self {
            keys: Keys::new(&options.prefix)?,
            link: Link::open(&options).await?,
            sealing: Sealing::new(options.sealing, options.entropy),
            routing: options.routing,
            kept_after_end: options.kept_after_end,
        })
    }

    /// Runs a script where `place` is.
    pub(crate) async fn at(
        &self,
        place: Place,
        script: &'static Script,
        arguments: Vec<Vec<u8>>,
    ) -> Result<Value, StoreError> {
        let keys = vec![self.keys.base(place)];
        self.link.call(place, Call { script, keys, arguments }).await
    }
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}
