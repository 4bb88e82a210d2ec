//! Tests of packing: every record comes out as it went in, and what it shared is given back.

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::authentication::Method;
use crate::id::IdPrefix;
use crate::record::MAX_CLOCK_SKEW;

/// Values that tests look at one by one, and values that lie at the ends of their range.
fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        1 => Just(Timestamp::MIN),
        1 => Just(Timestamp::MAX),
        8 => (0..=Timestamp::MAX.as_millis()).prop_map(Timestamp::from_millis),
    ]
}

fn entries() -> impl Strategy<Value = Entries> {
    btree_map("[a-zäß:]{1,30}", vec(any::<u8>(), 0..200), 0..12).prop_map(|pairs| {
        let mut entries = Entries::new();
        for (key, value) in pairs {
            entries.set(&key, &value).unwrap();
        }
        entries
    })
}

fn permissions() -> impl Strategy<Value = Permissions> {
    vec("[a-z:]{1,64}", 0..=64).prop_map(|names| Permissions::new(names.iter().map(String::as_str)).unwrap())
}

fn subject() -> impl Strategy<Value = Subject> {
    "(user|ic|zk|eip155|ext:[a-z]{1,8}):[!-~]{1,200}".prop_map(|text| text.parse().unwrap())
}

fn refresh() -> impl Strategy<Value = Refresh> {
    let last = (any::<[u8; 32]>(), time(), of(any::<[u8; 32]>()), vec(any::<u8>(), 0..400)).prop_map(
        |(predecessor, at, client, pair)| LastRotation {
            predecessor: TokenHash(predecessor),
            at,
            client: client.map(Fingerprint),
            sealed_pair: pair.into(),
        },
    );
    (any::<[u8; 32]>(), any::<u32>(), of(last)).prop_map(|(current, generation, last)| Refresh {
        current: TokenHash(current),
        generation,
        last,
    })
}

prop_compose! {
    fn identity()(
        prefix in "[a-z]{1,7}",
        id in any::<[u8; 16]>(),
        routing in any::<[u8; 2]>(),
        slot: u16,
        family: [u8; 16],
        token: [u8; 32],
        kind in "[a-z][a-z0-9_-]{0,31}",
        subject in of(subject()),
        actor in of(subject()),
    ) -> Record {
        let mut bytes = [0; 18];
        bytes[..16].copy_from_slice(&id);
        bytes[16..].copy_from_slice(&routing);
        Record {
            id: SessionId::from_bytes(IdPrefix::new(&prefix).unwrap(), &bytes),
            slot: Slot(slot),
            family: FamilyId(family),
            token: TokenHash(token),
            kind: kind.parse().unwrap(),
            subject,
            actor,
            ..crate::record::tests::record()
        }
    }
}

prop_compose! {
    fn times()(
        created_at in time(),
        last_seen_at in time(),
        idle_expires_at in of(time()),
        token_expires_at in time(),
        absolute_expires_at in time(),
        expired_at in of(time()),
        record in identity(),
    ) -> Record {
        Record { created_at, last_seen_at, idle_expires_at, token_expires_at, absolute_expires_at, expired_at, ..record }
    }
}

prop_compose! {
    fn standing()(
        permissions in permissions(),
        methods in 0_u16..128,
        level in 1_u8..=3,
        at in time(),
        proved: bool,
        epoch: u64,
        remembered: bool,
        licence in of("\\PC{0,40}"),
        revision: u64,
        record in times(),
    ) -> Record {
        let authentication =
            Authentication { methods: Methods::from_bits(methods), at, level: Level::new(level).unwrap() };
        Record {
            permissions,
            authentication: proved.then_some(authentication),
            epoch,
            remembered,
            licence: licence.map(Into::into),
            revision: Revision(revision),
            ..record
        }
    }
}

prop_compose! {
    fn record()(
        label in of("\\PC{0,256}"),
        network in of("\\PC{0,40}"),
        fingerprint in of(any::<[u8; 32]>()),
        context in entries(),
        data in entries(),
        refresh in of(refresh()),
        confirmation in of((any::<bool>(), any::<[u8; 32]>())),
        record in standing(),
    ) -> Record {
        let client = Client {
            label: label.map(Into::into),
            network: network.map(Into::into),
            fingerprint: fingerprint.map(Fingerprint),
        };
        let confirmation = confirmation.map(|(dpop, thumbprint)| match dpop {
            true => KeyConfirmation::Jkt(thumbprint),
            false => KeyConfirmation::DeviceBound(thumbprint),
        });
        Record { client, context, data, refresh, confirmation, ..record }
    }
}

proptest! {
    #[test]
    fn every_record_comes_out_as_it_went_in(first in record(), second in record()) {
        let mut interned = Interned::default();
        let one = Packed::new(&first, &mut interned).unwrap();
        let again = Packed::new(&first, &mut interned).unwrap();
        let other = Packed::new(&second, &mut interned).unwrap();
        one.release(&mut interned);
        prop_assert_eq!(again.unpack(&interned).unwrap(), first.clone());
        prop_assert_eq!(other.unpack(&interned).unwrap(), second);
        prop_assert_eq!(again.subject(), first.subject.as_ref().map(Subject::as_str));
        prop_assert_eq!(again.family(), Some(first.family));
        prop_assert_eq!(again.created_at(), first.created_at);
        prop_assert_eq!(again.ends_at(), first.ends_at());
        for now in [first.created_at, first.created_at.minus(2 * MAX_CLOCK_SKEW), first.ends_at()] {
            prop_assert_eq!(again.has_ended(now), first.has_ended(now));
            prop_assert_eq!(again.was_opened_ahead(now), first.was_opened_ahead(now));
        }
        prop_assert_eq!(again.was_found_expired(), first.expired_at.is_some());
        let last = first.last_rotation();
        let sealed = last.filter(|last| !last.sealed_pair.is_empty());
        prop_assert_eq!(again.sealed_at(), sealed.map(|last| last.at));
        prop_assert_eq!(again.current_refresh(), first.refresh.map(|refresh| refresh.current));
        again.release(&mut interned);
        other.release(&mut interned);
        prop_assert_eq!(interned.in_use(), 0);
    }

    #[test]
    fn what_is_cut_short_is_corrupt(record in record(), cut in 1_usize..200) {
        let mut interned = Interned::default();
        let mut packed = Packed::new(&record, &mut interned).unwrap();
        packed.rest = packed.rest[..packed.rest.len().saturating_sub(cut)].into();
        prop_assert!(matches!(packed.unpack(&interned), Err(StoreError::Corrupt(None))));
    }
}

/// Values that no longer fit into the tables are written into the records themselves.
#[test]
fn full_tables_change_nothing_but_the_size() {
    let mut interned = Interned::default();
    let mut packed = Vec::new();
    for n in 0..5000 {
        let name = format!("p{n}");
        let mut record = Record {
            permissions: Permissions::new([name.as_str()]).unwrap(),
            authentication: Some(Authentication {
                methods: Methods::only(Method::Opaque),
                at: Timestamp::MIN,
                level: Level::TWO,
            }),
            ..crate::record::tests::record()
        };
        record.client.label = Some(name.as_str().into());
        record.context.set(&format!("c{n}"), b"1").unwrap();
        record.data.set(&format!("d{n}"), b"2").unwrap();
        packed.push((Packed::new(&record, &mut interned).unwrap(), record));
    }
    for (packed, record) in &packed {
        assert_eq!(packed.unpack(&interned).unwrap(), *record);
    }
    for (packed, _) in packed {
        packed.release(&mut interned);
    }
    assert_eq!(interned.in_use(), 0);
}
