//! How and when somebody proved who they are, and the evidence that only an authenticator can make.

use std::fmt;

use crate::permission::Ceiling;
use crate::subject::{Namespace, Subject};
use crate::time::Timestamp;

/// One way of proving who somebody is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// A password, sent to the server.
    Password,
    /// A password, proved by OPAQUE.
    Opaque,
    /// A signature of an Ethereum wallet.
    Ethereum,
    /// A signature of an Internet Computer identity.
    InternetComputer,
    /// A zero-knowledge proof of group membership.
    ZeroKnowledge,
    /// A trusted backend's word.
    ServiceKey,
    /// A one-time link made by an administrator.
    Link,
}

impl Method {
    /// Every method, in the order of their bits.
    pub const ALL: [Self; 7] = [
        Self::Password,
        Self::Opaque,
        Self::Ethereum,
        Self::InternetComputer,
        Self::ZeroKnowledge,
        Self::ServiceKey,
        Self::Link,
    ];

    /// The value in `amr` (RFC 8176 where it has one).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "pwd",
            Self::Opaque => "opaque",
            Self::Ethereum => "eip155",
            Self::InternetComputer => "ic",
            Self::ZeroKnowledge => "zk",
            Self::ServiceKey => "svc",
            Self::Link => "link",
        }
    }

    const fn bit(self) -> u16 {
        match self {
            Self::Password => 1,
            Self::Opaque => 1 << 1,
            Self::Ethereum => 1 << 2,
            Self::InternetComputer => 1 << 3,
            Self::ZeroKnowledge => 1 << 4,
            Self::ServiceKey => 1 << 5,
            Self::Link => 1 << 6,
        }
    }
}

/// A set of methods.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Default)]
pub struct Methods(u16);

impl Methods {
    /// Just this one.
    #[must_use]
    pub const fn only(method: Method) -> Self {
        Self(method.bit())
    }

    /// These and one more.
    #[must_use]
    pub const fn with(self, method: Method) -> Self {
        Self(self.0 | method.bit())
    }

    /// Whether `method` is among them.
    #[must_use]
    pub const fn contains(self, method: Method) -> bool {
        self.0 & method.bit() != 0
    }

    /// The members, in a fixed order.
    pub fn iter(self) -> impl Iterator<Item = Method> {
        Method::ALL.into_iter().filter(move |method| self.contains(*method))
    }

    /// The set as a number, for stores.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The set behind a stored number; bits that this version does not know are dropped.
    #[must_use]
    pub fn from_bits(bits: u16) -> Self {
        Self(bits & Method::ALL.iter().fold(0, |all, method| all | method.bit()))
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Authentication assurance level, 1 to 3 (NIST SP 800-63B).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// Single factor.
    pub const ONE: Self = Self(1);
    /// Two factors.
    pub const TWO: Self = Self(2);
    /// Hardware-based.
    pub const THREE: Self = Self(3);

    /// The level with this number, if there is one.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number >= 1 && number <= 3 { Some(Self(number)) } else { None }
    }

    /// 1, 2 or 3.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// What a record remembers of the sign-in.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// How.
    pub methods: Methods,
    /// When (`auth_time`).
    pub at: Timestamp,
    /// How sure (`acr`).
    pub level: Level,
}

/// The root of trust of one deployment's authenticators. Whoever holds it can hand out [`Prover`]s, so only the place
/// that puts the parts together does.
pub struct Authority([u8; 16]);

impl Authority {
    /// A new authority with 16 bytes of entropy.
    #[must_use]
    pub const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// The right to testify for one method, about subjects of one namespace.
    #[must_use]
    pub const fn prover(&self, method: Method, level: Level, namespace: Namespace) -> Prover {
        Prover { authority: self.0, method, level, namespace }
    }

    /// Whether `evidence` was made by a prover of this authority.
    #[must_use]
    pub fn recognises(&self, evidence: &Evidence) -> bool {
        evidence.authority == self.0
    }
}

/// The right to testify, given to one authenticator. It cannot be copied or read.
pub struct Prover {
    authority: [u8; 16],
    method: Method,
    level: Level,
    namespace: Namespace,
}

impl Prover {
    /// Testifies that `subject` proved itself at `at`, while its standing was in `epoch`.
    ///
    /// # Errors
    /// [`ForeignSubject`] when the subject is of a namespace that this prover does not speak for.
    pub fn testify(&self, subject: Subject, epoch: u64, at: Timestamp) -> Result<Evidence, ForeignSubject> {
        if subject.namespace() != self.namespace {
            return Err(ForeignSubject);
        }
        Ok(Evidence {
            authority: self.authority,
            subject,
            authentication: Authentication { methods: Methods::only(self.method), at, level: self.level },
            epoch,
            ceiling: Ceiling::Any,
        })
    }
}

/// What an authenticator proved. Only a [`Prover`] makes it, it opens one session, and it cannot be copied.
#[must_use]
pub struct Evidence {
    authority: [u8; 16],
    subject: Subject,
    authentication: Authentication,
    epoch: u64,
    ceiling: Ceiling,
}

impl Evidence {
    /// Who.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// How, when and how sure.
    #[must_use]
    pub const fn authentication(&self) -> Authentication {
        self.authentication
    }

    /// The epoch of the subject's standing when the proof began; a session opened from older evidence is dead on
    /// arrival.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The most that a session opened from this evidence may be granted.
    #[must_use]
    pub const fn ceiling(&self) -> &Ceiling {
        &self.ceiling
    }

    /// The same evidence, good for less.
    pub fn limited_to(self, ceiling: &Ceiling) -> Self {
        Self { ceiling: self.ceiling.and(ceiling), ..self }
    }
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evidence").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// An authenticator spoke about a subject of somebody else's namespace.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this authenticator does not speak for that namespace")]
pub struct ForeignSubject;

#[cfg(test)]
mod tests {
    use super::*;

    /// R060, R106: evidence stays within its method's namespace and its deployment.
    #[test]
    fn evidence_is_bound_to_authority_and_namespace() {
        let ours = Authority::new([1; 16]);
        let theirs = Authority::new([2; 16]);
        let prover = ours.prover(Method::Password, Level::ONE, Namespace::User);
        let evidence = prover.testify("user:1".parse().unwrap(), 0, Timestamp::MIN).unwrap();
        assert!(ours.recognises(&evidence));
        assert!(!theirs.recognises(&evidence));
        assert_eq!(prover.testify("ext:shop:1".parse().unwrap(), 0, Timestamp::MIN).unwrap_err(), ForeignSubject);
    }

    /// R069: evidence is narrowed and never widened again.
    #[test]
    fn limits_of_evidence_only_narrow() {
        use crate::permission::Permissions;
        let prover = Authority::new([1; 16]).prover(Method::ServiceKey, Level::ONE, Namespace::External);
        let only = |names: &[&str]| Ceiling::Only(Permissions::new(names.iter().copied()).unwrap());
        let evidence = prover
            .testify("ext:shop:1".parse().unwrap(), 0, Timestamp::MIN)
            .unwrap()
            .limited_to(&only(&["a", "b"]))
            .limited_to(&Ceiling::Any)
            .limited_to(&only(&["b", "c"]));
        assert_eq!(evidence.ceiling(), &only(&["b"]));
    }

    #[test]
    fn method_bits_are_distinct_and_stable() {
        let all = Method::ALL.into_iter().fold(Methods::default(), Methods::with);
        assert_eq!(all.iter().count(), Method::ALL.len());
        assert_eq!(all.bits(), 0b111_1111);
        assert_eq!(Methods::from_bits(u16::MAX), all);
    }
}
