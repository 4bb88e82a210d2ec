//! CSRF tokens and everything that must not pass for one.

use proptest::prelude::*;
use wayleave_testkit::entropy::SeededEntropy;

use super::*;

const A: [u8; 32] = [1; 32];
const B: [u8; 32] = [2; 32];

fn key() -> CsrfKey {
    CsrfKey::new([9; 32])
}

fn issue(binding: CsrfBinding<'_>, seed: u64) -> String {
    key().issue(binding, &SeededEntropy::new(seed)).unwrap()
}

fn check(explicit: Option<&str>, cookie: Option<&str>, binding: CsrfBinding<'_>) -> Result<(), CsrfFailure> {
    key().verify(Submitted { explicit, cookie }, binding)
}

/// R044: the token of the session passes, in this rendering or another.
#[test]
fn a_token_of_the_session_passes() {
    let token = issue(CsrfBinding::Session(&A), 1);
    assert_eq!(token.len(), CSRF_TOKEN_LENGTH);
    assert_eq!(check(Some(&token), Some(&token), CsrfBinding::Session(&A)), Ok(()));
    let other_tab = issue(CsrfBinding::Session(&A), 2);
    assert_eq!(check(Some(&token), Some(&other_tab), CsrfBinding::Session(&A)), Ok(()));
}

/// R052: two renderings share neither half.
#[test]
fn renderings_differ() {
    let (one, two) = (issue(CsrfBinding::Session(&A), 1), issue(CsrfBinding::Session(&A), 2));
    let (one, two) = (one.split_once('.').unwrap(), two.split_once('.').unwrap());
    assert_ne!(one.0, two.0);
    assert_ne!(one.1, two.1);
}

/// A23, R045: tokens of another session, of the time before sign-in, swapped, cut, empty or absent.
#[test]
fn nothing_else_passes() {
    let binding = CsrfBinding::Session(&A);
    let good = issue(binding, 1);
    let foreign = issue(CsrfBinding::Session(&B), 1);
    let before = issue(CsrfBinding::PreSession(&A), 1);
    let (random, mac) = good.split_once('.').unwrap();
    let (other_random, _) = foreign.split_once('.').unwrap();
    let elsewhere = CsrfKey::new([8; 32]).issue(binding, &SeededEntropy::new(1)).unwrap();

    assert_eq!(check(Some(&foreign), Some(&foreign), binding), Err(CsrfFailure::NotOurs));
    assert_eq!(check(Some(&before), Some(&before), binding), Err(CsrfFailure::NotOurs));
    assert_eq!(check(Some(&elsewhere), Some(&elsewhere), binding), Err(CsrfFailure::NotOurs));
    assert_eq!(check(Some(&good), Some(&foreign), binding), Err(CsrfFailure::NotOurs));
    assert_eq!(check(Some(&foreign), Some(&good), binding), Err(CsrfFailure::NotOurs));
    assert_eq!(other_random, random, "the seeds give one randomness, so only the binding tells them apart");

    let swapped = format!("{mac}.{random}");
    assert_eq!(check(Some(&swapped), Some(&swapped), binding), Err(CsrfFailure::NotOurs));
    for text in
        ["", ".", "..", random, &good[..good.len() - 1], &format!("{good}A"), &format!("{random}.{}", "!".repeat(43))]
    {
        assert_eq!(check(Some(text), Some(text), binding), Err(CsrfFailure::Malformed), "{text:?}");
    }
    assert_eq!(check(None, None, binding), Err(CsrfFailure::Missing));
    assert_eq!(check(None, Some(&good), binding), Err(CsrfFailure::Missing));
    assert_eq!(check(Some(&good), None, binding), Err(CsrfFailure::CookieMissing));
    assert_eq!(check(Some(&foreign), None, binding), Err(CsrfFailure::NotOurs));
}

/// R045: the boundary between binding and randomness is part of the message.
#[test]
fn lengths_separate_the_parts() {
    let random = [3; CSRF_RANDOM];
    let shifted = {
        let mut shifted = [3; CSRF_RANDOM];
        shifted[0] = b'b';
        shifted
    };
    let one = mac(&key().signs, CsrfBinding::PreSession(b"ab"), &random).finalize().into_bytes();
    let two = mac(&key().signs, CsrfBinding::PreSession(b"a"), &shifted).finalize().into_bytes();
    assert_ne!(one, two);
    // The same concatenation, cut elsewhere.
    let left = mac(&key().signs, CsrfBinding::PreSession(b"ab"), b"c").finalize().into_bytes();
    let right = mac(&key().signs, CsrfBinding::PreSession(b"a"), b"bc").finalize().into_bytes();
    assert_ne!(left, right);
}

/// The padded key is what HMAC makes of the key itself.
#[test]
fn the_key_is_used_as_it_is() {
    let mut plain = <Hmac<Sha256> as hmac::Mac>::new_from_slice(&[9; 32]).unwrap();
    let mut padded = keyed(&[9; 32]);
    plain.update(b"message");
    padded.update(b"message");
    assert_eq!(plain.finalize().into_bytes(), padded.finalize().into_bytes());
}

/// R001: without entropy there is no token.
#[test]
fn no_token_without_entropy() {
    let entropy = SeededEntropy::new(1);
    entropy.fail_after(0);
    assert_eq!(key().issue(CsrfBinding::Session(&A), &entropy), Err(EntropyFailure));
}

proptest! {
    #[test]
    fn any_changed_character_is_refused(at in 0_usize..CSRF_TOKEN_LENGTH, with in "[A-Za-z0-9_-]") {
        let good = issue(CsrfBinding::Session(&A), 1);
        let mut changed = good.clone();
        changed.replace_range(at..=at, &with);
        if changed != good {
            prop_assert!(check(Some(&changed), Some(&good), CsrfBinding::Session(&A)).is_err());
        }
    }
}

/// Servers that go over to another key one after the other take each other's tokens; what neither signed, none takes.
#[test]
fn tokens_of_other_keys_are_taken_when_named() {
    let binding = CsrfBinding::Session(&A);
    let issue = |key: u8| CsrfKey::new([key; 32]).issue(binding, &SeededEntropy::new(1)).unwrap();
    let (ours, known, foreign) = (issue(9), issue(8), issue(7));
    let both = key().with_others([[8; 32], [9; 32]]);
    let take = |token: &str| both.verify(Submitted { explicit: Some(token), cookie: Some(token) }, binding);
    assert_eq!((take(&ours), take(&known), take(&foreign)), (Ok(()), Ok(()), Err(CsrfFailure::NotOurs)));
    assert_eq!(both.issue(binding, &SeededEntropy::new(1)).unwrap(), ours, "it signs with its own");
}
