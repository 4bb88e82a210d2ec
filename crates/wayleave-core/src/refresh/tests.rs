//! Tests of `refresh`.
