//! STATUS (RFC 3501, 6.3.10; STATUS=SIZE, RFC 8438).

use protocol::imap::command::Tag;
use protocol::imap::command::status::{StatusArguments, StatusItem};
use protocol::imap::reply::mailbox as reply;
use store::{MailboxId, Store, StoreError};

use super::ending::Tell;
use super::{Flow, ImapSession};
use crate::conversation::Turn;

impl ImapSession {
    pub(super) fn status(&mut self, tag: Tag, arguments: &StatusArguments, turn: &mut Turn<'_>) -> Flow {
        let name = arguments.mailbox.as_str();
        let written = self
            .find(&arguments.mailbox, turn)
            .and_then(|id| write_status(turn.output.bytes(), &turn.shared.store, id, name, &arguments.items));
        match written {
            Ok(()) => self.end(turn, tag, Tell::Everything, "STATUS completed"),
            Err(error) => self.refuse_store(turn, &tag, &error),
        }
    }
}

/// Appends the STATUS reply of one mailbox.
///
/// # Errors
/// The mailbox is gone or cannot be read; nothing is written then.
pub(super) fn write_status(
    out: &mut Vec<u8>,
    store: &Store,
    id: MailboxId,
    name: &str,
    items: &[StatusItem],
) -> Result<(), StoreError> {
    let mailbox = store.mailbox(id)?;
    let (status, recent) = (mailbox.status()?, mailbox.recent_count()?);
    let value = |item| match item {
        StatusItem::Messages => u64::from(status.exists),
        StatusItem::Recent => u64::from(recent),
        StatusItem::UidNext => u64::from(status.uid_next),
        StatusItem::UidValidity => u64::from(status.uid_validity),
        StatusItem::Unseen => u64::from(status.unseen),
        StatusItem::Size => status.size,
    };
    reply::status(out, name, items.iter().map(|&item| (item, value(item))));
    Ok(())
}
