//! ACL (RFC 4314): who may do what with a mailbox.
//!
//! Rights are letters here; which there are is not for the grammar to say, but that they are small letters or digits is.

use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::mailbox_name::MailboxName;
use crate::imap::syntax::string;

/// The commands of RFC 4314 section 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AclCommand {
    /// SETACL
    SetAcl {
        /// The mailbox.
        mailbox: MailboxName,
        /// Whose rights.
        identifier: Identifier,
        /// What becomes of them.
        modification: Modification,
    },
    /// DELETEACL
    DeleteAcl(MailboxName, Identifier),
    /// GETACL
    GetAcl(MailboxName),
    /// LISTRIGHTS
    ListRights(MailboxName, Identifier),
    /// MYRIGHTS
    MyRights(MailboxName),
}

impl AclCommand {
    /// The mailbox that it is about.
    pub fn mailbox(&self) -> &MailboxName {
        match self {
            AclCommand::SetAcl { mailbox, .. }
            | AclCommand::DeleteAcl(mailbox, _)
            | AclCommand::GetAcl(mailbox)
            | AclCommand::ListRights(mailbox, _)
            | AclCommand::MyRights(mailbox) => mailbox,
        }
    }

    /// The command's name.
    pub fn name(&self) -> &'static str {
        match self {
            AclCommand::SetAcl { .. } => "SETACL",
            AclCommand::DeleteAcl(..) => "DELETEACL",
            AclCommand::GetAcl(_) => "GETACL",
            AclCommand::ListRights(..) => "LISTRIGHTS",
            AclCommand::MyRights(_) => "MYRIGHTS",
        }
    }

    pub(crate) fn parse_set(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let mailbox = parse_mailbox(cursor)?;
        let identifier = Identifier::parse(cursor)?;
        let modification = Modification::parse(cursor)?;
        Ok(AclCommand::SetAcl { mailbox, identifier, modification })
    }

    pub(crate) fn parse_delete(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        Ok(AclCommand::DeleteAcl(parse_mailbox(cursor)?, Identifier::parse(cursor)?))
    }

    pub(crate) fn parse_get(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        Ok(AclCommand::GetAcl(parse_mailbox(cursor)?))
    }

    pub(crate) fn parse_list(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        Ok(AclCommand::ListRights(parse_mailbox(cursor)?, Identifier::parse(cursor)?))
    }

    pub(crate) fn parse_my(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        Ok(AclCommand::MyRights(parse_mailbox(cursor)?))
    }
}

fn parse_mailbox(cursor: &mut Cursor<'_>) -> Result<MailboxName, Fault> {
    cursor.space()?;
    MailboxName::parse(cursor)
}

/// Whose rights: a user's name or `anyone`, with `-` before it for rights that are taken away. Text without control characters, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identifier(String);

impl Identifier {
    /// The longest identifier, in octets.
    pub const LENGTH_MAX: usize = 256;

    /// As it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(cursor: &mut Cursor<'_>) -> Result<Identifier, Fault> {
        cursor.space()?;
        let octets = string::parse_astring(cursor)?;
        if octets.len() > Self::LENGTH_MAX {
            return Err(Fault::limit("An identifier is too long"));
        }
        let text = std::str::from_utf8(&octets).map_err(|_| Fault::syntax("An identifier is not UTF-8"))?;
        if matches!(text, "" | "-") || text.chars().any(char::is_control) {
            return Err(Fault::syntax("An identifier is empty or has control characters"));
        }
        Ok(Identifier(text.to_owned()))
    }
}

/// What becomes of somebody's rights; each with letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Modification {
    /// They are these.
    Set(String),
    /// They are these, too.
    Add(String),
    /// They are these no more.
    Remove(String),
}

impl Modification {
    /// The longest list of rights, in octets, a letter more than once counted.
    pub const LENGTH_MAX: usize = 64;

    fn parse(cursor: &mut Cursor<'_>) -> Result<Modification, Fault> {
        cursor.space()?;
        let octets = string::parse_astring(cursor)?;
        if octets.len() > Self::LENGTH_MAX {
            return Err(Fault::limit("Too many rights"));
        }
        let (make, letters): (fn(String) -> Modification, &[u8]) = match &octets[..] {
            [b'+', letters @ ..] => (Modification::Add, letters),
            [b'-', letters @ ..] => (Modification::Remove, letters),
            letters => (Modification::Set, letters),
        };
        if !letters.iter().all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit()) {
            return Err(Fault::syntax("A right is a small letter or a digit"));
        }
        Ok(make(letters.iter().copied().map(char::from).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::Limits;
    use crate::imap::command::{Command, Tagged};

    fn parse(line: &str) -> Result<AclCommand, Fault> {
        match Tagged::parse(format!("a {line}").as_bytes(), &Limits::LOGGED_IN) {
            Ok(Tagged { command: Command::Acl(command), .. }) => Ok(command),
            Ok(other) => panic!("{other:?}"),
            Err((_, fault)) => Err(fault),
        }
    }

    #[test]
    fn commands_are_read() {
        let Ok(AclCommand::SetAcl { mailbox, identifier, modification }) =
            parse("SETACL inbox \"bob smith\" +lrs")
        else {
            panic!("a SETACL")
        };
        assert_eq!((mailbox.as_str(), identifier.as_str()), ("INBOX", "bob smith"));
        assert_eq!(modification, Modification::Add("lrs".to_owned()));
        for (rights, want) in [
            ("\"\"", Modification::Set(String::new())),
            ("lr0", Modification::Set("lr0".to_owned())),
            ("-d", Modification::Remove("d".to_owned())),
        ] {
            let Ok(AclCommand::SetAcl { modification, .. }) = parse(&format!("setacl x -bob {rights}"))
            else {
                panic!("{rights}")
            };
            assert_eq!(modification, want);
        }
        assert!(matches!(parse("GETACL x"), Ok(AclCommand::GetAcl(_))));
        assert!(matches!(parse("DELETEACL x anyone"), Ok(AclCommand::DeleteAcl(..))));
        assert!(matches!(parse("LISTRIGHTS x anyone"), Ok(AclCommand::ListRights(..))));
        assert_eq!(parse("MYRIGHTS x").map(|command| command.name()), Ok("MYRIGHTS"));
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for line in [
            "SETACL x",
            "SETACL x bob",
            "SETACL x bob lrQ",
            "SETACL x bob +-l",
            "SETACL x \"\" l",
            "SETACL x \"-\" l",
            "SETACL x bob l r",
            "DELETEACL x",
            "GETACL x y",
            "LISTRIGHTS x",
            "MYRIGHTS",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        let long = |octets| format!("DELETEACL x {}", "b".repeat(octets));
        assert!(parse(&long(256)).is_ok());
        assert_eq!(parse(&long(257)), Err(Fault::limit("An identifier is too long")));
        assert!(parse(&format!("SETACL x bob {}", "l".repeat(64))).is_ok());
        assert_eq!(parse(&format!("SETACL x bob {}", "l".repeat(65))), Err(Fault::limit("Too many rights")));
    }
}
