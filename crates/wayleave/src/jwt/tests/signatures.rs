//! Signatures: forged, malleated, and those of the published examples.

use super::*;

/// R054, A29: the public key is no shared secret. HMAC-SHA256 by hand, over each form in which it is published.
#[test]
fn the_public_key_is_no_shared_secret() {
    fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
        use sha2::{Digest as _, Sha256};
        let mut block = [0; 64];
        if key.len() > block.len() {
            block[..32].copy_from_slice(&Sha256::digest(key));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
        Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
    }
    // RFC 4231 section 4.3.
    assert_eq!(hmac(b"Jefe", b"what do ya want for nothing?")[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    let published = keys().jwks(now());
    let public = key(1, ALWAYS).secret().verifying_key();
    let x = published["keys"][0]["x"].as_str().unwrap().to_owned();
    for secret in [public.as_bytes().to_vec(), x.into_bytes(), published["keys"][0].to_string().into_bytes()] {
        for alg in ["HS256", "EdDSA"] {
            let header = json!({ "alg": alg, "typ": "at+jwt", "kid": kid() }).to_string();
            let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims_json()));
            let mac = hmac(&secret, text.as_bytes());
            refused(&format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac)), alg);
            refused(&format!("{text}.{}", URL_SAFE_NO_PAD.encode([mac, mac].concat())), alg);
        }
    }
}

/// Every bit of a signature counts, and so does every bit of what it signs.
#[test]
fn every_bit_is_signed() {
    let good = good();
    let segments: Vec<Vec<u8>> = good.split('.').map(|segment| URL_SAFE_NO_PAD.decode(segment).unwrap()).collect();
    for at in 0..3 {
        for bit in 0..segments[at].len() * 8 {
            let mut changed = segments.clone();
            changed[at][bit / 8] ^= 1 << (bit % 8);
            let token = changed.iter().map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).collect::<Vec<_>>().join(".");
            refused(&token, "a flipped bit");
        }
    }
}

/// A29: signatures that lenient verifiers take for good: `s` past the group order, zeros, points of small order.
#[test]
fn malleated_signatures_are_refused() {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let good = good();
    let (text, signature) = good.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let with = |signature: &[u8]| format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature));
    assert!(check(&with(&signature)).is_ok());

    let mut carried = signature.clone();
    let mut carry = 0;
    for (byte, order) in carried[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    refused(&with(&carried), "s + order");

    let mut identity = [0; 32];
    identity[0] = 1;
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    for point in [[0; 32], identity, minus_one] {
        refused(&with(&[point, [0; 32]].concat()), "a point of small order");
        refused(&with(&[&point[..], &signature[32..]].concat()), "a point of small order");
    }
    for length in [0, 1, 32, 63, 65, 70, 72, 96, 128] {
        let mut other = signature.clone();
        other.resize(length, 0);
        refused(&with(&other), "length");
    }
    let swapped = [&signature[32..], &signature[..32]].concat();
    refused(&with(&swapped), "halves swapped");
}

/// Tokens of other deployments: another key under our name, our key under another name.
#[test]
fn keys_of_others_sign_nothing() {
    let text = good().rsplit_once('.').unwrap().0.to_owned();
    let forged = key(2, ALWAYS).secret().sign(text.as_bytes());
    refused(&format!("{text}.{}", URL_SAFE_NO_PAD.encode(forged.to_bytes())), "another key");
    let theirs = KeySet::new(vec![key(2, ALWAYS)]).unwrap();
    refused(&issue(&theirs, &claims(), now()).unwrap(), "an unknown name");
    // R056: no key but the one that is named is tried.
    let both = KeySet::new(vec![key(1, ALWAYS), key(2, ALWAYS)]).unwrap();
    let misnamed = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": key(2, ALWAYS).name().as_str() }).to_string();
    assert_eq!(verify(&both, &audience(), &signed(misnamed, claims_json()), now()), Err(InvalidJwt));
    assert!(verify(&both, &audience(), &issue(&theirs, &claims(), now()).unwrap(), now()).is_ok());
}

/// RFC 8037 appendix A.4: the signature of the example, which is no access token.
#[test]
fn signs_as_the_published_example() {
    let text = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let expected = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let signature = rfc_8037_key().secret().sign(text.as_bytes());
    assert_eq!(URL_SAFE_NO_PAD.encode(signature.to_bytes()), expected);
    let set = KeySet::new(vec![rfc_8037_key()]).unwrap();
    assert_eq!(verify(&set, &audience(), &format!("{text}.{expected}"), now()), Err(InvalidJwt));
}
