//! A Tideway application over our stores: sign-in, a counter, a restart, still signed in.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program for the terminal")]

use std::collections::HashMap;
use std::env;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Form, Router};
use tideway::{App, AppContext, RouteModule, TidewayError};
use wayleave_web::fetch_metadata::{OriginPolicy, Sensitivity, judge};

mod sessions;

use sessions::{Sessions, Visit};

type Failure = Box<dyn std::error::Error>;
type Fields = Form<HashMap<String, String>>;

struct Counter;

impl RouteModule for Counter {
    fn routes(&self) -> Router<AppContext> {
        Router::new()
            .route("/", get(page))
            .route("/count", post(count))
            .route("/sign-in", post(sign_in))
            .route("/sign-out", post(sign_out))
            .layer(from_fn(same_origin))
    }
}

/// Other sites' pages cannot act for whoever is signed in here.
async fn same_origin(request: axum::extract::Request, next: Next) -> Response {
    let mut headers = request.headers().clone();
    // Nobody configured what our own origin is, so the browser has to say whether the request comes from it.
    headers.remove(header::ORIGIN);
    headers.remove(header::REFERER);
    match judge(&OriginPolicy::default(), request.method(), &headers, Sensitivity::Sensitive).into_result() {
        Ok(()) => next.run(request).await,
        Err(_) => StatusCode::FORBIDDEN.into_response(),
    }
}

async fn visit(context: &AppContext, sessions: &Sessions, headers: &HeaderMap) -> tideway::Result<Visit> {
    sessions.open(&**context.sessions()?, headers).await
}

async fn page(
    State(context): State<AppContext>,
    Extension(sessions): Extension<Arc<Sessions>>,
    headers: HeaderMap,
) -> tideway::Result<Html<String>> {
    let visit = visit(&context, &sessions, &headers).await?;
    let who = visit.data.get("user").map_or("a guest", String::as_str);
    let count = visit.data.get("count").map_or("0", String::as_str);
    Ok(Html(format!(
        "<p>You are {who}. Counted: {count}</p>
        <form action=/count method=post><button>Count</button></form>
        <form action=/sign-in method=post><input name=user> <input name=password type=password> <button>Sign in</button></form>
        <form action=/sign-out method=post><button>Sign out</button></form>"
    )))
}

async fn count(
    State(context): State<AppContext>,
    Extension(sessions): Extension<Arc<Sessions>>,
    headers: HeaderMap,
) -> tideway::Result<Response> {
    let mut visit = visit(&context, &sessions, &headers).await?;
    let next = visit.data.get("count").and_then(|count| count.parse::<u32>().ok()).unwrap_or_default() + 1;
    visit.data.set("count".into(), next.to_string());
    let cookie = sessions.keep(&**context.sessions()?, visit).await?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}

async fn sign_in(
    State(context): State<AppContext>,
    Extension(sessions): Extension<Arc<Sessions>>,
    headers: HeaderMap,
    Form(mut form): Fields,
) -> tideway::Result<Response> {
    // Your own check of a password goes here.
    if form.remove("password").is_none_or(|given| Some(given) != env::var("DEMO_PASSWORD").ok()) {
        return Err(TidewayError::unauthorized("Invalid credentials"));
    }
    let user: String = form.remove("user").unwrap_or_default();
    let user: String = user.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    let store = &**context.sessions()?;
    let before = sessions.open(store, &headers).await?;
    let mut visit = sessions.renew(store, before).await?;
    visit.data.set("user".into(), user);
    let cookie = sessions.keep(store, visit).await?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}

async fn sign_out(
    State(context): State<AppContext>,
    Extension(sessions): Extension<Arc<Sessions>>,
    headers: HeaderMap,
) -> tideway::Result<Response> {
    let store = &**context.sessions()?;
    let visit = sessions.open(store, &headers).await?;
    let cookie = sessions.end(store, visit).await?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (kind, file) = match *arguments.as_slice() {
        [] => ("memory", "counter.db"),
        ["--store", kind] => (kind, "counter.db"),
        ["--store", kind, "--file", file] => (kind, file),
        _ => return Err("usage: example-tideway [--store memory|sqlite|cookie [--file counter.db]]".into()),
    };
    let (store, sessions) = sessions::open(kind, file).await?;
    let context = AppContext::builder().with_sessions(store).build();
    let app = App::new().with_context(context).register_module(Counter).layer(Extension(Arc::new(sessions)));
    let listener = tokio::net::TcpListener::bind(env::var("ADDRESS").unwrap_or("127.0.0.1:3000".into())).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app.into_make_service_with_connect_info()).await?)
}
