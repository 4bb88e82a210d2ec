//! Every route and what it demands, in one table. The router, the OpenAPI document and the authorization test are made
//! from it.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::IntoResponse as _;
use axum::routing::get;
use utoipa::openapi::{HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::access::{ActivityRule, CsrfRule, Demand, Guard, Rules};
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::gate::Gate;
use crate::http::hosts::Hosts;
use crate::http::rate_limit::RateLimit;
use crate::routes::{
    admin, csrf, health, introspection, opaque, own, password, registration, sessions, setup, sign_in, validation,
    vault, verify,
};
use crate::unknown::UnknownCredentials;

/// How often one client may call a route.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// As often as it likes: validation on behalf of others, and health.
    Unlimited,
    /// Signing in and proving again.
    Login,
    /// Making accounts.
    Register,
    /// Refreshing.
    Refresh,
    /// Everything else of somebody signed in.
    Session,
    /// Administration.
    Admin,
    /// What services ask.
    Service,
}

/// What kinds of body a route takes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// JSON or none; anything else is refused with 415, so that a foreign page always needs a preflight (R049).
    Json,
    /// Bytes that are never looked at; anything but `application/octet-stream` is refused with 415.
    Octets,
    /// What the standard behind the route says.
    Any,
}

/// A row of the table.
pub struct Row {
    /// What the route demands.
    pub rules: Rules,
    /// How often it may be called.
    pub class: Class,
    /// What it takes.
    pub bodies: Bodies,
    route: UtoipaMethodRouter<Arc<App>>,
}

impl Row {
    /// The path and the method, as the OpenAPI document has them.
    #[must_use]
    pub fn route(&self) -> Option<(&str, HttpMethod)> {
        let (path, item) = self.route.1.paths.iter().next()?;
        let methods = [
            (&item.get, HttpMethod::Get),
            (&item.put, HttpMethod::Put),
            (&item.post, HttpMethod::Post),
            (&item.delete, HttpMethod::Delete),
            (&item.patch, HttpMethod::Patch),
        ];
        methods.into_iter().find(|(operation, _)| operation.is_some()).map(|(_, method)| (path.as_str(), method))
    }
}

/// The table.
#[must_use]
#[rustfmt::skip]
pub fn table() -> Vec<Row> {
    use ActivityRule::{Asks, Counts};
    use Bodies::{Any, Json, Octets};
    use CsrfRule::{Handler, Origin, Token};
    use Demand::{Admin, AnyFresh, AnySession, Fresh, Nobody, Service, Session};

    let row = |demand, csrf, activity, class, bodies, route| Row {
        rules: Rules { demand, csrf, activity }, class, bodies, route,
    };
    vec![
        row(Nobody,  Token,   Asks,   Class::Session,   Json, routes!(csrf::csrf)),
        row(Nobody,  Handler, Counts, Class::Login,     Json, routes!(sign_in::login)),
        row(Nobody,  Origin,  Asks,   Class::Session,   Json, routes!(own::logout)),
        row(AnySession, Token,   Asks,   Class::Session,   Json, routes!(own::session)),
        row(AnySession, Token,   Counts, Class::Session,   Json, routes!(own::user)),

        row(Nobody,  Token,   Counts, Class::Register,  Json, routes!(registration::register)),
        row(AnySession, Token,   Counts, Class::Login,     Json, routes!(password::change_password)),
        row(Nobody,  Token,   Counts, Class::Register,  Json, routes!(password::reset_password)),
        row(Session, Token,   Counts, Class::Login,     Json, routes!(password::step_up)),
        row(Nobody,  Token,   Asks,   Class::Register,  Json, routes!(setup::page)),
        row(Nobody,  Handler, Asks,   Class::Register,  Any,  routes!(setup::submit)),

        row(Nobody,  Token,   Counts, Class::Login,     Json, routes!(opaque::register::start)),
        row(Nobody,  Token,   Counts, Class::Register,  Json, routes!(opaque::register::finish)),
        row(AnyFresh, Token,  Counts, Class::Login,     Json, routes!(opaque::change::start)),
        row(AnyFresh, Token,  Counts, Class::Login,     Json, routes!(opaque::change::finish)),
        row(Nobody,  Token,   Counts, Class::Login,     Json, routes!(opaque::login::start)),
        row(Nobody,  Handler, Counts, Class::Session,   Json, routes!(opaque::login::finish)),
        row(Session, Token,   Counts, Class::Session,   Json, routes!(opaque::step_up::step_up)),

        row(Service, Token,   Counts, Class::Service,   Json, routes!(sessions::create)),
        row(Session, Token,   Counts, Class::Session,   Json, routes!(sessions::list)),
        row(Session, Token,   Asks,   Class::Session,   Json, routes!(sessions::current)),
        row(Nobody,  Token,   Asks,   Class::Unlimited, Json, routes!(validation::validate)),
        row(Nobody,  Token,   Counts, Class::Refresh,   Json, routes!(sessions::refresh)),
        row(Nobody,  Origin,  Asks,   Class::Session,   Json, routes!(sessions::logout)),
        row(Session, Token,   Counts, Class::Session,   Json, routes!(sessions::extend)),
        row(Fresh,   Token,   Counts, Class::Session,   Json, routes!(sessions::end_one)),
        row(Fresh,   Token,   Counts, Class::Session,   Json, routes!(sessions::end_many)),

        row(Session, Token,   Counts, Class::Session,   Json, routes!(vault::lock)),
        // Also for who has to choose another password: the key is wrapped anew for that.
        row(AnySession, Token,   Counts, Class::Session,   Json, routes!(vault::key::read)),
        row(Session, Token,   Counts, Class::Session,   Json, routes!(vault::key::write)),
        row(Session, Token,   Counts, Class::Session,   Json, routes!(vault::blobs::list)),
        row(Session, Token,   Counts, Class::Session,   Json, routes!(vault::blobs::read)),
        row(Session, Token,   Counts, Class::Session,   Octets, routes!(vault::blobs::write)),
        row(Session, Token,   Counts, Class::Session,   Json, routes!(vault::blobs::delete)),

        row(Session, Token,   Counts, Class::Unlimited, Any,  routes!(verify::verify)),
        row(Service, Token,   Asks,   Class::Service,   Any,  routes!(introspection::introspect)),
        row(Service, Token,   Asks,   Class::Service,   Any,  routes!(introspection::revoke)),
        row(Nobody,  Token,   Asks,   Class::Unlimited, Json, routes!(introspection::jwks)),

        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::settings::read)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::settings::change)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::sessions::list)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::sessions::show)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::sessions::end_one)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::sessions::end_all)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::users::list)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::users::create)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::users::show)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::users::change)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::users::unlock)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::users::reset_link)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::users::end_sessions)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::users::lock_vault)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::invitations::list)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::invitations::create)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::invitations::withdraw)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::service_keys::list)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::service_keys::create)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::service_keys::revoke)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::audit::query)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::stats::stats)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::stats::sweep)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::keys::list)),
        row(Admin,   Token,   Counts, Class::Admin,     Json, routes!(admin::keys::rotate)),

        row(Nobody,  Token,   Asks,   Class::Unlimited, Json, routes!(health::alive)),
        row(Nobody,  Token,   Asks,   Class::Unlimited, Json, routes!(health::ready)),
        row(Nobody,  Token,   Asks,   Class::Unlimited, Json, routes!(health::metrics)),
        row(Nobody,  Token,   Asks,   Class::Unlimited, Json, routes!(health::openapi)),
    ]
}

/// The limits of the classes that have one.
#[derive(Clone, Default)]
pub struct Limits {
    /// See [`Class::Login`].
    pub login: Option<Arc<RateLimit>>,
    /// See [`Class::Register`].
    pub register: Option<Arc<RateLimit>>,
    /// See [`Class::Refresh`].
    pub refresh: Option<Arc<RateLimit>>,
    /// See [`Class::Session`].
    pub session: Option<Arc<RateLimit>>,
    /// See [`Class::Admin`].
    pub admin: Option<Arc<RateLimit>>,
    /// See [`Class::Service`].
    pub service: Option<Arc<RateLimit>>,
    /// Credentials that prove nothing, on whatever route.
    pub unknown_credentials: Option<Arc<UnknownCredentials>>,
}

impl Limits {
    fn of(&self, class: Class) -> Option<Arc<RateLimit>> {
        match class {
            Class::Unlimited => None,
            Class::Login => self.login.clone(),
            Class::Register => self.register.clone(),
            Class::Refresh => self.refresh.clone(),
            Class::Session => self.session.clone(),
            Class::Admin => self.admin.clone(),
            Class::Service => self.service.clone(),
        }
    }

    /// Every limit there is, for upkeep.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<RateLimit>> {
        let Self { login, register, refresh, session, admin, service, unknown_credentials } = self;
        let of_classes = [login, register, refresh, session, admin, service].into_iter().flatten();
        of_classes.chain(unknown_credentials.iter().flat_map(|unknown| unknown.limits()))
    }
}

/// The router of the whole API, without the general layers of [`crate::http::stack`].
pub fn router(app: &Arc<App>, limits: &Limits) -> Router {
    let mut router = OpenApiRouter::new();
    for row in table() {
        let pattern = row.route().map_or_else(String::new, |(path, _)| path.to_owned());
        let Row { rules, class, bodies, route: (schemas, paths, route) } = row;
        let gate = Gate {
            series: app.metrics.route(pattern),
            limit: limits.of(class),
            guard: Guard { app: Arc::clone(app), rules, unknown_credentials: limits.unknown_credentials.clone() },
            bodies,
        };
        router = router.routes((schemas, paths, gate.before(route)));
    }
    let (router, _) = router.split_for_parts();
    router
        .fallback(async || ApiError::new(ErrorCode::NotFound))
        .method_not_allowed_fallback(async || ApiError::new(ErrorCode::MethodNotAllowed))
        .with_state(Arc::clone(app))
}

/// The router of the listener that has `/metrics` and nothing else. Whoever reaches it is let in, but for pages of
/// browsers: under a name that is none of `hosts` there is nothing.
pub fn metrics_router(app: &Arc<App>, hosts: Hosts) -> Router {
    let page = async move |State(app): State<Arc<App>>, request: Request| {
        if hosts.admit(&request) { health::numbers(&app) } else { ApiError::new(ErrorCode::NotFound).into_response() }
    };
    Router::new()
        .route("/metrics", get(page))
        .fallback(async || ApiError::new(ErrorCode::NotFound))
        .method_not_allowed_fallback(async || ApiError::new(ErrorCode::MethodNotAllowed))
        .with_state(Arc::clone(app))
}

/// The OpenAPI document of the table.
#[must_use]
pub fn openapi() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Wayleave")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Sessions for every kind of client."))
        .build();
    let mut router = OpenApiRouter::with_openapi(OpenApiBuilder::new().info(info).build());
    for row in table() {
        router = router.routes(row.route);
    }
    let (_, mut document): (Router<Arc<App>>, _) = router.split_for_parts();
    crate::openapi::complete(&mut document);
    document
}

/// The document as it is served and committed: JSON with two blanks of indentation and a final line break.
#[must_use]
pub fn openapi_text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let mut text = openapi().to_pretty_json().unwrap_or_default();
        text.push('\n');
        text
    })
}
