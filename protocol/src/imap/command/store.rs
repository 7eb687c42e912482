//! STORE and UID STORE (RFC 3501 section 6.4.6). UNCHANGEDSINCE (RFC 7162) goes before the item.

use super::Numbering;
use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::flag::Flags;
use crate::imap::syntax::sequence_set::SequenceSet;

/// Which messages get which flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreArguments {
    /// What the numbers are, here and in the replies.
    pub numbering: Numbering,
    /// The messages.
    pub messages: SequenceSet,
    /// The change.
    pub change: StoreFlags,
}

/// A change of flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFlags {
    /// What is done with them.
    pub operation: StoreOperation,
    /// Whether no FETCH replies are wanted (`.SILENT`).
    pub silent: bool,
    /// The flags.
    pub flags: Flags,
}

/// What is done with the flags of a STORE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOperation {
    /// FLAGS: the message has these and no others.
    Set,
    /// +FLAGS
    Add,
    /// -FLAGS
    Remove,
}

impl StoreArguments {
    pub(crate) fn parse(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<Self, Fault> {
        cursor.space()?;
        let messages = SequenceSet::parse(cursor)?;
        cursor.space()?;
        cursor.no_parameters("Unknown modifier of STORE")?;
        let operation = if cursor.take_if(b'+') {
            StoreOperation::Add
        } else if cursor.take_if(b'-') {
            StoreOperation::Remove
        } else {
            StoreOperation::Set
        };
        let silent = match cursor.keyword()?.as_bytes() {
            b"FLAGS" => false,
            b"FLAGS.SILENT" => true,
            _ => return Err(Fault::syntax("Unknown item of STORE")),
        };
        cursor.space()?;
        let flags = Flags::parse_list_or_bare(cursor)?;
        Ok(StoreArguments { numbering, messages, change: StoreFlags { operation, silent, flags } })
    }
}
