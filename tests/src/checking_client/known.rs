//! What a client knows of a mailbox that nobody else changes: everything that was acknowledged, and the changes of which it never heard whether
//! they were made.
//!
//! A change without an answer is made or not, whole, once. When that shows is the server's business, but not for ever: a change that was
//! answered stands on all that came before it. So what does not show then never does. Pure.

use std::collections::BTreeSet;

/// Changes without an answer that a client remembers at most. It can find out any time what became of them.
const OPEN_MOST: usize = 12;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) uid: u32,
    pub(super) id: String,
    pub(super) flags: BTreeSet<String>,
}

/// A change of the mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A message with this id, without flags.
    Add(String),
    /// A message has these flags.
    Flags(u32, BTreeSet<String>),
    /// These messages are gone.
    Remove(BTreeSet<u32>),
}

/// A change that was asked for, and is not found to be made.
#[derive(Clone, Debug)]
struct Open {
    change: Change,
    /// The server said that it is made.
    is_answered: bool,
    /// The mailbox was looked at since, and it did not show.
    was_missed: bool,
}

/// The mailbox.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    messages: Vec<Message>,
    open: Vec<Open>,
}

impl Known {
    /// The messages, in order.
    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Whether there are changes of which it is not known whether they were made.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// A change is asked for.
    pub(super) fn ask(&mut self, change: Change) {
        self.open.push(Open { change, is_answered: false, was_missed: false });
    }

    /// The change that was asked for last is answered.
    pub(super) fn answered(&mut self) {
        self.open.last_mut().expect("a change that was asked for").is_answered = true;
        if let [Open { change: Change::Flags(..) | Change::Remove(_), .. }] = self.open[..] {
            apply(&mut self.messages, &self.open.remove(0).change);
        }
    }

    /// The message that was asked for last, whose adding was answered and beside which nothing else is open, has this UID.
    pub(super) fn placed(&mut self, uid: u32) {
        assert!(self.open.len() == 1 && self.open[0].is_answered, "{:?}", self.open);
        apply(&mut self.messages, &self.open.remove(0).change);
        self.messages.last_mut().expect("a message was added").uid = uid;
    }

    /// Takes in what is in the mailbox. How many changes showed that had not when the mailbox was looked at before.
    ///
    /// # Errors
    /// It can have come to this in no way.
    pub(super) fn take(&mut self, found: Vec<Message>) -> Result<u64, String> {
        if self.open.len() > OPEN_MOST {
            return Err(format!("too much was never answered: {:?}", self.open));
        }
        let answered = self.bits(|open| open.is_answered);
        let made = (0..1_usize << self.open.len())
            .filter(|made| made & answered == answered)
            .find(|made| is_same(&self.with(*made), &found));
        let Some(made) = made else {
            return Err(format!("there is {found:?}\nknown {:?}\nopen {:?}", self.messages, self.open));
        };
        let late = made & self.bits(|open| open.was_missed);
        self.messages = found;
        // What came before a change that was made is made or never.
        self.open.drain(..(usize::BITS - made.leading_zeros()) as usize);
        self.open.iter_mut().for_each(|open| open.was_missed = true);
        Ok(u64::from(late.count_ones()))
    }

    /// The bits of the open changes of which this is true.
    fn bits(&self, is_so: impl Fn(&Open) -> bool) -> usize {
        (0..).zip(&self.open).filter(|(_, open)| is_so(open)).map(|(bit, _)| 1 << bit).sum()
    }

    /// The messages with those of the open changes made of which the bits are set.
    fn with(&self, made: usize) -> Vec<Message> {
        let mut messages = self.messages.clone();
        for (bit, open) in self.open.iter().enumerate() {
            if made >> bit & 1 == 1 {
                apply(&mut messages, &open.change);
            }
        }
        messages
    }
}

fn apply(messages: &mut Vec<Message>, change: &Change) {
    match change {
        // Its UID is not known.
        Change::Add(id) => messages.push(Message { uid: 0, id: id.clone(), flags: BTreeSet::new() }),
        Change::Flags(uid, flags) => {
            for message in messages.iter_mut().filter(|message| message.uid == *uid) {
                message.flags.clone_from(flags);
            }
        }
        Change::Remove(uids) => messages.retain(|message| !uids.contains(&message.uid)),
    }
}

/// Whether this is what was found. UIDs that are not known are above those before them.
fn is_same(expected: &[Message], found: &[Message]) -> bool {
    let ascending = found.windows(2).all(|pair| pair[0].uid < pair[1].uid);
    ascending
        && expected.len() == found.len()
        && expected.iter().zip(found).all(|(expected, found)| {
            expected.id == found.id
                && expected.flags == found.flags
                && (expected.uid == 0 || expected.uid == found.uid)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(uid: u32, id: &str) -> Message {
        Message { uid, id: id.to_string(), flags: BTreeSet::new() }
    }

    fn with_one() -> Known {
        let mut known = Known::default();
        add(&mut known, "a", 1);
        known
    }

    fn add(known: &mut Known, id: &str, uid: u32) {
        known.ask(Change::Add(id.into()));
        known.answered();
        known.placed(uid);
    }

    #[test]
    fn a_message_without_an_answer_comes_once_or_never() {
        let both = || vec![message(1, "a"), message(2, "b")];
        let mut known = with_one();
        known.ask(Change::Add("b".into()));
        assert!(known.clone().take(vec![]).is_err(), "what was acknowledged is missing");
        assert!(known.clone().take(vec![message(1, "a"), message(2, "c")]).is_err());
        assert_eq!(known.clone().take(both()), Ok(0));
        assert_eq!(known.take(vec![message(1, "a")]), Ok(0));
        assert!(known.is_open());
        let twice = vec![message(1, "a"), message(2, "b"), message(3, "b")];
        assert!(known.clone().take(twice.clone()).is_err());
        assert_eq!(known.take(both()), Ok(1), "later");
        assert!(!known.is_open());
        assert!(known.clone().take(twice).is_err());
        assert!(known.take(vec![message(1, "a")]).is_err(), "it is there for good");
    }

    #[test]
    fn what_does_not_show_when_a_later_change_is_answered_never_does() {
        let mut known = with_one();
        known.ask(Change::Add("b".into()));
        known.ask(Change::Add("c".into()));
        known.answered();
        let without = vec![message(1, "a"), message(5, "c")];
        assert!(known.clone().take(vec![message(1, "a")]).is_err(), "c was acknowledged");
        let reversed = vec![message(1, "a"), message(5, "c"), message(6, "b")];
        assert!(known.clone().take(reversed.clone()).is_err(), "b was asked for first");
        assert_eq!(known.take(without), Ok(0));
        assert!(!known.is_open());
        assert!(known.take(reversed).is_err());
    }

    #[test]
    fn flags_and_removals_are_whole() {
        let mut known = with_one();
        add(&mut known, "b", 2);
        let seen = BTreeSet::from(["\\Seen".to_string()]);
        known.ask(Change::Flags(1, seen.clone()));
        let changed = Message { flags: seen, ..message(1, "a") };
        let wrong = Message { flags: BTreeSet::from(["other".to_string()]), ..message(1, "a") };
        assert!(known.clone().take(vec![wrong, message(2, "b")]).is_err());
        assert_eq!(known.clone().take(vec![message(1, "a"), message(2, "b")]), Ok(0));
        assert_eq!(known.take(vec![changed.clone(), message(2, "b")]), Ok(0));
        known.ask(Change::Remove(BTreeSet::from([1, 2])));
        assert!(known.clone().take(vec![changed.clone()]).is_err(), "half of it");
        assert_eq!(known.clone().take(vec![]), Ok(0));
        known.answered();
        assert!(known.take(vec![changed, message(2, "b")]).is_err(), "it was answered");
    }
}
