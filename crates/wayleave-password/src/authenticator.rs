//! The whole check of a password: who may try, whether it is right, and what an outsider hears of it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use wayleave_core::authentication::{ForeignSubject, Method, Prover};
use wayleave_core::lockout::{Reservation, Rule};
use wayleave_core::ports::{
    Account, AccountId, Accounts, Clock, CounterKey, Counters, Credential, Credentials, EmailAddress, Entropy,
    EntropyFailure, Exchange, Exchanged, KnownDevices, StoreError,
};
use wayleave_core::subject::{Namespace, Subject};
use wayleave_core::time::Timestamp;

use crate::buckets::{Bucket, BucketKey};
use crate::hasher::{Busy, Check, HashError, HashFailure, Hasher, Place};
use crate::line::Lines;
use crate::outcome::{Outcome, Refused, RefusedReason, Verified};
use crate::password::Password;
use crate::requirements::{Requirements, Weak};
use crate::stored::StoredHash;

/// What the times of credentials are told apart by.
const TICK: Duration = Duration::from_millis(1);

/// What the authenticator reaches the world through.
pub struct Ports {
    /// Accounts.
    pub accounts: Arc<dyn Accounts>,
    /// Their password hashes, as PHC strings.
    pub credentials: Arc<dyn Credentials>,
    /// Browsers that accounts know.
    pub devices: Arc<dyn KnownDevices>,
    /// Failed attempts.
    pub counters: Arc<dyn Counters>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Entropy.
    pub entropy: Arc<dyn Entropy>,
}

/// How strict the authenticator is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many failed attempts there may be, for each address, known device and account.
    pub rule: Rule,
    /// What new passwords must be.
    pub requirements: Requirements,
}

impl Default for Options {
    /// 5 attempts in 15 minutes and then none for 30, and [`Requirements::default`].
    fn default() -> Self {
        Self { rule: Rule::DEFAULT, requirements: Requirements::default() }
    }
}

/// A sign-in as it was submitted.
pub struct SignIn<'a> {
    /// What was typed where an e-mail address is asked for. Anything else counts and costs as an unknown address.
    pub email: &'a str,
    /// What was typed as the password.
    pub password: Password,
    /// The SHA-256 of the secret in the known-device cookie, if there was one.
    pub known_device: Option<[u8; 32]>,
    /// Whether browsers that the account does not know may try.
    pub strangers: Strangers,
}

/// Whether browsers that an account does not know may try a password of it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Strangers {
    /// They may.
    Admitted,
    /// Not now: the deployment sees too many failures (R100).
    TurnedAway,
}

/// Checks and sets passwords.
pub struct PasswordAuthenticator {
    ports: Ports,
    hasher: Arc<Hasher>,
    prover: Prover,
    buckets: BucketKey,
    rule: RwLock<Rule>,
    requirements: Requirements,
    nobody: Nobody,
    lines: Lines,
}

/// Stands in for what is not there, so that the same is looked up and the same is computed.
struct Nobody {
    id: AccountId,
    email: EmailAddress,
    hash: StoredHash,
}

/// An attempt to sign in by something else than a password, as far as it is told whose it is.
#[derive(Copy, Clone, Debug)]
pub struct Attempt<'a> {
    /// As [`SignIn::email`].
    pub email: &'a str,
    /// As [`SignIn::known_device`].
    pub known_device: Option<[u8; 32]>,
    /// As [`SignIn::strangers`].
    pub strangers: Strangers,
}

/// What became of such an attempt.
#[derive(Debug)]
#[must_use]
pub enum Admission {
    /// It may be judged, and is counted as failed until [`PasswordAuthenticator::forgive`].
    Counted(Box<Counted>),
    /// There were too many attempts. Nothing was looked up.
    Locked {
        /// When the next one is allowed.
        until: Timestamp,
    },
    /// The account does not know the browser, and strangers are turned away. Nothing was counted.
    TurnedAway,
}

/// An attempt that is counted as failed.
#[derive(Debug)]
pub struct Counted {
    /// The account that it is about, if there is one.
    pub account: Option<Account>,
    /// An id to look up where there is no account, so that the same is looked up: nobody has it.
    pub nobody: AccountId,
    /// What was counted.
    pub counter: CounterKey,
    /// Whether the account knows the browser that it came from.
    pub known_device: bool,
    /// Whether it was the last one allowed.
    pub locks: bool,
}

/// Somebody who says who they are.
struct Claim {
    account: Option<Account>,
    absent: RefusedReason,
    counter: CounterKey,
    known_device: bool,
}

impl PasswordAuthenticator {
    /// Puts the parts together. `prover` must speak for `user:` subjects.
    ///
    /// # Errors
    /// [`Error::Entropy`], or [`Error::ForeignProver`].
    pub fn new(
        ports: Ports,
        hasher: Arc<Hasher>,
        prover: Prover,
        buckets: BucketKey,
        options: Options,
    ) -> Result<Self, Error> {
        let nobody = Nobody::new(ports.entropy.as_ref(), &hasher)?;
        let subject = Subject::new(Namespace::User, nobody.id.as_str());
        let speaks = subject.is_ok_and(|subject| prover.testify(subject, 0, Timestamp::MIN).is_ok());
        if !speaks {
            return Err(Error::ForeignProver(ForeignSubject));
        }
        let Options { rule, requirements } = options;
        Ok(Self {
            ports,
            hasher,
            prover,
            buckets,
            rule: RwLock::new(rule),
            requirements,
            nobody,
            lines: Lines::default(),
        })
    }

    /// Puts another lockout rule in force, from the next attempt on. A lock that holds already keeps its end.
    pub fn set_rule(&self, rule: Rule) {
        *self.rule.write() = rule;
    }

    /// Checks a sign-in.
    ///
    /// An attempt is counted before anything is checked, and forgotten after a success: for the address as submitted,
    /// or, from a browser that the account knows, for that browser alone, so that neither strangers' failures keep
    /// the owner out nor the owner's success lets strangers go on (R100-R102).
    ///
    /// # Errors
    /// [`Error`] when nothing can be said; the attempt may have been counted.
    pub async fn sign_in(&self, sign_in: SignIn<'_>) -> Result<Outcome, Error> {
        let SignIn { email, password, known_device, strangers } = sign_in;
        let place = match self.hasher.admit() {
            Ok(place) => place,
            Err(busy) => return Ok(Outcome::Busy(busy)),
        };
        let now = self.ports.clock.now();
        match self.claim(Attempt { email, known_device, strangers }, now).await? {
            Some(claim) => self.prove(claim, password, place, now).await,
            None => Ok(Outcome::TurnedAway),
        }
    }

    /// Counts an attempt to sign in by something else than a password, under the same counters and by the same rule: as
    /// failed, since the server may never hear that it was. A successful one is to be [forgiven](Self::forgive).
    ///
    /// # Errors
    /// As [`Self::sign_in`].
    pub async fn admit(&self, attempt: Attempt<'_>) -> Result<Admission, Error> {
        let now = self.ports.clock.now();
        match self.claim(attempt, now).await? {
            Some(claim) => self.count(claim, now).await,
            None => Ok(Admission::TurnedAway),
        }
    }

    /// As [`Self::admit`], of somebody who is signed in already: counted for the account, with its step-ups.
    ///
    /// # Errors
    /// As [`Self::sign_in`].
    pub async fn admit_step_up(&self, account: &AccountId) -> Result<Admission, Error> {
        let claim = self.step_up_claim(account).await?;
        self.count(claim, self.ports.clock.now()).await
    }

    /// Forgets the failures under a counter, after an attempt that was [admitted](Self::admit) has succeeded.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn forgive(&self, counter: CounterKey) -> Result<(), Error> {
        self.ports.counters.clear(counter).await?;
        Ok(())
    }

    /// Checks the password of somebody who is signed in already (R025). Counted for the account, apart from sign-ins.
    ///
    /// # Errors
    /// As [`Self::sign_in`].
    pub async fn verify_for_step_up(&self, account: &AccountId, password: Password) -> Result<Outcome, Error> {
        let place = match self.hasher.admit() {
            Ok(place) => place,
            Err(busy) => return Ok(Outcome::Busy(busy)),
        };
        let now = self.ports.clock.now();
        let claim = self.step_up_claim(account).await?;
        self.prove(claim, password, place, now).await
    }

    /// Hashes `new` for `account`, if it is good enough, and changes nothing yet.
    ///
    /// # Errors
    /// [`SetPasswordError`].
    pub async fn prepare(&self, account: &Account, new: Password) -> Result<Credential, SetPasswordError> {
        self.prepare_other(account, None, new).await
    }

    /// As [`Self::prepare`], and refuses the password that `in_force` is of: for those who must choose another.
    ///
    /// # Errors
    /// [`SetPasswordError`].
    pub async fn prepare_other(
        &self,
        account: &Account,
        in_force: Option<&Credential>,
        new: Password,
    ) -> Result<Credential, SetPasswordError> {
        let place = self.hasher.admit()?;
        let (requirements, about) = (self.requirements.clone(), account.clone());
        // A hash that cannot be read is of no password.
        let held = in_force.and_then(|credential| StoredHash::decode(&credential.secret).ok());
        let own = self.hasher.parameters();
        let largest = held.as_ref().map(StoredHash::parameters).filter(|held| !held.falls_short_of(own)).unwrap_or(own);
        let refuse = move |password: &Password| -> Result<(), SetPasswordError> {
            requirements.check(password, &about)?;
            match held.map(|held| held.matches(password)).transpose().map_err(Error::from)? {
                Some(true) => Err(Weak::Unchanged.into()),
                Some(false) | None => Ok(()),
            }
        };
        let hash = self.hasher.hash(place, largest, new, refuse).await.map_err(Error::from)??;
        let secret = hash.encode().map_err(Error::from)?;
        Ok(Credential { secret: secret.into_bytes().into(), changed_at: self.ports.clock.now() })
    }

    /// Carries out an exchange of secrets, and makes the account forget every known browser. Whoever calls this also ends
    /// the account's other sessions (R097).
    ///
    /// # Errors
    /// [`Error`]. The secret is the old one then, unless the store failed in the last step.
    pub async fn exchange(&self, account: &AccountId, exchange: Exchange) -> Result<Exchanged, Error> {
        // Later than the one before, so that times tell them apart also within one tick of the clock.
        let earliest = exchange.set_at.map_or(Timestamp::MIN, |at| at.plus(TICK));
        let new = exchange.credential;
        let credential = Credential { changed_at: new.changed_at.max(earliest), ..new };
        let exchange = Exchange { credential, ..exchange };
        // Before, because devices that are forgotten for nothing do no harm; and after, for the browser that came in by the
        // old secret meanwhile.
        self.ports.devices.forget_all(account).await?;
        let exchanged = self.ports.credentials.exchange(account, &exchange).await?;
        match exchanged {
            Exchanged::Done => self.ports.devices.forget_all(account).await?,
            Exchanged::Moved | Exchanged::KeyMoved => {}
        }
        Ok(exchanged)
    }

    /// Opens the lock of strangers' attempts at an address, and the one of the account's step-ups.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn unlock(&self, account: &Account) -> Result<(), Error> {
        for bucket in [Bucket::Address(&account.email), Bucket::StepUp(&account.id)] {
            self.ports.counters.clear(self.buckets.counter(&bucket)).await?;
        }
        Ok(())
    }

    /// How busy hashing is.
    #[must_use]
    pub fn load(&self) -> crate::hasher::Load {
        self.hasher.load()
    }

    /// Whose an attempt is, and what it counts for; `None` for a stranger who is turned away.
    async fn claim(&self, attempt: Attempt<'_>, now: Timestamp) -> Result<Option<Claim>, Error> {
        let Attempt { email, known_device, strangers } = attempt;
        let address = email.parse::<EmailAddress>().ok();
        let found = self.ports.accounts.by_email(address.as_ref().unwrap_or(&self.nobody.email)).await?;
        let account = found.filter(|_| address.is_some());
        let id = account.as_ref().map_or(&self.nobody.id, |account| &account.id);
        let known_device = match known_device {
            Some(device) if self.ports.devices.knows(id, device, now).await? => Some(device),
            Some(_) | None => None,
        };
        match (strangers, &known_device) {
            (Strangers::TurnedAway, None) => return Ok(None),
            (Strangers::TurnedAway, Some(_)) | (Strangers::Admitted, _) => {}
        }
        let counter = match (&known_device, &address) {
            (Some(device), _) => self.buckets.counter(&Bucket::Device(id, device)),
            (None, Some(address)) => self.buckets.counter(&Bucket::Address(address)),
            (None, None) => self.buckets.counter(&Bucket::Malformed(email)),
        };
        let absent = if address.is_some() { RefusedReason::UnknownAccount } else { RefusedReason::Malformed };
        Ok(Some(Claim { account, absent, counter, known_device: known_device.is_some() }))
    }

    async fn step_up_claim(&self, account: &AccountId) -> Result<Claim, Error> {
        let counter = self.buckets.counter(&Bucket::StepUp(account));
        let account = self.ports.accounts.by_id(account).await?;
        Ok(Claim { account, absent: RefusedReason::UnknownAccount, counter, known_device: false })
    }

    async fn count(&self, claim: Claim, now: Timestamp) -> Result<Admission, Error> {
        let Claim { account, absent: _, counter, known_device } = claim;
        let rule = *self.rule.read();
        let (reservation, attempt) = self.lines.reserve(self.ports.counters.as_ref(), counter, rule, now).await?;
        // Whoever stands in line need not wait for the proof, which may never come.
        drop(attempt);
        Ok(match reservation {
            Reservation::Granted { remaining: _, locks } => {
                let nobody = self.nobody.id.clone();
                Admission::Counted(Box::new(Counted { account, nobody, counter, known_device, locks }))
            }
            Reservation::Locked { until } => Admission::Locked { until },
        })
    }

    async fn prove(&self, claim: Claim, password: Password, place: Place, now: Timestamp) -> Result<Outcome, Error> {
        let Claim { account, absent, counter, known_device } = claim;
        let rule = *self.rule.read();
        let (reservation, attempt) = self.lines.reserve(self.ports.counters.as_ref(), counter, rule, now).await?;
        let locks = match reservation {
            Reservation::Granted { remaining: _, locks } => locks,
            Reservation::Locked { until } => return Ok(Outcome::Locked { until }),
        };
        let id = account.as_ref().map_or(&self.nobody.id, |account| &account.id);
        let credential = self.ports.credentials.find(id, Method::Password).await?;
        let stored = match (&account, &credential) {
            (None, _) => Err(absent),
            (Some(_), None) => Err(RefusedReason::NoPassword),
            (Some(_), Some(credential)) => {
                StoredHash::decode(&credential.secret).map_err(RefusedReason::UnreadableHash)
            }
        };
        let honoured = stored.is_ok() && account.as_ref().is_some_and(|account| !account.disabled);
        let (hash, refusal) = match stored {
            Ok(hash) => (hash, None),
            Err(reason) => (self.nobody.hash.clone(), Some(reason)),
        };
        let check = Check { password, stored: hash, honoured, fresh_salt: self.hasher.salt().ok() };
        let checked = self.hasher.check(place, check).await?;

        let verdict = match (&account, refusal) {
            (_, Some(reason)) => Err(reason),
            (None, None) => Err(absent),
            (Some(_), None) if !checked.matches => Err(RefusedReason::WrongPassword),
            (Some(account), None) if account.disabled => Err(RefusedReason::Disabled),
            (Some(account), None) => Ok(account.clone()),
        };
        let account = match verdict {
            Ok(account) => account,
            Err(reason) => {
                let account = account.map(|account| account.id);
                return Ok(Outcome::Refused(Refused { reason, account, locks }));
            }
        };
        self.ports.counters.clear(counter).await?;
        drop(attempt);
        let rehashed = match (checked.replacement, &credential) {
            (Some(replacement), Some(outdated)) => self.replace(&account, outdated, &replacement).await,
            (Some(_) | None, _) => false,
        };
        let evidence = account
            .subject()
            .ok_or(ForeignSubject)
            .and_then(|subject| self.prover.testify(subject, account.epoch, now))
            .map_err(Error::ForeignProver)?;
        let must_change_password = account.must_change_password;
        let set_at = credential.map(|credential| credential.changed_at);
        Ok(Outcome::Verified(Box::new(Verified {
            account,
            evidence,
            must_change_password,
            known_device,
            rehashed,
            set_at,
        })))
    }

    /// Puts `replacement` where `outdated` is; whether it did. A failure costs the account nothing.
    async fn replace(&self, account: &Account, outdated: &Credential, replacement: &StoredHash) -> bool {
        let Ok(secret) = replacement.encode() else {
            return false;
        };
        // Hashing took its time; a password that was set meanwhile stays.
        let (credentials, set_at) = (&self.ports.credentials, outdated.changed_at);
        let replaced = credentials.replace(&account.id, Method::Password, set_at, secret.as_bytes()).await;
        replaced.unwrap_or_else(|error| {
            tracing::warn!(%error, account = %account.id, "an outdated password hash could not be replaced");
            false
        })
    }
}

impl Nobody {
    fn new(entropy: &dyn Entropy, hasher: &Hasher) -> Result<Self, EntropyFailure> {
        let id = AccountId::new(draw(entropy)?);
        // Always an address: the id is visible ASCII.
        let email = format!("{id}@invalid").parse().map_err(|_| EntropyFailure)?;
        Ok(Self { id, email, hash: StoredHash::decoy(hasher.parameters(), draw(entropy)?, draw(entropy)?) })
    }
}

fn draw<const N: usize>(entropy: &dyn Entropy) -> Result<[u8; N], EntropyFailure> {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes).map(|()| bytes)
}

/// Nothing can be said about a password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no entropy.
    #[error(transparent)]
    Entropy(#[from] EntropyFailure),
    /// Argon2 or its thread failed.
    #[error(transparent)]
    Hash(#[from] HashFailure),
    /// The prover speaks for another namespace than accounts are in.
    #[error(transparent)]
    ForeignProver(ForeignSubject),
}

impl From<HashError> for Error {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Entropy(failure) => Self::Entropy(failure),
            HashError::Hash(failure) => Self::Hash(failure),
        }
    }
}

/// Why a password was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetPasswordError {
    /// It is not good enough.
    #[error(transparent)]
    Weak(#[from] Weak),
    /// There is too much hashing right now.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// Something failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

#[cfg(test)]
mod tests;
