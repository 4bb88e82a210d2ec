//! Error bodies: one shape for every refusal, whoever made it.

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::StatusCode;
use http::header::ACCEPT;
use serde_json::json;
use wayleave_server::error::{ApiError, ErrorCode};
use wayleave_server::http::body::{FormBody, JsonBody};
use wayleave_server::http::error_body::KeepBody;

use crate::support::{request, send, stack};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    email: String,
    password: String,
}

fn router() -> Router {
    async fn standard() -> Response {
        let mut response = (StatusCode::BAD_REQUEST, r#"{"error":"invalid_client"}"#).into_response();
        response.extensions_mut().insert(KeepBody);
        response
    }
    let mut router = Router::new()
        .route(
            "/login",
            post(async |JsonBody(login): JsonBody<Login>| format!("{}{}", login.email, login.password.len())),
        )
        .route("/form", post(async |FormBody(login): FormBody<Login>| login.email))
        .route("/standard", get(standard))
        .route("/panic", get(async || -> StatusCode { panic!("canary-panic-text") }))
        .route("/ok", get(async || "fine"))
        .route("/bare", get(async || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], "canary text")));
    for code in ErrorCode::ALL {
        router = router.route(
            &format!("/code/{}", code.as_str()),
            get(async move || -> Result<(), ApiError> { Err(ApiError::new(*code)) }),
        );
    }
    stack().wrap(router)
}

/// R083, R038, R075: every code in both forms, with its status, its request id and no-store.
#[tokio::test]
async fn every_code_has_both_forms() {
    let router = router();
    for code in ErrorCode::ALL {
        let line = format!("GET /code/{}", code.as_str());
        let answer = send(&router, request(&line, &[], "")).await;
        assert_eq!(answer.status.as_u16(), code.status_number(), "{line}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let id = answer.header("x-request-id").unwrap();
        assert_eq!(
            answer.json(),
            json!({
                "success": false,
                "error": { "code": code.as_str(), "message": code.message(), "request_id": id },
            })
        );
        let challenged = answer.headers.contains_key("www-authenticate");
        assert!(challenged || answer.status != StatusCode::UNAUTHORIZED, "{line}");

        let answer = send(&router, request(&line, &[("accept", "application/problem+json")], "")).await;
        assert_eq!(answer.status.as_u16(), code.status_number(), "{line}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let id = answer.header("x-request-id").unwrap();
        let problem = answer.json();
        assert_eq!(problem["status"], answer.status.as_u16());
        assert_eq!(problem["code"], code.as_str());
        assert_eq!(problem["instance"], id);
        for member in ["type", "title", "detail"] {
            assert!(problem[member].is_string(), "{line} {member}");
        }
        assert!(answer.headers.get_all("vary").iter().any(|value| value == "Accept"));
    }
}

/// R041, R083: what the framework refuses has our body too, and keeps `Allow`.
#[tokio::test]
async fn refusals_of_the_framework_are_rewritten() {
    let router = router();
    let answer = send(&router, request("GET /nowhere/x.css", &[], "")).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, "not_found"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let answer = send(&router, request("DELETE /ok", &[], "")).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"));
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));

    let answer = send(&router, request("GET /bare", &[], "")).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::TOO_MANY_REQUESTS, "rate_limited"));
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert!(!String::from_utf8_lossy(&answer.body).contains("canary"));

    let answer = send(&router, request("GET /standard", &[(ACCEPT.as_str(), "application/problem+json")], "")).await;
    assert_eq!(answer.json(), json!({ "error": "invalid_client" }));
}

/// R171, R164: a panic is a 500 with our body, says nothing of its text, and the next request is answered.
#[tokio::test]
async fn a_panic_is_an_internal_error() {
    let router = router();
    let answer = send(&router, request("GET /panic", &[], "")).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"));
    assert!(!String::from_utf8_lossy(&answer.body).contains("canary"));
    assert!(answer.json()["error"]["request_id"].is_string());
    assert_eq!(send(&router, request("GET /ok", &[], "")).await.status, StatusCode::OK);
}

/// R049, A22, A37, R164: bodies that are not the JSON of the route, and none of their text in the answer.
#[tokio::test]
async fn json_bodies_are_read_strictly() {
    let router = router();
    let good = r#"{"email":"a","password":"canary"}"#;
    let post = async |media: Option<&str>, body: &str| {
        let fields: Vec<_> = media.map(|media| ("content-type", media)).into_iter().collect();
        send(&router, request("POST /login", &fields, body.to_owned())).await
    };
    for media in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""] {
        assert_eq!(post(Some(media), good).await.status, StatusCode::OK, "{media}");
    }
    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/jsonx",
        "text/plain; application/json",
        "application/json, text/plain",
        "",
    ] {
        let answer = post(Some(media), good).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            "{media}"
        );
    }
    assert_eq!(post(None, good).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);

    let json = Some("application/json");
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let duplicate = r#"{"email":"a","email":"canary","password":"b"}"#;
    for (body, status, code) in [
        ("", 400, "bad_request"),
        ("{\"email\":\"canary", 400, "bad_request"),
        ("{\"email\":\"a\",\"password\":\"b\"} canary", 400, "bad_request"),
        ("{\"email\":\"\u{1}canary\"}", 400, "bad_request"),
        (deep.as_str(), 422, "validation_failed"),
        ("{\"email\":7,\"password\":\"canary\"}", 422, "validation_failed"),
        ("{\"email\":\"canary\"}", 422, "validation_failed"),
        (duplicate, 422, "validation_failed"),
        ("{\"email\":\"a\",\"password\":\"b\",\"canary\":1}", 422, "validation_failed"),
    ] {
        let answer = post(json, body).await;
        let shown = body.get(..60).unwrap_or(body);
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{shown}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("canary"), "{shown}");
    }
}

#[tokio::test]
async fn form_bodies_are_read_strictly() {
    let router = router();
    let post = async |media: &str, body: &str| {
        send(&router, request("POST /form", &[("content-type", media)], body.to_owned())).await
    };
    let form = "application/x-www-form-urlencoded";
    let answer = post(form, "email=a%40b.example&password=c").await;
    assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, b"a@b.example".as_slice()));
    for body in ["email=a", "email=a&email=b&password=c", "email=a&password=b&x=1"] {
        assert_eq!(post(form, body).await.code(), "bad_request", "{body}");
    }
    assert_eq!(post("application/json", "{}").await.code(), "unsupported_media_type");
}
