//! Who a session belongs to: a namespaced name that no other way of signing in can produce.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest subject, in bytes.
pub const MAX_SUBJECT: usize = 255;

/// The world that a subject's name comes from. Names never cross between them (R060).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// An account of this deployment.
    User,
    /// An Ethereum address, CAIP-10.
    Ethereum,
    /// An Internet Computer principal.
    InternetComputer,
    /// Somebody that a trusted backend vouches for, under the name of its service key.
    External,
    /// A zero-knowledge pseudonym.
    ZeroKnowledge,
}

impl Namespace {
    /// The text before the first colon.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Ethereum => "eip155",
            Self::InternetComputer => "ic",
            Self::External => "ext",
            Self::ZeroKnowledge => "zk",
        }
    }
}

/// `<namespace>:<name>`, at most [`MAX_SUBJECT`] bytes of visible ASCII.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<str>);

impl Subject {
    /// A subject of `namespace` with the name `name`.
    ///
    /// # Errors
    /// [`InvalidSubject`] when the name is empty, too long, or has blanks, controls or non-ASCII characters.
    pub fn new(namespace: Namespace, name: &str) -> Result<Self, InvalidSubject> {
        format!("{}:{name}", namespace.as_str()).parse()
    }

    /// A subject that the service key `service` vouches for: `ext:<service>:<name>`.
    ///
    /// # Errors
    /// As [`Self::new`], and when `service` holds a colon, which would let one service speak for another.
    pub fn external(service: &str, name: &str) -> Result<Self, InvalidSubject> {
        if service.is_empty() || service.contains(':') || name.is_empty() {
            return Err(InvalidSubject);
        }
        Self::new(Namespace::External, &format!("{service}:{name}"))
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first colon, as the type that it is.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        let (namespace, _) = self.0.split_once(':').unwrap_or_default();
        namespace_of(namespace).unwrap_or(Namespace::External)
    }

    /// The part after the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, name)| name)
    }

    /// The service key that vouches for an external subject.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        match self.namespace() {
            Namespace::External => self.name().split_once(':').map(|(service, _)| service),
            Namespace::User | Namespace::Ethereum | Namespace::InternetComputer | Namespace::ZeroKnowledge => None,
        }
    }
}

fn namespace_of(text: &str) -> Option<Namespace> {
    [Namespace::User, Namespace::Ethereum, Namespace::InternetComputer, Namespace::External, Namespace::ZeroKnowledge]
        .into_iter()
        .find(|namespace| namespace.as_str() == text)
}

impl FromStr for Subject {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        let (namespace, name) = text.split_once(':').ok_or(InvalidSubject)?;
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.len() > MAX_SUBJECT || name.is_empty() || !visible {
            return Err(InvalidSubject);
        }
        let namespace = namespace_of(namespace).ok_or(InvalidSubject)?;
        if namespace == Namespace::External
            && !name.split_once(':').is_some_and(|(s, n)| !s.is_empty() && !n.is_empty())
        {
            return Err(InvalidSubject);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not a subject.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a subject is `<namespace>:<name>` of visible ASCII, at most 255 bytes")]
pub struct InvalidSubject;

#[cfg(test)]
mod tests {
    use super::*;

    /// R060: each way of signing in names its subjects in a namespace of its own.
    #[test]
    fn namespaces_do_not_collide() {
        let wallet = Subject::new(Namespace::Ethereum, "1:0xabc").unwrap();
        let account = Subject::new(Namespace::User, "eip155:1:0xabc").unwrap();
        let service = Subject::external("shop", "user:1").unwrap();
        assert_eq!(wallet.as_str(), "eip155:1:0xabc");
        assert_ne!(wallet, account);
        assert_eq!(account.namespace(), Namespace::User);
        assert_eq!(service.service(), Some("shop"));
        assert_eq!(service.namespace(), Namespace::External);
    }

    #[test]
    fn hostile_subjects_are_refused() {
        let long = format!("user:{}", "a".repeat(MAX_SUBJECT));
        for text in ["", "user", "user:", "root:1", "user:a b", "user:a\n", "user:ä", "ext:shop", "ext::1", &long] {
            assert_eq!(text.parse::<Subject>(), Err(InvalidSubject), "{text:?}");
        }
        assert_eq!(Subject::external("a:b", "1"), Err(InvalidSubject));
    }
}
