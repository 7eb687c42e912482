//! Writers of POP3 replies (RFC 1939 section 3, RFC 2449 sections 5, 6 and 8, RFC 6856). Each appends whole lines to `out`.
//!
//! Text may come from anywhere: what would end the line or pretend to be a response code is replaced.

use std::io::Write;

use super::command::Fault;

/// The response code of a refusal (RFC 2449 section 8, RFC 3206).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// `[IN-USE]`: another session has the maildrop.
    InUse,
    /// `[LOGIN-DELAY]`: too soon after the last login.
    LoginDelay,
    /// `[AUTH]`: name or password is wrong, or may not be used here.
    Auth,
    /// `[SYS/TEMP]`: our fault, and it may pass.
    SystemTemporary,
    /// `[SYS/PERM]`: our fault, and somebody must do something.
    SystemPermanent,
}

impl Code {
    fn text(self) -> &'static str {
        match self {
            Code::InUse => "IN-USE",
            Code::LoginDelay => "LOGIN-DELAY",
            Code::Auth => "AUTH",
            Code::SystemTemporary => "SYS/TEMP",
            Code::SystemPermanent => "SYS/PERM",
        }
    }
}

/// What CAPA lists beyond what is always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether a password may be sent over this connection: USER and SASL.
    pub passwords: bool,
    /// Whether STLS may be said now.
    pub starttls: bool,
    /// The least time between two logins of a user, in seconds; 0 if there is none.
    pub login_delay_seconds: u32,
    /// How long the server keeps messages.
    pub expire: Expire,
}

/// How long messages are kept (RFC 2449 section 6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expire {
    /// Until somebody deletes them.
    Never,
    /// For so many days. 0: nothing may be left on the server.
    Days(u32),
}

/// The language of all texts (RFC 6856 section 3): its tag, and its name in itself.
const LANGUAGE: (&str, &str) = ("en", "English");

/// `+OK text`
pub fn ok(out: &mut Vec<u8>, text: &str) {
    line(out, b"+OK", None, text);
}

/// `-ERR [CODE] text`
pub fn error(out: &mut Vec<u8>, code: Option<Code>, text: &str) {
    line(out, b"-ERR", code, text);
}

/// The answer to a line that is no command.
pub fn fault(out: &mut Vec<u8>, fault: &Fault) {
    error(out, None, &fault.to_string());
}

/// `+ challenge` in a SASL exchange; the challenge is in base64 already.
pub fn challenge(out: &mut Vec<u8>, base64: &str) {
    out.extend_from_slice(b"+ ");
    out.extend_from_slice(base64.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The answer to STAT: how many messages, and the octets of all.
pub fn stat(out: &mut Vec<u8>, messages: u32, octets: u64) {
    numbers(out, "+OK ", messages.into(), octets);
}

/// The answer to `LIST msg`.
pub fn list_one(out: &mut Vec<u8>, message: u32, octets: u64) {
    numbers(out, "+OK ", message.into(), octets);
}

/// One line of the answer to LIST; before them goes [`ok`], after them [`end`].
pub fn list_line(out: &mut Vec<u8>, message: u32, octets: u64) {
    numbers(out, "", message.into(), octets);
}

/// The answer to `UIDL msg`.
pub fn uidl_one(out: &mut Vec<u8>, message: u32, unique_id: &str) {
    out.extend_from_slice(b"+OK ");
    uidl_line(out, message, unique_id);
}

/// One line of the answer to UIDL; before them goes [`ok`], after them [`end`]. A unique-id has 1 to 70 octets from
/// 0x21 to 0x7E (RFC 1939 section 7), which is the caller's to keep.
pub fn uidl_line(out: &mut Vec<u8>, message: u32, unique_id: &str) {
    debug_assert!(
        (1..=70).contains(&unique_id.len()) && unique_id.bytes().all(|octet| octet.is_ascii_graphic())
    );
    // Writing into a Vec cannot fail.
    let _ = write!(out, "{message} {unique_id}\r\n");
}

/// The end of an answer of several lines.
pub fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b".\r\n");
}

/// The whole answer to CAPA.
pub fn capabilities(out: &mut Vec<u8>, capabilities: Capabilities) {
    ok(out, "Capability list follows");
    out.extend_from_slice(b"TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n");
    if capabilities.passwords {
        out.extend_from_slice(b"USER\r\nSASL PLAIN LOGIN\r\n");
    }
    if capabilities.starttls {
        out.extend_from_slice(b"STLS\r\n");
    }
    // Writing into a Vec cannot fail.
    if capabilities.login_delay_seconds > 0 {
        let _ = write!(out, "LOGIN-DELAY {}\r\n", capabilities.login_delay_seconds);
    }
    let _ = match capabilities.expire {
        Expire::Never => write!(out, "EXPIRE NEVER\r\n"),
        Expire::Days(days) => write!(out, "EXPIRE {days}\r\n"),
    };
    out.extend_from_slice(b"UTF8\r\nLANG\r\nIMPLEMENTATION Lode\r\n");
    end(out);
}

/// The whole answer to AUTH without a mechanism.
pub fn mechanisms(out: &mut Vec<u8>, capabilities: Capabilities) {
    ok(out, "Mechanisms follow");
    if capabilities.passwords {
        out.extend_from_slice(b"PLAIN\r\nLOGIN\r\n");
    }
    end(out);
}

/// The whole answer to LANG without a range.
pub fn languages(out: &mut Vec<u8>) {
    let (tag, name) = LANGUAGE;
    ok(out, "Languages follow");
    let _ = write!(out, "{tag} {name}\r\n");
    end(out);
}

/// The answer to LANG with a range: the language that was chosen, or that there is none.
pub fn language(out: &mut Vec<u8>, range: &str) {
    let (tag, name) = LANGUAGE;
    // RFC 4647 section 3.3.1: a range matches a tag that it is, or begins up to a hyphen; this tag has none.
    if range == "*" || range.eq_ignore_ascii_case(tag) {
        ok(out, &format!("{tag} {name} it is"));
    } else {
        error(out, None, &format!("All texts are in {name} ({tag})"));
    }
}

fn numbers(out: &mut Vec<u8>, before: &str, first: u64, second: u64) {
    let _ = write!(out, "{before}{first} {second}\r\n");
}

/// The longest text of a reply: with status and code the line stays under the 512 octets of RFC 1939 section 3.
const TEXT_OCTETS_MAX: usize = 480;

fn line(out: &mut Vec<u8>, status: &[u8], code: Option<Code>, text: &str) {
    out.extend_from_slice(status);
    if let Some(code) = code {
        out.extend_from_slice(b" [");
        out.extend_from_slice(code.text().as_bytes());
        out.push(b']');
    }
    if !text.is_empty() {
        out.push(b' ');
        let start = out.len();
        let clean = text.chars().map(|c| if c.is_control() { '?' } else { c });
        for c in clean {
            if out.len() - start + c.len_utf8() > TEXT_OCTETS_MAX {
                break;
            }
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        if code.is_none() && out.get(start) == Some(&b'[') {
            out[start] = b'(';
        }
    }
    out.extend_from_slice(b"\r\n");
}
