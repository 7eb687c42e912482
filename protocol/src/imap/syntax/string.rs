//! Strings (RFC 3501 section 4.3): atoms, quoted strings, literals; read from commands and written into replies.
//!
//! Leniency in commands: quoted strings may hold octets above 127, which clients send in names and search texts; a backslash
//! in them may stand before any octet; an astring may hold `]` as the grammar says, and so may other atoms.
//! Never accepted: NUL, anywhere, and line ends in quoted strings.

use super::cursor::{Cursor, Fault};
use super::name_encoding::NameEncoding;
use std::borrow::Cow;

/// Whether an octet may be in an atom: no control, no space, none of `( ) { % * " \ ]`, ASCII only.
pub fn is_atom_octet(octet: u8) -> bool {
    ATOM[usize::from(octet)]
}

/// Whether an octet may be in an astring that is not quoted: as in an atom, and `]`.
pub fn is_astring_octet(octet: u8) -> bool {
    is_atom_octet(octet) || octet == b']'
}

const ATOM: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0x21;
    while octet < 0x7f {
        table[octet] = !matches!(octet as u8, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']');
        octet += 1;
    }
    table
};

/// An atom, `]` allowed.
pub(crate) fn parse_atom<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Fault> {
    let atom = cursor.take_while(is_astring_octet);
    if atom.is_empty() { Err(Fault::syntax("Expected an atom")) } else { Ok(atom) }
}

/// A quoted string, a literal, or an atom.
pub(crate) fn parse_astring<'a>(cursor: &mut Cursor<'a>) -> Result<Cow<'a, [u8]>, Fault> {
    match cursor.peek() {
        Some(b'"' | b'{') => parse_string(cursor),
        _ => match cursor.take_while(is_astring_octet) {
            [] => Err(Fault::syntax("Expected a string")),
            atom => Ok(Cow::Borrowed(atom)),
        },
    }
}

/// A quoted string or a literal.
pub(crate) fn parse_string<'a>(cursor: &mut Cursor<'a>) -> Result<Cow<'a, [u8]>, Fault> {
    match cursor.peek() {
        Some(b'"') => parse_quoted(cursor),
        Some(b'{') => parse_literal(cursor).map(Cow::Borrowed),
        _ => Err(Fault::syntax("Expected a quoted string or a literal")),
    }
}

/// NIL, a quoted string or a literal.
pub(crate) fn parse_nstring<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Cow<'a, [u8]>>, Fault> {
    if matches!(cursor.peek(), Some(b'"' | b'{')) {
        return parse_string(cursor).map(Some);
    }
    if parse_atom(cursor)?.eq_ignore_ascii_case(b"NIL") {
        Ok(None)
    } else {
        Err(Fault::syntax("Expected a quoted string, a literal or NIL"))
    }
}

/// As [`parse_nstring`], or a literal8 (RFC 3516), which may hold NUL.
pub(crate) fn parse_nstring8<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Cow<'a, [u8]>>, Fault> {
    if cursor.rest().starts_with(b"~{") {
        cursor.take_if(b'~');
        return parse_literal_of_any(cursor).map(Cow::Borrowed).map(Some);
    }
    parse_nstring(cursor)
}

/// An astring that may also hold the wildcards `%` and `*` without quotes (`list-mailbox`).
pub(crate) fn parse_list_mailbox<'a>(cursor: &mut Cursor<'a>) -> Result<Cow<'a, [u8]>, Fault> {
    match cursor.peek() {
        Some(b'"' | b'{') => parse_string(cursor),
        _ => match cursor.take_while(|octet| is_astring_octet(octet) || matches!(octet, b'%' | b'*')) {
            [] => Err(Fault::syntax("Expected a mailbox name or a pattern")),
            name => Ok(Cow::Borrowed(name)),
        },
    }
}

fn parse_quoted<'a>(cursor: &mut Cursor<'a>) -> Result<Cow<'a, [u8]>, Fault> {
    cursor.expect(b'"', "Expected a quoted string")?;
    let plain = |octet: u8| !matches!(octet, b'"' | b'\\' | b'\r' | b'\n' | 0);
    let first = cursor.take_while(plain);
    if cursor.take_if(b'"') {
        return checked(cursor, Cow::Borrowed(first));
    }
    let mut text = first.to_vec();
    while cursor.take_if(b'\\') {
        match cursor.take(1) {
            Some(&[octet]) if !matches!(octet, b'\r' | b'\n' | 0) => text.push(octet),
            _ => break,
        }
        text.extend_from_slice(cursor.take_while(plain));
    }
    cursor.expect(b'"', "A quoted string does not end")?;
    checked(cursor, Cow::Owned(text))
}

/// What stood in quotes, if it may. Who has enabled UTF-8 must send UTF-8 (RFC 6855 section 3); others send what they like.
fn checked<'a>(cursor: &Cursor<'_>, text: Cow<'a, [u8]>) -> Result<Cow<'a, [u8]>, Fault> {
    match cursor.names() {
        NameEncoding::Utf8 if std::str::from_utf8(&text).is_err() => {
            Err(Fault::syntax("A quoted string is not UTF-8"))
        }
        _ => Ok(text),
    }
}

/// As [`parse_literal_of_any`], without NUL.
fn parse_literal<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Fault> {
    let octets = parse_literal_of_any(cursor)?;
    if memchr::memchr(0, octets).is_some() {
        return Err(Fault::syntax("A literal contains NUL"));
    }
    Ok(octets)
}

/// `{n}` or `{n+}`, a line end, and n octets.
fn parse_literal_of_any<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Fault> {
    cursor.expect(b'{', "Expected a literal")?;
    let length = cursor.number()?;
    cursor.take_if(b'+');
    cursor.expect(b'}', "Expected } after the size of a literal")?;
    cursor.take_if(b'\r');
    cursor.expect(b'\n', "Expected a line end after the size of a literal")?;
    let octets = usize::try_from(length).ok().and_then(|length| cursor.take(length));
    octets.ok_or(Fault::syntax("A literal is not complete"))
}

/// Appends `text` as a quoted string when that can be done, else as a literal.
///
/// Quoted: printable ASCII of at most 1,000 octets. All else, line ends and octets above 127 among it, is a literal, which
/// every client can read.
pub fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    let quotable = text.len() <= 1000 && text.iter().all(|octet| matches!(octet, b' '..=b'~' | b'\t'));
    if !quotable {
        crate::imap::reply::text::literal_header(out, text.len() as u64);
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for &octet in text {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(octet);
    }
    out.push(b'"');
}

/// As [`write_string`], UTF-8 in quotes being right for the client (RFC 9051 section 4.3).
pub fn write_utf8(out: &mut Vec<u8>, text: &str, encoding: NameEncoding) {
    let is_short = text.len() <= 1000 && !text.contains(['\r', '\n', '\0']);
    if encoding == NameEncoding::ModifiedUtf7 || !is_short {
        return write_string(out, text.as_bytes());
    }
    out.push(b'"');
    for octet in text.bytes() {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(octet);
    }
    out.push(b'"');
}

/// As [`write_string`]; `None` is NIL.
pub fn write_nstring(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        Some(text) => write_string(out, text),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// As [`write_nstring`], but as a literal8 (RFC 3516) if there is a NUL in it.
pub fn write_nstring8(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        Some(octets) if octets.contains(&0) => {
            crate::imap::reply::text::literal8_header(out, octets.len() as u64);
            out.extend_from_slice(octets);
        }
        text => write_nstring(out, text),
    }
}

/// Appends `text` as an atom when that can be done, else as [`write_string`] does. NIL is quoted, for it could be
/// mistaken.
pub fn write_astring(out: &mut Vec<u8>, text: &[u8]) {
    let is_atom = !text.is_empty() && text.iter().copied().all(is_atom_octet);
    if is_atom && !text.eq_ignore_ascii_case(b"NIL") {
        out.extend_from_slice(text);
    } else {
        write_string(out, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::limits::Limits;

    fn astring(text: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut cursor = Cursor::new(text, &Limits::LOGGED_IN);
        let parsed = parse_astring(&mut cursor)?.into_owned();
        cursor.end()?;
        Ok(parsed)
    }

    #[test]
    fn the_three_forms_and_their_escapes() {
        for (text, expected) in [
            (&b"abc]d[e"[..], &b"abc]d[e"[..]),
            (b"\"\"", b""),
            (b"\"a b\"", b"a b"),
            (b"\"a\\\"b\\\\\"", b"a\"b\\"),
            (b"\"a\\b\"", b"ab"),
            (b"\"\xc3\xa9\"", b"\xc3\xa9"),
            (b"{3}\r\na\r\n", b"a\r\n"),
            (b"{0+}\r\n", b""),
            (b"{2+}\nxy", b"xy"),
        ] {
            assert_eq!(astring(text).expect("a string"), expected);
        }
    }

    #[test]
    fn who_enabled_utf8_sends_and_gets_it_in_quotes() {
        let limits = Limits { names: NameEncoding::Utf8, ..Limits::LOGGED_IN };
        let parse = |text: &[u8]| parse_string(&mut Cursor::new(text, &limits)).map(Cow::into_owned);
        assert_eq!(parse("\"é\\\"\"".as_bytes()).expect("UTF-8"), "é\"".as_bytes());
        assert!(parse(b"\"caf\xe9\"").is_err() && parse(b"\"\\a\xe9\"").is_err());
        assert_eq!(parse(b"{1}\r\n\xe9").expect("a literal"), b"\xe9");
        let written = |text: &str, encoding| {
            let mut out = Vec::new();
            write_utf8(&mut out, text, encoding);
            String::from_utf8(out).expect("UTF-8")
        };
        assert_eq!(written("é\"", NameEncoding::Utf8), "\"é\\\"\"");
        assert_eq!(written("é", NameEncoding::ModifiedUtf7), "{2}\r\né");
        assert_eq!(written("a\nb", NameEncoding::Utf8), "{3}\r\na\nb");
    }

    #[test]
    fn what_is_no_string_is_refused() {
        for text in [
            &b""[..],
            b" ",
            b"\"abc",
            b"\"abc\\",
            b"\"abc\\\"",
            b"\"a\0b\"",
            b"\"a\r\nb\"",
            b"\"a\\\nb\"",
            b"{3}\r\nab",
            b"{2}\r\na\0",
            b"{}\r\n",
            b"{-1}\r\n",
            b"{3}abc",
            b"{99999999999999999999}\r\n",
            b"caf\xc3\xa9",
            b"a{3}",
            b"(",
        ] {
            assert!(astring(text).is_err(), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn what_is_written_parses_to_the_same() {
        let long = vec![b'x'; 1001];
        for text in [
            &b""[..],
            b"a",
            b"NIL",
            b"nil",
            b"a b",
            b"a\"\\",
            b"a]",
            b"%",
            b"\xff\r\n",
            b"caf\xc3\xa9",
            &long,
        ] {
            let mut out = Vec::new();
            write_astring(&mut out, text);
            assert_eq!(astring(&out).expect("a string"), text);
            out.clear();
            write_nstring(&mut out, Some(text));
            let parsed = parse_nstring(&mut Cursor::new(&out, &Limits::LOGGED_IN)).expect("a string");
            assert_eq!(parsed.as_deref(), Some(text));
        }
        let mut out = Vec::new();
        write_nstring(&mut out, None);
        assert_eq!(parse_nstring(&mut Cursor::new(&out, &Limits::LOGGED_IN)), Ok(None));
    }
}
