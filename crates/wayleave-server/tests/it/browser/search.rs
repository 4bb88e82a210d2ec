//! Whether bytes hold a secret, as it is or written in one of the usual ways.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// So much of a secret is taken for the secret, in bytes.
const PART: usize = 16;

/// How a secret may be written, each with its name: as it is, in hexadecimal, as JSON numbers, and in base64 wherever in the
/// encoded text it begins. Secrets that are longer count when any part of them is there.
pub(super) fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let parts = secret.len().div_ceil(PART).max(1);
    let part = |index: usize| &secret[index * PART..secret.len().min((index + 1) * PART)];
    // The last one may be too short to mean anything.
    (0..parts).map(part).filter(|part| part.len() >= PART.min(secret.len())).flat_map(forms_of).collect()
}

fn forms_of(part: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let lower: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
    let numbers = part.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let percent: String = part.iter().map(|byte| format!("%{byte:02X}")).collect();
    let upper = lower.to_ascii_uppercase();
    let mut forms = vec![
        ("plain", part.to_vec()),
        ("hexadecimal", lower.into_bytes()),
        ("hexadecimal", upper.into_bytes()),
        ("numbers", numbers.into_bytes()),
        ("percent", percent.into_bytes()),
    ];
    for before in 0..3 {
        let bytes = [&vec![0; before], part].concat();
        // Characters that bytes before and after have a share in are left out.
        let (from, to) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        forms.push(("base64", STANDARD.encode(&bytes).as_bytes()[from..to].to_vec()));
        forms.push(("base64url", URL_SAFE.encode(&bytes).as_bytes()[from..to].to_vec()));
    }
    forms
}

/// In which form `traffic` holds a secret.
pub(super) fn holds(traffic: &[u8], secret: &[u8]) -> Option<&'static str> {
    let found = |form: &[u8]| memchr::memmem::find(traffic, form).is_some();
    forms(secret).into_iter().find(|(_, form)| found(form)).map(|(name, _)| name)
}

/// What is hidden is found in every form, wherever it begins; what is not there is not found.
#[test]
fn the_search_finds_what_is_there() {
    let secret: Vec<u8> = (0_u8..64).map(|index| index.wrapping_mul(37).wrapping_add(129)).collect();
    let other: Vec<u8> = secret.iter().rev().copied().collect();
    for length in [20, 32, 64] {
        let secret = &secret[..length];
        for before in 0..7 {
            for after in 0..3 {
                let around = [&vec![b'x'; before], secret, &vec![b'y'; after]].concat();
                let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
                for (name, text) in [
                    ("plain", around.clone()),
                    ("hexadecimal", hex.clone().into_bytes()),
                    ("hexadecimal", hex.to_uppercase().into_bytes()),
                    ("numbers", format!("[{}]", serde_json::json!(around)).into_bytes()),
                    ("percent", secret.iter().map(|byte| format!("%{byte:02X}")).collect::<String>().into_bytes()),
                    ("base64", STANDARD.encode(&around).into_bytes()),
                    ("base64url", URL_SAFE.encode(&around).trim_end_matches('=').as_bytes().to_vec()),
                ] {
                    let traffic = [b"GET / HTTP/1.1\r\n".as_slice(), &text, b"\r\n"].concat();
                    let found = holds(&traffic, secret);
                    let alike = name == "base64url" && found == Some("base64");
                    assert!(found == Some(name) || alike, "{name} {before} {after}: {found:?}");
                    assert_eq!(holds(&traffic, &other[..length]), None);
                }
            }
        }
        // Half of it is enough.
        assert_eq!(holds(&secret[..16], secret), Some("plain"));
    }
}
