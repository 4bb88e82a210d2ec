//! The application's part of sessions: Tideway has no middleware for them, so the cookie is read and set here.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderValue};
use tideway::{SessionData, SessionStore, TidewayError};
use wayleave::core::ports::Entropy as _;
use wayleave::kv::{self, InMemorySessionStore, RecordSessions, RecordSessionsOptions};
use wayleave::{SystemClock, SystemEntropy};
use wayleave_sqlite::{Options, SqliteStore};
use wayleave_tideway::TidewayStore;
use wayleave_web::cookies::{CookieSpec, InvalidCookie, Lifetime, RequestCookies};
use wayleave_web::{CookieSessionStore, SessionConfig};

use crate::Failure;

/// How long a session lives, whatever is done in it.
const LIFETIME: Duration = Duration::from_secs(86_400);
/// What a guest has that stays at the sign-in.
const KEPT: [&str; 1] = ["count"];

/// Reads and sets the cookie.
pub(crate) struct Sessions {
    cookie: CookieSpec,
    /// Seals the data itself, where the cookie holds it and not an id.
    sealed: Option<Arc<CookieSessionStore>>,
}

/// The session of one request.
pub(crate) struct Visit {
    /// None until something is kept.
    id: Option<String>,
    pub(crate) data: SessionData,
}

/// The store that was asked for, and the cookie that goes with it.
pub(crate) async fn open(kind: &str, file: &str) -> Result<(Arc<dyn SessionStore>, Sessions), Failure> {
    // `__Host-`: TLS, this host alone, and no other host can plant it.
    let config = SessionConfig { cookie_name: "__Host-id".into(), ..SessionConfig::from_env()? };
    let mut sealed = None;
    let store: Arc<dyn kv::SessionStore> = match kind {
        "memory" => Arc::new(InMemorySessionStore::default()),
        "sqlite" => {
            let (keys, clock) = (config.keys()?, Arc::new(SystemClock));
            let options = Options::new(Arc::new(keys.ring()?), Arc::new(SystemEntropy), clock.clone());
            let records = Arc::new(SqliteStore::open(file, options).await?);
            Arc::new(RecordSessions::new(records, clock, keys.routing_key(), RecordSessionsOptions::default()))
        }
        "cookie" => sealed.insert(Arc::new(CookieSessionStore::new(&config)?)).clone(),
        _ => return Err("the store is memory, sqlite or cookie".into()),
    };
    Ok((Arc::new(TidewayStore::new(store)), Sessions { cookie: config.cookie()?, sealed }))
}

impl Sessions {
    /// The session that the request shows, or a new one. An id that the store does not know is never adopted.
    pub(crate) async fn open(&self, store: &dyn SessionStore, headers: &HeaderMap) -> tideway::Result<Visit> {
        let shown = RequestCookies::read(headers).and_then(|cookies| cookies.find(self.cookie.name()));
        let id = match shown {
            Ok(id) => id,
            Err(InvalidCookie::Malformed) => None,
            // More than one: somebody may have planted the other.
            Err(error) => return Err(TidewayError::bad_request(error.to_string())),
        };
        if let Some(id) = id
            && let Some(data) = store.load(id).await?
        {
            return Ok(Visit { id: Some(id.to_owned()), data });
        }
        Ok(Visit { id: None, data: SessionData::new(LIFETIME) })
    }

    /// Saves the session, and says which cookie to set.
    pub(crate) async fn keep(&self, store: &dyn SessionStore, visit: Visit) -> tideway::Result<HeaderValue> {
        let Visit { id, data } = visit;
        if let Some(cookies) = &self.sealed {
            return seal(cookies, id.as_deref(), &data);
        }
        let id = id.map_or_else(new_id, Ok)?;
        let left = data.expires_at.duration_since(SystemTime::now()).unwrap_or_default();
        store.save(&id, data).await?;
        self.cookie.set(&id, Lifetime::For(left)).map_err(|error| TidewayError::internal(error.to_string()))
    }

    /// The same visitor under a new id, with what stays of the old data: whoever knew the old id knows nothing now.
    pub(crate) async fn renew(&self, store: &dyn SessionStore, visit: Visit) -> tideway::Result<Visit> {
        if let Some(id) = &visit.id {
            store.delete(id).await?;
        }
        let mut data = SessionData::new(LIFETIME);
        for key in KEPT {
            if let Some(value) = visit.data.get(key) {
                data.set(key.to_owned(), value.clone());
            }
        }
        Ok(Visit { id: None, data })
    }

    /// Ends the session, and says which cookie removes it.
    pub(crate) async fn end(&self, store: &dyn SessionStore, visit: Visit) -> tideway::Result<HeaderValue> {
        if let Some(id) = &visit.id {
            store.delete(id).await?;
        }
        Ok(self.cookie.removal())
    }
}

/// 256 random bits.
fn new_id() -> tideway::Result<String> {
    let mut random = [0; 32];
    SystemEntropy.fill(&mut random).map_err(|error| TidewayError::internal(error.to_string()))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The cookie that holds `data` itself. What the visitor showed goes on, under the same inner name.
fn seal(cookies: &CookieSessionStore, shown: Option<&str>, data: &SessionData) -> tideway::Result<HeaderValue> {
    let mut sealed = shown.and_then(|shown| cookies.decrypt(shown)).unwrap_or_else(|| kv::SessionData::new(LIFETIME));
    let gone: Vec<_> =
        sealed.iter().filter(|(key, _)| data.get(key).is_none()).map(|(key, _)| key.to_owned()).collect();
    for key in gone {
        sealed.remove(&key);
    }
    for (key, value) in &data.data {
        sealed.set(key, value);
    }
    cookies.build_cookie(&sealed).map_err(|error| TidewayError::internal(error.to_string()))
}
