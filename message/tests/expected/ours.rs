//! What a record says of a message, in the form in which it is compared.

use message::{PartKind, Record, Scanner, Section, encode};

/// A part: what BODYSTRUCTURE says of it, and where it lies.
#[derive(Clone, Debug)]
pub(crate) struct Part<'a> {
    /// Numbers of the part and those around it, `.` between them. The message enclosed in a message/rfc822 is its number 0. The
    /// message itself has an empty name.
    pub(crate) name: String,
    /// Parts directly inside.
    pub(crate) children: usize,
    /// Media type in lower case, such as `text/plain`.
    pub(crate) media: String,
    pub(crate) section: Section<'a>,
}

/// A value of the IMAP wire form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Nil,
    Number(u64),
    Text(Vec<u8>),
    List(Vec<Value>),
}

impl Value {
    pub(crate) fn list(&self) -> &[Value] {
        if let Value::List(values) = self { values } else { &[] }
    }

    /// Text; empty for NIL.
    pub(crate) fn text(&self) -> String {
        if let Value::Text(text) = self { String::from_utf8_lossy(text).into_owned() } else { String::new() }
    }
}

/// The record of a message.
pub(crate) fn record(message: &[u8]) -> Vec<u8> {
    let mut scanner = Scanner::new();
    scanner.push(message);
    encode(&scanner.finish())
}

/// All parts, outer ones before inner ones.
///
/// # Panics
/// If BODYSTRUCTURE and the ranges of the parts do not tell of the same tree.
pub(crate) fn parts<'a>(record: &Record<'a>) -> Vec<Part<'a>> {
    let structure = value(&mut record.body_structure());
    let mut sections = record.parts();
    let mut parts = Vec::new();
    let mut waiting = vec![(String::new(), &structure)];
    while let Some((name, value)) = waiting.pop() {
        let section = sections.next().expect("as many ranges as parts in BODYSTRUCTURE");
        let values = value.list();
        let inside = match section.kind {
            PartKind::Multipart => {
                values.iter().take_while(|value| matches!(value, Value::List(_))).collect()
            }
            PartKind::Message => vec![&values[8]],
            PartKind::Leaf => Vec::new(),
        };
        let media = match section.kind {
            PartKind::Multipart => format!("multipart/{}", values[inside.len()].text()),
            PartKind::Message | PartKind::Leaf => format!("{}/{}", values[0].text(), values[1].text()),
        };
        if section.kind != PartKind::Multipart {
            assert_eq!(
                values[6],
                Value::Number(section.body.end - section.body.start),
                "size in BODYSTRUCTURE"
            );
        }
        let first = usize::from(section.kind == PartKind::Multipart);
        let children = inside.len();
        waiting.extend(
            inside.into_iter().enumerate().rev().map(|(index, value)| (child(&name, first + index), value)),
        );
        parts.push(Part { name, children, media: media.to_ascii_lowercase(), section });
    }
    assert!(sections.next().is_none(), "more ranges than parts in BODYSTRUCTURE");
    parts
}

/// The name of a part inside another.
pub(crate) fn child(parent: &str, number: usize) -> String {
    if parent.is_empty() { number.to_string() } else { format!("{parent}.{number}") }
}

/// Takes a value from the front of a wire form that a record made.
pub(crate) fn value(wire: &mut &[u8]) -> Value {
    let (&first, rest) = wire.split_first().expect("a value");
    match first {
        b'(' => {
            *wire = rest;
            let mut values = Vec::new();
            loop {
                match wire.first().expect("a closed list") {
                    b')' => break,
                    b' ' => *wire = &wire[1..],
                    _ => values.push(value(wire)),
                }
            }
            *wire = &wire[1..];
            Value::List(values)
        }
        b'"' => {
            let mut text = Vec::new();
            let mut octets = rest.iter();
            loop {
                match octets.next().expect("a closed string") {
                    b'"' => break,
                    b'\\' => text.extend(octets.next()),
                    &octet => text.push(octet),
                }
            }
            *wire = octets.as_slice();
            Value::Text(text)
        }
        b'{' => {
            let end = rest.iter().position(|&octet| octet == b'}').expect("a closed literal head");
            let octets = number(&rest[..end]) as usize;
            let (text, behind) = rest[end + 3..].split_at(octets);
            *wire = behind;
            Value::Text(text.to_vec())
        }
        _ => {
            let end = wire.iter().position(|octet| b" ()".contains(octet)).unwrap_or(wire.len());
            let (atom, behind) = wire.split_at(end);
            *wire = behind;
            if atom == b"NIL" { Value::Nil } else { Value::Number(number(atom)) }
        }
    }
}

fn number(digits: &[u8]) -> u64 {
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).expect("a number")
}

/// `mailbox@host` of an address list of an ENVELOPE; a mailbox without a host stands alone. Marks of groups are left out.
pub(crate) fn addresses(list: &Value) -> Vec<String> {
    let mailbox = |address: &Value| {
        let [_, _, mailbox, host] = address.list() else { panic!("an address has four parts") };
        match host {
            Value::Nil => None,
            host if host.text().is_empty() => Some(mailbox.text()),
            host => Some(format!("{}@{}", mailbox.text(), host.text())),
        }
    };
    list.list().iter().filter_map(mailbox).collect()
}
