//! ANNOTATE-EXPERIMENT-1 (RFC 5257): annotations of messages. Private ones are of who has set them, shared ones are seen by all who may read the mailbox and set by who has the right `n` there.
//!
//! `fetch` is ANNOTATION in FETCH replies, `store` STORE; what APPEND, SEARCH and SORT do with annotations is in their files. A mailbox without annotations costs nobody more than a look at a flag.

pub(super) mod fetch;
mod store;

use ::store::annotations::VALUE_MOST_BYTES;
use ::store::txn::NewAnnotation;
use ::store::{MessageId, Right, Rights, Store, StoreError};
use message::Record;
use protocol::imap::extension::annotate::{AnnotationValue, Scope};
use protocol::imap::limits::ANNOTATION_VALUE_MAX;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};
use protocol::imap::syntax::section::Section;

use super::content;
use super::selected::{Access, Selected};

const _: () = assert!(ANNOTATION_VALUE_MAX == VALUE_MOST_BYTES);

/// Why annotations are refused.
pub(super) struct Refusal {
    pub(super) condition: Condition,
    pub(super) code: Option<Code<'static>>,
    pub(super) text: &'static str,
}

/// A number of a part that a message does not have (RFC 5257, 3.2.1).
pub(super) const NO_SUCH_PART: Refusal =
    Refusal { condition: Condition::Bad, code: None, text: "A message has no such part" };

/// What is wrong with values that are to be set where somebody has these rights (RFC 5257, 3.4 and 4.5).
pub(super) fn refusal_of(values: &[AnnotationValue], rights: Rights) -> Option<Refusal> {
    let needs = |scope: Scope| match scope {
        Scope::Private => Right::Read,
        Scope::Shared => Right::Annotate,
    };
    if values.iter().any(|value| !rights.has(needs(value.scope))) {
        let text = "You have no right to set these annotations in this mailbox";
        return Some(Refusal { condition: Condition::No, code: Some(Code::NoPerm), text });
    }
    if values.iter().any(AnnotationValue::is_too_big) {
        let text = "The value of an annotation is too long";
        return Some(Refusal { condition: Condition::No, code: Some(Code::AnnotateTooBig), text });
    }
    None
}

/// Values as the store takes them.
pub(super) fn new_annotations(values: Vec<AnnotationValue>) -> Vec<NewAnnotation> {
    let new = |AnnotationValue { entry, scope, value }: AnnotationValue| NewAnnotation {
        entry: entry.as_str().to_owned(),
        is_shared: scope == Scope::Shared,
        value,
    };
    values.into_iter().map(new).collect()
}

/// Sections of messages that values are about.
pub(super) fn parts(values: &[AnnotationValue]) -> Vec<Section> {
    let of_part = values.iter().filter_map(|value| value.entry.part());
    let mut sections: Vec<Section> = of_part.map(|part| Section { part, text: None }).collect();
    sections.dedup();
    sections
}

/// Whether a message has all these parts.
pub(super) fn has_parts(store: &Store, id: MessageId, parts: &[Section]) -> Result<bool, StoreError> {
    if parts.is_empty() {
        return Ok(true);
    }
    let message = store.message(id)?;
    let mut records = store.records();
    let bytes = records.record(id)?.to_vec();
    for part in parts {
        let record = || Record::parse(&bytes).map_err(|_| StoreError::NotFound("record that can be read"));
        if content::locate(store, &message, part, record)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Appends ANNOTATIONS of SELECT and EXAMINE (RFC 5257, 4.1).
pub(super) fn announce(out: &mut Vec<u8>, selected: &Selected) {
    let octets = match selected.access {
        Access::ReadWrite => Some(ANNOTATION_VALUE_MAX as u32),
        Access::ReadOnly => None,
    };
    reply::untagged(out, Condition::Ok, Some(Code::Annotations(octets)), "Annotations of messages");
}
