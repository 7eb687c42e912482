//! One mailbox made from its changes, in whatever order they come: what each message is after the last of them.
//!
//! Every change says the state after it and carries its modseq, so the newest that speaks of a message wins. Memory is in proportion to the
//! messages that the mailbox ever had, not to what was done to them.

use std::collections::BTreeMap;

use crate::change::{Added, AnnotationEntry, Change, Flags, MailboxSnapshot, SnapshotCell};
use crate::ids::{ModSeq, Uid, UserId};
use crate::seen::{Mark, SeenRuns};

/// A mailbox in the making.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    messages: BTreeMap<u32, Message>,
    keywords: BTreeMap<u8, String>,
    uid_next: u32,
    /// The highest UID that was ever a message's, whatever became of it.
    last_added: u32,
    highest_modseq: ModSeq,
    epoch: u32,
    /// The modseq of the newest snapshot that is complete: nothing up to it counts but what that says.
    floor: ModSeq,
    /// Parts of snapshots that are not complete yet, by modseq and number of parts.
    parts: BTreeMap<(ModSeq, u32), BTreeMap<u32, Vec<SnapshotCell>>>,
    /// What readers who are not the owner have seen.
    seen: BTreeMap<UserId, SeenRuns>,
    /// What all see of a message's annotations, or one reader, and the modseq of the newest change of that.
    annotations: BTreeMap<(u32, Option<UserId>), (ModSeq, Vec<AnnotationEntry>)>,
}

#[derive(Clone, Debug, Default)]
struct Message {
    added: Option<Added>,
    flags: Option<(ModSeq, Flags)>,
    /// Modseq and time of its expunge.
    expunged: Option<(ModSeq, u32)>,
}

/// A message as all changes together leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Folded {
    /// With the flags it has now, and the modseq of the last change before it was expunged.
    pub(crate) added: Added,
    /// Modseq and time of its expunge.
    pub(crate) expunged: Option<(ModSeq, u32)>,
}

impl Fold {
    /// Takes a change of this mailbox, of a frame made at `seconds` in a log of `epoch`.
    pub(crate) fn take(&mut self, epoch: u32, seconds: u32, change: &Change) {
        self.epoch = self.epoch.max(epoch);
        match change {
            Change::Add { added, .. } => {
                self.mention(added.uid, added.modseq);
                self.last_added = self.last_added.max(added.uid.get());
                if added.modseq > self.floor {
                    self.message(added.uid).added.get_or_insert(*added);
                }
            }
            Change::Flags { modseq, messages, .. } => {
                for (uid, flags) in messages {
                    self.mention(*uid, *modseq);
                    if *modseq <= self.floor {
                        continue;
                    }
                    let known = &mut self.message(*uid).flags;
                    if known.is_none_or(|(at, _)| at <= *modseq) {
                        *known = Some((*modseq, *flags));
                    }
                }
            }
            Change::Expunge { modseq, uids, .. } => {
                for uid in uids {
                    self.mention(*uid, *modseq);
                    if *modseq <= self.floor {
                        continue;
                    }
                    let known = &mut self.message(*uid).expunged;
                    if known.is_none_or(|(at, _)| at > *modseq) {
                        *known = Some((*modseq, seconds));
                    }
                }
            }
            Change::Seen { reader, modseq, seen, ranges, .. } => {
                let mark = Mark { seen: *seen, modseq: *modseq };
                for (first, last) in ranges {
                    self.mention(*last, *modseq);
                    // Snapshots have nothing of this: what was said is said again beside them.
                    self.seen.entry(*reader).or_default().set(*first, *last, mark);
                }
            }
            Change::Annotations { reader, modseq, messages, .. } => {
                for (uid, entries) in messages {
                    self.mention(*uid, *modseq);
                    // Snapshots have nothing of this, either.
                    let known = self.annotations.get(&(uid.get(), *reader));
                    if known.is_none_or(|(at, _)| at < modseq) {
                        self.annotations.insert((uid.get(), *reader), (*modseq, entries.clone()));
                    }
                }
            }
            Change::Keyword { bit, name, .. } => {
                self.keywords.insert(*bit, name.clone());
            }
            Change::MailboxNumbers { uid_next, highest_modseq, .. } => {
                self.uid_next = self.uid_next.max(*uid_next);
                self.highest_modseq = self.highest_modseq.max(*highest_modseq);
            }
            Change::MailboxSnapshot(snapshot) => self.take_snapshot(snapshot),
            _ => (),
        }
    }

    fn take_snapshot(&mut self, snapshot: &MailboxSnapshot) {
        let modseq = snapshot.highest_modseq;
        self.uid_next = self.uid_next.max(snapshot.uid_next);
        self.highest_modseq = self.highest_modseq.max(modseq);
        self.keywords.extend(snapshot.keywords.iter().cloned());
        if modseq <= self.floor {
            return;
        }
        let key = (modseq, snapshot.parts);
        let parts = self.parts.entry(key).or_default();
        parts.insert(snapshot.part, snapshot.cells.clone());
        if parts.len() < snapshot.parts as usize {
            return;
        }
        let parts = self.parts.remove(&key).unwrap_or_default();
        self.parts.retain(|(other, _), _| *other > modseq);
        self.floor = modseq;
        // What is older is in the snapshot, or was gone when it was made.
        self.messages.retain(|_, message| {
            message.added = message.added.filter(|added| added.modseq > modseq);
            message.flags = message.flags.filter(|(at, _)| *at > modseq);
            message.expunged = message.expunged.filter(|(at, _)| *at > modseq);
            message.added.is_some() || message.flags.is_some() || message.expunged.is_some()
        });
        for cell in parts.into_values().flatten() {
            self.last_added = self.last_added.max(cell.added.uid.get());
            let message = self.message(cell.added.uid);
            message.added = Some(cell.added);
            if let Some(seconds) = cell.expunged_at {
                message.expunged = Some((cell.added.modseq, seconds));
            }
        }
    }

    /// No UID up to this one is given out again, and no modseq.
    fn mention(&mut self, uid: Uid, modseq: ModSeq) {
        self.uid_next = self.uid_next.max(uid.get().saturating_add(1));
        self.highest_modseq = self.highest_modseq.max(modseq);
    }

    fn message(&mut self, uid: Uid) -> &mut Message {
        self.messages.entry(uid.get()).or_default()
    }

    /// The newest epoch in which anything was said of the mailbox: UIDs and modseqs given out in it are all known.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// UIDNEXT.
    pub(crate) fn uid_next(&self) -> u32 {
        self.uid_next.max(1)
    }

    /// The highest UID that a message has, or had before it was expunged and forgotten; 0 if there never was one.
    pub(crate) fn last_added(&self) -> u32 {
        self.last_added
    }

    /// HIGHESTMODSEQ.
    pub(crate) fn highest_modseq(&self) -> ModSeq {
        self.highest_modseq.max(ModSeq(1))
    }

    pub(crate) fn keywords(&self) -> impl Iterator<Item = (u8, &str)> {
        self.keywords.iter().map(|(bit, name)| (*bit, name.as_str()))
    }

    /// The flags that a message got last, if any change of them is known; its Add need not be.
    pub(crate) fn flags_of(&self, uid: Uid) -> Option<Flags> {
        self.messages.get(&uid.get())?.flags.map(|(_, flags)| flags)
    }

    /// Whether the Add of a message is known.
    pub(crate) fn has_add(&self, uid: Uid) -> bool {
        self.messages.get(&uid.get()).is_some_and(|message| message.added.is_some())
    }

    /// What each reader who is not the owner has seen.
    pub(crate) fn seen(&self) -> impl Iterator<Item = (UserId, &SeenRuns)> {
        self.seen.iter().map(|(reader, runs)| (*reader, runs))
    }

    /// The annotations of messages whose Adds are known, by UID and reader, with the modseq of the newest change.
    pub(crate) fn annotations(
        &self,
    ) -> impl Iterator<Item = (Uid, Option<UserId>, ModSeq, &[AnnotationEntry])> {
        self.annotations.iter().filter_map(|((uid, reader), (modseq, entries))| {
            let uid = Uid::new(*uid).filter(|uid| self.has_add(*uid))?;
            Some((uid, *reader, *modseq, entries.as_slice()))
        })
    }

    /// How many messages are known, at most.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// All messages whose Add is known, by UID.
    pub(crate) fn messages(&self) -> impl Iterator<Item = Folded> {
        self.messages.values().filter_map(|message| {
            let mut added = message.added?;
            if let Some((modseq, flags)) = message.flags.filter(|(modseq, _)| *modseq >= added.modseq) {
                (added.modseq, added.flags) = (modseq, flags);
            }
            Some(Folded { added, expunged: message.expunged })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::SystemFlags;
    use crate::mailbox::tests::{ID, Random, added, uid};

    fn flags(system: u8) -> Flags {
        Flags { system: SystemFlags(system), keywords: 0 }
    }

    fn annotations(reader: Option<UserId>, modseq: u64, to: u32, name: &str, value: Option<&[u8]>) -> Change {
        let modseq = ModSeq(modseq);
        let (name, value) = (name.to_string(), value.map(<[u8]>::to_vec));
        let messages = vec![(uid(to), vec![AnnotationEntry { name, modseq, value }])];
        Change::Annotations { mailbox: ID, reader, modseq, messages }
    }

    #[test]
    fn the_order_of_changes_does_not_matter() {
        let mailbox = ID;
        let changes = [
            (5, Change::Add { mailbox, added: added(1, 2, 0) }),
            (6, Change::Add { mailbox, added: added(2, 3, 1) }),
            (7, Change::Flags { mailbox, modseq: ModSeq(4), messages: vec![(uid(1), flags(8))] }),
            (
                8,
                Change::Flags {
                    mailbox,
                    modseq: ModSeq(5),
                    messages: vec![(uid(1), flags(9)), (uid(2), flags(2))],
                },
            ),
            (9, Change::Expunge { mailbox, modseq: ModSeq(6), uids: vec![uid(2)] }),
            (10, Change::Expunge { mailbox, modseq: ModSeq(7), uids: vec![uid(40)] }),
            (11, Change::Keyword { mailbox, bit: 3, name: "$a".to_string() }),
            (12, annotations(Some(UserId(3)), 3, 1, "/comment", Some(b"mine"))),
            (12, annotations(None, 2, 1, "/comment", Some(b"old"))),
            (12, annotations(None, 4, 1, "/comment", None)),
            (12, annotations(None, 4, 41, "/comment", Some(b"of no message"))),
            (12, Change::MailboxNumbers { mailbox, uid_next: 30, highest_modseq: ModSeq(1) }),
        ];
        let mut random = Random(1);
        for _ in 0..200 {
            let mut order: Vec<usize> = (0..changes.len()).collect();
            for place in 1..order.len() {
                order.swap(place, random.below(place as u64 + 1) as usize);
            }
            let mut fold = Fold::default();
            // A change that comes twice is as one.
            for place in order.iter().chain(&order[..2]) {
                let (seconds, change) = &changes[*place];
                fold.take(3, *seconds, change);
            }
            assert_eq!((fold.uid_next(), fold.highest_modseq(), fold.epoch()), (42, ModSeq(7), 3));
            assert_eq!(fold.last_added(), 2);
            assert_eq!(fold.keywords().collect::<Vec<_>>(), [(3, "$a")]);
            let one = Added { modseq: ModSeq(5), flags: flags(9), ..added(1, 2, 0) };
            let two = Added { modseq: ModSeq(5), flags: flags(2), ..added(2, 3, 1) };
            let want = [
                Folded { added: one, expunged: None },
                Folded { added: two, expunged: Some((ModSeq(6), 9)) },
            ];
            assert_eq!(fold.messages().collect::<Vec<_>>(), want);
            let annotations: Vec<_> = fold
                .annotations()
                .map(|(uid, reader, modseq, entries)| {
                    (uid.get(), reader, modseq.0, entries[0].value.as_deref())
                })
                .collect();
            let mine: Option<&[u8]> = Some(b"mine");
            assert_eq!(annotations, [(1, None, 4, None), (1, Some(UserId(3)), 3, mine)]);
        }
    }

    #[test]
    fn a_snapshot_takes_the_place_of_all_that_was_before_it() {
        let mailbox = ID;
        let part = |part, cells| {
            Change::MailboxSnapshot(Box::new(MailboxSnapshot {
                mailbox,
                part,
                parts: 2,
                uid_next: 50,
                highest_modseq: ModSeq(20),
                keywords: vec![(1, "$a".to_string())],
                cells,
            }))
        };
        let kept = Added { modseq: ModSeq(12), flags: flags(3), ..added(2, 3, 0) };
        let gone = Added { modseq: ModSeq(15), ..added(4, 5, 0) };
        let later = Added { modseq: ModSeq(22), flags: flags(7), ..kept };
        let new = added(50, 21, 0);
        let before = [
            Change::Add { mailbox, added: added(1, 2, 0) },
            Change::Add { mailbox, added: added(2, 3, 0) },
            Change::Flags { mailbox, modseq: ModSeq(13), messages: vec![(uid(2), flags(31))] },
            Change::Expunge { mailbox, modseq: ModSeq(9), uids: vec![uid(1)] },
        ];
        let snapshot = [
            part(0, vec![SnapshotCell { added: kept, expunged_at: None }]),
            part(1, vec![SnapshotCell { added: gone, expunged_at: Some(77) }]),
        ];
        let after = [
            Change::Flags { mailbox, modseq: ModSeq(22), messages: vec![(uid(2), flags(7))] },
            Change::Add { mailbox, added: new },
        ];
        let mut random = Random(2);
        for _ in 0..200 {
            let mut all: Vec<&Change> = before.iter().chain(&snapshot).chain(&after).collect();
            for place in 1..all.len() {
                all.swap(place, random.below(place as u64 + 1) as usize);
            }
            let mut fold = Fold::default();
            all.iter().for_each(|change| fold.take(1, 5, change));
            let want = [
                Folded { added: later, expunged: None },
                Folded { added: gone, expunged: Some((ModSeq(15), 77)) },
                Folded { added: new, expunged: None },
            ];
            assert_eq!(fold.messages().collect::<Vec<_>>(), want);
            assert_eq!((fold.uid_next(), fold.highest_modseq()), (51, ModSeq(22)));
            assert_eq!(fold.last_added(), 50);
        }
        // Half a snapshot is none.
        let mut fold = Fold::default();
        before.iter().chain(&snapshot[..1]).for_each(|change| fold.take(1, 5, change));
        assert_eq!(fold.messages().count(), 2);
    }
}
