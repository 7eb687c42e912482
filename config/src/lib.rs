//! The settings file and the users file.
//!
//! Owns what an administrator writes by hand: one TOML file of settings ([`Settings`]), one file of users and password
//! hashes ([`Users`]), one of aliases ([`Aliases`]), and what follows directly from them: whether a password is right ([`Verdict`]), whether it was
//! found right a moment ago ([`VerifiedCache`]), and which users a recipient address means ([`Directory`]).
//!
//! The daemons and the `lode` command call it. Nothing here knows a protocol, a mailbox or the shared table.

pub mod aliases;
mod keyed_hash;
pub mod recipient;
pub mod settings;
mod stamp;
pub mod users;
pub mod verified;

pub use aliases::{Aliases, AliasesError};
pub use keyed_hash::KeyedHash;
pub use recipient::{Directory, Recipient, Target};
pub use settings::{
    Amount, CertificateFiles, Expire, Folders, Listen, LogFormat, LogLevel, MinimumVersion, Network,
    OverQuota, Plaintext, Settings, SettingsError, Tls,
};
pub use stamp::Stamp;
pub use users::{NameError, User, Users, UsersError, Verdict, user_name};
pub use verified::VerifiedCache;
