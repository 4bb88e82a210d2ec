//! What is stable about a client, as a keyed hash: a signal that somebody else may hold its session (R027).
//!
//! Every input has eight bytes of the fingerprint, its SipHash under a key of the deployment, so that the audit log can say
//! which of them changed. The inputs themselves are stored nowhere, and without the key nobody can try them out.

use std::hash::Hasher as _;

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName};
use quick_cache::sync::Cache;
use siphasher::sip::SipHasher24;
use wayleave_core::record::Fingerprint;

use crate::config::FingerprintInput;
use crate::device::Device;
use crate::error::{ApiError, ErrorCode};
use crate::http::client_address::ClientAddress;

/// What Chromium says of the platform by itself.
const PLATFORM: HeaderName = HeaderName::from_static("sec-ch-ua-platform");
/// What a client that is no browser may say of itself.
const DEVICE_ID: HeaderName = HeaderName::from_static("x-device-id");
/// Longest device id, in bytes.
pub const MAX_DEVICE_ID: usize = 128;
/// Longest platform that is looked at, in bytes.
const MAX_PLATFORM: usize = 64;
/// `User-Agent`s whose device is remembered.
const AGENTS: usize = 1024;

/// Takes fingerprints.
pub struct Fingerprints {
    key: [u8; 16],
    inputs: Vec<FingerprintInput>,
    /// By the hash of a `User-Agent`: looking through it is the dearest part.
    agents: Cache<u64, u64>,
}

impl Fingerprints {
    /// Takes them of these inputs. `None` for none.
    #[must_use]
    pub fn new(key: &[u8; 32], inputs: &[FingerprintInput]) -> Option<Self> {
        let (half, _) = key.split_first_chunk()?;
        (!inputs.is_empty()).then(|| Self { key: *half, inputs: inputs.to_vec(), agents: Cache::new(AGENTS) })
    }

    /// That of whoever sends a request.
    ///
    /// # Errors
    /// 400 for a device id that is longer than [`MAX_DEVICE_ID`], or comes twice.
    pub fn of(&self, headers: &HeaderMap, address: Option<ClientAddress>) -> Result<Fingerprint, ApiError> {
        let mut fingerprint = [0; 32];
        for (part, input) in fingerprint.chunks_exact_mut(8).zip(FingerprintInput::ALL) {
            if self.inputs.contains(input) {
                part.copy_from_slice(&self.part(*input, headers, address)?.to_be_bytes());
            }
        }
        Ok(Fingerprint(fingerprint))
    }

    fn part(
        &self,
        input: FingerprintInput,
        headers: &HeaderMap,
        address: Option<ClientAddress>,
    ) -> Result<u64, ApiError> {
        let bytes = |name| headers.get(name).map_or(&b""[..], http::HeaderValue::as_bytes);
        Ok(match input {
            FingerprintInput::Agent => {
                let agent = bytes(USER_AGENT);
                let whole = self.hash(b"user agent", agent);
                if let Some(known) = self.agents.get(&whole) {
                    return Ok(known);
                }
                let Device { browser, system } = Device::of(std::str::from_utf8(agent).unwrap_or_default());
                let device = format!("{}\n{}", browser.unwrap_or_default(), system.unwrap_or_default());
                let part = self.hash(b"device", device.as_bytes());
                self.agents.insert(whole, part);
                part
            }
            FingerprintInput::Platform => {
                let platform = bytes(PLATFORM);
                self.hash(b"platform", platform.get(..platform.len().min(MAX_PLATFORM)).unwrap_or_default())
            }
            FingerprintInput::Device => {
                let mut ids = headers.get_all(DEVICE_ID).iter();
                let id = ids.next().map_or(&b""[..], http::HeaderValue::as_bytes);
                if id.len() > MAX_DEVICE_ID || ids.next().is_some() {
                    return Err(ApiError::new(ErrorCode::BadRequest));
                }
                self.hash(b"device id", id)
            }
            FingerprintInput::Network => match address.map(ClientAddress::coarse) {
                Some(ipnet::IpNet::V4(network)) => self.hash(b"network", &network.network().octets()),
                Some(ipnet::IpNet::V6(network)) => self.hash(b"network", &network.network().octets()),
                None => 0,
            },
        })
    }

    fn hash(&self, what: &[u8], value: &[u8]) -> u64 {
        if value.is_empty() {
            return 1;
        }
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(what);
        hasher.write_u8(0);
        hasher.write(value);
        // No part of an input that is taken is that of one that is not.
        hasher.finish() | 1
    }
}

/// Which input differs between two fingerprints, as the audit log has it; `several` for more than one.
#[must_use]
pub fn changed(held: Fingerprint, shown: Option<Fingerprint>) -> &'static str {
    let Some(shown) = shown else { return "nothing_shown" };
    let parts = held.0.chunks_exact(8).zip(shown.0.chunks_exact(8)).zip(FingerprintInput::ALL);
    let mut differing = parts.filter(|((held, shown), _)| held != shown).map(|(_, input)| input.as_str());
    match (differing.next(), differing.next()) {
        (Some(one), None) => one,
        (Some(_), Some(_)) => "several",
        (None, _) => "nothing",
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

    fn all() -> Fingerprints {
        Fingerprints::new(&[7; 32], FingerprintInput::ALL).unwrap()
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn at(text: &str) -> Option<ClientAddress> {
        Some(ClientAddress::new(text.parse().unwrap()))
    }

    /// R027: the input that changed is named, and an update or another address of one network is no change.
    #[test]
    fn what_changed_is_named() {
        let base = [("user-agent", FIREFOX), ("sec-ch-ua-platform", "\"Linux\""), ("x-device-id", "laptop-1")];
        let taken = all();
        let held = taken.of(&headers(&base), at("2001:db8:1:2::1")).unwrap();
        let with = |name: &'static str, value: &'static str| {
            let fields = base.map(|(held, old)| if held == name { (held, value) } else { (held, old) });
            changed(held, Some(taken.of(&headers(&fields), at("2001:db8:1:2::1")).unwrap()))
        };
        assert_eq!(
            with("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"),
            "nothing"
        );
        assert_eq!(with("user-agent", "Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0"), "agent");
        assert_eq!(with("user-agent", "curl/8.0"), "agent");
        assert_eq!(with("user-agent", ""), "agent");
        assert_eq!(with("sec-ch-ua-platform", "\"Windows\""), "platform");
        assert_eq!(with("x-device-id", "laptop-2"), "device");
        let moved = |address| changed(held, Some(taken.of(&headers(&base), at(address)).unwrap()));
        assert_eq!(moved("2001:db8:1:2:ffff::9"), "nothing", "within the /64");
        assert_eq!(moved("2001:db8:1:3::1"), "nothing", "another /64 of the site");
        assert_eq!(moved("2001:db8:2::1"), "network");
        assert_eq!(moved("192.0.2.1"), "network");
        assert_eq!(changed(held, Some(taken.of(&HeaderMap::new(), None).unwrap())), "several");
        assert_eq!(changed(held, None), "nothing_shown");
    }

    /// R027: keyed, so that nobody without the key can try values out, and only of what is configured.
    #[test]
    fn only_what_is_configured_goes_in_under_the_key() {
        let (fields, here) = (headers(&[("user-agent", FIREFOX), ("x-device-id", "laptop-1")]), at("192.0.2.1"));
        let ours = all().of(&fields, here).unwrap();
        let theirs = Fingerprints::new(&[8; 32], FingerprintInput::ALL).unwrap().of(&fields, here).unwrap();
        assert_eq!(changed(ours, Some(theirs)), "several");
        assert!(Fingerprints::new(&[7; 32], &[]).is_none());
        let agent = Fingerprints::new(&[7; 32], &[FingerprintInput::Agent]).unwrap();
        let elsewhere = headers(&[("user-agent", FIREFOX), ("x-device-id", "laptop-2")]);
        assert_eq!(agent.of(&fields, here).unwrap(), agent.of(&elsewhere, at("198.51.100.1")).unwrap());
        // Looked up again, it is the same.
        assert_eq!(agent.of(&fields, here).unwrap(), agent.of(&fields, here).unwrap());
    }

    #[test]
    fn device_ids_are_bounded() {
        let taken = all();
        let (longest, longer) = ("d".repeat(MAX_DEVICE_ID), "d".repeat(MAX_DEVICE_ID + 1));
        assert!(taken.of(&headers(&[("x-device-id", &longest)]), None).is_ok());
        for fields in [&[("x-device-id", &*longer)][..], &[("x-device-id", "a"), ("x-device-id", "a")]] {
            assert_eq!(taken.of(&headers(fields), None).unwrap_err().code(), ErrorCode::BadRequest);
        }
        // Nothing of a device is looked at where it is not configured.
        let agent = Fingerprints::new(&[7; 32], &[FingerprintInput::Agent]).unwrap();
        assert!(agent.of(&headers(&[("x-device-id", &longer)]), None).is_ok());
    }
}
