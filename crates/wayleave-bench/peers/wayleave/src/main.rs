//! The small application with our own sessions, over the store that `STORE` names: `memory`, the path of a SQLite file,
//! or the URL of a PostgreSQL or Redis server. `WARM_SESSIONS=0` keeps nothing in memory that the store has.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use peer_application::{Failure, me, next_user, plain, serve, store};
use tokio_util::sync::CancellationToken;
use wayleave::Background;
use wayleave_core::memory::{MemoryOptions, MemoryStore};
use wayleave_core::ports::SessionStore;
use wayleave_postgres::PostgresStore;
use wayleave_redis::{RedisStore, Servers};
use wayleave_sqlite::SqliteStore;
use wayleave_web::{
    Authenticated, CsrfMode, Session, SessionConfig, SessionLayer, SessionOptions, SessionRejection, SignIn,
    SignInError,
};

async fn sign_in(session: Session) -> Result<(), SignInError> {
    session.sign_in(SignIn::user(&next_user())?).await.map(drop)
}

async fn who(session: Authenticated) -> Response {
    me(session.subject().as_ref().and_then(|subject| subject.as_str().strip_prefix("user:")))
}

async fn renew(session: Authenticated) -> Result<(), SignInError> {
    let subject = session.subject().ok_or(SignInError::Refused)?;
    session.prove_again(SignIn::subject(subject)).await.map(drop)
}

async fn sign_out(session: Session) -> Result<(), SessionRejection> {
    session.sign_out().await
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // Peers have no defence against forged requests; the headers of the request are enough for ours.
    let mut options = SessionOptions { csrf: CsrfMode::Origin, ..SessionOptions::default() };
    if let Ok(warm) = std::env::var("WARM_SESSIONS") {
        options.warm_sessions = warm.parse()?;
    }
    let key = "0123456789abcdef".repeat(8);
    let keys = SessionConfig { encryption_key: Some(key.into()), ..SessionConfig::default() }.keys()?;
    let (clock, entropy, ring) = (options.clock.clone(), options.entropy.clone(), Arc::new(keys.ring()?));
    let store: Arc<dyn SessionStore> = match store()?.as_str() {
        "memory" => Arc::new(MemoryStore::new(MemoryOptions { most_records: 4_000_000, ..MemoryOptions::default() })),
        url if url.starts_with("postgres:") => {
            Arc::new(PostgresStore::connect(url, wayleave_postgres::Options::new(ring, entropy, clock)).await?)
        }
        url if url.starts_with("redis:") => {
            let routing = Arc::new(keys.routing_key());
            let options = wayleave_redis::Options::new(Servers::single(url), ring, routing, entropy);
            Arc::new(RedisStore::open(options).await?)
        }
        path => Arc::new(SqliteStore::open(path, wayleave_sqlite::Options::new(ring, entropy, clock)).await?),
    };
    let layer = SessionLayer::on_record(store, &keys, options)?;
    let manager = layer.manager().ok_or("these sessions are on record")?;
    // What looks through everything now and then would fall into somebody's round, and be counted there.
    let never = Duration::from_secs(3600);
    let background = Background { sweep_every: never, erase_every: never, ..Background::default() };
    tokio::spawn(Arc::clone(manager).run_background(background, CancellationToken::new()));
    let sessions = Router::new()
        .route("/me", get(who))
        .route("/open", get(plain))
        .route("/sign-in", post(sign_in))
        .route("/renew", post(renew))
        .route("/sign-out", post(sign_out));
    serve(sessions.layer(layer)).await
}
