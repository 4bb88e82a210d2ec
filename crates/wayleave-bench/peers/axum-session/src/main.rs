//! The small application with the sessions of axum_session, over the store that `STORE` names: `memory`, or the URL of a
//! PostgreSQL or Redis server.

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use axum_session::{DatabasePool, Session, SessionConfig, SessionLayer, SessionNullPool, SessionStore};
use axum_session_redispool::SessionRedisPool;
use axum_session_sqlx::SessionPgPool;
use peer_application::{Failure, me, next_user, plain, serve, store};
use redis_pool::SingleRedisPool;
use sqlx::postgres::PgPoolOptions;

const USER: &str = "user_id";
const POSTGRES_CONNECTIONS: u32 = 10;
/// One for each client, as none is shared: with fewer, connections would be opened all the time.
const REDIS_CONNECTIONS: usize = 32;

/// What holds the sessions.
trait Place: DatabasePool + Clone + std::fmt::Debug + Send + Sync + 'static {}
impl<P: DatabasePool + Clone + std::fmt::Debug + Send + Sync + 'static> Place for P {}

async fn sign_in<P: Place>(session: Session<P>) {
    session.set(USER, next_user());
}

async fn who<P: Place>(session: Session<P>) -> Response {
    me(session.get::<String>(USER).as_deref())
}

async fn renew<P: Place>(session: Session<P>) {
    session.renew();
}

async fn sign_out<P: Place>(session: Session<P>) {
    session.destroy();
}

async fn sessions<P: Place>(place: Option<P>) -> Result<Router, Failure> {
    let store = SessionStore::new(place, SessionConfig::default().with_table_name("axum_session")).await?;
    Ok(Router::new()
        .route("/me", get(who::<P>))
        .route("/open", get(plain))
        .route("/sign-in", post(sign_in::<P>))
        .route("/renew", post(renew::<P>))
        .route("/sign-out", post(sign_out::<P>))
        .layer(SessionLayer::new(store)))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let sessions = match store()?.as_str() {
        "memory" => sessions::<SessionNullPool>(None).await?,
        url if url.starts_with("redis:") => {
            let pool = SingleRedisPool::new(redis::Client::open(url)?, REDIS_CONNECTIONS, Some(REDIS_CONNECTIONS));
            sessions(Some(SessionRedisPool::from(pool))).await?
        }
        url => {
            let pool = PgPoolOptions::new().max_connections(POSTGRES_CONNECTIONS).connect(url).await?;
            sessions(Some(SessionPgPool::from(pool))).await?
        }
    };
    serve(sessions).await
}
