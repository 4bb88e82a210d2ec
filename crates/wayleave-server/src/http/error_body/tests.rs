//! What `Accept` headers ask for.

use super::*;

fn form(fields: &[&str]) -> Form {
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append(ACCEPT, HeaderValue::from_str(field).unwrap());
    }
    Form::of(&headers)
}

/// R083: problem details for those who ask for them by name.
#[test]
fn problem_details_are_asked_for_by_name() {
    for accept in [
        "application/problem+json",
        "Application/Problem+JSON",
        "application/json, application/problem+json",
        "application/problem+json, application/json;q=0.9",
        "application/json;q=0.4;x=y, application/problem+json;q=0.5",
        "text/html, application/problem+json; q=0.001",
    ] {
        assert_eq!(form(&[accept]), Form::Problem, "{accept}");
    }
    assert_eq!(form(&["text/html", "application/problem+json"]), Form::Problem);
    for accept in [
        "",
        "*/*",
        "application/*",
        "application/json",
        "application/problem+json;q=0",
        "application/problem+json;q=0.5, application/json",
        "application/problem+json;q=2",
        "application/problem+json;q=0.0001",
        "application/problem+json;q=-1",
        "application/problem+xml",
    ] {
        assert_eq!(form(&[accept]), Form::Ours, "{accept}");
    }
    assert_eq!(form(&[]), Form::Ours);
}
