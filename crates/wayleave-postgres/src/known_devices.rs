//! Devices that signed in to an account before.

use async_trait::async_trait;
use wayleave_core::ports::{AccountId, KnownDevice, KnownDevices, StoreError};
use wayleave_core::time::Timestamp;

use crate::statement::Statement;
use crate::store::PostgresStore;

/// Most devices of one account, whatever a caller asks for.
const MOST: u32 = 1000;

pub(crate) const KNOWS: &str = "SELECT 1 FROM known_devices WHERE account = $1 AND key = $2 AND expires_at > $3";
const REMEMBER: &str = "SELECT device_remember($1, $2, $3, $4, $5, $6, $7)";
const FORGET: &str = "SELECT devices_forget($1, $2)";

#[async_trait]
impl KnownDevices for PostgresStore {
    async fn remember(
        &self,
        account: &AccountId,
        device: &KnownDevice,
        replaces: Option<[u8; 32]>,
        most: u32,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let KnownDevice { key, expires_at } = device;
        let remember = Statement::new(REMEMBER)
            .bind(self.devices.0)
            .bind(account.as_str())
            .bind(*key)
            .bind(expires_at.as_millis())
            .bind(replaces)
            .bind(i64::from(most.min(MOST)))
            .bind(now.as_millis());
        self.write(&remember).await.map(drop)
    }

    async fn knows(&self, account: &AccountId, key: [u8; 32], now: Timestamp) -> Result<bool, StoreError> {
        let knows = Statement::new(KNOWS).bind(account.as_str()).bind(key).bind(now.as_millis());
        Ok(self.read_one(&knows).await?.is_some())
    }

    async fn forget_all(&self, account: &AccountId) -> Result<(), StoreError> {
        self.write(&Statement::new(FORGET).bind(self.devices.0).bind(account.as_str())).await.map(drop)
    }
}
