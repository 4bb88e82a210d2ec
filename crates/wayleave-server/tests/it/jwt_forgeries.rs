//! JWT access tokens over HTTP: whatever is not exactly what this server signs is answered like an unknown token.

use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::people::{ANN, unknown_access, with_jwt_kind};
use crate::world::{Client, Keeping, World};

/// What a hostile token is made from: everything that an attacker could know, and the key that only we have.
struct Mint {
    key: SigningKey,
    header: Value,
    claims: Value,
    good: String,
}

impl Mint {
    async fn new(world: &World, data: &Value) -> Self {
        let good = data["session_token"].as_str().unwrap().to_owned();
        let part = |index: usize| -> Value {
            serde_json::from_slice(&B64.decode(good.split('.').nth(index).unwrap()).unwrap()).unwrap()
        };
        let (keys, _) = world.app.signing.load().await.unwrap();
        let key = SigningKey::from_bytes(&keys.keys()[0].seed());
        Self { key, header: part(0), claims: part(1), good }
    }

    /// A token of these texts under our own signature.
    fn text(&self, header: &str, claims: &str) -> String {
        self.bytes(header.as_bytes(), claims.as_bytes())
    }

    fn bytes(&self, header: &[u8], claims: &[u8]) -> String {
        let signed = format!("{}.{}", B64.encode(header), B64.encode(claims));
        let signature = self.key.sign(signed.as_bytes()).to_bytes();
        format!("{signed}.{}", B64.encode(signature))
    }

    fn header(&self, name: &str, value: Value) -> String {
        let mut header = self.header.clone();
        header[name] = value;
        self.text(&header.to_string(), &self.claims.to_string())
    }

    fn claim(&self, name: &str, value: Value) -> String {
        let mut claims = self.claims.clone();
        claims[name] = value;
        self.text(&self.header.to_string(), &claims.to_string())
    }

    /// The claims as text, with `from` replaced.
    fn raw_claims(&self, from: &str, to: &str) -> String {
        let claims = self.claims.to_string();
        assert!(claims.contains(from), "{from} in {claims}");
        self.text(&self.header.to_string(), &claims.replacen(from, to, 1))
    }

    /// Another header and other signature bytes over the same claims.
    fn signed_by(&self, header: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let signed = format!("{}.{}", B64.encode(header.to_string()), B64.encode(self.claims.to_string()));
        let signature = sign(signed.as_bytes());
        format!("{signed}.{}", B64.encode(signature))
    }

    fn with_alg(&self, alg: Value) -> Value {
        let mut header = self.header.clone();
        header["alg"] = alg;
        header
    }
}

async fn world() -> World {
    let world = World::with(Keeping::Memory, with_jwt_kind).await;
    world.person(ANN, &["read:profile"]).await;
    world
}

/// Every route that takes an access token answers a forgery like a token that nobody was given.
async fn refuse(client: &Client<'_>, service: &str, forgeries: Vec<(String, String)>) {
    for path in ["/api/auth/user", "/api/auth/sessions/validate", "/api/auth/verify"] {
        let unknown = client.get_with(&unknown_access(), path).await.masked();
        for (name, token) in &forgeries {
            assert_eq!(client.get_with(token, path).await.masked(), unknown, "{name} at {path}");
        }
    }
    let service = client.world.bearer(service);
    for (name, token) in &forgeries {
        let answer = service.form("/api/auth/introspect", &[("token", token)]).await;
        assert_eq!(answer.text(), r#"{"active":false}"#, "{name}");
    }
}

async fn check(forge: impl Fn(&Mint) -> Vec<(String, String)>) {
    let world = world().await;
    let service = world.administrator().await.make_service("shop", &[]).await;
    let mut client = world.client();
    let data = client.tokens(ANN, "api").await;
    let mint = Mint::new(&world, &data).await;
    client.get("/api/auth/user").await.assert_status(200);
    // What is changed nowhere is accepted, so whatever is refused below is refused for its change.
    let same = mint.text(&mint.header.to_string(), &mint.claims.to_string());
    client.get_with(&same, "/api/auth/user").await.assert_status(200);
    refuse(&client, &service, forge(&mint)).await;
    client.get_with(&mint.good, "/api/auth/user").await.assert_status(200);
}

fn named(name: &str, token: impl Into<String>) -> (String, String) {
    (name.to_owned(), token.into())
}

/// A29, R054: no other algorithm, with any signature that goes with it, and no signature but the one.
#[tokio::test]
async fn algorithms() {
    check(|mint| {
        let mut forgeries = Vec::new();
        for alg in
            [json!("none"), json!("None"), json!("nOnE"), json!(""), Value::Null, json!(["EdDSA"]), json!("eddsa")]
        {
            let header = mint.with_alg(alg.clone());
            forgeries.push(named(&format!("{alg} without signature"), mint.signed_by(&header, |_| Vec::new())));
            let ours = mint.signed_by(&header, |signed| mint.key.sign(signed).to_bytes().to_vec());
            forgeries.push(named(&format!("{alg} with our signature"), ours));
        }
        let mut missing = mint.header.clone();
        missing.as_object_mut().unwrap().remove("alg");
        forgeries.push(named("no alg", mint.signed_by(&missing, |_| Vec::new())));
        let public = mint.key.verifying_key();
        let x = B64.encode(public.as_bytes());
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x }).to_string();
        let der =
            [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], public.as_bytes()].concat();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            base64::engine::general_purpose::STANDARD.encode(&der)
        );
        for alg in ["HS256", "HS512"] {
            for secret in [public.as_bytes().to_vec(), der.clone(), pem.clone().into_bytes(), jwk.clone().into_bytes()]
            {
                let token = mint.signed_by(&mint.with_alg(json!(alg)), |signed| {
                    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
                    mac.update(signed);
                    mac.finalize().into_bytes().to_vec()
                });
                forgeries.push(named(alg, token));
            }
        }
        for alg in ["ES256", "ES384", "RS256", "PS256", "Ed448", "Ed25519", "EdDSA"] {
            forgeries.push(named(&format!("{alg} r=s=0"), mint.signed_by(&mint.with_alg(json!(alg)), |_| vec![0; 64])));
        }
        let genuine = B64.decode(mint.good.rsplit_once('.').unwrap().1).unwrap();
        let signed = mint.good.rsplit_once('.').unwrap().0.to_owned();
        let mut high = genuine.clone();
        // The group's order added to s: verifies in lenient code.
        let order = hex(b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        let mut carry = 0_u16;
        for (byte, add) in high[32..].iter_mut().zip(order) {
            carry += u16::from(*byte) + u16::from(add);
            *byte = u8::try_from(carry & 0xff).unwrap();
            carry >>= 8;
        }
        let der_like = [&[0x30, 0x44, 0x02, 0x20][..], &genuine[..32], &[0x02, 0x20], &genuine[32..]].concat();
        let twice = [genuine.clone(), genuine.clone()].concat();
        for (name, bytes) in [
            ("high s", high),
            ("DER", der_like),
            ("twice", twice),
            ("63 bytes", genuine[..63].to_vec()),
            ("65 bytes", [genuine.clone(), vec![0]].concat()),
        ] {
            forgeries.push(named(name, format!("{signed}.{}", B64.encode(bytes))));
        }
        for bit in [0, 255, 256, 511] {
            let mut flipped = genuine.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            forgeries.push(named("flipped bit", format!("{signed}.{}", B64.encode(flipped))));
        }
        let stranger = SigningKey::from_bytes(&[9; 32]);
        forgeries
            .push(named("stranger", mint.signed_by(&mint.header, |signed| stranger.sign(signed).to_bytes().to_vec())));
        forgeries
    })
    .await;
}

fn hex(digits: &[u8]) -> Vec<u8> {
    let value = |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap();
    digits.chunks(2).map(|pair| value(pair[0]) * 16 + value(pair[1])).collect()
}

/// A30, A31, A35, R055, R056: the header is alg, typ and kid; whatever else stands there is refused, and nothing that
/// it names is fetched.
#[tokio::test]
async fn headers() {
    let canary = TcpListener::bind("127.0.0.1:0").unwrap();
    canary.set_nonblocking(true).unwrap();
    let url = format!("http://{}/jwks.json", canary.local_addr().unwrap());
    check(|mint| {
        let attacker = SigningKey::from_bytes(&[9; 32]);
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": B64.encode(attacker.verifying_key().as_bytes()) });
        let mut forgeries = Vec::new();
        for (name, value) in [
            ("jku", json!(url)),
            ("x5u", json!(url)),
            ("jwk", jwk),
            ("x5c", json!(["MIIB"])),
            ("x5t", json!("AAAA")),
            ("crit", json!(["exp"])),
            ("crit", json!([])),
            ("b64", json!(false)),
            ("zip", json!("DEF")),
            ("cty", json!("JWT")),
            ("enc", json!("A256GCM")),
            ("whatever", json!(1)),
        ] {
            let mut header = mint.header.clone();
            header[name] = value;
            forgeries.push(named(name, mint.signed_by(&header, |signed| mint.key.sign(signed).to_bytes().to_vec())));
            let theirs = mint.signed_by(&header, |signed| attacker.sign(signed).to_bytes().to_vec());
            forgeries.push(named(&format!("{name}, signed by its key"), theirs));
        }
        for kid in [
            json!("../../../../etc/passwd"),
            json!("../../dev/null"),
            json!("' OR 1=1 --"),
            json!(url),
            json!("k".repeat(5000)),
            json!(""),
            json!(0),
            json!([mint.header["kid"]]),
            json!({}),
            Value::Null,
            json!("A".repeat(43)),
        ] {
            forgeries.push(named(&format!("kid {:.30}", kid.to_string()), mint.header("kid", kid)));
        }
        for typ in [
            "JWT",
            "dpop+jwt",
            "dbsc+jwt",
            "secevent+jwt",
            "logout+jwt",
            "id+jwt",
            "wayleave-assertion+jwt",
            "",
            "application/at+jwt",
            "AT+JWT",
        ] {
            forgeries.push(named(&format!("typ {typ}"), mint.header("typ", json!(typ))));
        }
        for name in ["alg", "typ", "kid"] {
            let mut header = mint.header.clone();
            let value = header.as_object_mut().unwrap().remove(name).unwrap();
            forgeries.push(named(&format!("no {name}"), mint.text(&header.to_string(), &mint.claims.to_string())));
            let doubled = mint.header.to_string().replacen('{', &format!("{{\"{name}\":{value},"), 1);
            forgeries.push(named(&format!("two {name}"), mint.text(&doubled, &mint.claims.to_string())));
        }
        forgeries
    })
    .await;
    assert_eq!(canary.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "something was fetched");
}

/// A32, A34, R053, R058, R059: every claim is there once, with its type, its issuer, its audience and a sensible life.
#[tokio::test]
async fn claims() {
    check(|mint| {
        let mut forgeries = Vec::new();
        let names: Vec<_> = mint.claims.as_object().unwrap().keys().cloned().collect();
        for required in
            ["iss", "exp", "aud", "sub", "client_id", "iat", "jti", "sid", "auth_time", "amr", "acr", "scope"]
        {
            assert!(names.iter().any(|name| name == required), "{required}");
        }
        for name in &names {
            let mut claims = mint.claims.clone();
            let value = claims.as_object_mut().unwrap().remove(name).unwrap();
            forgeries.push(named(&format!("no {name}"), mint.text(&mint.header.to_string(), &claims.to_string())));
            let doubled = mint.claims.to_string().replacen('{', &format!("{{\"{name}\":{value},"), 1);
            forgeries.push(named(&format!("two {name}"), mint.text(&mint.header.to_string(), &doubled)));
            for wrong in [Value::Null, json!({}), json!([[]]), json!(true)] {
                forgeries.push(named(&format!("{name} {wrong}"), mint.claim(name, wrong)));
            }
        }
        let iat = mint.claims["iat"].as_i64().unwrap();
        for name in ["exp", "iat"] {
            let number = format!("\"{name}\":{}", mint.claims[name]);
            for wrong in [
                "\"never\"",
                "\"99999999999\"",
                "1e400",
                "-1",
                "99999999999.5",
                "1e10",
                "0x1",
                "[1]",
                "9223372036854775808",
            ] {
                let token = mint.raw_claims(&number, &format!("\"{name}\":{wrong}"));
                forgeries.push(named(&format!("{name} {wrong}"), token));
            }
        }
        for (name, exp) in
            [("ended", iat), ("before its beginning", iat - 1), ("a life of more than an hour", iat + 3601)]
        {
            forgeries.push(named(name, mint.claim("exp", json!(exp))));
        }
        forgeries.push(named("from the future", mint.claim("iat", json!(iat + 31))));
        for nbf in [json!(iat), json!("never"), json!(iat + 1000)] {
            forgeries.push(named("nbf", mint.claim("nbf", nbf)));
        }
        let (iss, aud) = (mint.claims["iss"].as_str().unwrap(), mint.claims["aud"].as_str().unwrap());
        let mut many = vec![json!(aud)];
        many.extend((0..200).map(|n| json!(format!("https://{n}.example"))));
        for wrong in
            [json!([aud]), json!(many), json!([]), json!(""), json!(format!("{aud}/")), json!(aud.to_uppercase())]
        {
            forgeries.push(named(&format!("aud {:.40}", wrong.to_string()), mint.claim("aud", wrong)));
        }
        for wrong in [json!(format!("{iss}/")), json!(iss.replace("http:", "https:")), json!(""), json!([iss])] {
            forgeries.push(named(&format!("iss {wrong}"), mint.claim("iss", wrong)));
        }
        for wrong in ["", "sess_", "../x", "sess_AAAAAAAAAAAAAAAAAAAAAAAA"] {
            forgeries.push(named(&format!("sid {wrong}"), mint.claim("sid", json!(wrong))));
        }
        forgeries
    })
    .await;
}

/// A35, A37, R057: three canonical segments of UTF-8 JSON, and nothing else.
#[tokio::test]
async fn forms() {
    check(|mint| {
        let parts: Vec<_> = mint.good.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("{parts:?}") };
        let mut forgeries: Vec<_> = [
            ("one segment", header.to_owned()),
            ("two segments", format!("{header}.{claims}")),
            ("empty signature", format!("{header}.{claims}.")),
            ("empty claims", format!("{header}..{signature}")),
            ("four segments", format!("{}.{signature}", mint.good)),
            ("five segments, as JWE", format!("{header}.{claims}.{signature}.{claims}.{signature}")),
            ("leading dot", format!(".{}", mint.good)),
            ("trailing dot", format!("{}.", mint.good)),
            ("padding", format!("{}==", mint.good)),
            ("other alphabet", format!("{header}.{claims}.{}", signature.replace('-', "+").replace('_', "/") + "+/")),
        ]
        .into_iter()
        .map(|(name, token)| named(name, token))
        .collect();
        // The last character of 64 bytes carries four bits that must be zero.
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let last = alphabet.find(signature.chars().last().unwrap()).unwrap();
        let twin = alphabet.chars().nth(last + 1).unwrap();
        forgeries
            .push(named("trailing bits", format!("{header}.{claims}.{}{twin}", &signature[..signature.len() - 1])));
        let (head, body) = (mint.header.to_string(), mint.claims.to_string());
        forgeries.push(named("trailing data in the header", mint.text(&format!("{head}{head}"), &body)));
        forgeries.push(named("trailing data in the claims", mint.text(&head, &format!("{body} x"))));
        forgeries.push(named("a byte-order mark", mint.text(&head, &format!("\u{feff}{body}"))));
        forgeries.push(named("invalid UTF-8", mint.bytes(head.as_bytes(), &[body.as_bytes(), &[0xff]].concat())));
        let inside = body.replacen("read:profile", "\u{1}", 1);
        forgeries.push(named("a control character in a string", mint.text(&head, &inside)));
        for depth in [200, 2000] {
            let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            forgeries.push(named("deep header", mint.text(&deep, &body)));
            let deeper = body.replacen("\"amr\":[", &format!("\"amr\":[{deep},"), 1);
            forgeries.push(named("deep claims", mint.text(&head, &deeper)));
        }
        forgeries.push(named("an array", mint.text(&head, "[]")));
        forgeries.push(named("nothing", mint.text("", "")));
        let nested = mint.text(&head, &format!("\"{}\"", mint.good));
        forgeries.push(named("a token in a token", nested));
        forgeries
    })
    .await;
}

/// A35, A37, A10: what is no token at all is refused as malformed, however it is malformed, and at once.
#[tokio::test]
async fn no_tokens() {
    let world = world().await;
    let client = world.client();
    let json_form = r#"{"payload":"e30","signatures":[{"protected":"e30","signature":""}]}"#;
    let deep = "[".repeat(10_000);
    let (long, longer) = ("e".repeat(9000), "e".repeat(100_000));
    for (credential, status) in
        [(json_form, 400), (&*deep, 400), ("a b", 400), ("", 400), ("eyJ\u{e9}", 400), (&*long, 400), (&*longer, 431)]
    {
        let answer = client.get_with(credential, "/api/auth/user").await;
        assert_eq!(answer.status.as_u16(), status, "{credential:.20} {}", answer.text());
    }
}
