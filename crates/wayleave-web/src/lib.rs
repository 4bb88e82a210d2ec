//! For Rust web applications: sessions inside your own process.

pub mod bearer;
mod config;
pub mod cookies;
pub mod csrf;
mod extract;
pub mod fetch_metadata;
mod keys;
mod layer;
pub mod origin;
mod reject;
mod sealed;
mod session;

pub use config::{ConfigError, Reason, SessionBackend, SessionConfig};
pub use extract::{
    Authenticated, CsrfToken, Fresh, PermissionName, RequireLayer, RequirePermission, RequireService, require,
};
pub use keys::{InvalidKey, KEY_BYTES, MAX_KEYS, SessionKey, SessionKeys};
pub use layer::{
    Carrier, CsrfMode, Everybody, Lifetimes, Migrate, Migration, Schema, SessionEnd, SessionLayer, SessionOptions,
    SessionService, SessionWatch, StartError,
};
pub use reject::SessionRejection;
pub use sealed::CookieSessionStore;
pub use session::{Session, SetError, SignIn, SignInError, SignedIn};
pub use wayleave;
pub use wayleave::kv::{InMemorySessionStore, SessionData, SessionStore};
