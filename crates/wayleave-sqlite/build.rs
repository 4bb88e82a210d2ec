//! Rebuilds the crate when a migration is added: `sqlx::migrate!` embeds the folders and cannot watch them by itself.
#![allow(clippy::print_stdout, reason = "this is how a build script talks to Cargo")]

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=migrations-vault");
}
