//! Logins, by the vectors of the RFC and by a whole client.

use opaque_ke::Identifiers;
use wayleave_testkit::SeededEntropy;
use wayleave_testkit::opaque::{LoggedIn, OpaqueClient};

use super::*;
use crate::registration::{Registration, RegistrationRequest};
use crate::vectors::{Vector, vectors};

const PASSWORD: &str = "correct horse battery staple";
const ANN: CredentialIdentifier = CredentialIdentifier([1; 32]);
const BOB: CredentialIdentifier = CredentialIdentifier([2; 32]);

fn parameters<'a>(
    context: &'a [u8],
    client: Option<&'a [u8]>,
    server: Option<&'a [u8]>,
) -> ServerLoginParameters<'a, 'a> {
    ServerLoginParameters { context: Some(context), identifiers: Identifiers { client, server } }
}

/// KE2 and the state after KE1 of a vector.
fn answered(vector: &Vector, record: Option<&Record>, ke1: &[u8]) -> (Ke2, LoginState) {
    let (client, server) = (vector.find("inputs", "client_identity"), vector.find("inputs", "server_identity"));
    let context = vector.find("config", "Context").unwrap();
    let parameters = parameters(&context, client.as_deref(), server.as_deref());
    let identifier = vector.input("credential_identifier");
    answer(&vector.setup(), record, Ke1::parse(ke1).unwrap(), &identifier, parameters, &vector.entropy()).unwrap()
}

/// R107: logins of registered clients, RFC 9807 C.1.1 and C.1.2: KE2 and the session key to the bit.
#[test]
fn registered_clients_of_the_rfc_log_in() {
    let vectors = vectors(true);
    assert_eq!(vectors.len(), 2);
    for vector in vectors {
        let record = Record::parse(&vector.output("registration_upload")).unwrap();
        let (ke2, state) = answered(&vector, Some(&record), &vector.output("KE1"));
        assert_eq!(ke2.0.as_slice(), vector.output("KE2"));
        let ke3 = vector.output("KE3");
        let state = LoginState::from_bytes(state.to_bytes().as_ref()).unwrap();
        let key = Login::finish(&state, Ke3::parse(&ke3).unwrap()).unwrap();
        assert_eq!(key.as_bytes().as_slice(), vector.output("session_key"));
        for at in 0..ke3.len() {
            let mut other = ke3.clone();
            other[at] ^= 1;
            assert_eq!(Login::finish(&state, Ke3::parse(&other).unwrap()).unwrap_err(), LoginFailed, "{at}");
        }
    }
}

/// R107, R110: the answer to a client that is not registered, RFC 9807 C.2.1, comes from the record of nobody.
#[test]
fn clients_of_the_rfc_without_a_record_are_answered() {
    let vectors = vectors(false);
    assert_eq!(vectors.len(), 1);
    for vector in vectors {
        let (ke2, _) = answered(&vector, None, &vector.input("KE1"));
        assert_eq!(ke2.0.as_slice(), vector.output("KE2"));
    }
}

struct Deployment {
    setup: Setup,
    entropy: SeededEntropy,
}

impl Deployment {
    fn new(seed: u64) -> Self {
        let entropy = SeededEntropy::new(seed);
        Self { setup: Setup::generate(&entropy).unwrap(), entropy }
    }

    fn register(&self, password: &str, identifier: CredentialIdentifier) -> (Record, Vec<u8>) {
        let client = OpaqueClient::new(password, &self.entropy);
        let (request, registering) = client.register();
        let request = RegistrationRequest::parse(&request).unwrap();
        let response = Registration::start(&self.setup, request, &identifier).unwrap();
        let (upload, export_key) = client.upload(registering, &response.0);
        (Registration::finish(&upload).unwrap(), export_key)
    }

    fn start(&self, ke1: &[u8], record: Option<&Record>, identifier: CredentialIdentifier) -> (Ke2, LoginState) {
        let attempt = Attempt { ke1: Ke1::parse(ke1).unwrap(), record, identifier, context: None };
        Login::start(&self.setup, attempt, &self.entropy).unwrap()
    }

    /// A whole login; what the client has of it, and what the server makes of that.
    fn log_in(
        &self,
        password: &str,
        record: Option<&Record>,
        identifier: CredentialIdentifier,
    ) -> Option<(LoggedIn, SessionKey)> {
        let client = OpaqueClient::new(password, &self.entropy);
        let (ke1, logging_in) = client.log_in();
        let (ke2, state) = self.start(&ke1, record, identifier);
        let logged_in = client.finish(logging_in, &ke2.0, None)?;
        let key = Login::finish(&state, Ke3::parse(&logged_in.ke3).unwrap()).ok()?;
        Some((logged_in, key))
    }
}

/// Both sides end with one key, and the client has its export key again; another password opens nothing.
#[test]
fn the_right_password_is_proved() {
    let deployment = Deployment::new(1);
    let (record, export_key) = deployment.register(PASSWORD, ANN);
    let (logged_in, key) = deployment.log_in(PASSWORD, Some(&record), ANN).unwrap();
    assert_eq!(key.as_bytes().as_slice(), logged_in.session_key);
    assert_eq!(logged_in.export_key, export_key);
    assert!(deployment.log_in("correct horse battery stable", Some(&record), ANN).is_none());
    let (_, again) = deployment.log_in(PASSWORD, Some(&record), ANN).unwrap();
    assert_ne!(again.as_bytes(), key.as_bytes(), "every login has a key of its own");
}

/// R114, R115: a record is good for one identifier and one setup, and the setup survives being stored.
#[test]
fn a_record_is_bound_to_identifier_and_setup() {
    let mut deployment = Deployment::new(1);
    let (record, _) = deployment.register(PASSWORD, ANN);
    assert!(deployment.log_in(PASSWORD, Some(&record), BOB).is_none());
    let bytes = deployment.setup.to_bytes();
    deployment.setup = Setup::from_bytes(bytes.as_ref()).unwrap();
    assert_eq!(deployment.setup.to_bytes(), bytes);
    assert!(deployment.log_in(PASSWORD, Some(&record), ANN).is_some());
    for changed in [0, 64] {
        let mut other = bytes.clone();
        // Of a little-endian scalar the first byte keeps it canonical.
        other[changed] ^= 1;
        deployment.setup = Setup::from_bytes(other.as_ref()).unwrap();
        assert!(deployment.log_in(PASSWORD, Some(&record), ANN).is_none(), "{changed}");
    }
    assert!(Deployment::new(2).log_in(PASSWORD, Some(&record), ANN).is_none());
}

/// R111, A56: the proof of one login is none of another, of the same client either.
#[test]
fn a_proof_is_of_one_login() {
    let deployment = Deployment::new(1);
    let (record, _) = deployment.register(PASSWORD, ANN);
    let client = OpaqueClient::new(PASSWORD, &deployment.entropy);
    let (ke1, logging_in) = client.log_in();
    let (ke2, state) = deployment.start(&ke1, Some(&record), ANN);
    let (_, other) = deployment.start(&ke1, Some(&record), ANN);
    let ke3 = client.finish(logging_in, &ke2.0, None).unwrap().ke3;
    assert_eq!(Login::finish(&other, Ke3::parse(&ke3).unwrap()).unwrap_err(), LoginFailed);
    assert!(Login::finish(&state, Ke3::parse(&ke3).unwrap()).is_ok());
}

/// R108, A56: another context breaks the transcript, on the client's side already.
#[test]
fn both_sides_need_one_context() {
    let deployment = Deployment::new(1);
    let (record, _) = deployment.register(PASSWORD, ANN);
    let client = OpaqueClient::new(PASSWORD, &deployment.entropy);
    for (ours, theirs, agree) in
        [(Some(&b"a"[..]), Some(&b"a"[..]), true), (Some(b"a"), Some(b"b"), false), (Some(b"a"), None, false)]
    {
        let (ke1, logging_in) = client.log_in();
        let attempt = Attempt { ke1: Ke1::parse(&ke1).unwrap(), record: Some(&record), identifier: ANN, context: ours };
        let (ke2, _) = Login::start(&deployment.setup, attempt, &deployment.entropy).unwrap();
        assert_eq!(client.finish(logging_in, &ke2.0, theirs).is_some(), agree);
    }
}

/// R110, A57: an unknown client gets the same evaluated element for the same blinded password, before and after it
/// registers, and everything else fresh each time, as a known one does. What is fresh does not come from a fake that
/// changes: the masked response opens under one masking key.
#[test]
fn nobody_is_answered_like_somebody() {
    let deployment = Deployment::new(1);
    let (record, _) = deployment.register(PASSWORD, ANN);
    let client = OpaqueClient::new(PASSWORD, &deployment.entropy);
    let (ke1, _) = client.log_in();
    for record in [Some(&record), None] {
        let (one, other) = (deployment.start(&ke1, record, ANN).0, deployment.start(&ke1, record, ANN).0);
        assert_eq!(one.0[..32], other.0[..32], "the evaluated element");
        for part in [32..64, 64..192, 192..224, 224..256, 256..320] {
            assert_ne!(one.0[part.clone()], other.0[part], "made anew each time");
        }
    }
    let (known, unknown) = (deployment.start(&ke1, Some(&record), ANN).0, deployment.start(&ke1, None, ANN).0);
    assert_eq!(known.0[..32], unknown.0[..32], "registering changes nothing");
    assert_ne!(known.0[..32], deployment.start(&ke1, None, BOB).0.0[..32]);
    assert!(deployment.log_in(PASSWORD, None, ANN).is_none());
}

/// R110: two answers to an unknown client with one masking nonce are masked by one key: the fake was made once.
#[test]
fn nobody_has_one_record() {
    let vector = vectors(false).remove(0);
    let setup = vector.setup();
    let masked = || {
        let attempt =
            Attempt { ke1: Ke1::parse(&vector.input("KE1")).unwrap(), record: None, identifier: ANN, context: None };
        Login::start(&setup, attempt, &vector.entropy()).unwrap().0.0[64..192].to_vec()
    };
    assert_eq!(masked(), masked());
    let mut other = setup.to_bytes();
    other[Setup::LENGTH - 1] ^= 1;
    let other = Setup::from_bytes(other.as_ref()).unwrap();
    let attempt =
        Attempt { ke1: Ke1::parse(&vector.input("KE1")).unwrap(), record: None, identifier: ANN, context: None };
    let (ke2, _) = Login::start(&other, attempt, &vector.entropy()).unwrap();
    assert_ne!(ke2.0[64..192], masked()[..], "and it is part of the setup");
}

/// R001: without entropy there is no answer, and no setup.
#[test]
fn nothing_is_answered_without_entropy() {
    let deployment = Deployment::new(1);
    let (ke1, _) = OpaqueClient::new(PASSWORD, &deployment.entropy).log_in();
    deployment.entropy.fail_after(0);
    let attempt = Attempt { ke1: Ke1::parse(&ke1).unwrap(), record: None, identifier: ANN, context: None };
    let refused = Login::start(&deployment.setup, attempt, &deployment.entropy).unwrap_err();
    assert_eq!(refused, StartError::Entropy(EntropyFailure));
    assert!(Setup::generate(&deployment.entropy).is_err());
}

/// R109, A56: another length, the identity, an element that is no point or not canonical.
#[test]
fn malformed_first_messages_are_refused() {
    let (ke1, _) = OpaqueClient::new(PASSWORD, &SeededEntropy::new(1)).log_in();
    assert!(Ke1::parse(&ke1).is_ok());
    for length in [0, 32, 64, 95, 97, 192] {
        assert!(Ke1::parse(&[&ke1[..], &[0; 96]].concat()[..length]).is_err(), "{length}");
    }
    // The blinded password, and the key share.
    for at in [0, 64] {
        for element in crate::registration::tests::NO_ELEMENTS {
            let mut other = ke1.clone();
            other[at..at + 32].copy_from_slice(&element);
            assert!(Ke1::parse(&other).is_err(), "{at} {element:?}");
        }
    }
    for length in [0, 63, 65] {
        assert!(Ke3::parse(&vec![7; length]).is_err(), "{length}");
    }
    for length in [0, 127, 129] {
        assert!(LoginState::from_bytes(&vec![7; length]).is_err(), "{length}");
    }
}

/// R164: nothing secret shows.
#[test]
fn secrets_do_not_show() {
    let deployment = Deployment::new(1);
    let (record, _) = deployment.register(PASSWORD, ANN);
    let (ke1, _) = OpaqueClient::new(PASSWORD, &deployment.entropy).log_in();
    let (_, state) = deployment.start(&ke1, Some(&record), ANN);
    let (_, key) = deployment.log_in(PASSWORD, Some(&record), ANN).unwrap();
    let shown = format!("{:?} {record:?} {state:?} {key:?}", deployment.setup);
    assert_eq!(shown, "Setup(..) Record(..) LoginState(..) SessionKey(..)");
}

/// R109: bytes of every length are judged, and what is taken in can be answered.
#[test]
fn any_bytes_are_judged() {
    let deployment = Deployment::new(1);
    let (ke1, _) = OpaqueClient::new(PASSWORD, &deployment.entropy).log_in();
    let mut answered = 0;
    for round in 0..2000 {
        let mut bytes = vec![0; round % 260];
        deployment.entropy.fill(&mut bytes).unwrap();
        assert!(RegistrationRequest::parse(&bytes).is_err() || bytes.len() == RegistrationRequest::LENGTH);
        assert!(Record::parse(&bytes).is_err() || bytes.len() == Record::LENGTH);
        assert_eq!(Ke3::parse(&bytes).is_ok(), bytes.len() == Ke3::LENGTH);
        assert!(Setup::from_bytes(&bytes).is_err() || bytes.len() == Setup::LENGTH);
        // A good message with one byte changed is good, or none.
        let mut other = ke1.clone();
        other[round % Ke1::LENGTH] ^= u8::try_from(round % 255).unwrap() + 1;
        if let Ok(ke1) = Ke1::parse(&other) {
            let attempt = Attempt { ke1, record: None, identifier: ANN, context: None };
            answered += u32::from(Login::start(&deployment.setup, attempt, &deployment.entropy).is_ok());
        }
    }
    assert!(answered > 600, "every change of the nonce at least: {answered}");
}
