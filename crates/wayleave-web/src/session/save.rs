//! Saving what a request changed.

use std::convert::Infallible;
use std::sync::Arc;

use wayleave::kv::{Handle, SaveError, SessionData, UpdateError, update};
use wayleave::{Open, Opened, Origin};
use wayleave_core::permission::Permissions;
use wayleave_core::policy::KindName;
use wayleave_core::record::Client;
use zeroize::Zeroizing;

use super::{Unsaved, entries};
use crate::cookies::Lifetime;
use crate::layer::{Backend, Change, Loaded, Nobody, Slot, State, key_value, schema_of, set_schema};
use crate::reject::SessionRejection;

impl Slot {
    /// The data of the session as it would be saved now.
    pub(crate) fn data(&self, state: &State) -> SessionData {
        let now = self.shared.now();
        let mut data = match &state.loaded {
            Some(Loaded::Data { data, .. }) => (**data).clone(),
            Some(Loaded::Record { session, .. }) => {
                let record = session.record();
                let mut data = SessionData::restored(record.created_at, record.absolute_expires_at);
                for (key, value) in record.data.iter() {
                    if let Ok(value) = std::str::from_utf8(value) {
                        data.set(key, value);
                    }
                }
                data
            }
            Some(Loaded::Nobody(_)) | None => SessionData::new_at(self.shared.options.lifetimes.guest, now),
        };
        for (key, change) in &state.changes {
            data.apply((key.clone(), change.value.clone()));
        }
        data.set_schema(self.shared.options.schema.version);
        data.extend_at(self.shared.idle(&data).min(self.shared.absolute_end(&data).since(now)), now);
        data
    }

    /// Saves what was changed since the last time.
    pub(crate) async fn save(&self) -> Result<(), SessionRejection> {
        let (changes, renew) = {
            let state = self.state.lock();
            (state.unsaved(), state.renew)
        };
        if changes.is_empty() && !renew {
            return Ok(());
        }
        if matches!(&self.state.lock().loaded, Some(Loaded::Nobody(Nobody { replaced: true, .. }))) {
            // The session ended while the request was under way, and what it changed ends with it: another one would
            // take the place of the client's new one.
            return Ok(());
        }
        match &self.shared.backend {
            Backend::Records { .. } => self.save_record(&changes).await?,
            Backend::KeyValue(_) => self.save_key_value(&changes).await?,
            Backend::Sealed(_) => self.save_sealed()?,
        }
        let mut state = self.state.lock();
        state.renew = false;
        for Unsaved { change: (key, value), .. } in changes {
            // Unless it was changed again meanwhile.
            if let Some(change) = state.changes.get_mut(&key)
                && change.value == value
            {
                change.saved = true;
            }
        }
        Ok(())
    }

    async fn save_record(&self, changes: &[Unsaved]) -> Result<(), SessionRejection> {
        let Backend::Records { manager, guest, .. } = &self.shared.backend else { return Ok(()) };
        let version = self.shared.options.schema.version;
        let held = match &self.state.lock().loaded {
            Some(Loaded::Record { session, .. }) => Some(session.record().clone()),
            Some(Loaded::Nobody(_) | Loaded::Data { .. }) | None => None,
        };
        if let Some(record) = held {
            let changed = manager.change(&record, |record| {
                let is_current = schema_of(&record.context) == version;
                for Unsaved { change: (key, value), migrated } in changes {
                    if *migrated && is_current {
                        continue;
                    }
                    match value {
                        Some(value) => drop(record.data.set(key, value.as_bytes())?),
                        None => drop(record.data.remove(key)),
                    }
                }
                if schema_of(&record.context) != version {
                    set_schema(&mut record.context, version);
                }
                Ok(())
            });
            return match changed.await {
                // It ended while the request went on: what it changed ends with it.
                Ok(_) | Err(wayleave::UpdateError::Gone) => Ok(()),
                Err(wayleave::UpdateError::Refused(wayleave_core::entries::TooLarge)) => {
                    Err(SaveError::from(wayleave::kv::TooLarge::Bytes { by: 1 }).into())
                }
                Err(wayleave::UpdateError::Contended) => Err(SaveError::Conflict.into()),
                Err(wayleave::UpdateError::Store(error)) => Err(error.into()),
            };
        }
        if changes.iter().all(|unsaved| unsaved.change.1.is_none()) {
            return Ok(());
        }
        if self.shared.cookies.is_none() {
            return Err(SessionRejection::NoCarrier);
        }
        let data = self.data(&self.state.lock());
        let open = self.open(guest, entries(&data)?);
        let opened = manager.open_guest(open, &Origin::default()).await.map_err(unopened)?;
        self.adopt(opened).await
    }

    /// What a new record should be.
    pub(crate) fn open(&self, kind: &KindName, data: wayleave_core::entries::Entries) -> Open {
        let mut context = wayleave_core::entries::Entries::new();
        set_schema(&mut context, self.shared.options.schema.version);
        Open {
            kind: kind.clone(),
            permissions: None,
            duration: None,
            remember: false,
            refreshable: false,
            client: Client::default(),
            replaces: None,
            data,
            context,
        }
    }

    /// Goes on with a record that was just opened, and gives the client its token.
    pub(crate) async fn adopt(&self, opened: Opened) -> Result<(), SessionRejection> {
        let Backend::Records { manager, .. } = &self.shared.backend else { return Ok(()) };
        let token = Zeroizing::new(opened.issued.access.as_str().to_owned());
        let lifetime = Lifetime::For(opened.record.absolute_expires_at.since(self.shared.now()));
        // Judged like any other from now on; ended already when somebody was quicker.
        let session = manager.validate(&token, &wayleave::Shown::default()).await;
        let mut state = self.state.lock();
        match session {
            Ok(session) => {
                self.set_session_cookie(&mut state, &token, lifetime)?;
                state.loaded = Some(Loaded::Record { session, token });
                Ok(())
            }
            Err(wayleave::ValidateError::Store(error)) => Err(error.into()),
            Err(wayleave::ValidateError::Expired(_) | wayleave::ValidateError::Invalid) => {
                state.loaded = Some(Loaded::Nobody(Nobody::left()));
                Ok(())
            }
        }
    }

    async fn save_key_value(&self, changes: &[Unsaved]) -> Result<(), SessionRejection> {
        let Backend::KeyValue(store) = &self.shared.backend else { return Ok(()) };
        let (data, held) = {
            let state = self.state.lock();
            let held = match &state.loaded {
                Some(Loaded::Data { id, .. }) => Some(id.clone()),
                Some(Loaded::Nobody(_) | Loaded::Record { .. }) | None => None,
            };
            (self.data(&state), held)
        };
        let lifetime = Lifetime::For(self.shared.absolute_end(&data).since(self.shared.now()));
        if let Some(credential) = held {
            let end = data.expires_at();
            let apply = |newest: &mut SessionData| -> Result<(), Infallible> {
                let is_current = newest.schema() == data.schema();
                for Unsaved { change, .. } in changes.iter().filter(|unsaved| !(unsaved.migrated && is_current)) {
                    newest.apply(change.clone());
                }
                newest.set_schema(data.schema());
                newest.extend_at(end.since(newest.created_at()), newest.created_at());
                Ok(())
            };
            return match update(&**store, &self.key(&credential), apply).await {
                Ok(_) => Ok(()),
                Err(UpdateError::Refused(never)) => match never {},
                Err(UpdateError::Save(error)) => Err(error.into()),
            };
        }
        if data.is_empty() {
            return Ok(());
        }
        if self.shared.cookies.is_none() {
            return Err(SessionRejection::NoCarrier);
        }
        let credential = key_value::credential(&self.shared)?;
        store.save(&self.key(&credential), data.clone()).await?;
        let mut state = self.state.lock();
        self.set_session_cookie(&mut state, &credential, lifetime)?;
        state.loaded = Some(Loaded::Data { data: Arc::new(data), permissions: Permissions::none(), id: credential });
        Ok(())
    }

    fn save_sealed(&self) -> Result<(), SessionRejection> {
        let Backend::Sealed(cookies) = &self.shared.backend else { return Ok(()) };
        let mut state = self.state.lock();
        let mut data = self.data(&state);
        let is_new = match &state.loaded {
            // A sign-in or sign-out overtook this request.
            Some(Loaded::Data { id, .. }) if self.shared.was_replaced(id) => return Ok(()),
            Some(Loaded::Data { .. }) => false,
            Some(Loaded::Nobody(_) | Loaded::Record { .. }) | None => true,
        };
        if is_new && data.is_empty() {
            return Ok(());
        }
        if self.shared.cookies.is_none() {
            return Err(SessionRejection::NoCarrier);
        }
        if data.handle().is_none() {
            data.set_handle(Some(Handle(self.shared.random()?)));
        }
        let permissions = match &state.loaded {
            Some(Loaded::Data { permissions, .. }) => permissions.clone(),
            Some(Loaded::Nobody(_) | Loaded::Record { .. }) | None => Permissions::none(),
        };
        let sealed = Zeroizing::new(cookies.encrypt(&data)?);
        let lifetime = Lifetime::For(data.expires_at().since(self.shared.now()));
        self.set_session_cookie(&mut state, &sealed, lifetime)?;
        state.loaded = Some(Loaded::Data { data: Arc::new(data), permissions, id: sealed });
        Ok(())
    }

    pub(crate) async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&str>,
        new: Option<&str>,
    ) -> Result<bool, SessionRejection> {
        // What the request changed before comes first, so that there is a session to compare in.
        self.save().await?;
        let target = {
            let state = self.state.lock();
            match (&self.shared.backend, &state.loaded) {
                (Backend::Records { manager, .. }, Some(Loaded::Record { session, .. })) => {
                    Target::Record(Arc::clone(manager), Box::new(session.record().clone()))
                }
                (Backend::KeyValue(store), Some(Loaded::Data { id, .. })) => {
                    Target::KeyValue(Arc::clone(store), self.key(id))
                }
                _ => Target::Here,
            }
        };
        let done = match target {
            Target::Record(manager, record) => {
                let changed = manager.change(&record, |record| {
                    if record.data.get(key) != expected.map(str::as_bytes) {
                        return Err(Refused::Different);
                    }
                    match new {
                        Some(new) => drop(record.data.set(key, new.as_bytes()).map_err(|_| Refused::TooLarge)?),
                        None => drop(record.data.remove(key)),
                    }
                    Ok(())
                });
                match changed.await {
                    Ok(_) => true,
                    Err(wayleave::UpdateError::Refused(Refused::Different) | wayleave::UpdateError::Gone) => false,
                    Err(wayleave::UpdateError::Refused(Refused::TooLarge)) => {
                        return Err(SaveError::from(wayleave::kv::TooLarge::Bytes { by: 1 }).into());
                    }
                    Err(wayleave::UpdateError::Contended) => return Err(SaveError::Conflict.into()),
                    Err(wayleave::UpdateError::Store(error)) => return Err(error.into()),
                }
            }
            Target::KeyValue(store, id) => {
                let change = |data: &mut SessionData| {
                    if data.get(key) != expected {
                        return Err(Refused::Different);
                    }
                    data.apply((key.to_owned(), new.map(str::to_owned)));
                    Ok(())
                };
                match update(&*store, &id, change).await {
                    Ok(changed) => changed.is_some(),
                    Err(UpdateError::Refused(_)) => false,
                    Err(UpdateError::Save(error)) => return Err(error.into()),
                }
            }
            Target::Here => self.state.lock().value(key).as_deref() == expected,
        };
        if done {
            let saved = !matches!(self.state.lock().loaded, Some(Loaded::Nobody(_)) | None)
                && !matches!(self.shared.backend, Backend::Sealed(_));
            let change = Change { saved, ..Change::made(new.map(str::to_owned)) };
            self.state.lock().changes.insert(key.to_owned(), change);
        }
        Ok(done)
    }
}

enum Target {
    Record(Arc<wayleave::SessionManager>, Box<wayleave_core::record::Record>),
    KeyValue(Arc<dyn wayleave::kv::SessionStore>, String),
    /// In the request itself, to be saved with the answer.
    Here,
}

enum Refused {
    Different,
    TooLarge,
}

/// Why a record was not opened, as handlers see it.
pub(crate) fn unopened(error: wayleave::OpenError) -> SessionRejection {
    match error {
        wayleave::OpenError::Store(error) => error.into(),
        wayleave::OpenError::Entropy(error) => error.into(),
        other => {
            tracing::error!(error = &other as &dyn std::error::Error, "no session could be opened");
            SessionRejection::Store(wayleave_core::ports::StoreError::Unavailable(None))
        }
    }
}
