//! Tests of access tokens.
