//! Goes through a mailbox in turns and gathers what meets a condition, as ascending ranges of sequence numbers.
//!
//! SEARCH, SORT, THREAD and the searches of other mailboxes do this first. Only blocks of 64 cells that hold messages which the condition may be true of
//! are visited, and a message is opened only when all cheaper conditions hold.

use protocol::imap::syntax::sequence_set::NumberSet;
use store::mailbox::Mailbox;
use store::view::View;
use store::{MailboxId, StoreError};

use super::condition::Condition;
use super::matching::Matcher;
use crate::conversation::Turn;

/// How long a search may keep a worker before others have their turn, in milliseconds.
const TURN_MS: u64 = 20;

/// A search of one mailbox on its way. The view must not be refreshed meanwhile.
pub(crate) struct Finder {
    /// What opens no bucket, and what else must hold.
    cheap: Condition,
    costly: Option<Condition>,
    /// Sequence numbers to look at, if not all.
    only: Option<NumberSet>,
    /// The next sequence number to look at.
    next: u32,
    /// After so many results nobody asks for more.
    enough: u64,
    found: NumberSet,
    found_count: u64,
    /// How well each result fits, if that is asked.
    scores: Option<Vec<u8>>,
    failures: u32,
}

impl Finder {
    /// A search for what meets `condition`.
    pub(crate) fn new(condition: Condition) -> Finder {
        let only = condition.only_among();
        let (cheap, costly) = condition.split();
        Finder {
            cheap,
            costly,
            only,
            next: 1,
            enough: u64::MAX,
            found: NumberSet::default(),
            found_count: 0,
            scores: None,
            failures: 0,
        }
    }

    /// The same, of which only the first so many results are wanted.
    pub(crate) fn until(self, enough: u64) -> Finder {
        Finder { enough, ..self }
    }

    /// The same, which also says how well each result fits.
    pub(crate) fn scoring(self) -> Finder {
        Finder { scores: Some(Vec::new()), ..self }
    }

    /// How well each result fits, in their order, from 1 to 100; empty if that was not asked.
    pub(crate) fn take_scores(&mut self) -> Vec<u8> {
        self.scores.take().unwrap_or_default()
    }

    /// The next sequence number that it will look at: how far it came.
    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    /// Messages that could not be read so far; they are not among the results.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Takes what was found.
    pub(crate) fn take_found(&mut self) -> NumberSet {
        std::mem::take(&mut self.found)
    }

    /// What was found.
    pub(crate) fn into_found(self) -> NumberSet {
        self.found
    }

    /// Looks at messages for a while; true when all were looked at.
    ///
    /// # Errors
    /// The mailbox cannot be read. A message that cannot is only counted.
    pub(crate) fn go_on(
        &mut self,
        id: MailboxId,
        mailbox: &Mailbox,
        view: &View,
        turn: &Turn<'_>,
    ) -> Result<bool, StoreError> {
        let cells = mailbox.cells()?;
        let mut matcher = Matcher::new(&turn.shared.store, &cells, id);
        if self.scores.is_some() {
            matcher = matcher.scoring();
        }
        let until_ms = turn.shared.now_ms() + TURN_MS;
        let is_done = self.visit(&mut matcher, view, &|| turn.shared.now_ms() >= until_ms);
        self.failures += matcher.failures();
        Ok(is_done)
    }

    fn visit(&mut self, matcher: &mut Matcher<'_>, view: &View, is_time_up: &dyn Fn() -> bool) -> bool {
        let exists = view.exists();
        // Something is done in every turn, however slow it is.
        let mut has_looked = false;
        let ranges = match &self.only {
            Some(only) => only.clip(self.next, exists).to_vec(),
            None => vec![(1, exists)],
        };
        for (first, last) in ranges {
            for block in view.blocks_in_seq_range(first.max(self.next)..=last.min(exists)) {
                if self.found_count >= self.enough {
                    return true;
                }
                if has_looked && is_time_up() {
                    return false;
                }
                matcher.enter(block);
                let mut left = matcher.narrow(&self.cheap, block.messages);
                let sequence_of = |bit: u64| block.first_sequence + (block.messages & (bit - 1)).count_ones();
                match &self.costly {
                    None if left == block.messages && left != 0 && self.scores.is_none() => {
                        self.found
                            .push_range(block.first_sequence, block.first_sequence + left.count_ones() - 1);
                        self.found_count += u64::from(left.count_ones());
                    }
                    costly => {
                        while left != 0 {
                            let bit = left & left.wrapping_neg();
                            left &= left - 1;
                            let is_met = match costly {
                                Some(costly) => {
                                    // A message may be long: each has its own look at the clock.
                                    if has_looked && is_time_up() {
                                        self.next = sequence_of(bit);
                                        return false;
                                    }
                                    has_looked = true;
                                    matcher.narrow(costly, bit) != 0
                                }
                                None => true,
                            };
                            if is_met {
                                self.found.push(sequence_of(bit));
                                self.found_count += 1;
                                if let Some(scores) = &mut self.scores {
                                    scores.push(matcher.score(bit.trailing_zeros()));
                                }
                            }
                        }
                    }
                }
                has_looked = true;
                self.next = block.first_sequence + block.messages.count_ones();
            }
        }
        self.next = exists.saturating_add(1);
        true
    }
}
