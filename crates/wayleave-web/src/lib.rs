//! For Rust web applications: sessions inside your own process, for axum and everything that takes tower layers.
//!
//! A [`SessionLayer`] gives the routes under it sessions; extractors say what a handler demands of them:
//!
//! | extractor | who comes in | everybody else |
//! |---|---|---|
//! | [`Session`] | anybody: guests too, with or without anything stored | |
//! | [`Authenticated`] | who is signed in | 401 `session_required` |
//! | [`RequirePermission`], [`require`] | who holds a permission | 401, 403 `permission_denied` |
//! | [`Fresh`] | who proved themselves lately | 401 `insufficient_user_authentication` |
//! | [`CsrfToken`] | anybody, with a token for the page's forms and scripts | |
//!
//! # A complete application
//!
//! Guests fill a cart, sign in and keep it; some may see the orders; everybody can sign out here or on all devices.
//!
//! ```
//! use std::sync::Arc;
//!
//! use axum::extract::Path;
//! use axum::response::Html;
//! use axum::routing::{get, post};
//! use axum::{Form, Router};
//! use wayleave_web::{
//!     Authenticated, CsrfToken, Fresh, Reach, Session, SessionLayer, SessionOptions, SessionRejection, SetError, SignIn,
//!     SignInError, require,
//! };
//!
//! // Reading makes nothing: no record, no cookie. A health check leaves no trace.
//! async fn cart(session: Session, csrf: CsrfToken) -> Result<Html<String>, SetError> {
//!     let cart: Vec<u32> = session.get_as("cart").ok().flatten().unwrap_or_default();
//!     Ok(Html(format!("{} things <form method=post action=/cart/7>{}<button>Add</button></form>", cart.len(), csrf.field())))
//! }
//!
//! // The first thing that is stored makes a guest's session; its cookie goes out with the answer.
//! async fn add(session: Session, Path(item): Path<u32>) -> Result<(), SetError> {
//!     let mut cart: Vec<u32> = session.get_as("cart").ok().flatten().unwrap_or_default();
//!     cart.push(item);
//!     session.set_as("cart", &cart)
//! }
//!
//! #[derive(serde::Deserialize)]
//! struct Credentials {
//!     name: String,
//!     password: String,
//!     #[serde(default)]
//!     remember: bool,
//! }
//!
//! // After your own check of the password, `sign_in` puts a new session under a new id in the place of the guest's, and
//! // keeps of its data what `kept_at_sign_in` names.
//! async fn sign_in(session: Session, Form(form): Form<Credentials>) -> Result<(), SignInError> {
//!     let user = check_password(&form.name, &form.password).ok_or(SignInError::Refused)?;
//!     let proved = SignIn::user(&user.id)?.permissions(user.permissions)?.remember(form.remember);
//!     session.sign_in(proved).await.map(drop)
//! }
//!
//! async fn me(session: Authenticated) -> String {
//!     session.subject().map(|subject| subject.to_string()).unwrap_or_default()
//! }
//!
//! // A stolen cookie must not do this: a recent sign-in is needed. Show the sign-in form again when this answers 401
//! // `insufficient_user_authentication`, and give the new proof to `Session::prove_again`.
//! async fn delete_account(_: Fresh) {}
//!
//! async fn sign_out(session: Session) -> Result<(), SessionRejection> {
//!     session.sign_out().await
//! }
//!
//! async fn sign_out_everywhere(session: Session) -> Result<&'static str, SessionRejection> {
//!     // Some stores know of this session alone; see the table below.
//!     session.sign_out_everywhere().await.map(|reach| match reach {
//!         Reach::Everywhere => "signed out on all devices",
//!         Reach::HereAlone => "signed out here",
//!     })
//! }
//!
//! # struct User { id: String, permissions: Vec<&'static str> }
//! # fn check_password(name: &str, password: &str) -> Option<User> {
//! #     (password == "correct horse").then(|| User { id: name.to_owned(), permissions: vec!["read:orders"] })
//! # }
//! fn application() -> Result<Router, wayleave_web::StartError> {
//!     // In memory here; `SessionLayer::on_record` takes any store, `SessionLayer::sealed` needs none.
//!     let sessions = SessionLayer::in_memory(SessionOptions {
//!         kept_at_sign_in: vec!["cart".into()],
//!         ..SessionOptions::default()
//!     })?;
//!     let orders = Router::new().route("/orders", get(|| async { "none yet" })).route_layer(require("read:orders"));
//!     Ok(Router::new()
//!         .route("/", get(cart))
//!         .route("/cart/{item}", post(add))
//!         .route("/sign-in", post(sign_in))
//!         .route("/me", get(me))
//!         .route("/delete-account", post(delete_account))
//!         .route("/sign-out", post(sign_out))
//!         .route("/sign-out-everywhere", post(sign_out_everywhere))
//!         .merge(orders)
//!         // Last, so that it is round all of them.
//!         .layer(sessions))
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #     use tower::ServiceExt as _;
//! #     let app = application()?;
//! #     let send = async |method: &str, path: &str, cookies: &str, token: &str, body: &'static str| {
//! #         let request = http::Request::builder().method(method).uri(path).header("cookie", cookies)
//! #             .header("x-csrf-token", token).header("sec-fetch-site", "same-origin")
//! #             .header("content-type", "application/x-www-form-urlencoded").body(axum::body::Body::from(body)).unwrap();
//! #         let response = app.clone().oneshot(request).await.unwrap();
//! #         let cookies: Vec<_> = response.headers().get_all("set-cookie").iter()
//! #             .map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap().to_owned()).collect();
//! #         (response.status().as_u16(), cookies.join("; "))
//! #     };
//! #     let (status, visitor) = send("GET", "/", "", "", "").await;
//! #     assert_eq!(status, 200);
//! #     let token = visitor.rsplit('=').next().unwrap().to_owned();
//! #     assert_eq!(send("POST", "/cart/7", &visitor, "", "").await.0, 403);
//! #     let (status, guest) = send("POST", "/cart/7", &visitor, &token, "").await;
//! #     assert_eq!((status, guest.starts_with("__Host-id=")), (200, true));
//! #     assert_eq!(send("GET", "/me", &guest, "", "").await.0, 401);
//! #     let all = format!("{visitor}; {guest}");
//! #     assert_eq!(send("POST", "/sign-in", &all, &token, "name=ann&password=wrong").await.0, 401);
//! #     let (status, ann) = send("POST", "/sign-in", &all, &token, "name=ann&password=correct+horse").await;
//! #     assert_eq!(status, 200);
//! #     assert_eq!(send("GET", "/me", &ann, "", "").await.0, 200);
//! #     assert_eq!(send("GET", "/orders", &ann, "", "").await.0, 200);
//! #     assert_eq!(send("GET", "/me", &guest, "", "").await.0, 401);
//! #     Ok(())
//! # }
//! ```
//!
//! # What is taken care of
//!
//! - **The id** is new at every sign-in and every fresh proof; an id that nobody issued is never adopted. Stores hold a
//!   hash of it.
//! - **The cookie** is `__Host-id`, `Secure`, `HttpOnly`, `SameSite=Lax`. It is set when something changed and at no other
//!   time, removed exactly when it is stale, and refused when it comes twice.
//! - **Forged requests**: whatever changes something needs a token of the session, and must not come from elsewhere by
//!   `Sec-Fetch-Site` or `Origin`. The layer does it before any handler; see [`CsrfMode`].
//! - **Two limits**: [`Lifetimes`] without activity, and in all. Nothing moves the second.
//! - **Parallel requests** that change different keys both have their way. For the same key there is
//!   [`Session::compare_and_set`].
//! - **A handler that fails** (5xx, or a panic) saves nothing. Signing in and out happen at once and stay.
//! - **A store that fails** is 503, never "signed out".
//! - **Deployments** that change the layout of the data say so in [`Schema`]; old data is migrated, forgotten or kept aside.
//! - **WebSockets** and other long answers end with their session: [`Session::watch`].
//! - **Keys** are rotated without signing anybody out: [`SessionKeys`].
//!
//! # Where sessions are
//!
//! | | restart | several instances | ends everywhere | list, limits |
//! |---|---|---|---|---|
//! | [`SessionLayer::in_memory`] | lost | no | yes | yes |
//! | [`SessionLayer::on_record`] over SQLite | kept | one machine, [`SessionOptions::warm_sessions`] 0 for several processes | yes | yes |
//! | [`SessionLayer::key_value`] over your own [`SessionStore`] | yours | yours | one by one | no |
//! | [`SessionLayer::sealed`] | kept | yes | no | no |
//! | [`SessionLayer::sealed_and_revocable`] | kept | yes | yes | no |
//!
//! A sealed cookie cannot merge parallel writes or tell an older state that a client kept from a newer one: keep no money
//! and no rights in its data. A request that was under way when its user signed out can bring a cookie back that is good
//! until its end, unless revocations are remembered. Rights belong in [`SessionOptions::subjects`], which is asked at every request.

pub mod activity;
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

pub use config::{ConfigError, EncryptionKey, Reason, SessionBackend, SessionConfig};
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
pub use session::{Reach, Session, SetError, SignIn, SignInError, SignedIn};
pub use wayleave;
pub use wayleave::kv::{InMemorySessionStore, SessionData, SessionStore};
