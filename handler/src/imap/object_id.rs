//! Identifiers of OBJECTID (RFC 8474), and the numbers of X-GM-EXT-1 that mean the same.
//!
//! - MAILBOXID: the user's and the mailbox's number and UIDVALIDITY. No number is given out twice to a user, so that a mailbox
//!   that is made again has another identifier; a rename changes none of them.
//! - EMAILID: the message's place in the store, which its copies share and which no other message ever gets.
//! - THREADID: a hash of the identifier of the first message of the conversation, as the message itself names it. It can be
//!   computed at any time from the record, and never changes.

use message::Record;
use store::{MailboxId, MessageId};

/// MAILBOXID: at most 28 octets.
pub(crate) fn mailbox_id(mailbox: MailboxId, uid_validity: u32) -> String {
    format!("F{:x}-{:x}-{uid_validity:x}", mailbox.user.0, mailbox.number)
}

/// The number of a message, never 0: X-GM-MSGID.
pub(crate) fn message_number(message: MessageId) -> u64 {
    (u64::from(message.page.0) << 32 | u64::from(message.index)).saturating_add(1)
}

/// EMAILID: 17 octets.
pub(crate) fn email_id(message: MessageId) -> String {
    format!("M{:016x}", message_number(message))
}

/// The number of a conversation, never 0: X-GM-THRID. It is that of the first message that References or In-Reply-To names; a
/// message that answers none is the first of its own, and one without Message-ID is alone.
pub(crate) fn thread_number(record: &Record<'_>, message: MessageId) -> u64 {
    hash(&record.thread_root().unwrap_or_else(|| message_number(message)).to_be_bytes())
}

/// THREADID: 17 octets.
pub(crate) fn thread_id(record: &Record<'_>, message: MessageId) -> String {
    format!("T{:016x}", thread_number(record, message))
}

/// The number that an identifier of EMAILID or THREADID stands for; `None` if it is none that was given out.
pub(crate) fn number_of(identifier: &str, kind: char) -> Option<u64> {
    let digits = identifier.strip_prefix(kind).filter(|digits| digits.len() == 16)?;
    let is_hex = digits.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

/// FNV-1a with its bits mixed at the end. It must stay what it is: clients keep what it gives. 63 bits, for there are clients
/// that take the number for a signed one.
fn hash(octets: &[u8]) -> u64 {
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    for &octet in octets {
        state = (state ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    }
    state = (state ^ state >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    state = (state ^ state >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    ((state ^ state >> 33) >> 1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{PageId, UserId};

    fn record_of(header: &str) -> Vec<u8> {
        let mut scanner = message::Scanner::new();
        scanner.push(header.as_bytes());
        message::encode(&scanner.finish())
    }

    fn thread(header: &str, index: u32) -> String {
        let bytes = record_of(header);
        thread_id(&Record::parse(&bytes).expect("a record"), MessageId { page: PageId(1), index })
    }

    #[test]
    fn identifiers_are_what_they_were() {
        let mailbox = MailboxId { user: UserId(255), number: 3 };
        assert_eq!(mailbox_id(mailbox, 0x6000_0001), "Fff-3-60000001");
        let message = MessageId { page: PageId(2), index: 16 };
        assert_eq!(email_id(message), "M0000000200000011");
        assert_eq!(number_of("M0000000200000011", 'M'), Some(message_number(message)));
        for identifier in ["", "M", "M1", "T0000000200000011", "M000000020000001G", "M000000020000001A"] {
            assert_eq!(number_of(identifier, 'M'), None, "{identifier}");
        }
        assert_eq!(hash(b"root@example.org"), hash(b"root@example.org"));
    }

    #[test]
    fn a_conversation_is_that_of_its_first_message() {
        let first = thread("Message-ID: <1@a>\r\n\r\n", 1);
        assert_eq!(thread("Message-ID: <2@a>\r\nIn-Reply-To: <1@a>\r\n\r\n", 2), first);
        assert_eq!(
            thread("Message-ID: <3@a>\r\nReferences: <1@a> <2@a>\r\nIn-Reply-To: <2@a>\r\n\r\n", 3),
            first
        );
        assert_ne!(thread("Message-ID: <4@a>\r\n\r\n", 4), first);
        assert_ne!(thread("Subject: none\r\n\r\n", 5), thread("Subject: none\r\n\r\n", 6));
    }
}
