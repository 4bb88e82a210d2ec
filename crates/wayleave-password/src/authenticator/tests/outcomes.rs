//! What each attempt comes to: success with its evidence, refusals, rehashing, faults, new passwords.

use wayleave_core::ports::{Rewrapped, Wrap, WrappedKey};

use super::*;

#[tokio::test]
async fn each_state_has_its_outcome() {
    let world = World::new().await;
    let cases = [
        (OWNER, RIGHT, "verified"),
        ("  OWNER@Example.ORG ", RIGHT, "verified"),
        (OWNER, WRONG, "wrong_password"),
        (OWNER, "", "wrong_password"),
        (OWNER, "tangerine ocelot 7 ", "wrong_password"),
        (DISABLED, RIGHT, "disabled"),
        (DISABLED, WRONG, "wrong_password"),
        (BARE, RIGHT, "no_password"),
        (UNKNOWN, RIGHT, "unknown_account"),
        ("not an address", RIGHT, "malformed_email"),
        ("", RIGHT, "malformed_email"),
    ];
    for (email, text, expected) in cases {
        assert_eq!(word(&world.attempt(email, text).await), expected, "{email} {text:?}");
    }
}

#[tokio::test]
async fn a_success_carries_evidence_for_the_account() {
    let world = World::new().await;
    let Outcome::Verified(verified) = world.attempt(OWNER, RIGHT).await else {
        panic!("refused");
    };
    let Verified { account, evidence, must_change_password, known_device, rehashed, set_at } = *verified;
    assert_eq!(set_at, Some(FakeClock::START));
    assert!(world.authority.recognises(&evidence));
    assert_eq!(evidence.subject(), &account.subject().unwrap());
    assert_eq!(evidence.epoch(), 7);
    assert_eq!(evidence.authentication().at, FakeClock::START);
    assert!(evidence.authentication().methods.contains(Method::Password));
    assert!(!must_change_password && !known_device && !rehashed);

    let Outcome::Verified(verified) = world.attempt_from_device(OWNER, RIGHT).await else {
        panic!("refused");
    };
    assert!(verified.known_device);
}

/// R106: a prover that speaks for somebody else's namespace cannot be given to it.
#[tokio::test]
async fn a_foreign_prover_is_not_accepted() {
    let world = World::new().await;
    let prover = world.authority.prover(Method::Password, Level::ONE, Namespace::External);
    let hasher = Arc::clone(&world.password.hasher);
    let made = PasswordAuthenticator::new(world.ports(), hasher, prover, BucketKey::new([0; 32]), Options::default());
    assert!(matches!(made.err(), Some(Error::ForeignProver(ForeignSubject))));
}

/// R094: a success brings an outdated hash up to date, once; a failure does not, nor does a disabled account.
#[tokio::test]
async fn a_success_replaces_an_outdated_hash() {
    let world = World::new().await;
    let before = world.stored(OUTDATED).await;
    assert_eq!(word(&world.attempt(OUTDATED, WRONG).await), "wrong_password");
    assert_eq!(world.stored(OUTDATED).await, before);

    for expected in [true, false] {
        let Outcome::Verified(verified) = world.attempt(OUTDATED, RIGHT).await else {
            panic!("refused");
        };
        assert!(verified.must_change_password);
        assert_eq!(verified.rehashed, expected);
    }
    let after = StoredHash::decode(world.stored(OUTDATED).await.as_bytes()).unwrap();
    assert_eq!(after.parameters(), Parameters::dangerous_cheap_for_tests());

    world.store(DISABLED, &before).await;
    assert_eq!(word(&world.attempt(DISABLED, RIGHT).await), "disabled");
    assert_eq!(world.stored(DISABLED).await, before);
}

/// R094: when the new hash cannot be stored or made, the sign-in succeeds all the same.
#[tokio::test]
async fn a_failed_rehash_costs_nothing() {
    let world = World::new().await;
    world.directory.faults().fail(DirectoryVerb::CredentialsReplace, Fault::DOWN);
    assert!(matches!(world.attempt(OUTDATED, RIGHT).await, Outcome::Verified(verified) if !verified.rehashed));
    world.directory.faults().heal(DirectoryVerb::CredentialsReplace);
    world.entropy.fail_after(0);
    assert!(matches!(world.attempt(OUTDATED, RIGHT).await, Outcome::Verified(verified) if !verified.rehashed));
    world.entropy.recover();
    assert!(matches!(world.attempt(OUTDATED, RIGHT).await, Outcome::Verified(verified) if verified.rehashed));
}

/// Credentials of an account whose owner sets a new password right after any look at the old one.
struct Overtaken {
    inner: Arc<FailingDirectory<MemoryDirectory>>,
    new: Credential,
}

#[async_trait::async_trait]
impl Credentials for Overtaken {
    async fn exchange(&self, account: &AccountId, exchange: &Exchange) -> Result<Exchanged, StoreError> {
        Credentials::exchange(&*self.inner, account, exchange).await
    }

    async fn wrapped_key(&self, account: &AccountId, method: Method) -> Result<Option<WrappedKey>, StoreError> {
        Credentials::wrapped_key(&*self.inner, account, method).await
    }

    async fn wrap(&self, account: &AccountId, method: Method, key: &Rewrapped) -> Result<Wrap, StoreError> {
        Credentials::wrap(&*self.inner, account, method, key).await
    }

    async fn find(&self, account: &AccountId, method: Method) -> Result<Option<Credential>, StoreError> {
        let found = Credentials::find(&*self.inner, account, method).await?;
        self.set(account, method, &self.new).await?;
        Ok(found)
    }

    async fn set(&self, account: &AccountId, method: Method, credential: &Credential) -> Result<(), StoreError> {
        Credentials::set(&*self.inner, account, method, credential).await
    }

    async fn replace(
        &self,
        account: &AccountId,
        method: Method,
        set_at: Timestamp,
        secret: &[u8],
    ) -> Result<bool, StoreError> {
        Credentials::replace(&*self.inner, account, method, set_at, secret).await
    }

    async fn remove(&self, account: &AccountId, method: Method) -> Result<bool, StoreError> {
        Credentials::remove(&*self.inner, account, method).await
    }
}

/// R094, R097: a password that was set while the old one was being hashed again stays.
#[tokio::test]
async fn a_rehash_never_undoes_a_new_password() {
    let world = World::new().await;
    let changed_at = FakeClock::START.plus(Duration::from_millis(1));
    let new = Credential { secret: Box::new(*b"the new one"), changed_at };
    let overtaken = Overtaken { inner: Arc::clone(&world.directory), new: new.clone() };
    let ports = Ports { credentials: Arc::new(overtaken), ..world.ports() };
    let prover = world.authority.prover(Method::Password, Level::ONE, Namespace::User);
    let hasher = Arc::clone(&world.password.hasher);
    let authenticator =
        PasswordAuthenticator::new(ports, hasher, prover, BucketKey::new([2; 32]), Options::default()).unwrap();
    let sign_in =
        SignIn { email: OUTDATED, password: password(RIGHT), known_device: None, strangers: Strangers::Admitted };
    let outcome = authenticator.sign_in(sign_in).await.unwrap();
    assert!(matches!(outcome, Outcome::Verified(verified) if !verified.rehashed));
    assert_eq!(world.directory.faults().calls_of(DirectoryVerb::CredentialsReplace), 1);
    let id = world.account(OUTDATED).await.id;
    let held = Credentials::find(&*world.directory, &id, Method::Password).await.unwrap();
    assert_eq!(held, Some(new));
}

/// R168: a store that does not answer is neither a success nor a refusal, whichever call it is.
#[tokio::test]
async fn a_store_that_is_down_decides_nothing() {
    use DirectoryVerb::{AccountsByEmail, CountersClear, CountersReserve, CredentialsFind, DevicesKnows};
    let world = World::new().await;
    for verb in [AccountsByEmail, DevicesKnows, CountersReserve, CredentialsFind, CountersClear] {
        world.directory.faults().fail(verb, Fault::DOWN);
        let outcome = world.try_attempt(OWNER, RIGHT, Some(DEVICE)).await;
        assert!(matches!(outcome, Err(Error::Store(StoreError::Unavailable(_)))), "{verb:?}: {outcome:?}");
        world.directory.faults().heal(verb);
    }
    assert_eq!(word(&world.attempt(OWNER, RIGHT).await), "verified");
}

/// A54: a hash that somebody put into the store is refused before memory is taken for it, at the usual price.
#[tokio::test]
async fn an_enormous_stored_hash_is_refused() {
    let world = World::new().await;
    let enormous =
        "$argon2id$v=19$m=67108864,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    for phc in [enormous, "", "plain text", "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW"] {
        world.store(OWNER, phc).await;
        let before = world.password.load().hashes;
        assert_eq!(word(&world.attempt(OWNER, RIGHT).await), "unreadable_hash");
        assert_eq!(world.password.load().hashes, before + 1);
    }
}

/// R097: the owner of a session proves the password again, with attempts of its own that end in a lock.
#[tokio::test]
async fn a_step_up_checks_the_password_of_the_account() {
    let world = World::new().await;
    let id = world.account(OWNER).await.id;
    let step_up = async |id: &AccountId, text| world.password.verify_for_step_up(id, password(text)).await.unwrap();
    assert_eq!(word(&step_up(&id, RIGHT).await), "verified");
    assert_eq!(word(&step_up(&world.account(DISABLED).await.id, RIGHT).await), "disabled");
    assert_eq!(word(&step_up(&AccountId::new([99; 16]), RIGHT).await), "unknown_account");
    for _ in 0..5 {
        assert_eq!(word(&step_up(&id, WRONG).await), "wrong_password");
    }
    assert_eq!(word(&step_up(&id, RIGHT).await), "locked");
    assert_eq!(word(&world.attempt(OWNER, RIGHT).await), "verified");
    assert_eq!(word(&step_up(&id, RIGHT).await), "locked", "a sign-in elsewhere opens nothing here");
    world.password.unlock(&world.account(OWNER).await).await.unwrap();
    assert_eq!(word(&step_up(&id, RIGHT).await), "verified");
}

/// R093, R096: a new password replaces the old one at the current parameters, and known browsers are strangers again.
#[tokio::test]
async fn a_new_password_replaces_the_old_one() {
    let world = World::new().await;
    let owner = world.account(OWNER).await;
    world.clock.advance(Duration::from_secs(60));
    let set_at = world.credential(OWNER).await.changed_at;
    let new = world.password.prepare(&owner, password("vier rote Fahrräder")).await.unwrap();
    let exchanged =
        world.password.exchange(&owner.id, Exchange::plain(Method::Password, Some(set_at), new)).await.unwrap();
    assert_eq!(exchanged, Exchanged::Done);
    assert_eq!(word(&world.attempt(OWNER, RIGHT).await), "wrong_password");
    assert_eq!(word(&world.attempt(OWNER, "vier rote Fahrräder").await), "verified");
    assert!(!world.directory.knows(&owner.id, DEVICE, world.clock.now()).await.unwrap());
    let credential = Credentials::find(&*world.directory, &owner.id, Method::Password).await.unwrap().unwrap();
    assert_eq!(credential.changed_at, FakeClock::START.plus(Duration::from_secs(60)));
    assert!(!credential.secret.windows(4).any(|window| window == b"rote"));
}

/// R097: a password takes the place of the one that was proved and of no other, also within one tick of the clock.
#[tokio::test]
async fn a_new_password_does_not_replace_a_newer_one() {
    let world = World::new().await;
    let owner = world.account(OWNER).await;
    let Outcome::Verified(proved) = world.attempt(OWNER, RIGHT).await else { panic!("the password is right") };
    for (text, expected) in [("vier rote Fahrräder", Exchanged::Done), ("five blue trains", Exchanged::Moved)] {
        let new = world.password.prepare(&owner, password(text)).await.unwrap();
        let exchange = Exchange::plain(Method::Password, proved.set_at, new);
        assert_eq!(world.password.exchange(&owner.id, exchange).await.unwrap(), expected);
    }
    assert_eq!(word(&world.attempt(OWNER, "vier rote Fahrräder").await), "verified");
    assert!(world.credential(OWNER).await.changed_at > proved.set_at.unwrap());
}

/// R096: whoever must choose another password cannot choose the same.
#[tokio::test]
async fn the_password_in_force_is_no_other_one() {
    let world = World::new().await;
    let owner = world.account(OWNER).await;
    let held = world.credential(OWNER).await;
    let same = world.password.prepare_other(&owner, Some(&held), password(RIGHT)).await;
    assert!(matches!(same, Err(SetPasswordError::Weak(Weak::Unchanged))));
    assert!(world.password.prepare_other(&owner, None, password(RIGHT)).await.is_ok());
    assert!(world.password.prepare_other(&owner, Some(&held), password("vier rote Fahrräder")).await.is_ok());
}

/// R096: a weak password is named as what it is, and nothing changes.
#[tokio::test]
async fn a_weak_password_changes_nothing() {
    let world = World::new().await;
    let owner = world.account(OWNER).await;
    let before = world.stored(OWNER).await;
    let cases = [
        ("x7#kQ2!", Weak::TooShort { minimum_characters: 8 }),
        ("password123", Weak::TooCommon),
        ("wayleave-owner", Weak::ContainsContext),
    ];
    for (text, expected) in cases {
        let refused = world.password.prepare(&owner, password(text)).await.map(drop);
        assert!(matches!(refused, Err(SetPasswordError::Weak(weak)) if weak == expected), "{text}");
    }
    assert_eq!(world.stored(OWNER).await, before);
    assert!(world.directory.knows(&owner.id, DEVICE, world.clock.now()).await.unwrap());
    assert_eq!(world.password.load().hashes, 0);
}
