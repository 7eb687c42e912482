//! COPY (RFC 3501 section 6.4.7) and MOVE (RFC 6851), and both with UID.

use super::Numbering;
use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::mailbox_name::MailboxName;
use crate::imap::syntax::sequence_set::SequenceSet;

/// Which messages go where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyArguments {
    /// What the numbers are.
    pub numbering: Numbering,
    /// The messages.
    pub messages: SequenceSet,
    /// Where they go.
    pub mailbox: MailboxName,
}

impl CopyArguments {
    pub(crate) fn parse(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<Self, Fault> {
        cursor.space()?;
        let messages = SequenceSet::parse(cursor)?;
        cursor.space()?;
        let mailbox = MailboxName::parse(cursor)?;
        Ok(CopyArguments { numbering, messages, mailbox })
    }
}
