//! One line of POP3 as a command (RFC 1939 sections 4 to 7, RFC 2449 section 5, RFC 2595 section 4, RFC 5034,
//! RFC 6856 sections 2 and 3).

use std::fmt;

use super::sasl;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `USER name`
    User {
        /// The name, as it was sent.
        name: String,
    },
    /// `PASS string`; the string goes to the end of the line, spaces and all.
    Pass {
        /// The password.
        password: Password,
    },
    /// `APOP name digest`, which is understood to be refused: it needs passwords that are stored in the clear.
    Apop {
        /// The name, as it was sent.
        name: String,
    },
    /// `AUTH`
    Auth(Auth),
    /// `CAPA`
    Capa,
    /// `STLS`
    Stls,
    /// `STAT`
    Stat,
    /// `LIST [msg]`
    List {
        /// The number of one message, or all.
        message: Option<u32>,
    },
    /// `UIDL [msg]`
    Uidl {
        /// The number of one message, or all.
        message: Option<u32>,
    },
    /// `RETR msg`
    Retr {
        /// The number of the message.
        message: u32,
    },
    /// `TOP msg n`
    Top {
        /// The number of the message.
        message: u32,
        /// How many lines of the body.
        lines: u64,
    },
    /// `DELE msg`
    Dele {
        /// The number of the message.
        message: u32,
    },
    /// `RSET`
    Rset,
    /// `NOOP`
    Noop,
    /// `QUIT`
    Quit,
    /// `UTF8`: the client takes messages with UTF-8 in their header fields.
    Utf8,
    /// `LANG [range]`
    Lang {
        /// The languages wished for (RFC 4647 section 2.1), `*` for any; `None` asks which there are.
        range: Option<String>,
    },
}

/// What follows `AUTH` (RFC 5034 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Nothing: the client asks which mechanisms there are.
    List,
    /// A mechanism, and the initial response if there is one, decoded.
    Start {
        /// The mechanism.
        mechanism: Mechanism,
        /// The initial response; `=` gives an empty one.
        initial: Option<Password>,
    },
}

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// PLAIN (RFC 4616).
    Plain,
    /// LOGIN, which has no RFC.
    Login,
    /// One that is not offered.
    Other,
}

/// A secret, which never shows up where things are printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub Vec<u8>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Password(…)")
    }
}

/// Why a line is no command. Its text is fit for a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The line is longer than permitted; it was dropped.
    TooLong,
    /// There is no such command.
    Unknown,
    /// The arguments are not what the command takes; this is how it is written.
    Arguments(&'static str),
    /// A name is not UTF-8, or a line has a zero octet.
    Octets,
    /// A SASL response is not base64.
    Base64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::TooLong => write!(f, "line too long"),
            Fault::Unknown => write!(f, "unknown command"),
            Fault::Arguments(usage) => write!(f, "wrong arguments, expected: {usage}"),
            Fault::Octets => write!(f, "the line has octets that are not text"),
            Fault::Base64 => write!(f, "not base64"),
        }
    }
}

impl std::error::Error for Fault {}

/// Whether the line, or as much of it as has come, is an AUTH command, which may be longer than others.
pub(super) fn is_auth(line: &[u8]) -> bool {
    line.len() > 4 && line[..4].eq_ignore_ascii_case(b"AUTH") && line[4] == b' '
}

/// The command a line holds; the line comes without its end.
pub(super) fn parse(line: &[u8]) -> Result<Command, Fault> {
    if line.contains(&0) {
        return Err(Fault::Octets);
    }
    let (keyword, rest) = match line.iter().position(|octet| *octet == b' ') {
        Some(space) => (&line[..space], Some(&line[space + 1..])),
        None => (line, None),
    };
    // The longest keyword has four letters, so nothing longer is worth a look.
    let mut upper = [0; 4];
    let Some(upper) = upper.get_mut(..keyword.len()) else {
        return Err(Fault::Unknown);
    };
    upper.copy_from_slice(keyword);
    upper.make_ascii_uppercase();
    let none = |command: Command, usage| match rest {
        None => Ok(command),
        Some(rest) if rest.iter().all(|octet| *octet == b' ') => Ok(command),
        Some(_) => Err(Fault::Arguments(usage)),
    };
    let words = || Words(rest.unwrap_or_default());
    match &*upper {
        b"USER" => Ok(Command::User { name: text(rest.unwrap_or_default(), "USER name")? }),
        b"PASS" => match rest {
            Some(rest) => Ok(Command::Pass { password: Password(rest.to_vec()) }),
            None => Err(Fault::Arguments("PASS password")),
        },
        b"APOP" => {
            let usage = "APOP name digest";
            let mut words = words();
            let (Some(name), Some(_digest), None) = (words.next(), words.next(), words.next()) else {
                return Err(Fault::Arguments(usage));
            };
            Ok(Command::Apop { name: text(name, usage)? })
        }
        b"AUTH" => auth(words()).map(Command::Auth),
        b"CAPA" => none(Command::Capa, "CAPA"),
        b"STLS" => none(Command::Stls, "STLS"),
        b"STAT" => none(Command::Stat, "STAT"),
        b"RSET" => none(Command::Rset, "RSET"),
        b"NOOP" => none(Command::Noop, "NOOP"),
        b"QUIT" => none(Command::Quit, "QUIT"),
        b"UTF8" => none(Command::Utf8, "UTF8"),
        b"LANG" => lang(words()),
        b"LIST" => Ok(Command::List { message: optional_message(words(), "LIST [message]")? }),
        b"UIDL" => Ok(Command::Uidl { message: optional_message(words(), "UIDL [message]")? }),
        b"RETR" => Ok(Command::Retr { message: one_message(words(), "RETR message")? }),
        b"DELE" => Ok(Command::Dele { message: one_message(words(), "DELE message")? }),
        b"TOP" => {
            let mut words = words();
            match (words.next().and_then(message), words.next().and_then(number), words.next()) {
                (Some(message), Some(lines), None) => Ok(Command::Top { message, lines }),
                _ => Err(Fault::Arguments("TOP message lines")),
            }
        }
        _ => Err(Fault::Unknown),
    }
}

fn auth(mut words: Words<'_>) -> Result<Auth, Fault> {
    let Some(name) = words.next() else {
        return Ok(Auth::List);
    };
    let mechanism = if name.eq_ignore_ascii_case(b"PLAIN") {
        Mechanism::Plain
    } else if name.eq_ignore_ascii_case(b"LOGIN") {
        Mechanism::Login
    } else {
        Mechanism::Other
    };
    let initial = match words.next() {
        None => None,
        Some(b"=") => Some(Password(Vec::new())),
        Some(response) => Some(Password(sasl::decode(response)?)),
    };
    match words.next() {
        None => Ok(Auth::Start { mechanism, initial }),
        Some(_) => Err(Fault::Arguments("AUTH [mechanism [initial-response]]")),
    }
}

/// The longest language range that is looked at; registered tags have far less.
const RANGE_OCTETS_MAX: usize = 64;

fn lang(mut words: Words<'_>) -> Result<Command, Fault> {
    let usage = Fault::Arguments("LANG [language-range]");
    let range = match (words.next(), words.next()) {
        (None, _) => None,
        (Some(range), None) => Some(range),
        (Some(_), Some(_)) => return Err(usage),
    };
    let is_part =
        |part: &[u8]| (1..=8).contains(&part.len()) && part.iter().all(|octet| octet.is_ascii_alphanumeric());
    let is_range = |range: &[u8]| {
        range == b"*" || (range.len() <= RANGE_OCTETS_MAX && range.split(|octet| *octet == b'-').all(is_part))
    };
    match range {
        None => Ok(Command::Lang { range: None }),
        Some(range) if is_range(range) => {
            Ok(Command::Lang { range: Some(String::from_utf8_lossy(range).into_owned()) })
        }
        Some(_) => Err(usage),
    }
}

fn text(octets: &[u8], usage: &'static str) -> Result<String, Fault> {
    match std::str::from_utf8(octets).map_err(|_| Fault::Octets)?.trim() {
        "" => Err(Fault::Arguments(usage)),
        text => Ok(text.to_owned()),
    }
}

fn one_message(mut words: Words<'_>, usage: &'static str) -> Result<u32, Fault> {
    match (words.next().and_then(message), words.next()) {
        (Some(message), None) => Ok(message),
        _ => Err(Fault::Arguments(usage)),
    }
}

fn optional_message(mut words: Words<'_>, usage: &'static str) -> Result<Option<u32>, Fault> {
    match words.next() {
        None => Ok(None),
        Some(word) => match (message(word), words.next()) {
            (Some(message), None) => Ok(Some(message)),
            _ => Err(Fault::Arguments(usage)),
        },
    }
}

/// A message number. One that is beyond all numbers becomes the largest, which no maildrop reaches: the client is
/// told that there is no such message, as it is for 0.
fn message(word: &[u8]) -> Option<u32> {
    number(word).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

fn number(word: &[u8]) -> Option<u64> {
    if !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |number: u64, octet: &u8| number.saturating_mul(10).saturating_add(u64::from(octet - b'0'));
    Some(word.iter().fold(0, digit))
}

/// The words of a line; more than one space between them is forgiven.
struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|octet| *octet != b' ')?;
        let rest = &self.0[start..];
        let end = rest.iter().position(|octet| *octet == b' ').unwrap_or(rest.len());
        self.0 = &rest[end..];
        Some(&rest[..end])
    }
}
