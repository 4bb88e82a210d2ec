//! What a case is, what it is given, and how cases are run.

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle, RuntimeFlavor};

/// How thoroughly races are run.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Races {
    /// How often each race starts over.
    pub repeats: u32,
}

impl Races {
    /// 10 repeats: for every run.
    pub const QUICK: Self = Self { repeats: 10 };
    /// 50 repeats: for a run before a release.
    pub const DEEP: Self = Self { repeats: 50 };
}

impl Default for Races {
    fn default() -> Self {
        Self::QUICK
    }
}

/// An implementation under test, fresh and empty, with whatever must live as long as it does.
pub struct Fresh<T> {
    under_test: T,
    guard: Option<Box<dyn Any + Send + Sync>>,
}

impl<T> Fresh<T> {
    /// Keeps `guard` until the implementation is done with.
    pub fn guarded(under_test: T, guard: impl Any + Send + Sync) -> Self {
        Self { under_test, guard: Some(Box::new(guard)) }
    }
}

impl<T> From<T> for Fresh<T> {
    fn from(under_test: T) -> Self {
        Self { under_test, guard: None }
    }
}

impl<T, G: Any + Send + Sync> From<(T, G)> for Fresh<T> {
    fn from((under_test, guard): (T, G)) -> Self {
        Self::guarded(under_test, guard)
    }
}

impl<T> Deref for Fresh<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.under_test
    }
}

impl<T> fmt::Debug for Fresh<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").field("guarded", &self.guard.is_some()).finish_non_exhaustive()
    }
}

/// A future in a box.
pub type Running<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a case is given: where fresh implementations come from, and how thorough to be.
pub struct Bench<T> {
    make: Arc<dyn Fn() -> Running<Fresh<T>> + Send + Sync>,
    races: Races,
}

impl<T: Send + 'static> Bench<T> {
    /// A bench whose implementations come from `make`, which must give a fresh and empty one at every call.
    pub fn new<M, F, R>(make: M, races: Races) -> Self
    where
        M: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
        R: Into<Fresh<T>>,
    {
        let make = Arc::new(move || -> Running<Fresh<T>> {
            let made = make();
            Box::pin(async move { made.await.into() })
        });
        Self { make, races }
    }

    /// A fresh and empty implementation.
    pub async fn fresh(&self) -> Fresh<T> {
        (self.make)().await
    }

    /// The rounds of a race, counted from 0.
    ///
    /// # Panics
    /// On a current-thread runtime, where nothing runs in parallel and no race can be lost.
    pub fn rounds(&self) -> std::ops::Range<u32> {
        let flavor = Handle::current().runtime_flavor();
        assert!(flavor != RuntimeFlavor::CurrentThread, "races need a multi-thread runtime");
        0..self.races.repeats
    }
}

impl<T> Clone for Bench<T> {
    fn clone(&self) -> Self {
        Self { make: Arc::clone(&self.make), races: self.races }
    }
}

impl<T> fmt::Debug for Bench<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench").field("races", &self.races).finish_non_exhaustive()
    }
}

/// One test of a suite.
pub struct Case<T> {
    /// What it is about: an operation of the port, or `races`.
    pub group: &'static str,
    /// What it says, as an identifier. Unique within its group.
    pub name: &'static str,
    /// Runs it; panics when the implementation is wrong. Needs a multi-thread tokio runtime.
    pub run: fn(Bench<T>) -> Running<()>,
}

impl<T> fmt::Debug for Case<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.group, self.name)
    }
}

/// Runs all of `cases`, each in a task of its own.
///
/// # Panics
/// When any fails, after all have run, naming those that failed.
pub(crate) async fn run_all<T: Send + 'static>(cases: impl Iterator<Item = &Case<T>>, bench: Bench<T>) {
    let mut failures = Vec::new();
    let mut count = 0;
    for case in cases {
        count += 1;
        if let Err(failure) = tokio::spawn((case.run)(bench.clone())).await {
            failures.push(format!("{case:?}: {}", reason(failure)));
        }
    }
    assert!(count > 0, "no such cases");
    assert!(failures.is_empty(), "{} of {count} cases failed:\n{}", failures.len(), failures.join("\n"));
}

fn reason(failure: tokio::task::JoinError) -> String {
    match failure.try_into_panic() {
        Ok(payload) => payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "panicked".to_owned()),
        Err(cancelled) => cancelled.to_string(),
    }
}

/// Runs one case on a runtime of its own; what the suite macros expand to.
///
/// # Panics
/// When the case fails, or there is none of this group and name.
pub fn run_case<T, M, F, R>(cases: &[Case<T>], group: &str, name: &str, make: M)
where
    T: Send + 'static,
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = R> + Send + 'static,
    R: Into<Fresh<T>>,
{
    let case = cases.iter().find(|case| case.group == group && case.name == name).expect("no such case");
    // Drivers for network and time are on where the maker's crate has them.
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
    runtime.block_on((case.run)(Bench::new(make, Races::QUICK)));
}
