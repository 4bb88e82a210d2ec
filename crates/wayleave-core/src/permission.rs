//! Permissions: names that a session holds, and ceilings that cut them down.

use std::fmt;
use std::sync::Arc;

/// Most permissions one session, account or ceiling may hold.
pub const MAX_PERMISSIONS: usize = 64;
/// Longest permission name, in bytes.
pub const MAX_PERMISSION_LENGTH: usize = 64;

/// A sorted set of permission names, cheap to clone.
///
/// A name is 1 to 64 bytes of lower-case letters, digits and `: _ . -` (`write:messages`, `users:manage`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Permissions(Arc<[Box<str>]>);

impl Permissions {
    /// No permission at all.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::new([]))
    }

    /// Collects names; order and repetition do not matter.
    ///
    /// # Errors
    /// [`InvalidPermission`] when a name is malformed or there are more than [`MAX_PERMISSIONS`].
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidPermission> {
        let mut set = Vec::new();
        for name in names {
            if !is_permission(name) || set.len() > MAX_PERMISSIONS * 4 {
                return Err(InvalidPermission);
            }
            set.push(Box::from(name));
        }
        set.sort();
        set.dedup();
        if set.len() > MAX_PERMISSIONS { Err(InvalidPermission) } else { Ok(Self(set.into())) }
    }

    /// Whether `name` is in the set.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.binary_search_by(|held| held.as_ref().cmp(name)).is_ok()
    }

    /// The names in alphabetical order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + '_ {
        self.0.iter().map(AsRef::as_ref)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What of this set lies under `ceiling`. Never adds a name.
    #[must_use]
    pub fn under(&self, ceiling: &Ceiling) -> Self {
        match ceiling {
            Ceiling::Any => self.clone(),
            Ceiling::Only(allowed) if self.iter().all(|name| allowed.contains(name)) => self.clone(),
            Ceiling::Only(allowed) => Self(self.0.iter().filter(|name| allowed.contains(name)).cloned().collect()),
        }
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The most that something may grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ceiling {
    /// Cuts nothing: the account alone decides.
    Any,
    /// Exactly these and no other.
    Only(Permissions),
}

impl Ceiling {
    /// What lies under both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Any, ceiling) | (ceiling, Self::Any) => ceiling.clone(),
            (Self::Only(names), other @ Self::Only(_)) => Self::Only(names.under(other)),
        }
    }
}

fn is_permission(name: &str) -> bool {
    (1..=MAX_PERMISSION_LENGTH).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b':' | b'_' | b'.' | b'-'))
}

/// A permission name is malformed, or there are too many.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("permissions are at most 64 names of at most 64 bytes, each of lower-case letters, digits and `: _ . -`")]
pub struct InvalidPermission;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_only_takes_away() {
        let held = Permissions::new(["write:messages", "read:profile", "read:profile"]).unwrap();
        assert_eq!(held.iter().collect::<Vec<_>>(), ["read:profile", "write:messages"]);
        let ceiling = Ceiling::Only(Permissions::new(["read:profile", "admin"]).unwrap());
        assert_eq!(held.under(&ceiling).iter().collect::<Vec<_>>(), ["read:profile"]);
        assert_eq!(held.under(&Ceiling::Any), held);
        assert!(Permissions::none().under(&ceiling).is_empty());
    }

    #[test]
    fn hostile_names_are_refused() {
        for name in ["", "Read", "a b", "a\n", "ä", "a,b", &"a".repeat(65)] {
            assert_eq!(Permissions::new([name]), Err(InvalidPermission), "{name:?}");
        }
        let many: Vec<String> = (0..65).map(|n| format!("p{n}")).collect();
        assert_eq!(Permissions::new(many.iter().map(String::as_str)), Err(InvalidPermission));
    }
}
