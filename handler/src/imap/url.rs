//! What a URL of a message stands for (RFC 5092), for the user who is logged in.

use message::Record;
use protocol::imap::syntax::mailbox_name::{HIERARCHY_DELIMITER, MailboxName};
use protocol::imap::url::{MessageUrl, UrlMailbox};
use store::{Mailbox, MailboxId, Right, Store, StoreError, StoredMessage, Uid};

use super::content::{self, Content};
use super::names::Unfound;
use super::{ImapSession, Stage};
use crate::conversation::Turn;

impl ImapSession {
    /// What a URL of CATENATE stands for, which has no server: a message that the user may read, in the selected mailbox or in one that the URL
    /// names. `None`: nothing.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn resolve_url(
        &self,
        url: &[u8],
        turn: &Turn<'_>,
    ) -> Result<Option<(StoredMessage, Content)>, StoreError> {
        let Ok(url) = MessageUrl::parse(url) else { return Ok(None) };
        if url.server.is_some() {
            return Ok(None);
        }
        let id = match &url.mailbox {
            UrlMailbox::Named(name) => self.find_for_url(name, turn)?,
            UrlMailbox::Selected => self.selected_id(),
            UrlMailbox::Beside(name) => match self.beside_selected(name, turn)? {
                Some(name) => self.find_for_url(&name, turn)?,
                None => None,
            },
        };
        match id {
            Some(id) => content_of(&turn.shared.store, id, &url),
            None => Ok(None),
        }
    }

    fn find_for_url(&self, name: &MailboxName, turn: &Turn<'_>) -> Result<Option<MailboxId>, StoreError> {
        match self.find(name, Right::Read, turn) {
            Ok(found) => Ok(Some(found.id)),
            Err(Unfound::Store(error)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// The selected mailbox.
    pub(super) fn selected_id(&self) -> Option<MailboxId> {
        match &self.stage {
            Stage::Selected(_, selected) => Some(selected.id),
            _ => None,
        }
    }

    /// The name of a mailbox beside the selected one: the last level of whose name it takes the place of (RFC 3986, 5.2.3).
    fn beside_selected(
        &self,
        name: &MailboxName,
        turn: &Turn<'_>,
    ) -> Result<Option<MailboxName>, StoreError> {
        let Stage::Selected(user, selected) = &self.stage else { return Ok(Some(name.clone())) };
        if selected.id.user != user.id {
            // It has another name here than in the list it is in.
            return Ok(None);
        }
        let list = turn.shared.store.mailbox_list(user.id)?;
        let Some(entry) = list.by_number(selected.id.number) else { return Ok(None) };
        Ok(match entry.name.rsplit_once(HIERARCHY_DELIMITER) {
            Some((above, _)) => {
                MailboxName::from_utf8(&format!("{above}{HIERARCHY_DELIMITER}{}", name.as_str())).ok()
            }
            None => Some(name.clone()),
        })
    }
}

/// What the rest of a URL stands for in a mailbox that it names. `None`: nothing.
///
/// # Errors
/// It cannot be read.
pub(super) fn content_of(
    store: &Store,
    id: MailboxId,
    url: &MessageUrl,
) -> Result<Option<(StoredMessage, Content)>, StoreError> {
    let Some(message) = message_of(&*store.mailbox(id)?, store, url)? else { return Ok(None) };
    let record = store.record(message.id)?;
    let parsed = || Record::parse(&record).map_err(|_| StoreError::NotFound("record that can be read"));
    let Some(content) = content::locate(store, &message, &url.section, parsed)? else { return Ok(None) };
    let content = match url.partial {
        Some(partial) => content.cut(partial.start, partial.length.unwrap_or(u64::MAX)),
        None => content,
    };
    Ok(Some((message, content)))
}

/// The message of a URL.
///
/// # Errors
/// It cannot be read.
pub(super) fn message_of(
    mailbox: &Mailbox,
    store: &Store,
    url: &MessageUrl,
) -> Result<Option<StoredMessage>, StoreError> {
    if url.uid_validity.is_some_and(|uid_validity| uid_validity != mailbox.uid_validity()) {
        return Ok(None);
    }
    let Some(uid) = Uid::new(url.uid) else { return Ok(None) };
    let cells = mailbox.cells()?;
    let Ok(index) = cells.find_uid(uid)? else { return Ok(None) };
    let cell = cells.cell(index)?;
    if cell.expunged {
        return Ok(None);
    }
    store.message(cell.message).map(Some)
}
