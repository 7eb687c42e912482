//! METADATA (RFC 5464): annotations of mailboxes and of the server.
//!
//! Names of entries are the same in any case of letters, so they are in small letters from here on. Every name begins with `/private` or `/shared`; that alone asks
//! for what is below it, and cannot be set.
//!
//! Leniency: the options of GETMETADATA are taken before the mailbox, as the grammar has it, and behind it, as the examples do.

use std::fmt;

use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::mailbox_name::MailboxName;
use crate::imap::syntax::string;

/// The commands of RFC 5464.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataCommand {
    /// GETMETADATA
    Get(GetMetadataArguments),
    /// SETMETADATA
    Set(SetMetadataArguments),
}

impl MetadataCommand {
    /// The command's name.
    pub fn name(&self) -> &'static str {
        match self {
            MetadataCommand::Get(_) => "GETMETADATA",
            MetadataCommand::Set(_) => "SETMETADATA",
        }
    }
}

/// Whether an entry is a user's own or everybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `/private`
    Private,
    /// `/shared`
    Shared,
}

/// The name of an entry, in small letters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(String);

impl EntryName {
    /// The longest name, in octets.
    pub const LENGTH_MAX: usize = 512;

    /// The name for these octets.
    ///
    /// Errors: it is none (RFC 5464 section 3.2), or too long.
    pub fn new(octets: &[u8]) -> Result<EntryName, Fault> {
        const NONE: Fault = Fault::syntax("Not the name of an entry of METADATA");
        if octets.len() > Self::LENGTH_MAX {
            return Err(Fault::limit("The name of an entry is too long"));
        }
        let allowed = |&octet: &u8| matches!(octet, b' '..=b'~') && !matches!(octet, b'*' | b'%');
        let name = std::str::from_utf8(octets).map_err(|_| NONE)?;
        if !octets.iter().all(allowed) || name.ends_with('/') || name.contains("//") {
            return Err(NONE);
        }
        let name = name.to_ascii_lowercase();
        match name.strip_prefix("/private").or(name.strip_prefix("/shared")) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Ok(EntryName(name)),
            _ => Err(NONE),
        }
    }

    /// The name with its first `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whose it is, and what follows that: nothing, or `/` and more.
    pub fn parts(&self) -> (Scope, &str) {
        match self.0.strip_prefix("/private") {
            Some(rest) => (Scope::Private, rest),
            None => (Scope::Shared, self.0.strip_prefix("/shared").unwrap_or_default()),
        }
    }

    /// Whether it stands for an entry, rather than for all of them.
    pub fn is_entry(&self) -> bool {
        !self.parts().1.is_empty()
    }

    /// Takes the name of something that has a value.
    pub(crate) fn parse_entry(cursor: &mut Cursor<'_>) -> Result<EntryName, Fault> {
        let name = EntryName::parse(cursor)?;
        if name.is_entry() { Ok(name) } else { Err(Fault::syntax("An entry of METADATA has a longer name")) }
    }

    fn parse(cursor: &mut Cursor<'_>) -> Result<EntryName, Fault> {
        EntryName::new(&string::parse_astring(cursor)?)
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far below the entries that are named others are told, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// Not at all.
    #[default]
    Zero,
    /// Those right below.
    One,
    /// All.
    Infinity,
}

impl Depth {
    /// Whether something is told whose name is that of the entry asked for and `below`: nothing, or `/` and more.
    pub fn reaches(self, below: &str) -> bool {
        let levels = below.matches('/').count();
        match self {
            _ if below.is_empty() => true,
            _ if !below.starts_with('/') => false,
            Depth::Zero => false,
            Depth::One => levels == 1,
            Depth::Infinity => true,
        }
    }
}

/// What GETMETADATA asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetMetadataArguments {
    /// The mailbox; `None` is the server.
    pub mailbox: Option<MailboxName>,
    /// MAXSIZE: larger values are not told.
    pub max_size: Option<u64>,
    /// DEPTH
    pub depth: Depth,
    /// Names, each once; at least one.
    pub entries: Vec<EntryName>,
}

/// What SETMETADATA sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetMetadataArguments {
    /// The mailbox; `None` is the server.
    pub mailbox: Option<MailboxName>,
    /// Entries with their values, `None` for one that is to go; at least one, each once.
    pub values: Vec<(EntryName, Option<Vec<u8>>)>,
}

impl GetMetadataArguments {
    /// How many entries one command may name.
    pub const ENTRIES_MAX: usize = 64;

    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        cursor.space()?;
        let mut options = Options::default();
        let comes_first = cursor.peek() == Some(b'(');
        if comes_first {
            options.parse(cursor)?;
            cursor.space()?;
        }
        let mailbox = parse_mailbox(cursor)?;
        cursor.space()?;
        let mut entries = Vec::new();
        if cursor.peek() != Some(b'(') {
            entries.push(EntryName::parse(cursor)?);
        } else if !comes_first && options.are_next(cursor) {
            options.parse(cursor)?;
            cursor.space()?;
            parse_entries(cursor, &mut entries)?;
        } else {
            parse_entries(cursor, &mut entries)?;
        }
        let Options { max_size, depth } = options;
        Ok(GetMetadataArguments { mailbox, max_size, depth: depth.unwrap_or_default(), entries })
    }
}

impl SetMetadataArguments {
    /// How many entries one command may name.
    pub const ENTRIES_MAX: usize = 64;

    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        cursor.space()?;
        let mailbox = parse_mailbox(cursor)?;
        cursor.space()?;
        let mut values: Vec<(EntryName, Option<Vec<u8>>)> = Vec::new();
        cursor.list(|cursor| {
            if values.len() == Self::ENTRIES_MAX {
                return Err(Fault::limit("Too many entries"));
            }
            let name = EntryName::parse_entry(cursor)?;
            cursor.space()?;
            let value = string::parse_nstring8(cursor)?.map(|value| value.into_owned());
            if values.iter().any(|(known, _)| *known == name) {
                return Err(Fault::syntax("An entry is named twice"));
            }
            values.push((name, value));
            Ok(())
        })?;
        if values.is_empty() {
            return Err(Fault::syntax("SETMETADATA needs an entry"));
        }
        Ok(SetMetadataArguments { mailbox, values })
    }
}

/// The mailbox, or `""` for the server.
fn parse_mailbox(cursor: &mut Cursor<'_>) -> Result<Option<MailboxName>, Fault> {
    let name = MailboxName::parse(cursor)?;
    Ok(Some(name).filter(|name| !name.as_str().is_empty()))
}

/// `entry` or `(` entries `)`.
fn parse_entries(cursor: &mut Cursor<'_>, entries: &mut Vec<EntryName>) -> Result<(), Fault> {
    if cursor.peek() != Some(b'(') {
        entries.push(EntryName::parse(cursor)?);
        return Ok(());
    }
    cursor.list(|cursor| {
        let name = EntryName::parse(cursor)?;
        if entries.len() == GetMetadataArguments::ENTRIES_MAX {
            return Err(Fault::limit("Too many entries"));
        }
        if !entries.contains(&name) {
            entries.push(name);
        }
        Ok(())
    })?;
    if entries.is_empty() { Err(Fault::syntax("GETMETADATA needs an entry")) } else { Ok(()) }
}

#[derive(Debug, Default)]
struct Options {
    max_size: Option<u64>,
    depth: Option<Depth>,
}

impl Options {
    /// Whether the list that is next has options: names of entries begin with `/`.
    fn are_next(&self, cursor: &Cursor<'_>) -> bool {
        let mut rest = cursor.rest().iter().skip(1).skip_while(|octet| **octet == b' ');
        rest.next().is_some_and(u8::is_ascii_alphabetic)
    }

    fn parse(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        cursor.list(|cursor| {
            let is_new = match cursor.keyword()?.as_bytes() {
                b"MAXSIZE" => {
                    cursor.space()?;
                    self.max_size.replace(cursor.number()?).is_none()
                }
                b"DEPTH" => {
                    cursor.space()?;
                    let depth = match cursor.keyword()?.as_bytes() {
                        b"0" => Depth::Zero,
                        b"1" => Depth::One,
                        b"INFINITY" => Depth::Infinity,
                        _ => return Err(Fault::syntax("DEPTH is 0, 1 or infinity")),
                    };
                    self.depth.replace(depth).is_none()
                }
                _ => return Err(Fault::syntax("Unknown option of GETMETADATA")),
            };
            if is_new { Ok(()) } else { Err(Fault::syntax("An option of GETMETADATA is there twice")) }
        })?;
        if self.max_size.is_none() && self.depth.is_none() {
            return Err(Fault::syntax("A list of options is empty"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::Limits;
    use crate::imap::command::{Command, Tagged};

    fn parse(line: &str) -> Result<MetadataCommand, Fault> {
        match Tagged::parse(format!("a {line}").as_bytes(), &Limits::LOGGED_IN) {
            Ok(Tagged { command: Command::Metadata(command), .. }) => Ok(command),
            Ok(other) => panic!("{other:?}"),
            Err((_, fault)) => Err(fault),
        }
    }

    fn get(line: &str) -> GetMetadataArguments {
        match parse(line) {
            Ok(MetadataCommand::Get(arguments)) => arguments,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn names(entries: &[EntryName]) -> Vec<&str> {
        entries.iter().map(EntryName::as_str).collect()
    }

    #[test]
    fn what_is_asked_for_is_read() {
        let asked = get("GETMETADATA \"\" /Shared/Comment");
        assert_eq!((asked.mailbox, asked.max_size, asked.depth), (None, None, Depth::Zero));
        assert_eq!(names(&asked.entries), ["/shared/comment"]);
        for line in [
            "GETMETADATA (MAXSIZE 1024 DEPTH infinity) inbox (/shared \"/private/x y\")",
            "GETMETADATA (DEPTH INFINITY MAXSIZE 1024) INBOX (/shared \"/private/x y\" /SHARED)",
            "GETMETADATA INBOX (MAXSIZE 1024 DEPTH infinity) (/shared \"/private/x y\")",
        ] {
            let asked = get(line);
            assert_eq!(asked.mailbox, Some(MailboxName::inbox()));
            assert_eq!((asked.max_size, asked.depth), (Some(1024), Depth::Infinity));
            assert_eq!(names(&asked.entries), ["/shared", "/private/x y"]);
        }
        assert_eq!(get("GETMETADATA (DEPTH 1) x /private/a").depth, Depth::One);
    }

    #[test]
    fn what_is_set_is_read() {
        let line = "SETMETADATA INBOX (/private/comment \"a\" /shared/b NIL /shared/c ~{3+}\r\nx\0y \"/shared/d\" {1+}\r\nz)";
        let Ok(MetadataCommand::Set(set)) = parse(line) else { panic!("a SETMETADATA") };
        let values: Vec<_> =
            set.values.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        assert_eq!(
            values,
            [
                ("/private/comment", Some(&b"a"[..])),
                ("/shared/b", None),
                ("/shared/c", Some(b"x\0y")),
                ("/shared/d", Some(b"z"))
            ]
        );
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for line in [
            "GETMETADATA",
            "GETMETADATA INBOX",
            "GETMETADATA INBOX ()",
            "GETMETADATA INBOX comment",
            "GETMETADATA INBOX /comment",
            "GETMETADATA INBOX /sharedx/comment",
            "GETMETADATA INBOX /shared/",
            "GETMETADATA INBOX /shared//a",
            "GETMETADATA INBOX \"/shared/a*\"",
            "GETMETADATA INBOX \"/shared/a%\"",
            "GETMETADATA INBOX \"/shared/\u{e9}\"",
            "GETMETADATA INBOX \"/shared/\t\"",
            "GETMETADATA () INBOX /shared/a",
            "GETMETADATA (DEPTH 2) INBOX /shared/a",
            "GETMETADATA (DEPTH 1 DEPTH 1) INBOX /shared/a",
            "GETMETADATA (MAXSIZE x) INBOX /shared/a",
            "GETMETADATA (MINSIZE 1) INBOX /shared/a",
            "GETMETADATA (DEPTH 1) INBOX (DEPTH 1) /shared/a",
            "GETMETADATA INBOX /shared/a /shared/b",
            "SETMETADATA INBOX",
            "SETMETADATA INBOX ()",
            "SETMETADATA INBOX /shared/a x",
            "SETMETADATA INBOX (/shared/a)",
            "SETMETADATA INBOX (/shared/a x)",
            "SETMETADATA INBOX (/shared \"x\")",
            "SETMETADATA INBOX (/shared/a \"x\" /SHARED/A \"y\")",
            "SETMETADATA INBOX (/shared/a {1+}\r\n\0)",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn names_and_lists_have_limits() {
        let long = |octets: usize| EntryName::new(format!("/shared/{}", "x".repeat(octets - 8)).as_bytes());
        assert!(long(EntryName::LENGTH_MAX).is_ok());
        assert_eq!(long(EntryName::LENGTH_MAX + 1), Err(Fault::limit("The name of an entry is too long")));
        let many = |count: usize| {
            let entries: Vec<String> = (0..count).map(|number| format!("/shared/{number}")).collect();
            let set: Vec<String> = entries.iter().map(|entry| format!("{entry} NIL")).collect();
            let got = parse(&format!("GETMETADATA x ({})", entries.join(" "))).is_ok();
            (got, parse(&format!("SETMETADATA x ({})", set.join(" "))).is_ok())
        };
        assert_eq!(many(64), (true, true));
        assert_eq!(many(65), (false, false));
    }

    #[test]
    fn depth_is_how_far_below() {
        for (below, zero, one, infinity) in [
            ("", true, true, true),
            ("/b", false, true, true),
            ("/b/c", false, false, true),
            ("b", false, false, false),
        ] {
            let reached = [Depth::Zero, Depth::One, Depth::Infinity].map(|depth| depth.reaches(below));
            assert_eq!(reached, [zero, one, infinity], "{below}");
        }
    }
}
