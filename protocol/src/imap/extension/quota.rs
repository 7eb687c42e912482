//! QUOTA (RFC 9208; RFC 2087): how much there is below a quota root, and how much there may be.

use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::mailbox_name::MailboxName;
use crate::imap::syntax::string;

/// The commands of RFC 9208 section 4.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuotaCommand {
    /// GETQUOTA
    Get(QuotaRoot),
    /// GETQUOTAROOT
    GetRoot(MailboxName),
    /// SETQUOTA
    Set(QuotaRoot, Vec<ResourceLimit>),
}

/// A limit of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceLimit {
    /// Of which; `None` is one that Lode does not know.
    pub resource: Option<QuotaResource>,
    /// How much, in the resource's unit.
    pub limit: u64,
}

/// What is limited (RFC 9208 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaResource {
    /// STORAGE, in units of 1,024 octets.
    Storage,
    /// MESSAGE
    Message,
    /// MAILBOX
    Mailbox,
    /// ANNOTATION-STORAGE, in units of 1,024 octets.
    AnnotationStorage,
}

impl QuotaResource {
    /// All of them.
    pub const EVERY: [QuotaResource; 4] = [
        QuotaResource::Storage,
        QuotaResource::Message,
        QuotaResource::Mailbox,
        QuotaResource::AnnotationStorage,
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            QuotaResource::Storage => "STORAGE",
            QuotaResource::Message => "MESSAGE",
            QuotaResource::Mailbox => "MAILBOX",
            QuotaResource::AnnotationStorage => "ANNOTATION-STORAGE",
        }
    }
}

/// The name of a quota root: any octets but NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaRoot(Vec<u8>);

impl QuotaRoot {
    /// The longest name, in octets.
    pub const LENGTH_MAX: usize = 512;

    /// As it came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn parse(cursor: &mut Cursor<'_>) -> Result<QuotaRoot, Fault> {
        cursor.space()?;
        let octets = string::parse_astring(cursor)?;
        if octets.len() > Self::LENGTH_MAX {
            return Err(Fault::limit("The name of a quota root is too long"));
        }
        Ok(QuotaRoot(octets.into_owned()))
    }
}

impl QuotaCommand {
    /// How many limits one SETQUOTA may have.
    pub const LIMITS_MAX: usize = 16;

    /// The command's name.
    pub fn name(&self) -> &'static str {
        match self {
            QuotaCommand::Get(_) => "GETQUOTA",
            QuotaCommand::GetRoot(_) => "GETQUOTAROOT",
            QuotaCommand::Set(..) => "SETQUOTA",
        }
    }

    pub(crate) fn parse_get(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        Ok(QuotaCommand::Get(QuotaRoot::parse(cursor)?))
    }

    pub(crate) fn parse_get_root(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        cursor.space()?;
        Ok(QuotaCommand::GetRoot(MailboxName::parse(cursor)?))
    }

    pub(crate) fn parse_set(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let root = QuotaRoot::parse(cursor)?;
        cursor.space()?;
        let mut limits: Vec<ResourceLimit> = Vec::new();
        cursor.list(|cursor| {
            if limits.len() == Self::LIMITS_MAX {
                return Err(Fault::limit("Too many limits"));
            }
            let name = string::parse_atom(cursor)?;
            let known = |resource: &QuotaResource| name.eq_ignore_ascii_case(resource.name().as_bytes());
            let resource = QuotaResource::EVERY.into_iter().find(known);
            cursor.space()?;
            let limit = cursor.number()?;
            if resource.is_some() && limits.iter().any(|known| known.resource == resource) {
                return Err(Fault::syntax("A resource is named twice"));
            }
            limits.push(ResourceLimit { resource, limit });
            Ok(())
        })?;
        Ok(QuotaCommand::Set(root, limits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::Limits;
    use crate::imap::command::{Command, Tagged};

    fn parse(line: &str) -> Result<QuotaCommand, Fault> {
        match Tagged::parse(format!("a {line}").as_bytes(), &Limits::LOGGED_IN) {
            Ok(Tagged { command: Command::Quota(command), .. }) => Ok(command),
            Ok(other) => panic!("{other:?}"),
            Err((_, fault)) => Err(fault),
        }
    }

    #[test]
    fn commands_are_read() {
        let root = |name: &str| QuotaRoot(name.as_bytes().to_vec());
        assert_eq!(parse("GETQUOTA \"\""), Ok(QuotaCommand::Get(root(""))));
        assert_eq!(parse("getquota {3+}\r\na b"), Ok(QuotaCommand::Get(root("a b"))));
        assert_eq!(parse("GETQUOTAROOT inbox"), Ok(QuotaCommand::GetRoot(MailboxName::inbox())));
        let limit = |resource, limit| ResourceLimit { resource, limit };
        let limits = vec![limit(Some(QuotaResource::Storage), 512), limit(None, 1), limit(None, 2)];
        assert_eq!(parse("SETQUOTA \"\" (storage 512 X-A 1 X-B 2)"), Ok(QuotaCommand::Set(root(""), limits)));
        assert_eq!(parse("SETQUOTA x ()").map(|command| command.name()), Ok("SETQUOTA"));
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for line in [
            "GETQUOTA",
            "GETQUOTA a b",
            "GETQUOTAROOT",
            "SETQUOTA x",
            "SETQUOTA x STORAGE 1",
            "SETQUOTA x (STORAGE)",
            "SETQUOTA x (STORAGE x)",
            "SETQUOTA x (STORAGE -1)",
            "SETQUOTA x (STORAGE 9223372036854775808)",
            "SETQUOTA x (STORAGE 1 storage 2)",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        let long = |octets| parse(&format!("GETQUOTA {}", "x".repeat(octets)));
        assert!(long(512).is_ok() && long(513).is_err());
        let many = |count| parse(&format!("SETQUOTA x ({})", vec!["A 1"; count].join(" ")));
        assert!(many(16).is_ok() && many(17).is_err());
    }
}
