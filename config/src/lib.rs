//! The settings file and the users file.
//!
//! Owns what an administrator writes by hand: one TOML file of settings ([`Settings`]), one file of users and password
//! hashes ([`Users`]), and what follows directly from them: whether a password is right ([`Verdict`]), whether it was
//! found right a moment ago ([`VerifiedCache`]), and which user a recipient address means ([`recipient`]).
//!
//! The daemons and the `lode` command call it. Nothing here knows a protocol, a mailbox or the shared table.

pub mod recipient;
pub mod settings;
pub mod users;
pub mod verified;

pub use recipient::{Recipient, recipient};
pub use settings::{Amount, Listen, Plaintext, Settings, SettingsError};
pub use users::{NameError, User, Users, UsersError, Verdict, user_name};
pub use verified::VerifiedCache;
