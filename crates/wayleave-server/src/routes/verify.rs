//! Forward-auth: a reverse proxy asks, for every request of somebody else's application, whether it may go on.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::ORIGIN;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use wayleave::Session;
use wayleave_core::permission::Permissions;
use wayleave_web::fetch_metadata::{self, Sensitivity};

use crate::access::{Carrier, Context, permitted};
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::http::query::Query;
use crate::wire::ErrorBody;

/// Headers that a proxy copies into the request that it passes on. All are always present in a 200, empty where there
/// is nothing to say, so that none that a client sent survives.
const SUBJECT: HeaderName = HeaderName::from_static("x-wayleave-subject");
const SESSION: HeaderName = HeaderName::from_static("x-wayleave-session");
const KIND: HeaderName = HeaderName::from_static("x-wayleave-kind");
const PERMISSIONS: HeaderName = HeaderName::from_static("x-wayleave-permissions");
const ASSERTION: HeaderName = HeaderName::from_static("x-wayleave-assertion");

/// Where proxies say what method the original request has.
const ORIGINAL_METHOD: [&str; 2] = ["x-original-method", "x-forwarded-method"];

/// What browsers say of where a request comes from.
const TELLING: [&str; 2] = ["origin", "sec-fetch-site"];

/// What the route behind the proxy demands.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct VerifyQuery {
    /// A permission that the session must hold.
    #[param(max_length = 64)]
    permission: Option<String>,
}

/// Says to a reverse proxy whether a request may go on: 200 with the `X-Wayleave-*` headers, 401 or 403.
///
/// `X-Wayleave-Assertion` is a signed statement of the same, good for 30 seconds, for applications that want to be
/// sure that the headers come from here. Requests with a cookie and an unsafe original method are also judged by their
/// Origin and Fetch Metadata, and so are those whose method the proxy does not say.
#[utoipa::path(get, path = "/api/auth/verify", tag = "services", params(VerifyQuery),
    security(("session" = []), ("bearer" = [])),
    responses((status = 200, description = "It may."), (status = "default", body = ErrorBody)))]
pub async fn verify(
    State(app): State<Arc<App>>,
    context: Context,
    headers: HeaderMap,
    Query(query): Query<VerifyQuery>,
) -> Result<Response, ApiError> {
    let session = context.session()?;
    if context.carrier == Carrier::Cookie
        && let Some(method) = unsafe_method(&headers)
    {
        fetch_metadata::judge(&app.cookies.origins, &method, &headers, Sensitivity::Sensitive).into_result()?;
    }
    if let Some(permission) = &query.permission {
        // What is no name of a permission is not repeated in the answer either.
        Permissions::new([permission.as_str()]).map_err(|_| ApiError::new(ErrorCode::PermissionDenied))?;
        permitted(session, permission)?;
    }
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(SUBJECT, value(session.subject().map(wayleave_core::subject::Subject::as_str)));
    headers.insert(SESSION, value(Some(&session.id().to_string())));
    headers.insert(KIND, value(Some(session.kind().as_str())));
    headers.insert(PERMISSIONS, value(Some(&permissions(session))));
    let mut assertion = value(app.manager.assert(session).ok().as_deref());
    assertion.set_sensitive(true);
    headers.insert(ASSERTION, assertion);
    Ok(response)
}

/// The method of the request that the proxy holds, if it may change something. A proxy that says it in one header may
/// let its client write the other, so an unsafe one counts wherever it stands.
///
/// Where the proxy does not say it, every request that tells where it comes from is judged as one that changes
/// something, but for one that can only be a followed link; one that does not tell is taken for GET. A WebSocket handshake is a GET that foreign pages may send with the
/// person's cookies, so it counts as unsafe too.
fn unsafe_method(headers: &HeaderMap) -> Option<Method> {
    let socket = headers.get("sec-fetch-mode").is_some_and(|mode| mode == "websocket");
    if socket || headers.contains_key("sec-websocket-key") {
        return Some(Method::POST);
    }
    let told = ORIGINAL_METHOD.iter().flat_map(|name| headers.get_all(*name));
    let mut told = told.map(|method| Method::from_bytes(method.as_bytes()).unwrap_or(Method::POST)).peekable();
    if told.peek().is_none() {
        let tells = TELLING.iter().any(|name| headers.contains_key(*name));
        return (tells && !is_followed_link(headers)).then_some(Method::POST);
    }
    told.find(|method| !method.is_safe())
}

/// Whether a browser says that it goes to a page of its own in a whole window. It does so by GET: with any other method
/// it sends `Origin` along, `null` where it keeps it to itself.
fn is_followed_link(headers: &HeaderMap) -> bool {
    let says = |name: &str, expected: &str| {
        let mut values = headers.get_all(name).iter();
        values.next().is_some_and(|value| value == expected) && values.next().is_none()
    };
    !headers.contains_key(ORIGIN) && says("sec-fetch-mode", "navigate") && says("sec-fetch-dest", "document")
}

fn permissions(session: &Session) -> String {
    session.permissions().iter().collect::<Vec<_>>().join(" ")
}

fn value(text: Option<&str>) -> HeaderValue {
    // Subjects, ids, kinds and permissions are visible ASCII.
    text.and_then(|text| HeaderValue::from_str(text).ok()).unwrap_or(HeaderValue::from_static(""))
}
