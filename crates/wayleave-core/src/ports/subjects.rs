//! How subjects stand: asked at every validation that is not answered from memory.

use async_trait::async_trait;

use super::StoreError;
use crate::decide::Standing;
use crate::subject::Subject;

/// Knows every subject's standing.
#[async_trait]
pub trait Subjects: Send + Sync {
    /// How `subject` stands right now. A subject that does not exist any more is not active.
    async fn standing(&self, subject: &Subject) -> Result<Standing, StoreError>;
}
