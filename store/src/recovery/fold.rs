//! One mailbox made from its changes, in whatever order they come: what each message is after the last of them.
//!
//! Every change says the state after it and carries its modseq, so the newest that speaks of a message wins. Memory is in proportion to the
//! messages that the mailbox ever had, not to what was done to them.

use std::collections::BTreeMap;

use crate::change::{Added, Change, Flags};
use crate::ids::{ModSeq, Uid};

/// A mailbox in the making.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    messages: BTreeMap<u32, Message>,
    keywords: BTreeMap<u8, String>,
    uid_next: u32,
    highest_modseq: ModSeq,
    epoch: u32,
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
                self.message(added.uid).added.get_or_insert(*added);
            }
            Change::Flags { modseq, messages, .. } => {
                for (uid, flags) in messages {
                    self.mention(*uid, *modseq);
                    let known = &mut self.message(*uid).flags;
                    if known.is_none_or(|(at, _)| at <= *modseq) {
                        *known = Some((*modseq, *flags));
                    }
                }
            }
            Change::Expunge { modseq, uids, .. } => {
                for uid in uids {
                    self.mention(*uid, *modseq);
                    let known = &mut self.message(*uid).expunged;
                    if known.is_none_or(|(at, _)| at > *modseq) {
                        *known = Some((*modseq, seconds));
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
            _ => (),
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

    /// HIGHESTMODSEQ.
    pub(crate) fn highest_modseq(&self) -> ModSeq {
        self.highest_modseq.max(ModSeq(1))
    }

    pub(crate) fn keywords(&self) -> impl Iterator<Item = (u8, &str)> {
        self.keywords.iter().map(|(bit, name)| (*bit, name.as_str()))
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
            assert_eq!((fold.uid_next(), fold.highest_modseq(), fold.epoch()), (41, ModSeq(7), 3));
            assert_eq!(fold.keywords().collect::<Vec<_>>(), [(3, "$a")]);
            let one = Added { modseq: ModSeq(5), flags: flags(9), ..added(1, 2, 0) };
            let two = Added { modseq: ModSeq(5), flags: flags(2), ..added(2, 3, 1) };
            let want = [
                Folded { added: one, expunged: None },
                Folded { added: two, expunged: Some((ModSeq(6), 9)) },
            ];
            assert_eq!(fold.messages().collect::<Vec<_>>(), want);
        }
    }
}
