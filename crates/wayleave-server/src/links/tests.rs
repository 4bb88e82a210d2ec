//! Tests of one-time links over stores in memory.

use std::sync::Arc;

use wayleave_core::memory::{DirectoryLimits, MemoryDirectory, MemoryOptions, MemoryStore};
use wayleave_core::permission::Permissions;
use wayleave_core::ports::{AccountChange, Clock, Credential, InsertAccount};
use wayleave_core::record::Revision;
use wayleave_testkit::{FakeClock, SeededEntropy};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

struct World {
    store: MemoryStore,
    accounts: MemoryDirectory,
    clock: Arc<FakeClock>,
    entropy: SeededEntropy,
    account: Account,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(FakeClock::default());
        let accounts = MemoryDirectory::new(DirectoryLimits::default(), Arc::clone(&clock) as Arc<dyn Clock>);
        let account = Account {
            id: AccountId::new([7; 16]),
            email: "ann@example.org".parse().unwrap(),
            name: "Ann".into(),
            role: "".into(),
            phone: None,
            labels: Vec::new(),
            avatar: None,
            permissions: Permissions::none(),
            disabled: false,
            must_change_password: false,
            epoch: 3,
            created_at: FakeClock::START,
            updated_at: FakeClock::START,
            last_sign_in_at: None,
            revision: Revision::default(),
        };
        assert_eq!(Accounts::insert(&accounts, &account).await.unwrap(), InsertAccount::Done);
        let store = MemoryStore::new(MemoryOptions::default());
        Self { store, accounts, clock, entropy: SeededEntropy::new(1), account }
    }

    async fn issue(&self) -> LinkToken {
        self.issue_by(None).await
    }

    async fn issue_by(&self, maker: Option<&AccountId>) -> LinkToken {
        let issuer = Issuer {
            store: &self.store,
            entropy: &self.entropy,
            public_url: "https://id.example.org/",
            now: self.clock.now(),
        };
        let set_at = set_at(&self.accounts, &self.account.id).await.unwrap();
        let link = issuer.reset(&self.account, ResetOrder { set_at, maker, lives: HOUR }).await.unwrap();
        assert_eq!(link.expires_at, self.clock.now().plus(HOUR));
        let token = link.url.strip_prefix("https://id.example.org/reset#").unwrap();
        LinkToken::parse(token).unwrap()
    }

    async fn take(&self, token: &LinkToken) -> Option<TakenReset> {
        let people = People { accounts: &self.accounts, credentials: &self.accounts };
        take(&self.store, people, token, self.clock.now()).await.unwrap()
    }

    async fn put_back(&self, token: &LinkToken, taken: &TakenReset) {
        put_back(&self.store, token, taken, self.clock.now()).await.unwrap();
    }
}

#[tokio::test]
async fn a_link_is_good_once_and_until_its_end() {
    let world = World::new().await;
    let token = world.issue().await;
    assert_eq!(*world.take(&token).await.unwrap().account(), world.account.id);
    assert_eq!(world.take(&token).await, None);
    let token = world.issue().await;
    world.clock.set(FakeClock::START.plus(HOUR));
    assert_eq!(world.take(&token).await, None);
}

/// Whoever puts a link back again and again does not keep it alive.
#[tokio::test]
async fn a_link_that_is_put_back_ends_when_it_would_have() {
    let world = World::new().await;
    let token = world.issue().await;
    let end = FakeClock::START.plus(HOUR);
    let taken = world.take(&token).await.unwrap();
    world.clock.set(end.minus(Duration::from_millis(1)));
    world.put_back(&token, &taken).await;
    let taken = world.take(&token).await.unwrap();
    world.put_back(&token, &taken).await;
    world.clock.set(end);
    assert_eq!(world.take(&token).await, None);
    world.put_back(&token, &taken).await;
    assert_eq!(world.take(&token).await, None);
}

/// Of two links the second is void once the first has set a password, which moves the account's epoch.
#[tokio::test]
async fn a_new_epoch_voids_the_links_from_before() {
    let mut world = World::new().await;
    let (first, second) = (world.issue().await, world.issue().await);
    assert!(world.take(&first).await.is_some());
    world.account.epoch += 1;
    assert!(matches!(world.accounts.update(&world.account).await.unwrap(), AccountChange::Done(_)));
    assert_eq!(world.take(&second).await, None);
    let third = world.issue().await;
    assert!(world.take(&third).await.is_some());
}

/// R097: any new password voids the links from before, also one that leaves the epoch alone.
#[tokio::test]
async fn a_new_password_voids_the_links_from_before() {
    let world = World::new().await;
    let without = world.issue().await;
    for seconds in 1..3 {
        let before = world.issue().await;
        let changed_at = FakeClock::START.plus(Duration::from_secs(seconds));
        let credential = Credential { secret: Box::default(), changed_at };
        world.accounts.set(&world.account.id, Method::Password, &credential).await.unwrap();
        assert_eq!(world.take(&before).await, None);
        let taken = world.issue().await;
        assert_eq!(world.take(&taken).await.unwrap().set_at(), Some(changed_at));
    }
    assert_eq!(world.take(&without).await, None);
}

/// R020: a link is void once whoever made it may not make one any more.
#[tokio::test]
async fn a_link_of_somebody_who_was_demoted_is_void() {
    let world = World::new().await;
    let mut maker = Account {
        id: AccountId::new([8; 16]),
        email: "root@example.org".parse().unwrap(),
        permissions: Permissions::new(["admin"]).unwrap(),
        ..world.account.clone()
    };
    assert_eq!(Accounts::insert(&world.accounts, &maker).await.unwrap(), InsertAccount::Done);
    let tokens = [world.issue_by(Some(&maker.id)).await, world.issue_by(Some(&maker.id)).await];
    let [first, second] = tokens;
    assert!(world.take(&first).await.is_some());
    maker.permissions = Permissions::new(["read:profile"]).unwrap();
    assert!(matches!(world.accounts.update(&maker).await.unwrap(), AccountChange::Done(_)));
    assert_eq!(world.take(&second).await, None);
    let unknown = world.issue_by(Some(&AccountId::new([9; 16]))).await;
    assert_eq!(world.take(&unknown).await, None);
}

/// R006: a link for one purpose does not serve for another.
#[tokio::test]
async fn a_setup_link_sets_no_password() {
    let world = World::new().await;
    let now = world.clock.now();
    let issuer = Issuer { store: &world.store, entropy: &world.entropy, public_url: "http://localhost:8080", now };
    let link = issuer.setup(HOUR).await.unwrap();
    let token = LinkToken::parse(link.url.strip_prefix("http://localhost:8080/setup#").unwrap()).unwrap();
    assert_eq!(world.take(&token).await, None);
    assert!(world.store.take(Purpose::Setup, token.hash().0, now).await.unwrap().is_some());
}

#[test]
fn payloads_are_read_back() {
    let account = AccountId::new([7; 16]);
    for (set_at, maker) in [(None, None), (Some(FakeClock::START), Some(AccountId::new([8; 16])))] {
        let payload = Payload { account: account.clone(), epoch: 3, set_at, maker };
        assert_eq!(Payload::decode(&payload.encode()), Some(payload));
    }
    let id = "user_AAAAAAAAAAAAAAAAAAAAAA";
    for text in ["", "3", id, &format!("{id} 3"), &format!("{id} x - -"), &format!("{id} 3 x -")] {
        assert_eq!(Payload::decode(text.as_bytes()), None, "{text:?}");
    }
    for text in [format!("{id} 3 - user_A"), format!("{id} 3 - - "), "user_A 3 - -".to_owned()] {
        assert_eq!(Payload::decode(text.as_bytes()), None, "{text:?}");
    }
    assert_eq!(Payload::decode(b"\xff"), None);
}
