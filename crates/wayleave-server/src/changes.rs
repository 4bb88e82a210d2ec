//! How a running server learns that another process changed its store: a setting that every such change counts up.

use std::sync::Arc;

use wayleave_core::ports::{SetSetting, Settings, StoreError};
use wayleave_core::record::Revision;

/// The setting's name.
const NAME: &str = "changes";

/// Says that something was changed: after every command that changes sessions, accounts, keys or settings while a
/// server may be running.
///
/// # Errors
/// [`StoreError`] when the store cannot answer.
pub async fn announce(settings: &dyn Settings) -> Result<(), StoreError> {
    loop {
        let revision = settings.get(NAME).await?.map(|setting| setting.revision);
        match settings.set(NAME, b"", revision).await? {
            SetSetting::Done(_) => return Ok(()),
            SetSetting::Conflict => {}
        }
    }
}

/// Something was changed. To be handed back to [`Watch::note`]; until then it is announced again.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Announcement(Option<Revision>);

/// Notices what others announced.
pub struct Watch {
    settings: Arc<dyn Settings>,
    seen: Option<Revision>,
}

impl Watch {
    /// Notices what is announced from now on.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    pub async fn start(settings: Arc<dyn Settings>) -> Result<Self, StoreError> {
        let seen = settings.get(NAME).await?.map(|setting| setting.revision);
        Ok(Self { settings, seen })
    }

    /// What was announced since it was last taken note of; nothing when nothing was.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    pub async fn announced(&self) -> Result<Option<Announcement>, StoreError> {
        let now = self.settings.get(NAME).await?.map(|setting| setting.revision);
        Ok((now != self.seen).then_some(Announcement(now)))
    }

    /// Takes note of an announcement, once what follows from it has been done.
    pub fn note(&mut self, Announcement(revision): Announcement) {
        self.seen = revision;
    }
}

#[cfg(test)]
mod tests {
    use wayleave_core::memory::{DirectoryLimits, MemoryDirectory};
    use wayleave_testkit::FakeClock;

    use super::*;

    /// R168: what was announced stays announced until somebody has acted on it.
    #[tokio::test]
    async fn an_announcement_stands_until_it_is_noted() {
        let directory = MemoryDirectory::new(DirectoryLimits::default(), Arc::new(FakeClock::default()));
        let settings: Arc<dyn Settings> = Arc::new(directory);
        let mut watch = Watch::start(Arc::clone(&settings)).await.unwrap();
        assert_eq!(watch.announced().await.unwrap(), None);
        announce(&*settings).await.unwrap();
        let announcement = watch.announced().await.unwrap().unwrap();
        assert_eq!(watch.announced().await.unwrap(), Some(announcement));
        watch.note(announcement);
        assert_eq!(watch.announced().await.unwrap(), None);
    }
}
