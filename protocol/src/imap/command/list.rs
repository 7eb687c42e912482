//! LIST (RFC 9051 section 6.3.9; RFC 3501 section 6.3.8) with LIST-EXTENDED (5258), LIST-STATUS (5819), CHILDREN (3348),
//! SPECIAL-USE (6154), LIST-MYRIGHTS (8440) and LIST-METADATA (9590), and LSUB (RFC 3501 section 6.3.9).

use super::status::StatusItem;
use crate::imap::extension::metadata::EntryName;
use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::mailbox_name;
use crate::imap::syntax::string;

/// What to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListArguments {
    /// Which mailboxes are asked for, beyond their names.
    pub selection: ListSelection,
    /// What stands before every pattern, in UTF-8; mostly empty.
    pub reference: String,
    /// The patterns, in UTF-8, with the wildcards `*` and `%`; at least one. See [`crate::imap::pattern`].
    pub patterns: Vec<String>,
    /// What is to be told about each.
    pub returns: ListReturn,
    /// Whether the command has selection options, patterns in parentheses, or return options. Without them an empty pattern
    /// asks for the hierarchy delimiter.
    pub form: ListForm,
}

/// In which of its two forms LIST came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListForm {
    /// As in RFC 3501.
    #[default]
    Basic,
    /// As in RFC 5258.
    Extended,
}

/// Selection options (RFC 5258 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListSelection {
    /// SUBSCRIBED: names that were subscribed to, rather than mailboxes.
    pub subscribed: bool,
    /// REMOTE: mailboxes of other servers too; Lode has none.
    pub remote: bool,
    /// RECURSIVEMATCH: mailboxes with a child that is selected, too. Only together with SUBSCRIBED or SPECIAL-USE.
    pub recursive_match: bool,
    /// SPECIAL-USE: only mailboxes that have a special use.
    pub special_use: bool,
}

/// Return options (RFC 5258 section 3.2). A selection option asks for the return option of its name, too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListReturn {
    /// SUBSCRIBED: whether it is subscribed to.
    pub subscribed: bool,
    /// CHILDREN: whether it has children.
    pub children: bool,
    /// SPECIAL-USE: what it is used for.
    pub special_use: bool,
    /// STATUS: a STATUS reply for each mailbox (RFC 5819).
    pub status: Option<Vec<StatusItem>>,
    /// MYRIGHTS: a MYRIGHTS reply for each mailbox (RFC 8440).
    pub my_rights: bool,
    /// METADATA: a METADATA reply for each mailbox with these entries, in the order asked for (RFC 9590). Empty when not asked for.
    pub metadata: Vec<EntryName>,
}

/// What LSUB lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LsubArguments {
    /// What stands before the pattern, in UTF-8.
    pub reference: String,
    /// The pattern, in UTF-8.
    pub pattern: String,
}

impl ListArguments {
    /// How many patterns one LIST may have: each is matched with every mailbox.
    pub const PATTERNS_MAX: usize = 64;

    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let mut arguments = ListArguments::default();
        cursor.space()?;
        if cursor.peek() == Some(b'(') {
            arguments.form = ListForm::Extended;
            arguments.selection = ListSelection::parse(cursor)?;
            cursor.space()?;
        }
        arguments.reference = mailbox_name::decode_pattern(&string::parse_astring(cursor)?, cursor.names())?;
        cursor.space()?;
        if cursor.peek() == Some(b'(') {
            arguments.form = ListForm::Extended;
            cursor.list(|cursor| {
                if arguments.patterns.len() == Self::PATTERNS_MAX {
                    return Err(Fault::limit("Too many patterns"));
                }
                arguments.patterns.push(parse_pattern(cursor)?);
                Ok(())
            })?;
            if arguments.patterns.is_empty() {
                return Err(Fault::syntax("A list of patterns is empty"));
            }
        } else {
            arguments.patterns.push(parse_pattern(cursor)?);
        }
        if cursor.take_space_before_more() {
            arguments.form = ListForm::Extended;
            if cursor.keyword()?.as_bytes() != b"RETURN" {
                return Err(Fault::syntax("Expected RETURN"));
            }
            cursor.space()?;
            arguments.returns = ListReturn::parse(cursor)?;
        }
        arguments.returns.subscribed |= arguments.selection.subscribed;
        arguments.returns.special_use |= arguments.selection.special_use;
        Ok(arguments)
    }
}

fn parse_pattern(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    mailbox_name::decode_pattern(&string::parse_list_mailbox(cursor)?, cursor.names())
}

impl ListSelection {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let mut selection = ListSelection::default();
        cursor.list(|cursor| {
            match cursor.keyword()?.as_bytes() {
                b"SUBSCRIBED" => selection.subscribed = true,
                b"REMOTE" => selection.remote = true,
                b"RECURSIVEMATCH" => selection.recursive_match = true,
                b"SPECIAL-USE" => selection.special_use = true,
                _ => return Err(Fault::syntax("Unknown selection option of LIST")),
            }
            Ok(())
        })?;
        if selection.recursive_match && !selection.subscribed && !selection.special_use {
            return Err(Fault::syntax("RECURSIVEMATCH needs another selection option"));
        }
        Ok(selection)
    }
}

impl ListReturn {
    /// How many entries of METADATA one LIST may name.
    pub const ENTRIES_MAX: usize = 32;

    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let mut returns = ListReturn::default();
        cursor.list(|cursor| {
            match cursor.keyword()?.as_bytes() {
                b"SUBSCRIBED" => returns.subscribed = true,
                b"CHILDREN" => returns.children = true,
                b"SPECIAL-USE" => returns.special_use = true,
                b"STATUS" => {
                    cursor.space()?;
                    returns.status = Some(StatusItem::parse_list(cursor)?);
                }
                b"MYRIGHTS" => returns.my_rights = true,
                b"METADATA" => {
                    cursor.space()?;
                    returns.metadata = Self::parse_entries(cursor)?;
                }
                _ => return Err(Fault::syntax("Unknown return option of LIST")),
            }
            Ok(())
        })?;
        Ok(returns)
    }

    /// `(` names of entries `)` (RFC 5464 section 3.2).
    fn parse_entries(cursor: &mut Cursor<'_>) -> Result<Vec<EntryName>, Fault> {
        let mut entries: Vec<EntryName> = Vec::new();
        cursor.list(|cursor| {
            let name = EntryName::parse_entry(cursor)?;
            if entries.len() == Self::ENTRIES_MAX {
                return Err(Fault::limit("Too many entries"));
            }
            if !entries.contains(&name) {
                entries.push(name);
            }
            Ok(())
        })?;
        if entries.is_empty() { Err(Fault::syntax("METADATA needs an entry")) } else { Ok(entries) }
    }
}

impl LsubArguments {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        cursor.space()?;
        let reference = mailbox_name::decode_pattern(&string::parse_astring(cursor)?, cursor.names())?;
        cursor.space()?;
        let pattern = parse_pattern(cursor)?;
        Ok(LsubArguments { reference, pattern })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::{Command, Limits, Tagged};

    fn returns(options: &str) -> Option<ListReturn> {
        let text = format!("a LIST \"\" * RETURN ({options})");
        match Tagged::parse(text.as_bytes(), &Limits::LOGGED_IN).ok()?.command {
            Command::List(arguments) => Some(arguments.returns),
            _ => None,
        }
    }

    #[test]
    fn rights_and_metadata_can_be_asked_for() {
        let asked = returns("MYRIGHTS METADATA (/Shared/Comment \"/private/x\" /shared/comment) SUBSCRIBED");
        let asked = asked.expect("options");
        assert!(asked.my_rights && asked.subscribed && !asked.children);
        let names: Vec<&str> = asked.metadata.iter().map(EntryName::as_str).collect();
        assert_eq!(names, ["/shared/comment", "/private/x"]);
        for options in [
            "METADATA",
            "METADATA ()",
            "METADATA (x)",
            "METADATA (/shared)",
            "METADATA /shared/a",
            "MYRIGHTS ()",
            "METADATA (/\u{e9})",
        ] {
            assert_eq!(returns(options), None, "{options}");
        }
    }

    #[test]
    fn entries_and_patterns_are_limited() {
        let entries = |count: usize| {
            let names: Vec<String> = (0..count).map(|number| format!("/shared/{number}")).collect();
            returns(&format!("METADATA ({})", names.join(" ")))
        };
        assert!(entries(ListReturn::ENTRIES_MAX).is_some() && entries(ListReturn::ENTRIES_MAX + 1).is_none());
        let patterns = |count: usize| {
            let text = format!("a LIST \"\" ({})", vec!["x"; count].join(" "));
            Tagged::parse(text.as_bytes(), &Limits::LOGGED_IN).is_ok()
        };
        assert!(patterns(ListArguments::PATTERNS_MAX) && !patterns(ListArguments::PATTERNS_MAX + 1));
    }
}
