//! From a finished login to the evidence of it.

use wayleave_core::authentication::{Evidence, ForeignSubject, Prover};
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;

use crate::login::SessionKey;
use crate::setup::Setup;

/// The setup of a deployment, with the right to testify to logins by it.
pub struct Authenticator {
    setup: Setup,
    prover: Prover,
}

impl Authenticator {
    /// Puts them together.
    #[must_use]
    pub const fn new(setup: Setup, prover: Prover) -> Self {
        Self { setup, prover }
    }

    /// The setup.
    #[must_use]
    pub const fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Testifies that `subject` finished a login at `at`, which began while its standing was in `epoch`. The key is spent
    /// for it: there is no other way to evidence, and no second one from the same login.
    ///
    /// # Errors
    /// [`ForeignSubject`] for a subject that is no account.
    pub fn testify(
        &self,
        proof: SessionKey,
        subject: Subject,
        epoch: u64,
        at: Timestamp,
    ) -> Result<Evidence, ForeignSubject> {
        drop(proof);
        self.prover.testify(subject, epoch, at)
    }
}
