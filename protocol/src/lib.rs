//! IMAP, POP3 and LMTP as pure functions from bytes to commands and from replies to bytes.

pub mod base64;
pub mod imap;
mod line;
pub mod lmtp;
pub mod pop3;
