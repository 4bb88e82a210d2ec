//! Claims: each required, each of its type, each within its bounds.

use super::*;

/// R053: every claim is required, and none may be empty of meaning or of another type.
#[test]
fn every_claim_is_required() {
    let own: serde_json::Value = serde_json::from_str(&claims_json()).unwrap();
    let members: Vec<String> = own.as_object().unwrap().keys().cloned().collect();
    assert_eq!(members.len(), 12);
    for member in members {
        let mut without = own.clone();
        without.as_object_mut().unwrap().remove(&member);
        refused(&signed(header_json(), without.to_string()), &member);
        let wrong = match own[&member] {
            serde_json::Value::Number(_) => [json!(null), json!("1"), json!([1]), json!({}), json!(true)],
            serde_json::Value::String(_) => [json!(null), json!(1), json!(["a"]), json!({}), json!(true)],
            _ => [json!(null), json!("pwd"), json!([1]), json!({}), json!([null])],
        };
        for value in wrong {
            without[&member] = value;
            refused(&signed(header_json(), without.to_string()), &member);
        }
    }
    for act in ["\"user:2\"", "{}", "{\"sub\":1}", "{\"sub\":\"a\",\"sub\":\"b\"}", "{\"sub\":\"a\",\"act\":{}}"] {
        let claims = claims_json().replacen('{', &format!("{{\"act\":{act},"), 1);
        refused(&signed(header_json(), claims), act);
    }
}

/// R058, A32 (CVE-2026-25537): times are whole numbers of seconds, and lie where they may.
#[test]
fn times_are_whole_numbers_within_bounds() {
    for member in ["exp", "iat", "auth_time"] {
        for value in [
            "\"never\"",
            "\"99999999999\"",
            "1e400",
            "1e9",
            "1767225600.5",
            "1767226000.0",
            "null",
            "[1]",
            "-1",
            "9223372036854775808",
            "18446744073709551616",
            "NaN",
            "0x10",
            "1_000",
            "01",
        ] {
            let own =
                format!("\"{member}\":{}", serde_json::from_str::<serde_json::Value>(&claims_json()).unwrap()[member]);
            let claims = claims_json().replace(&own, &format!("\"{member}\":{value}"));
            assert_ne!(claims, claims_json());
            refused(&signed(header_json(), claims), &format!("{member} = {value}"));
        }
    }
    let leeway = i64::try_from(LEEWAY.as_secs()).unwrap();
    let cases = [
        (NOW, NOW + 1, true),
        (NOW, NOW, false),
        (NOW - 900, NOW, false),
        (NOW - 900, NOW + 1, true),
        (NOW, NOW - 1, false),
        // At most an hour, whatever the policy says.
        (NOW, NOW + 3600, true),
        (NOW, NOW + 3601, false),
        (NOW - 3600, NOW + 1, false),
        (NOW + leeway, NOW + 900, true),
        (NOW + leeway + 1, NOW + 900, false),
        (0, NOW + 900, false),
        (i64::MIN, i64::MAX, false),
        (-1, i64::MAX, false),
        (i64::MAX, i64::MIN, false),
        (NOW, i64::MAX, false),
    ];
    for (iat, exp, expected) in cases {
        let token = issue(&keys(), &Claims { iat, exp, ..claims() }, now()).unwrap();
        assert_eq!(check(&token).is_ok(), expected, "iat {iat}, exp {exp}");
    }
}

/// R058: the end is the exact second, also on a clock that counts milliseconds.
#[test]
fn the_end_is_exact() {
    for (millis, expected) in [(NOW * 1000 + 899_999, true), (NOW * 1000 + 900_000, false)] {
        let at = Timestamp::from_millis(millis);
        assert_eq!(verify(&keys(), &audience(), &good(), at).is_ok(), expected, "{millis}");
    }
}

/// R059, A34: issuer and audience are these very texts.
#[test]
fn issuer_and_audience_are_exact() {
    let api = "https://api.example.org";
    for iss in [
        "https://auth.example.org/",
        "https://auth.example.org ",
        "http://auth.example.org",
        "HTTPS://auth.example.org",
        "https://AUTH.example.org",
        "https://auth.example.org.evil.example",
        "",
    ] {
        let token = issue(&keys(), &Claims { iss: iss.into(), ..claims() }, now()).unwrap();
        refused(&token, iss);
        assert_eq!(session_of(&keys(), &audience(), &token, now()), Err(InvalidJwt), "{iss}");
    }
    for aud in [
        json!(format!("{api}/")),
        json!(""),
        json!([]),
        json!([api]),
        json!([api, "https://evil.example"]),
        json!([[api]]),
        json!({ "aud": api }),
    ] {
        let mut claims: serde_json::Value = serde_json::from_str(&claims_json()).unwrap();
        claims["aud"] = aud.clone();
        refused(&signed(header_json(), claims.to_string()), &aud.to_string());
    }
}

/// The session must be one that could be.
#[test]
fn the_session_is_an_id() {
    for sid in [
        "",
        "sess_",
        "../../etc/passwd",
        "sess_AAAA",
        &format!("{} ", session()),
        &session().to_string().to_uppercase(),
    ] {
        refused(&issue(&keys(), &Claims { sid: sid.into(), ..claims() }, now()).unwrap(), sid);
    }
}
