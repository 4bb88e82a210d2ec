//! The command line: its definition, and below it what each command does.

pub mod args;
