//! Ending sessions.

use std::sync::Arc;

use wayleave_core::id::SessionId;
use wayleave_core::ports::{Gone, Lookup, Scope, StoreError};
use wayleave_core::record::Record;
use wayleave_core::subject::Subject;
use wayleave_core::token::{RefreshToken, SessionToken};

use super::live::Session;
use super::state::{Made, Notice, State};
use super::{Origin, SessionManager, Shown};
use crate::events::{Cause, What};
use crate::jwt;

/// The sessions that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended(pub Vec<Gone>);

impl SessionManager {
    /// Ends sessions. When this has returned, none of them validates on this node any more.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot say that it ended them.
    pub async fn end(&self, scope: &Scope, cause: Cause, origin: &Origin) -> Result<Ended, StoreError> {
        let (scope, origin) = (scope.clone(), origin.clone());
        let (Scope::One(slot, _) | Scope::Others { slot, .. } | Scope::All { slot, .. } | Scope::Family(slot, _)) =
            scope;
        let change = |state: Arc<State>| async move {
            let gone = state.store.revoke(&scope).await?;
            for gone in &gone {
                state.forget(gone);
                state.publish_gone(What::Revoked(cause), gone, &origin);
            }
            match scope {
                // Somebody who writes to the store beside this node was first; what was in memory here is not known.
                Scope::One(..) | Scope::Family(..) if gone.is_empty() => state.doubt([slot; 2]),
                Scope::One(..) | Scope::Family(..) => {}
                // Also those whose record is gone already, swept in the gap before their activity was written down.
                Scope::Others { slot, .. } | Scope::All { slot, .. } => state.doubt([slot; 2]),
            }
            // Also where nothing was found: what it was to end may still be in another node's memory.
            Ok(Made { outcome: gone, stale: vec![slot] })
        };
        self.state.settle([slot; 2], Notice::First, change).await.map(Ended)
    }

    /// Ends the session with this handle, whoever's it is; `None` when there is none.
    ///
    /// # Errors
    /// As [`Self::end`].
    pub async fn end_one(&self, id: &SessionId, cause: Cause, origin: &Origin) -> Result<Option<Gone>, StoreError> {
        let Ended(gone) = self.end(&Scope::One(self.slot(id), *id), cause, origin).await?;
        Ok(gone.into_iter().next())
    }

    /// Ends the session with this handle if it belongs to `owner`. Somebody else's is left alone and answered like one
    /// that does not exist (R022).
    ///
    /// # Errors
    /// As [`Self::end`].
    pub async fn end_own(
        &self,
        owner: &Subject,
        id: &SessionId,
        cause: Cause,
        origin: &Origin,
    ) -> Result<Option<Gone>, StoreError> {
        let slot = self.slot(id);
        match self.state.store.find(Lookup::Id(slot, *id)).await? {
            // A record's subject never changes, so what was true of it when it was found is true when it ends.
            Some(record) if record.subject.as_ref() == Some(owner) => self.end_one(id, cause, origin).await,
            Some(_) => Ok(None),
            // It may have been ended a moment ago by a change that a failing store could not vouch for: only another one
            // says whether that lasts. Nobody is told, since there is nothing to tell of what was never there.
            None => match self.state.store.revoke(&Scope::One(slot, *id)).await?.is_empty() {
                true => Ok(None),
                false => self.end_one(id, cause, origin).await,
            },
        }
    }

    /// Ends every session of `subject`, or every one but `keep`.
    ///
    /// # Errors
    /// As [`Self::end`].
    pub async fn end_all(
        &self,
        subject: &Subject,
        keep: Option<SessionId>,
        cause: Cause,
        origin: &Origin,
    ) -> Result<Ended, StoreError> {
        let slot = self.routing.slot_of(subject);
        let subject = subject.clone();
        let scope = match keep {
            Some(keep) => Scope::Others { subject, slot, keep },
            None => Scope::All { subject, slot },
        };
        self.end(&scope, cause, origin).await
    }

    /// Signs out: ends `session` and whatever else its lineage has become.
    ///
    /// # Errors
    /// As [`Self::end`].
    pub async fn sign_out(&self, session: &Session, origin: &Origin) -> Result<Ended, StoreError> {
        let record = session.record();
        self.end(&Scope::Family(record.slot, record.family), Cause::SignOut, origin).await
    }

    /// The record that a token belongs to, whether it is an access or a refresh token, current or spent or expired.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    pub async fn behind_token(&self, token: &str) -> Result<Option<Arc<Record>>, StoreError> {
        let lookup = if let Ok(refresh) = RefreshToken::parse(token) {
            Lookup::Refresh(refresh.key(&self.routing))
        } else if let Ok(access) = SessionToken::parse(token) {
            Lookup::Token(access.key(&self.routing))
        } else if let Ok(id) = jwt::session_of(&self.signing_keys(), &self.audience, token, self.clock.now()) {
            Lookup::Id(self.slot(&id), id)
        } else {
            return Ok(None);
        };
        self.state.store.find(lookup).await
    }

    /// Ends the session that a token belongs to, and its lineage (RFC 7009). Unknown tokens end nothing.
    ///
    /// # Errors
    /// As [`Self::end`].
    pub async fn revoke_token(&self, token: &str, cause: Cause, shown: &Shown) -> Result<Ended, StoreError> {
        match self.behind_token(token).await? {
            Some(record) => self.end(&Scope::Family(record.slot, record.family), cause, &shown.origin).await,
            None => Ok(Ended(Vec::new())),
        }
    }
}
