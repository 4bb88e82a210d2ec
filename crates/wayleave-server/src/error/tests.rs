//! The table of codes and the two bodies that an error has.

use super::*;

fn table() -> toml_edit::DocumentMut {
    include_str!("../../../../spec/errors.toml").parse().unwrap()
}

#[test]
fn the_enum_and_the_table_agree_exactly() {
    let document = table();
    assert_eq!(document.len(), 1);
    let rows = document["error"].as_array_of_tables().unwrap();
    let written: Vec<_> = rows
        .iter()
        .map(|row| {
            assert_eq!(row.len(), 4);
            (
                row["code"].as_str().unwrap(),
                row["status"].as_integer().unwrap(),
                row["message"].as_str().unwrap(),
                row["doc"].as_str().unwrap(),
            )
        })
        .collect();
    let coded: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|code| (code.as_str(), i64::from(code.status_number()), code.message(), code.doc()))
        .collect();
    assert_eq!(written, coded);
}

#[test]
fn names_are_unique_and_statuses_are_errors() {
    let mut names: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ErrorCode::ALL.len());
    for code in ErrorCode::ALL {
        assert!(code.status().is_client_error() || code.status().is_server_error(), "{code:?}");
        assert_eq!(code.status().as_u16(), code.status_number());
        assert!(code.status().canonical_reason().is_some(), "{code:?}");
    }
}

fn challenge(error: ApiError) -> Option<String> {
    let response = error.into_response();
    response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned())
}

/// R075: whatever the code, a 401 has a challenge. R074: without credentials it has no `error`.
#[test]
fn every_401_carries_a_challenge() {
    for code in ErrorCode::ALL.iter().copied().filter(|code| code.status_number() == 401) {
        let challenge = challenge(ApiError::new(code)).unwrap();
        assert!(challenge.starts_with("Bearer realm=\"wayleave\""), "{code:?}: {challenge}");
    }
    let bare = "Bearer realm=\"wayleave\"";
    assert_eq!(challenge(ErrorCode::SessionRequired.into()).unwrap(), bare);
    assert_eq!(challenge(ErrorCode::InvalidCredentials.into()).unwrap(), bare);
    for code in [ErrorCode::SessionInvalid, ErrorCode::SessionExpired] {
        assert!(challenge(code.into()).unwrap().contains("error=\"invalid_token\""), "{code:?}");
    }
    assert!(challenge(ErrorCode::InvalidRequest.into()).unwrap().contains("error=\"invalid_request\""));
    assert_eq!(challenge(ErrorCode::CsrfFailed.into()), None);
}

/// R074: a missing permission names the scope. R025: a step-up names the level and the age.
#[test]
fn challenges_name_what_is_missing() {
    assert_eq!(
        challenge(ApiError::permission_denied("users:manage")).unwrap(),
        "Bearer realm=\"wayleave\", error=\"insufficient_scope\", scope=\"users:manage\""
    );
    let demand = StepUp { acr_values: "aal1 aal2", max_age: Duration::from_secs(300) };
    let challenge = challenge(ApiError::step_up(demand)).unwrap();
    assert!(challenge.contains("error=\"insufficient_user_authentication\""), "{challenge}");
    assert!(challenge.contains("acr_values=\"aal1 aal2\""), "{challenge}");
    assert!(challenge.contains("max_age=\"300\""), "{challenge}");
}

/// A08: a permission's name from outside cannot break out of the quoted string.
#[test]
fn hostile_text_stays_out_of_headers() {
    for text in ["a\"b", "a\\b", "a\r\nSet-Cookie: x=y", "ä", "\0"] {
        assert_eq!(challenge(ApiError::permission_denied(text)), None, "{text:?}");
    }
}

#[test]
fn bodies_have_the_documented_shapes() {
    let error = ApiError::new(ErrorCode::RateLimited)
        .with_details(json!({ "violated-policies": ["login"] }))
        .with_retry_after(Duration::from_millis(1500));
    assert_eq!(error.headers()[RETRY_AFTER], "2");
    assert_eq!(
        error.json_body(Some("req_1")),
        json!({
            "success": false,
            "error": {
                "code": "rate_limited",
                "message": "Too many requests. Try again later.",
                "details": { "violated-policies": ["login"] },
                "request_id": "req_1",
            },
        })
    );
    assert_eq!(
        error.problem_body(Some("req_1")),
        json!({
            "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
            "title": "Too many requests. Try again later.",
            "status": 429,
            "detail": "Too many requests. Try again later.",
            "instance": "req_1",
            "code": "rate_limited",
            "violated-policies": ["login"],
            "details": { "violated-policies": ["login"] },
        })
    );
    let invalid = ApiError::new(ErrorCode::SessionInvalid).with_data(json!({ "valid": false }));
    assert_eq!(invalid.json_body(None)["data"], json!({ "valid": false }));
    assert_eq!(invalid.problem_body(None)["type"], "about:blank");
    assert_eq!(invalid.problem_body(None)["title"], "Unauthorized");
}

#[test]
fn a_status_of_another_layer_gets_a_code_of_that_status() {
    for code in ErrorCode::ALL {
        let status = code.status();
        let stand_in = ErrorCode::for_status(status);
        assert_eq!(stand_in.status(), status, "{code:?} became {stand_in:?}");
    }
}

/// R164: the debug form shows the code alone.
#[test]
fn debug_shows_no_header_and_no_detail() {
    let error = ApiError::new(ErrorCode::Conflict)
        .with_details(json!("canary"))
        .with_header(http::header::SET_COOKIE, HeaderValue::from_static("canary"));
    assert_eq!(format!("{error:?}"), "ApiError(\"conflict\")");
}

#[test]
fn seconds_are_rounded_up() {
    assert_eq!(ceil_seconds(Duration::ZERO), 0);
    assert_eq!(ceil_seconds(Duration::from_nanos(1)), 1);
    assert_eq!(ceil_seconds(Duration::from_secs(2)), 2);
}
