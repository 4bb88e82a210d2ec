//! The handlers, a file per concern. What each route demands stands in the table of [`crate::router`].

pub mod admin;
pub mod csrf;
pub mod entering;
pub mod health;
pub mod introspection;
pub mod opaque;
pub mod opening;
pub mod own;
pub mod password;
pub mod registration;
pub mod sessions;
pub mod setup;
pub mod sign_in;
pub mod validation;
pub mod vault;
pub mod verify;
