//! The bus: how the nodes of one deployment tell each other what changed.

use async_trait::async_trait;

use super::StoreError;

/// Carries short messages between nodes. What they mean, and whether they are genuine, is for those who read them.
///
/// All listeners of a bus hear messages in one and the same order, the sender's own included; leases rest on that. A
/// bus may lose messages only by losing a listener's connection, and says so to that listener.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Hands a message to everybody who listens. When this has returned, the broker has it.
    ///
    /// # Errors
    /// [`StoreError::Full`] for a message of more than [`MAX_BUS_MESSAGE`] bytes; [`StoreError::Unavailable`] when the
    /// broker did not confirm it, although it may have it.
    async fn publish(&self, message: &[u8]) -> Result<(), StoreError>;

    /// Begins to listen. Everything that is published once this has returned arrives, until the connection is lost.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the broker cannot be reached.
    async fn listen(&self) -> Result<Box<dyn Listener>, StoreError>;
}

/// One connection that hears what is published.
#[async_trait]
pub trait Listener: Send {
    /// The next message. Dropping the future loses none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the connection was lost, and messages with it perhaps; from then on always. It
    /// never connects anew by itself, because that would hide the loss.
    async fn next(&mut self) -> Result<Box<[u8]>, StoreError>;
}

/// The most bytes of one message: what fits into a PostgreSQL notification when written as base64.
pub const MAX_BUS_MESSAGE: usize = 5_900;
