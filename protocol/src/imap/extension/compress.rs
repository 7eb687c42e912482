//! COMPRESS (RFC 4978).

use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::string;

/// How to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// DEFLATE (RFC 1951), raw.
    Deflate,
    /// One that nobody knows.
    Other,
}

impl Algorithm {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        cursor.space()?;
        let name = string::parse_atom(cursor)?;
        Ok(if name.eq_ignore_ascii_case(b"DEFLATE") { Algorithm::Deflate } else { Algorithm::Other })
    }
}
