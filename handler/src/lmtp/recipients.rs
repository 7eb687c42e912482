//! For whom a message is: what RCPT took, in its order, and where each of them gets it.

use std::num::NonZeroUsize;

use store::{MailboxId, UserId};

use super::folder::Folder;
use crate::conversation::Turn;
use crate::log;
use crate::maildrops::inbox_of;

/// Where one copy goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// To whom.
    pub(super) user: UserId,
    /// Into what.
    pub(super) folder: Folder,
}

/// Recipients that were taken, each with one place or, where an alias stands for several users, more. `P`: what is known of a place.
#[derive(Clone, Debug)]
pub(super) struct Recipients<P> {
    places: Vec<P>,
    /// Where the places of each recipient end. Empty while each has exactly one.
    ends: Vec<usize>,
}

impl<P> Default for Recipients<P> {
    fn default() -> Self {
        Recipients { places: Vec::new(), ends: Vec::new() }
    }
}

impl<P> Recipients<P> {
    /// Adds a recipient with these places.
    pub(super) fn add(&mut self, places: impl IntoIterator<Item = P>) {
        let before = self.places.len();
        self.places.extend(places);
        if self.ends.is_empty() && self.places.len() != before + 1 {
            self.ends = (1..=before).collect();
            self.ends.push(self.places.len());
        } else if !self.ends.is_empty() {
            self.ends.push(self.places.len());
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        if self.ends.is_empty() { self.places.len() } else { self.ends.len() }
    }

    /// All places, those of the first recipient first.
    pub(super) fn places(&self) -> &[P] {
        &self.places
    }

    /// The places of a recipient, counted from 0.
    pub(super) fn of(&self, recipient: usize) -> Option<&[P]> {
        if self.ends.is_empty() {
            return self.places.get(recipient..=recipient);
        }
        let start =
            NonZeroUsize::new(recipient).map_or(Some(0), |next| self.ends.get(next.get() - 1).copied());
        self.places.get(start?..*self.ends.get(recipient)?)
    }
}

impl Recipients<Place> {
    /// Finds the mailbox of each place, and makes those that must be made. A folder that cannot be made is INBOX.
    pub(super) fn into_mailboxes(self, turn: &Turn<'_>) -> Recipients<MailboxId> {
        let Recipients { places, ends } = self;
        let mailbox_of = |Place { user, folder }: Place| match folder {
            Folder::Inbox => inbox_of(user),
            Folder::Existing(number) => MailboxId { user, number },
            Folder::New(name) => make(turn, user, &name).unwrap_or_else(|| inbox_of(user)),
        };
        Recipients { places: places.into_iter().map(mailbox_of).collect(), ends }
    }
}

/// Makes a mailbox, unless somebody has made it meanwhile.
fn make(turn: &Turn<'_>, user: UserId, name: &str) -> Option<MailboxId> {
    let store = &turn.shared.store;
    let find = || {
        let list = store.mailbox_list(user).ok()?;
        let entry = list.find(name).filter(|entry| !entry.placeholder)?;
        Some(MailboxId { user, number: entry.number })
    };
    if let Some(there) = find() {
        return Some(there);
    }
    let mut txn = store.begin();
    txn.create_mailbox(user, name, None);
    match txn.commit() {
        Ok(committed) => turn.announce(committed.ticket, &committed.touched),
        Err(error) => log::warning!("folder not made", user = user.0, folder = name, why = error),
    }
    find()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recipient_keeps_its_places() {
        let mut recipients = Recipients::default();
        assert_eq!((recipients.count(), recipients.of(0)), (0, None));
        recipients.add([1]);
        recipients.add([2]);
        assert_eq!((recipients.count(), recipients.of(1), recipients.of(2)), (2, Some(&[2][..]), None));
        recipients.add([3, 4, 5]);
        recipients.add([6]);
        let all: Vec<&[i32]> = (0..4).filter_map(|recipient| recipients.of(recipient)).collect();
        assert_eq!(all, [&[1][..], &[2], &[3, 4, 5], &[6]]);
        assert_eq!((recipients.count(), recipients.of(4)), (4, None));
        assert_eq!(recipients.places(), [1, 2, 3, 4, 5, 6]);
        let mut group_first = Recipients::default();
        group_first.add(['a', 'b']);
        group_first.add(['c']);
        assert_eq!((group_first.of(0), group_first.of(1)), (Some(&['a', 'b'][..]), Some(&['c'][..])));
    }
}
