//! Hostile headers, spellings and JSON: a token has one form.

use super::*;

/// R053, R054, R055, A29, A31, A33, A35: the header says exactly what ours says.
#[test]
fn foreign_headers_are_refused() {
    let kid = kid();
    for alg in
        ["none", "None", "nOnE", "NONE", "", "HS256", "HS384", "RS256", "ES256", "PS256", "Ed25519", "eddsa", "EDDSA"]
    {
        let header = json!({ "alg": alg, "typ": "at+jwt", "kid": kid }).to_string();
        refused(&signed(&header, claims_json()), alg);
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(claims_json()));
        refused(&format!("{text}."), alg);
    }
    let types = [
        "JWT",
        "jwt",
        "AT+JWT",
        "at+JWT",
        "application/at+jwt",
        "dpop+jwt",
        "dbsc+jwt",
        "secevent+jwt",
        "logout+jwt",
        "wayleave-assertion+jwt",
        "",
        " at+jwt",
    ];
    for typ in types {
        refused(&signed(json!({ "alg": "EdDSA", "typ": typ, "kid": kid }).to_string(), claims_json()), typ);
    }
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let extras = [
        ("jku", json!("https://evil.example/jwks.json")),
        ("x5u", json!("https://evil.example/cert")),
        ("jwk", jwk),
        ("x5c", json!(["AAAA"])),
        ("x5t", json!("AAAA")),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
        ("enc", json!("A256GCM")),
        ("nonce", json!("1")),
        ("", json!(null)),
    ];
    for (name, value) in extras {
        let mut header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": kid });
        header[name] = value;
        refused(&signed(header.to_string(), claims_json()), name);
    }
    for missing in ["alg", "typ", "kid"] {
        let mut header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": kid });
        header.as_object_mut().unwrap().remove(missing);
        refused(&signed(header.to_string(), claims_json()), missing);
        for wrong in [json!(null), json!(1), json!(["EdDSA"]), json!({}), json!(true)] {
            header[missing] = wrong;
            refused(&signed(header.to_string(), claims_json()), missing);
        }
    }
}

/// R056, A30: a kid is looked up and nothing else.
#[test]
fn hostile_key_names_are_refused() {
    let long = "A".repeat(10_000);
    let kids = [
        json!("../../dev/null"),
        json!("' OR 1=1 --"),
        json!("https://evil.example/jwks.json"),
        json!(""),
        json!(long),
        json!(key(2, ALWAYS).name().as_str()),
        json!(kid().to_lowercase()),
        json!(format!("{} ", kid())),
        json!(&kid()[..10]),
        json!(0),
        json!([kid()]),
        json!({ "kid": kid() }),
        json!(null),
    ];
    for name in kids {
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": name }).to_string();
        refused(&signed(header, claims_json()), "kid");
    }
}

/// R057, A37: members that stand twice are refused, in whichever order, and so is what follows the JSON.
#[test]
fn repeated_members_and_trailing_data_are_refused() {
    let (header, claims) = (header_json(), claims_json());
    for (member, other) in [("alg", "\"none\""), ("typ", "\"JWT\""), ("kid", "\"x\"")] {
        refused(&signed(header.replacen('{', &format!("{{\"{member}\":{other},"), 1), &claims), member);
        refused(&signed(header.replace('}', &format!(",\"{member}\":{other}}}")), &claims), member);
    }
    let own: serde_json::Value = serde_json::from_str(&claims).unwrap();
    for (member, value) in own.as_object().unwrap() {
        // Even with the same value.
        refused(&signed(&header, claims.replacen('{', &format!("{{\"{member}\":{value},"), 1)), member);
    }
    for tail in ["{}", "x", "\0", ",", "}", "null"] {
        refused(&signed(&header, format!("{claims}{tail}")), tail);
        refused(&signed(format!("{header}{tail}"), &claims), tail);
    }
    for unknown in ["nbf", "cnf", "admin", "Exp", "exp "] {
        refused(&signed(&header, claims.replacen('{', &format!("{{\"{unknown}\":1,"), 1)), unknown);
    }
}

/// R057, A37: what is no JSON object of text is refused, however deep.
#[test]
fn what_is_no_object_is_refused() {
    let (header, claims) = (header_json(), claims_json());
    for json in ["", "null", "[]", "1", "\"a\"", "{", "{}", "\u{feff}{}"] {
        refused(&signed(json, &claims), json);
        refused(&signed(&header, json), json);
    }
    // Longer than any token that is looked at.
    let bomb = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    refused(&signed(&header, &bomb), "nesting");
    // As deep as fits, behind a good beginning and in a known member.
    for member in ["x", "act", "amr", "exp"] {
        let deep = claims.replacen('{', &format!("{{\"{member}\":{}{},", "[".repeat(2000), "]".repeat(2000)), 1);
        assert!(signed(&header, &deep).len() < MAX_JWT);
        refused(&signed(&header, &deep), member);
    }
    for bytes in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"] {
        let position = claims.find("user:1").unwrap();
        let mut claims = claims.clone().into_bytes();
        claims.splice(position..position, bytes.iter().copied());
        refused(&signed(&header, claims), "invalid UTF-8");
    }
}

/// R057, A10: one spelling of three segments.
#[test]
fn other_spellings_are_refused() {
    let good = good();
    let segments: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = segments[..] else { panic!("three segments") };
    let mut spellings = vec![
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}..{signature}"),
        format!(".{claims}.{signature}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!("{header}.{claims}.{claims}.{signature}"),
        format!("{header}.{claims}.{signature}.{signature}.{signature}"),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}="),
        format!("{good}=="),
        format!("{header}=.{claims}.{signature}"),
        format!("{header}.{claims}=.{signature}"),
        format!("{header}.{claims}\n.{signature}"),
        format!("{header}.{claims}.{signature}\0"),
        format!("{header}.{claims}.\u{ff21}{}", &signature[1..]),
        good.replace('.', ","),
        good.to_uppercase(),
        // RFC 7515 section 7.2: the JSON serialisations.
        json!({ "protected": header, "payload": claims, "signature": signature }).to_string(),
        json!({ "payload": claims, "signatures": [{ "protected": header, "signature": signature }] }).to_string(),
        format!("Bearer {good}"),
        format!("{good}{}", "A".repeat(MAX_JWT)),
    ];
    // The standard alphabet, where it differs: signatures differ from token to token, so that some have such letters.
    for jti in 0..20 {
        let token = issue(&keys(), &Claims { jti: jti.to_string(), ..self::claims() }, now()).unwrap();
        let standard = token.replace('-', "+").replace('_', "/");
        if standard != token {
            spellings.push(standard);
        }
    }
    assert!(spellings.len() > 35);
    for spelling in &spellings {
        refused(spelling, "spelling");
    }
    // Bits that no byte has: 64 bytes end in a letter of which only two bits count.
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut accepted = 0;
    for letter in alphabet.chars().filter(|letter| *letter != last) {
        accepted += usize::from(check(&format!("{}{letter}", &good[..good.len() - 1])).is_ok());
    }
    assert_eq!(accepted, 0);
}

/// A33: an assertion is signed by the same key and is no access token.
#[test]
fn an_assertion_is_no_access_token() {
    let assertion = issue_assertion(&keys(), &claims(), now()).unwrap();
    refused(&assertion, "assertion");
    assert_eq!(session_of(&keys(), &audience(), &assertion, now()), Err(InvalidJwt));
}

/// What is issued is never longer than what is looked at, and too long is an error.
#[test]
fn lengths_are_bounded() {
    const { assert!(MAX_ISSUED <= MAX_JWT) };
    let of = |length| issue(&keys(), &Claims { scope: "a".repeat(length), ..claims() }, now());
    assert!(of(1000).unwrap().len() <= MAX_ISSUED);
    assert_eq!(of(MAX_ISSUED), Err(CannotIssue));
    // R007: past the limit nothing is decoded; just below it is.
    let pad = |length: usize| signed(header_json(), claims_json().replace("read:profile", &"a".repeat(length)));
    assert!(pad(5000).len() < MAX_JWT && check(&pad(5000)).is_ok());
    assert!(pad(6500).len() > MAX_JWT);
    refused(&pad(6500), "too long");
}
