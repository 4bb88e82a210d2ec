//! Records, rotations, tickets and names, made deterministically from small numbers.
//!
//! The same number always makes the same thing, and different numbers make things that share nothing. Every record
//! bears real tokens under [`routing`], so that slots, ids and hashes fit together as in production.

use std::collections::BTreeMap;
use std::time::Duration;

use wayleave_core::authentication::{Authentication, Level, Method, Methods};
use wayleave_core::entries::{self, Entries};
use wayleave_core::id::{FamilyId, IdPrefix, SessionId, Slot};
use wayleave_core::permission::Permissions;
use wayleave_core::policy::KindName;
use wayleave_core::ports::{
    Account, AccountId, AuditRow, ChainLink, EmailAddress, Listing, Lookup, NextPair, Rotation, ServiceKey, Touch,
};
use wayleave_core::record::{
    Activity, Client, Fingerprint, KeyConfirmation, MAX_LABEL, MAX_LICENCE, MAX_NETWORK, Record, Refresh, Revision,
};
use wayleave_core::routing::RoutingKey;
use wayleave_core::subject::{Namespace, Subject};
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::time::Timestamp;
use wayleave_core::token::{RefreshToken, SessionToken, TokenHash, TokenKey};

/// The instant that everything here counts from: 2025-06-15T15:06:40Z.
pub const BASE: Timestamp = Timestamp::from_seconds(1_750_000_000);

/// `seconds` after [`BASE`].
#[must_use]
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(BASE.as_millis() + seconds * 1000)
}

/// One millisecond, the smallest step of a [`Timestamp`].
pub const TICK: Duration = Duration::from_millis(1);
/// An hour.
pub const HOUR: Duration = Duration::from_secs(3600);
/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);

/// The routing key of the deployment that all fixtures belong to.
#[must_use]
pub fn routing() -> RoutingKey {
    RoutingKey::new(*b"conformance-key!")
}

/// Bytes that look random, the same for the same arguments.
#[must_use]
pub fn bytes<const N: usize>(label: &str, number: u32) -> [u8; N] {
    // FNV-1a over the label seeds splitmix64.
    let seed = label
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mut state = seed ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut out = [0; N];
    for chunk in out.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        for (to, from) in chunk.iter_mut().zip(word.to_le_bytes()) {
            *to = from;
        }
    }
    out
}

/// The id of an account.
#[must_use]
pub fn account_id(number: u32) -> AccountId {
    AccountId::new(bytes("account", number))
}

/// The subject of [`account_id`].
#[must_use]
pub fn person(number: u32) -> Subject {
    Subject::new(Namespace::User, account_id(number).as_str()).expect("an account's id is a subject's name")
}

/// Two different people whose records share a slot.
#[must_use]
pub fn neighbours() -> (Subject, Subject) {
    let routing = routing();
    let mut seen = BTreeMap::new();
    for number in 1_000_000.. {
        let subject = person(number);
        if let Some(first) = seen.insert(routing.slot_of(&subject), subject.clone()) {
            return (first, subject);
        }
    }
    unreachable!("there are more people than slots")
}

/// The kind with this name.
#[must_use]
pub fn kind(name: &str) -> KindName {
    name.parse().expect("a well-formed name of a kind")
}

/// A set of permissions.
#[must_use]
pub fn permissions(names: &[&str]) -> Permissions {
    Permissions::new(names.iter().copied()).expect("well-formed permissions")
}

/// A client's fingerprint.
#[must_use]
pub fn fingerprint(number: u32) -> Fingerprint {
    Fingerprint(bytes("fingerprint", number))
}

/// A lineage.
#[must_use]
pub fn family(number: u32) -> FamilyId {
    FamilyId(bytes("family", number))
}

/// The hash of a session token that leads to `slot`.
#[must_use]
pub fn session_token(number: u32, slot: Slot) -> TokenHash {
    SessionToken::new(bytes("session token", number), slot, &routing()).hash()
}

/// The hash of a refresh token that leads to `slot`.
#[must_use]
pub fn refresh_token(number: u32, slot: Slot) -> TokenHash {
    RefreshToken::new(bytes("refresh token", number), slot, &routing()).hash()
}

/// A key-value map.
#[must_use]
pub fn entries(pairs: &[(&str, &[u8])]) -> Entries {
    let mut map = Entries::new();
    for (key, value) in pairs {
        map.set(key, value).expect("entries within their limits");
    }
    map
}

/// Makes a [`Record`].
///
/// Unless told otherwise: of [`person`] 0, kind `standard`, opened at [`BASE`] by password and seen then, without
/// idle limit, its token good for 12 hours and the session for 7 days, with a refresh token, in a family of its own,
/// at revision 0, with nothing optional set.
#[derive(Clone, Debug)]
pub struct RecordBuilder {
    number: u32,
    record: Record,
    refreshable: bool,
}

/// Starts a record; `number` decides id, tokens and family.
#[must_use]
pub fn record(number: u32) -> RecordBuilder {
    let record = Record {
        id: SessionId::from_bytes(IdPrefix::FALLBACK, &[0; 18]),
        slot: Slot(0),
        family: family(number),
        token: TokenHash([0; 32]),
        kind: kind("standard"),
        subject: Some(person(0)),
        actor: None,
        permissions: permissions(&["read:profile"]),
        authentication: Some(Authentication { methods: Methods::only(Method::Password), at: BASE, level: Level::ONE }),
        epoch: 0,
        remembered: false,
        licence: None,
        created_at: BASE,
        last_seen_at: BASE,
        idle_expires_at: None,
        token_expires_at: BASE.plus(12 * HOUR),
        absolute_expires_at: BASE.plus(7 * DAY),
        expired_at: None,
        client: Client::default(),
        context: Entries::new(),
        data: Entries::new(),
        refresh: None,
        confirmation: None,
        revision: Revision(0),
    };
    RecordBuilder { number, record, refreshable: true }
}

impl RecordBuilder {
    /// Of this subject.
    #[must_use]
    pub fn of(mut self, subject: &Subject) -> Self {
        self.record.subject = Some(subject.clone());
        self
    }

    /// Of nobody, in a slot of its own.
    #[must_use]
    pub fn guest(mut self) -> Self {
        self.record.subject = None;
        self.record.authentication = None;
        self
    }

    /// Of this kind.
    #[must_use]
    pub fn kind(mut self, name: &str) -> Self {
        self.record.kind = kind(name);
        self
    }

    /// In this lineage.
    #[must_use]
    pub fn family(mut self, family: FamilyId) -> Self {
        self.record.family = family;
        self
    }

    /// Opened, and last seen, then.
    #[must_use]
    pub fn created(mut self, at: Timestamp) -> Self {
        self.record.created_at = at;
        self.record.last_seen_at = at;
        self
    }

    /// Last seen then.
    #[must_use]
    pub fn seen(mut self, at: Timestamp) -> Self {
        self.record.last_seen_at = at;
        self
    }

    /// With an idle end.
    #[must_use]
    pub fn idle_until(mut self, end: Timestamp) -> Self {
        self.record.idle_expires_at = Some(end);
        self
    }

    /// With this end of its token.
    #[must_use]
    pub fn token_until(mut self, end: Timestamp) -> Self {
        self.record.token_expires_at = end;
        self
    }

    /// With this absolute end.
    #[must_use]
    pub fn absolute_until(mut self, end: Timestamp) -> Self {
        self.record.absolute_expires_at = end;
        self
    }

    /// Found expired then.
    #[must_use]
    pub fn found_expired(mut self, at: Timestamp) -> Self {
        self.record.expired_at = Some(at);
        self
    }

    /// Without a refresh token.
    #[must_use]
    pub fn without_refresh(mut self) -> Self {
        self.refreshable = false;
        self
    }

    /// The record.
    #[must_use]
    pub fn build(self) -> Record {
        let Self { number, record, refreshable } = self;
        let routing = routing();
        let slot = match &record.subject {
            Some(subject) => routing.slot_of(subject),
            None => Slot(u16::from_be_bytes(bytes("guest slot", number))),
        };
        Record {
            id: SessionId::new(IdPrefix::FALLBACK, bytes("session id", number), slot, &routing),
            slot,
            token: session_token(number, slot),
            refresh: refreshable.then(|| Refresh { current: refresh_token(number, slot), generation: 0, last: None }),
            ..record
        }
    }
}

/// A record in which every optional field is set and every number is awkward (odd milliseconds, an epoch that a
/// floating-point number cannot hold).
#[must_use]
pub fn full(number: u32) -> Record {
    Record {
        id: SessionId::new(
            IdPrefix::new("webfull").expect("seven letters"),
            bytes("session id", number),
            routing().slot_of(&person(0)),
            &routing(),
        ),
        kind: kind("kiosk_2-b"),
        actor: Some(Subject::external("support-desk", "agent:7").expect("an external subject")),
        permissions: permissions(&["admin:users", "read:profile", "write.notes-x"]),
        authentication: Some(Authentication {
            methods: Methods::only(Method::Opaque).with(Method::ZeroKnowledge).with(Method::Link),
            at: odd(17),
            level: Level::THREE,
        }),
        epoch: (1 << 53) + 1,
        remembered: true,
        licence: Some("lic_2025/Zürich".into()),
        created_at: odd(18),
        last_seen_at: odd(19),
        idle_expires_at: Some(odd(1_801)),
        token_expires_at: odd(3_601),
        absolute_expires_at: odd(86_401),
        expired_at: None,
        client: Client {
            label: Some("Firefox 139 on Linux – “Küche”".into()),
            network: Some("2001:db8:7::/48".into()),
            fingerprint: Some(fingerprint(number)),
        },
        context: entries(&[("vault", &bytes::<48>("context", number)), ("empty", b"")]),
        data: entries(&[("cart", &(0..=255).collect::<Vec<u8>>()), ("zero", b"\0"), ("locale", b"tr-TR")]),
        confirmation: Some(KeyConfirmation::Jkt(bytes("jkt", number))),
        revision: Revision(41),
        ..record(number).build()
    }
}

/// `record` with every field changed that an update may change, and every optional one of those cleared or swapped.
#[must_use]
pub fn altered(record: &Record) -> Record {
    Record {
        actor: None,
        permissions: Permissions::none(),
        authentication: Some(Authentication {
            methods: Methods::only(Method::Password),
            at: odd(27),
            level: Level::TWO,
        }),
        epoch: record.epoch + 1,
        remembered: !record.remembered,
        licence: None,
        last_seen_at: record.last_seen_at.plus(Duration::from_millis(5_003)),
        idle_expires_at: None,
        token_expires_at: record.token_expires_at.plus(Duration::from_millis(7)),
        expired_at: Some(odd(99)),
        client: Client { label: None, network: None, fingerprint: Some(fingerprint(u32::MAX)) },
        context: Entries::new(),
        data: entries(&[("cart", b"")]),
        confirmation: Some(KeyConfirmation::DeviceBound(bytes("device", 1))),
        ..record.clone()
    }
}

/// A record that carries as much as a record may.
#[must_use]
pub fn largest(number: u32) -> Record {
    let names: Vec<String> = (0..64).map(|n| format!("{n:0>64}")).collect();
    let text = |length: usize| Some("x".repeat(length).into());
    let fill = |seed: u8| entries(&[("fill", &vec![seed; entries::MAX_BYTES - 4])]);
    Record {
        permissions: permissions(&names.iter().map(String::as_str).collect::<Vec<_>>()),
        licence: text(MAX_LICENCE),
        client: Client { label: text(MAX_LABEL), network: text(MAX_NETWORK), fingerprint: None },
        context: fill(0),
        data: fill(0xff),
        ..record(number).build()
    }
}

fn odd(seconds: i64) -> Timestamp {
    at(seconds).plus(Duration::from_millis(789))
}

/// How `record` is found by its session token.
#[must_use]
pub fn by_token(record: &Record) -> Lookup {
    Lookup::Token(TokenKey { slot: record.slot, hash: record.token })
}

/// How `record` is found by its id.
#[must_use]
pub fn by_id(record: &Record) -> Lookup {
    Lookup::Id(record.slot, record.id)
}

/// What presents the current refresh token of `record`.
///
/// # Panics
/// When it has none.
#[must_use]
pub fn refresh_key(record: &Record) -> TokenKey {
    TokenKey { slot: record.slot, hash: record.refresh.as_ref().expect("a record with a refresh token").current }
}

/// How `record` is found by its current refresh token.
///
/// # Panics
/// When it has none.
#[must_use]
pub fn by_refresh(record: &Record) -> Lookup {
    Lookup::Refresh(refresh_key(record))
}

/// `record` with each text in turn a byte longer than a store takes in.
#[must_use]
pub fn too_large(record: &Record) -> [Record; 3] {
    let text = |most: usize| Some("x".repeat(most + 1).into());
    let with = |client| Record { client, ..record.clone() };
    [
        with(Client { label: text(MAX_LABEL), ..record.client.clone() }),
        with(Client { network: text(MAX_NETWORK), ..record.client.clone() }),
        Record { licence: text(MAX_LICENCE), ..record.clone() },
    ]
}

/// The pair of tokens with this number.
#[must_use]
pub fn pair(number: u32, slot: Slot) -> NextPair {
    NextPair {
        token: session_token(number, slot),
        refresh: refresh_token(number, slot),
        sealed: Box::new(bytes::<150>("sealed pair", number)),
    }
}

/// A request at `now` to exchange `presented` for the pair with this number: from no known client, with the window of
/// 10 seconds, for a token of 12 hours, without idle limit.
#[must_use]
pub fn rotation(presented: TokenKey, number: u32, now: Timestamp) -> Rotation {
    Rotation {
        presented,
        next: pair(number, presented.slot),
        token_expires_at: now.plus(12 * HOUR),
        activity: Activity { seen_at: now, idle_expires_at: None },
        client: None,
        window: Duration::from_secs(10),
        now,
    }
}

/// Activity of `record` at `seen_at`, with an idle end.
#[must_use]
pub fn touch(record: &Record, seen_at: Timestamp, idle_expires_at: Option<Timestamp>) -> Touch {
    Touch { id: record.id, slot: record.slot, activity: Activity { seen_at, idle_expires_at } }
}

/// A ticket that can be taken until `expires_at`.
#[must_use]
pub fn ticket(number: u32, purpose: Purpose, expires_at: Timestamp) -> Ticket {
    Ticket { purpose, key: bytes("ticket", number), payload: Box::new(bytes::<40>("payload", number)), expires_at }
}

/// The first page of what `subject` has.
#[must_use]
pub fn listing(subject: &Subject) -> Listing {
    Listing { subject: Some((routing().slot_of(subject), subject.clone())), after: None, most: 1000 }
}

/// An e-mail address.
#[must_use]
pub fn email(number: u32) -> EmailAddress {
    format!("person{number}@example.org").parse().expect("a well-formed address")
}

/// An account with every optional field set.
#[must_use]
pub fn account(number: u32) -> Account {
    Account {
        id: account_id(number),
        email: email(number),
        name: format!("Person {number}").into(),
        role: "Müdür".into(),
        phone: Some("+90 212 000 00 00".into()),
        labels: vec!["staff".into(), "Zürich, 2nd floor".into(), "".into()],
        avatar: Some("https://example.org/a.png?size=1&x=%20".into()),
        permissions: permissions(&["read:profile", "write:messages"]),
        disabled: false,
        must_change_password: false,
        epoch: 0,
        created_at: odd(1),
        updated_at: odd(2),
        last_sign_in_at: Some(odd(3)),
        revision: Revision(0),
    }
}

/// A service key that is good for a day.
#[must_use]
pub fn service_key(name: &str) -> ServiceKey {
    ServiceKey {
        name: name.into(),
        key: bytes(name, 0),
        permissions: permissions(&["read:profile", "write:messages"]),
        created_at: odd(1),
        expires_at: odd(1).plus(DAY),
        revoked_at: None,
    }
}

/// An audit row with every optional field set, a second after the one before it.
#[must_use]
pub fn audit_row(node: &str, sequence: u32) -> AuditRow {
    AuditRow {
        node: node.into(),
        link: ChainLink { sequence: sequence.into(), mac: bytes(node, sequence) },
        at: odd(sequence.into()),
        event: "session.created".into(),
        session: Some("hmac:0123456789abcdef".into()),
        subject: Some("user:1".into()),
        actor: Some("ext:support:7".into()),
        source: Some("192.0.2.0/24".into()),
        reason: Some("expired".into()),
        request: Some("req-1".into()),
        count: 1,
        detail: Some("{\"a\":\"ü\\u0000\"}".into()),
    }
}
