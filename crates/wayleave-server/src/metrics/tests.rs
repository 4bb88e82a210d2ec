//! Tests of the metrics: what is counted, and that nothing of a client's gets in.

use super::*;

const READINGS: Readings = Readings {
    warm_sessions: 3,
    pending_touches: 2,
    audit_dropped: 7,
    password: Load { admitted: 4, running: 1, hashes: 11, turned_away: 5 },
    cluster: None,
};

/// A80: the pattern of a route is counted; ids, queries, methods and paths that a client makes up are not to be seen.
#[test]
fn nothing_that_a_client_sends_becomes_a_label() {
    let metrics = Metrics::new();
    let count = |route: &RouteSeries, method: &str, status: u16| {
        let status = StatusCode::from_u16(status).unwrap();
        route.method(&method.parse().unwrap()).count(status, Instant::now());
    };
    let (session, gone) = (metrics.route("/sessions/{id}".to_owned()), metrics.route("/gone".to_owned()));
    count(&session, "GET", 200);
    count(&session, "GET", 299);
    count(&gone, "GET", 410);
    count(&gone, "HEAD", 100);
    count(&gone, "GET", 503);
    count(&gone, "CANARY-METHOD", 410);
    count(&gone, "get", 999);
    count(&gone, "get", 100);
    let text = metrics.render(READINGS);
    for line in [
        r#"wayleave_http_requests_total{method="GET",route="/sessions/{id}",status="2xx"} 2"#,
        r#"wayleave_http_requests_total{method="GET",route="/gone",status="4xx"} 1"#,
        r#"wayleave_http_requests_total{method="GET",route="/gone",status="5xx"} 1"#,
        r#"wayleave_http_requests_total{method="HEAD",route="/gone",status="1xx"} 1"#,
        r#"wayleave_http_requests_total{method="other",route="/gone",status="4xx"} 1"#,
        r#"wayleave_http_requests_total{method="other",route="/gone",status="other"} 1"#,
        r#"wayleave_http_requests_total{method="other",route="/gone",status="1xx"} 1"#,
        r#"wayleave_http_request_duration_seconds_count{method="GET",route="/sessions/{id}"} 2"#,
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert!(!text.to_ascii_lowercase().contains("canary"), "{text}");
}

#[test]
fn events_logins_and_readings_are_written() {
    let metrics = Metrics::new();
    metrics.session_event("session.revoked", "administrator");
    metrics.session_event("session.created", "");
    metrics.clone().session_event("session.created", "");
    metrics.login("success");
    let text = metrics.render(READINGS);
    for line in [
        r#"wayleave_session_events_total{event="session.revoked",reason="administrator"} 1"#,
        r#"wayleave_session_events_total{event="session.created",reason=""} 2"#,
        r#"wayleave_logins_total{outcome="success"} 1"#,
        "wayleave_uptime_seconds 0",
        "wayleave_sessions_warm 3",
        "wayleave_touches_pending 2",
        "wayleave_audit_dropped_total 7",
        "wayleave_password_admitted 4",
        "wayleave_password_running 1",
        "wayleave_password_hashes_total 11",
        "wayleave_password_turned_away_total 5",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line} is missing in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    let late = metrics.render(Readings { audit_dropped: 6, ..READINGS });
    assert!(late.contains("wayleave_audit_dropped_total 7\n"), "a counter fell");
}

/// Two servers in one process do not count each other's requests.
#[test]
fn registries_are_apart() {
    let (one, other) = (Metrics::new(), Metrics::new());
    one.login("refused");
    assert!(one.render(READINGS).contains("outcome=\"refused\""));
    assert!(!other.render(READINGS).contains("outcome="));
}
