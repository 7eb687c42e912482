//! What a client knows of its selected mailbox.

use std::collections::{BTreeMap, BTreeSet};

use tests::value::Value;

/// Flags in upper case, without `\Recent`.
pub(crate) type Flags = BTreeSet<String>;

/// The flags of a FLAGS item.
pub(crate) fn flags(value: &Value) -> Flags {
    let names = value.items().iter().map(|flag| flag.text().to_ascii_uppercase());
    names.filter(|name| name != "\\RECENT").collect()
}

/// One message, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) uid: Option<u32>,
    pub(crate) flags: Option<Flags>,
    pub(crate) modseq: Option<u64>,
}

/// A mailbox as the server told it. New messages have no UIDs until they are fetched or named.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) messages: Vec<Message>,
    /// Messages have no numbers: those without UIDs stand at the end.
    pub(crate) by_uid: bool,
    pub(crate) uid_validity: u32,
    /// The modseq from which the client would go on (RFC 7162, 6).
    pub(crate) highest: u64,
    /// The highest MODSEQ item since the last tagged reply.
    pub(crate) fetched: u64,
    /// What HIGHESTMODSEQ said since the last tagged reply.
    pub(crate) told: Option<u64>,
}

impl Model {
    /// The place of a UID.
    pub(crate) fn place(&self, uid: u32) -> Option<usize> {
        self.messages.iter().position(|message| message.uid == Some(uid))
    }

    /// The highest known UID.
    pub(crate) fn last_uid(&self) -> u32 {
        self.messages.iter().filter_map(|message| message.uid).max().unwrap_or(0)
    }

    /// Known UIDs, ascending.
    pub(crate) fn uids(&self) -> Vec<u32> {
        self.messages.iter().filter_map(|message| message.uid).collect()
    }

    /// Messages whose UIDs are not known.
    pub(crate) fn unknown(&self) -> usize {
        self.messages.iter().filter(|message| message.uid.is_none()).count()
    }

    /// `n EXISTS`
    pub(crate) fn exists(&mut self, count: usize) {
        assert!(count >= self.messages.len(), "EXISTS {count} after {}", self.messages.len());
        self.messages.resize(count, Message::default());
    }

    /// `n EXPUNGE`; the UID if it is known.
    pub(crate) fn expunge(&mut self, sequence: usize) -> Option<u32> {
        assert!(
            (1..=self.messages.len()).contains(&sequence),
            "EXPUNGE {sequence} of {}",
            self.messages.len()
        );
        self.messages.remove(sequence - 1).uid
    }

    /// One UID of VANISHED without EARLIER.
    pub(crate) fn vanish(&mut self, uid: u32) {
        let place = self.place(uid).or_else(|| self.unknown_for(uid));
        let place = place.unwrap_or_else(|| panic!("VANISHED {uid}, which was not there"));
        self.messages.remove(place);
    }

    /// The place of a message without a UID that may have this one.
    fn unknown_for(&self, uid: u32) -> Option<usize> {
        let is_unknown = |place: &usize| self.messages[*place].uid.is_none();
        if self.by_uid {
            return (0..self.messages.len()).rev().find(is_unknown);
        }
        let behind = |message: &Message| message.uid.is_some_and(|other| other > uid);
        let end = self.messages.iter().position(behind).unwrap_or(self.messages.len());
        end.checked_sub(1).filter(is_unknown)
    }

    /// Takes a UID that a reply names with a sequence number.
    pub(crate) fn name(&mut self, sequence: usize, uid: u32) {
        assert!((1..=self.messages.len()).contains(&sequence), "FETCH {sequence} of {}", self.messages.len());
        let place = sequence - 1;
        match self.messages[place].uid {
            Some(known) => assert_eq!(known, uid, "message {sequence} changed its UID"),
            None => {
                let before = self.messages[..place].iter().filter_map(|message| message.uid).max();
                let after = self.messages[place..].iter().filter_map(|message| message.uid).min();
                assert!(before.is_none_or(|before| before < uid), "UID {uid} behind {before:?}");
                assert!(after.is_none_or(|after| uid < after), "UID {uid} before {after:?}");
                self.messages[place].uid = Some(uid);
            }
        }
    }

    /// The place of a UID that a UIDFETCH names. If it is new, it is one of the messages without a UID.
    pub(crate) fn place_by_uid(&mut self, uid: u32) -> usize {
        if let Some(place) = self.place(uid) {
            return place;
        }
        let unknown = self.unknown_for(uid);
        self.messages.remove(unknown.unwrap_or_else(|| panic!("UIDFETCH of UID {uid}, which was not there")));
        let is_behind = |message: &Message| message.uid.is_none_or(|other| other > uid);
        let place = self.messages.iter().position(is_behind).unwrap_or(self.messages.len());
        self.messages.insert(place, Message { uid: Some(uid), ..Message::default() });
        place
    }

    /// A MODSEQ item.
    pub(crate) fn modseq(&mut self, place: usize, modseq: u64) {
        let known = self.messages[place].modseq.unwrap_or(0);
        assert!(
            modseq >= known,
            "MODSEQ of UID {:?} fell from {known} to {modseq}",
            self.messages[place].uid
        );
        self.messages[place].modseq = Some(modseq);
        self.fetched = self.fetched.max(modseq);
    }

    /// A tagged reply came: what the client takes for HIGHESTMODSEQ now.
    pub(crate) fn tagged(&mut self) {
        let now = match self.told {
            Some(told) => told,
            None => self.highest.max(self.fetched),
        };
        assert!(now >= self.highest, "HIGHESTMODSEQ fell from {} to {now}", self.highest);
        (self.highest, self.fetched, self.told) = (now, 0, None);
    }
}

/// Numbers as a set in a command.
pub(crate) fn set(numbers: &[u32]) -> String {
    let texts: Vec<String> = numbers.iter().map(u32::to_string).collect();
    texts.join(",")
}

/// The numbers of a set in a reply.
pub(crate) fn numbers(set: &str) -> Vec<u32> {
    let mut all = Vec::new();
    for range in set.split(',') {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        let first: u32 = first.parse().unwrap_or_else(|_| panic!("set {set:?}"));
        let last: u32 = last.parse().unwrap_or_else(|_| panic!("set {set:?}"));
        assert!(first <= last && first > 0, "set {set:?}");
        all.extend(first..=last);
    }
    all
}

/// What a silent STORE comes to, as its client thinks.
#[derive(Clone, Debug)]
pub(crate) struct Guess {
    /// UID → flags after it.
    pub(crate) flags: BTreeMap<u32, Flags>,
}
