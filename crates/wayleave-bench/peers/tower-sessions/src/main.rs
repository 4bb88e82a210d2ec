//! The small application with the sessions of tower-sessions, over the store that `STORE` names: `memory`, or the URL of
//! a PostgreSQL or Redis server. The argument `cached` puts its cache, in moka, in front of the store.

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use peer_application::{Failure, me, next_user, plain, serve, store};
use tower_sessions::cookie::time::Duration;
use tower_sessions::session_store::SessionStore;
use tower_sessions::{CachingSessionStore, Expiry, MemoryStore, Session, SessionManagerLayer};
use tower_sessions_moka_store::MokaStore;
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike as _, Config, Pool};
use tower_sessions_sqlx_store::PostgresStore;
use tower_sessions_sqlx_store::sqlx::postgres::PgPoolOptions;

/// Connections to PostgreSQL and Redis.
const POSTGRES_CONNECTIONS: u32 = 10;
const REDIS_CONNECTIONS: usize = 6;
/// Sessions that the cache has room for.
const CACHED: u64 = 100_000;

const USER: &str = "user_id";

fn failed<E>(_: E) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn sign_in(session: Session) -> Result<(), StatusCode> {
    session.insert(USER, next_user()).await.map_err(failed)
}

async fn who(session: Session) -> Result<Response, StatusCode> {
    Ok(me(session.get::<String>(USER).await.map_err(failed)?.as_deref()))
}

async fn renew(session: Session) -> Result<(), StatusCode> {
    session.cycle_id().await.map_err(failed)
}

async fn sign_out(session: Session) -> Result<(), StatusCode> {
    session.flush().await.map_err(failed)
}

fn sessions<S: SessionStore + Clone>(store: S) -> Router {
    let layer = SessionManagerLayer::new(store).with_expiry(Expiry::OnInactivity(Duration::days(1)));
    Router::new()
        .route("/me", get(who))
        .route("/open", get(plain))
        .route("/sign-in", post(sign_in))
        .route("/renew", post(renew))
        .route("/sign-out", post(sign_out))
        .layer(layer)
}

fn cached<S: SessionStore + Clone>(store: S, is_cached: bool) -> Router {
    if is_cached { sessions(CachingSessionStore::new(MokaStore::new(Some(CACHED)), store)) } else { sessions(store) }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let is_cached = std::env::args().nth(1).as_deref() == Some("cached");
    let sessions = match store()?.as_str() {
        "memory" => sessions(MemoryStore::default()),
        url if url.starts_with("redis:") => {
            let pool = Pool::new(Config::from_url(url)?, None, None, None, REDIS_CONNECTIONS)?;
            pool.connect();
            pool.wait_for_connect().await?;
            cached(RedisStore::new(pool), is_cached)
        }
        url => {
            let store =
                PostgresStore::new(PgPoolOptions::new().max_connections(POSTGRES_CONNECTIONS).connect(url).await?);
            store.migrate().await?;
            cached(store, is_cached)
        }
    };
    serve(sessions).await
}
