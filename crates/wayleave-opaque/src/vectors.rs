//! The vectors of RFC 9807 Appendix C, for the tests.

use parking_lot::Mutex;
use serde_json::Value;
use wayleave_core::ports::{Entropy, EntropyFailure};

use crate::setup::Setup;

/// One vector.
pub(crate) struct Vector(Value);

impl Vector {
    /// A value, if the vector has it.
    pub(crate) fn find(&self, group: &str, name: &str) -> Option<Vec<u8>> {
        self.0[group][name].as_str().map(|hex| {
            let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (0..hex.len()).step_by(2).map(digit).collect()
        })
    }

    pub(crate) fn input(&self, name: &str) -> Vec<u8> {
        self.find("inputs", name).unwrap_or_else(|| panic!("{name}"))
    }

    pub(crate) fn output(&self, name: &str) -> Vec<u8> {
        self.find("outputs", name).unwrap_or_else(|| panic!("{name}"))
    }

    /// The server's secrets, with the client of the vector as the one that is nobody.
    pub(crate) fn setup(&self) -> Setup {
        let nobody = self.find("inputs", "client_public_key").unwrap_or_else(|| self.input("server_public_key"));
        let masking_key = self.find("inputs", "masking_key").unwrap_or_else(|| vec![7; 64]);
        let parts = [self.input("oprf_seed"), self.input("server_private_key"), nobody, masking_key];
        Setup::from_bytes(&parts.concat()).unwrap()
    }

    /// The randomness of the server's answer, after a masking key that it throws away.
    pub(crate) fn entropy(&self) -> Script {
        let drawn = [self.input("masking_nonce"), self.input("server_keyshare_seed"), self.input("server_nonce")];
        Script(Mutex::new([vec![0; 64], drawn.concat()].concat()))
    }
}

/// All of them that tell of a `registered` client, or of one that is not.
pub(crate) fn vectors(registered: bool) -> Vec<Vector> {
    let file: Value = serde_json::from_str(include_str!("../../../spec/vectors/opaque.json")).unwrap();
    let all = file["vectors"].as_array().unwrap().iter();
    all.filter(|vector| (vector["config"]["Fake"] == "False") == registered).cloned().map(Vector).collect()
}

/// Entropy that was written down.
pub(crate) struct Script(Mutex<Vec<u8>>);

impl Entropy for Script {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailure> {
        let mut script = self.0.lock();
        if script.len() < buffer.len() {
            return Err(EntropyFailure);
        }
        let rest = script.split_off(buffer.len());
        buffer.copy_from_slice(&script);
        *script = rest;
        Ok(())
    }
}
