//! Flags of messages (RFC 3501 section 2.3.2): the system flags as bits, keywords as names.
//!
//! Leniency: `\Recent`, which a client may not set, is passed over in commands; keywords may contain `]`, as some
//! clients' do.

use super::cursor::{Cursor, Fault};

/// A set of system flags. The bits are in no protocol; they are in the order that mailbox cells have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SystemFlags(pub u8);

impl SystemFlags {
    /// `\Answered`
    pub const ANSWERED: SystemFlags = SystemFlags(1);
    /// `\Flagged`
    pub const FLAGGED: SystemFlags = SystemFlags(2);
    /// `\Deleted`
    pub const DELETED: SystemFlags = SystemFlags(4);
    /// `\Seen`
    pub const SEEN: SystemFlags = SystemFlags(8);
    /// `\Draft`
    pub const DRAFT: SystemFlags = SystemFlags(16);
    /// `\Recent`: of a session, not of a message; only in replies.
    pub const RECENT: SystemFlags = SystemFlags(32);
    /// All that a client may set.
    pub const ALL: SystemFlags = SystemFlags(31);

    /// Bits and names, in the order in which replies name them.
    pub const NAMES: [(SystemFlags, &'static str); 6] = [
        (SystemFlags::ANSWERED, "\\Answered"),
        (SystemFlags::FLAGGED, "\\Flagged"),
        (SystemFlags::DELETED, "\\Deleted"),
        (SystemFlags::SEEN, "\\Seen"),
        (SystemFlags::DRAFT, "\\Draft"),
        (SystemFlags::RECENT, "\\Recent"),
    ];

    /// Whether all of `other` are in the set.
    pub fn contains(self, other: SystemFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    pub fn union(self, other: SystemFlags) -> SystemFlags {
        SystemFlags(self.0 | other.0)
    }

    /// The flag with this name, which begins with a backslash; in any case of letters.
    pub fn from_name(name: &[u8]) -> Option<SystemFlags> {
        Self::NAMES
            .iter()
            .find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name))
            .map(|&(flag, _)| flag)
    }
}

/// The name of a keyword: an atom in ASCII, never empty, at most [`Keyword::LENGTH_MAX`] octets, in the letters the
/// client used. Keywords that differ only in case are the same keyword.
#[derive(Debug, Clone)]
pub struct Keyword(Box<str>);

impl Keyword {
    /// The longest name, in octets.
    pub const LENGTH_MAX: usize = 63;

    /// The keyword with this name.
    ///
    /// Errors: the name is no atom, or too long.
    pub fn new(name: &[u8]) -> Result<Self, Fault> {
        let is_atom = name.iter().all(|&octet| super::string::is_atom_octet(octet) || octet == b']');
        if name.is_empty() || !is_atom {
            return Err(Fault::syntax("Invalid keyword"));
        }
        if name.len() > Self::LENGTH_MAX {
            return Err(Fault::limit("A keyword is too long"));
        }
        let name: String = name.iter().map(|&octet| char::from(octet)).collect();
        Ok(Keyword(name.into()))
    }

    /// The name as the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Keyword {}

/// One flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flag {
    /// A system flag: exactly one bit is set.
    System(SystemFlags),
    /// A keyword.
    Keyword(Keyword),
}

impl Flag {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Flag, Fault> {
        let name =
            cursor.take_while(|octet| super::string::is_atom_octet(octet) || matches!(octet, b']' | b'\\'));
        if name.first() != Some(&b'\\') {
            return Keyword::new(name).map(Flag::Keyword);
        }
        SystemFlags::from_name(name).map(Flag::System).ok_or(Fault::syntax("Unknown system flag"))
    }
}

/// A set of flags.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags {
    /// The system flags; never `\Recent`.
    pub system: SystemFlags,
    /// The keywords, each once, in the order they came.
    pub keywords: Vec<Keyword>,
}

impl Flags {
    /// How many keywords one command may name.
    pub const KEYWORDS_MAX: usize = 64;

    /// Adds a flag; `\Recent` and what is there already change nothing.
    ///
    /// Errors: more than [`Flags::KEYWORDS_MAX`] keywords.
    pub fn insert(&mut self, flag: Flag) -> Result<(), Fault> {
        match flag {
            Flag::System(SystemFlags::RECENT) => {}
            Flag::System(system) => self.system = self.system.union(system),
            Flag::Keyword(keyword) if self.keywords.contains(&keyword) => {}
            Flag::Keyword(_) if self.keywords.len() == Self::KEYWORDS_MAX => {
                return Err(Fault::limit("Too many keywords"));
            }
            Flag::Keyword(keyword) => self.keywords.push(keyword),
        }
        Ok(())
    }

    /// Parses `(` flags `)`.
    pub(crate) fn parse_list(cursor: &mut Cursor<'_>) -> Result<Flags, Fault> {
        let mut flags = Flags::default();
        cursor.list(|cursor| flags.insert(Flag::parse(cursor)?))?;
        Ok(flags)
    }

    /// Parses a list in parentheses or, as STORE allows, flags with spaces between them.
    pub(crate) fn parse_list_or_bare(cursor: &mut Cursor<'_>) -> Result<Flags, Fault> {
        if cursor.peek() == Some(b'(') {
            return Self::parse_list(cursor);
        }
        let mut flags = Flags::default();
        loop {
            flags.insert(Flag::parse(cursor)?)?;
            if !cursor.take_space_before_more() {
                return Ok(flags);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::limits::Limits;

    fn parse(text: &str) -> Result<Flags, Fault> {
        Flags::parse_list_or_bare(&mut Cursor::new(text.as_bytes(), &Limits::LOGGED_IN))
    }

    #[test]
    fn flags_in_both_forms_and_any_case() {
        for text in [
            "(\\Seen \\DELETED $Label1 nonjunk)",
            "\\seen \\Deleted $Label1 NonJunk",
            "( \\Seen \\Deleted $Label1 NonJunk )",
        ] {
            let flags = parse(text).expect(text);
            assert_eq!(flags.system, SystemFlags::SEEN.union(SystemFlags::DELETED));
            assert_eq!(
                flags.keywords,
                [Keyword::new(b"$Label1").expect("atom"), Keyword::new(b"NonJunk").expect("atom")]
            );
        }
        assert_eq!(parse("()").expect("empty"), Flags::default());
        assert_eq!(parse("(\\Recent)").expect("passed over"), Flags::default());
        assert_eq!(parse("([Gmail]/x a A)").expect("brackets").keywords.len(), 2);
    }

    #[test]
    fn what_is_no_flag_is_refused() {
        for text in ["(\\Foo)", "(\\)", "(\\*)", "(a", "(a\"b)", "", "({3}", "(a (b))", "(\u{e9})"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"k".repeat(64)).is_err());
        let many: Vec<String> = (0..65).map(|number| format!("k{number}")).collect();
        assert!(parse(&format!("({})", many.join(" "))).is_err());
    }
}
