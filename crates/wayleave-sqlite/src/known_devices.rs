//! Devices that signed in to an account before.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::ports::{AccountId, KnownDevice, KnownDevices, StoreError};
use wayleave_core::time::Timestamp;

use crate::error::failed;
use crate::store::SqliteStore;
use crate::writer::Write;

/// Most devices of one account, whatever a caller asks for.
const MOST: u32 = 1000;

const KNOWS: &str = "SELECT 1 FROM known_devices WHERE account = ?1 AND key = ?2 AND expires_at > ?3";
const DROP: &str = "DELETE FROM known_devices WHERE account = ?1 AND (key = ?2 OR key = ?3 OR expires_at <= ?4)";
const INSERT: &str = "INSERT INTO known_devices (account, key, expires_at) VALUES (?1, ?2, ?3)";
const DROP_SURPLUS: &str = "DELETE FROM known_devices WHERE number IN \
     (SELECT number FROM known_devices WHERE account = ?1 ORDER BY number DESC LIMIT -1 OFFSET ?2)";
pub(crate) const SWEEP: &str = "DELETE FROM known_devices WHERE number IN \
     (SELECT number FROM known_devices WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)";
const FORGET: &str = "DELETE FROM known_devices WHERE account = ?1";

#[async_trait]
impl KnownDevices for SqliteStore {
    async fn remember(
        &self,
        account: &AccountId,
        device: &KnownDevice,
        replaces: Option<[u8; 32]>,
        most: u32,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (account, device) = (account.clone(), device.clone());
        self.write(Remember { account, device, replaces, most: most.min(MOST), now }).await
    }

    async fn knows(&self, account: &AccountId, key: [u8; 32], now: Timestamp) -> Result<bool, StoreError> {
        let query = sqlx::query(KNOWS).bind(account.as_str()).bind(key.to_vec()).bind(now.as_millis());
        Ok(self.read_one(query).await?.is_some())
    }

    async fn forget_all(&self, account: &AccountId) -> Result<(), StoreError> {
        self.write(Forget(account.clone())).await
    }
}

struct Remember {
    account: AccountId,
    device: KnownDevice,
    replaces: Option<[u8; 32]>,
    most: u32,
    now: Timestamp,
}

#[async_trait]
impl Write for Remember {
    type Output = ();

    async fn run(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let Self { account, device: KnownDevice { key, expires_at }, replaces, most, now } = self;
        let account = account.as_str();
        let drop = sqlx::query(DROP)
            .bind(account)
            .bind(key.to_vec())
            .bind(replaces.map(|key| key.to_vec()))
            .bind(now.as_millis());
        drop.execute(&mut *connection).await.map_err(failed)?;
        let insert = sqlx::query(INSERT).bind(account).bind(key.to_vec()).bind(expires_at.as_millis());
        insert.execute(&mut *connection).await.map_err(failed)?;
        sqlx::query(DROP_SURPLUS).bind(account).bind(*most).execute(connection).await.map_err(failed)?;
        Ok(())
    }
}

struct Forget(AccountId);

#[async_trait]
impl Write for Forget {
    type Output = ();

    async fn run(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        sqlx::query(FORGET).bind(self.0.as_str()).execute(connection).await.map_err(failed)?;
        Ok(())
    }
}
