//! SPECIAL-USE (RFC 6154, RFC 8457): what a mailbox is for.

use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::string;

/// A use of a mailbox, an attribute of LIST replies and a parameter of CREATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialUse {
    /// `\All`: all messages there are.
    All,
    /// `\Archive`: messages that were put away.
    Archive,
    /// `\Drafts`: messages being written.
    Drafts,
    /// `\Flagged`: messages that are important.
    Flagged,
    /// `\Junk`: unwanted messages.
    Junk,
    /// `\Sent`: messages the user sent.
    Sent,
    /// `\Trash`: messages on their way out.
    Trash,
    /// `\Important`: messages that the user should see first (RFC 8457).
    Important,
}

impl SpecialUse {
    /// All uses, in the order of the RFCs.
    pub const EVERY: [SpecialUse; 8] = [
        SpecialUse::All,
        SpecialUse::Archive,
        SpecialUse::Drafts,
        SpecialUse::Flagged,
        SpecialUse::Junk,
        SpecialUse::Sent,
        SpecialUse::Trash,
        SpecialUse::Important,
    ];

    /// The attribute, with its backslash.
    pub fn attribute(self) -> &'static str {
        match self {
            SpecialUse::All => "\\All",
            SpecialUse::Archive => "\\Archive",
            SpecialUse::Drafts => "\\Drafts",
            SpecialUse::Flagged => "\\Flagged",
            SpecialUse::Junk => "\\Junk",
            SpecialUse::Sent => "\\Sent",
            SpecialUse::Trash => "\\Trash",
            SpecialUse::Important => "\\Important",
        }
    }

    /// The use with this attribute, in any case of letters.
    pub fn from_attribute(attribute: &str) -> Option<SpecialUse> {
        Self::EVERY.into_iter().find(|special_use| special_use.attribute().eq_ignore_ascii_case(attribute))
    }

    /// Parses one attribute. An unknown one makes CREATE fail (RFC 6154 section 3).
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<SpecialUse, Fault> {
        let name = cursor.take_while(|octet| string::is_atom_octet(octet) || octet == b'\\');
        std::str::from_utf8(name).ok().and_then(Self::from_attribute).ok_or(Fault {
            text: "Unknown special use",
            kind: crate::imap::syntax::cursor::FaultKind::UseAttribute,
        })
    }
}
