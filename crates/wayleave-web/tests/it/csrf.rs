//! Forged requests, and pages of the application's own.

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use wayleave_web::CsrfMode;
use wayleave_web::fetch_metadata::OriginPolicy;
use wayleave_web::origin::{Origin, Origins};

use crate::client::{Client, Kept, World};

async fn refused(client: &mut Client, path: &str, headers: &[(&'static str, &str)], code: &str) {
    let answer = client.post_with(path, headers).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, code), "{headers:?}");
}

/// A22, A23, R044, R045: without a token, with another session's, or with one from before the sign-in.
#[tokio::test]
async fn a_token_of_the_session_is_needed() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let (mut ann, mut bob) = (world.client(), world.client());
        let before = ann.get("/csrf").await.ok().body;
        ann.post("/sign-in/ann").await.ok();
        bob.post("/sign-in/bob").await.ok();
        let bobs = bob.get("/csrf").await.ok().body;
        let own = ann.get("/csrf").await.ok().body;
        for token in ["", "x", &before, &bobs, &own[1..], &own.replace('.', ""), &format!("{own}A")] {
            refused(&mut ann, "/set/a/1", &[("x-csrf-token", token)], "csrf_failed").await;
        }
        refused(&mut ann, "/set/a/1", &[], "csrf_failed").await;
        refused(&mut ann, "/set/a/1", &[("x-csrf-token", &own), ("x-csrf-token", &own)], "csrf_failed").await;
        assert_eq!(ann.get("/read/a").await.body, "nothing", "{kept:?}");
        ann.post_with("/set/a/1", &[("x-csrf-token", &own)]).await.ok();
        assert_eq!(ann.get("/read/a").await.body, "1", "{kept:?}");
    }
}

/// R052: two renderings are different, and both are good.
#[tokio::test]
async fn tokens_differ_and_serve() {
    let world = World::new(Kept::Memory).await;
    let mut client = world.client();
    let (one, two) = (client.get("/csrf").await.body, client.get("/csrf").await.body);
    assert_ne!(one, two);
    for token in [one, two] {
        client.post_with("/set/a/1", &[("x-csrf-token", &token)]).await.ok();
    }
}

/// A page that was open before the guest's session began still works; once somebody signed in, it does not.
#[tokio::test]
async fn a_page_from_before_the_session_works_for_guests() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        let page = client.get("/csrf").await.ok().body;
        client.post_with("/set/cart/apples", &[("x-csrf-token", &page)]).await.ok();
        assert!(client.session().is_some());
        client.post_with("/set/cart/pears", &[("x-csrf-token", &page)]).await.ok();
        client.post_with("/sign-in/ann", &[("x-csrf-token", &page)]).await.ok();
        refused(&mut client, "/set/cart/plums", &[("x-csrf-token", &page)], "csrf_failed").await;
    }
}

/// A24, A25, R047, R048: where a request comes from, before any token.
#[tokio::test]
async fn requests_from_elsewhere_are_refused() {
    let named = |options: &mut wayleave_web::SessionOptions| {
        options.origins = OriginPolicy {
            own: Origins::new([Origin::new("https://app.example").unwrap()]),
            partners: Origins::new([Origin::new("https://partner.example").unwrap()]),
        };
    };
    for kept in Kept::ALL {
        for with_origins in [false, true] {
            let world = World::with(kept, |options| {
                if with_origins {
                    named(options)
                }
            })
            .await;
            let mut client = world.client();
            client.post("/sign-in/ann").await.ok();
            let token = client.get("/csrf").await.ok().body;
            let token = ("x-csrf-token", token.as_str());
            for foreign in [
                vec![("sec-fetch-site", "cross-site")],
                vec![("sec-fetch-site", "same-site")],
                vec![("sec-fetch-site", "none"), ("sec-fetch-mode", "cors")],
                vec![("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
            ] {
                let headers: Vec<_> = foreign.iter().copied().chain([token]).collect();
                refused(&mut client, "/set/a/1", &headers, "origin_not_allowed").await;
            }
            if with_origins {
                for origin in [
                    "null",
                    "https://evil.example",
                    "https://app.example.evil.example",
                    "http://app.example",
                    "https://app.example:8443",
                ] {
                    refused(&mut client, "/set/a/1", &[("origin", origin), token], "origin_not_allowed").await;
                }
                for origin in ["https://app.example", "https://partner.example"] {
                    client.post_with("/set/a/1", &[("origin", origin), token]).await.ok();
                }
                let partner = [("origin", "https://partner.example"), ("sec-fetch-site", "cross-site"), token];
                client.post_with("/set/a/1", &partner).await.ok();
            }
            let navigation = [("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), token];
            client.post_with("/set/a/1", &navigation).await.ok();
            client.post_with("/set/a/1", &[("sec-fetch-site", "same-origin"), token]).await.ok();
        }
    }
}

/// A26, R050: a forged sign-in is refused, so that nobody acts in an attacker's session unawares, and so is a forged
/// sign-out.
#[tokio::test]
async fn the_sign_in_is_defended() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        refused(&mut client, "/sign-in/mallory", &[("sec-fetch-site", "cross-site")], "origin_not_allowed").await;
        refused(&mut client, "/sign-in/mallory", &[("sec-fetch-site", "same-origin")], "csrf_failed").await;
        refused(&mut client, "/sign-in/mallory", &[("origin", "https://evil.example")], "csrf_failed").await;
        client.get("/set/a/1").await.ok();
        refused(&mut client, "/sign-in/mallory", &[], "csrf_failed").await;
        refused(&mut client, "/sign-out", &[], "csrf_failed").await;
        assert_eq!(client.get("/me").await.status, StatusCode::UNAUTHORIZED, "{kept:?}");
        // No browser at all, and no cookie: there is nothing to forge.
        world.client().post_with("/sign-in/ann", &[]).await.ok();
    }
}

/// R046: forms send their token in a field; the handler gets the body as it was.
#[tokio::test]
async fn forms_send_the_token_in_a_field() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        let token = client.get("/csrf").await.ok().body;
        let submit = async |client: &mut Client, media: &str, body: String| {
            let mut request = client.request(Method::POST, "/set/a/1", Body::from(body));
            request.headers_mut().insert(CONTENT_TYPE, media.parse().unwrap());
            client.send(request).await.status
        };
        let form = "application/x-www-form-urlencoded";
        assert_eq!(submit(&mut client, form, format!("csrf_token={token}")).await, StatusCode::OK, "{kept:?}");
        let among = format!("a=1&csrf_token={}&b=2", token.replace('.', "%2E"));
        assert_eq!(submit(&mut client, &format!("{form}; charset=utf-8"), among).await, StatusCode::OK);
        for (media, body) in [
            (form, String::new()),
            (form, format!("csrf_token={token}&csrf_token={token}")),
            (form, format!("CSRF_TOKEN={token}")),
            (form, format!("xcsrf_token={token}")),
            ("text/plain", format!("csrf_token={token}")),
            ("application/json", format!("{{\"csrf_token\":\"{token}\"}}")),
        ] {
            assert_eq!(submit(&mut client, media, body.clone()).await, StatusCode::FORBIDDEN, "{media} {body}");
        }
        let large = format!("a={}&csrf_token={token}", "v".repeat(65 * 1024));
        assert_eq!(submit(&mut client, form, large).await, StatusCode::PAYLOAD_TOO_LARGE);
        // Not from the URL.
        let mut request = client.request(Method::POST, &format!("/set/a/1?csrf_token={token}"), Body::empty());
        request.headers_mut().insert(CONTENT_TYPE, form.parse().unwrap());
        assert_eq!(client.send(request).await.status, StatusCode::FORBIDDEN);
    }
}

/// A22: no other media type and no override of the method gets past the token.
#[tokio::test]
async fn media_types_and_overrides_change_nothing() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.get("/set/a/1").await.ok();
        for (media, body) in [
            ("text/plain", "{\"a\":2}"),
            ("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n2\r\n--x--"),
            ("application/x-www-form-urlencoded", "_method=GET&a=2"),
            ("application/json", "{\"_method\":\"GET\"}"),
        ] {
            for overrides in [None, Some("GET"), Some("HEAD")] {
                let mut request = client.request(Method::POST, "/set/a/2", Body::from(body));
                request.headers_mut().insert(CONTENT_TYPE, media.parse().unwrap());
                if let Some(method) = overrides {
                    for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
                        request.headers_mut().insert(name, method.parse().unwrap());
                    }
                }
                let refused = client.send(request).await;
                assert_eq!(
                    (refused.status, refused.code().as_str()),
                    (StatusCode::FORBIDDEN, "csrf_failed"),
                    "{media}"
                );
            }
        }
        for method in ["PUT", "PATCH", "DELETE", "BREW"] {
            let request = client.request(method.parse().unwrap(), "/set/a/2", Body::empty());
            assert_eq!(client.send(request).await.status, StatusCode::FORBIDDEN, "{method}");
        }
        assert_eq!(client.get("/read/a").await.body, "1", "{kept:?}");
    }
}

/// A27: the layer opens nothing to other origins; whoever wants that adds a layer for it.
#[tokio::test]
async fn no_origin_is_let_in() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        client.sent.push(("origin", "https://evil.example".into()));
        client.sent.push(("access-control-request-method", "POST".into()));
        for method in [Method::GET, Method::OPTIONS] {
            let request = client.request(method, "/me", Body::empty());
            let answer = client.send(request).await;
            assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{kept:?}");
        }
    }
}

/// A GET that opens a WebSocket carries cookies from any page and can bear no token: its origin decides.
#[tokio::test]
async fn websockets_open_from_the_own_pages_alone() {
    let named = Origins::new([Origin::new("https://app.example").unwrap()]);
    for kept in Kept::ALL {
        for with_origins in [false, true] {
            let world = World::with(kept, |options| {
                if with_origins {
                    options.origins.own = named.clone();
                }
            })
            .await;
            let mut client = world.client();
            client.post("/sign-in/ann").await.ok();
            for (headers, expected) in [
                (vec![("origin", "https://evil.example")], 403),
                (vec![("origin", "null")], 403),
                (vec![("origin", "https://app.example.evil.example")], 403),
                (vec![("origin", "https://app.example"), ("sec-fetch-site", "cross-site")], 403),
                (vec![("origin", "https://evil.example"), ("sec-fetch-site", "same-site")], 403),
                (vec![("origin", "https://app.example"), ("origin", "https://app.example")], 403),
                (vec![("origin", "https://app.example")], 200),
                (vec![("origin", "https://app.example"), ("sec-fetch-site", "same-origin")], 200),
                (vec![], 200),
            ] {
                for upgrade in ["websocket", "WebSocket", "h2c, websocket"] {
                    let mut request = client.request(Method::GET, "/me", Body::empty());
                    let fixed = [("host", "app.example"), ("connection", "upgrade"), ("upgrade", upgrade)];
                    for (name, value) in fixed.iter().chain(&headers) {
                        request.headers_mut().append(*name, value.parse().unwrap());
                    }
                    let status = client.send(request).await.status.as_u16();
                    assert_eq!(status, expected, "{kept:?} {with_origins} {headers:?} {upgrade}");
                }
            }
        }
    }
}

/// Where origins alone decide, a browser that says nothing of its origin is refused.
#[tokio::test]
async fn by_origin_alone() {
    let world = World::with(Kept::Memory, |options| options.csrf = CsrfMode::Origin).await;
    let mut client = world.client();
    client.get("/set/a/1").await.ok();
    client.post_with("/set/a/2", &[("sec-fetch-site", "same-origin")]).await.ok();
    refused(&mut client, "/set/a/3", &[("sec-fetch-site", "cross-site")], "origin_not_allowed").await;
    refused(&mut client, "/set/a/3", &[], "origin_not_allowed").await;
    assert_eq!(client.get("/read/a").await.body, "2");
}
