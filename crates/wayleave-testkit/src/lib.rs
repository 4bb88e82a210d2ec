//! For the tests of Wayleave's own crates, as a dev-dependency: time, entropy, faults, canaries, statistics and real
//! servers under control. Nothing that ships depends on it.

pub mod broker;
pub mod canary;
pub mod clock;
pub mod dice;
pub mod distribution;
pub mod entropy;
pub mod failing_directory;
pub mod failing_store;
pub mod faults;
pub mod link;
pub mod opaque;
pub mod servers;
pub mod wrapped_store;

pub use broker::{Broker, Mischief, NodeBus};
pub use clock::FakeClock;
pub use dice::Dice;
pub use entropy::SeededEntropy;
pub use failing_directory::{DirectoryVerb, FailingDirectory};
pub use failing_store::FailingStore;
pub use faults::{Effect, Fault, When};
pub use link::{Link, Way};
pub use wrapped_store::{Around, StoreVerb, WrappedStore};
