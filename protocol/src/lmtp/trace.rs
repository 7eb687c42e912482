//! The lines that final delivery puts on top of a message (RFC 5321 section 4.4).
//!
//! Host and peer are given as text, the time as a number: there is no clock and no socket here. Nothing given can end a line.

use std::io::Write;

use super::address::Address;
use crate::imap::syntax::date::Date;

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
    /// The time: seconds since 1970, written in UTC.
    pub at_seconds: i64,
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
    date(out, received.at_seconds);
    out.extend_from_slice(b"\r\n");
}

/// `date-time` of RFC 5322 section 3.3, in UTC.
fn date(out: &mut Vec<u8>, unix_seconds: i64) {
    // 1970 began on a Thursday.
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, second) = (unix_seconds.div_euclid(86_400), unix_seconds.rem_euclid(86_400));
    let Date { year, month, day } = Date::from_days_since_1970(days);
    let weekday = DAYS[days.rem_euclid(7) as usize];
    let month = MONTHS[usize::from(month - 1)];
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    // Writing into a Vec cannot fail.
    let _ = write!(out, "{weekday}, {day} {month} {year:04} {hour:02}:{minute:02}:{second:02} +0000");
}

fn plain(out: &mut Vec<u8>, text: &str) {
    for c in text.chars().map(|c| if c.is_control() { '?' } else { c }) {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}
