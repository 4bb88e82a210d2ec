//! The plaintext inside sealed columns, and of account labels: a version byte, then length-prefixed parts. And how a
//! key confirmation is written.
//!
//! ```text
//! entries   0x01 | (part key | part value)*
//! client    0x01 | option label | option network | option fingerprint
//! labels    0x01 | part*
//! option    0x00, or 0x01 | part
//! part      length (4, big endian) | bytes
//!
//! confirmation   0x01 (JWK thumbprint) or 0x02 (device bound) | thumbprint (32)
//! ```

use zeroize::Zeroizing;

use super::Malformed;
use crate::entries::Entries;
use crate::record::{Client, Fingerprint, KeyConfirmation};

const VERSION: u8 = 1;
const JKT: u8 = 1;
const DEVICE_BOUND: u8 = 2;

/// Writes a key-value map.
#[must_use]
pub fn encode_entries(entries: &Entries) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(1 + entries.bytes() + 8 * entries.iter().len()));
    out.push(VERSION);
    for (key, value) in entries.iter() {
        put(&mut out, key.as_bytes());
        put(&mut out, value);
    }
    out
}

/// Reads a key-value map.
///
/// # Errors
/// [`Malformed`] for anything that [`encode_entries`] does not write.
pub fn decode_entries(bytes: &[u8]) -> Result<Entries, Malformed> {
    const MALFORMED: Malformed = Malformed("entries");
    let mut parts = Parts::new(bytes).ok_or(MALFORMED)?;
    let mut entries = Entries::new();
    while !parts.0.is_empty() {
        let key = parts.text().ok_or(MALFORMED)?;
        let value = parts.part().ok_or(MALFORMED)?;
        if entries.set(key, value).map_err(|_| MALFORMED)?.is_some() {
            return Err(MALFORMED);
        }
    }
    Ok(entries)
}

/// Writes what is known of a client.
#[must_use]
pub fn encode_client(client: &Client) -> Zeroizing<Vec<u8>> {
    let Client { label, network, fingerprint } = client;
    let mut out = Zeroizing::new(vec![VERSION]);
    let parts = [
        label.as_deref().map(str::as_bytes),
        network.as_deref().map(str::as_bytes),
        fingerprint.as_ref().map(|fingerprint| fingerprint.0.as_slice()),
    ];
    for part in parts {
        out.push(u8::from(part.is_some()));
        if let Some(part) = part {
            put(&mut out, part);
        }
    }
    out
}

/// Reads what is known of a client.
///
/// # Errors
/// [`Malformed`] for anything that [`encode_client`] does not write.
pub fn decode_client(bytes: &[u8]) -> Result<Client, Malformed> {
    read_client(bytes).ok_or(Malformed("client"))
}

fn read_client(bytes: &[u8]) -> Option<Client> {
    let mut parts = Parts::new(bytes)?;
    let text = |part: Option<&[u8]>| match part {
        Some(part) => std::str::from_utf8(part).ok().map(|text| Some(text.into())),
        None => Some(None),
    };
    let client = Client {
        label: text(parts.option()?)?,
        network: text(parts.option()?)?,
        fingerprint: match parts.option()? {
            Some(part) => Some(Fingerprint(part.try_into().ok()?)),
            None => None,
        },
    };
    parts.0.is_empty().then_some(client)
}

/// Writes the labels of an account.
#[must_use]
pub fn encode_labels(labels: &[Box<str>]) -> Vec<u8> {
    let mut out = vec![VERSION];
    for label in labels {
        put(&mut out, label.as_bytes());
    }
    out
}

/// Reads the labels of an account.
///
/// # Errors
/// [`Malformed`] for anything that [`encode_labels`] does not write.
pub fn decode_labels(bytes: &[u8]) -> Result<Vec<Box<str>>, Malformed> {
    const MALFORMED: Malformed = Malformed("labels");
    let mut parts = Parts::new(bytes).ok_or(MALFORMED)?;
    let mut labels = Vec::new();
    while !parts.0.is_empty() {
        labels.push(parts.text().ok_or(MALFORMED)?.into());
    }
    Ok(labels)
}

/// Writes how a sender-bound session proves its key.
#[must_use]
pub fn confirmation_bytes(confirmation: KeyConfirmation) -> Vec<u8> {
    let (form, thumbprint) = match confirmation {
        KeyConfirmation::Jkt(thumbprint) => (JKT, thumbprint),
        KeyConfirmation::DeviceBound(thumbprint) => (DEVICE_BOUND, thumbprint),
    };
    [&[form], thumbprint.as_slice()].concat()
}

/// Reads how a sender-bound session proves its key.
///
/// # Errors
/// [`Malformed`] for anything that [`confirmation_bytes`] does not write.
pub const fn decode_confirmation(bytes: [u8; 33]) -> Result<KeyConfirmation, Malformed> {
    let [form, thumbprint @ ..] = bytes;
    match form {
        JKT => Ok(KeyConfirmation::Jkt(thumbprint)),
        DEVICE_BOUND => Ok(KeyConfirmation::DeviceBound(thumbprint)),
        _ => Err(Malformed("confirmation")),
    }
}

fn put(out: &mut Vec<u8>, part: &[u8]) {
    // Parts are bounded far below 4 GiB; a longer one would be refused when it is read.
    out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(part);
}

/// What is left to read.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        (*version == VERSION).then_some(Self(rest))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(part)
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let length = self.take(4)?.try_into().ok().map(u32::from_be_bytes)?;
        self.take(usize::try_from(length).ok()?)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.part()?).ok()
    }

    fn option(&mut self) -> Option<Option<&'a [u8]>> {
        match self.take(1)? {
            [0] => Some(None),
            [1] => self.part().map(Some),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        let mut entries = Entries::new();
        entries.set("a", b"").unwrap();
        entries.set("b", &[0; 300]).unwrap();
        assert_eq!(decode_entries(&encode_entries(&entries)).unwrap(), entries);
        let full = Client {
            label: Some("Firefox".into()),
            network: Some("192.0.2.0/24".into()),
            fingerprint: Some(Fingerprint([7; 32])),
        };
        for client in [full.clone(), Client { network: None, ..full.clone() }, Client::default()] {
            assert_eq!(decode_client(&encode_client(&client)).unwrap(), client);
        }
        for confirmation in [KeyConfirmation::Jkt([7; 32]), KeyConfirmation::DeviceBound([8; 32])] {
            let bytes = confirmation_bytes(confirmation).try_into().unwrap();
            assert_eq!(decode_confirmation(bytes), Ok(confirmation));
        }
        for labels in [vec![], vec!["".into()], vec!["a".into(), "ü\n".into()]] {
            assert_eq!(decode_labels(&encode_labels(&labels)).unwrap(), labels);
        }
    }

    #[test]
    fn whatever_is_cut_or_added_is_malformed() {
        let mut entries = Entries::new();
        entries.set("key", b"value").unwrap();
        let entries = encode_entries(&entries);
        let client =
            encode_client(&Client { label: Some("l".into()), network: None, fingerprint: Some(Fingerprint([7; 32])) });
        for end in 0..entries.len() {
            // The version alone is an empty map, which is never sealed but well formed.
            assert_eq!(decode_entries(&entries[..end]).is_ok(), end == 1, "{end}");
        }
        for end in 0..client.len() {
            assert_eq!(decode_client(&client[..end]), Err(Malformed("client")), "{end}");
        }
        for bytes in
            [&b""[..], b"\x02", b"\x01\xff\xff\xff\xff", b"\x01\0\0\0\0\0\0\0\0", b"\x01\0\0\0\x01\xff\0\0\0\0"]
        {
            assert_eq!(decode_entries(bytes), Err(Malformed("entries")), "{bytes:?}");
        }
        let twice = [entries.as_slice(), &entries[1..]].concat();
        assert_eq!(decode_entries(&twice), Err(Malformed("entries")));
        assert_eq!(decode_client(&[client.as_slice(), b"\0"].concat()), Err(Malformed("client")));
        assert_eq!(decode_labels(b"\x01\0\0\0\x01\xff"), Err(Malformed("labels")));
        for form in [0, 3, 0xff] {
            let mut bytes = [7; 33];
            bytes[0] = form;
            assert_eq!(decode_confirmation(bytes), Err(Malformed("confirmation")));
        }
    }
}
