//! A shop in one file: a guest's cart, sign-in, a permission, sign-out.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program for the terminal")]
use std::{collections::HashMap, env, sync::Arc};

use axum::response::{Html, Redirect};
use axum::routing::{get, post};
use axum::{Form, Router};
use wayleave_sqlite::{Options, SqliteStore};
use wayleave_web::{
    CsrfToken, Session, SessionConfig, SessionLayer, SessionOptions, SetError, SignIn, SignInError, require,
};

type Failure = Box<dyn std::error::Error>;
type Fields = Form<HashMap<String, String>>;

/// Where sessions are kept: `memory`, `cookie`, or the path of a SQLite file.
async fn sessions(place: &str) -> Result<SessionLayer, Failure> {
    let options = SessionOptions { kept_at_sign_in: vec!["cart".into()], ..SessionOptions::default() };
    let keys = || SessionConfig::from_env().and_then(|config| config.keys());
    Ok(match place {
        "memory" => SessionLayer::in_memory(options)?,
        "cookie" => SessionLayer::sealed(&keys()?, options)?,
        path => {
            let file = Options::new(Arc::new(keys()?.ring()?), options.entropy.clone(), options.clock.clone());
            SessionLayer::on_record(Arc::new(SqliteStore::open(path, file).await?), &keys()?, options)?
        }
    })
}

fn cart(session: &Session) -> Vec<String> {
    session.get_as("cart").ok().flatten().unwrap_or_default()
}

async fn shop(session: Session, csrf: CsrfToken) -> Html<String> {
    let (items, hidden) = (cart(&session).join(", "), csrf.field());
    let who = session.subject().map_or("a guest".into(), |subject| subject.to_string());
    Html(format!(
        "<p>You are {who}. In your cart: [{items}]</p>
        <form action=/cart method=post>{hidden}<input name=item> <button>Add</button></form>
        <form action=/sign-in method=post>{hidden}<input name=user> <input name=password type=password> <button>Sign in</button></form>
        <form action=/sign-out method=post>{hidden}<button>Sign out</button></form><a href=/orders>Orders</a>"
    ))
}

async fn add(session: Session, Form(mut form): Fields) -> Result<Redirect, SetError> {
    let (mut cart, item) = (cart(&session), form.remove("item").unwrap_or_default());
    cart.push(item.chars().filter(|letter| letter.is_alphanumeric() || *letter == ' ').take(40).collect());
    session.set_as("cart", &cart).map(|()| Redirect::to("/"))
}

async fn sign_in(session: Session, Form(mut form): Fields) -> Result<Redirect, SignInError> {
    // Your own check of a password goes here; `wayleave-password` has a good one.
    if form.remove("password").is_none_or(|given| Some(given) != env::var("DEMO_PASSWORD").ok()) {
        return Err(SignInError::Refused);
    }
    let user: String = form.remove("user").unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
    let permissions: &[&str] = if user == "admin" { &["read:orders"] } else { &[] };
    session.sign_in(SignIn::user(&user)?.permissions(permissions.iter().copied())?).await?;
    Ok(Redirect::to("/"))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let place = env::args().nth(1).unwrap_or_else(|| "memory".into());
    let orders = Router::new().route("/orders", get(|| async { "no orders yet" })).route_layer(require("read:orders"));
    let app = Router::new()
        .route("/", get(shop))
        .route("/cart", post(add))
        .route("/sign-in", post(sign_in))
        .route(
            "/sign-out",
            post(|session: Session| async move { session.sign_out().await.map(|()| Redirect::to("/")) }),
        )
        .merge(orders)
        .layer(sessions(&place).await?);
    let listener = tokio::net::TcpListener::bind(env::var("ADDRESS").unwrap_or("127.0.0.1:3000".into())).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}
