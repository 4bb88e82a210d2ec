//! The values that are one word out of a few.

use std::fmt;
use std::str::FromStr;

use super::types::InvalidValue;

// The word is a plain token tree: derive macros do not see through a `literal` fragment.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:tt),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Copy, Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in the configuration.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = InvalidValue;

            fn from_str(text: &str) -> Result<Self, InvalidValue> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(InvalidValue),
                }
            }
        }
    };
}

words! {
    /// The `SameSite` attribute of the session cookie.
    SameSite {
        /// Sent with navigations from other sites; the CSRF layer guards the rest.
        Lax = "lax",
        /// Never sent from other sites.
        Strict = "strict",
    }
}

words! {
    /// When a change of a session returns, where several servers share a store.
    Coherence {
        /// When the other servers were told. They act on it as soon as they hear of it.
        Prompt = "prompt",
        /// When every server has acted on it.
        Strict = "strict",
    }
}

words! {
    /// The header in which trusted proxies say whom they speak for.
    ForwardedHeader {
        /// None is read; the peer is the client.
        None = "none",
        /// `X-Forwarded-For`.
        XForwardedFor = "x-forwarded-for",
        /// `Forwarded` (RFC 7239).
        Forwarded = "forwarded",
    }
}

words! {
    /// What `Clear-Site-Data` names at sign-out.
    ClearSiteData {
        /// The HTTP cache of the origin.
        Cache = "cache",
        /// Every cookie of the registrable domain.
        Cookies = "cookies",
        /// DOM storage, IndexedDB, service workers.
        Storage = "storage",
        /// Open documents are reloaded.
        ExecutionContexts = "executionContexts",
    }
}

words! {
    /// What a client is known by again, beside its token.
    FingerprintInput {
        /// The family of the browser and of the system, as `User-Agent` says: no update changes it.
        Agent = "agent",
        /// The platform, as Chromium says by `Sec-CH-UA-Platform`.
        Platform = "platform",
        /// What a client that is no browser says by `X-Device-Id`.
        Device = "device",
        /// The network that it comes from: a /24 of IPv4, a /48 of IPv6.
        Network = "network",
    }
}

words! {
    /// Who may make an account.
    Registration {
        /// Administrators only.
        Closed = "closed",
        /// Whoever holds an invitation.
        Invitation = "invitation",
        /// Everybody.
        Open = "open",
    }
}

words! {
    /// How log lines are written.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}

words! {
    /// The least important lines that are written.
    LogLevel {
        /// Failures.
        Error = "error",
        /// Failures and what may become one.
        Warn = "warn",
        /// What happens.
        Info = "info",
        /// How it happens.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

words! {
    /// What an access token looks like; see [`wayleave_core::policy::TokenFormat`].
    TokenForm {
        /// Random and meaningless.
        Opaque = "opaque",
        /// A signed `at+jwt`.
        Jwt = "jwt",
    }
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema as _;

    use super::*;

    /// Documents in the store and the API write the words of the configuration.
    #[test]
    fn words_are_the_same_everywhere() {
        for registration in Registration::ALL {
            let text = serde_json::to_string(registration).unwrap();
            assert_eq!(text, format!("\"{registration}\""));
            assert_eq!(serde_json::from_str::<Registration>(&text).unwrap(), *registration);
        }
        let words: Vec<_> = Registration::ALL.iter().map(|word| word.as_str()).collect();
        assert_eq!(words, ["closed", "invitation", "open"]);
        for unknown in ["\"Closed\"", "\"\"", "\"shut\"", "0", "null"] {
            assert!(serde_json::from_str::<Registration>(unknown).is_err(), "{unknown}");
        }
        let schema = serde_json::to_value(Registration::schema()).unwrap();
        assert_eq!(schema["enum"], serde_json::json!(words));
        assert_eq!(schema["type"], "string");
    }
}
