//! ENABLE (RFC 5161): the client names extensions whose replies it understands.

use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::string;

/// The capabilities that are to be enabled, in upper case. Unknown ones are to be passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnableArguments(pub Vec<String>);

impl EnableArguments {
    /// How many capabilities one ENABLE may name.
    pub const CAPABILITIES_MAX: usize = 64;

    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        cursor.space()?;
        let mut capabilities = Vec::new();
        loop {
            if capabilities.len() == Self::CAPABILITIES_MAX {
                return Err(Fault::limit("Too many capabilities"));
            }
            let name = string::parse_atom(cursor)?;
            capabilities.push(name.iter().map(|octet| char::from(octet.to_ascii_uppercase())).collect());
            if !cursor.take_space_before_more() {
                return Ok(EnableArguments(capabilities));
            }
        }
    }
}
