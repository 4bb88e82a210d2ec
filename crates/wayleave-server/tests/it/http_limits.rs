//! Limits of size and time, in process.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::post;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::channel::Channel;
use serde_json::Value;
use wayleave_server::http::body::JsonBody;
use wayleave_server::http::limits::{RequestLimits, is_json_or_nothing};
use wayleave_server::http::stack::HttpStack;

use crate::support::{Answer, request, send, stack};

const JSON: (&str, &str) = ("content-type", "application/json");

fn router() -> Router {
    let routes = Router::new()
        .route("/json", post(async |JsonBody(_): JsonBody<Value>| "read"))
        .route(
            "/empty",
            post(
                async |request: Request| {
                    if is_json_or_nothing(&request) { StatusCode::OK } else { StatusCode::UNSUPPORTED_MEDIA_TYPE }
                },
            ),
        )
        .route("/never", post(async || std::future::pending::<()>().await));
    let limits = RequestLimits {
        most_target_bytes: 100,
        most_headers: 10,
        most_header_bytes: 1000,
        most_body_bytes: 1000,
        ..RequestLimits::default()
    };
    HttpStack { limits, ..stack() }.wrap(routes)
}

async fn ask(line: &str, fields: &[(&str, &str)], body: String) -> Answer {
    send(&router(), request(line, fields, body)).await
}

fn check(answer: &Answer, status: StatusCode, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code));
}

/// R007: each limit holds to the byte, and what passes it is told by its own status.
#[tokio::test]
async fn sizes_are_limited() {
    let string = |length: usize| format!("\"{}\"", "a".repeat(length - 2));
    assert_eq!(ask("POST /json", &[JSON], string(1000)).await.status, StatusCode::OK);
    check(&ask("POST /json", &[JSON], string(1001)).await, StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large");

    let target = |length: usize| format!("POST /json?{}", "q".repeat(length - "/json?".len()));
    assert_eq!(ask(&target(100), &[JSON], "1".into()).await.status, StatusCode::OK);
    check(&ask(&target(101), &[JSON], "1".into()).await, StatusCode::URI_TOO_LONG, "uri_too_long");

    let many = |count: usize| vec![("a", "b"); count].into_iter().chain([JSON]).collect::<Vec<_>>();
    assert_eq!(ask("POST /json", &many(9), "1".into()).await.status, StatusCode::OK);
    let answer = ask("POST /json", &many(10), "1".into()).await;
    check(&answer, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large");

    let taken = JSON.0.len() + JSON.1.len() + 1;
    let (fits, long) = ("v".repeat(1000 - taken), "v".repeat(1001 - taken));
    assert_eq!(ask("POST /json", &[JSON, ("a", &fits)], "1".into()).await.status, StatusCode::OK);
    let answer = ask("POST /json", &[JSON, ("a", &long)], "1".into()).await;
    check(&answer, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large");
}

/// A76: a declared length is judged before a byte of the body is read; nonsense is malformed; chunked is refused.
#[tokio::test]
async fn declared_lengths_are_judged_first() {
    for (value, status, code) in [
        ("1001", StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
        ("99999999999999999999999999", StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
        ("-1", StatusCode::BAD_REQUEST, "bad_request"),
        ("+1", StatusCode::BAD_REQUEST, "bad_request"),
        ("1, 1", StatusCode::BAD_REQUEST, "bad_request"),
        ("0x1", StatusCode::BAD_REQUEST, "bad_request"),
    ] {
        let answer = ask("POST /json", &[JSON, ("content-length", value)], "1".into()).await;
        check(&answer, status, code);
        assert_eq!(answer.header("connection"), Some("close"), "{value}");
    }
    let two = [JSON, ("content-length", "1"), ("content-length", "1")];
    check(&ask("POST /json", &two, "1".into()).await, StatusCode::BAD_REQUEST, "bad_request");
    let chunked = [JSON, ("transfer-encoding", "chunked"), ("content-length", "1")];
    check(&ask("POST /json", &chunked, "1".into()).await, StatusCode::LENGTH_REQUIRED, "length_required");
}

/// R049, A22: a route without a body takes none, or JSON, and never a form of another page.
#[tokio::test]
async fn simple_bodies_are_refused_where_no_body_is_read() {
    assert_eq!(ask("POST /empty", &[], String::new()).await.status, StatusCode::OK);
    assert_eq!(ask("POST /empty", &[JSON], "{}".into()).await.status, StatusCode::OK);
    assert_eq!(ask("POST /empty", &[JSON], String::new()).await.status, StatusCode::OK);
    for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        for body in ["", "{}"] {
            let answer = ask("POST /empty", &[("content-type", media)], body.into()).await;
            check(&answer, StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type");
        }
    }
    check(&ask("POST /empty", &[], "{}".into()).await, StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type");
    let twice = [JSON, ("content-type", "text/plain")];
    check(&ask("POST /empty", &twice, "{}".into()).await, StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type");
}

/// A76: a body that stays away is a 408, and an answer that stays away a 504.
#[tokio::test(start_paused = true)]
async fn times_are_limited() {
    let (mut sender, body) = Channel::<Bytes>::new(1);
    sender.send_data(Bytes::from_static(b"{")).await.unwrap();
    let start = tokio::time::Instant::now();
    let answer = send(&router(), request("POST /json", &[JSON], axum::body::Body::new(body))).await;
    check(&answer, StatusCode::REQUEST_TIMEOUT, "request_timeout");
    assert_eq!(start.elapsed().as_secs(), RequestLimits::default().body_timeout.as_secs());
    drop(sender);

    let start = tokio::time::Instant::now();
    check(&ask("POST /never", &[], String::new()).await, StatusCode::GATEWAY_TIMEOUT, "timeout");
    assert_eq!(start.elapsed().as_secs(), RequestLimits::default().answer_timeout.as_secs());
    assert!(start.elapsed() < Duration::from_secs(60));
}
