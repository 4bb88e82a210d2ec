//! Registrations, by the vectors of the RFC and by a whole client, and what is stored of them.

use wayleave_testkit::SeededEntropy;
use wayleave_testkit::opaque::OpaqueClient;

use super::*;
use crate::enrolment::Enrolment;
use crate::key_stretching::{KeyStretching, StretchingCost};
use crate::vectors::vectors;

/// The identity; a negative field element; one past the prime, which would be 1; one that is on no curve.
pub(crate) const NO_ELEMENTS: [[u8; 32]; 4] = {
    let mut past_the_prime = [0xFF; 32];
    past_the_prime[0] = 0xEE;
    past_the_prime[31] = 0x7F;
    let mut negative = [0; 32];
    negative[0] = 1;
    [[0; 32], negative, past_the_prime, [0xFF; 32]]
};

/// R107: registrations of RFC 9807 C.1.1 and C.1.2.
#[test]
fn clients_of_the_rfc_register() {
    for vector in vectors(true) {
        let request = RegistrationRequest::parse(&vector.output("registration_request")).unwrap();
        let response = evaluate(&vector.setup(), request, &vector.input("credential_identifier")).unwrap();
        assert_eq!(response.0.as_slice(), vector.output("registration_response"));
        let upload = vector.output("registration_upload");
        assert_eq!(Registration::finish(&upload).unwrap().as_bytes().as_slice(), upload);
    }
}

/// R109, A56: another length, the identity, an element that is no point or not canonical.
#[test]
fn malformed_messages_are_refused() {
    let vector = vectors(true).remove(0);
    let (request, upload) = (vector.output("registration_request"), vector.output("registration_upload"));
    for length in [0, 31, 33, 64] {
        assert!(RegistrationRequest::parse(&[&request[..], &[0; 32]].concat()[..length]).is_err(), "{length}");
    }
    for length in [0, 32, 191, 193, 384] {
        assert!(Registration::finish(&[&upload[..], &upload[..]].concat()[..length]).is_err(), "{length}");
    }
    for element in NO_ELEMENTS {
        assert!(RegistrationRequest::parse(&element).is_err(), "{element:?}");
        let mut other = upload.clone();
        other[..32].copy_from_slice(&element);
        assert!(Registration::finish(&other).is_err(), "{element:?}");
    }
}

/// R113: every registration has fresh randomness: two records of one password have their masking key in common, which
/// is made of the password, and nothing else.
#[test]
fn records_of_one_password_are_different() {
    let entropy = SeededEntropy::new(1);
    let setup = Setup::generate(&entropy).unwrap();
    let record = || {
        let client = OpaqueClient::new("correct horse battery staple", &entropy);
        let (request, registering) = client.register();
        let identifier = CredentialIdentifier([1; 32]);
        let response = Registration::start(&setup, RegistrationRequest::parse(&request).unwrap(), &identifier).unwrap();
        client.upload(registering, &response.0).0
    };
    let (one, other) = (record(), record());
    for part in [0..32, 96..128, 128..192] {
        assert_ne!(one[part.clone()], other[part]);
    }
}

/// What is stored comes back, and nothing else does.
#[test]
fn enrolments_are_kept() {
    let upload = vectors(true)[0].output("registration_upload");
    let cost = StretchingCost { iterations: 2, memory_kib: 19_456, parallelism: 3 };
    let enrolment = Enrolment {
        key_stretching: KeyStretching::new(cost).unwrap(),
        identifier: CredentialIdentifier([9; 32]),
        record: Record::parse(&upload).unwrap(),
    };
    let bytes = enrolment.encode();
    assert_eq!(bytes.len(), 237);
    let read = Enrolment::decode(&bytes).unwrap();
    assert_eq!((read.key_stretching, read.identifier), (enrolment.key_stretching, enrolment.identifier));
    assert_eq!(read.record.as_bytes(), enrolment.record.as_bytes());
    for length in 0..bytes.len() {
        assert!(Enrolment::decode(&bytes[..length]).is_err(), "{length}");
    }
    assert!(Enrolment::decode(&[&bytes[..], &[0]].concat()).is_err());
    // Another version, no iterations, no element.
    for (at, byte) in [(0, 2), (4, 0), (13 + 32, 1)] {
        let mut other = bytes.to_vec();
        other[at] = byte;
        if at == 13 + 32 {
            other[at..at + 32].copy_from_slice(&NO_ELEMENTS[0]);
        }
        assert!(Enrolment::decode(&other).is_err(), "{at}");
    }
}
