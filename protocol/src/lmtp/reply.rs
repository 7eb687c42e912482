//! LMTP replies (RFC 5321 section 4.2) with enhanced status codes (RFC 2034, RFC 3463).
//!
//! The replies that every server needs are constants here, so that the handler says what happened and not what number
//! that is. A text that comes from elsewhere cannot end the line.

use std::borrow::Cow;
use std::io::Write;

use super::address::AddressFault;
use super::command::Fault;
use super::origin::{XCLIENT_ATTRIBUTES, XFORWARD_ATTRIBUTES};

/// An enhanced status code: class, subject, detail (RFC 3463 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u8, pub u16, pub u16);

/// One reply of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The enhanced code, where the reply has one: 354 and what is said before LHLO have none.
    pub status: Option<Status>,
    /// What is for people.
    pub text: Cow<'static, str>,
}

/// The longest text of a reply: with the codes the line stays under the 512 octets of RFC 5321 section 4.5.3.1.5.
const TEXT_OCTETS_MAX: usize = 480;

impl Reply {
    /// A reply with an enhanced code.
    pub const fn new(code: u16, status: Status, text: &'static str) -> Reply {
        Reply { code, status: Some(status), text: Cow::Borrowed(text) }
    }

    /// The same reply with another text.
    pub fn with_text(&self, text: impl Into<Cow<'static, str>>) -> Reply {
        Reply { text: text.into(), ..self.clone() }
    }

    /// Whether it says yes.
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// Appends the line to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        // Writing into a Vec cannot fail.
        let _ = write!(out, "{} ", self.code);
        if let Some(Status(class, subject, detail)) = self.status {
            let _ = write!(out, "{class}.{subject}.{detail} ");
        }
        let start = out.len();
        for c in self.text.chars().map(|c| if c.is_control() { '?' } else { c }) {
            if out.len() - start + c.len_utf8() > TEXT_OCTETS_MAX {
                break;
            }
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// MAIL was taken.
    pub const SENDER_OK: Reply = Reply::new(250, Status(2, 1, 0), "Sender ok");
    /// RCPT was taken.
    pub const RECIPIENT_OK: Reply = Reply::new(250, Status(2, 1, 5), "Recipient ok");
    /// The message is kept for this recipient.
    pub const DELIVERED: Reply = Reply::new(250, Status(2, 0, 0), "Delivered");
    /// RSET and NOOP.
    pub const OK: Reply = Reply::new(250, Status(2, 0, 0), "Ok");
    /// QUIT.
    pub const BYE: Reply = Reply::new(221, Status(2, 0, 0), "Bye");
    /// VRFY, which tells nobody who there is.
    pub const VRFY: Reply = Reply::new(252, Status(2, 5, 2), "Try RCPT to know");
    /// HELP.
    pub const HELP: Reply = Reply::new(
        214,
        Status(2, 0, 0),
        "LHLO, MAIL, RCPT, DATA, BDAT, RSET, NOOP, VRFY, HELP, QUIT (RFC 2033)",
    );
    /// DATA may begin.
    pub const START_DATA: Reply =
        Reply { code: 354, status: None, text: Cow::Borrowed("Go ahead, end with a line of one dot") };
    /// A chunk was taken, and the message goes on.
    pub const CHUNK_OK: Reply = Reply::new(250, Status(2, 0, 0), "Chunk taken");
    /// We are going down.
    pub const SHUTDOWN: Reply = Reply::new(421, Status(4, 3, 2), "Going down, try again");
    /// The peer was silent for too long.
    pub const IDLE: Reply = Reply::new(421, Status(4, 4, 2), "Silent for too long");
    /// There is no room for another connection.
    pub const BUSY: Reply = Reply::new(421, Status(4, 3, 2), "Too many connections, try again");
    /// The peer makes too many mistakes.
    pub const TOO_MANY_FAULTS: Reply = Reply::new(421, Status(4, 7, 0), "Too many errors");
    /// A command came before LHLO.
    pub const NEED_LHLO: Reply = Reply::new(503, Status(5, 5, 1), "LHLO first");
    /// RCPT or DATA came before MAIL.
    pub const NEED_MAIL: Reply = Reply::new(503, Status(5, 5, 1), "MAIL first");
    /// MAIL came twice.
    pub const NESTED_MAIL: Reply = Reply::new(503, Status(5, 5, 1), "A sender was given already");
    /// DATA without one recipient that was taken.
    pub const NO_RECIPIENTS: Reply = Reply::new(503, Status(5, 5, 1), "No valid recipients");
    /// DATA after BODY=BINARYMIME.
    pub const NEED_CHUNKS: Reply = Reply::new(503, Status(5, 5, 1), "BINARYMIME comes by BDAT");
    /// DATA, MAIL or RCPT between chunks.
    pub const BETWEEN_CHUNKS: Reply = Reply::new(503, Status(5, 5, 1), "BDAT or RSET must follow BDAT");
    /// XCLIENT or XFORWARD from a peer whose word is not taken for it.
    pub const NOT_TRUSTED: Reply =
        Reply::new(550, Status(5, 7, 1), "This peer may not say where mail comes from");
    /// XCLIENT or XFORWARD in the middle of a transaction.
    pub const ORIGIN_TOO_LATE: Reply =
        Reply::new(503, Status(5, 5, 1), "A sender was given already, RSET first");
    /// RCPT came too often in one transaction.
    pub const TOO_MANY_RECIPIENTS: Reply = Reply::new(452, Status(4, 5, 3), "Too many recipients");
    /// Nobody has this address.
    pub const NO_USER: Reply = Reply::new(550, Status(5, 1, 1), "No such user");
    /// The domain of the address is not ours.
    pub const FOREIGN_DOMAIN: Reply =
        Reply::new(550, Status(5, 7, 1), "Mail for this domain is not taken here");
    /// The message is, or is said to be, larger than permitted.
    pub const TOO_LARGE: Reply = Reply::new(552, Status(5, 3, 4), "Message too large");
    /// The user has as much mail as allowed; that may change.
    pub const OVER_QUOTA: Reply = Reply::new(452, Status(4, 2, 2), "Mailbox full");
    /// The same, where mail is to go back at once.
    pub const OVER_QUOTA_FINALLY: Reply = Reply::new(552, Status(5, 2, 2), "Mailbox full");
    /// The address stands for others in a way that comes to nobody: somebody must mend the aliases file.
    pub const BAD_ALIAS: Reply = Reply::new(451, Status(4, 3, 5), "This alias leads to nobody here");
    /// The aliases file cannot be read, so it is not known who gets the message.
    pub const NO_ALIASES: Reply =
        Reply::new(451, Status(4, 3, 5), "Recipients cannot be looked up, try again");
    /// There is no room on the disk.
    pub const NO_SPACE: Reply = Reply::new(452, Status(4, 3, 1), "No space left, try again");
    /// Something of ours failed.
    pub const FAILED: Reply = Reply::new(451, Status(4, 3, 0), "Delivery failed, try again");
}

impl From<Fault> for Reply {
    fn from(fault: Fault) -> Reply {
        match fault {
            Fault::TooLong => Reply::new(500, Status(5, 5, 2), "Line too long"),
            Fault::Unknown => Reply::new(500, Status(5, 5, 1), "Unknown command"),
            Fault::NotSmtp => Reply::new(500, Status(5, 5, 1), "This is LMTP, say LHLO"),
            Fault::NotImplemented => Reply::new(502, Status(5, 5, 1), "Command not implemented"),
            Fault::Arguments(expected) => {
                let text = format!("Wrong arguments, expected: {expected}");
                Reply::new(501, Status(5, 5, 4), "").with_text(text)
            }
            Fault::Sender(fault) => Reply::new(501, Status(5, 1, 7), address_text(fault)),
            Fault::Recipient(fault) => Reply::new(501, Status(5, 1, 3), address_text(fault)),
            Fault::Parameter => Reply::new(501, Status(5, 5, 4), "Wrong parameter"),
            Fault::UnknownParameter => Reply::new(555, Status(5, 5, 4), "Unknown parameter"),
            Fault::Octets => Reply::new(500, Status(5, 5, 2), "The line is not text in UTF-8"),
            Fault::ChunkSize => {
                Reply::new(501, Status(5, 5, 4), "Wrong arguments, expected: BDAT octets [LAST]")
            }
            Fault::NeedsSmtpUtf8 => Reply::new(553, Status(5, 6, 7), "This address needs SMTPUTF8"),
        }
    }
}

fn address_text(fault: AddressFault) -> &'static str {
    match fault {
        AddressFault::Brackets => "The address must be in < and >",
        AddressFault::Local => "The local part is wrong",
        AddressFault::Domain => "The domain is wrong",
    }
}

/// The greeting: `220 host LMTP Lode`.
pub fn greeting(out: &mut Vec<u8>, host: &str) {
    Reply { code: 220, status: None, text: format!("{host} LMTP Lode ready").into() }.write(out);
}

/// What LHLO announces beyond what is always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extensions {
    /// What SIZE says.
    pub message_octets_max: u64,
    /// Whether the peer's word is taken for where mail comes from: XCLIENT and XFORWARD.
    pub origin: bool,
}

/// The answer to LHLO: who we are and which extensions there are.
pub fn lhlo(out: &mut Vec<u8>, host: &str, extensions: Extensions) {
    let mut lines = vec![host.to_owned(), "PIPELINING".to_owned()];
    lines.push(format!("SIZE {}", extensions.message_octets_max));
    lines
        .extend(["8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "BINARYMIME"].map(str::to_owned));
    if extensions.origin {
        lines.push(format!("XCLIENT {XCLIENT_ATTRIBUTES}"));
        lines.push(format!("XFORWARD {XFORWARD_ATTRIBUTES}"));
    }
    let last = lines.len() - 1;
    for (number, line) in lines.into_iter().enumerate() {
        let start = out.len();
        Reply { code: 250, status: None, text: line.into() }.write(out);
        if number < last {
            out[start + 3] = b'-';
        }
    }
}
