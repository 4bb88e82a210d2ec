//! Whether a request that changes something was meant by its user: in front of every handler, for cookies.

use axum_core::body::Body;
use axum_core::extract::Request;
use http::Method;
use http::header::{CONTENT_TYPE, ORIGIN, REFERER, UPGRADE};
use http::request::Parts;
use http_body_util::{BodyExt as _, Limited};

use super::options::CsrfMode;
use super::shared::{Cookies, Shared};
use super::slot::{Loaded, Slot};
use crate::cookies::{InvalidCookie, RequestCookies};
use crate::csrf::{CsrfBinding, Submitted};
use crate::fetch_metadata::{self, Sensitivity};
use crate::reject::SessionRejection;

/// The header that scripts send their token in.
const HEADER: &str = "x-csrf-token";
/// The field that forms send it in.
pub(crate) const FIELD: &str = "csrf_token";
/// Most bytes of a form in which the token is looked for.
const MAX_FORM: usize = 64 * 1024;

/// Whether a request can be let through without a look at who may have made it.
pub(super) fn is_harmless(shared: &Shared, request: &Request) -> bool {
    shared.cookies.is_none()
        || shared.options.csrf == CsrfMode::DangerousOff
        || (request.method().is_safe() && !is_websocket(request))
}

/// Lets a request through that is not [harmless](is_harmless), or refuses it.
pub(super) async fn guard(slot: &Slot, request: Request) -> Result<Request, SessionRejection> {
    let shared = &slot.shared;
    let Some(cookies) = &shared.cookies else { return Ok(request) };
    if is_websocket(&request) {
        let (parts, body) = request.into_parts();
        judge_websocket(shared, &parts)?;
        return Ok(Request::from_parts(parts, body));
    }
    let (parts, body) = request.into_parts();
    let body = admit(slot, cookies, &parts, body).await?;
    Ok(Request::from_parts(parts, body))
}

async fn admit(slot: &Slot, cookies: &Cookies, parts: &Parts, body: Body) -> Result<Body, SessionRejection> {
    let jar = RequestCookies::read(&parts.headers)?;
    let from_browser = ["origin", "sec-fetch-site", "referer"].iter().any(|name| parts.headers.contains_key(*name));
    if jar.is_empty() && !from_browser {
        // No browser, and nothing that one could have been made to send.
        return Ok(body);
    }
    judge(&slot.shared, parts)?;
    if slot.shared.options.csrf == CsrfMode::Origin {
        return Ok(body);
    }
    let (explicit, body) = submitted(parts, body).await?;
    if check(slot, cookies, parts, &jar, explicit.as_deref()).await? {
        Ok(body)
    } else {
        Err(SessionRejection::CsrfFailed)
    }
}

/// Whether the request opens a WebSocket, over HTTP/1.1 or, by an extended CONNECT, over HTTP/2.
fn is_websocket(request: &Request) -> bool {
    let mut upgrades = request.headers().get_all(UPGRADE).iter();
    *request.method() == Method::CONNECT
        || upgrades.any(|value| {
            let mut protocols = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            protocols.any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
        })
}

/// A handshake carries cookies from any page, is a GET, and cannot carry a token: its origin alone decides. Without
/// named origins it is the host that the request itself went to.
fn judge_websocket(shared: &Shared, parts: &Parts) -> Result<(), SessionRejection> {
    let origins = &shared.options.origins;
    let headers = &parts.headers;
    if !headers.contains_key(ORIGIN) && !headers.contains_key("sec-fetch-site") {
        // No browser opens one without saying from where.
        return Ok(());
    }
    let named = !(origins.own.is_empty() && origins.partners.is_empty());
    let allowed = if named {
        fetch_metadata::judge(origins, &Method::POST, headers, Sensitivity::Sensitive).into_result().is_ok()
    } else {
        let one = |name: &str| {
            let mut values = headers.get_all(name).iter();
            values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
        };
        let site = if headers.contains_key("sec-fetch-site") { one("sec-fetch-site") } else { Some("same-origin") };
        let host = parts.uri.authority().map(http::uri::Authority::as_str).or_else(|| one("host"));
        let origin = one("origin").and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
        site == Some("same-origin") && host.is_some() && origin == host
    };
    if allowed { Ok(()) } else { Err(SessionRejection::OriginNotAllowed) }
}

/// By Fetch Metadata and `Origin` (R047).
fn judge(shared: &Shared, parts: &Parts) -> Result<(), SessionRejection> {
    let origins = &shared.options.origins;
    let sensitivity = match shared.options.csrf {
        CsrfMode::Origin => Sensitivity::Sensitive,
        CsrfMode::Token | CsrfMode::DangerousOff => Sensitivity::Ordinary,
    };
    let verdict = if origins.own.is_empty() && origins.partners.is_empty() {
        // Nobody said which origins are ours, so only the browser itself can say whether this one is.
        let mut headers = parts.headers.clone();
        headers.remove(ORIGIN);
        headers.remove(REFERER);
        fetch_metadata::judge(origins, &parts.method, &headers, sensitivity)
    } else {
        fetch_metadata::judge(origins, &parts.method, &parts.headers, sensitivity)
    };
    verdict.into_result().map_err(|_| SessionRejection::OriginNotAllowed)
}

/// By the token: bound to the session, or, as long as nobody is signed in, to the visitor (R044, R045).
async fn check(
    slot: &Slot,
    cookies: &Cookies,
    parts: &Parts,
    jar: &RequestCookies<'_>,
    explicit: Option<&str>,
) -> Result<bool, SessionRejection> {
    let one = |name: &str| match jar.find(name) {
        Ok(value) => Ok(value),
        Err(InvalidCookie::Malformed) => Ok(None),
        Err(error) => Err(SessionRejection::from(error)),
    };
    let submitted = Submitted { explicit, cookie: one(cookies.csrf.name())? };
    let key = &slot.shared.csrf;
    let session = one(cookies.session.name())?.and_then(|credential| slot.shared.binding(credential));
    if let Some(binding) = &session
        && key.verify(submitted, CsrfBinding::Session(binding)).is_ok()
    {
        return Ok(true);
    }
    let Some(visitor) = one(cookies.visitor.name())? else { return Ok(false) };
    let of_session = session.as_ref().map(CsrfBinding::Session);
    let bindings: Vec<_> = of_session.into_iter().chain([CsrfBinding::PreSession(visitor.as_bytes())]).collect();
    if key.verify_for_any(submitted, &bindings).is_err() {
        return Ok(false);
    }
    // A page that was shown before the guest's session began. Once somebody is signed in, it counts no more.
    slot.load(parts).await?;
    let signed_in = match &slot.state.lock().loaded {
        Some(Loaded::Record { session, .. }) => session.subject().is_some(),
        Some(Loaded::Data { data, .. }) => data.principal().is_some(),
        Some(Loaded::Nobody(_)) | None => false,
    };
    Ok(!signed_in)
}

/// The token of the header, else of the form (R046). A form is read whole and handed on as it was.
async fn submitted(parts: &Parts, body: Body) -> Result<(Option<String>, Body), SessionRejection> {
    let mut headers = parts.headers.get_all(HEADER).iter();
    match (headers.next(), headers.next()) {
        (Some(header), None) => return Ok((header.to_str().ok().map(str::to_owned), body)),
        (Some(_), Some(_)) => return Ok((None, body)),
        (None, _) => {}
    }
    let media_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok((None, body));
    }
    let bytes = match Limited::new(body, MAX_FORM).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => return Err(SessionRejection::BodyTooLarge),
        Err(_) => return Err(SessionRejection::InvalidRequest),
    };
    // Tokens are made of characters that no form encodes, but for the dot, which some may.
    let mut fields =
        bytes.split(|byte| *byte == b'&').filter_map(|field| field.strip_prefix(FIELD.as_bytes())?.strip_prefix(b"="));
    let token = match (fields.next(), fields.next()) {
        (Some(field), None) => std::str::from_utf8(field).ok().map(|text| text.replace("%2E", ".")),
        _ => None,
    };
    Ok((token, Body::from(bytes)))
}
