//! One request's session: read when somebody asks, written when the request is answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::{CACHE_CONTROL, SET_COOKIE, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use wayleave::kv::SessionData;
use wayleave::{Shown, ValidateError};
use wayleave_core::entries::Entries;
use wayleave_core::permission::Permissions;
use wayleave_core::record::Limit;
use wayleave_core::token::SessionToken;
use zeroize::Zeroizing;

use super::options::Migration;
use super::shared::{Backend, Shared};
use crate::activity::is_users_doing;
use crate::bearer::{Authorization, authorization};
use crate::cookies::{InvalidCookie, Lifetime, RequestCookies, put_cookie};
use crate::reject::SessionRejection;

/// The entry of a record's context that says which version its data is of.
const SCHEMA: &str = "schema";

pub(crate) struct Slot {
    pub(crate) shared: Arc<Shared>,
    /// Whether anybody asked for the session; if not, the answer passes by untouched.
    asked: AtomicBool,
    pub(crate) state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    /// None until somebody asks.
    pub(crate) loaded: Option<Loaded>,
    /// What the request changed, by key.
    pub(crate) changes: BTreeMap<String, Change>,
    /// Whether the session should live longer although nothing of it changed.
    pub(crate) renew: bool,
    /// What the answer sets, besides what it is found to need.
    pub(crate) cookies: Vec<HeaderValue>,
    /// The `csrf-token` and visitor cookies that the request brought.
    pub(crate) brought: Brought,
    /// Whether the answer should clear what the browser cached.
    pub(crate) clear_cache: bool,
    /// Whether the answer itself bears something secret.
    pub(crate) no_store: bool,
}

#[derive(Default)]
pub(crate) struct Brought {
    pub(crate) visitor: Option<Box<str>>,
    pub(crate) csrf: Option<Box<str>>,
}

/// A change of one key that this request made.
pub(crate) struct Change {
    pub(crate) value: Option<String>,
    pub(crate) saved: bool,
    /// Whether it came from bringing older data up to date, not from a handler.
    pub(crate) migrated: bool,
}

impl Change {
    /// A handler's.
    pub(crate) const fn made(value: Option<String>) -> Self {
        Self { value, saved: false, migrated: false }
    }
}

/// What the request's credential led to.
pub(crate) enum Loaded {
    /// Nothing.
    Nobody(Nobody),
    /// A record.
    Record { session: wayleave::Session, token: Zeroizing<String> },
    /// Data that holds its own identity. `id` is the credential.
    Data { data: Arc<SessionData>, permissions: Permissions, id: Zeroizing<String> },
}

/// Why there is no session.
#[derive(Default)]
pub(crate) struct Nobody {
    /// What the request showed, if anything.
    pub(crate) shown: Option<Zeroizing<String>>,
    /// Whether the client should forget what it showed.
    pub(crate) stale: bool,
    /// Whether the client has been given another credential meanwhile. Then nothing that this request does may reach
    /// the client's cookies (R067).
    pub(crate) replaced: bool,
}

impl Nobody {
    /// Whoever was here has left.
    pub(crate) fn left() -> Self {
        Self { stale: true, ..Self::default() }
    }
}

impl Slot {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, asked: AtomicBool::new(false), state: Mutex::default() }
    }

    /// Reads the request's session, once.
    pub(crate) async fn load(&self, parts: &Parts) -> Result<(), SessionRejection> {
        if self.asked.swap(true, Ordering::Relaxed) && self.state.lock().loaded.is_some() {
            return Ok(());
        }
        let credential = self.credential(&parts.headers)?;
        let mut loaded = match credential {
            Credential::Absent => Loaded::Nobody(Nobody::default()),
            Credential::Unreadable => Loaded::Nobody(Nobody { stale: true, ..Nobody::default() }),
            Credential::Shown(text) => self.look_up(text, parts).await?,
        };
        let migrated = self.migrate(&mut loaded);
        let mut state = self.state.lock();
        if let Loaded::Data { data, .. } = &loaded {
            state.renew = is_users_doing(&parts.method, &parts.headers) && self.wants_renewal(data);
        }
        state.loaded = Some(loaded);
        for (key, value) in migrated {
            state.changes.insert(key, Change { value, saved: false, migrated: true });
        }
        Ok(())
    }

    fn credential<'h>(&self, headers: &'h HeaderMap) -> Result<Credential<'h>, SessionRejection> {
        let bearer = match authorization(headers) {
            Ok(Authorization::Bearer(token)) => Some(token.as_str()),
            Ok(Authorization::Absent | Authorization::OtherScheme) => None,
            // Somebody else's header, perhaps; ours to refuse only where it is the carrier.
            Err(_) if self.shared.cookies.is_some() => None,
            Err(_) => return Err(SessionRejection::InvalidRequest),
        };
        let Some(cookies) = &self.shared.cookies else {
            return Ok(bearer.map_or(Credential::Absent, Credential::Shown));
        };
        let jar = RequestCookies::read(headers)?;
        {
            let mut state = self.state.lock();
            let own = |name: &str| jar.find(name).ok().flatten().map(Into::into);
            state.brought = Brought { visitor: own(cookies.visitor.name()), csrf: own(cookies.csrf.name()) };
        }
        let cookie = match jar.find(cookies.session.name()) {
            Ok(Some(value)) => Credential::Shown(value),
            Ok(None) => Credential::Absent,
            // No value of ours, so nothing is lost with it.
            Err(InvalidCookie::Malformed) => Credential::Unreadable,
            Err(error @ (InvalidCookie::Duplicate | InvalidCookie::TooLarge)) => {
                tracing::warn!(target: "wayleave::session", event = "cookie.duplicate", "the session cookie came more than once");
                return Err(error.into());
            }
        };
        // A bearer token of ours beside the cookie: which of the two is meant? (R009)
        if !matches!(cookie, Credential::Absent) && bearer.is_some_and(|token| SessionToken::parse(token).is_ok()) {
            return Err(SessionRejection::InvalidRequest);
        }
        Ok(cookie)
    }

    async fn look_up(&self, credential: &str, parts: &Parts) -> Result<Loaded, SessionRejection> {
        let owned = || Zeroizing::new(credential.to_owned());
        let nobody = || {
            let replaced = self.shared.was_replaced(credential);
            if !replaced {
                // Told once: the client may sign in before other answers to what it had sent arrive.
                self.shared.note_replaced(credential);
            }
            Ok(Loaded::Nobody(Nobody { shown: Some(owned()), stale: !replaced, replaced }))
        };
        let data = match &self.shared.backend {
            Backend::Records { manager, .. } => {
                let active = is_users_doing(&parts.method, &parts.headers);
                let shown = Shown { active, ..Shown::default() };
                return match manager.validate(credential, &shown).await {
                    Ok(session) => Ok(Loaded::Record { session, token: owned() }),
                    // It may be good wherever the clock shows something else, so the client is to keep it.
                    Err(ValidateError::Expired(Limit::NotBefore)) => {
                        Ok(Loaded::Nobody(Nobody { shown: Some(owned()), ..Nobody::default() }))
                    }
                    Err(ValidateError::Expired(_) | ValidateError::Invalid) => nobody(),
                    Err(ValidateError::Store(error)) => Err(error.into()),
                };
            }
            Backend::KeyValue(store) => store.load(&self.key(credential)).await?.map(Arc::new),
            Backend::Sealed(cookies) => cookies.live(credential).await?,
        };
        let Some(data) = data else { return nobody() };
        let now = self.shared.now();
        if now >= self.shared.absolute_end(&data) {
            return nobody();
        }
        let permissions = match data.principal() {
            None => Permissions::none(),
            Some(principal) => {
                let standing = self.shared.options.subjects.standing(&principal.subject).await?;
                if !standing.is_active(now) || principal.epoch < standing.epoch {
                    return nobody();
                }
                principal.permissions.under(&standing.ceiling)
            }
        };
        Ok(Loaded::Data { data, permissions, id: owned() })
    }

    /// What a store knows a credential by: a hash of it, where the store could leak.
    pub(crate) fn key(&self, credential: &str) -> String {
        match &self.shared.backend {
            Backend::Records { .. } | Backend::Sealed(_) => credential.to_owned(),
            Backend::KeyValue(_) => super::key_value::key(credential),
        }
    }

    /// Whether so much of the idle limit is gone that its end is worth moving.
    fn wants_renewal(&self, data: &SessionData) -> bool {
        let idle = self.shared.idle(data);
        let end = self.shared.now().plus(idle).min(self.shared.absolute_end(data));
        end.since(data.expires_at()) > idle / 10
    }

    /// Brings data of another version to the current one, as far as its policy says so.
    fn migrate(&self, loaded: &mut Loaded) -> Vec<wayleave::kv::KeyChange> {
        let schema = &self.shared.options.schema;
        let mut data = match loaded {
            Loaded::Nobody(_) => return Vec::new(),
            Loaded::Data { data, .. } if data.schema() == schema.version => return Vec::new(),
            Loaded::Record { session, .. } if schema_of(&session.record().context) == schema.version => {
                return Vec::new();
            }
            Loaded::Data { data, .. } => (**data).clone(),
            Loaded::Record { session, .. } => read_record(session),
        };
        let before = data.clone();
        match (schema.migrate)(data.schema(), &mut data) {
            Migration::Done => {
                let removed =
                    before.iter().filter(|(key, _)| data.get(key).is_none()).map(|(key, _)| (key.to_owned(), None));
                let set = data.iter().filter(|(key, value)| before.get(key) != Some(value));
                removed.chain(set.map(|(key, value)| (key.to_owned(), Some(value.to_owned())))).collect()
            }
            Migration::Forget => before.iter().map(|(key, _)| (key.to_owned(), None)).collect(),
            Migration::KeepAside => {
                let shown = match loaded {
                    Loaded::Record { token, .. } => Some(token.clone()),
                    Loaded::Data { id, .. } => Some(id.clone()),
                    Loaded::Nobody(_) => None,
                };
                *loaded = Loaded::Nobody(Nobody { shown, ..Nobody::default() });
                Vec::new()
            }
        }
    }

    /// As [`Self::finish`], where nothing has to be saved; gives the answer back where something has.
    pub(super) fn finish_at_once<B>(
        &self,
        mut response: http::Response<B>,
    ) -> Result<http::Response<B>, http::Response<B>> {
        if self.asked.load(Ordering::Relaxed) {
            if !response.status().is_server_error() && self.state.lock().has_unsaved() {
                return Err(response);
            }
            self.write_headers(response.headers_mut());
        }
        Ok(response)
    }

    /// Puts the answer's headers right, after what the request changed was saved.
    pub(super) async fn finish<B>(
        &self,
        mut response: http::Response<B>,
    ) -> Result<http::Response<B>, (SessionRejection, HeaderMap)> {
        if !self.asked.load(Ordering::Relaxed) {
            return Ok(response);
        }
        // What failed half-way is not half-kept.
        let saved = if response.status().is_server_error() { Ok(()) } else { self.save().await };
        match saved {
            Ok(()) => {
                self.write_headers(response.headers_mut());
                Ok(response)
            }
            Err(error) => {
                let mut headers = HeaderMap::new();
                self.write_headers(&mut headers);
                Err((error, headers))
            }
        }
    }

    pub(super) fn write_headers(&self, headers: &mut HeaderMap) {
        let mut state = self.state.lock();
        if state.no_store {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        let Some(cookies) = &self.shared.cookies else { return };
        headers.append(VARY, HeaderValue::from_static("cookie"));
        let set = std::mem::take(&mut state.cookies);
        let mut any = !set.is_empty();
        for cookie in set {
            put_cookie(headers, cookie);
        }
        if matches!(state.loaded, Some(Loaded::Nobody(Nobody { stale: true, .. })))
            && !sets(headers, cookies.session.name())
        {
            put_cookie(headers, cookies.session.removal());
            any = true;
        }
        if state.clear_cache {
            headers.insert("clear-site-data", HeaderValue::from_static("\"cache\""));
        }
        if any {
            // Whatever the handler thought of caching: this answer is one client's alone (R038).
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
    }

    /// Lets the answer set the session cookie.
    pub(crate) fn set_session_cookie(
        &self,
        state: &mut State,
        value: &str,
        lifetime: Lifetime,
    ) -> Result<(), SessionRejection> {
        let Some(cookies) = &self.shared.cookies else { return Ok(()) };
        let cookie = cookies.session.set(value, lifetime).map_err(|_| SessionRejection::CookieTooLarge)?;
        state.set_cookie(cookie);
        Ok(())
    }
}

impl State {
    /// Whether there is something to save.
    fn has_unsaved(&self) -> bool {
        self.renew || self.changes.values().any(|change| !change.saved)
    }

    /// Sets a cookie in place of another of the same name.
    pub(crate) fn set_cookie(&mut self, cookie: HeaderValue) {
        let name = |cookie: &HeaderValue| cookie.as_bytes().split(|byte| *byte == b'=').next().map(<[u8]>::to_vec);
        let own = name(&cookie);
        self.cookies.retain(|other| name(other) != own);
        self.cookies.push(cookie);
    }
}

fn sets(headers: &HeaderMap, name: &str) -> bool {
    headers
        .get_all(SET_COOKIE)
        .iter()
        .any(|cookie| cookie.as_bytes().strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'=')))
}

enum Credential<'h> {
    Absent,
    Unreadable,
    Shown(&'h str),
}

/// The data of a record, for migrations.
fn read_record(session: &wayleave::Session) -> SessionData {
    let record = session.record();
    let mut data = SessionData::restored(record.created_at, record.token_expires_at);
    for (key, value) in record.data.iter() {
        if let Ok(value) = std::str::from_utf8(value) {
            data.set(key, value);
        }
    }
    data.set_schema(schema_of(&record.context));
    data
}

/// The version of a record's data.
pub(crate) fn schema_of(context: &Entries) -> u32 {
    context.get(SCHEMA).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// Notes the version of a record's data.
pub(crate) fn set_schema(context: &mut Entries, version: u32) {
    if schema_of(context) != version {
        // A few bytes under a short key, in a map that holds little else.
        let _ = context.set(SCHEMA, &version.to_be_bytes());
    }
}
