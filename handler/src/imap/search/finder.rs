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

/// Messages of a window, where only the last results are wanted: windows are looked at from the last to the first.
const WINDOW: u32 = 4096;

/// Which results somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All.
    All,
    /// So many, the first of them.
    First(u64),
    /// So many, the last of them.
    Last(u64),
}

/// A search of one mailbox on its way. The view must not be refreshed meanwhile.
pub(crate) struct Finder {
    /// What opens no bucket, and what else must hold.
    cheap: Condition,
    costly: Option<Condition>,
    /// Sequence numbers to look at, if not all.
    only: Option<NumberSet>,
    /// The next sequence number to look at.
    next: u32,
    /// The same, if a turn ended within the block.
    left_at: Option<u32>,
    wanted: Wanted,
    /// The sequence numbers that are looked at now, where windows are.
    window: Option<(u32, u32)>,
    /// What was found in later windows.
    later: NumberSet,
    /// What was found, but for `later`.
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
            left_at: None,
            wanted: Wanted::All,
            window: None,
            later: NumberSet::default(),
            found: NumberSet::default(),
            found_count: 0,
            scores: None,
            failures: 0,
        }
    }

    /// The same, of which only some results are wanted. Of those there may be more in the end, all the same.
    pub(crate) fn wanting(self, wanted: Wanted) -> Finder {
        Finder { wanted, ..self }
    }

    /// The same, which also says how well each result fits.
    pub(crate) fn scoring(self) -> Finder {
        Finder { scores: Some(Vec::new()), ..self }
    }

    /// How well each result fits, in their order, from 1 to 100; empty if that was not asked.
    pub(crate) fn take_scores(&mut self) -> Vec<u8> {
        self.scores.take().unwrap_or_default()
    }

    /// How many of the messages of the mailbox it has been by.
    pub(crate) fn done(&self, view: &View) -> u32 {
        match self.window {
            Some((first, last)) => view.exists() - last + (self.next - first),
            None => self.next - 1,
        }
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
        let mut matcher = Matcher::new(&turn.shared.store, mailbox, &cells, id);
        if self.scores.is_some() {
            matcher = matcher.scoring();
        }
        let until_ms = turn.shared.now_ms() + TURN_MS;
        let is_done = self.visit(&mut matcher, view, &|| turn.shared.now_ms() >= until_ms);
        self.failures += matcher.failures();
        Ok(is_done)
    }

    fn visit(&mut self, matcher: &mut Matcher<'_>, view: &View, is_time_up: &dyn Fn() -> bool) -> bool {
        let Wanted::Last(enough) = self.wanted else {
            return self.visit_to(view.exists(), matcher, view, is_time_up);
        };
        loop {
            let (first, last) = match self.window {
                Some(window) => window,
                None => self.enter_window(view.exists()),
            };
            if !self.visit_to(last, matcher, view, is_time_up) {
                return false;
            }
            let found = std::mem::take(&mut self.found);
            self.later = found.union(&self.later);
            if first == 1 || self.found_count >= enough {
                self.found = std::mem::take(&mut self.later);
                return true;
            }
            self.enter_window(first - 1);
            if is_time_up() {
                return false;
            }
        }
    }

    /// Whether more of the first results are not wanted.
    fn has_enough(&self) -> bool {
        matches!(self.wanted, Wanted::First(enough) if self.found_count >= enough)
    }

    /// Goes to the window that ends with `last`.
    fn enter_window(&mut self, last: u32) -> (u32, u32) {
        let first = last.saturating_sub(WINDOW - 1).max(1);
        self.next = first;
        *self.window.insert((first, last))
    }

    /// Visits what is left of the messages up to `upto`.
    fn visit_to(
        &mut self,
        upto: u32,
        matcher: &mut Matcher<'_>,
        view: &View,
        is_time_up: &dyn Fn() -> bool,
    ) -> bool {
        // Something is done in every turn, however slow it is.
        let mut has_looked = false;
        let ranges = match &self.only {
            Some(only) => only.clip(self.next, upto).to_vec(),
            None => vec![(1, upto)],
        };
        for (first, last) in ranges {
            for block in view.blocks_in_seq_range(first.max(self.next)..=last.min(upto)) {
                if self.has_enough() {
                    return true;
                }
                if has_looked && is_time_up() {
                    return false;
                }
                let goes_on = self.left_at.take() == Some(block.first_sequence);
                matcher.enter(block, goes_on);
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
                                        self.left_at = Some(self.next);
                                        return false;
                                    }
                                    if self.has_enough() {
                                        return true;
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
        self.next = upto.saturating_add(1);
        true
    }
}
