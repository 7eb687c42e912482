//! Writes replies (RFC 3501 section 7) behind what is in a `Vec<u8>`.
//!
//! Every function appends whole lines with their CRLF, unless it says otherwise. Nothing that a client or a message
//! says can end a line early: texts are cleaned, strings become literals when they must.

pub mod acl;
pub mod annotate;
pub mod binary;
pub mod code;
pub mod esearch;
pub mod fetch;
pub mod fetch_facts;
pub mod mailbox;
pub mod metadata;
pub mod quota;
pub mod session;
pub mod sort;
pub mod status;
pub mod text;
pub mod urlauth;
pub mod vanished;
