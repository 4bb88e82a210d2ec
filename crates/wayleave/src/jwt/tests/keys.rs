//! Keys: which sign, which verify, which are published, and that none is shown.

use std::fmt::Write as _;

use super::*;

/// R061, A36: which key signs and which verify, at each moment of a rotation.
#[test]
fn a_rotation_step_by_step() {
    let at = |seconds| Timestamp::from_seconds(NOW + seconds);
    let old = key(1, KeyLife { created_at: at(-100), signs_from: at(-100), retired_at: Some(at(200)) });
    let new = key(2, KeyLife { created_at: at(0), signs_from: at(100), retired_at: None });
    let names = [old.name().clone(), new.name().clone()];
    let set = KeySet::new(vec![new, old]).unwrap();
    let good_name = |seconds: i64, name: &KeyName| set.verifying(name.as_str(), at(seconds)).is_some();
    for (seconds, signer, published, old_verifies) in [
        (0, 0, 2, true),
        (99, 0, 2, true),
        (100, 1, 2, true),
        (199, 1, 2, true),
        (200, 1, 1, false),
        (9999, 1, 1, false),
    ] {
        assert_eq!(set.signing(at(seconds)).unwrap().name(), &names[signer], "{seconds}");
        assert_eq!(set.jwks(at(seconds))["keys"].as_array().unwrap().len(), published, "{seconds}");
        assert_eq!(good_name(seconds, &names[0]), old_verifies, "{seconds}");
        // The next one verifies before it signs: another node may be ahead.
        assert!(good_name(seconds, &names[1]), "{seconds}");
    }
    let issued =
        |seconds| issue(&set, &Claims { iat: NOW + seconds, exp: NOW + seconds + 900, ..claims() }, at(seconds));
    let by_old = issued(99).unwrap();
    assert!(verify(&set, &audience(), &by_old, at(199)).is_ok());
    assert!(verify(&set, &audience(), &by_old, at(200)).is_err());
}

/// A key that is retired signs nothing, whatever else there is.
#[test]
fn a_retired_key_signs_nothing() {
    let at = |seconds| Timestamp::from_seconds(NOW + seconds);
    let retired = |seed| key(seed, KeyLife { retired_at: Some(at(0)), ..ALWAYS });
    let coming = |seed| key(seed, KeyLife { created_at: at(0), signs_from: at(100), retired_at: None });
    assert!(KeySet::default().signing(now()).is_none());
    assert!(KeySet::new(vec![retired(1)]).unwrap().signing(now()).is_none());
    assert_eq!(issue(&KeySet::new(vec![retired(1)]).unwrap(), &claims(), now()), Err(CannotIssue));
    // Nobody can know the coming one yet, but nobody would take the retired one.
    let set = KeySet::new(vec![coming(2), retired(1)]).unwrap();
    assert_eq!(set.signing(now()).unwrap().name(), coming(2).name());
    let set = KeySet::new(vec![coming(3), coming(2)]).unwrap();
    assert_eq!(set.signing(now()).unwrap().name(), coming(2).name(), "the older of two that nobody can know");
}

#[test]
fn a_set_is_bounded_and_distinct() {
    let many = |count| (0..count).map(|seed| key(seed, ALWAYS)).collect();
    assert!(KeySet::new(many(16)).is_ok());
    assert_eq!(KeySet::new(many(17)).err(), Some(InvalidKeySet));
    assert_eq!(KeySet::new(vec![key(1, ALWAYS), key(1, ALWAYS)]).err(), Some(InvalidKeySet));
}

/// R061: a published key has public members and no other.
#[test]
fn only_public_members_are_published() {
    let set = KeySet::new(vec![key(1, ALWAYS), key(2, ALWAYS)]).unwrap();
    let published = set.jwks(now());
    for jwk in published["keys"].as_array().unwrap() {
        let mut members: Vec<_> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"]);
    }
    let text = published.to_string();
    for seed in [1, 2] {
        assert!(!text.contains(&URL_SAFE_NO_PAD.encode(*key(seed, ALWAYS).seed())));
    }
}

/// R062: what can be shown shows no secret.
#[test]
fn nothing_shows_a_secret() {
    let key = key(0xa5, ALWAYS);
    let shown = format!("{:?} {:?} {:?} {:?}", key.name(), key.life(), InvalidJwt, CannotIssue);
    let seed = key.seed();
    let hex = seed.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    for secret in [hex, URL_SAFE_NO_PAD.encode(*seed), format!("{:?}", *seed)] {
        assert!(!shown.to_lowercase().contains(&secret.to_lowercase()));
    }
}

/// RFC 8037 appendices A.1 to A.3: the public key, and the thumbprint of RFC 7638 whose beginning names it.
#[test]
fn names_are_the_beginnings_of_thumbprints() {
    let key = rfc_8037_key();
    assert_eq!(key.name().as_str(), "kPrK_qmxVWa");
    let set = KeySet::new(vec![key]).unwrap();
    assert_eq!(set.jwks(now())["keys"][0]["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
}
