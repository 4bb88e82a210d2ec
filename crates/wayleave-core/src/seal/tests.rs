//! Tests of `seal`.
