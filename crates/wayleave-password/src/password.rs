//! A password in memory: exactly as it was sent, wiped when it is dropped, never shown.

use zeroize::Zeroizing;

/// A submitted password.
///
/// It is kept byte for byte: nothing is trimmed, normalised, or cut off (R095). It can be neither printed nor copied:
///
/// ```compile_fail,E0277
/// fn shows<T: std::fmt::Debug>() {}
/// shows::<wayleave_password::Password>();
/// ```
/// ```compile_fail,E0277
/// fn copies<T: Clone>() {}
/// copies::<wayleave_password::Password>();
/// ```
pub struct Password(Zeroizing<String>);

impl Password {
    /// Most bytes of a password: bounds what hashing one can cost (A54).
    pub const MAX: usize = 1024;

    /// Takes a password as it came. The text is wiped also when it is refused.
    ///
    /// # Errors
    /// [`PasswordTooLong`] past [`Self::MAX`] bytes.
    pub fn new(text: impl Into<Zeroizing<String>>) -> Result<Self, PasswordTooLong> {
        let text = text.into();
        if text.len() > Self::MAX { Err(PasswordTooLong) } else { Ok(Self(text)) }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The password has more bytes than any may have.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a password has at most {} bytes", Password::MAX)]
pub struct PasswordTooLong;

#[cfg(test)]
mod tests {
    use super::*;

    /// R095, A54: 1024 bytes are in, one more is out.
    #[test]
    fn the_cap_counts_bytes() {
        for (length, fits) in [(0, true), (64, true), (128, true), (1024, true), (1025, false), (10 << 20, false)] {
            assert_eq!(Password::new("p".repeat(length)).is_ok(), fits, "{length}");
        }
        assert!(Password::new("ä".repeat(513)).is_err());
    }

    /// R095: nothing is taken away from either end.
    #[test]
    fn stays_as_it_came() {
        let text = " \0 pässword \u{1f511}\n ";
        assert!(Password::new(text.to_owned()).is_ok_and(|password| password.as_str() == text));
    }
}
