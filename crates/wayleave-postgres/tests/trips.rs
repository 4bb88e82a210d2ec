//! What an operation costs: one round trip, whatever comes of it.

use std::time::Duration;

use wayleave_conformance::fixtures::{
    BASE, account, account_id, at, audit_row, by_id, by_refresh, by_token, bytes, email, listing, permissions, person,
    record, refresh_key, rotation, service_key, ticket, touch,
};
use wayleave_core::authentication::Method;
use wayleave_core::lockout::Rule;
use wayleave_core::policy::AtLimit;
use wayleave_core::ports::{
    Account, Accounts, AuditLog as _, AuditQuery, Bus as _, CounterKey, Counters, Credential, Credentials, Exchange,
    Insert, InsertLimit, Invitation, Invitations, KnownDevice, KnownDevices as _, Listing, Replaces, Rewrapped, Rotate,
    Rotation, Scope, ServiceKeys, SessionStore, Settings, Subjects as _, WrappedKey,
};
use wayleave_core::record::{Record, Revision};
use wayleave_core::ticket::Purpose;
use wayleave_postgres::{Options, PostgresStore};

use crate::proxy::Proxy;
use crate::{database, options};

/// A store with one connection, and what counts its round trips.
struct Counted {
    store: PostgresStore,
    proxy: Proxy,
    /// Statements are prepared in the first round, which costs a round trip more.
    warm: bool,
}

impl Counted {
    async fn one<T>(&self, what: &str, operation: impl Future<Output = T>) -> T {
        let before = self.proxy.trips();
        let answer = operation.await;
        let trips = self.proxy.trips() - before;
        assert!(trips == 1 || (!self.warm && trips == 2), "{what} took {trips} round trips");
        answer
    }
}

#[tokio::test]
async fn every_operation_is_one_round_trip() {
    let database = database();
    let proxy = Proxy::to(database.server().port()).await;
    let url = format!("{}?sslmode=disable", database.url_by(proxy.port));
    let store = PostgresStore::connect(&url, Options { connections: 1, ..options() }).await.unwrap();
    // The connections are there.
    store.ping().await.unwrap();
    store.publish(b"first").await.unwrap();
    let mut counted = Counted { store, proxy, warm: false };
    for round in 0..3 {
        sessions(&counted, round * 100).await;
        tickets_and_upkeep(&counted, round * 100).await;
        directories(&counted, round * 100).await;
        counted.warm = true;
    }
}

async fn sessions(counted: &Counted, base: u32) {
    let store: &dyn SessionStore = &counted.store;
    let made = |number: u32| record(base + number).of(&person(base)).build();
    let [first, second, third, fourth] = [1, 2, 3, 4].map(made);
    let limit = |at_limit| Some(InsertLimit { most: 2, at_limit });
    let insert = async |what, record: &Record, limit, replaces| {
        counted.one(what, store.insert(record, limit, replaces, BASE)).await.unwrap()
    };
    let _ = insert("insert", &first, None, None).await;
    let _ = insert("insert below the limit", &second, limit(AtLimit::Refuse), None).await;
    assert_eq!(insert("insert what exists", &second, None, None).await, Insert::Exists);
    assert_eq!(insert("insert beyond the limit", &third, limit(AtLimit::Refuse), None).await, Insert::Refused);
    let outcome = insert("insert with eviction", &third, limit(AtLimit::EvictOldest), None).await;
    assert!(matches!(outcome, Insert::Done { evicted, .. } if evicted.len() == 1));
    let _ = insert("replace", &fourth, limit(AtLimit::EvictOldest), Some(Replaces::exactly(&third))).await;
    for lookup in [by_token(&fourth), by_id(&fourth), by_refresh(&fourth), by_id(&third)] {
        counted.one("find", store.find(lookup)).await.unwrap();
    }
    for expected in [fourth.revision, Revision(77)] {
        let _ = counted.one("update", store.update(&fourth, expected)).await.unwrap();
    }
    let subject = listing(&person(base));
    for listing in [subject.clone(), Listing { subject: None, ..subject }] {
        counted.one("list", store.list(&listing)).await.unwrap();
    }
    let touches = [touch(&fourth, at(9), Some(at(900))), touch(&first, at(9), None), touch(&second, at(9), None)];
    counted.one("touch", store.touch(&touches)).await.unwrap();
    let exchange = rotation(refresh_key(&fourth), base + 50, at(60));
    for (what, exchange) in [
        ("done", exchange.clone()),
        ("repeat", exchange.clone()),
        ("reuse", Rotation { window: Duration::ZERO, ..exchange.clone() }),
        ("unknown", exchange),
    ] {
        let outcome = counted.one("rotate", store.rotate(&exchange)).await.unwrap();
        let told = match outcome {
            Rotate::Done { .. } => "done",
            Rotate::Repeat { .. } => "repeat",
            Rotate::Reuse(_) => "reuse",
            Rotate::Expired(..) => "expired",
            Rotate::Unknown => "unknown",
        };
        assert_eq!(told, what);
    }
    let slot = first.slot;
    for scope in [
        Scope::One(slot, first.id),
        Scope::Family(slot, second.family),
        Scope::Others { subject: person(base), slot, keep: first.id },
        Scope::All { subject: person(base), slot },
    ] {
        counted.one("revoke", store.revoke(&scope)).await.unwrap();
    }
}

async fn tickets_and_upkeep(counted: &Counted, base: u32) {
    let store: &dyn SessionStore = &counted.store;
    for number in [base, base + 1, base + 1, base + 2] {
        let ticket = ticket(number, Purpose::Setup, at(100));
        let _ = counted.one("deposit", store.deposit(&ticket, 2, BASE)).await.unwrap();
    }
    for _ in 0..2 {
        let key = ticket(base, Purpose::Setup, at(100)).key;
        counted.one("take", store.take(Purpose::Setup, key, BASE)).await.unwrap();
    }
    counted.one("erase_pairs", store.erase_pairs(at(90), 10)).await.unwrap();
    counted.one("sweep", store.sweep(at(9_000), 10)).await.unwrap();
    counted.one("census", store.census(BASE)).await.unwrap();
    counted.one("ping", store.ping()).await.unwrap();
    counted.one("publish", counted.store.publish(b"news")).await.unwrap();
}

async fn directories(counted: &Counted, base: u32) {
    let store = &counted.store;
    let (account, id) = (account(base), account_id(base));
    let _ = counted.one("accounts.insert", Accounts::insert(store, &account)).await.unwrap();
    counted.one("accounts.by_id", store.by_id(&id)).await.unwrap();
    counted.one("accounts.by_email", store.by_email(&email(base))).await.unwrap();
    for revision in [account.revision, Revision(99)] {
        let change = Account { revision, permissions: permissions(&["admin"]), ..account.clone() };
        let _ = counted.one("accounts.update", Accounts::update(store, &change)).await.unwrap();
    }
    for search in [None, Some("person")] {
        counted.one("accounts.list", Accounts::list(store, search, None, 10)).await.unwrap();
    }
    counted.one("accounts.anybody_holds", store.anybody_holds("admin")).await.unwrap();
    counted.one("accounts.count", store.count()).await.unwrap();
    counted.one("standing", store.standing(&person(base))).await.unwrap();
    let credential = Credential { secret: Box::new(*b"secret"), changed_at: BASE };
    counted.one("credentials.set", Credentials::set(store, &id, Method::Password, &credential)).await.unwrap();
    counted.one("credentials.find", Credentials::find(store, &id, Method::Password)).await.unwrap();
    counted.one("credentials.replace", store.replace(&id, Method::Password, BASE, b"other")).await.unwrap();
    for set_at in [Some(BASE), None] {
        let exchange = Exchange {
            supersedes: Some(Method::Opaque),
            ..Exchange::plain(Method::Password, set_at, credential.clone())
        };
        let _ = counted.one("credentials.exchange", store.exchange(&id, &exchange)).await.unwrap();
    }
    let key = Rewrapped { key: WrappedKey::new(*b"key").unwrap(), replaces: None };
    for _ in 0..2 {
        let _ = counted.one("credentials.wrap", store.wrap(&id, Method::Password, &key)).await.unwrap();
    }
    counted.one("credentials.wrapped_key", store.wrapped_key(&id, Method::Password)).await.unwrap();
    counted.one("credentials.remove", Credentials::remove(store, &id, Method::Password)).await.unwrap();
    let device = KnownDevice { key: bytes("device", base), expires_at: at(100) };
    counted.one("devices.remember", store.remember(&id, &device, Some([1; 32]), 2, BASE)).await.unwrap();
    counted.one("devices.knows", store.knows(&id, device.key, BASE)).await.unwrap();
    counted.one("devices.forget_all", store.forget_all(&id)).await.unwrap();
    let name = format!("setting-{base}");
    for expected in [None, Some(Revision(1))] {
        let _ = counted.one("settings.set", Settings::set(store, &name, b"v", expected)).await;
    }
    counted.one("settings.get", store.get(&name)).await.unwrap();
    let key = CounterKey(bytes("counter", base));
    for _ in 0..6 {
        counted.one("counters.reserve", store.reserve(key, Rule::DEFAULT, BASE)).await.unwrap();
    }
    counted.one("counters.read", Counters::read(store, key)).await.unwrap();
    counted.one("counters.sweep", Counters::sweep(store, Rule::DEFAULT, BASE, 10)).await.unwrap();
    counted.one("counters.clear", store.clear(key)).await.unwrap();
    let invitation = Invitation {
        key: bytes("invitation", base),
        email: None,
        permissions: permissions(&[]),
        created_by: None,
        created_at: BASE,
        expires_at: at(100),
    };
    counted.one("invitations.insert", Invitations::insert(store, &invitation)).await.unwrap();
    counted.one("invitations.find", Invitations::find(store, invitation.key, BASE)).await.unwrap();
    counted.one("invitations.list", Invitations::list(store, BASE, 10)).await.unwrap();
    counted.one("invitations.take", Invitations::take(store, invitation.key, BASE)).await.unwrap();
    counted.one("invitations.withdraw", store.withdraw(invitation.key)).await.unwrap();
    let service = service_key(&format!("service-{base}"));
    let _ = counted.one("service_keys.insert", ServiceKeys::insert(store, &service)).await.unwrap();
    counted.one("service_keys.by_key", store.by_key(service.key)).await.unwrap();
    counted.one("service_keys.by_name", store.by_name(&service.name)).await.unwrap();
    counted.one("service_keys.list", ServiceKeys::list(store, 10)).await.unwrap();
    counted.one("service_keys.revoke", ServiceKeys::revoke(store, &service.name, BASE)).await.unwrap();
    let node = format!("node-{base}");
    counted.one("audit.append", store.append(&[audit_row(&node, 1), audit_row(&node, 2)])).await.unwrap();
    counted.one("audit.head", store.head(&node)).await.unwrap();
    counted.one("audit.nodes", store.nodes()).await.unwrap();
    counted.one("audit.chain", store.chain(&node, 1, 10)).await.unwrap();
    let query = AuditQuery { event: Some("session.".into()), most: 10, ..AuditQuery::default() };
    counted.one("audit.query", store.query(&query)).await.unwrap();
}
