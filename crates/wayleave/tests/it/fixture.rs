//! A deployment of one or more nodes over one store and one directory, and its people.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use wayleave::cluster::Cluster;
use wayleave::core::authentication::{Authority, Evidence, Level, Method, Prover};
use wayleave::core::entries::Entries;
use wayleave::core::memory::{DirectoryLimits, MemoryDirectory, MemoryOptions, MemoryStore};
use wayleave::core::permission::{Ceiling, Permissions};
use wayleave::core::policy::{
    AtLimit, Concurrency, FingerprintMode, IdleLimit, KindName, Kinds, Policy, SessionTimeout, TokenFormat,
};
use wayleave::core::ports::{
    Account, AccountChange, AccountId, Accounts, Clock, Entropy, InsertAccount, InsertServiceKey, ServiceKey,
    ServiceKeys, SessionStore, StoreError, Subjects,
};
use wayleave::core::record::{Client, Fingerprint, Limit, Record, Revision};
use wayleave::core::routing::RoutingKey;
use wayleave::core::subject::{Namespace, Subject};
use wayleave::core::time::Timestamp;
use wayleave::events::{Subscription, What};
use wayleave::jwt::{Audience, KeyLife, KeySet, SigningKey};
use wayleave::{
    Issued, Open, OpenError, Opened, Options, Origin, Parts, RefreshError, Rules, Session, SessionManager, Shown,
    ValidateError,
};
use wayleave_testkit::{FailingDirectory, FailingStore, FakeClock, SeededEntropy};

use crate::parking::{Gate, ParkingStore, ParkingSubjects};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
/// The smallest step of a timestamp.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// What an ordinary account may do.
pub(crate) const USUAL: [&str; 3] = ["read:profile", "write:messages", "reports:read"];

/// A node.
pub(crate) struct World {
    pub(crate) manager: Arc<SessionManager>,
    shared: Shared,
}

/// What the nodes of a deployment share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) entropy: Arc<SeededEntropy>,
    pub(crate) store: Arc<FailingStore>,
    pub(crate) directory: Arc<FailingDirectory<MemoryDirectory>>,
    pub(crate) accounts: Arc<MemoryDirectory>,
    pub(crate) gate: Arc<Gate>,
}

impl Deref for World {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let clock = Arc::new(FakeClock::default());
        let gate = Arc::new(Gate::default());
        let inner = Arc::new(MemoryStore::new(MemoryOptions::default()));
        let parking = ParkingStore { inner, gate: Arc::clone(&gate) };
        let accounts = Arc::new(MemoryDirectory::new(DirectoryLimits::default(), Arc::clone(&clock) as Arc<dyn Clock>));
        let shared = Shared {
            entropy: Arc::new(SeededEntropy::new(7)),
            store: Arc::new(FailingStore::new(Arc::new(parking))),
            directory: Arc::new(FailingDirectory::new(Arc::clone(&accounts))),
            clock,
            accounts,
            gate,
        };
        Self { manager: manager(options, rules(), None, &shared), shared }
    }

    /// Another node, with nothing in its memory.
    pub(crate) fn second_node(&self) -> Self {
        let rules = (*self.manager.rules()).clone();
        let shared = self.shared.clone();
        Self { manager: manager(Options::default(), rules, None, &shared), shared }
    }

    /// Another node, which hears of the others.
    pub(crate) fn node_of(&self, options: Options, cluster: &Arc<Cluster>) -> Arc<SessionManager> {
        manager(options, (*self.manager.rules()).clone(), Some(Arc::clone(cluster)), &self.shared)
    }

    /// A person with the usual permissions.
    pub(crate) async fn person(&self, number: u8) -> Subject {
        self.person_with(number, &USUAL).await
    }

    pub(crate) async fn person_with(&self, number: u8, permissions: &[&str]) -> Subject {
        let account = account(number, permissions, self.clock.now());
        assert_eq!(Accounts::insert(&*self.accounts, &account).await.unwrap(), InsertAccount::Done);
        account.subject().unwrap()
    }

    /// Somebody of whom a service knows, whose key expires after `life`.
    pub(crate) async fn service_subject(&self, service: &str, life: Duration) -> Subject {
        let now = self.clock.now();
        let key = ServiceKey {
            name: service.into(),
            key: [1; 32],
            permissions: permissions(&USUAL),
            created_at: now,
            expires_at: now.plus(life),
            revoked_at: None,
        };
        assert_eq!(ServiceKeys::insert(&*self.accounts, &key).await.unwrap(), InsertServiceKey::Done);
        Subject::external(service, "somebody").unwrap()
    }

    /// Changes an account behind the manager's back.
    pub(crate) async fn edit(&self, subject: &Subject, edit: impl FnOnce(&mut Account)) {
        let id = AccountId::of_subject(subject).unwrap();
        let mut account = self.accounts.by_id(&id).await.unwrap().unwrap();
        edit(&mut account);
        assert!(matches!(Accounts::update(&*self.accounts, &account).await.unwrap(), AccountChange::Done(_)));
    }

    /// Changes an account, and tells the manager.
    pub(crate) async fn edit_and_tell(&self, subject: &Subject, change: impl FnOnce(&mut Account)) {
        self.edit(subject, change).await;
        self.manager.subject_changed(subject).await.unwrap();
    }

    /// What `subject` proved right now.
    pub(crate) async fn evidence(&self, subject: &Subject) -> Evidence {
        let standing = self.accounts.standing(subject).await.unwrap();
        prover(subject.namespace()).testify(subject.clone(), standing.epoch, self.clock.now()).unwrap()
    }

    pub(crate) async fn try_open(&self, subject: &Subject, open: Open) -> Result<Opened, OpenError> {
        let evidence = self.evidence(subject).await;
        self.manager.open(evidence, open, &Origin::default()).await
    }

    pub(crate) async fn open(&self, subject: &Subject, kind: &str) -> Opened {
        self.open_as(subject, open(kind)).await
    }

    pub(crate) async fn open_as(&self, subject: &Subject, open: Open) -> Opened {
        match self.try_open(subject, open).await {
            Ok(opened) => opened,
            Err(error) => panic!("not opened: {error}"),
        }
    }

    pub(crate) async fn validate(&self, token: &str) -> Result<Session, ValidateError> {
        self.manager.validate(token, &shown()).await
    }

    /// As [`Self::validate`], in a word.
    pub(crate) async fn verdict(&self, token: &str) -> Verdict {
        verdict(self.validate(token).await)
    }

    pub(crate) async fn session(&self, opened: &Opened) -> Session {
        self.session_of(&opened.issued.access).await
    }

    pub(crate) async fn session_of(&self, token: &str) -> Session {
        self.validate(token).await.unwrap()
    }

    pub(crate) async fn refresh(&self, token: &str) -> Result<wayleave::Refreshed, RefreshError> {
        self.manager.refresh(token, &shown()).await
    }

    pub(crate) async fn refresh_verdict(&self, token: &str) -> RefreshVerdict {
        refresh_verdict(&self.refresh(token).await)
    }

    /// Puts the rules in force that `change` makes of those that are.
    pub(crate) fn change_rules(&self, change: impl FnOnce(&mut BTreeMap<KindName, Policy>, &mut Rules)) {
        let mut rules = (*self.manager.rules()).clone();
        let mut kinds = rules.kinds.iter().map(|(name, policy)| (name.clone(), policy.clone())).collect();
        change(&mut kinds, &mut rules);
        rules.kinds = Kinds::new(kinds, rules.kinds.epoch() + 1).unwrap();
        self.manager.set_rules(rules);
    }

    pub(crate) fn change_kind(&self, kind: &str, change: impl FnOnce(&mut Policy)) {
        self.change_rules(|kinds, _| change(kinds.get_mut(&kind.parse::<KindName>().unwrap()).unwrap()));
    }

    /// Sets the administrators' session timeout.
    pub(crate) fn set_timeout(&self, minutes: u16) {
        self.change_rules(|_, rules| rules.session_timeout = SessionTimeout::from_minutes(minutes).unwrap());
    }

    /// How many live sessions the store holds.
    pub(crate) async fn live(&self) -> u64 {
        self.manager.census().await.unwrap().live.iter().map(|(_, count)| count).sum()
    }

    /// Everything that the store holds.
    pub(crate) async fn records(&self) -> Vec<Arc<Record>> {
        self.manager.list(None, None, 1000).await.unwrap().records
    }
}

/// What a validation came to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Valid,
    Expired(Limit),
    Invalid,
    StoreDown,
}

pub(crate) fn verdict(result: Result<Session, ValidateError>) -> Verdict {
    match result {
        Ok(_) => Verdict::Valid,
        Err(ValidateError::Expired(limit)) => Verdict::Expired(limit),
        Err(ValidateError::Invalid) => Verdict::Invalid,
        Err(ValidateError::Store(_)) => Verdict::StoreDown,
    }
}

/// What a refresh came to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum RefreshVerdict {
    Minted,
    Repeated,
    Expired(Limit),
    Reused,
    Invalid,
    Failed,
}

pub(crate) fn refresh_verdict(result: &Result<wayleave::Refreshed, RefreshError>) -> RefreshVerdict {
    match result {
        Ok(refreshed) if refreshed.repeated => RefreshVerdict::Repeated,
        Ok(_) => RefreshVerdict::Minted,
        Err(RefreshError::Expired(limit)) => RefreshVerdict::Expired(*limit),
        Err(RefreshError::Reused) => RefreshVerdict::Reused,
        Err(RefreshError::Invalid) => RefreshVerdict::Invalid,
        Err(RefreshError::Store(_) | RefreshError::Issue(_)) => RefreshVerdict::Failed,
    }
}

fn manager(options: Options, rules: Rules, cluster: Option<Arc<Cluster>>, shared: &Shared) -> Arc<SessionManager> {
    let Shared { clock, entropy, store, directory, accounts: _, gate } = shared;
    let subjects = ParkingSubjects { inner: Arc::clone(directory) as Arc<dyn Subjects>, gate: Arc::clone(gate) };
    let manager = SessionManager::new(Parts {
        store: Arc::clone(store) as Arc<dyn SessionStore>,
        subjects: Arc::new(subjects),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        entropy: Arc::clone(entropy) as Arc<dyn Entropy>,
        authority: authority(),
        routing: routing(),
        cluster,
        rules,
        audience: audience(),
        options,
    });
    manager.set_signing_keys(keys(&[(1, ALWAYS)]));
    Arc::new(manager)
}

/// The four default kinds, and one for each thing that they do not show.
pub(crate) fn rules() -> Rules {
    let defaults = Kinds::default();
    let mut kinds: BTreeMap<KindName, Policy> =
        defaults.iter().map(|(name, policy)| (name.clone(), policy.clone())).collect();
    let standard = Policy { ceiling: Ceiling::Any, ..kinds[&kind("standard")].clone() };
    let idle_limit = IdleLimit::Fixed(30 * MINUTE);
    let three = |at_limit| Concurrency { most: 3, at_limit };
    for (name, policy) in [
        ("plain", standard.clone()),
        ("idle", Policy { idle_limit, ..standard.clone() }),
        ("jwt", Policy { token_format: TokenFormat::Jwt { lifetime: 15 * MINUTE }, ..standard.clone() }),
        ("refusing", Policy { concurrency: three(AtLimit::Refuse), ..standard.clone() }),
        ("evicting", Policy { concurrency: three(AtLimit::EvictOldest), ..standard.clone() }),
        ("evicting-unused", Policy { concurrency: three(AtLimit::EvictLeastRecentlySeen), ..standard.clone() }),
        ("strong", Policy { level: Level::TWO, ..standard.clone() }),
        ("off", Policy { fingerprint: FingerprintMode::Off, ..standard.clone() }),
        ("observe", Policy { fingerprint: FingerprintMode::Observe, ..standard.clone() }),
        ("step-up", Policy { fingerprint: FingerprintMode::StepUp, ..standard.clone() }),
        ("revoke", Policy { fingerprint: FingerprintMode::Revoke, ..standard }),
    ] {
        kinds.insert(kind(name), policy);
    }
    Rules { kinds: Kinds::new(kinds, 1).unwrap(), ..Rules::default() }
}

pub(crate) fn kind(name: &str) -> KindName {
    name.parse().unwrap()
}

/// A session of a kind, with a refresh token unless it is a cookie's.
pub(crate) fn open(name: &str) -> Open {
    Open {
        kind: kind(name),
        permissions: None,
        duration: None,
        remember: false,
        refreshable: name != "web",
        client: Client::default(),
        replaces: None,
        data: Entries::new(),
        context: Entries::new(),
    }
}

/// A request of a user.
pub(crate) fn shown() -> Shown {
    Shown { active: true, ..Shown::default() }
}

/// A request that is not the user's doing.
pub(crate) fn polling() -> Shown {
    Shown { active: false, ..Shown::default() }
}

/// A request of a user, from this client.
pub(crate) fn from(client: u8) -> Shown {
    Shown { fingerprint: Some(Fingerprint([client; 32])), ..shown() }
}

pub(crate) fn fingerprinted(client: u8) -> Client {
    Client { fingerprint: Some(Fingerprint([client; 32])), ..Client::default() }
}

pub(crate) fn permissions(names: &[&str]) -> Permissions {
    Permissions::new(names.iter().copied()).unwrap()
}

pub(crate) fn entries(pairs: &[(&str, &str)]) -> Entries {
    let mut entries = Entries::new();
    for (key, value) in pairs {
        entries.set(key, value.as_bytes()).unwrap();
    }
    entries
}

pub(crate) fn refresh_token(issued: &Issued) -> &str {
    issued.refresh.as_ref().expect("a session that can be refreshed")
}

/// Everything published so far.
pub(crate) fn drain(subscription: &mut Subscription) -> Vec<What> {
    std::iter::from_fn(|| subscription.try_next()).map(|event| event.what.clone()).collect()
}

pub(crate) fn routing() -> RoutingKey {
    RoutingKey::new(*b"integration-test")
}

pub(crate) fn authority() -> Authority {
    Authority::new([3; 16])
}

/// Signs in with a single factor, whoever it is.
pub(crate) fn prover(namespace: Namespace) -> Prover {
    let method = match namespace {
        Namespace::User => Method::Password,
        Namespace::Ethereum => Method::Ethereum,
        Namespace::InternetComputer => Method::InternetComputer,
        Namespace::External => Method::ServiceKey,
        Namespace::ZeroKnowledge => Method::ZeroKnowledge,
    };
    authority().prover(method, Level::ONE, namespace)
}

pub(crate) fn audience() -> Audience {
    Audience { issuer: "https://auth.example.org".into(), audience: "https://api.example.org".into() }
}

/// A key that signs from the beginning and never ends.
pub(crate) const ALWAYS: KeyLife = KeyLife { created_at: Timestamp::MIN, signs_from: Timestamp::MIN, retired_at: None };

pub(crate) fn keys(keys: &[(u8, KeyLife)]) -> KeySet {
    KeySet::new(keys.iter().map(|(seed, life)| SigningKey::from_seed(&[*seed; 32], *life)).collect()).unwrap()
}

fn account(number: u8, permitted: &[&str], now: Timestamp) -> Account {
    Account {
        id: AccountId::new([number; 16]),
        email: format!("person{number}@example.org").parse().unwrap(),
        name: "Person".into(),
        role: "".into(),
        phone: None,
        labels: Vec::new(),
        avatar: None,
        permissions: permissions(permitted),
        disabled: false,
        must_change_password: false,
        epoch: 0,
        created_at: now,
        updated_at: now,
        last_sign_in_at: None,
        revision: Revision(0),
    }
}

/// A store that does not answer.
pub(crate) fn is_down<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}
