//! Changes of what every server keeps in memory beside sessions: how they are made, by handlers and commands alike, so that
//! the other servers on the store hear of them.

use wayleave_core::ports::StoreError;
use wayleave_core::subject::Subject;

use crate::app::App;

/// What a change makes stale on the other servers.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Shared<'a> {
    /// How this subject stands.
    Subject(&'a Subject),
    /// Settings or signing keys.
    Settings,
    /// More than one can name.
    Everything,
}

/// Carries out `write`, which changes `what` in the directory, and its audit entry. Begins when the other servers can hear
/// of it, and tells them also when it failed: the answer may be lost and the change made.
///
/// # Errors
/// That of `write`; the store's when the others cannot be told, and when that is known before, `write` is not begun.
pub async fn change<T, E: From<StoreError>>(
    app: &App,
    what: Shared<'_>,
    write: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    app.manager.may_change().await?;
    let written = write.await;
    let told = match what {
        Shared::Subject(subject) => app.manager.subject_changed(subject).await,
        Shared::Settings => app.manager.settings_changed().await,
        Shared::Everything => app.manager.everything_changed().await,
    };
    let written = written?;
    told?;
    Ok(written)
}
