//! Reads through the octets of one whole command: the text of its lines and, in their places, its literals.
//!
//! The decoder calls the parsers only when all of a command is there, so a cursor never waits. Every parser in `command`,
//! `extension` and `syntax` takes a `&mut Cursor` and either returns what it parsed, with the cursor behind it, or a
//! [`Fault`], after which the cursor is of no use.
//!
//! Leniency, as real clients need it: more than one space where one is due, spaces inside parentheses and at the end of a
//! line.

use super::name_encoding::NameEncoding;
use crate::imap::limits::Limits;

/// Why a command is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What to tell the client; ASCII without line ends.
    pub text: &'static str,
    /// What kind of refusal it is.
    pub kind: FaultKind,
}

/// The kinds of refusal, which decide the response code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Against the grammar, or unknown: a plain BAD.
    Syntax,
    /// Right, but more than [`Limits`] allows: BAD with \[LIMIT].
    Limit,
    /// A message larger than [`Limits::append`]: NO with \[TOOBIG].
    TooBig,
    /// The value of an annotation of a message is longer than [`ANNOTATION_VALUE_MAX`](crate::imap::limits::ANNOTATION_VALUE_MAX): NO with
    /// \[ANNOTATE TOOBIG] (RFC 5257 section 4.5).
    AnnotationTooBig,
    /// The value of an entry is longer than [`METADATA_VALUE_MAX`](crate::imap::limits::METADATA_VALUE_MAX): NO with \[METADATA MAXSIZE]
    /// (RFC 5464 section 4.3).
    MetadataTooBig,
    /// A special use that is not known: NO with \[USEATTR] (RFC 6154 section 3).
    UseAttribute,
    /// Right, but nothing that this server does: NO with \[CANNOT].
    Cannot,
}

impl Fault {
    pub(crate) const fn syntax(text: &'static str) -> Fault {
        Fault { text, kind: FaultKind::Syntax }
    }

    pub(crate) const fn limit(text: &'static str) -> Fault {
        Fault { text, kind: FaultKind::Limit }
    }
}

/// A name of up to 32 octets in upper case, copied out of a command so that it can be matched.
pub(crate) struct UpperName {
    octets: [u8; 32],
    length: usize,
}

impl UpperName {
    /// `None` when the name is longer than any that IMAP has.
    pub(crate) fn new(name: &[u8]) -> Option<UpperName> {
        let mut octets = [0; 32];
        let place = octets.get_mut(..name.len())?;
        place.copy_from_slice(name);
        place.make_ascii_uppercase();
        Some(UpperName { octets, length: name.len() })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

/// A place in the octets of a command.
#[derive(Clone)]
pub struct Cursor<'a> {
    octets: &'a [u8],
    at: usize,
    depth: u32,
    limits: &'a Limits,
}

impl<'a> Cursor<'a> {
    /// At the beginning of `octets`, which are one command without its last line end.
    pub fn new(octets: &'a [u8], limits: &'a Limits) -> Self {
        Cursor { octets, at: 0, depth: 0, limits }
    }

    pub(crate) fn limits(&self) -> &'a Limits {
        self.limits
    }

    /// How names of mailboxes are written.
    pub(crate) fn names(&self) -> NameEncoding {
        self.limits.names
    }

    /// How many octets are behind the cursor.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// What lies before the cursor.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.octets[self.at..]
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.octets.get(self.at).copied()
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.octets.len()
    }

    pub(crate) fn take_if(&mut self, octet: u8) -> bool {
        let is_next = self.peek() == Some(octet);
        self.at += usize::from(is_next);
        is_next
    }

    pub(crate) fn expect(&mut self, octet: u8, otherwise: &'static str) -> Result<(), Fault> {
        if self.take_if(octet) { Ok(()) } else { Err(Fault::syntax(otherwise)) }
    }

    pub(crate) fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().position(|&octet| !belongs(octet)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// The next `length` octets, `None` when there are fewer.
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.rest().get(..length)?;
        self.at += length;
        Some(taken)
    }

    pub(crate) fn skip_spaces(&mut self) {
        while self.take_if(b' ') {}
    }

    /// One space or more.
    pub(crate) fn space(&mut self) -> Result<(), Fault> {
        self.expect(b' ', "Expected a space and another argument")?;
        self.skip_spaces();
        Ok(())
    }

    /// Takes spaces, and says whether there was one and something other than the end or `)` follows.
    pub(crate) fn take_space_before_more(&mut self) -> bool {
        let had_space = self.peek() == Some(b' ');
        self.skip_spaces();
        had_space && !matches!(self.peek(), None | Some(b')'))
    }

    /// The end of the command, spaces before it passed over.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        self.skip_spaces();
        if self.is_at_end() { Ok(()) } else { Err(Fault::syntax("Too many arguments")) }
    }

    /// The place of an extension's parameters in parentheses behind SELECT, FETCH, STORE and others (RFC 4466): there are
    /// none yet that Lode knows, so a list is refused with `text`.
    pub(crate) fn no_parameters(&mut self, text: &'static str) -> Result<(), Fault> {
        self.skip_spaces();
        if self.peek() == Some(b'(') { Err(Fault::syntax(text)) } else { Ok(()) }
    }

    /// `(` items `)` with spaces between them; may be empty.
    pub(crate) fn list(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.expect(b'(', "Expected (")?;
        self.skip_spaces();
        if self.take_if(b')') {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.take_space_before_more() {
                continue;
            }
            return self.expect(b')', "Expected ) after a list");
        }
    }

    /// Runs `inner` one level deeper.
    ///
    /// Errors: deeper than [`Limits::depth`].
    pub(crate) fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.depth == self.limits.depth {
            return Err(Fault::limit("Nested too deep"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// A number of up to 63 bits (RFC 3501 has 32; sizes have outgrown that).
    pub(crate) fn number(&mut self) -> Result<u64, Fault> {
        let digits = self.take_while(|octet| octet.is_ascii_digit());
        if digits.is_empty() {
            return Err(Fault::syntax("Expected a number"));
        }
        let mut number: u64 = 0;
        for digit in digits {
            number = number
                .checked_mul(10)
                .and_then(|number| number.checked_add(u64::from(digit - b'0')))
                .filter(|&number| number <= i64::MAX as u64)
                .ok_or(Fault::syntax("A number is too large"))?;
        }
        Ok(number)
    }

    /// A number from 1 to 2^32 - 1.
    pub(crate) fn nonzero_number(&mut self) -> Result<u32, Fault> {
        match u32::try_from(self.number()?) {
            Ok(0) => Err(Fault::syntax("Expected a number other than 0")),
            Ok(number) => Ok(number),
            Err(_) => Err(Fault::syntax("A number is too large")),
        }
    }

    /// A name made of letters, digits, `.`, `-`, `=` and `_`, in upper case.
    pub(crate) fn keyword(&mut self) -> Result<UpperName, Fault> {
        let name = self
            .take_while(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'=' | b'_'));
        if name.is_empty() {
            return Err(Fault::syntax("Expected a name"));
        }
        UpperName::new(name).ok_or(Fault::syntax("Unknown name"))
    }
}
