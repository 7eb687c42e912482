//! Values of annotations, by which SORT compares messages (RFC 5257, 4.9).

use std::sync::Arc;

use message::search::fold;
use protocol::imap::extension::annotate::{Scope, SortAnnotation};
use protocol::imap::extension::sort::{SortCriterion, SortKey};
use store::{Mailbox, StoreError, Uid, UserId};

use crate::conversation::Turn;
use crate::imap::selected::Selected;
use crate::log;

/// The annotations of a mailbox as somebody sees them.
pub(crate) struct Annotations {
    mailbox: Arc<Mailbox>,
    reader: UserId,
}

impl Annotations {
    /// Those of the selected mailbox, if one of the criteria needs them.
    ///
    /// # Errors
    /// The mailbox cannot be read.
    pub(crate) fn if_compared(
        criteria: &[SortCriterion],
        selected: &mut Selected,
        turn: &Turn<'_>,
    ) -> Result<Option<Annotations>, StoreError> {
        if !criteria.iter().any(|criterion| matches!(criterion.key, SortKey::Annotation(_))) {
            return Ok(None);
        }
        let mailbox = selected.mailbox(&turn.shared.store)?;
        Ok(Some(Annotations { mailbox, reader: selected.user }))
    }

    /// Appends the value as it is compared, i;unicode-casemap. What is not there, or cannot be read, appends nothing.
    pub(crate) fn push(&self, uid: u32, wanted: &SortAnnotation, out: &mut Vec<u8>) {
        let Some(uid) = Uid::new(uid) else { return };
        let annotations = match self.mailbox.annotations_for(uid, self.reader) {
            Ok(annotations) => annotations,
            Err(error) => {
                log::error!("annotations not readable", mailbox = self.mailbox.id().key(), why = error);
                return;
            }
        };
        let is_wanted = |reader: Option<UserId>| reader.is_some() == (wanted.scope == Scope::Private);
        let found = annotations
            .iter()
            .find(|annotation| is_wanted(annotation.reader) && annotation.entry == wanted.entry.as_str());
        if let Some(annotation) = found {
            out.extend_from_slice(fold(&String::from_utf8_lossy(&annotation.value)).as_bytes());
        }
    }
}
