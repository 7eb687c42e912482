//! STATUS (RFC 9051, 6.3.11; RFC 3501, 6.3.10; STATUS=SIZE, RFC 8438; OBJECTID, RFC 8474; APPENDLIMIT, RFC 7889; DELETED-STORAGE, RFC
//! 9208).

use protocol::imap::command::Tag;
use protocol::imap::command::status::{StatusArguments, StatusItem};
use protocol::imap::reply::mailbox::{self as reply, StatusValue};
use protocol::imap::syntax::name_encoding::NameEncoding;
use store::{MailboxId, Right, StoreError, UserId};

use super::ending::Tell;
use super::{Flow, ImapSession, object_id};
use crate::conversation::Turn;
use crate::shared::Shared;

impl ImapSession {
    pub(super) fn status(&mut self, tag: Tag, arguments: &StatusArguments, turn: &mut Turn<'_>) -> Flow {
        let name = arguments.mailbox.as_str();
        let names = self.enabled.names();
        if arguments.items.contains(&StatusItem::HighestModSeq) {
            self.enable_condstore(turn);
        }
        let written = self.find(&arguments.mailbox, Right::Read, turn).and_then(|found| {
            Ok(write_status(
                turn.output.bytes(),
                turn.shared,
                (found.id, found.user),
                (name, names),
                &arguments.items,
            )?)
        });
        match written {
            Ok(()) => self.end(turn, tag, Tell::Everything, "STATUS completed"),
            Err(error) => self.refuse_unfound(turn, &tag, &error),
        }
    }
}

/// Appends the STATUS reply of one mailbox, as a user sees it.
///
/// # Errors
/// The mailbox is gone or cannot be read; nothing is written then.
pub(super) fn write_status(
    out: &mut Vec<u8>,
    shared: &Shared,
    (id, user): (MailboxId, UserId),
    (name, names): (&str, NameEncoding),
    items: &[StatusItem],
) -> Result<(), StoreError> {
    let mailbox = shared.store.mailbox_as(id, user)?;
    let (status, recent) = (mailbox.status()?, mailbox.recent_count()?);
    let identifier = object_id::mailbox_id(id, status.uid_validity);
    let deleted_octets =
        if items.contains(&StatusItem::DeletedStorage) { mailbox.deleted_octets()? } else { 0 };
    let value = |item| {
        StatusValue::Number(match item {
            StatusItem::Messages => u64::from(status.exists),
            StatusItem::Recent => u64::from(recent),
            StatusItem::UidNext => u64::from(status.uid_next),
            StatusItem::UidValidity => u64::from(status.uid_validity),
            StatusItem::Unseen => u64::from(status.unseen),
            StatusItem::Size => status.size,
            StatusItem::HighestModSeq => status.highest_modseq.0,
            StatusItem::Deleted => u64::from(status.deleted),
            StatusItem::DeletedStorage => deleted_octets,
            StatusItem::AppendLimit => shared.settings().limits.message_bytes,
            StatusItem::MailboxId => return StatusValue::Identifier(&identifier),
        })
    };
    reply::status(out, name, names, items.iter().map(|&item| (item, value(item))));
    Ok(())
}
