//! One span and one line per request, without anything that a log must not hold (R164, R165).

use std::borrow::Cow;
use std::fmt::Write as _;

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use tokio::time::Instant;
use tracing::Span;

use super::client_address::ClientAddress;
use super::request_id::RequestId;
use crate::error::ApiError;
use crate::text::is_hidden;

/// Longest value that is written, in characters; the rest is cut off and marked with an ellipsis.
pub const MAX_LOG_VALUE: usize = 256;

/// The span of a request: `request`, with `request_id`, `method`, `route` (the pattern, never the path, query or any
/// header) and the client's coarse network.
pub(super) fn span(request: &Request) -> Span {
    tracing::info_span!(
        "request",
        request_id = request.extensions().get::<RequestId>().map_or("", RequestId::as_str),
        method = %escape_for_log(request.method().as_str()),
        route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str),
        network = request.extensions().get::<ClientAddress>().map(|client| tracing::field::display(client.coarse())),
    )
}

/// Writes one line with `status`, `latency_us` and `code`, inside the request's span.
pub(super) fn answered(response: &Response, started: Instant) {
    let latency_us = || u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let status = response.status().as_u16();
    let code = response.extensions().get::<ApiError>().map(|error| error.code().as_str());
    if response.status().is_server_error() {
        tracing::warn!(status, latency_us = latency_us(), code, "answered");
    } else {
        tracing::info!(status, latency_us = latency_us(), code, "answered");
    }
}

/// Makes foreign text fit for a log line: control characters, escape sequences, bidirectional and invisible characters
/// and line separators become `\u{..}`, a backslash becomes two, and what is too long is cut (R165, A20).
#[must_use]
pub fn escape_for_log(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_LOG_VALUE && !text.chars().any(needs_escape) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len().min(MAX_LOG_VALUE) + 8);
    for (count, character) in text.chars().enumerate() {
        if count == MAX_LOG_VALUE {
            escaped.push('…');
            break;
        }
        if character == '\\' {
            escaped.push_str("\\\\");
        } else if needs_escape(character) {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\u{{{:x}}}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

fn needs_escape(character: char) -> bool {
    character == '\\' || is_hidden(character)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// R165, A20: nothing that moves a cursor, turns the text round or starts a line gets through.
    #[test]
    fn hostile_values_are_escaped() {
        for (text, expected) in [
            ("plain Text-1", "plain Text-1"),
            ("grüße 世界 🎉", "grüße 世界 🎉"),
            ("a\r\nlevel=INFO forged", "a\\u{d}\\u{a}level=INFO forged"),
            ("\x1b[2Jgone", "\\u{1b}[2Jgone"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("user\u{202e}nimda", "user\\u{202e}nimda"),
            ("a\u{2028}b\u{2066}c", "a\\u{2028}b\\u{2066}c"),
            ("\0\t", "\\u{0}\\u{9}"),
            ("\\u{a}", "\\\\u{a}"),
        ] {
            assert_eq!(escape_for_log(text), expected);
        }
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(escape_for_log(&"a".repeat(MAX_LOG_VALUE)).chars().count(), MAX_LOG_VALUE);
        let cut = escape_for_log(&"a".repeat(MAX_LOG_VALUE + 1)).into_owned();
        assert_eq!(cut.chars().count(), MAX_LOG_VALUE + 1);
        assert!(cut.ends_with('…'));
        assert_eq!(escape_for_log(&"ä".repeat(MAX_LOG_VALUE)).chars().count(), MAX_LOG_VALUE);
    }

    proptest! {
        #[test]
        fn no_control_character_survives(text in ".{0,300}") {
            prop_assert!(!escape_for_log(&text).chars().any(|c| c != '\\' && needs_escape(c)));
        }
    }
}
