//! The decisions about annotations of messages (RFC 5257): what each message has after a change, who may make it, and what goes along with a copy.

use std::collections::BTreeMap;

use crate::annotations::{ENTRIES_MOST, GONE_MOST, NAME_MOST_BYTES, VALUE_MOST_BYTES, octets_of};
use crate::change::{AnnotationEntry, Change};
use crate::error::ChangeError;
use crate::ids::{CellIndex, MailboxId, ModSeq, Uid, UserId};
use crate::log::frame::CHANGES_MOST_BYTES;
use crate::mailbox::Mailbox;
use crate::mailbox::reader::show;
use crate::txn::MESSAGES_MOST;
use crate::txn::acting::Actor;
use crate::txn::outcome::{Annotated, NewAnnotation, Outcome};
use crate::txn::plan::{Plan, Stop};

/// What a reader, or everybody, sees of messages after a change.
type Parts = BTreeMap<Option<UserId>, Vec<(Uid, Vec<AnnotationEntry>)>>;

/// Whose private annotations go along with a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Private {
    /// Those of who copies.
    OfActor,
    /// Everybody's.
    OfAll,
}

impl Plan<'_> {
    pub(super) fn annotate(
        &mut self,
        id: MailboxId,
        cells: &[CellIndex],
        wanted: &[NewAnnotation],
        unchanged_since: Option<ModSeq>,
    ) -> Result<Outcome, Stop> {
        if cells.len() > MESSAGES_MOST {
            return Err(ChangeError::Limit("messages at once").into());
        }
        let mailbox = self.open(id)?;
        let actor = self.may_annotate(id, wanted)?;
        let marks = actor.map(|actor| self.marks(id, actor)).transpose()?;
        let reader = self.actor.unwrap_or(id.user);
        let modseq = ModSeq(self.existing(id)?.modseq().0 + 1);
        let all = mailbox.cells()?;
        let (mut changed, mut modseqs_before) = (Vec::new(), Vec::new());
        let (mut newer, mut flags) = (Vec::new(), Vec::new());
        let mut parts = Parts::new();
        let mut room = Room::default();
        for index in cells.iter().filter(|index| index.0 < all.count()) {
            let cell = all.flags(*index)?;
            if cell.expunged {
                continue;
            }
            let mut shown = cell;
            if let Some(marks) = &marks {
                show(marks, shown.uid, false, &mut shown.flags, &mut shown.modseq);
            }
            if unchanged_since.is_some_and(|since| shown.modseq > since) {
                newer.push((*index, cell.uid));
                continue;
            }
            let mut is_changed = false;
            for whose in [None, Some(reader)] {
                let wanted = || wanted.iter().filter(|wanted| wanted.is_shared == whose.is_none());
                if wanted().next().is_none() {
                    continue;
                }
                let before = match mailbox.is_annotated()? {
                    true => mailbox.annotation_file().part(cell.uid, whose)?,
                    false => Vec::new(),
                };
                if let Some(after) = merged(&before, wanted(), modseq)? {
                    room.count(&before, &after)?;
                    parts.entry(whose).or_default().push((cell.uid, after));
                    is_changed = true;
                }
            }
            if is_changed {
                flags.push((cell.uid, cell.flags));
                changed.push((*index, cell.uid));
                modseqs_before.push(shown.modseq);
            }
        }
        if changed.is_empty() {
            let modseq = self.existing(id)?.modseq();
            return Ok(Outcome::Annotated(Annotated { modseq, messages: changed, modseqs_before, newer }));
        }
        self.admit_annotations(id.user, room.more())?;
        let modseq = self.existing(id)?.next_modseq();
        // The message was changed: its cell says so, with the flags that it had.
        self.changes.push(Change::Flags { mailbox: id, modseq, messages: flags });
        self.push_parts(id, modseq, parts);
        Ok(Outcome::Annotated(Annotated { modseq, messages: changed, modseqs_before, newer }))
    }

    /// Annotates a message that this transaction puts into `id`: the one of the Add with that place among those of this mailbox.
    pub(super) fn annotate_added(
        &mut self,
        id: MailboxId,
        place: usize,
        wanted: &[NewAnnotation],
    ) -> Result<Outcome, Stop> {
        self.may_annotate(id, wanted)?;
        let reader = self.actor.unwrap_or(id.user);
        let mut adds = self.changes.iter().filter_map(|change| match change {
            Change::Add { mailbox, added } if *mailbox == id => Some((added.uid, added.modseq)),
            _ => None,
        });
        // It was refused: so are its annotations.
        let Some((uid, modseq)) = adds.nth(place) else { return Ok(Outcome::Done) };
        let mut parts = Parts::new();
        let mut room = Room::default();
        for whose in [None, Some(reader)] {
            let of_reader = wanted.iter().filter(|wanted| wanted.is_shared == whose.is_none());
            if let Some(after) = merged(&[], of_reader, modseq)? {
                room.count(&[], &after)?;
                parts.insert(whose, vec![(uid, after)]);
            }
        }
        // What comes with its numbers is never refused.
        if self.store.adopted_below(id).is_none() {
            self.admit_annotations(id.user, room.more())?;
        }
        self.push_parts(id, modseq, parts);
        Ok(Outcome::Done)
    }

    /// Gives copies the annotations of the messages they are of, as far as who copies may. `uids`: of the message, and of its copy; the latter ascend.
    pub(super) fn copy_annotations(
        &mut self,
        source: &Mailbox,
        to: MailboxId,
        uids: &[(Uid, Uid)],
        modseq: ModSeq,
        private: Private,
    ) -> Result<(), Stop> {
        if !source.is_annotated()? {
            return Ok(());
        }
        let from = source.id();
        let actor = self.acting_in(to)?;
        let (own_before, own_after) = (self.actor.unwrap_or(from.user), self.actor.unwrap_or(to.user));
        let mut parts = Parts::new();
        let mut room = Room::default();
        for (uid, copy) in uids {
            for (reader, _, entries) in source.annotation_file().of(*uid)? {
                let reader = match reader {
                    None if actor.is_none_or(Actor::may_annotate) => None,
                    Some(reader) if reader == own_before && actor.is_none_or(Actor::may_read) => {
                        Some(own_after)
                    }
                    Some(reader) if private == Private::OfAll => Some(reader),
                    _ => continue,
                };
                let there = entries.into_iter().filter(|entry| entry.value.is_some());
                let entries: Vec<_> = there.map(|entry| AnnotationEntry { modseq, ..entry }).collect();
                if !entries.is_empty() {
                    room.count(&[], &entries)?;
                    parts.entry(reader).or_default().push((*copy, entries));
                }
            }
        }
        self.admit_annotations(to.user, room.more())?;
        self.push_parts(to, modseq, parts);
        Ok(())
    }

    /// Refused if these annotations are none that can be, or the actor may not set shared ones. Who acts in the mailbox, if it is another user's.
    fn may_annotate(&mut self, id: MailboxId, wanted: &[NewAnnotation]) -> Result<Option<Actor>, Stop> {
        for annotation in wanted {
            if annotation.entry.is_empty() || annotation.entry.len() > NAME_MOST_BYTES {
                return Err(ChangeError::Limit("octets in the name of an annotation").into());
            }
            if annotation.value.as_ref().is_some_and(|value| value.len() > VALUE_MOST_BYTES) {
                return Err(ChangeError::Limit("octets in an annotation").into());
            }
        }
        let actor = self.acting_in(id)?;
        let (mut needs_shared, mut needs_private) = (false, false);
        for annotation in wanted {
            needs_shared |= annotation.is_shared;
            needs_private |= !annotation.is_shared;
        }
        let may = actor.is_none_or(|actor| {
            (!needs_shared || actor.may_annotate()) && (!needs_private || actor.may_read())
        });
        if may { Ok(actor) } else { Err(ChangeError::NotAllowed("annotations in this mailbox").into()) }
    }

    fn push_parts(&mut self, mailbox: MailboxId, modseq: ModSeq, parts: Parts) {
        for (reader, messages) in parts {
            self.changes.push(Change::Annotations { mailbox, reader, modseq, messages });
            self.touched.push(mailbox);
        }
    }
}

/// How much more annotations there are after a change.
#[derive(Default)]
struct Room {
    before: u64,
    after: u64,
    written: usize,
}

impl Room {
    /// Refused if the change becomes longer than a frame of the log can be.
    fn count(&mut self, before: &[AnnotationEntry], after: &[AnnotationEntry]) -> Result<(), ChangeError> {
        self.before += before.iter().map(octets_of).sum::<u64>();
        self.after += after.iter().map(octets_of).sum::<u64>();
        let value = |entry: &AnnotationEntry| entry.value.as_ref().map_or(0, Vec::len);
        self.written += after.iter().map(|entry| entry.name.len() + value(entry)).sum::<usize>();
        if self.written > CHANGES_MOST_BYTES {
            return Err(ChangeError::Limit("octets of annotations at once"));
        }
        Ok(())
    }

    fn more(&self) -> u64 {
        self.after.saturating_sub(self.before)
    }
}

/// What one reader, or everybody, sees of a message after a change; `None` if that is what it was. Sorted by name.
fn merged<'a>(
    before: &[AnnotationEntry],
    wanted: impl Iterator<Item = &'a NewAnnotation>,
    modseq: ModSeq,
) -> Result<Option<Vec<AnnotationEntry>>, ChangeError> {
    let mut after = before.to_vec();
    let mut is_changed = false;
    for NewAnnotation { entry, value, .. } in wanted {
        match after.binary_search_by(|known| known.name.as_str().cmp(entry)) {
            Ok(place) if after[place].value == *value => (),
            Ok(place) => {
                after[place] = AnnotationEntry { name: entry.clone(), modseq, value: value.clone() };
                is_changed = true;
            }
            Err(_) if value.is_none() => (),
            Err(place) => {
                let (name, value) = (entry.clone(), value.clone());
                after.insert(place, AnnotationEntry { name, modseq, value });
                is_changed = true;
            }
        }
    }
    if !is_changed {
        return Ok(None);
    }
    if after.iter().filter(|entry| entry.value.is_some()).count() > ENTRIES_MOST {
        return Err(ChangeError::TooManyAnnotations);
    }
    forget_gone(&mut after);
    Ok(Some(after))
}

/// Of entries that are gone, the newest stay.
fn forget_gone(entries: &mut Vec<AnnotationEntry>) {
    let gone = entries.iter().filter(|entry| entry.value.is_none());
    let mut modseqs: Vec<ModSeq> = gone.map(|entry| entry.modseq).collect();
    if modseqs.len() <= GONE_MOST {
        return;
    }
    modseqs.sort_unstable();
    let mut to_forget = modseqs.len() - GONE_MOST;
    let last_forgotten = modseqs[to_forget - 1];
    entries.retain(|entry| {
        let forgotten = to_forget > 0 && entry.value.is_none() && entry.modseq <= last_forgotten;
        to_forget -= usize::from(forgotten);
        !forgotten
    });
}
