//! The same small application on actix-web, with the sessions of actix-session: in a sealed cookie, or on the Redis
//! server whose URL `STORE` is.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_session::config::PersistentSession;
use actix_session::storage::{CookieSessionStore, RedisSessionStore, SessionStore};
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::{Key, time::Duration};
use actix_web::{App, HttpResponse, HttpServer, web};
use serde::Serialize;

const NOBODY: &str = "user-00000000";

#[derive(Serialize)]
struct Me<'a> {
    user_id: &'a str,
}

async fn plain() -> HttpResponse {
    HttpResponse::Ok().json(Me { user_id: NOBODY })
}

async fn sign_in(session: Session) -> HttpResponse {
    static SIGNED_IN: AtomicU64 = AtomicU64::new(1);
    let user = format!("user-{:08}", SIGNED_IN.fetch_add(1, Ordering::Relaxed));
    match session.insert("user_id", user) {
        Ok(()) => HttpResponse::Ok().finish(),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

async fn me(session: Session) -> HttpResponse {
    match session.get::<String>("user_id") {
        Ok(Some(user_id)) => HttpResponse::Ok().json(Me { user_id: &user_id }),
        _ => HttpResponse::Unauthorized().finish(),
    }
}

async fn renew(session: Session) -> HttpResponse {
    session.renew();
    HttpResponse::Ok().finish()
}

async fn sign_out(session: Session) -> HttpResponse {
    session.purge();
    HttpResponse::Ok().finish()
}

async fn serve<S: SessionStore + 'static>(store: impl Fn() -> S + Clone + Send + 'static) -> std::io::Result<()> {
    let key = Key::from(&[7; 64]);
    let server = HttpServer::new(move || {
        let sessions = SessionMiddleware::builder(store(), key.clone())
            .session_lifecycle(PersistentSession::default().session_ttl(Duration::days(1)))
            .build();
        App::new().route("/plain", web::get().to(plain)).service(
            web::scope("")
                .wrap(sessions)
                .route("/me", web::get().to(me))
                .route("/open", web::get().to(plain))
                .route("/sign-in", web::post().to(sign_in))
                .route("/renew", web::post().to(renew))
                .route("/sign-out", web::post().to(sign_out)),
        )
    })
    .workers(2)
    .bind("127.0.0.1:0")?;
    for address in server.addrs() {
        println!("peer listens on http://{address}");
    }
    std::io::stdout().flush()?;
    server.run().await
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    match std::env::var("STORE") {
        Ok(url) => {
            let store = RedisSessionStore::new(url).await.map_err(std::io::Error::other)?;
            serve(move || store.clone()).await
        }
        Err(_) => serve(CookieSessionStore::default).await,
    }
}
