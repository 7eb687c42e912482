//! SELECT, EXAMINE, CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE (RFC 3501 section 6.3).

use crate::imap::extension::qresync::SelectParameters;
use crate::imap::extension::special_use::SpecialUse;
use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::mailbox_name::MailboxName;

/// What to select, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectArguments {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// What else is wanted.
    pub parameters: SelectParameters,
}

/// What to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateArguments {
    /// The mailbox, without the `/` at the end by which a client says that it wants to create mailboxes below it
    /// (RFC 3501 section 6.3.3): with us all mailboxes can have children.
    pub mailbox: MailboxName,
    /// What it is to be used for, each use once (RFC 6154 section 3).
    pub special_use: Vec<SpecialUse>,
}

/// What to rename.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenameArguments {
    /// What it is called.
    pub from: MailboxName,
    /// What it is to be called, without a `/` at the end.
    pub to: MailboxName,
}

/// One mailbox, the only argument.
pub(crate) fn parse_one(cursor: &mut Cursor<'_>) -> Result<MailboxName, Fault> {
    cursor.space()?;
    MailboxName::parse(cursor)
}

impl SelectArguments {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let mailbox = parse_one(cursor)?;
        let parameters = SelectParameters::parse(cursor)?;
        Ok(SelectArguments { mailbox, parameters })
    }
}

impl CreateArguments {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let mailbox = parse_one(cursor)?.without_last_delimiter();
        let mut special_use = Vec::new();
        if cursor.take_space_before_more() {
            cursor.list(|cursor| {
                if cursor.keyword()?.as_bytes() != b"USE" {
                    return Err(Fault::syntax("Unknown parameter of CREATE"));
                }
                cursor.space()?;
                cursor.list(|cursor| {
                    let attribute = SpecialUse::parse(cursor)?;
                    if !special_use.contains(&attribute) {
                        special_use.push(attribute);
                    }
                    Ok(())
                })
            })?;
        }
        Ok(CreateArguments { mailbox, special_use })
    }
}

impl RenameArguments {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let from = parse_one(cursor)?;
        let to = parse_one(cursor)?.without_last_delimiter();
        cursor.no_parameters("Unknown parameter of RENAME")?;
        Ok(RenameArguments { from, to })
    }
}
