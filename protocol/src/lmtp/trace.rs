//! The lines that final delivery puts on top of a message (RFC 5321 section 4.4).
//!
//! Date, host and peer are given as text: there is no clock and no socket here. None of them can end a line.

use super::address::Address;

/// What a Received line says.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// What the peer called itself in LHLO.
    pub from: &'a str,
    /// Where it connected from: an address, or a word for a local socket.
    pub peer: &'a str,
    /// This host.
    pub by: &'a str,
    /// The protocol: `LMTP`, or `UTF8LMTP` when SMTPUTF8 was said (RFC 6531 section 4.3).
    pub with: &'a str,
    /// Something that finds the delivery in our log.
    pub id: &'a str,
    /// The recipient, where there is one only.
    pub recipient: Option<&'a Address>,
    /// The time as RFC 5322 section 3.3 writes it.
    pub date: &'a str,
}

/// Appends `Return-Path: <sender>`; `None` gives `<>`.
pub fn return_path(out: &mut Vec<u8>, sender: Option<&Address>) {
    out.extend_from_slice(b"Return-Path: <");
    if let Some(sender) = sender {
        plain(out, &sender.to_string());
    }
    out.extend_from_slice(b">\r\n");
}

/// Appends the Received line, folded.
pub fn received(out: &mut Vec<u8>, received: &Received<'_>) {
    out.extend_from_slice(b"Received: from ");
    plain(out, received.from);
    out.extend_from_slice(b" (");
    // Parentheses and backslashes would end the comment, or begin another.
    plain(out, &received.peer.replace(['(', ')', '\\'], "?"));
    out.extend_from_slice(b")\r\n\tby ");
    plain(out, received.by);
    out.extend_from_slice(b" with ");
    plain(out, received.with);
    out.extend_from_slice(b" id ");
    plain(out, received.id);
    if let Some(recipient) = received.recipient {
        out.extend_from_slice(b"\r\n\tfor <");
        plain(out, &recipient.to_string());
        out.push(b'>');
    }
    out.extend_from_slice(b";\r\n\t");
    plain(out, received.date);
    out.extend_from_slice(b"\r\n");
}

fn plain(out: &mut Vec<u8>, text: &str) {
    for c in text.chars().map(|c| if c.is_control() { '?' } else { c }) {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}
