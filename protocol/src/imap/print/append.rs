//! Prints APPEND and REPLACE, which come piece by piece: their beginnings, and what is said of a message before its octets.

use super::Printer;
use crate::imap::command::append::{AppendBegin, AppendLiteral, LiteralKind, MessageHeader};
use crate::imap::syntax::name_encoding::NameEncoding;
use crate::imap::syntax::string;

/// Appends a command up to its mailbox.
pub fn begin(out: &mut Vec<u8>, begin: &AppendBegin, names: NameEncoding) {
    let mut printer = Printer { out, names, is_space_due: false };
    printer.word(begin.tag.as_str());
    match &begin.replaced {
        None => printer.word("APPEND"),
        Some(replaced) => {
            printer.numbered(replaced.numbering, "REPLACE");
            printer.set(&replaced.message);
        }
    }
    printer.mailbox(&begin.mailbox);
}

/// Appends flags, date and annotations of a message, with a space before each.
pub fn header(out: &mut Vec<u8>, header: &MessageHeader) {
    let mut printer = Printer { out, names: NameEncoding::Utf8, is_space_due: true };
    if header.flags != Default::default() {
        printer.flags(&header.flags);
    }
    if let Some(date) = header.date {
        date.write(printer.begin());
    }
    if !header.annotations.is_empty() {
        printer.annotations(&header.annotations);
    }
}

/// Appends a URL of a CATENATE, with its name, and no space before it.
pub fn url(out: &mut Vec<u8>, url: &[u8]) {
    out.extend_from_slice(b"URL ");
    string::write_astring(out, url);
}

/// Appends a literal with its octets, of which there are as many as it says. A part of a CATENATE has its name, and no space before it.
pub fn literal(out: &mut Vec<u8>, literal: &AppendLiteral, octets: &[u8]) {
    let (before, after) = match literal.kind {
        LiteralKind::Text => ("{", ""),
        LiteralKind::Binary => ("~{", ""),
        LiteralKind::Utf8 => ("UTF8 (~{", ")"),
    };
    let plus = if literal.synchronising { "" } else { "+" };
    let name = if literal.is_part { "TEXT " } else { "" };
    out.extend_from_slice(format!("{name}{before}{}{plus}}}\r\n", literal.length).as_bytes());
    out.extend_from_slice(octets);
    out.extend_from_slice(after.as_bytes());
}
