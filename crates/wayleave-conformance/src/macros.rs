//! How the one list of a suite's cases becomes both a table and a test for each.

/// A table of cases from a list of groups.
macro_rules! case_table {
    ($($group:ident { $($name:ident,)+ })+) => {
        &[$($($crate::Case {
            group: stringify!($group),
            name: stringify!($name),
            run: |bench| Box::pin($group::$name(bench)),
        },)+)+]
    };
}
pub(crate) use case_table;

/// Makes a `#[test]` of every case of [`crate::store`], for the stores that the maker gives.
///
/// Expands to one module for each group (`insert`, `find`, ..., `races`), so give it a module of its own:
///
/// ```
/// mod conformance {
///     use std::sync::Arc;
///
///     use wayleave_conformance::store::Store;
///     use wayleave_core::memory::MemoryStore;
///
///     async fn fresh() -> Store {
///         Arc::new(MemoryStore::default())
///     }
///
///     wayleave_conformance::store_suite!(fresh);
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! store_suite {
    ($make:expr) => {
        $crate::__store_cases!([$crate::__case_tests] store::cases, $make,);
    };
}

/// Makes a `#[test]` of every case of [`crate::directory`], for the directories that the maker gives. As
/// [`store_suite!`], with one module for each port.
#[macro_export]
macro_rules! directory_suite {
    ($make:expr) => {
        $crate::__directory_cases!([$crate::__case_tests] directory::cases, $make,);
    };
}

/// Makes a `#[test]` of every case of [`crate::blobs`], for the stores of blobs that the maker gives. As
/// [`store_suite!`].
#[macro_export]
macro_rules! blobs_suite {
    ($make:expr) => {
        $crate::__blobs_cases!([$crate::__case_tests] blobs::cases, $make,);
    };
}

/// Makes a `#[test]` of every case of [`crate::bus`], for the buses that the maker gives. As [`store_suite!`].
#[macro_export]
macro_rules! bus_suite {
    ($make:expr) => {
        $crate::__bus_cases!([$crate::__case_tests] bus::cases, $make,);
    };
}

/// Makes a `#[test]` of every case of [`crate::kv`], for the key-value stores that the maker gives. As
/// [`store_suite!`].
#[macro_export]
macro_rules! kv_suite {
    ($make:expr) => {
        $crate::__kv_cases!([$crate::__case_tests] kv::cases, $make,);
    };
}

/// Makes a `#[test]` of every case of [`crate::kv::stateless_cases`], for the sealing stores that the maker gives. As
/// [`store_suite!`].
#[macro_export]
macro_rules! stateless_suite {
    ($make:expr) => {
        $crate::__stateless_cases!([$crate::__case_tests] kv::stateless_cases, $make,);
    };
}

/// Makes a `#[test]` of every case of [`crate::kv::whole_record_cases`], for the interfaces to key-value stores that the
/// maker gives. As [`store_suite!`].
#[macro_export]
macro_rules! whole_record_suite {
    ($make:expr) => {
        $crate::__whole_record_cases!([$crate::__case_tests] kv::whole_record_cases, $make,);
    };
}

/// Makes a `#[test]` of every case of [`crate::kv::creating_cases`], for the interfaces to key-value stores that the
/// maker gives. As [`store_suite!`].
#[macro_export]
macro_rules! creating_suite {
    ($make:expr) => {
        $crate::__creating_cases!([$crate::__case_tests] kv::creating_cases, $make,);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __case_tests {
    ($suite:ident::$cases:ident, $make:expr, $($group:ident { $($name:ident,)+ })+) => {
        $(mod $group {
            #[allow(unused_imports)]
            use super::*;

            $(#[test]
            fn $name() {
                $crate::run_case($crate::$suite::$cases(), stringify!($group), stringify!($name), $make);
            })+
        })+
    };
}
