//! ID (RFC 2971): client and server tell each other what they are.

use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::string;

/// One field and its value, `None` being NIL.
pub type IdField = (Vec<u8>, Option<Vec<u8>>);

/// What the client says about itself; empty for NIL. Field names and values are as sent, not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdParameters(pub Vec<IdField>);

impl IdParameters {
    /// How many fields a client may send (RFC 2971 section 3.3).
    pub const FIELDS_MAX: usize = 30;
    /// How long a value may be, in octets (the same).
    pub const VALUE_MAX: usize = 1024;

    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        cursor.space()?;
        let mut fields: Vec<IdField> = Vec::new();
        if cursor.peek() != Some(b'(') {
            return match string::parse_nstring(cursor)? {
                None => Ok(IdParameters::default()),
                Some(_) => Err(Fault::syntax("Expected NIL or a list")),
            };
        }
        cursor.list(|cursor| {
            if fields.len() == Self::FIELDS_MAX {
                return Err(Fault::limit("Too many fields of ID"));
            }
            let name = string::parse_string(cursor)?.into_owned();
            cursor.space()?;
            let value = string::parse_nstring(cursor)?.map(|value| value.into_owned());
            if name.len() > Self::VALUE_MAX
                || value.as_ref().is_some_and(|value| value.len() > Self::VALUE_MAX)
            {
                return Err(Fault::limit("A field of ID is too long"));
            }
            fields.push((name, value));
            Ok(())
        })?;
        Ok(IdParameters(fields))
    }
}
