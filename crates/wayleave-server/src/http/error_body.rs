//! Writes the bodies of errors in the form that the client prefers, so that handlers need not know (R083).

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header::{ACCEPT, ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY};
use http::{HeaderMap, HeaderValue};

use super::request_id::RequestId;
use crate::error::{ApiError, ErrorCode};

#[cfg(test)]
mod tests;

/// Marks, in a response's extensions, a body that another standard prescribes: the errors of RFC 6749, 7009 and 7662,
/// or an error page. It is left as it is.
#[derive(Copy, Clone, Debug)]
pub struct KeepBody;

fn write(response: Response, form: Form, id: &RequestId) -> Response {
    let Some(error) = response.extensions().get::<ApiError>() else { return response };
    let id = Some(id.as_str());
    let (body, content_type) = match form {
        Form::Ours => (error.json_body(id), "application/json"),
        Form::Problem => (error.problem_body(id), "application/problem+json"),
    };
    let mut response = response.map(|_| Body::from(body.to_string()));
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.append(VARY, HeaderValue::from_static("Accept"));
    response
}

fn stand_in(response: &Response) -> Response {
    let mut error = ApiError::new(ErrorCode::for_status(response.status()));
    for name in [ALLOW, RETRY_AFTER] {
        if let Some(value) = response.headers().get(&name) {
            error = error.with_header(name, value.clone());
        }
    }
    error.into_response()
}

/// The form of an error's body.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `{"success":false,"error":{...}}`
    Ours,
    /// RFC 9457.
    Problem,
}

impl Form {
    /// Problem details when `Accept` names `application/problem+json` at least as highly as `application/json`. A
    /// wildcard asks for neither, so it gets ours.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut problem = 0;
        let mut json = 0;
        for field in headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()) {
            for range in field.split(',').take(32) {
                let mut parts = range.split(';').map(str::trim);
                let media = parts.next().unwrap_or_default();
                let quality = parts.find_map(quality).unwrap_or(1000);
                if media.eq_ignore_ascii_case("application/problem+json") {
                    problem = problem.max(quality);
                } else if media.eq_ignore_ascii_case("application/json") {
                    json = json.max(quality);
                }
            }
        }
        if problem > 0 && problem >= json { Self::Problem } else { Self::Ours }
    }

    /// Rewrites an error response, so that it comes outside everything that can refuse a request.
    ///
    /// An [`ApiError`] gets its request id, and the form of RFC 9457 where `Accept` prefers it. An error that some
    /// other layer made without a body of ours (a missing route, a wrong method) is given the code of its status and
    /// keeps `Allow` and `Retry-After`; its own text is dropped.
    pub(super) fn write_error(self, response: Response, id: &RequestId) -> Response {
        let status = response.status();
        let is_error = status.is_client_error() || status.is_server_error();
        if !is_error || response.extensions().get::<KeepBody>().is_some() {
            return response;
        }
        let response = match response.extensions().get::<ApiError>() {
            Some(_) => response,
            None => stand_in(&response),
        };
        write(response, self, id)
    }
}

/// The thousandths of a `q` parameter; a malformed one counts as zero.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(0);
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().unwrap_or(0);
    match whole {
        "1" if thousandths == 0 => Some(1000),
        "0" => Some(thousandths),
        _ => Some(0),
    }
}
