//! Tests of the authenticator over a directory in memory that counts every call.

use std::num::NonZeroU32;
use std::time::Duration;

use wayleave_core::authentication::{Authority, Level};
use wayleave_core::memory::{DirectoryLimits, MemoryDirectory};
use wayleave_core::permission::Permissions;
use wayleave_core::ports::{InsertAccount, KnownDevice};
use wayleave_core::record::Revision;
use wayleave_testkit::{DirectoryVerb, FailingDirectory, FakeClock, Fault, SeededEntropy};

use super::*;
use crate::hasher::HasherOptions;
use crate::parameters::{Cost, Parameters};

mod equality;
mod lockout;
mod outcomes;

const RIGHT: &str = "tangerine ocelot 7";
const WRONG: &str = "tangerine ocelot 8";
const OWNER: &str = "owner@example.org";
const DISABLED: &str = "disabled@example.org";
const OUTDATED: &str = "outdated@example.org";
const BARE: &str = "bare@example.org";
const UNKNOWN: &str = "stranger@example.org";
const DEVICE: [u8; 32] = [0xD1; 32];

/// A deployment with an account in each state.
struct World {
    directory: Arc<FailingDirectory<MemoryDirectory>>,
    clock: Arc<FakeClock>,
    entropy: Arc<SeededEntropy>,
    authority: Authority,
    password: Arc<PasswordAuthenticator>,
}

struct WorldOptions {
    parameters: Parameters,
    queue: u32,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self { parameters: Parameters::dangerous_cheap_for_tests(), queue: 1000 }
    }
}

impl World {
    async fn new() -> Self {
        Self::with(WorldOptions::default()).await
    }

    async fn with(options: WorldOptions) -> Self {
        let WorldOptions { parameters, queue } = options;
        let clock = Arc::new(FakeClock::default());
        let entropy = Arc::new(SeededEntropy::new(2026));
        let memory = MemoryDirectory::new(DirectoryLimits::default(), Arc::clone(&clock) as Arc<dyn Clock>);
        let directory = Arc::new(FailingDirectory::new(Arc::new(memory)));
        let options =
            HasherOptions { concurrency: NonZeroU32::new(2).unwrap(), queue, ..HasherOptions::new(parameters) };
        let hasher = Arc::new(Hasher::new(options, Arc::clone(&entropy) as Arc<dyn Entropy>));
        let authority = Authority::new([1; 16]);
        let password = PasswordAuthenticator::new(
            ports(&directory, &clock, &entropy),
            hasher,
            authority.prover(Method::Password, Level::ONE, Namespace::User),
            BucketKey::new([2; 32]),
            Options::default(),
        );
        let world = Self { directory, clock, entropy, authority, password: Arc::new(password.unwrap()) };
        for (number, email) in (1..).zip([OWNER, DISABLED, OUTDATED, BARE]) {
            let account = account(number, email);
            assert_eq!(Accounts::insert(&*world.directory, &account).await.unwrap(), InsertAccount::Done);
            match email {
                BARE => {}
                OUTDATED => {
                    let Cost { memory_kib, .. } = parameters.cost();
                    let lower = Cost { memory_kib: memory_kib / 4, ..parameters.cost() };
                    world.store(email, &hash(Parameters::bounded(lower).unwrap())).await;
                }
                _ => world.store(email, &hash(parameters)).await,
            }
        }
        let device = KnownDevice { key: DEVICE, expires_at: Timestamp::MAX };
        let now = world.clock.now();
        world.directory.remember(&world.account(OWNER).await.id, &device, None, 10, now).await.unwrap();
        world.directory.faults().reset();
        world
    }

    fn ports(&self) -> Ports {
        ports(&self.directory, &self.clock, &self.entropy)
    }

    async fn account(&self, email: &str) -> Account {
        self.directory.by_email(&email.parse().unwrap()).await.unwrap().unwrap()
    }

    async fn store(&self, email: &str, phc: &str) {
        let id = self.account(email).await.id;
        let credential = Credential { secret: phc.as_bytes().into(), changed_at: FakeClock::START };
        Credentials::set(&*self.directory, &id, Method::Password, &credential).await.unwrap();
    }

    async fn credential(&self, email: &str) -> Credential {
        let id = self.account(email).await.id;
        Credentials::find(&*self.directory, &id, Method::Password).await.unwrap().unwrap()
    }

    async fn stored(&self, email: &str) -> String {
        String::from_utf8(self.credential(email).await.secret.into()).unwrap()
    }

    async fn attempt(&self, email: &str, password: &str) -> Outcome {
        self.try_attempt(email, password, None).await.unwrap()
    }

    async fn attempt_from_device(&self, email: &str, password: &str) -> Outcome {
        self.try_attempt(email, password, Some(DEVICE)).await.unwrap()
    }

    async fn try_attempt(&self, email: &str, text: &str, known_device: Option<[u8; 32]>) -> Result<Outcome, Error> {
        self.password
            .sign_in(SignIn { email, password: password(text), known_device, strangers: Strangers::Admitted })
            .await
    }
}

fn ports(
    directory: &Arc<FailingDirectory<MemoryDirectory>>,
    clock: &Arc<FakeClock>,
    entropy: &Arc<SeededEntropy>,
) -> Ports {
    Ports {
        accounts: Arc::clone(directory) as Arc<dyn Accounts>,
        credentials: Arc::clone(directory) as Arc<dyn Credentials>,
        devices: Arc::clone(directory) as Arc<dyn KnownDevices>,
        counters: Arc::clone(directory) as Arc<dyn Counters>,
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        entropy: Arc::clone(entropy) as Arc<dyn Entropy>,
    }
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

fn hash(parameters: Parameters) -> String {
    StoredHash::make(&password(RIGHT), parameters, [9; 16]).unwrap().encode().unwrap()
}

fn account(number: u8, email: &str) -> Account {
    Account {
        id: AccountId::new([number; 16]),
        email: email.parse().unwrap(),
        name: "".into(),
        role: "".into(),
        phone: None,
        labels: Vec::new(),
        avatar: None,
        permissions: Permissions::none(),
        disabled: email == DISABLED,
        must_change_password: email == OUTDATED,
        epoch: 7,
        created_at: FakeClock::START,
        updated_at: FakeClock::START,
        last_sign_in_at: None,
        revision: Revision::default(),
    }
}

/// What an outcome comes to, in one word, with the reason that only the audit log learns.
fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Verified(_) => "verified",
        Outcome::Refused(refused) => refused.reason().as_str(),
        Outcome::Locked { .. } => "locked",
        Outcome::TurnedAway => "turned_away",
        Outcome::Busy(_) => "busy",
    }
}
