//! POP3 (RFC 1939) without I/O, with CAPA, RESP-CODES and PIPELINING (RFC 2449), AUTH-RESP-CODE (RFC 3206), AUTH
//! (RFC 5034), UTF8 and LANG (RFC 6856).
//!
//! ```text
//!  bytes ──► Decoder ──► Command ──► handler ──► reply, DotStuffer ──► bytes
//!                        Auth ──► Exchange ──► Credentials
//! ```
//!
//! Nothing here knows whether a command is permitted in the session's state; that is the handler's. Nothing here
//! panics on input or keeps more of it than one line.

mod command;
mod decoder;
pub mod fuzz;
pub mod reply;
mod sasl;
mod stuffer;

#[cfg(test)]
pub(crate) mod tests;

pub use command::{Auth, Command, Fault, Mechanism, Password};
pub use decoder::{Decoded, Decoder, Response};
pub use sasl::{Credentials, Exchange, Step};
pub use stuffer::{DotStuffer, Wants};

/// The longest command line without its end. RFC 2449 section 4 asks for 255 octets with it; clients are not always
/// that careful with long user names.
pub const COMMAND_OCTETS_MAX: usize = 512;

/// The longest AUTH line and the longest SASL response, without the end: what RFC 4954 section 4 asks of SMTP.
pub const AUTH_OCTETS_MAX: usize = 12_288;
