//! A client's commands as they may be shown: no password, no credentials, no mail.
//!
//! Only lines that begin as a known command does are shown at all; of everything else (literals, lines of messages, answers to
//! challenges, pieces of lines) the length is. The commands that carry secrets are shown by their names.

use crate::handover::Protocol;

/// Octets shown of one line.
const LINE_OCTETS: usize = 200;
/// Lines shown.
const LINES: usize = 20;

/// Commands of IMAP whose arguments are no secret. What shows a conversation, here or live, shows those of no others.
pub const OPEN_IMAP_COMMANDS: &[&str] = &[
    "APPEND",
    "CANCELUPDATE",
    "CAPABILITY",
    "CHECK",
    "CLOSE",
    "COMPRESS",
    "COPY",
    "CREATE",
    "DELETE",
    "DELETEACL",
    "ENABLE",
    "ESEARCH",
    "EXAMINE",
    "EXPUNGE",
    "FETCH",
    "GETACL",
    "GETMETADATA",
    "GETQUOTA",
    "GETQUOTAROOT",
    "ID",
    "IDLE",
    "LIST",
    "LISTRIGHTS",
    "LOGOUT",
    "LSUB",
    "MOVE",
    "MYRIGHTS",
    "NAMESPACE",
    "NOOP",
    "NOTIFY",
    "RENAME",
    "REPLACE",
    "RESETKEY",
    "SEARCH",
    "SELECT",
    "SETACL",
    "SETMETADATA",
    "SETQUOTA",
    "SORT",
    "STARTTLS",
    "STATUS",
    "STORE",
    "SUBSCRIBE",
    "THREAD",
    "UIDBATCHES",
    "UID",
    "UNAUTHENTICATE",
    "UNSELECT",
    "UNSUBSCRIBE",
    "X-FAULT",
];
/// Commands of IMAP whose arguments are secret.
const IMAP_SECRET: &[&str] = &["AUTHENTICATE", "GENURLAUTH", "LOGIN", "URLFETCH"];
const POP3: &[&str] =
    &["CAPA", "DELE", "LIST", "NOOP", "QUIT", "RETR", "RSET", "STAT", "STLS", "TOP", "UIDL", "USER", "UTF8"];
const POP3_SECRET: &[&str] = &["APOP", "AUTH", "PASS"];
const LMTP: &[&str] =
    &["BDAT", "DATA", "HELP", "LHLO", "MAIL", "NOOP", "QUIT", "RCPT", "RSET", "STARTTLS", "VRFY", "XCLIENT"];
const LMTP_SECRET: &[&str] = &["AUTH"];

/// What of `input` may be shown, a string for each line.
pub fn masked(protocol: Option<Protocol>, input: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut hidden = 0;
    for line in input.split_inclusive(|octet| *octet == b'\n') {
        match shown(protocol, line) {
            Some(line) if lines.len() < LINES => {
                push_hidden(&mut lines, &mut hidden);
                lines.push(line);
            }
            _ => hidden += line.len(),
        }
    }
    push_hidden(&mut lines, &mut hidden);
    lines
}

fn push_hidden(lines: &mut Vec<String>, hidden: &mut usize) {
    match std::mem::take(hidden) {
        0 => {}
        octets => lines.push(format!("({octets} octets)")),
    }
}

fn shown(protocol: Option<Protocol>, line: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(line).ok()?.trim_end_matches(['\r', '\n']);
    let mut words = text.split(' ');
    let (tag, open, secret) = match protocol? {
        Protocol::Imap => (Some(words.next()?), OPEN_IMAP_COMMANDS, IMAP_SECRET),
        Protocol::Pop3 => (None, POP3, POP3_SECRET),
        Protocol::Lmtp => (None, LMTP, LMTP_SECRET),
    };
    if tag.is_some_and(|tag| tag.is_empty() || tag.len() > 32) {
        return None;
    }
    let verb = words.next()?;
    let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(verb));
    if is(secret) {
        let tag = tag.map_or(String::new(), |tag| format!("{tag} "));
        return Some(format!("{tag}{verb} (not shown)"));
    }
    is(open).then(|| clean(text))
}

/// Printable, and not longer than is of use.
fn clean(text: &str) -> String {
    let mut end = text.len().min(LINE_OCTETS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let shown: String = text[..end].chars().map(|each| if each.is_control() { '.' } else { each }).collect();
    if end < text.len() { format!("{shown}…") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_mail_are_not_shown() {
        let imap = |input: &[u8]| masked(Some(Protocol::Imap), input);
        assert_eq!(imap(b"a1 LOGIN ann s3cret\r\n"), ["a1 LOGIN (not shown)"]);
        assert_eq!(imap(b"a1 login {3}\r\nann {6}\r\ns3cret\r\n"), ["a1 login (not shown)", "(17 octets)"]);
        assert_eq!(imap(b"a AUTHENTICATE PLAIN AGFubgBzZWNyZXQ=\r\n"), ["a AUTHENTICATE (not shown)"]);
        assert_eq!(imap(b"AGFubgBzZWNyZXQ=\r\n"), ["(18 octets)"]);
        assert_eq!(
            imap(b"x APPEND INBOX {20}\r\nSubject: hush\r\n\r\nHush\r\n"),
            ["x APPEND INBOX {20}", "(23 octets)"]
        );
        assert_eq!(imap(b"1 UID FETCH 1:* (FLAGS)\r\n2 NOOP\r\n"), ["1 UID FETCH 1:* (FLAGS)", "2 NOOP"]);
        assert_eq!(imap(b"secret"), ["(6 octets)"]);
        assert_eq!(
            masked(Some(Protocol::Pop3), b"USER ann\r\nPASS s3cret\r\n"),
            ["USER ann", "PASS (not shown)"]
        );
        assert_eq!(masked(Some(Protocol::Lmtp), b"DATA\r\nhello\r\n.\r\n"), ["DATA", "(10 octets)"]);
        assert_eq!(masked(None, b"a NOOP\r\n"), ["(8 octets)"]);
    }

    #[test]
    fn what_is_shown_has_limits_and_no_control_characters() {
        let long = format!("a SEARCH {}\r\n", "ä".repeat(300));
        let [line] = masked(Some(Protocol::Imap), long.as_bytes()).try_into().expect("one line");
        assert!(line.len() <= LINE_OCTETS + 3 && line.ends_with('…'));
        assert_eq!(masked(Some(Protocol::Imap), b"a SEARCH \x1b[31m\r\n"), ["a SEARCH .[31m"]);
        assert_eq!(masked(Some(Protocol::Imap), &b"a NOOP\r\n".repeat(100)).len(), LINES + 1);
    }
}
