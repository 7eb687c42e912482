//! What both algorithms of THREAD need to know of each message that was found: 20 octets.

/// The messages that were found, in the order of the mailbox. They are known by their places here.
#[derive(Default)]
pub(crate) struct Messages {
    /// What each is told by.
    numbers: Vec<u32>,
    /// When it was sent.
    sent: Vec<i64>,
    /// A hash of the base subject, whose lowest bit says whether the message is a reply or forward. Below 2: it is empty.
    subjects: Vec<u64>,
}

impl Messages {
    /// Adds the next message. `subject` is made by [`pack_subject`].
    pub(crate) fn push(&mut self, number: u32, sent: i64, subject: u64) {
        self.numbers.push(number);
        self.sent.push(sent);
        self.subjects.push(subject);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.numbers.len()
    }

    /// When it was sent, in seconds since 1970.
    pub(crate) fn sent(&self, message: u32) -> i64 {
        self.sent[message as usize]
    }

    /// A number above 0 that messages with the same base subject have, `None` if it is empty.
    pub(crate) fn subject(&self, message: u32) -> Option<u64> {
        Some(self.subjects[message as usize] >> 1).filter(|&subject| subject != 0)
    }

    /// Whether the subject marks a reply or forward.
    pub(crate) fn is_reply(&self, message: u32) -> bool {
        self.subjects[message as usize] & 1 == 1
    }

    /// What they are told by.
    pub(crate) fn into_numbers(self) -> Vec<u32> {
        self.numbers
    }
}

/// A subject as [`Messages::push`] wants it.
pub(crate) fn pack_subject(hash: Option<u64>, is_reply: bool) -> u64 {
    let hash = hash.map_or(0, |hash| (hash & !1).max(2));
    hash | u64::from(is_reply)
}
