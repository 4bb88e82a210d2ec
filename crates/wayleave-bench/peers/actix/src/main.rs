//! The same small application on actix-web, with the sessions of actix-session in a sealed cookie.

use std::io::Write as _;

use actix_session::config::PersistentSession;
use actix_session::storage::CookieSessionStore;
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::{Key, time::Duration};
use actix_web::{App, HttpResponse, HttpServer, web};
use serde::Serialize;

const USER: &str = "user-0";

#[derive(Serialize)]
struct Me<'a> {
    user_id: &'a str,
}

async fn plain() -> HttpResponse {
    HttpResponse::Ok().json(Me { user_id: USER })
}

async fn sign_in(session: Session) -> HttpResponse {
    match session.insert("user_id", USER) {
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

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let key = Key::from(&[7; 64]);
    let server = HttpServer::new(move || {
        let sessions = SessionMiddleware::builder(CookieSessionStore::default(), key.clone())
            .session_lifecycle(PersistentSession::default().session_ttl(Duration::days(1)))
            .build();
        App::new().route("/plain", web::get().to(plain)).service(
            web::scope("")
                .wrap(sessions)
                .route("/me", web::get().to(me))
                .route("/open", web::get().to(plain))
                .route("/sign-in", web::post().to(sign_in)),
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
