//! Cross-origin requests against the allow-list.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use wayleave_server::http::cors::CorsOptions;
use wayleave_server::http::stack::HttpStack;
use wayleave_web::origin::{Origin, Origins};

use crate::support::{Answer, request, send, stack};

const GOOD: &str = "https://good.example";

fn router() -> Router {
    let cors = CorsOptions {
        origins: Origins::new([Origin::new(GOOD).unwrap()]),
        preflight_max_age: Duration::from_secs(600),
    };
    HttpStack { cors, ..stack() }.wrap(Router::new().route("/thing", get(async || "x")))
}

async fn ask(method: &str, fields: &[(&str, &str)]) -> Answer {
    send(&router(), request(&format!("{method} /thing"), fields, "")).await
}

fn varies(answer: &Answer) -> bool {
    answer.headers.get_all("vary").iter().any(|value| value == "Origin")
}

/// R040: a listed origin gets itself back, with credentials and the headers it may read.
#[tokio::test]
async fn a_listed_origin_is_answered() {
    let answer = ask("GET", &[("origin", GOOD)]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("access-control-allow-origin"), Some(GOOD));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    let exposed = answer.header("access-control-expose-headers").unwrap();
    for name in ["WWW-Authenticate", "DPoP-Nonce", "RateLimit", "RateLimit-Policy", "Retry-After"] {
        assert!(exposed.split(", ").any(|held| held == name), "{name}");
    }
    assert!(varies(&answer));

    let answer = ask("OPTIONS", &[("origin", GOOD), ("access-control-request-method", "POST")]).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.header("access-control-allow-origin"), Some(GOOD));
    assert_eq!(answer.header("access-control-max-age"), Some("600"));
    let allowed = answer.header("access-control-allow-headers").unwrap();
    assert!(allowed.contains("x-csrf-token") && !allowed.contains('*'), "{allowed}");
}

/// R040, A27: everybody else gets nothing, in the preflight and in the answer, errors included.
#[tokio::test]
async fn nobody_else_is() {
    for origin in [
        "https://good.example.evil.com",
        "http://good.example",
        "https://good.example:8443",
        "https://GOOD.example",
        "https://good.example/",
        "https://evil.example",
        "null",
        "*",
        "",
    ] {
        for (method, more) in
            [("GET", None), ("DELETE", None), ("OPTIONS", Some(("access-control-request-method", "PUT")))]
        {
            let mut fields = vec![("origin", origin)];
            fields.extend(more);
            let answer = ask(method, &fields).await;
            assert!(
                !answer.headers.keys().any(|name| name.as_str().starts_with("access-control-")),
                "{method} {origin:?}"
            );
            assert!(varies(&answer), "{method} {origin:?}");
        }
    }
    let twice = ask("GET", &[("origin", GOOD), ("origin", GOOD)]).await;
    assert_eq!(twice.header("access-control-allow-origin"), None);
    let none = ask("GET", &[]).await;
    assert_eq!(none.header("access-control-allow-origin"), None);
    assert!(varies(&none));
}

/// R041: an OPTIONS request that is no preflight is a method like any other.
#[tokio::test]
async fn other_options_requests_reach_the_router() {
    assert_eq!(ask("OPTIONS", &[("origin", GOOD)]).await.status, StatusCode::METHOD_NOT_ALLOWED);
}
