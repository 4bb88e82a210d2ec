//! What secrets cannot do: be copied or printed. Decided when this file is compiled.

use std::fmt::{Debug, Display};

use wayleave_core::authentication::{Authority, Evidence, Prover};
use wayleave_core::refresh::Pair;
use wayleave_core::routing::RoutingKey;
use wayleave_core::seal::{KeyRing, SealingKey};
use wayleave_core::token::{DeviceToken, LinkToken, RefreshToken, ServiceToken, SessionToken};

/// Does not compile for a type that has the trait: then two implementations of `Probe` fit, and neither is chosen.
macro_rules! lacks {
    ($trait:path: $($type:ty),+ $(,)?) => {{
        trait Probe<Marker> {
            fn fits() -> bool {
                true
            }
        }
        impl<T: ?Sized> Probe<()> for T {}
        struct HasTheTrait;
        impl<T: ?Sized + $trait> Probe<HasTheTrait> for T {}
        $(assert!(<$type as Probe<_>>::fits());)+
    }};
}

/// R161, R006: tokens, keys and the right to testify are neither copied nor printed.
#[test]
fn secrets_are_neither_copied_nor_printed() {
    lacks!(Clone: SessionToken, RefreshToken, ServiceToken, LinkToken, DeviceToken);
    lacks!(Clone: SealingKey, KeyRing, RoutingKey, Authority, Prover, Evidence, Pair);
    lacks!(Debug: SessionToken, RefreshToken, ServiceToken, LinkToken, DeviceToken);
    lacks!(Debug: SealingKey, KeyRing, RoutingKey, Authority, Prover, Pair);
    lacks!(Display: SessionToken, RefreshToken, ServiceToken, LinkToken, DeviceToken);
    lacks!(Display: SealingKey, KeyRing, RoutingKey, Authority, Prover, Evidence, Pair);
}
