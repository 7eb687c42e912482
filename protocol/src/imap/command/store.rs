//! STORE and UID STORE (RFC 3501 section 6.4.6), with UNCHANGEDSINCE (RFC 7162 section 3.1.3) and ANNOTATION (RFC 5257 section 4.5).

use super::Numbering;
use crate::imap::extension::annotate::AnnotationValue;
use crate::imap::extension::{condstore, gmail};
use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::flag::Flags;
use crate::imap::syntax::sequence_set::SequenceSet;

/// Which messages get which flags or annotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreArguments {
    /// What the numbers are, here and in the replies.
    pub numbering: Numbering,
    /// The messages.
    pub messages: SequenceSet,
    /// UNCHANGEDSINCE: messages with a higher modification sequence are left as they are.
    pub unchanged_since: Option<u64>,
    /// The change.
    pub change: StoreChange,
}

/// What is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreChange {
    /// Flags or labels.
    Flags(StoreFlags),
    /// ANNOTATION: these values are set, all of them or none. At least one, none twice.
    Annotations(Vec<AnnotationValue>),
}

/// A change of flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFlags {
    /// What is done with them.
    pub operation: StoreOperation,
    /// By which name the client calls them.
    pub item: StoreItem,
    /// Whether no FETCH replies are wanted (`.SILENT`).
    pub silent: bool,
    /// The flags.
    pub flags: Flags,
}

/// What a STORE changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreItem {
    /// FLAGS
    Flags,
    /// X-GM-LABELS: keywords alone; system flags stay as they are.
    Labels,
}

/// What is done with the flags of a STORE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOperation {
    /// FLAGS: the message has these and no others. Of X-GM-LABELS it has these and no other keywords.
    Set,
    /// +FLAGS
    Add,
    /// -FLAGS
    Remove,
}

impl StoreArguments {
    pub(crate) fn parse(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<Self, Fault> {
        cursor.space()?;
        let messages = SequenceSet::parse(cursor)?;
        cursor.space()?;
        let unchanged_since = condstore::parse_store_modifiers(cursor)?;
        let mut ahead = cursor.clone();
        if ahead.keyword().is_ok_and(|name| name.as_bytes() == b"ANNOTATION") {
            *cursor = ahead;
            let change = StoreChange::Annotations(AnnotationValue::parse_all(cursor)?);
            return Ok(StoreArguments { numbering, messages, unchanged_since, change });
        }
        let operation = if cursor.take_if(b'+') {
            StoreOperation::Add
        } else if cursor.take_if(b'-') {
            StoreOperation::Remove
        } else {
            StoreOperation::Set
        };
        let (item, silent) = match cursor.keyword()?.as_bytes() {
            b"FLAGS" => (StoreItem::Flags, false),
            b"FLAGS.SILENT" => (StoreItem::Flags, true),
            b"X-GM-LABELS" => (StoreItem::Labels, false),
            b"X-GM-LABELS.SILENT" => (StoreItem::Labels, true),
            _ => return Err(Fault::syntax("Unknown item of STORE")),
        };
        cursor.space()?;
        let flags = match item {
            StoreItem::Flags => Flags::parse_list_or_bare(cursor)?,
            StoreItem::Labels => gmail::parse_labels(cursor)?,
        };
        let change = StoreChange::Flags(StoreFlags { operation, item, silent, flags });
        Ok(StoreArguments { numbering, messages, unchanged_since, change })
    }
}
