//! How a request passes from one session to another: from a guest to somebody, from a proof to a fresh one, and out.

use std::sync::Arc;

use wayleave::Origin;
use wayleave::events::Cause;
use wayleave::kv::{Handle, Principal, SessionData};
use wayleave_core::authentication::{Authentication, Evidence, Methods};
use wayleave_core::decide::Standing;
use wayleave_core::permission::{Ceiling, Permissions};
use wayleave_core::policy::KindName;
use wayleave_core::ports::StoreError;
use wayleave_core::record::Client;
use wayleave_core::subject::Subject;
use zeroize::Zeroizing;

use super::entries;
use super::sign_in::{Reach, SignIn, SignInError, SignedIn};
use crate::cookies::Lifetime;
use crate::layer::{Backend, Loaded, Nobody, Slot, key_value};
use crate::reject::SessionRejection;

impl Slot {
    pub(super) async fn sign_in(&self, sign_in: SignIn) -> Result<SignedIn, SignInError> {
        let kept = self.kept();
        match &self.shared.backend {
            Backend::Records { kind, .. } => self.sign_in_record(sign_in, kind, kept).await,
            Backend::KeyValue(_) | Backend::Sealed(_) => {
                let (data, permissions) = self.data_for(sign_in, kept).await?;
                self.put(data, permissions).await
            }
        }
    }

    /// What of a guest's data stays.
    fn kept(&self) -> SessionData {
        let state = self.state.lock();
        let is_guest = match &state.loaded {
            Some(Loaded::Nobody(_)) | None => true,
            Some(Loaded::Record { session, .. }) => session.subject().is_none(),
            Some(Loaded::Data { data, .. }) => data.principal().is_none(),
        };
        let mut kept = SessionData::new_at(SessionData::MAX_LIFETIME, self.shared.now());
        if is_guest {
            let data = self.data(&state);
            for key in &self.shared.options.kept_at_sign_in {
                if let Some(value) = data.get(key) {
                    kept.set(key.as_str(), value);
                }
            }
        }
        kept
    }

    async fn sign_in_record(
        &self,
        sign_in: SignIn,
        kind: &KindName,
        kept: SessionData,
    ) -> Result<SignedIn, SignInError> {
        let Backend::Records { manager, .. } = &self.shared.backend else { return Err(SignInError::Refused) };
        let replaces = match &self.state.lock().loaded {
            Some(Loaded::Record { session, .. }) => Some(session.id()),
            Some(Loaded::Nobody(_) | Loaded::Data { .. }) | None => None,
        };
        let evidence = self.testify(&sign_in, Ceiling::Only(sign_in.permissions.clone())).await?;
        let open = wayleave::Open {
            remember: sign_in.remember,
            client: Client { label: sign_in.label, ..Client::default() },
            replaces,
            ..self.open(kind, entries(&kept)?)
        };
        let opened = manager.open(evidence, open, &Origin::default()).await?;
        self.go_on(opened).await
    }

    /// The evidence that the application's word is worth.
    async fn testify(&self, sign_in: &SignIn, ceiling: Ceiling) -> Result<Evidence, SignInError> {
        let Backend::Records { authority, .. } = &self.shared.backend else { return Err(SignInError::Refused) };
        let now = self.shared.now();
        let epoch = match sign_in.epoch {
            Some(epoch) => epoch,
            None => self.shared.options.subjects.standing(&sign_in.subject).await?.epoch,
        };
        let prover = authority.prover(sign_in.method, sign_in.level, sign_in.subject.namespace());
        let evidence = prover.testify(sign_in.subject.clone(), epoch, now).map_err(|_| SignInError::Refused)?;
        Ok(evidence.limited_to(&ceiling))
    }

    /// Goes on with a record that was opened for somebody.
    async fn go_on(&self, opened: wayleave::Opened) -> Result<SignedIn, SignInError> {
        let token = match self.shared.cookies {
            Some(_) => None,
            None => Some(Zeroizing::new(opened.issued.access.as_str().to_owned())),
        };
        let (expires_at, evicted) = (opened.record.absolute_expires_at, opened.evicted.len());
        {
            // Whatever the request showed, also if it was not honoured: the client has another one from now on.
            if let Some(shown) = self.shown() {
                self.shared.note_replaced(&shown);
            }
            let mut state = self.state.lock();
            state.no_store = true;
            state.changes.clear();
            state.loaded = Some(Loaded::Nobody(Nobody::left()));
        }
        self.adopt(opened).await?;
        self.forget_visitor();
        Ok(SignedIn { token, expires_at, evicted })
    }

    /// How the subject stands, and the epoch of the proof; refused where it may not sign in.
    async fn admit(&self, sign_in: &SignIn) -> Result<(Standing, u64), SignInError> {
        let standing = self.shared.options.subjects.standing(&sign_in.subject).await?;
        let epoch = sign_in.epoch.unwrap_or(standing.epoch);
        if !standing.is_active(self.shared.now()) || epoch < standing.epoch {
            return Err(SignInError::Refused);
        }
        Ok((standing, epoch))
    }

    /// New data for the subject.
    async fn data_for(&self, sign_in: SignIn, kept: SessionData) -> Result<(SessionData, Permissions), SignInError> {
        let now = self.shared.now();
        let (standing, epoch) = self.admit(&sign_in).await?;
        let generation = match &self.shared.backend {
            Backend::Sealed(cookies) => match cookies.revocations() {
                Some(revocations) => revocations.generation(&sign_in.subject).await?,
                None => 0,
            },
            Backend::Records { .. } | Backend::KeyValue(_) => 0,
        };
        let permissions = sign_in.permissions.under(&standing.ceiling);
        let principal = Principal {
            subject: sign_in.subject,
            permissions: sign_in.permissions,
            authentication: Authentication { methods: Methods::only(sign_in.method), at: now, level: sign_in.level },
            epoch,
            generation,
            remembered: sign_in.remember,
        };
        let mut data = SessionData::restored(now, now);
        for (key, value) in kept.iter() {
            data.set(key, value);
        }
        data.set_principal(Some(principal));
        data.set_schema(self.shared.options.schema.version);
        Ok((data, permissions))
    }

    /// Puts data in the place of whatever the request had, under a new name. The old one ends before the new one is there:
    /// if that fails, less is left than before, and never more.
    async fn put(&self, mut data: SessionData, permissions: Permissions) -> Result<SignedIn, SignInError> {
        let now = self.shared.now();
        let end = self.shared.absolute_end(&data);
        data.set_handle(Some(Handle(self.shared.random().map_err(SessionRejection::from)?)));
        data.extend_at(self.shared.idle(&data).min(end.since(now)), now);
        let (id, lifetime) = match &self.shared.backend {
            Backend::KeyValue(store) => {
                let credential = key_value::credential(&self.shared).map_err(SessionRejection::from)?;
                data.check().map_err(SessionRejection::from)?;
                self.end_shown().await?;
                store.save(&self.key(&credential), data.clone()).await.map_err(SessionRejection::from)?;
                (credential, end.since(now))
            }
            Backend::Sealed(cookies) => {
                let sealed = cookies.encrypt(&data).map_err(SessionRejection::from)?;
                self.end_shown().await?;
                (Zeroizing::new(sealed), data.expires_at().since(now))
            }
            Backend::Records { .. } => return Err(SignInError::Refused),
        };
        let token = if self.shared.cookies.is_some() { None } else { Some(id.clone()) };
        {
            let mut state = self.state.lock();
            state.no_store = true;
            self.set_session_cookie(&mut state, &id, Lifetime::For(lifetime))?;
            state.changes.clear();
            state.renew = false;
            state.loaded = Some(Loaded::Data { data: Arc::new(data), permissions, id });
        }
        self.forget_visitor();
        Ok(SignedIn { token, expires_at: end, evicted: 0 })
    }

    pub(super) async fn prove_again(&self, sign_in: SignIn) -> Result<SignedIn, SignInError> {
        self.save().await?;
        if self.subject().as_ref() != Some(&sign_in.subject) {
            return Err(SignInError::SomebodyElse);
        }
        match &self.shared.backend {
            Backend::Records { manager, .. } => {
                let session = match &self.state.lock().loaded {
                    Some(Loaded::Record { session, .. }) => session.clone(),
                    Some(Loaded::Nobody(_) | Loaded::Data { .. }) | None => return Err(SignInError::SomebodyElse),
                };
                // What was granted at the sign-in stays granted, and nothing is added.
                let evidence = self.testify(&sign_in, Ceiling::Any).await?;
                let known = &session.record().client;
                let client = Client { label: sign_in.label.clone().or_else(|| known.label.clone()), ..known.clone() };
                let freshness = wayleave::Freshness { refreshable: false, client };
                let opened = manager.reauthenticate(&session, evidence, freshness, &Origin::default()).await?;
                self.go_on(opened).await
            }
            Backend::KeyValue(_) | Backend::Sealed(_) => {
                let (_, epoch) = self.admit(&sign_in).await?;
                let mut data = self.newest().await?.ok_or(SignInError::Refused)?;
                let permissions = match &self.state.lock().loaded {
                    Some(Loaded::Data { permissions, .. }) => permissions.clone(),
                    Some(Loaded::Nobody(_) | Loaded::Record { .. }) | None => return Err(SignInError::SomebodyElse),
                };
                let renewed = data.principal().cloned().map(|principal| Principal {
                    authentication: Authentication {
                        methods: Methods::only(sign_in.method),
                        at: self.shared.now(),
                        level: sign_in.level,
                    },
                    epoch,
                    ..principal
                });
                data.set_principal(renewed);
                self.put(data.at_revision(None), permissions).await
            }
        }
    }

    /// The session's data as it is now; none when it has ended since the request read it.
    async fn newest(&self) -> Result<Option<SessionData>, SignInError> {
        let Some(credential) = self.shown() else { return Ok(None) };
        if self.shared.was_replaced(&credential) {
            return Ok(None);
        }
        Ok(match &self.shared.backend {
            Backend::KeyValue(store) => store.load(&self.key(&credential)).await?,
            Backend::Sealed(cookies) => wayleave::kv::SessionStore::load(&**cookies, &credential).await?,
            Backend::Records { .. } => None,
        })
    }

    pub(crate) fn subject(&self) -> Option<Subject> {
        match &self.state.lock().loaded {
            Some(Loaded::Record { session, .. }) => session.subject().cloned(),
            Some(Loaded::Data { data, .. }) => data.principal().map(|principal| principal.subject.clone()),
            Some(Loaded::Nobody(_)) | None => None,
        }
    }

    /// The credential that the request goes on with, or else the one that it showed.
    fn shown(&self) -> Option<Zeroizing<String>> {
        match &self.state.lock().loaded {
            Some(Loaded::Data { id, .. }) => Some(id.clone()),
            Some(Loaded::Record { token, .. }) => Some(token.clone()),
            Some(Loaded::Nobody(nobody)) => nobody.shown.clone(),
            None => None,
        }
    }

    /// Ends whatever the request showed, also what was not honoured: a copy of it must not be good tomorrow.
    pub(super) async fn end_shown(&self) -> Result<(), StoreError> {
        let Some(credential) = self.shown() else { return Ok(()) };
        self.shared.note_replaced(&credential);
        match &self.shared.backend {
            Backend::KeyValue(store) => store.delete(&self.key(&credential)).await,
            Backend::Sealed(cookies) => wayleave::kv::SessionStore::delete(&**cookies, &credential).await,
            Backend::Records { manager, .. } => {
                let session = match &self.state.lock().loaded {
                    Some(Loaded::Record { session, .. }) => Some(session.clone()),
                    Some(Loaded::Nobody(_) | Loaded::Data { .. }) | None => None,
                };
                match session {
                    // With whatever its lineage has become since.
                    Some(session) => manager.sign_out(&session, &Origin::default()).await.map(drop),
                    None => {
                        manager.revoke_token(&credential, Cause::SignOut, &wayleave::Shown::default()).await.map(drop)
                    }
                }
            }
        }
    }

    pub(super) async fn end_all(&self) -> Result<Reach, SessionRejection> {
        let Some(subject) = self.subject() else { return Ok(Reach::HereAlone) };
        match &self.shared.backend {
            Backend::Records { manager, .. } => {
                manager.end_all(&subject, None, Cause::SignOut, &Origin::default()).await?;
                Ok(Reach::Everywhere)
            }
            Backend::Sealed(cookies) => match cookies.revocations() {
                Some(revocations) => {
                    revocations.end_generation(&subject).await?;
                    Ok(Reach::Everywhere)
                }
                None => Ok(Reach::HereAlone),
            },
            Backend::KeyValue(_) => Ok(Reach::HereAlone),
        }
    }

    /// Nobody is here any more: the answer takes every cookie of ours along.
    pub(super) fn leave(&self) {
        let mut state = self.state.lock();
        state.loaded = Some(Loaded::Nobody(Nobody::left()));
        state.changes.clear();
        state.renew = false;
        state.clear_cache = true;
        if let Some(cookies) = &self.shared.cookies {
            state.set_cookie(cookies.session.removal());
            state.set_cookie(cookies.csrf.removal());
        }
        drop(state);
        self.forget_visitor();
    }

    /// CSRF tokens of the time before are good no more.
    fn forget_visitor(&self) {
        let mut state = self.state.lock();
        if state.brought.visitor.take().is_some()
            && let Some(cookies) = &self.shared.cookies
        {
            state.set_cookie(cookies.visitor.removal());
        }
    }
}
